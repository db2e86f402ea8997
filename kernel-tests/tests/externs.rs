//! What an object leaves to others to define: the same values on the simulator and on the kernel, and the same refusals.
//! Needs root.

mod rig;

use bpftwin_conformance::case::Case;
use bpftwin_conformance::observation::{Outcome, Report};
use bpftwin_conformance::plane::Plane;
use bpftwin_conformance::plane::sim::SimPlane;
use rig::{agreed, case, plain, report};

const EXTERNS: &[u8] = include_bytes!("objects/externs.o");

/// What every test sets; a later value goes before an earlier one.
const SET: [(&str, &str); 7] = [
    ("CONFIG_A_BOOL", "y"),
    ("CONFIG_A_TRISTATE", "m"),
    ("CONFIG_A_CHAR", "n"),
    ("CONFIG_A_STRING", "\"too long\""),
    ("CONFIG_A_LONG", "-0x10"),
    ("CONFIG_A_SHORT", "65535"),
    ("CONFIG_BPF_SYSCALL", "n"),
];

fn with(more: &[(&str, &str)]) -> Case {
    let mut case = case(EXTERNS, &["externs"], vec![plain("externs", &[0; 60])]);
    let values = SET.iter().chain(more);
    case.objects[0].kconfig = values.map(|&(name, value)| (name.into(), value.into())).collect();
    case
}

#[test]
fn configuration_and_missing_symbols_read_alike() {
    let returned = |case: &Case| match agreed(case).runs[0].outcome {
        Outcome::Done { retval, .. } => retval,
        ref other => panic!("{other:?}"),
    };
    assert_eq!(returned(&with(&[])), 1);
    assert_eq!(returned(&with(&[("CONFIG_A_BOOL", "n"), ("CONFIG_A_SHORT", "0x7")])), 2);
    assert_eq!(
        returned(&with(&[("CONFIG_A_TRISTATE", "n"), ("CONFIG_NOWHERE", "017"), ("CONFIG_A_CHAR", "-3")])),
        1
    );
    assert_eq!(returned(&with(&[("CONFIG_A_BOOL", "n"), ("CONFIG_NOWHERE", "-0X7f")])), 2);
}

#[test]
fn values_that_do_not_fit_are_refused_alike() {
    for (name, value) in [
        ("CONFIG_A_BOOL", "m"),
        ("CONFIG_A_BOOL", "1"),
        ("CONFIG_A_TRISTATE", "2"),
        ("CONFIG_A_SHORT", "65536"),
        ("CONFIG_A_SHORT", "-1"),
        ("CONFIG_A_LONG", "many"),
        ("CONFIG_A_STRING", "\"no end"),
    ] {
        let case = with(&[(name, value)]);
        let Report::Declined(sim) = SimPlane::default().run(&case).unwrap() else {
            panic!("{name}={value}: not refused here; there: {:?}", report(&case))
        };
        let Report::Declined(kernel) = report(&case) else {
            panic!("{name}={value}: not refused there; {}", sim.reason)
        };
        assert!(sim.reason.contains(name), "{name}={value}: {} here, {} there", sim.reason, kernel.reason);
    }
}
