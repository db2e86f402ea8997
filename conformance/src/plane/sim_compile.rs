//! Machine code before the first run, on all processors.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bpftwin_sim::bpf::Machine;
use bpftwin_sim::bpf::machine::ProgId;
use bpftwin_sim::bpf::program::Program;

/// Compiles the programs that runs begin with. What tail calls lead to is compiled when they do: a case may come to few
/// of many.
pub fn compile(machine: &Machine, begun: BTreeSet<ProgId>) {
    let programs: Vec<&Program> = begun.into_iter().map(|id| &*machine.programs[id.0 as usize]).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(program) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
            program.compile();
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(programs.len());
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundled::SCENARIOS;
    use crate::plane::sim::SimPlane;
    use crate::resolve::{Library, resolve};
    use crate::scenario::Scenario;
    use bpftwin_sim::bpf::Engine;

    #[test]
    fn what_runs_begin_with_is_compiled_before_them_and_nothing_else() {
        let several = |case: &crate::case::Case| {
            let programs: BTreeSet<_> = case.runs.iter().map(|run| &run.program).collect();
            programs.len() > 1
        };
        let cases = SCENARIOS.iter().filter_map(|scenario| {
            let parsed = Scenario::parse(scenario.name, scenario.text).ok()?;
            resolve(&parsed, &Library::bundled()).ok().map(|resolved| resolved.case)
        });
        let case = cases.into_iter().find(several).expect("a scenario with several programs");
        for (engine, compiled) in [(Engine::Jit, true), (Engine::Auto, false), (Engine::Interp, false)] {
            let (kernel, begun) = SimPlane { engine, ..SimPlane::default() }.prepare(&case).unwrap();
            for (number, program) in kernel.machine.programs.iter().enumerate() {
                let begins = begun.contains(&ProgId(number as u32));
                assert_eq!(program.is_compiled(), begins && compiled, "{engine}: {}", program.name());
            }
        }
    }
}
