//! The gate must close: what a broken simulator, a broken plane, a broken golden and a careless edit look like, each
//! made on purpose, each red.

mod rig;

use bpftwin_conformance::bytes::Bytes;
use bpftwin_conformance::observation::{Event, Observation, Outcome};
use rig::{GOLDEN, Rig, SCENARIO, events, golden, resolved, seen};

/// Compares the simulator with a kernel that saw what `change` makes of it.
fn against_a_kernel(change: impl FnOnce(&mut Observation)) -> (Option<i32>, String) {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO);
    let mut seen = seen(&resolved(SCENARIO));
    change(&mut seen);
    rig.kernel(&events(&seen));
    let ran = rig.bpftwin(&["compare", "-v", "case.toml"]);
    (ran.code, ran.stdout)
}

fn done(seen: &mut Observation, run: usize) -> (&mut u32, &mut Bytes, &mut Bytes) {
    match &mut seen.runs[run].outcome {
        Outcome::Done { retval, data, ctx } => (retval, data, ctx),
        other => panic!("run {run} ended {other:?}"),
    }
}

#[test]
fn nothing_is_red_without_sabotage() {
    let (code, stdout) = against_a_kernel(|_| ());
    assert_eq!(code, Some(0), "{stdout}");
}

#[test]
fn a_flipped_byte_of_a_packet() {
    let (code, stdout) = against_a_kernel(|seen| done(seen, 0).1.0[33] ^= 1);
    assert_eq!(code, Some(3), "{stdout}");
    assert!(stdout.contains("IP.dst"), "{stdout}");
}

#[test]
fn a_byte_too_many() {
    let (code, stdout) = against_a_kernel(|seen| done(seen, 0).1.0.push(0));
    assert_eq!(code, Some(3), "{stdout}");
}

#[test]
fn another_return_code() {
    let (code, stdout) = against_a_kernel(|seen| *done(seen, 1).0 = 0);
    assert_eq!(code, Some(3), "{stdout}");
    assert!(stdout.contains("TC_ACT_SHOT"), "{stdout}");
}

#[test]
fn another_errno() {
    let (code, stdout) = against_a_kernel(|seen| seen.runs[2].outcome = Outcome::Errno(14));
    assert_eq!(code, Some(3), "{stdout}");
    assert!(stdout.contains("EFAULT"), "{stdout}");
}

#[test]
fn a_context_field() {
    let (code, stdout) = against_a_kernel(|seen| done(seen, 0).2.0[8] ^= 1);
    assert_eq!(code, Some(3), "{stdout}");
    assert!(stdout.contains("ctx.mark"), "{stdout}");
}

#[test]
fn a_map_element_unwritten() {
    let (code, stdout) =
        against_a_kernel(|seen| seen.runs[0].maps.retain(|change| change.map != "conntrack"));
    assert_eq!(code, Some(3), "{stdout}");
    assert!(stdout.contains("map:conntrack"), "{stdout}");
}

#[test]
fn a_map_value_off_by_one_at_the_end() {
    let (code, stdout) = against_a_kernel(|seen| {
        let element = seen.end.maps.iter_mut().find(|element| element.map == "metrics").unwrap();
        element.value.as_mut().unwrap().0[0] += 1;
    });
    assert_eq!(code, Some(3), "{stdout}");
    assert!(stdout.contains("packets"), "{stdout}");
}

#[test]
fn a_lost_record() {
    let (code, stdout) = against_a_kernel(|seen| seen.runs[1].records.clear());
    assert_eq!(code, Some(3), "{stdout}");
    assert!(stdout.contains("record:events_ring"), "{stdout}");
}

#[test]
fn a_dropped_packet() {
    let (code, stdout) = against_a_kernel(|seen| {
        seen.runs.pop();
        seen.end.runs -= 1;
    });
    assert_eq!(code, Some(69), "a plane that leaves a packet out is broken: {stdout}");
    assert!(stdout.contains("2 of 3 runs"), "{stdout}");
}

#[test]
fn packets_in_another_order() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO);
    let mut events = events(&seen(&resolved(SCENARIO)));
    events.swap(1, 2);
    rig.kernel(&events);
    assert_eq!(rig.bpftwin(&["compare", "case.toml"]).code, Some(69));
    events.swap(1, 2);
    let Some(Event::End(end)) = events.pop() else { panic!("no end") };
    assert_eq!(end.runs, 3);
    rig.kernel(&events);
    assert_eq!(rig.bpftwin(&["compare", "case.toml"]).code, Some(69), "a report without its end");
}

#[test]
fn a_stale_object_and_a_changed_scenario() {
    for (change, expected) in [
        // As if the object had been rebuilt since.
        (true, "object veth has changed"),
        (false, "the scenario (packets, maps or configuration) has changed"),
    ] {
        let rig = Rig::new();
        rig.write("case.toml", SCENARIO);
        let mut resolved = resolved(SCENARIO);
        let seen = seen(&resolved);
        if change {
            resolved.case.objects[0].elf.0.push(0);
        } else {
            resolved.case.runs[0].data.0.push(0);
        }
        rig.write(GOLDEN, golden(&resolved, &seen));
        let ran = rig.bpftwin(&["run", "case.toml"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stdout.contains(expected), "{ran:?}");
    }
}

#[test]
fn a_golden_that_says_otherwise_or_is_damaged() {
    let resolved = resolved(SCENARIO);
    let good = golden(&resolved, &seen(&resolved));
    for (name, text) in [
        ("another return code", good.replacen("\"retval\":2", "\"retval\":0", 1)),
        ("another errno", good.replacen("\"errno\":22", "\"errno\":1", 1)),
        ("a line less", good.lines().take(3).collect::<Vec<_>>().join("\n")),
        ("a line more", good.clone() + "{}\n"),
        ("not JSON", good.replacen('{', "[", 1)),
        ("of the future", good.replacen("\"golden\":1", "\"golden\":2", 1)),
        ("empty", String::new()),
    ] {
        assert_ne!(text, good, "{name} changes nothing");
        let rig = Rig::new();
        rig.write("case.toml", SCENARIO);
        rig.write(GOLDEN, text);
        let ran = rig.bpftwin(&["run", "case.toml"]);
        assert_eq!(ran.code, Some(1), "{name}: {ran:?}");
    }
}

#[test]
fn fields_left_out_without_being_missed() {
    let rig = Rig::new();
    let demanding = SCENARIO.replace("title =", "require = 1000\ntitle =");
    rig.write("case.toml", &demanding);
    let resolved = resolved(&demanding);
    rig.write(GOLDEN, golden(&resolved, &seen(&resolved)));
    let ran = rig.bpftwin(&["run", "case.toml"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("the scenario requires 1000"), "{ran:?}");
}

#[test]
fn a_typo_in_a_key() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO.replace("retval =", "retvla ="));
    let ran = rig.bpftwin(&["run", "case.toml"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stdout.contains("did you mean `retval`?"), "{ran:?}");
}

#[test]
fn a_ledger_that_explains_nothing_any_more_or_is_overdue() {
    let entry = |field: &str, date: &str| {
        format!(
            "[[difference]]\nscenario = \"case\"\nfield = \"{field}\"\nreason = \"r\"\ncite = \"c\"\n\
             review-by = \"{date}\"\n"
        )
    };
    let compare = |ledger: String, differ: bool| {
        let rig = Rig::new();
        rig.write("case.toml", SCENARIO);
        rig.write("ledger.toml", ledger);
        let mut seen = seen(&resolved(SCENARIO));
        if differ {
            done(&mut seen, 0).2.0[8] ^= 1;
        }
        rig.kernel(&events(&seen));
        let ran = rig.bpftwin(&["compare", "--ledger", "ledger.toml", "--date", "2027-01-01", "case.toml"]);
        (ran.code, ran.stdout)
    };
    let (code, stdout) = compare(entry("ctx.mark", "2027-01-01"), true);
    assert_eq!(code, Some(0), "a known difference: {stdout}");
    let (code, stdout) = compare(entry("ctx.mark", "2027-01-01"), false);
    assert_eq!(code, Some(1), "nothing differs: {stdout}");
    let (code, stdout) = compare(entry("ctx.mark", "2026-12-31"), true);
    assert_eq!(code, Some(1), "overdue: {stdout}");
    let (code, stdout) = compare(entry("IP.dst", "2027-01-01"), true);
    assert_eq!(code, Some(3), "of another field: {stdout}");
}

#[test]
fn a_program_that_reads_where_it_may_not() {
    // What the simulator calls a fault never passes, even if nothing is expected of the packet.
    let mut seen = seen(&resolved(SCENARIO));
    seen.runs[0].outcome = Outcome::Fault("read of 4 bytes".into());
    let checked = bpftwin_conformance::check::check(&resolved(SCENARIO), &seen);
    assert!(checked.failures.iter().any(|failure| failure.seen.contains("read of 4 bytes")));
    assert!(bpftwin_conformance::golden::write(&resolved(SCENARIO).case, &seen).is_none());
}
