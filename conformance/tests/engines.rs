//! Every bundled scenario on every engine: the same observation to the last byte, or a decline by name. And what the
//! command line makes of a decline.

mod rig;

use std::collections::BTreeMap;

use bpftwin_conformance::bundled::SCENARIOS;
use bpftwin_conformance::observation::{Observation, Report};
use bpftwin_conformance::plane::Plane;
use bpftwin_conformance::plane::sim::SimPlane;
use bpftwin_conformance::resolve::{Library, resolve};
use bpftwin_conformance::scenario::Scenario;
use bpftwin_sim::bpf::Engine;
use rig::{Rig, SCENARIO};

/// Scenarios every engine has to run at least.
const AT_LEAST: usize = 50;

fn report(engine: Engine, case: &bpftwin_conformance::case::Case) -> Report {
    SimPlane { engine, ..SimPlane::default() }.run(case).unwrap()
}

fn first_difference(left: &Observation, right: &Observation) -> String {
    let run = left.runs.iter().zip(&right.runs).find(|(left, right)| left != right);
    run.map_or_else(|| "the state at the end".to_owned(), |(left, right)| format!("{left:?}\n{right:?}"))
}

#[test]
fn every_scenario_is_seen_the_same_by_every_engine() {
    let mut ran: BTreeMap<Engine, usize> = BTreeMap::new();
    let mut declined: BTreeMap<String, usize> = BTreeMap::new();
    let (mut runs, mut instructions) = (0, 0);
    for scenario in SCENARIOS {
        let name = scenario.name;
        let scenario = Scenario::parse(name, scenario.text).unwrap();
        let Ok(resolved) = resolve(&scenario, &Library::bundled()) else { continue };
        let Report::Seen(expected) = report(Engine::Interp, &resolved.case) else {
            panic!("{name}: the interpreter declines nothing");
        };
        let count = |engine| SimPlane { engine, ..SimPlane::default() }.instructions(&resolved.case);
        let counted = count(Engine::Interp).unwrap();
        runs += counted.len();
        instructions += counted.iter().sum::<u64>();
        for &engine in Engine::ALL {
            match report(engine, &resolved.case) {
                Report::Declined(decline) => {
                    *declined.entry(format!("{engine}: {}", decline.reason)).or_default() += 1;
                }
                Report::Seen(seen) => {
                    assert!(seen == expected, "{engine}: {name}: {}", first_difference(&seen, &expected));
                    assert_eq!(count(engine).as_ref(), Ok(&counted), "{engine}: {name}: instructions");
                    *ran.entry(engine).or_default() += 1;
                }
            }
        }
    }
    println!("{runs} runs, {instructions} instructions: {ran:?} scenarios the same, declined: {declined:#?}");
    assert!(runs > 1000 && instructions > 100_000, "{runs} runs, {instructions} instructions");
    for &engine in Engine::ALL {
        let count = ran.get(&engine).copied().unwrap_or_default();
        assert!(count >= AT_LEAST, "{engine} runs {count} scenarios");
    }
}

/// The prefilter with a division by a sign, which a program compiled for the fourth instruction set may have.
fn with_signed_division() -> Vec<u8> {
    let division = [0x3f, 0x38, 0, 0, 0, 0, 0, 0];
    let mut elf = bpftwin_datapath::object("xdp_prefilter").unwrap().bytes.to_vec();
    let places: Vec<usize> =
        (0..elf.len() / 8).map(|at| at * 8).filter(|&at| elf[at..at + 8] == division).collect();
    let [place] = places[..] else { panic!("r8 /= r3 stands at {places:?}") };
    elf[place + 2] = 1;
    elf
}

const PREFILTER: &str = r#"[scenario]
title = "passes"
objects = { filter = "signed.o" }
program = "xdp_prefilter"

[[packet]]
name = "arp"
hex = "ffffffffffff 020000000002 0806 0001080006040001 020000000002 0a000001 000000000000 0a000002"
expect = { retval = "XDP_PASS" }
"#;

#[test]
fn a_decline_is_neither_a_pass_nor_a_failure() {
    let rig = Rig::new();
    rig.write("signed.o", with_signed_division());
    rig.write("signed.toml", PREFILTER);
    rig.write("plain.toml", SCENARIO);
    let ran = rig.bpftwin(&["run", "signed.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");

    let ran = rig.bpftwin(&["run", "--engine", "rbpf", "signed.toml"]);
    assert_eq!(ran.code, Some(77), "{ran:?}");
    for expected in [
        "on plane sim, engine rbpf",
        "DECLINE",
        "program xdp_prefilter: engine rbpf declines `sdiv64 r8, r3`: rbpf 0.4.1 divides without a sign",
        "1 scenarios: 0 passed, 1 declined",
        "nothing ran",
    ] {
        assert!(ran.stdout.contains(expected), "{expected}: {ran:?}");
    }

    let both = ["run", "--engine", "rbpf", "--format", "json", "signed.toml", "plain.toml"];
    let ran = rig.bpftwin(&both);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for expected in [
        r#""engine":"rbpf""#,
        r#""status":"inapplicable","reason":"sim: program xdp_prefilter: engine rbpf declines"#,
        r#""outcomes":{"inapplicable":1,"pass":1}"#,
    ] {
        assert!(ran.stdout.contains(expected), "{expected}: {ran:?}");
    }
}

#[test]
fn the_engine_is_named_and_offered() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO.replace("TC_ACT_OK", "TC_ACT_STOLEN"));
    for engine in Engine::ALL {
        let ran = rig.bpftwin(&["run", "--engine", engine.name(), "case.toml"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stdout.contains(&format!("engine {engine}\n")), "{ran:?}");
        let again = match engine {
            Engine::Auto => "reproduce: bpftwin run --plane sim -v case.toml".to_owned(),
            _ => format!("reproduce: bpftwin run --plane sim --engine {engine} -v case.toml"),
        };
        assert!(ran.stdout.contains(&again), "{ran:?}");
    }
    let ran = rig.bpftwin(&["run", "--engine", "fast", "case.toml"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(Engine::ALL.iter().all(|engine| ran.stderr.contains(engine.name())), "{ran:?}");
}
