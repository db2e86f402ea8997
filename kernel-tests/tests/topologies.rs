//! Random topologies with random programs and frames: the simulator and real devices see the same. Needs root.
//!
//! `BPFTWIN_TOPOLOGIES` says how many there are to be, 50 if not said. A failure is shrunk, and shown as a scenario.

use std::cell::Cell;
use std::fmt::Write as _;

use bpftwin_conformance::compare::compare;
use bpftwin_conformance::observation::{Observation, Report};
use bpftwin_conformance::plane::Plane;
use bpftwin_conformance::plane::kernel::KernelPlane;
use bpftwin_conformance::plane::sim::SimPlane;
use bpftwin_conformance::resolve::{Library, resolve};
use bpftwin_conformance::scenario::Scenario;
use bpftwin_sim::uapi::Release;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseError, TestRunner};

/// A pair of devices. The first namespace is the node's own; the names of devices are `a` and `b` with the pair's number.
#[derive(Clone, Debug)]
struct Pair {
    namespaces: [Index; 2],
    mtus: [u32; 2],
    /// Which end is down, if any: 0 or 1.
    down: Option<usize>,
}

/// A program at an end of a pair.
#[derive(Clone, Debug)]
struct Program {
    pair: Index,
    end: usize,
    hook: &'static str,
    ethertype: u16,
    helper: u32,
    /// Of the devices it may send to, those of pairs with a higher number and one that is not there: so that no frame
    /// goes in circles.
    target: Index,
    flags: u32,
    verdict: u32,
    keep_verdict: bool,
    /// Mark, priority, control block and `tc_index`.
    metadata: [u32; 4],
    push_vlan: u16,
    pop_vlan: bool,
}

/// A frame that leaves an end of a pair.
#[derive(Clone, Debug)]
struct Sent {
    pair: Index,
    end: usize,
    ethertype: u16,
    to: &'static str,
    tag: Option<u16>,
    len: usize,
}

/// Namespaces, pairs, programs, frames.
#[derive(Clone, Debug)]
struct Drawn {
    namespaces: usize,
    pairs: Vec<Pair>,
    programs: Vec<Program>,
    frames: Vec<Sent>,
}

const ETHERTYPES: [u16; 2] = [0x88b5, 0x88b6];
const HOOKS: [&str; 4] = ["tcx-ingress", "tcx-egress", "tc-ingress", "tc-egress"];
const VERDICTS: [u32; 6] = [u32::MAX, 0, 1, 2, 4, 7];

fn pair() -> impl Strategy<Value = Pair> {
    let mtu = || select(vec![1500, 1500, 1500, 100]);
    let down = prop_oneof![8 => Just(None), 1 => Just(Some(0)), 1 => Just(Some(1))];
    (any::<[Index; 2]>(), [mtu(), mtu()], down).prop_map(|(namespaces, mtus, down)| Pair {
        namespaces,
        mtus,
        down,
    })
}

fn program() -> impl Strategy<Value = Program> {
    let place = (any::<Index>(), 0..2_usize, select(HOOKS.to_vec()), select(vec![0, 0x88b5, 0x88b6]));
    // bpf_redirect(), bpf_clone_redirect(), bpf_redirect_peer(), and none.
    let helper = (select(vec![0, 1, 1, 2, 3, 3]), any::<Index>(), select(vec![0, 0, 0, 1]));
    let verdict = (select(VERDICTS.to_vec()), any::<bool>());
    let tag = (select(vec![0, 0, 0, 5]), prop::bool::weighted(0.2));
    (place, helper, verdict, prop::array::uniform4(0..3_u32), tag).prop_map(
        |(place, helper, verdict, metadata, tag)| {
            let (pair, end, hook, ethertype) = place;
            let (helper, target, flags) = helper;
            let (verdict, keep_verdict) = verdict;
            let (push_vlan, pop_vlan) = tag;
            // The result of bpf_clone_redirect() is an errno, which is a verdict like any other.
            let keep_verdict = keep_verdict && helper == 2;
            Program {
                pair,
                end,
                hook,
                ethertype,
                helper,
                target,
                flags,
                verdict,
                keep_verdict,
                metadata,
                push_vlan,
                pop_vlan,
            }
        },
    )
}

fn sent() -> impl Strategy<Value = Sent> {
    let to = select(vec!["02:00:00:00:00:0b", "02:00:00:00:00:0c", "ff:ff:ff:ff:ff:ff", "02:00:00:00:00:99"]);
    let len = select(vec![0, 5, 100, 101, 104, 105, 1500]);
    let tag = prop::option::weighted(0.2, select(vec![0, 9, 0x2007]));
    (any::<Index>(), 0..2_usize, select(ETHERTYPES.to_vec()), to, tag, len)
        .prop_map(|(pair, end, ethertype, to, tag, len)| Sent { pair, end, ethertype, to, tag, len })
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let pairs = prop::collection::vec(pair(), 1..5);
    let programs = prop::collection::vec(program(), 0..7);
    let frames = prop::collection::vec(sent(), 1..5);
    (2..6_usize, pairs, programs, frames).prop_map(|(namespaces, pairs, programs, frames)| Drawn {
        namespaces,
        pairs,
        programs,
        frames,
    })
}

impl Drawn {
    /// `n:a0`, or `n/2:a0`.
    fn device(&self, pair: usize, end: usize) -> String {
        let number = self.pairs[pair].namespaces[end].index(self.namespaces);
        let namespace = if number == 0 { "n".to_owned() } else { format!("n/{number}") };
        format!("{namespace}:{}{pair}", ["a", "b"][end])
    }

    /// The ifindex of a device of a pair with a higher number, or of none.
    fn target(&self, program: &Program) -> usize {
        let behind = program.pair.index(self.pairs.len()) + 1;
        let count = 2 * (self.pairs.len() - behind);
        let chosen = program.target.index(count + 1);
        if chosen == count { 99 } else { 10 * (behind + chosen / 2 + 1) + chosen % 2 + 1 }
    }

    /// As a scenario.
    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = "[scenario]\ntitle = \"A random topology\"\n".to_owned();
        if self.programs.is_empty() {
            text += "objects = {}\n";
        }
        for (number, program) in self.programs.iter().enumerate() {
            let Program { ethertype, helper, flags, verdict, metadata, push_vlan, .. } = program;
            let [mark, priority, cb0, tc_index] = metadata;
            let (keep, pop) = (u8::from(program.keep_verdict), u8::from(program.pop_vlan));
            let ifindex = self.target(program);
            writeln!(text, "objects.p{number} = \"datapath:steer\"")?;
            writeln!(
                text,
                "config.p{number} = {{ ethertype = {ethertype}, helper = {helper}, ifindex = {ifindex}, \
                 flags = {flags}, verdict = {verdict}, keep_verdict = {keep}, set_mark = {mark}, \
                 set_priority = {priority}, set_cb0 = {cb0}, set_tc_index = {tc_index}, \
                 push_vlan = {push_vlan}, pop_vlan = {pop} }}"
            )?;
        }
        text += "[[node]]\nname = \"n\"\n";
        for (number, pair) in self.pairs.iter().enumerate() {
            let (a, b) = (self.device(number, 0), self.device(number, 1));
            let down = pair.down.map(|end| format!("{:?}", self.device(number, end))).unwrap_or_default();
            let [mtu, mtu_b] = pair.mtus;
            writeln!(
                text,
                "[[link]]\na = \"{a}\"\nb = \"{b}\"\nmtu = {mtu}\nmtu_b = {mtu_b}\ndown = [{down}]"
            )?;
        }
        for (number, program) in self.programs.iter().enumerate() {
            let device = self.device(program.pair.index(self.pairs.len()), program.end);
            writeln!(text, "[[attach]]\nat = \"{device}/{}\"\nprog = \"p{number}:steer\"", program.hook)?;
        }
        for Sent { pair, end, ethertype, to, tag, len } in &self.frames {
            let device = self.device(pair.index(self.pairs.len()), *end);
            let from = "02:00:00:00:00:77";
            let headers = match tag {
                None => format!("Ether(dst='{to}',src='{from}',type={ethertype})"),
                Some(tci) => {
                    let (prio, vlan) = (tci >> 13, tci & 0xfff);
                    format!("Ether(dst='{to}',src='{from}')/Dot1Q(vlan={vlan},prio={prio},type={ethertype})")
                }
            };
            let payload = if *len == 0 { String::new() } else { format!("/Raw('x'*{len})") };
            writeln!(text, "[[step]]\nsend = {{ at = \"{device}\", pkt = \"{headers}{payload}\" }}")?;
        }
        Ok(text)
    }
}

/// What both planes saw, or that the simulator declines.
fn seen(report: Report) -> Option<Observation> {
    match report {
        Report::Seen(seen) => Some(*seen),
        Report::Declined(_) => None,
    }
}

#[test]
fn random_topologies() {
    let cases = std::env::var("BPFTWIN_TOPOLOGIES").map_or(50, |count| count.parse().expect("a number"));
    let kernel = KernelPlane::at(env!("CARGO_BIN_EXE_bpftwin-kernel"));
    let compared = Cell::new(0);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&drawn(), |drawn| {
        let text = drawn.text().expect("a String takes everything");
        let scenario = Scenario::parse("random.toml", &text).expect("parses");
        let resolved = resolve(&scenario, &Library::bundled()).expect("resolves");
        let real = seen(kernel.run(&resolved.case).expect("a kernel")).expect("it takes these");
        let release = Release::of_uname(&real.begin.kernel).expect("a described kernel");
        let (nr_cpus, cpu) = (real.begin.nr_cpus, real.begin.cpu);
        let sim = SimPlane { release, nr_cpus, cpu, ..SimPlane::default() };
        let Some(sim) = seen(sim.run(&resolved.case).expect("it is in this process")) else { return Ok(()) };
        compared.set(compared.get() + 1);
        let result = compare(&resolved.case, &resolved.shape, &resolved.ignores, &sim, &real);
        if result.differences.is_empty() {
            return Ok(());
        }
        Err(TestCaseError::fail(format!("{:#?}\n{text}", result.differences)))
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(compared.get() > cases / 2, "the simulator declines all but {} of {cases}", compared.get());
}
