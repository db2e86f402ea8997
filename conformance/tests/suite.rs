//! `bpftwin suite`: what each kind of test comes to, what reports say, and that nothing red looks green.

mod rig;

use std::collections::BTreeMap;
use std::sync::Arc;

use bpftwin_conformance::observation::{Observation, Outcome, Report};
use bpftwin_conformance::plane::sim::{SimPlane, set_types};
use bpftwin_conformance::unit::plan::{Plan, plan};
use bpftwin_sim::bpf::object::Object;
use rig::{Ran, Rig, events};

const NAT: &[u8] = include_bytes!("suite/nat.o");
const XDP: &[u8] = include_bytes!("suite/xdp.o");
const RED: &[u8] = include_bytes!("suite/red.o");
const SKIPPED: &[u8] = include_bytes!("suite/skipped.o");
const UNLOADABLE: &[u8] = include_bytes!("suite/unloadable.o");
const FAULT: &[u8] = include_bytes!("suite/fault.o");

fn rig() -> Rig {
    let rig = Rig::new();
    for (name, elf) in
        [("nat.o", NAT), ("xdp.o", XDP), ("red.o", RED), ("skipped.o", SKIPPED), ("fault.o", FAULT)]
    {
        rig.write(name, elf);
    }
    rig
}

fn suite(arguments: &[&str]) -> Ran {
    rig().bpftwin(&[&["suite"], arguments].concat())
}

/// Without how long things took.
fn timeless(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("s]").filter(|(before, _)| before.contains('[')) {
        let open = before.rfind('[').expect("filtered");
        out += &before[..open];
        out += "[time]";
        rest = after;
    }
    out + rest
}

#[test]
fn exit_codes() {
    let folder = rig();
    let all = folder.path("").to_string_lossy().into_owned();
    for (arguments, code) in [
        (&["nat.o", "xdp.o"][..], 0),
        (&["red.o"], 1),
        (&["fault.o", "nat.o"], 1),
        (&["--filter", "fault/good", "fault.o"], 0),
        (&[&all], 1),
        (&["nowhere.o"], 2),
        (&["--plane", "smi", "nat.o"], 2),
        (&[], 2),
        (&["skipped.o"], 77),
        (&["--filter", "nothing is called this", "nat.o"], 77),
        (&["--plane", "prog-run", "nat.o"], 69),
        (&["-j", "1", "-qq", "nat.o"], 0),
    ] {
        let ran = folder.bpftwin(&[&["suite"], arguments].concat());
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
    }
    folder.write("broken.o", &NAT[..NAT.len() / 2]);
    let ran = folder.bpftwin(&["suite", "broken.o", "xdp.o"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("BROKEN broken.o"), "{ran:?}");
    folder.kernel_script("echo nothing works here >&2; exit 69");
    let ran = folder.bpftwin(&["compare", "nat.o"]);
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(ran.stdout.contains("nothing works here"), "{ran:?}");
}

/// Every way to fail, each with what is said of it. The two others pass and are skipped.
#[test]
fn every_failure_is_red_and_named() {
    let ran = suite(&["--format", "json", "red.o"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let lines: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tests: Vec<_> = lines.iter().filter(|line| line["event"] == "unit-test").collect();
    let expected = [
        ("check_error", "error", "check check_error returned 100 (error)"),
        ("check_fail", "fail", "check check_fail returned 102 (fail)"),
        ("check_missing", "error", "it has no check, only setup"),
        ("check_twice", "error", "2 programs are its check: check_first, check_second"),
        ("check_unknown_code", "error", "check check_unknown_code returned 7 (neither"),
        ("packet_differs", "fail", "check packet_differs returned 102 (fail)"),
        ("part_error", "error", "part \"broken\": error"),
        ("part_fails", "fail", "part \"bad\": fail"),
        ("pktgen_error", "error", "pktgen pktgen_error returned 100 (error)"),
        ("result_cut", "error", "suite_result_map: byte 1: a result of 16383 bytes is cut off after 8189"),
        ("result_garbage", "error", "suite_result_map: byte 13: field tag 0x55"),
        ("result_open", "error", "suite_result_map: byte 0: a part without a status"),
        ("setup_fails", "fail", "setup setup_fails returned 102 (fail)"),
        ("setup_refused", "error", "check setup_refused_check: refused: EINVAL (22)"),
        ("skipped", "skip", "check skipped returned 103 (skip)"),
        ("zz_behind_all_is_run", "pass", ""),
    ];
    assert_eq!(tests.len(), expected.len());
    for (test, (name, status, why)) in tests.iter().zip(expected) {
        assert_eq!((&test["test"], &test["status"]), (&name.into(), &status.into()), "{test}");
        let said = test["why"][0].as_str().unwrap_or_default();
        assert!(said.starts_with(why), "{name}: {said}");
        let alone = suite(&["-qq", "--filter", &format!("red/{name}"), "red.o"]);
        let code = match status {
            "pass" => 0,
            "skip" => 77,
            _ => 1,
        };
        // The last one counts what the others did.
        if name != "zz_behind_all_is_run" {
            assert_eq!(alone.code, Some(code), "{name}: {alone:?}");
        }
    }
}

#[test]
fn a_fault_names_the_line_and_the_registers() {
    let ran = suite(&["fault.o"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for said in ["check fault: fault: read of 4 bytes", "fault.bpf.c:9: return at[1000]", "r0=0x", "r10=0x"] {
        assert!(ran.stdout.contains(said), "{said}: {ran:?}");
    }
    assert!(ran.stdout.contains("PASS fault/good"), "the test behind it runs: {ran:?}");
}

#[test]
fn reports() {
    let ran = suite(&["-j", "1", "nat.o", "xdp.o", "red.o", "skipped.o"]);
    insta::assert_snapshot!("suite_human", timeless(&ran.stdout));
    let filter =
        ["--filter", "red/packet", "--filter", "red/part_f", "--filter", "later", "--filter", "nat/1"];
    for format in ["json", "junit", "github"] {
        let objects = ["nat.o", "xdp.o", "red.o"];
        let ran = suite(&[&["--format", format], &filter[..], &objects[..]].concat());
        insta::assert_snapshot!(format!("suite_{format}"), ran.stdout);
    }
    let verbose = suite(&["-v", "--filter", "packet_differs", "red.o"]);
    insta::assert_snapshot!("suite_verbose", timeless(&verbose.stdout));
}

/// What the simulator sees of an object's tests.
fn observed(name: &str, elf: &[u8]) -> (Plan, Observation) {
    let mut object = Object::parse(name, elf).unwrap();
    let plan = plan(&object, elf.to_vec().into(), true, |_| true, &BTreeMap::new()).unwrap();
    set_types(&mut object, &plan.case.objects[0]).unwrap();
    match SimPlane::default().run_opened(&plan.case, &[Arc::new(object)]).unwrap() {
        Report::Seen(seen) => (plan, *seen),
        Report::Declined(decline) => panic!("{}", decline.reason),
    }
}

fn against(change: impl FnOnce(&Plan, &mut Observation)) -> Ran {
    let folder = rig();
    let (plan, mut seen) = observed("nat", NAT);
    change(&plan, &mut seen);
    folder.kernel(&events(&seen));
    folder.bpftwin(&["compare", "nat.o"])
}

#[test]
fn planes_that_differ_in_any_step_are_red() {
    let ran = against(|_, _| ());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let step = |plan: &Plan, name: &str| {
        plan.case.runs.iter().position(|run| run.name == name).expect("the step is there")
    };
    let ran = against(|plan, seen| {
        let Outcome::Done { data, .. } = &mut seen.runs[step(plan, "1_rewrite/setup")].outcome else {
            panic!("a setup that ran")
        };
        data.0[33] ^= 1;
    });
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stdout.contains("1_rewrite/setup: IP.dst: sim says"), "{ran:?}");
    let ran = against(|plan, seen| {
        let Outcome::Done { ctx, .. } = &mut seen.runs[step(plan, "2_empty_slot/setup")].outcome else {
            panic!("a setup that ran")
        };
        ctx.0[8] ^= 1;
    });
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stdout.contains("ctx.mark"), "{ran:?}");
    let ran = against(|plan, seen| seen.runs[step(plan, "1_rewrite/setup")].maps.clear());
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let ran = against(|plan, seen| seen.runs[step(plan, "3_room/check")].outcome = Outcome::NotDone);
    assert_eq!(ran.code, Some(3), "{ran:?}");
}

/// Names sort by bytes, only what tests reach is loaded, slots come from tags and from values.
#[test]
fn a_plan() {
    let (plan, seen) = observed("nat", NAT);
    let names: Vec<_> = plan.tests.iter().map(|test| test.name.as_str()).collect();
    assert_eq!(names, ["10_check_only", "1_rewrite", "2_empty_slot", "3_room"]);
    let programs = &plan.case.objects[0].programs;
    for (program, loaded) in [
        ("rewrite_setup", true),
        ("from_container", true),
        ("tail_rewrite", true),
        ("tail_nobody_calls", true),
        ("legacy", false),
        ("connect", false),
        ("of_no_type", false),
    ] {
        assert_eq!(programs.iter().any(|name| name == program), loaded, "{program}");
    }
    let slots: Vec<_> = plan.case.maps.iter().map(|write| (write.map.as_str(), write.key.0[0])).collect();
    assert_eq!(slots, [("calls", 3), ("calls", 4)]);
    assert_eq!(plan.notes.len(), 2, "{:?}", plan.notes);
    let first = &plan.case.runs[1];
    assert_eq!((first.name.as_str(), first.data.len(), first.ctx.len()), ("1_rewrite/pktgen", 3520, 256));
    assert!(matches!(&seen.runs[3].outcome, Outcome::Done { ctx, .. } if ctx.len() == 192));
    // A test that calls nothing needs nothing but what `values` hold.
    let object = Object::parse("nat", NAT).unwrap();
    let only = |name: &str| name == "10_check_only";
    let alone =
        bpftwin_conformance::unit::plan::plan(&object, NAT.to_vec().into(), false, only, &BTreeMap::new());
    let alone = alone.unwrap();
    assert!(!alone.case.objects[0].programs.iter().any(|name| name == "rewrite_setup"));
    let (plan, _) = observed("xdp", XDP);
    assert!(plan.case.runs.iter().all(|run| run.ctx.is_empty()), "XDP tests have no context");
}

/// One program no plane can load leaves only the tests in error that need it.
#[test]
fn a_program_that_cannot_be_loaded() {
    let folder = Rig::new();
    folder.write("unloadable.o", UNLOADABLE);
    let ran = folder.bpftwin(&["suite", "unloadable.o"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("ERROR unloadable/needs_it"), "{ran:?}");
    assert!(ran.stdout.contains("program \"tail_unknown\""), "{ran:?}");
    assert!(ran.stdout.contains("helper"), "{ran:?}");
    assert!(ran.stdout.contains("PASS unloadable/does_without"), "{ran:?}");
    assert!(ran.stdout.contains("1 passed, 1 in error"), "{ran:?}");
}

/// Objects that are broken anywhere are declined or run, and never a panic.
#[test]
fn broken_objects() {
    let mut seed = 7_u64;
    for nth in 0..300 {
        let mut elf = [NAT, XDP, RED][nth % 3].to_vec();
        for _ in 0..4 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (seed >> 33) as usize % elf.len();
            elf[at] = (seed >> 56) as u8;
        }
        let Ok(object) = Object::parse("o", &elf) else { continue };
        let _ = plan(&object, elf.clone().into(), false, |_| true, &BTreeMap::new());
    }
}
