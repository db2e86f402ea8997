//! Random frames through the programs of real objects: cases for both planes, and where they differ the smallest.

use std::collections::BTreeMap;
use std::sync::Arc;

use bpftwin_sim::bpf::map::MapSpec;
use bpftwin_sim::bpf::object::{Object, ProgramSpec};
use bpftwin_sim::bpf::uses::Uses;
use bpftwin_sim::uapi::helper::id;
use bpftwin_sim::uapi::{MapType, ProgType, helper};

use super::Random;
use super::contents::contents;
use super::frames::{Frames, IPV4, MAC, PORTS};
use crate::bytes::Bytes;
use crate::case::{Case, Device, Neighbour, Network, ObjectImage, Resized, Route, RouteKind, Run};
use crate::compare::IgnoreRule;
use crate::ctx;
use crate::described::Described;
use crate::resolve::objects::{Opened, shape};
use crate::shape::Shape;

/// Runs of one case.
pub const RUNS: u64 = 256;

/// One program of an object.
#[derive(Clone, Debug)]
pub struct Target {
    /// The file's name as given.
    pub file: String,
    /// The object.
    pub opened: Arc<Opened>,
    /// What its bytes mean.
    pub shape: Shape,
    /// The program's name.
    pub program: String,
    /// Its type.
    pub prog_type: ProgType,
    /// How the object is loaded.
    pub image: ObjectImage,
    /// What is not compared, and why.
    pub ignores: Vec<IgnoreRule>,
    /// Whether looking at its maps after every run takes so long that it gets fewer turns than others.
    pub heavy: bool,
}

/// Elements that are looked at in no time.
const LIGHT: u64 = 4096;
/// A heavy target gets a turn in one round out of so many.
const HEAVY_ROUNDS: u64 = 64;

/// Helpers that tell the time. What a program keeps of it is in maps and records.
const CLOCKS: [&str; 5] =
    ["ktime_get_ns", "ktime_get_boot_ns", "ktime_get_coarse_ns", "ktime_get_tai_ns", "jiffies64"];

/// Helpers whose answer is another one on every machine or in every run; and what makes something happen whenever the
/// kernel's clock says.
const CHANCE: [&str; 17] = [
    "timer_start",
    "get_prandom_u32",
    "get_hash_recalc",
    "get_socket_cookie",
    "get_netns_cookie",
    "get_current_pid_tgid",
    "get_current_uid_gid",
    "get_current_comm",
    "get_current_cgroup_id",
    "get_current_task",
    "get_current_task_btf",
    "skb_cgroup_id",
    "skb_ancestor_cgroup_id",
    "get_numa_node_id",
    "tcp_gen_syncookie",
    "tcp_raw_gen_syncookie_ipv4",
    "tcp_raw_gen_syncookie_ipv6",
];

/// An object as it is to be loaded: its programs' types, the kernel, and how many elements its maps have room for.
pub fn prepare(
    opened: &Opened,
    described: &Described,
    sizes: &[(String, u32)],
) -> (Arc<Opened>, ObjectImage) {
    let mut object = opened.object.clone();
    let types = described.set_types(&mut object);
    let has = |object: &mut Object, name: &str, size: u32| {
        let map = object.maps.iter_mut().find(|map| map.spec.name == name);
        map.map(|map| map.spec.max_entries = size).is_some()
    };
    let sizes: Vec<Resized> = sizes
        .iter()
        .filter(|(map, size)| has(&mut object, map, *size))
        .map(|(map, size)| Resized { map: map.clone(), max_entries: *size })
        .collect();
    let mut image = ObjectImage {
        name: "o".into(),
        elf: Bytes(opened.elf.clone()),
        globals: Vec::new(),
        programs: Vec::new(),
        types,
        kconfig: Vec::new(),
        kernel_types: None,
        sizes,
    };
    described.describe(&mut image);
    (Arc::new(Opened { elf: opened.elf.clone(), object }), image)
}

impl Target {
    /// The programs of an object that BPF_PROG_TEST_RUN gives packets to, and why the others are left out.
    pub fn all_of(file: &str, opened: &Arc<Opened>, image: &ObjectImage) -> (Vec<Self>, Vec<String>) {
        let (mut targets, mut left_out) = (Vec::new(), Vec::new());
        let known = Shape { objects: BTreeMap::from([("o".to_owned(), shape(&opened.object))]) };
        let elements: u64 = opened.object.maps.iter().map(|map| elements(&map.spec)).sum();
        let heavy = elements > LIGHT;
        for program in &opened.object.programs {
            let at = format!("{file}: {}", program.name);
            if ctx::layout(program.prog_type).is_none() {
                left_out.push(format!("{at}: no packets run through a {}", program.prog_type));
                continue;
            }
            let uses = Self::uses(&opened.object, program);
            let calls = |name: &&&str| {
                uses.helpers
                    .keys()
                    .any(|id| helper::name(*id).is_some_and(|known| known.trim_end_matches('_') == **name))
            };
            if let Some(name) = CHANCE.iter().find(calls) {
                left_out.push(format!("{at}: what comes of bpf_{name} is different in every run"));
                continue;
            }
            let mut ignores = Vec::new();
            if let Some(name) = CLOCKS.iter().find(calls) {
                let reason = format!("bpf_{name}: the kernel's clock runs, the simulator's is virtual");
                for map in &uses.maps {
                    for kind in ["map", "record"] {
                        let field = format!("{kind}:{map}");
                        ignores.push(IgnoreRule { field, reason: reason.clone() });
                    }
                }
            }
            targets.push(Self {
                file: file.to_owned(),
                opened: opened.clone(),
                shape: known.clone(),
                program: program.name.clone(),
                prog_type: program.prog_type,
                image: ObjectImage { programs: Self::programs(&opened.object, program), ..image.clone() },
                ignores,
                heavy,
            });
        }
        (targets, left_out)
    }

    /// What a program uses and, if it makes tail calls, all the others: which of them it comes to is for maps to say.
    fn uses(object: &Object, program: &ProgramSpec) -> Uses {
        let mut uses = Uses::of(object, program);
        if uses.helpers.contains_key(&id::tail_call) {
            for other in &object.programs {
                let more = Uses::of(object, other);
                uses.helpers.extend(more.helpers);
                uses.maps.extend(more.maps);
            }
        }
        uses
    }

    /// Whether case `index` of `count` targets is one of this target's.
    pub const fn has_turn(&self, index: u64, count: u64) -> bool {
        !self.heavy || (index / count).is_multiple_of(HEAVY_ROUNDS)
    }

    /// Case `index` of `seed`, with or without map contents.
    pub fn case(&self, seed: u64, index: u64, frames: &Frames, fill: bool) -> Case {
        let r = &mut Random::of_case(seed, index);
        let mut maps = Vec::new();
        if fill {
            for map in &self.opened.object.maps {
                let Some(known) = self.shape.map("o", &map.spec.name) else { continue };
                maps.extend(contents(r, "o", map, known, &DEVICES));
            }
        }
        let runs = (0..RUNS).map(|number| self.run(r, number, frames)).collect();
        Case {
            name: format!("{seed}-{index}"),
            objects: vec![self.image.clone()],
            maps,
            network: network(),
            runs,
            watch: None,
            topology: None,
        }
    }

    /// The programs to load: this one, and where the object fills a prog array, all of its kind.
    fn programs(object: &Object, program: &ProgramSpec) -> Vec<String> {
        let tails = object.maps.iter().any(|map| map.spec.map_type == MapType::ProgArray);
        let of = object.programs.iter();
        of.filter(|p| p.name == program.name || (tails && p.autoload && p.prog_type == program.prog_type))
            .map(|program| program.name.clone())
            .collect()
    }

    fn run(&self, r: &mut Random, number: u64, frames: &Frames) -> Run {
        let (data, ctx) = match self.prog_type {
            ProgType::SkLookup => (Vec::new(), sk_lookup(r)),
            ProgType::FlowDissector => (frames.frame(r), Vec::new()),
            ProgType::Xdp => {
                let frame = frames.frame(r);
                let ctx = xdp(r, frame.len() as u32);
                (frame, ctx)
            }
            _ => (frames.frame(r), skb(r)),
        };
        Run {
            name: format!("packet {number}"),
            object: "o".into(),
            program: self.program.clone(),
            data: Bytes(data),
            ctx: Bytes(ctx),
            repeat: 1,
            flags: 0,
            follows: None,
            afterwards: Vec::new(),
        }
    }
}

/// How many elements, or buckets, a kernel goes through to read a map.
fn elements(spec: &MapSpec) -> u64 {
    let entries = u64::from(spec.max_entries);
    match spec.map_type {
        MapType::Array => entries * u64::from(spec.value_size) / 256,
        MapType::PercpuArray => entries,
        MapType::Hash | MapType::LruHash | MapType::PercpuHash | MapType::LruPercpuHash => entries / 16,
        _ => 0,
    }
}

/// Indices of the devices in [`network`].
const DEVICES: [u32; 2] = [5, 9];

/// Two devices with routes and neighbours.
pub fn network() -> Network {
    let device = |name: &str, ifindex: u32, addresses: &[&str]| Device {
        name: name.into(),
        ifindex,
        mac: Bytes(vec![2, 0, 0, 0, 0, ifindex as u8]),
        mtu: 1500,
        addresses: addresses.iter().map(ToString::to_string).collect(),
        forwarding: true,
    };
    let route = |to: &str, kind, via: Option<&str>, dev: Option<&str>| Route {
        to: to.into(),
        kind,
        via: via.map(str::to_owned),
        dev: dev.map(str::to_owned),
    };
    let neighbour = |address: &str, dev: &str| Neighbour {
        address: address.into(),
        mac: Bytes(MAC[2].to_vec()),
        dev: dev.into(),
    };
    Network {
        devices: vec![
            device("eth0", DEVICES[0], &["10.0.0.1/24", "fd00::1/64"]),
            device("eth1", DEVICES[1], &["192.0.2.1/24", "2001:db8::1/64"]),
        ],
        routes: vec![
            route("0.0.0.0/0", RouteKind::Unicast, Some("192.0.2.254"), Some("eth1")),
            route("10.9.0.0/16", RouteKind::Unicast, Some("10.0.0.7"), Some("eth0")),
            route("10.3.0.0/16", RouteKind::Blackhole, None, None),
        ],
        neighbours: vec![
            neighbour("192.0.2.254", "eth1"),
            neighbour("10.0.0.7", "eth0"),
            neighbour("fd00::7", "eth0"),
        ],
    }
}

/// A `struct __sk_buff`, or none: only what `net/bpf/test_run.c: convert___skb_to_skb` takes.
fn skb(r: &mut Random) -> Vec<u8> {
    if r.chance(2) {
        return Vec::new();
    }
    let mut ctx = vec![0; 192];
    let mut put = |at: usize, value: u32| ctx[at..at + 4].copy_from_slice(&value.to_le_bytes());
    put(8, r.of(&[0, 1, 7, 0xff, 0x1234_5678]));
    put(32, r.of(&[0, 1, 6]));
    if r.chance(2) {
        put(36, r.of(&DEVICES));
        put(40, r.of(&DEVICES));
    }
    for word in 0..5 {
        put(48 + 4 * word, r.of(&[0, 0, 1, 2, 0xffff_ffff]));
    }
    ctx
}

/// A `struct xdp_md`, or none.
fn xdp(r: &mut Random, len: u32) -> Vec<u8> {
    if r.chance(2) {
        return Vec::new();
    }
    let meta = if r.chance(4) { r.of(&[4, 8, 32]).min((len - 14) & !3) } else { 0 };
    let mut ctx = vec![0; 24];
    // The first bytes of the input are the metadata.
    ctx[..4].copy_from_slice(&meta.to_le_bytes());
    ctx[4..8].copy_from_slice(&len.to_le_bytes());
    ctx
}

/// A `struct bpf_sk_lookup`.
fn sk_lookup(r: &mut Random) -> Vec<u8> {
    let mut ctx = vec![0; 72];
    ctx[8] = r.of(&[2, 10]);
    ctx[12] = r.of(&[6, 17]);
    ctx[16..20].copy_from_slice(&r.of(&IPV4));
    ctx[36..38].copy_from_slice(&r.of(&PORTS).to_be_bytes());
    ctx[40..44].copy_from_slice(&r.of(&IPV4));
    ctx[60..62].copy_from_slice(&r.of(&PORTS).to_le_bytes());
    ctx[64] = r.of(&[0, 5]);
    ctx
}

/// Makes a case smaller as long as `differs`: the runs, in halves and one by one, then the map contents, then the
/// network and the contexts.
pub fn shrink(case: &Case, differs: &mut dyn FnMut(&Case) -> bool) -> Case {
    let mut best = case.clone();
    let mut step = best.runs.len().div_ceil(2);
    while step > 0 {
        let mut at = 0;
        while at < best.runs.len() {
            let mut candidate = best.clone();
            candidate.runs.drain(at..(at + step).min(best.runs.len()));
            if !candidate.runs.is_empty() && differs(&candidate) {
                best = candidate;
            } else {
                at += step;
            }
        }
        step /= 2;
    }
    let mut at = 0;
    while at < best.maps.len() {
        let mut candidate = best.clone();
        candidate.maps.remove(at);
        if differs(&candidate) {
            best = candidate;
        } else {
            at += 1;
        }
    }
    let bare = Case { network: Network::default(), ..best.clone() };
    if differs(&bare) {
        best = bare;
    }
    for run in 0..best.runs.len() {
        let mut candidate = best.clone();
        candidate.runs[run].ctx = Bytes::default();
        if candidate != best && differs(&candidate) {
            best = candidate;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Library;
    use crate::resolve::objects::open;

    #[test]
    fn what_depends_on_the_clock_is_not_compared_wherever_a_tail_call_leads() {
        let opened = open(&Library::bundled(), "datapath:veth").unwrap();
        let (opened, image) = prepare(&opened, &Described::default(), &[]);
        let (targets, left_out) = Target::all_of("veth", &opened, &image);
        assert_eq!(left_out, [""; 0]);
        // It reads no clock; the programs it goes on to do.
        let first = targets.iter().find(|target| target.program == "from_container").unwrap();
        let fields: Vec<_> = first.ignores.iter().map(|rule| rule.field.as_str()).collect();
        assert!(fields.contains(&"map:conntrack"), "{fields:?}");
    }

    #[test]
    fn a_case_is_loaded_as_asked() {
        let opened = open(&Library::bundled(), "datapath:veth").unwrap();
        let described =
            Described { types: vec![("from_container".into(), ProgType::SchedAct)], ..Described::default() };
        let sizes = [("conntrack".to_owned(), 8), ("elsewhere".to_owned(), 8)];
        let (opened, image) = prepare(&opened, &described, &sizes);
        assert_eq!(opened.object.map("conntrack").unwrap().spec.max_entries, 8);
        assert_eq!(image.sizes, [Resized { map: "conntrack".into(), max_entries: 8 }]);
        let (targets, _) = Target::all_of("veth", &opened, &image);
        let first = targets.iter().find(|target| target.program == "from_container").unwrap();
        assert_eq!(first.prog_type, ProgType::SchedAct);
        let case = first.case(1, 0, &Frames::default(), true);
        assert!(case.maps.iter().filter(|write| write.map == "conntrack").count() <= 8);
        assert_eq!(case.objects[0].types.len(), 1);
        let (text, _) = super::super::scenario::write(&case, first, "veth.o", "again", "again");
        assert!(text.contains("max_entries.\"conntrack\" = 8"), "{text}");
        assert!(text.contains("types.\"from_container\" = \"sched_act\""), "{text}");
    }
}
