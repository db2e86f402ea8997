//! `bpftwin check`: read and look up everything, run nothing.

use bpftwin_conformance::exit::Exit;
use bpftwin_conformance::resolve::{Refusal, resolve};
use bpftwin_conformance::scenario::Scenario;
use bpftwin_conformance::suite::Item;

use super::args::Files;
use super::{Stop, Terminal, mistakes, select};

/// Checks scenario files.
pub fn check(terminal: &Terminal, files: &Files) -> Result<Exit, Stop> {
    let mut exit = Exit::Pass;
    for item in select::files(&files.what)? {
        let (text, ok) = one(&item, terminal.color);
        if !ok {
            exit = Exit::Usage;
        }
        if terminal.global.quiet == 0 || (!ok && terminal.global.quiet == 1) {
            terminal.out(&text)?;
        }
    }
    Ok(exit)
}

fn one(item: &Item, color: bool) -> (String, bool) {
    let scenario = match Scenario::parse(&item.file, &item.text) {
        Ok(scenario) => scenario,
        Err(wrong) => return (mistakes::render(&wrong, color), false),
    };
    match resolve(&scenario, &item.library) {
        Ok(resolved) => {
            let (runs, maps) = (resolved.case.count(), resolved.case.maps.len());
            let what = if resolved.case.topology.is_some() { "steps" } else { "packets" };
            (format!("{}: ok, {runs} {what}, {maps} map elements\n", item.file), true)
        }
        Err(Refusal::NotYet(what)) => (format!("{}: ok; not yet: {what}\n", item.file), true),
        Err(Refusal::Mistakes(wrong)) => (mistakes::render(&wrong, color), false),
    }
}
