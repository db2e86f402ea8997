//! C unit tests on both planes: each test comes out the same, and every step agrees field by field. Needs root.

use std::sync::Arc;

use bpftwin_conformance::ledger::{Date, Ledger};
use bpftwin_conformance::plane::kernel::{KernelPlane, Where};
use bpftwin_conformance::suite::{self, PlaneName};
use bpftwin_conformance::unit::{ObjectReport, Settings, Status, Verdict, run};
use bpftwin_sim::bpf::Engine;

fn settings(planes: &[PlaneName]) -> Settings {
    Settings {
        run: suite::Settings {
            planes: planes.to_vec(),
            guests: Arc::default(),
            as_kernel: None,
            engine: Engine::default(),
            described: bpftwin_conformance::described::Described::default(),
            ledger: Ledger::default(),
            today: Date::from_unix_days(0),
        },
        kernel: Some(KernelPlane::at(env!("CARGO_BIN_EXE_bpftwin-kernel"))),
        filter: Vec::new(),
        ignores: Vec::new(),
    }
}

fn compared(file: &str, elf: &[u8]) -> ObjectReport {
    let settings = settings(&[PlaneName::Sim, PlaneName::ProgRun(Where::Host)]);
    let report = run(file, elf, &settings);
    assert_eq!(report.status, Status::Ran, "{file}: {report:#?}");
    let [(_, sim), (_, kernel)] = &report.planes[..] else { panic!("two planes") };
    for (sim, kernel) in sim.iter().zip(kernel) {
        assert!(sim.says_the_same(kernel), "{sim:#?}\n{kernel:#?}");
    }
    report
}

#[test]
fn tests_that_pass() {
    let report = compared("nat.o", include_bytes!("../../conformance/tests/suite/nat.o"));
    assert!(report.tests().all(|(_, verdict)| verdict == Verdict::Pass), "{report:#?}");
    assert!(report.compared[0].tally.compared > 400);
    let report = compared("xdp.o", include_bytes!("../../conformance/tests/suite/xdp.o"));
    let tests: Vec<_> = report.tests().collect();
    assert_eq!(tests, [("drop", Verdict::Pass), ("later", Verdict::Skip)]);
}

#[test]
fn tests_that_fail() {
    let report = compared("red.o", include_bytes!("../../conformance/tests/suite/red.o"));
    let worst = report.tests().filter(|(_, verdict)| *verdict > Verdict::Skip).count();
    assert_eq!(worst, 14, "{report:#?}");
}

/// The verifier refuses one test's program; the other test runs.
#[test]
fn a_test_the_verifier_refuses() {
    let elf = include_bytes!("../../conformance/tests/suite/fault.o");
    let report = run("fault.o", elf, &settings(&[PlaneName::ProgRun(Where::Host)]));
    assert_eq!(report.status, Status::Ran, "{report:#?}");
    let tests: Vec<_> = report.tests().collect();
    assert_eq!(tests, [("fault", Verdict::Error), ("good", Verdict::Pass)]);
    assert!(report.planes[0].1[0].why[0].contains("invalid mem access 'pkt_end'"), "{report:#?}");
}
