//! Every kind of mistake a scenario can hold: the message, the place, the advice.

use std::fmt::Write as _;

use bpftwin_conformance::resolve::{Library, Refusal, resolve};
use bpftwin_conformance::scenario::Scenario;

const GOOD: &str = r#"[scenario]
title = "a pod talks"
objects = { veth = "datapath:veth" }
program = "veth:from_container"
records = { "veth:events_ring" = "drop_record" }
[scenario.config.veth]
config = { identity = 1000, ipv4 = "10.0.0.2" }

[[map]]
name = "veth:metrics"
entries = [{ key = { reason = "REASON_FORWARDED" }, value = { packets = 1 } }]

[network]
device = [{ name = "eth0", ifindex = 10, addresses = ["10.0.0.1/24"] }]
route = [{ to = "10.1.0.0/16", dev = "eth0" }]
neighbour = [{ address = "10.0.0.9", mac = "02:00:00:00:00:09", dev = "eth0" }]

[[packet]]
name = "syn"
hex = "020000000002 020000000001 0800 4500001400000000400600000a0000020a010001"
ctx = { mark = 7, ifindex = "eth0" }
[packet.expect]
retval = "TC_ACT_OK"
like = "input"

[[ignore]]
field = "map:conntrack.last_seen_ns"
reason = "a clock"

[[expect.map]]
name = "metrics"
count = 1
"#;

fn message(text: &str) -> String {
    let scenario = match Scenario::parse("case.toml", text) {
        Ok(scenario) => scenario,
        Err(mistakes) => return mistakes.to_string(),
    };
    match resolve(&scenario, &Library::beside(env!("CARGO_MANIFEST_DIR").as_ref())) {
        Ok(_) => "no mistake".into(),
        Err(Refusal::Mistakes(mistakes)) => mistakes.to_string(),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn the_scenario_the_others_are_made_of_is_right() {
    assert_eq!(message(GOOD), "no mistake");
}

#[test]
fn every_kind_of_mistake() {
    let hex = "hex = \"020000000002 020000000001 0800 4500001400000000400600000a0000020a010001\"";
    let edits: &[(&str, &str, &str)] = &[
        ("not TOML", "[scenario]", "[scenario"),
        ("missing key", "title = \"a pod talks\"\n", ""),
        ("unknown key of the file", "[[packet]]", "[[pakcet]]"),
        ("unknown key of a packet", "name = \"syn\"", "nmae = \"syn\""),
        ("unknown key of an expectation", "retval =", "retvla ="),
        ("unknown key of a device", "ifindex = 10", "index = 10"),
        ("wrong type of a key", "title = \"a pod talks\"", "title = 3"),
        ("a fraction", "mark = 7", "mark = 7.5"),
        ("unknown bundled object", "datapath:veth", "datapath:vteh"),
        ("missing object file", "datapath:veth", "nowhere.o"),
        ("not an object", "datapath:veth", "Cargo.toml"),
        ("no object", "objects = { veth = \"datapath:veth\" }", "objects = {}"),
        ("unknown object", "veth:from_container", "weth:from_container"),
        ("unknown program", "veth:from_container", "veth:from_contianer"),
        ("unknown map", "veth:metrics", "veth:metric"),
        ("unknown map of an expectation", "name = \"metrics\"", "name = \"conntrak\""),
        ("unknown global variable", "config = { identity", "cnofig = { identity"),
        ("unknown object of the configuration", "[scenario.config.veth]", "[scenario.config.vet]"),
        ("unknown member", "identity = 1000", "identiy = 1000"),
        ("number out of range", "identity = 1000", "identity = 5_000_000_000"),
        ("wrong type of a member", "identity = 1000", "identity = [1]"),
        ("bad address", "ipv4 = \"10.0.0.2\"", "ipv4 = \"10.0.0.256\""),
        ("unknown constant", "REASON_FORWARDED", "REASON_FORWARD"),
        ("unknown record type", "= \"drop_record\"", "= \"drop_recrod\""),
        ("entry without a value", ", value = { packets = 1 } }]", " }]"),
        (
            "value where a program goes",
            "name = \"veth:metrics\"\nentries = [{ key = { reason = \"REASON_FORWARDED\" }, value = { packets = 1 } }]",
            "name = \"veth:stages\"\nentries = [{ key = 0, value = 1 }]",
        ),
        (
            "unknown program in a prog array",
            "name = \"veth:metrics\"\nentries = [{ key = { reason = \"REASON_FORWARDED\" }, value = { packets = 1 } }]",
            "name = \"veth:stages\"\nentries = [{ key = 0, program = \"stage_arpp\" }]",
        ),
        (
            "map without contents",
            "entries = [{ key = { reason = \"REASON_FORWARDED\" }, value = { packets = 1 } }]",
            "",
        ),
        (
            "missing file of entries",
            "entries = [{ key = { reason = \"REASON_FORWARDED\" }, value = { packets = 1 } }]",
            "file = \"nowhere.json\"",
        ),
        (
            "file of entries that is none",
            "entries = [{ key = { reason = \"REASON_FORWARDED\" }, value = { packets = 1 } }]",
            "file = \"Cargo.toml\"",
        ),
        ("two devices of one name", "device = [{", "device = [{ name = \"eth0\", ifindex = 11 }, {"),
        ("loopback's ifindex", "ifindex = 10", "ifindex = 1"),
        ("name too long for a device", "name = \"eth0\", ifindex", "name = \"a-very-long-device\", ifindex"),
        ("bad address of a device", "10.0.0.1/24", "10.0.0.1"),
        ("bits beyond the prefix", "10.1.0.0/16", "10.1.1.0/16"),
        ("unknown device of a route", "dev = \"eth0\" }]\nneigh", "dev = \"eth1\" }]\nneigh"),
        ("route without a device", "to = \"10.1.0.0/16\", dev = \"eth0\"", "to = \"10.1.0.0/16\""),
        ("unknown kind of route", "to = \"10.1.0.0/16\",", "to = \"10.1.0.0/16\", kind = \"blackhol\","),
        ("families mixed", "to = \"10.1.0.0/16\",", "to = \"10.1.0.0/16\", via = \"fd00::1\","),
        ("bad MAC", "02:00:00:00:00:09", "02:00:00:00:09"),
        ("packet without bytes", hex, ""),
        ("packet with two kinds of bytes", hex, "hex = \"00\"\npkt = \"Ether()\""),
        ("bad packet expression", hex, "pkt = \"Ether()/IP(dts='10.0.0.1')\""),
        ("bad hexadecimal", hex, "hex = \"020g\""),
        ("odd hexadecimal", hex, "hex = \"020\""),
        ("missing capture", hex, "pcap = \"nowhere.pcap\""),
        ("unknown bundled capture", hex, "pcap = \"pcaps:nowhere\""),
        ("not a capture", hex, "pcap = \"Cargo.toml\""),
        ("bad packet number", hex, "pcap = \"tests/data/three.pcap#0\""),
        ("packet beyond the capture", hex, "pcap = \"tests/data/three.pcap#4\""),
        ("capture that is cut", hex, "pcap = \"tests/data/cut.pcap\""),
        ("no program", "program = \"veth:from_container\"\n", ""),
        ("unknown context field", "mark = 7", "makr = 7"),
        ("unknown device of a context", "ifindex = \"eth0\"", "ifindex = \"eth1\""),
        ("unknown flag", "name = \"syn\"", "name = \"syn\"\nflags = [\"checksum\"]"),
        ("two packets of one name", "[[ignore]]", "[[packet]]\nname = \"syn\"\nhex = \"00\"\n[[ignore]]"),
        ("unknown return code", "TC_ACT_OK", "TC_ACT_SHOOT"),
        ("return code of another program type", "TC_ACT_OK", "XDP_DROP"),
        ("return code that is none", "\"TC_ACT_OK\"", "true"),
        ("unknown errno", "retval = \"TC_ACT_OK\"", "errno = \"EINVALID\""),
        ("return code and errno", "retval = \"TC_ACT_OK\"", "retval = 0\nerrno = \"EINVAL\""),
        ("two outputs", "like = \"input\"", "like = \"input\"\nunchanged = true"),
        ("edit of nothing", "like = \"input\"", "set = { \"IP.dst\" = \"10.0.0.1\" }"),
        ("unknown packet to be like", "like = \"input\"", "like = \"sin\""),
        ("unknown field to set", "like = \"input\"", "like = \"input\"\nset = { \"IP.dts\" = \"10.0.0.1\" }"),
        ("bad value to set", "like = \"input\"", "like = \"input\"\nset = { \"IP.dst\" = \"10.0.0\" }"),
        (
            "layer that is not there",
            "like = \"input\"",
            "like = \"input\"\nset = { \"IPv6.dst\" = \"fd00::1\" }",
        ),
        ("unknown field to ignore", "conntrack.last_seen_ns", "conntrack.last_seen"),
        ("no reason to ignore", "\"a clock\"", "\"\""),
        (
            "field ignored twice",
            "[[ignore]]",
            "[[ignore]]\nfield = \"map:conntrack.last_seen_ns\"\nreason = \"x\"\n[[ignore]]",
        ),
        ("expectation of nothing", "count = 1", ""),
        ("absent with a value", "count = 1", "entries = [{ key = {}, absent = true, value = {} }]"),
        ("no packet", &GOOD[GOOD.find("[[packet]]").unwrap()..GOOD.find("[[ignore]]").unwrap()], ""),
        ("parts of the topology form", "[[expect.map]]", "[expect]\npcap = \"x.pcapng\"\n[[expect.map]]"),
        ("both forms", "[[packet]]", "[[step]]\nname = \"x\"\nadvance = \"1s\"\n[[packet]]"),
    ];
    let mut out = String::new();
    for (name, from, to) in edits {
        assert!(GOOD.contains(from), "{name}: the scenario has no {from}");
        let text = GOOD.replacen(from, to, 1);
        let message = message(&text);
        assert_ne!(message, "no mistake", "{name}");
        let message = message.replace(env!("CARGO_MANIFEST_DIR"), "FOLDER");
        writeln!(out, "{name}\n  {}", message.replace('\n', "\n  ")).unwrap();
    }
    insta::assert_snapshot!(out);
}

#[test]
fn topologies_are_checked_and_declined_by_name() {
    let good = r#"
[scenario]
title = "two nodes"
objects = { veth = "datapath:veth" }
[[node]]
name = "n1"
[[link]]
a = "n1:lxc1"
b = "n1/pod1:eth0"
[[address]]
dev = "n1/pod1:eth0"
address = "10.0.0.2/24"
[[attach]]
at = "n1:lxc1/tc-ingress"
prog = "veth:from_container"
[[step]]
name = "syn"
send = { at = "n1/pod1:eth0", pkt = "Ether()/IP()/TCP()" }
[[step.expect]]
at = "n1:lxc1"
like = "syn"
[[step]]
advance = "6h"
"#;
    let mut out = String::new();
    for (name, from, to) in [
        ("right", "", ""),
        ("unknown node", "a = \"n1:lxc1\"", "a = \"n2:lxc1\""),
        ("no device", "a = \"n1:lxc1\"", "a = \"lxc1\""),
        ("device twice", "a = \"n1:lxc1\"", "a = \"n1/pod1:eth0\""),
        ("unknown device", "dev = \"n1/pod1:eth0\"", "dev = \"n1/pod1:eth1\""),
        ("unknown hook's device", "n1:lxc1/tc-ingress", "n1:lxc2/tc-ingress"),
        ("unknown object", "veth:from_container", "vet:from_container"),
        ("unknown step", "like = \"syn\"", "like = \"sin\""),
        ("idle step", "advance = \"6h\"", "name = \"idle\""),
        ("unknown kind of link", "a = \"n1:lxc1\"", "kind = \"vteh\"\na = \"n1:lxc1\""),
        ("node twice", "[[link]]", "[[node]]\nname = \"n1\"\n[[link]]"),
        ("unknown hook", "tc-ingress", "tc-ingres"),
        ("program of another hook", "lxc1/tc-ingress", "lxc1/xdp"),
        ("time without a unit", "6h", "6"),
        ("silent and expected", "[[step.expect]]", "silent = [\"n1:lxc1/in\"]\n[[step.expect]]"),
        ("forwarding elsewhere", "[[link]]", "forwarding = [\"n1/pod2\"]\n[[link]]"),
        ("one end", "b = \"n1/pod1:eth0\"", ""),
        (
            "not yet",
            "[[link]]",
            "[[rule]]\nnode = \"n1\"\ntable = 5\n[[link]]\nkind = \"vxlan\"\na = \"n1:v\"\n[[link]]",
        ),
        ("packet in a topology", "[[link]]", "[[packet]]\nname = \"x\"\n[[link]]"),
    ] {
        let message = message(&good.replacen(from, to, 1));
        writeln!(out, "{name}\n  {}", message.replace('\n', "\n  ")).unwrap();
    }
    insta::assert_snapshot!(out);
}
