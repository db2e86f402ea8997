//! `bpftwin fuzz programs`.

use bpftwin_conformance::exit::Exit;
use bpftwin_conformance::fuzz::generate::Program;
use bpftwin_conformance::fuzz::instructions::Level;
use bpftwin_conformance::fuzz::programs::{differences, probe, shrink};
use bpftwin_conformance::plane::Unavailable;
use bpftwin_conformance::plane::probe::{KernelProber, SimProber};
use bpftwin_conformance::probe::{Probe, ProbeSeen};
use bpftwin_sim::bpf::{Engine, jit};
use bpftwin_sim::uapi::Release;

use super::{Course, Limits, Stop, Terminal, prober, unavailable};

/// Programs in one probe.
const BATCH: u64 = 64;

/// Both planes.
struct Pair {
    sim: SimProber,
    kernel: KernelProber,
}

impl Pair {
    fn simulate(&mut self, probe: &Probe) -> ProbeSeen {
        self.sim.run(probe).expect("a generated probe makes sense")
    }

    /// What differs for this program alone. `None`: the verifier refuses it.
    fn alone(&mut self, program: &Program) -> Result<Option<Vec<String>>, Unavailable> {
        let probe = probe(std::slice::from_ref(program));
        let real = self.kernel.ask(&probe)?;
        if matches!(real, ProbeSeen::Refused(_)) {
            return Ok(None);
        }
        Ok(Some(differences(&self.simulate(&probe), &real)))
    }
}

/// Random programs on both planes.
pub fn programs(
    terminal: &Terminal,
    limits: &Limits,
    level: Option<Level>,
    engine: Engine,
) -> Result<Exit, Stop> {
    if engine == Engine::Jit {
        jit::available().map_err(|why| Stop::unavailable(format!("engine jit is {why}")))?;
    }
    let (kernel, release) = prober()?;
    let mut sim = SimProber::new(release, kernel.begin().nr_cpus);
    sim.engine = engine;
    let mut pair = Pair { sim, kernel };
    let mut mode = level.map_or("programs".to_owned(), |level| format!("programs --level {}", level.name()));
    if engine != Engine::default() {
        mode = format!("{mode} --engine {engine}");
    }
    let mut course = Course::begin(terminal, limits, &mode);
    let acquire = release > Release::V6_12;
    let mut next = limits.first;
    let end = limits.first.saturating_add(limits.count);
    while next < end && !course.over() {
        let indices = next..end.min(next + BATCH);
        next = indices.end;
        let programs: Vec<Program> =
            indices.clone().map(|index| Program::random(limits.seed, index, level, acquire)).collect();
        let probe = probe(&programs);
        pair.kernel.send(&probe).map_err(|trouble| unavailable(&trouble))?;
        // The kernel works while the simulator does.
        let ours = pair.simulate(&probe);
        let real = pair.kernel.receive().map_err(|trouble| unavailable(&trouble))?;
        if !matches!(real, ProbeSeen::Refused(_)) && differences(&ours, &real).is_empty() {
            course.advance(programs.len() as u64);
            continue;
        }
        for (index, program) in indices.zip(&programs) {
            one(&mut pair, &mut course, index, program)?;
            if course.over() {
                break;
            }
        }
    }
    course.end("programs")
}

/// One program by itself; if it differs, its smallest form is reported.
fn one(pair: &mut Pair, course: &mut Course<'_>, index: u64, program: &Program) -> Result<(), Stop> {
    let found = pair.alone(program).map_err(|trouble| unavailable(&trouble))?;
    match found {
        None => course.refused += 1,
        Some(lines) if lines.is_empty() => course.advance(1),
        Some(_) => {
            course.advance(1);
            let mut trouble = None;
            let small = shrink(program, &mut |candidate| match pair.alone(candidate) {
                Ok(found) => found.is_some_and(|lines| !lines.is_empty()),
                Err(unavailable) => {
                    trouble = Some(unavailable);
                    false
                }
            });
            if let Some(trouble) = trouble {
                return Err(unavailable(&trouble));
            }
            let lines = pair.alone(&small).map_err(|trouble| unavailable(&trouble))?.unwrap_or_default();
            course.differs(index, &format!("{}\n{small:?}", lines.join("\n")), &[])?;
        }
    }
    Ok(())
}
