//! The command line: exit codes, and what each verb says.

mod rig;

use std::process::Command;

use rig::{GOLDEN, Rig, SCENARIO, events, golden, resolved, seen};

#[test]
fn exit_0_everything_holds() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO);
    let ran = rig.bpftwin(&["run", "case.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("sim only"), "{ran:?}");
    assert!(ran.stdout.contains("3 packets run"), "{ran:?}");
}

#[test]
fn verbose_says_what_every_packet_did() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO);
    let quiet = rig.bpftwin(&["run", "case.toml"]);
    let ran = rig.bpftwin(&["run", "-v", "case.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let more: Vec<_> =
        ran.stdout.lines().filter(|line| line.starts_with("  ") && line.contains("  sim re")).collect();
    assert_eq!(more.len(), 3, "{ran:?}");
    assert!(ran.stdout.contains("    map:"), "{ran:?}");
    assert!(!quiet.stdout.contains(" sim returned "), "{quiet:?}");
}

#[test]
fn exit_0_planes_agree() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO);
    rig.kernel(&events(&seen(&resolved(SCENARIO))));
    let ran = rig.bpftwin(&["compare", "case.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("confirmed by 6.18.44"), "{ran:?}");
}

#[test]
fn exit_0_a_golden_agrees() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO);
    let resolved = resolved(SCENARIO);
    rig.write(GOLDEN, golden(&resolved, &seen(&resolved)));
    let ran = rig.bpftwin(&["run", "case.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("confirmed by 6.18.44"), "{ran:?}");
}

#[test]
fn exit_1_a_check_failed() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO.replace("TC_ACT_OK", "TC_ACT_STOLEN"));
    let ran = rig.bpftwin(&["run", "case.toml"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("reproduce: bpftwin run --plane sim -v case.toml"), "{ran:?}");
}

#[test]
fn exit_1_an_object_lacks_something() {
    let rig = Rig::new();
    let ran = rig.bpftwin(&["objects", "datapath:veth"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for expected in ["from_container", "BPF_MAP_TYPE_LRU_HASH", "bpf_ktime_get_ns", "has everything"] {
        assert!(ran.stdout.contains(expected), "{ran:?}");
    }
}

#[test]
fn exit_2_bad_usage_or_scenario() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO.replace("[[packet]]", "[[pakcet]]"));
    rig.write("ledger.toml", "[[difference]]\n");
    rig.write("good.toml", SCENARIO);
    for arguments in [
        &["run", "case.toml"][..],
        &["check", "case.toml"],
        &["run", "nowhere.toml"],
        &["run", "--plane", "smi"],
        &["run", "--as-kernel", "5.4"],
        &["run", "--format", "yaml"],
        &["run", "-j", "0"],
        &["run", "--ledger", "ledger.toml", "good.toml"],
        &["run", "--date", "yesterday", "good.toml"],
        &["compare", "--plane", "sim", "good.toml"],
        &["walk"],
        &[],
        &["objects", "good.toml"],
        &["new", "good"],
        &["new", "x", "--object", "datapath:veth", "--program", "nothing"],
        &["new", "x", "--pcap", "nowhere.pcap"],
    ] {
        let ran = rig.bpftwin(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(!ran.stderr.is_empty() || !ran.stdout.is_empty(), "{arguments:?} says nothing");
    }
    assert!(!rig.path("x.toml").exists(), "a scaffold that does not pass `check` was written");
}

#[test]
fn exit_3_planes_diverged() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO);
    let mut seen = seen(&resolved(SCENARIO));
    seen.runs[0].records.clear();
    seen.runs[1].records.clear();
    rig.kernel(&events(&seen));
    let ran = rig.bpftwin(&["compare", "case.toml"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stdout.contains("record:events_ring"), "{ran:?}");
}

#[test]
fn exit_69_a_plane_cannot_be_asked() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO);
    let ran = rig.bpftwin(&["compare", "case.toml"]);
    assert_eq!(ran.code, Some(69), "no binary: {ran:?}");
    let ran = rig.bpftwin(&["record", "case.toml"]);
    assert_eq!(ran.code, Some(69), "no binary: {ran:?}");
    for script in ["echo no CAP_BPF >&2; exit 69", "kill -9 $$", "echo nonsense", "exit 0"] {
        rig.kernel_script(script);
        let ran = rig.bpftwin(&["compare", "case.toml"]);
        assert_eq!(ran.code, Some(69), "{script}: {ran:?}");
        assert!(ran.stdout.contains("doctor"), "{script}: no advice: {ran:?}");
    }
}

#[test]
fn exit_69_no_address_space_for_a_simulated_kernel() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO);
    let case = rig.path("case.toml");
    let script = "ulimit -v 2000000; exec \"$0\" run \"$1\"";
    let arguments = ["-c", script, env!("CARGO_BIN_EXE_bpftwin"), case.to_str().unwrap()];
    let ran = Command::new("sh").args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(69), "{stderr}");
    assert!(stderr.contains("address space") && stderr.contains("ulimit -v"), "{stderr}");
}

#[test]
fn exit_77_nothing_ran() {
    let rig = Rig::new();
    rig.write("topology.toml", "[scenario]\ntitle = \"t\"\nobjects = {}\n[[node]]\nname = \"n1\"\n[[rule]]\nnode = \"n1\"\ntable = 5\n");
    for arguments in [&["run", "no-such-name"][..], &["run", "topology.toml"]] {
        let ran = rig.bpftwin(arguments);
        assert_eq!(ran.code, Some(77), "{arguments:?}: {ran:?}");
    }
    let ran = rig.bpftwin(&["check", "topology.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("not yet: no plane runs a topology with [[rule]]"), "{ran:?}");
    rig.write("case.toml", SCENARIO);
    let mut declined = events(&seen(&resolved(SCENARIO)));
    declined.truncate(1);
    let reason =
        bpftwin_conformance::observation::Decline { reason: "no such map type".into(), log: String::new() };
    declined.push(bpftwin_conformance::observation::Event::Decline(reason));
    rig.kernel(&declined);
    let ran = rig.bpftwin(&["compare", "case.toml"]);
    assert_eq!(ran.code, Some(77), "{ran:?}");
    assert!(ran.stdout.contains("no such map type"), "{ran:?}");
}

#[test]
fn record_writes_a_golden_that_run_confirms() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO);
    rig.kernel(&events(&seen(&resolved(SCENARIO))));
    let ran = rig.bpftwin(&["record", "case.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("golden/6.18/case.jsonl new"), "{ran:?}");
    let first = std::fs::read(rig.path(GOLDEN)).unwrap();
    let ran = rig.bpftwin(&["record", "case.toml"]);
    assert!(ran.stdout.contains("unchanged"), "{ran:?}");
    assert_eq!(std::fs::read(rig.path(GOLDEN)).unwrap(), first);
    let ran = rig.bpftwin(&["run", "case.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("confirmed by 6.18.44"), "{ran:?}");
}

#[test]
fn a_new_scenario_passes_check_and_runs() {
    let rig = Rig::new();
    let pcap = bpftwin_pcaps::get("ping.pcap").expect("the bundled ping");
    rig.write("ping.pcap", pcap);
    rig.write("my.o", bpftwin_datapath::object("xdp_prefilter").unwrap().bytes);
    for arguments in [
        &["new", "first"][..],
        &["new", "second", "--object", "my.o", "--program", "xdp_prefilter", "--pcap", "ping.pcap"],
        &["new", "third.toml", "--pcap", "pcaps:ping.pcap"],
    ] {
        let ran = rig.bpftwin(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
    }
    for name in ["first.toml", "second.toml", "third.toml"] {
        let ran = rig.bpftwin(&["check", name]);
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
        let ran = rig.bpftwin(&["run", name]);
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO);
    let run = || {
        let ran = rig.bpftwin(&["run", "--format", "json", "-j", "2", "--pcapng", "out.pcapng", "case.toml"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        (ran.stdout, std::fs::read(rig.path("out.pcapng")).unwrap())
    };
    let (first, second) = (run(), run());
    assert_eq!(first.0, second.0);
    assert!(first.1 == second.1, "the captures differ");
    for line in first.0.lines() {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(json["v"], 1, "{line}");
    }
    let packets = bpftwin_sim::wire::pcap::read(&first.1).unwrap();
    assert_eq!(packets.len(), 6, "an input and an output for each of three packets");
    assert_eq!(packets[1].comments, ["udp veth:from_container returned 0 (TC_ACT_OK)"]);
}

#[test]
fn every_format_says_what_failed() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO.replace("TC_ACT_OK", "TC_ACT_STOLEN"));
    for (format, expected) in [
        ("human", "      expected  4 (TC_ACT_STOLEN)\n           sim  0 (TC_ACT_OK)\n"),
        (
            "json",
            r#""event":"failure","v":1,"scenario":"case","plane":"sim","packet":"udp","field":"retval""#,
        ),
        ("junit", "<failure message=\"1 expectations do not hold\" type=\"fail\">"),
        (
            "github",
            "::error file=case.toml,line=14,col=21,title=case::udp: retval on sim: expected 4 (TC_ACT_STOLEN), saw 0",
        ),
    ] {
        let ran = rig.bpftwin(&["run", "--format", format, "case.toml"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stdout.contains(expected), "{format}: {}", ran.stdout);
    }
}

#[test]
fn colour_is_asked_for_or_absent() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO);
    for (color, expected) in [("auto", false), ("never", false), ("always", true)] {
        let ran = rig.bpftwin(&["run", "--color", color, "case.toml"]);
        assert_eq!(ran.stdout.contains('\u{1b}'), expected, "{color}");
    }
}

#[test]
fn quiet_says_less() {
    let rig = Rig::new();
    rig.write("case.toml", SCENARIO);
    let lines = |arguments: &[&str]| rig.bpftwin(arguments).stdout.lines().count();
    let (normal, quiet) = (lines(&["run", "case.toml"]), lines(&["run", "-q", "case.toml"]));
    assert!(quiet < normal, "{quiet} < {normal}");
    assert_eq!(lines(&["run", "-qq", "case.toml"]), 0);
}

#[test]
fn schema_doctor_and_completions_say_something_usable() {
    let rig = Rig::new();
    let schema: serde_json::Value = serde_json::from_str(&rig.bpftwin(&["schema"]).stdout).unwrap();
    assert!(schema["properties"]["packet"].is_object(), "{schema}");
    assert_eq!(schema["additionalProperties"], false);
    let doctor = rig.bpftwin(&["doctor"]);
    assert_eq!(doctor.code, Some(0));
    assert!(doctor.stdout.contains("plane sim") && doctor.stdout.contains("plane prog-run"), "{doctor:?}");
    for shell in ["bash", "zsh", "fish"] {
        let ran = rig.bpftwin(&["completions", shell]);
        assert!(ran.code == Some(0) && ran.stdout.contains("compare"), "{shell}");
    }
}

/// A report with the times taken out.
fn timeless(text: &str) -> String {
    let line = |line: &str| match (line.find('['), line.find("s] ")) {
        (Some(from), Some(to)) if from < to => format!("{}[TIME] {}", &line[..from], &line[to + 3..]),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_a_person_reads() {
    let rig = Rig::new();
    rig.write("good.toml", SCENARIO);
    rig.write("bad.toml", SCENARIO.replace("TC_ACT_OK\", unchanged", "TC_ACT_STOLEN\", unchanged"));
    rig.write("typo.toml", SCENARIO.replace("title =", "titel ="));
    rig.write("topology.toml", "[scenario]\ntitle = \"t\"\nobjects = {}\n[[node]]\nname = \"n1\"\n[[rule]]\nnode = \"n1\"\ntable = 5\n");
    let ran = rig.bpftwin(&["run", "-j", "1", "good.toml", "bad.toml", "typo.toml", "topology.toml"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    insta::assert_snapshot!("run", timeless(&ran.stdout));
    let mut seen = seen(&resolved(SCENARIO));
    seen.runs[1].records.clear();
    rig.kernel(&events(&seen));
    let ran = rig.bpftwin(&["compare", "-v", "good.toml"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    insta::assert_snapshot!("compare", timeless(&ran.stdout));
    let ran = rig.bpftwin(&["check", "good.toml", "typo.toml", "topology.toml"]);
    insta::assert_snapshot!("check", ran.stdout);
    let ran = rig.bpftwin(&["objects", "datapath:xdp_prefilter"]);
    insta::assert_snapshot!("objects", ran.stdout);
}
