//! `bpftwin fuzz packets`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use bpftwin_conformance::case::Case;
use bpftwin_conformance::compare::{Difference, IgnoreRule, compare};
use bpftwin_conformance::described::Described;
use bpftwin_conformance::exit::Exit;
use bpftwin_conformance::fuzz::frames::Frames;
use bpftwin_conformance::fuzz::packets::{RUNS, Target, prepare, shrink};
use bpftwin_conformance::fuzz::scenario;
use bpftwin_conformance::observation::{Observation, Report};
use bpftwin_conformance::plane::kernel::KernelPlane;
use bpftwin_conformance::plane::sim::SimPlane;
use bpftwin_conformance::plane::{Plane, Unavailable};
use bpftwin_conformance::report::human::quoted;
use bpftwin_conformance::resolve::Library;
use bpftwin_conformance::resolve::objects::open;
use bpftwin_sim::uapi::Release;

use super::super::args::Format;
use super::{Course, Limits, Stop, Terminal, unavailable};

/// Both planes.
struct Pair {
    sim: SimPlane,
    kernel: KernelPlane,
}

/// What became of a case.
enum Compared {
    /// A plane will not have it: which, and why.
    Declined(String),
    /// Both ran it.
    Ran(Vec<Difference>),
}

impl Pair {
    fn start() -> Result<Self, Stop> {
        let kernel = KernelPlane::find().map_err(|trouble| unavailable(&trouble))?;
        let empty = Case {
            name: "nothing".into(),
            objects: Vec::new(),
            maps: Vec::new(),
            network: bpftwin_conformance::case::Network::default(),
            runs: Vec::new(),
            watch: None,
            topology: None,
        };
        let Report::Seen(seen) = kernel.run(&empty).map_err(|trouble| unavailable(&trouble))? else {
            return Err(Stop::unavailable("the kernel declines an empty case"));
        };
        let release = Release::of_uname(&seen.begin.kernel)
            .ok_or_else(|| Stop::unavailable(format!("kernel {} is not described", seen.begin.kernel)))?;
        let sim =
            SimPlane { release, nr_cpus: seen.begin.nr_cpus, cpu: seen.begin.cpu, ..SimPlane::default() };
        Ok(Self { sim, kernel })
    }

    /// Runs a case on both at the same time.
    fn compare(&self, case: &Case, target: &Target) -> Result<Compared, Unavailable> {
        let (ours, real) = std::thread::scope(|scope| {
            let real = scope.spawn(|| self.kernel.run(case));
            (self.sim.run(case), real.join().expect("a plane does not panic"))
        });
        let seen = |report: Report, plane: &str| -> Result<Observation, String> {
            match report {
                Report::Seen(seen) => Ok(*seen),
                Report::Declined(decline) => Err(format!("{plane}: {}", decline.reason)),
            }
        };
        let (ours, real) = match (seen(ours?, "sim"), seen(real?, "prog-run")) {
            (Ok(ours), Ok(real)) => (ours, real),
            (Err(why), _) | (_, Err(why)) => return Ok(Compared::Declined(why)),
        };
        Ok(Compared::Ran(compare(case, &target.shape, &target.ignores, &ours, &real).differences))
    }
}

/// What is said of the objects besides their names.
pub struct Loading<'a> {
    /// The kernel, and types of programs.
    pub described: Described,
    /// Maps' sizes.
    pub max_entries: &'a [(String, u32)],
    /// Fields that are not compared.
    pub ignores: &'a [String],
}

impl Loading<'_> {
    /// What is typed to do it all again.
    fn mode(&self, files: &[String]) -> String {
        let sizes = self.max_entries.iter().map(|(map, number)| format!("--max-entries={map}={number}"));
        let ignores = self.ignores.iter().map(|field| format!("--ignore={field}"));
        let words = self.described.flags.iter().cloned().chain(sizes).chain(ignores);
        let words: Vec<_> = words.chain(files.iter().cloned()).map(|word| quoted(&word)).collect();
        format!("packets {}", words.join(" "))
    }
}

/// Random packets through the programs of object files.
pub fn packets(
    terminal: &Terminal,
    limits: &Limits,
    files: &[String],
    loading: &Loading<'_>,
) -> Result<Exit, Stop> {
    let pair = Pair::start()?;
    let frames = Frames::default();
    let (targets, mut left_out) = targets(&pair, files, loading)?;
    let mut course = Course::begin(terminal, limits, &loading.mode(files));
    let mut packets: BTreeMap<String, u64> = BTreeMap::new();
    let mut unfilled = BTreeSet::new();
    let mut index = limits.first;
    while !targets.is_empty() && course.done < limits.count && !course.over() {
        let target = &targets[(index % targets.len() as u64) as usize];
        if !target.has_turn(index, targets.len() as u64) {
            index += 1;
            continue;
        }
        let at = format!("{}: {}", target.file, target.program);
        let mut case = target.case(limits.seed, index, &frames, !unfilled.contains(&at));
        let mut compared = pair.compare(&case, target).map_err(|trouble| unavailable(&trouble))?;
        if let Compared::Declined(why) = &compared
            && why.contains("BPF_MAP_UPDATE_ELEM")
        {
            // Some map takes no such element: from now on without contents.
            left_out.push(format!("{at}: runs with empty maps: {why}"));
            unfilled.insert(at.clone());
            case = target.case(limits.seed, index, &frames, false);
            compared = pair.compare(&case, target).map_err(|trouble| unavailable(&trouble))?;
        }
        match compared {
            Compared::Declined(why) => {
                course.refused += 1;
                left_out.push(format!("{at}: case {index}: {why}"));
                if course.refused > 1000 {
                    break;
                }
            }
            Compared::Ran(differences) => {
                course.advance(case.runs.len() as u64);
                *packets.entry(at.clone()).or_default() += case.runs.len() as u64;
                if !differences.is_empty() {
                    report(&pair, &mut course, index, &case, target)?;
                }
            }
        }
        index += 1;
    }
    if terminal.global.verbose > 0 {
        for (target, count) in &packets {
            terminal.out(&format!("{count:>9} {target}\n"))?;
        }
    }
    // Where nothing is left to run, the reasons are the answer.
    if terminal.global.verbose > 0 || (targets.is_empty() && terminal.global.format == Format::Human) {
        for line in &left_out {
            terminal.out(&format!("left out: {line}\n"))?;
        }
    }
    terminal.out(&format!("{} programs of {} files\n", packets.len(), files.len()))?;
    course.end(&format!("packets ({RUNS} a case)"))
}

/// The programs both planes run, and why others do not.
fn targets(pair: &Pair, files: &[String], loading: &Loading<'_>) -> Result<(Vec<Target>, Vec<String>), Stop> {
    let (mut targets, mut left_out) = (Vec::new(), Vec::new());
    let Loading { described, max_entries, ignores } = loading;
    let mut unused: BTreeSet<&str> = described.types.iter().map(|(program, _)| program.as_str()).collect();
    unused.extend(max_entries.iter().map(|(map, _)| map.as_str()));
    for file in files {
        let opened = match open(&Library::beside(Path::new("")), file) {
            Ok(opened) => opened,
            Err(what) => {
                left_out.push(format!("{file}: {what}"));
                continue;
            }
        };
        let (opened, image) = prepare(&opened, described, max_entries);
        image.types.iter().for_each(|typed| _ = unused.remove(typed.program.as_str()));
        image.sizes.iter().for_each(|sized| _ = unused.remove(sized.map.as_str()));
        let (candidates, not) = Target::all_of(file, &opened, &image);
        left_out.extend(not);
        for mut target in candidates {
            target.ignores.extend(ignores.iter().map(|field| IgnoreRule::asked(field)));
            let mut case = target.case(0, 0, &Frames::default(), false);
            case.runs.truncate(1);
            match pair.compare(&case, &target).map_err(|trouble| unavailable(&trouble))? {
                Compared::Declined(why) => left_out.push(format!("{file}: {}: {why}", target.program)),
                Compared::Ran(_) => targets.push(target),
            }
        }
    }
    if let Some(name) = unused.first() {
        return Err(Stop::usage(format!("no object has a program or map {name}")));
    }
    Ok((targets, left_out))
}

/// Reports the smallest case that still differs in the same field of the same kind.
fn report(
    pair: &Pair,
    course: &mut Course<'_>,
    index: u64,
    case: &Case,
    target: &Target,
) -> Result<(), Stop> {
    let mut trouble = None;
    let small = shrink(case, &mut |candidate| match pair.compare(candidate, target) {
        Ok(Compared::Ran(differences)) => !differences.is_empty(),
        Ok(Compared::Declined(_)) => false,
        Err(unavailable) => {
            trouble = Some(unavailable);
            false
        }
    });
    if let Some(trouble) = trouble {
        return Err(unavailable(&trouble));
    }
    let Compared::Ran(differences) = pair.compare(&small, target).map_err(|trouble| unavailable(&trouble))?
    else {
        return Ok(());
    };
    let mut what = format!("{}: {}\n", target.file, target.program);
    for difference in differences.iter().take(8) {
        let run = difference.run.map_or("at the end".to_owned(), |run| format!("run {run}"));
        let place =
            if difference.place.is_empty() { String::new() } else { format!("[{}]", difference.place) };
        let (field, left, right) = (&difference.field, &difference.left, &difference.right);
        let _ = writeln!(what, "{run}: {field}{place}: sim {left}; kernel {right}");
    }
    let name = format!("fuzz-{}-{index}", target.program);
    let object = std::fs::canonicalize(&target.file)
        .map_or_else(|_| target.file.clone(), |path| path.to_string_lossy().into_owned());
    let (text, capture) =
        scenario::write(&small, target, &object, &name, &format!("{} case {index}", target.program));
    course.differs(
        index,
        &what,
        &[(&format!("{name}.toml"), text.as_bytes()), (&format!("{name}.pcapng"), &capture)],
    )
}
