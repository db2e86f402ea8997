//! Our engines: the simulated kernel, as `bpftwin` runs it.

use bpftwin_conformance::case::Case;
use bpftwin_conformance::plane::sim::SimPlane;
use bpftwin_sim::bpf::Engine;
use bpftwin_sim::bpf::machine::ProgId;
use bpftwin_sim::net::{Kernel, Room, TestRun};

/// A case, ready to run again and again.
pub struct Runner<'a> {
    kernel: Kernel,
    programs: Vec<ProgId>,
    case: &'a Case,
}

impl<'a> Runner<'a> {
    /// Prepares `case` for an engine.
    ///
    /// # Panics
    /// If it does not load.
    pub fn new(engine: Engine, case: &'a Case) -> Self {
        let plane = SimPlane { engine, ..SimPlane::default() };
        let (kernel, programs) = plane.prepare(case).expect("it loads");
        Self { kernel, programs, case }
    }

    /// Each run of the case, `repeat` times over; gives what each returned last.
    ///
    /// # Panics
    /// On a fault.
    pub fn run(&mut self, repeat: u32, retvals: &mut Vec<u32>) {
        retvals.clear();
        for (run, &program) in self.case.runs.iter().zip(&self.programs) {
            let test = TestRun {
                data_in: &run.data,
                ctx_in: &run.ctx,
                repeat,
                flags: run.flags,
                data_out: Room::Nothing,
                ctx_out: Room::Nothing,
                ..TestRun::default()
            };
            let out = self.kernel.prog_test_run(program, &test).expect("no fault").expect("no error");
            retvals.push(out.retval);
        }
    }

    /// Instructions executed so far.
    pub fn executed(&self) -> u64 {
        self.kernel.machine.executed
    }
}
