//! Plane `netns`: frames through real namespaces and devices. Needs root.

mod rig;

use bpftwin_conformance::bytes::Bytes;
use bpftwin_conformance::case::Case;
use bpftwin_conformance::observation::{Observation, Outcome, Report};
use bpftwin_conformance::resolve::{Library, resolve};
use bpftwin_conformance::scenario::Scenario;
use rig::{report, seen};

/// The case of a scenario.
fn case(text: &str) -> Case {
    let scenario = Scenario::parse("a-test.toml", text).expect("parses");
    resolve(&scenario, &Library::bundled()).expect("resolves").case
}

/// What every tap of a step saw, each frame as the tap and its bytes.
fn walks(observation: &Observation) -> Vec<Vec<(String, String)>> {
    let walk = |outcome: &Outcome| match outcome {
        Outcome::Walked(walk) => {
            walk.frames.iter().map(|frame| (frame.tap.to_string(), frame.data.to_string())).collect()
        }
        other => panic!("{other:?}"),
    };
    observation.runs.iter().map(|run| walk(&run.outcome)).collect()
}

/// Runs a case and compares the taps and the EtherType of what they saw in its only step.
fn check(text: &str, expect: &[(&str, &str)]) {
    let observation = seen(&case(text));
    assert_eq!(observation.begin.plane, "netns");
    let [walk] = &walks(&observation)[..] else { panic!("one step") };
    let walk: Vec<_> = walk.iter().map(|(tap, data)| (tap.as_str(), &data[24..28])).collect();
    assert_eq!(walk, expect);
}

/// Two hosts and a router, which all have to ask for MAC addresses first.
const ROUTER: &str = "
[scenario]
title = 'a router'
objects = {}
[[node]]
name = 'n'
forwarding = ['n']
[[link]]
a = 'n/a:eth0'
b = 'n:to-a'
[[link]]
a = 'n:to-b'
b = 'n/b:eth0'
[[step]]
send = { at = 'n/a:eth0', pkt = \"Ether(dst='02:00:00:00:00:0c',src='02:00:00:00:00:0b')/IP(src='10.0.0.2',dst='10.0.1.2')/ICMP(id=7,seq=1)/Raw('hello')\" }
[[address]]
dev = 'n/a:eth0'
address = '10.0.0.2/24'
[[address]]
dev = 'n:to-a'
address = '10.0.0.1/24'
[[address]]
dev = 'n:to-b'
address = '10.0.1.1/24'
[[address]]
dev = 'n/b:eth0'
address = '10.0.1.2/24'
[[route]]
node = 'n/b'
to = '10.0.0.0/24'
via = '10.0.1.1'
dev = 'n/b:eth0'
";

#[test]
fn an_echo_crosses_a_router_and_comes_back() {
    let (arp, ip) = ("0806", "0800");
    check(
        ROUTER,
        &[
            ("n:to-a/in", ip),
            ("n:to-a/in", arp),
            ("n:to-a/out", arp),
            ("n:to-a/out", ip),
            ("n:to-b/in", arp),
            ("n:to-b/in", ip),
            ("n:to-b/out", arp),
            ("n:to-b/out", ip),
            ("n/a:eth0/in", arp),
            ("n/a:eth0/in", ip),
            ("n/a:eth0/out", ip),
            ("n/a:eth0/out", arp),
            ("n/b:eth0/in", arp),
            ("n/b:eth0/in", ip),
            ("n/b:eth0/out", arp),
            ("n/b:eth0/out", ip),
        ],
    );
}

/// With IPv6 addresses too: what IPv6 says of its own is over before the first step.
#[test]
fn ipv6_is_silent() {
    let more = "
[[address]]
dev = 'n/a:eth0'
address = 'fd00::2/64'
[[address]]
dev = 'n:to-a'
address = 'fd00::1/64'
";
    let silent = "
[[step]]
send = { at = 'n/a:eth0', pkt = \"Ether(dst='02:00:00:00:00:0c',src='02:00:00:00:00:0b',type=0x88b5)/Raw('hello')\" }
";
    let walks = walks(&seen(&case(&format!("{ROUTER}{more}{silent}"))));
    assert_eq!(walks[0].len(), 16, "{walks:?}");
    let taps: Vec<_> = walks[1].iter().map(|(tap, _)| tap.as_str()).collect();
    assert_eq!(taps, ["n:to-a/in", "n/a:eth0/out"]);
}

/// A frame through a chain of five pairs, redirected from each to the next: nine transmissions and ten backlog passes.
fn chain(steps: usize) -> Case {
    use std::fmt::Write as _;
    let mut text = "[scenario]\ntitle = 'a chain'\n".to_owned();
    for hop in 1..5 {
        let next = 10 * (hop + 1) + 1;
        writeln!(text, "objects.to{hop} = 'datapath:steer'").unwrap();
        writeln!(text, "config.to{hop} = {{ helper = 1, ifindex = {next}, set_mark = {hop} }}").unwrap();
    }
    text += "[[node]]\nname = 'n'\n";
    for hop in 0..5 {
        writeln!(text, "[[link]]\na = 'n/h{hop}:out'\nb = 'n/h{}:in'", hop + 1).unwrap();
    }
    for hop in 1..5 {
        writeln!(text, "[[attach]]\nat = 'n/h{hop}:in/tcx-ingress'\nprog = 'to{hop}:steer'").unwrap();
    }
    for step in 0..steps {
        let packet =
            format!("Ether(dst='02:00:00:00:00:0c',src='02:00:00:00:00:0b',type=0x88b5)/Raw('{step:06}')");
        writeln!(text, "[[step]]\nsend = {{ at = 'n/h0:out', pkt = \"{packet}\" }}").unwrap();
    }
    case(&text)
}

/// Nothing of a step is missing from it or comes in a later one, thousands of times.
#[test]
fn a_step_is_over_when_everything_has_arrived() {
    let observation = seen(&chain(3000));
    for (number, walk) in walks(&observation).iter().enumerate() {
        let text = Bytes::from(format!("{number:06}").into_bytes()).to_string();
        assert_eq!(walk.len(), 10, "step {number}: {walk:?}");
        assert!(walk.iter().all(|(_, data)| data.ends_with(&text)), "step {number}: {walk:?}");
        assert_eq!(observation.runs[number].records.len(), 4);
    }
}

#[test]
fn a_hundred_runs_see_the_same() {
    let case = chain(3);
    let first = seen(&case);
    for _ in 1..100 {
        assert_eq!(seen(&case), first);
    }
}

#[test]
fn what_cannot_be_is_declined_by_name() {
    let declined = |case: &Case| match report(case) {
        Report::Declined(decline) => decline.reason,
        Report::Seen(seen) => panic!("{seen:?}"),
    };
    let mut long = chain(1);
    let topology = long.topology.as_mut().expect("a topology");
    topology.steps[0].does = bpftwin_conformance::case::Does::Advance { ns: 1 };
    assert_eq!(declined(&long), "step \"step 1\": a real kernel's time cannot be advanced");
    let mut twice = chain(1);
    let topology = twice.topology.as_mut().expect("a topology");
    topology.attachments = vec![topology.attachments[0].clone(), topology.attachments[0].clone()];
    let why = declined(&twice);
    assert!(why.starts_with("the kernel does not attach to1:steer at n/h1:in/tcx-ingress: -EEXIST"), "{why}");
}
