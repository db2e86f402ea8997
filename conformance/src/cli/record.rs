//! `bpftwin record`: what the kernel does becomes the golden.

use std::path::Path;
use std::sync::Arc;

use bpftwin_conformance::exit::Exit;
use bpftwin_conformance::plane::kernel::{KernelPlane, Where};
use bpftwin_conformance::resolve::{Refusal, resolve};
use bpftwin_conformance::scenario::Scenario;
use bpftwin_conformance::suite::{Item, PlaneName, Status, ask};
use bpftwin_conformance::{compare, golden};
use bpftwin_sim::uapi::Release;

use super::args::Record;
use super::{Stop, Terminal, mistakes, select};

/// Records goldens beside scenario files.
pub fn record(terminal: &Terminal, record: &Record) -> Result<Exit, Stop> {
    let items = select::files(&record.what)?;
    let plane = KernelPlane::find().map_err(|t| Stop::unavailable(format!("{t}\n  {}", t.advice)))?;
    let mut written = 0;
    for item in &items {
        let line = match one(item, &plane, terminal.color)? {
            Recorded::Written(line) => {
                written += 1;
                line
            }
            Recorded::Declined(line) => line,
        };
        if terminal.global.quiet == 0 {
            terminal.out(&line)?;
        }
    }
    Ok(if written == 0 { Exit::NothingRan } else { Exit::Pass })
}

enum Recorded {
    Written(String),
    Declined(String),
}

fn one(item: &Item, plane: &KernelPlane, color: bool) -> Result<Recorded, Stop> {
    let wrong = |wrong| Stop::usage(mistakes::render(&wrong, color));
    let scenario = Scenario::parse(&item.file, &item.text).map_err(wrong)?;
    let resolved = match resolve(&scenario, &item.library) {
        Ok(resolved) => resolved,
        Err(Refusal::Mistakes(list)) => return Err(wrong(list)),
        Err(Refusal::NotYet(what)) => {
            return Ok(Recorded::Declined(format!("{}: not yet: {what}\n", item.name)));
        }
    };
    let plane = plane.clone().of(PlaneName::of_kernel(Where::Host, &resolved.case), Arc::default());
    let mut seen = match ask(&plane, &resolved) {
        Ok(seen) => seen,
        Err(Status::Inapplicable(why)) => return Ok(Recorded::Declined(format!("{}: {why}\n", item.name))),
        Err(Status::Unavailable(trouble)) => {
            return Err(Stop::unavailable(format!("{trouble}\n  {}", trouble.advice)));
        }
        Err(status) => unreachable!("asking a plane ends {}", status.word()),
    };
    let kernel = seen.begin.kernel.clone();
    let release = Release::of_uname(&kernel)
        .ok_or_else(|| Stop::unavailable(format!("no described kernel covers {kernel}")))?;
    compare::blank_ignored(&resolved.case, &resolved.shape, &resolved.ignores, &mut seen);
    let text = golden::write(&resolved.case, &seen)
        .ok_or_else(|| Stop::unavailable(format!("{}: the kernel reports a fault", item.name)))?;
    let path = select::golden(Path::new(&item.file), release);
    let old = std::fs::read_to_string(&path).ok();
    let says = match &old {
        None => "new",
        Some(old) if *old == text => "unchanged",
        Some(_) => "changed",
    };
    if old.as_ref() != Some(&text) {
        let folder = path.parent().expect("a golden is in a folder");
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, &text))
            .map_err(|error| Stop::unavailable(format!("cannot write {}: {error}", path.display())))?;
    }
    let packets = seen.runs.len();
    Ok(Recorded::Written(format!(
        "{}: {packets} packets by {kernel}, {} {says}\n",
        item.name,
        path.display()
    )))
}
