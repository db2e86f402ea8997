//! What an object leaves to its loader, a scenario says: types of programs and sizes of maps.

use bpftwin_conformance::observation::{Outcome, Report};
use bpftwin_conformance::plane::Plane;
use bpftwin_conformance::plane::sim::SimPlane;
use bpftwin_conformance::resolve::{Library, Refusal, Resolved, resolve};
use bpftwin_conformance::scenario::Scenario;

/// `said` is the rest of `[scenario]`.
fn resolved(said: &str) -> Result<Resolved, String> {
    let text = format!(
        "[scenario]\ntitle = \"t\"\nobjects = {{ o = \"tests/data/loader.o\" }}\nprogram = \"spread\"\n{said}\n\
         [[packet]]\npkt = \"Ether()/IP()/UDP()\"\n"
    );
    let scenario = Scenario::parse("case.toml", &text).map_err(|mistakes| mistakes.to_string())?;
    let library = Library::beside(env!("CARGO_MANIFEST_DIR").as_ref());
    resolve(&scenario, &library).map_err(|refusal| {
        if let Refusal::Mistakes(mistakes) = &refusal { mistakes.to_string() } else { refusal.to_string() }
    })
}

fn report(said: &str) -> Report {
    let resolved = resolved(said).expect("the scenario is right");
    SimPlane::default().run(&resolved.case).expect("it runs here")
}

#[test]
fn types_and_sizes_are_what_the_scenario_says() {
    let said = "types = { spread = \"sched_cls\" }\nmax_entries = { counts = 60 }";
    let Report::Seen(seen) = report(said) else { panic!("declined") };
    assert!(matches!(seen.runs[0].outcome, Outcome::Done { retval: 42, .. }), "{:?}", seen.runs[0].outcome);
    assert_eq!(seen.runs[0].maps[0].key[..], 42u32.to_le_bytes());
    let said = "types = { spread = \"sched_cls\" }\nmax_entries = { counts = 42 }";
    let Report::Seen(seen) = report(said) else { panic!("declined") };
    assert!(matches!(seen.runs[0].outcome, Outcome::Done { retval: 1000, .. }), "the last is 41");
}

#[test]
fn without_them_the_object_cannot_be_used() {
    let why = resolved("").map(drop).expect_err("spread has no type");
    assert!(why.contains("spread"), "{why}");
    let Report::Declined(decline) = report("types = { spread = \"sched_cls\" }") else { panic!("it ran") };
    assert!(decline.reason.contains("leaves it to its loader"), "{}", decline.reason);
}

#[test]
fn what_is_not_there_is_told() {
    for (said, what) in [
        ("types = { spread = \"sched_class\" }", "program type"),
        ("types = { spred = \"sched_cls\" }", "program"),
        ("max_entries = { count = 60 }", "map"),
    ] {
        let said = format!("{said}\n");
        let why = resolved(&said).map(drop).expect_err("a name is wrong");
        assert!(why.contains(&format!("no {what}")) || why.contains(what), "{why}");
    }
}
