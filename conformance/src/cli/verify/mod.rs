//! `bpftwin verify`: what objects cost a kernel's verifier.

pub mod args;
mod gate;
mod subjects;

use std::fmt::Write as _;
use std::path::Path;

use bpftwin_conformance::exit::Exit;
use bpftwin_conformance::plane::Unavailable;
use bpftwin_conformance::plane::kernel::KernelPlane;
use bpftwin_conformance::verify::judge::{Growth, grown};
use bpftwin_conformance::verify::lock::Lock;
use bpftwin_conformance::verify::protocol::{LineSeen, Verdict};
use bpftwin_conformance::verify::row::{Key, Row, series};
use bpftwin_conformance::verify::{Subject, Verified, report};

use super::args::Format;
use super::{Stop, Terminal};
use args::{By, Compared, Locked, Mode, Subjects, Top, Verify};

/// Does what was asked.
pub fn verify(terminal: &Terminal, given: &Verify) -> Result<Exit, Stop> {
    if terminal.global.format == Format::Junit {
        return Err(Stop::usage("verify has no JUnit report: --format human, json or github, or --csv FILE"));
    }
    match &given.mode {
        None => show(terminal, given),
        Some(Mode::Record(locked)) => record(terminal, locked),
        Some(Mode::Gate(locked)) => gate::gate(terminal, locked),
        Some(Mode::Diff(compared)) => diff(terminal, compared),
        Some(Mode::Why(compared)) => why(terminal, compared),
        Some(Mode::Top(given)) => top(terminal, given),
    }
}

fn unavailable(Unavailable { why, advice }: Unavailable) -> Stop {
    Stop::unavailable(format!("{why}\n  {advice}"))
}

/// What libbpf does not open cannot be recorded or compared.
fn refused(refused: &[(String, String)]) -> Result<(), Stop> {
    match refused.first() {
        Some((_, why)) => Err(Stop { message: why.clone(), exit: Exit::Failed }),
        None => Ok(()),
    }
}

/// Asks the kernel.
fn ask(subjects: &[Subject], lines: bool) -> Result<Verified, Stop> {
    let kernel = KernelPlane::find().map_err(unavailable)?;
    let verified = bpftwin_conformance::verify::verify(&kernel, subjects, lines).map_err(unavailable)?;
    refused(&verified.refused).map(|()| verified)
}

fn show(terminal: &Terminal, given: &Verify) -> Result<Exit, Stop> {
    let subjects = subjects::subjects(&given.subjects)?;
    let kernel = KernelPlane::find().map_err(unavailable)?;
    let verified = bpftwin_conformance::verify::verify(&kernel, &subjects, false).map_err(unavailable)?;
    if let Some(file) = &given.csv {
        csv(terminal, file, &subjects, &verified)?;
    }
    let to_stdout = given.csv.as_ref().is_some_and(|file| file.as_os_str() == "-");
    if !to_stdout && terminal.global.quiet == 0 {
        let source = |place: &_| subjects::excerpt(&given.subjects.objects, place);
        let text = match terminal.global.format {
            Format::Json => verified.rows.iter().map(|row| report::json(row, &verified.kernel)).collect(),
            _ => report::table(&verified.rows, &source, terminal.global.verbose > 0),
        };
        terminal.out(&text)?;
    }
    // What opens was shown.
    refused(&verified.refused)?;
    let any = |wanted: Verdict| verified.rows.iter().any(|row| row.seen.verdict == wanted);
    Ok(if any(Verdict::Failure) {
        Exit::Failed
    } else if any(Verdict::Success) {
        Exit::Pass
    } else {
        Exit::NothingRan
    })
}

fn csv(terminal: &Terminal, file: &Path, subjects: &[Subject], verified: &Verified) -> Result<(), Stop> {
    let config = &subjects[0].config;
    if subjects.iter().any(|subject| subject.config != *config) {
        return Err(Stop::usage("--csv holds one configuration, and there are several"));
    }
    let text = report::csv(&verified.rows);
    if file.as_os_str() == "-" {
        return terminal.out(&text);
    }
    let compilers = subjects.iter().map(|subject| (subject.object.as_str(), subject.llvm.as_str()));
    let beside = serde_json::json!({
        "v": 1, "kernel": verified.kernel, "config": config,
        "llvm": compilers.collect::<std::collections::BTreeMap<_, _>>(),
    });
    let mut name = file.as_os_str().to_owned();
    name.push(".json");
    write(file, &text)?;
    write(Path::new(&name), &format!("{beside}\n"))
}

fn write(file: &Path, text: &str) -> Result<(), Stop> {
    std::fs::write(file, text)
        .map_err(|error| Stop::unavailable(format!("cannot write {}: {error}", file.display())))
}

fn read_lock(file: &Path) -> Result<Lock, Stop> {
    let said = |why: String| Stop::usage(format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| said(error.to_string()))?;
    Lock::read(&text).map_err(said)
}

fn record(terminal: &Terminal, locked: &Locked) -> Result<Exit, Stop> {
    let subjects = subjects::subjects(&locked.subjects)?;
    let mut lock = if locked.lock.exists() { read_lock(&locked.lock)? } else { Lock::default() };
    let verified = ask(&subjects, true)?;
    let before = lock.clone();
    lock.update(Lock::of(&verified.rows), !locked.subjects.program.is_empty());
    write(&locked.lock, &lock.write())?;
    let state = if before == lock { "unchanged" } else { "written" };
    let (file, count) = (locked.lock.display(), verified.rows.len());
    if terminal.global.quiet == 0 {
        terminal.out(&format!("{file} {state}: {count} programs on {}\n", verified.kernel))?;
    }
    Ok(if verified.rows.is_empty() { Exit::NothingRan } else { Exit::Pass })
}

/// What a base says of a program: instructions, states, and its lines, all of them or not.
struct Before {
    insns: u64,
    states: u64,
    lines: Vec<LineSeen>,
    all: bool,
}

/// The base and the new rows.
struct Joined {
    /// New rows, each with what the base says of it, if it has it.
    pairs: Vec<(Option<Before>, Row)>,
    /// What only the base has, of this kernel.
    gone: Vec<Key>,
}

fn joined(compared: &Compared, lines: bool) -> Result<Joined, Stop> {
    let subjects = subjects::subjects(&compared.subjects)?;
    let bytes = subjects::read(&compared.base)?;
    let is_object = bytes.starts_with(b"\x7fELF");
    let mut base: Vec<(Key, Before)> = Vec::new();
    if is_object {
        let before = Subjects {
            objects: vec![compared.base.clone()],
            program: compared.subjects.program.clone(),
            config: compared.subjects.config.clone(),
            configs: compared.subjects.configs.clone(),
            kconfig: compared.subjects.kconfig.clone(),
            types: compared.subjects.types.clone(),
            llvm: compared.subjects.llvm.clone(),
        };
        for row in ask(&subjects::subjects(&before)?, lines)?.rows {
            let counts = row.seen.counts;
            let before =
                Before { insns: counts.insns, states: counts.states, lines: row.seen.lines, all: true };
            base.push((row.key, before));
        }
    } else {
        for (key, entry) in read_lock(Path::new(&compared.base))?.entries {
            let (lines, all) = entry.lines();
            base.push((key, Before { insns: entry.insns, states: entry.states, lines, all }));
        }
    }
    let now = ask(&subjects, lines)?;
    // Of two objects, their names and compilers do not matter.
    let same = |a: &Key, b: &Key| {
        (&a.program, &a.config, &a.kernel) == (&b.program, &b.config, &b.kernel)
            && (is_object || (&a.object, &a.llvm) == (&b.object, &b.llvm))
    };
    let mut pairs = Vec::new();
    for row in now.rows {
        let found = base.iter().position(|(key, _)| same(key, &row.key));
        pairs.push((found.map(|at| base.swap_remove(at).1), row));
    }
    let kernel = series(&now.kernel);
    let gone = base.into_iter().map(|(key, _)| key).filter(|key| is_object || key.kernel == kernel).collect();
    Ok(Joined { pairs, gone })
}

fn diff(terminal: &Terminal, compared: &Compared) -> Result<Exit, Stop> {
    let Joined { pairs, gone } = joined(compared, false)?;
    let mut out = String::new();
    for (before, Row { key, seen }) in &pairs {
        let now = &seen.counts;
        match (terminal.global.format, before) {
            (Format::Json, before) => {
                let was =
                    before.as_ref().map(|b| serde_json::json!({ "insns": b.insns, "states": b.states }));
                let line = serde_json::json!({ "v": 1, "event": "diff", "key": key, "was": was, "now": now });
                let _ = writeln!(out, "{line}");
            }
            (_, None) => {
                let _ = writeln!(out, "{:>9} new       {key}", now.insns);
            }
            (_, Some(was)) if (was.insns, was.states) != (now.insns, now.states) => {
                let more = now.insns.cast_signed() - was.insns.cast_signed();
                let parts = more * 1000 / was.insns.max(1).cast_signed();
                let states = now.states.cast_signed() - was.states.cast_signed();
                let sign = if more < 0 { '-' } else { '+' };
                let share = format!("{sign}{}.{} %", parts.abs() / 10, parts.abs() % 10);
                let _ = writeln!(out, "{:>9} {more:>+9} ({share}), {states:+} states  {key}", now.insns);
            }
            (_, Some(_)) => {}
        }
    }
    if terminal.global.format != Format::Json {
        for key in &gone {
            let _ = writeln!(out, "{:>9} gone      {key}", "");
        }
        let same = pairs.iter().filter(|(before, row)| {
            before
                .as_ref()
                .is_some_and(|was| (was.insns, was.states) == (row.seen.counts.insns, row.seen.counts.states))
        });
        let _ = writeln!(out, "{} programs, {} of them as before", pairs.len(), same.count());
    }
    terminal.out(&out)?;
    Ok(if pairs.iter().any(|(before, _)| before.is_some()) { Exit::Pass } else { Exit::NothingRan })
}

fn why(terminal: &Terminal, compared: &Compared) -> Result<Exit, Stop> {
    let Joined { pairs, .. } = joined(compared, true)?;
    let mut out = String::new();
    for (before, row) in &pairs {
        let Some(before) = before else { continue };
        let grew = grown(&before.lines, before.all, &row.seen.lines);
        if terminal.global.format == Format::Json {
            for Growth { place, was, now } in &grew {
                let line = serde_json::json!({
                    "v": 1, "event": "grown", "key": row.key, "place": place, "was": was, "now": now,
                });
                let _ = writeln!(out, "{line}");
            }
        } else if row.seen.counts.insns != before.insns || !grew.is_empty() {
            let (was, now) = (before.insns, row.seen.counts.insns);
            let _ = writeln!(out, "{}: {was} instructions processed, now {now}", row.key);
            out.push_str(&report::grown(&grew, compared.count));
        }
    }
    if out.is_empty() && terminal.global.format != Format::Json {
        out.push_str("nothing grew\n");
    }
    terminal.out(&out)?;
    Ok(if pairs.iter().any(|(before, _)| before.is_some()) { Exit::Pass } else { Exit::NothingRan })
}

fn top(terminal: &Terminal, given: &Top) -> Result<Exit, Stop> {
    let verified = ask(&subjects::subjects(&given.subjects)?, true)?;
    let mut out = String::new();
    for row in &verified.rows {
        if terminal.global.format == Format::Json {
            out.push_str(&report::json(row, &verified.kernel));
        } else if row.seen.verdict == Verdict::Unloadable {
            let _ = writeln!(out, "{}: not verified: {}\n", row.key, row.seen.reason);
        } else {
            out.push_str(&report::top(row, given.count, given.by == By::States));
            out.push('\n');
        }
    }
    terminal.out(&out)?;
    let any = verified.rows.iter().any(|row| row.seen.verdict != Verdict::Unloadable);
    Ok(if any { Exit::Pass } else { Exit::NothingRan })
}
