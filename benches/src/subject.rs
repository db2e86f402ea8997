//! What is measured: an object, the elements of its maps, and packets. The kernel and ours get the same.

use bpftwin_conformance::bundled::SCENARIOS;
use bpftwin_conformance::case::{Case, MapValue, MapWrite, Network, ObjectImage, Run};
use bpftwin_conformance::observation::{Outcome, Report};
use bpftwin_conformance::plane::Plane;
use bpftwin_conformance::plane::sim::SimPlane;
use bpftwin_conformance::resolve::{Library, resolve};
use bpftwin_conformance::scenario::Scenario;

use crate::programs::{self, MARK};

/// The scenario whose object, maps and packets make the last row: every bundled capture from a pod with services and
/// policy.
const MIXED: &str = "captures-policy-services";

/// One in so many of its packets.
const ONE_IN: usize = 16;

/// Offset of `mark` in `struct __sk_buff`.
const CTX_MARK: usize = 8;

/// A row of the table.
pub struct Subject {
    /// Its name.
    pub name: &'static str,
    /// The object, the elements of its maps, and the runs: each is one packet.
    pub case: Case,
}

/// `bpf/large.bpf.c`, compiled.
pub const LARGE: &[u8] = include_bytes!("../prebuilt/large.o");

/// Every row: the programs of `bpf/engine.bpf.c` over one packet, the bundled `veth` over many, and all stages of
/// `bpf/large.bpf.c` over one.
///
/// # Panics
/// If a bundled scenario does not resolve.
pub fn subjects() -> Vec<Subject> {
    let mut subjects: Vec<Subject> =
        programs::NAMES.into_iter().map(|name| Subject { name, case: engine(name) }).collect();
    subjects.push(Subject { name: "veth", case: mixed() });
    subjects.push(Subject { name: "large", case: one("large", "large", LARGE, Vec::new(), "stage_0") });
    subjects
}

fn engine(program: &str) -> Case {
    let maps = programs::MAPS.iter().flat_map(|&(map, ..)| {
        let write = |(key, value): (Vec<u8>, Vec<u8>)| MapWrite {
            object: "engine".to_owned(),
            map: map.to_owned(),
            key: key.into(),
            value: MapValue::Bytes(value.into()),
        };
        programs::elements(map).into_iter().map(write)
    });
    let mut case = one(program, "engine", programs::KERNEL_CONTEXT, vec![program.to_owned()], program);
    case.maps = maps.collect();
    case
}

/// The packet through one program. `load`: the programs to load; none is all.
fn one(name: &str, object: &str, elf: &[u8], load: Vec<String>, program: &str) -> Case {
    let mut ctx = vec![0; CTX_MARK + 4];
    ctx[CTX_MARK..].copy_from_slice(&MARK.to_le_bytes());
    Case {
        name: name.to_owned(),
        objects: vec![ObjectImage {
            name: object.to_owned(),
            elf: elf.to_vec().into(),
            globals: Vec::new(),
            programs: load,
            types: Vec::new(),
            sizes: Vec::new(),
            kconfig: Vec::new(),
            kernel_types: None,
        }],
        maps: Vec::new(),
        network: Network::default(),
        runs: vec![Run {
            name: program.to_owned(),
            object: object.to_owned(),
            program: program.to_owned(),
            data: programs::packet().into(),
            ctx: ctx.into(),
            repeat: 1,
            flags: 0,
            follows: None,
            afterwards: Vec::new(),
        }],
        watch: None,
        topology: None,
    }
}

fn mixed() -> Case {
    let bundled = SCENARIOS.iter().find(|scenario| scenario.name.contains(MIXED)).expect("it is bundled");
    let scenario = Scenario::parse(bundled.name, bundled.text).expect("it parses");
    let mut case = resolve(&scenario, &Library::bundled()).expect("it resolves").case;
    case.runs = case.runs.into_iter().step_by(ONE_IN).collect();
    // BPF_PROG_TEST_RUN refuses some packets, such as those too short for their EtherType.
    let report = SimPlane::default().run(&case).expect("the simulator is always there");
    let Report::Seen(seen) = report else { panic!("the case loads") };
    let done = seen.runs.iter().map(|run| matches!(run.outcome, Outcome::Done { .. }));
    let runs = std::mem::take(&mut case.runs);
    case.runs = runs.into_iter().zip(done).filter_map(|(run, done)| done.then_some(run)).collect();
    case
}
