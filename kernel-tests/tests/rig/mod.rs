//! Runs `bpftwin-kernel` and reads its answer.
#![allow(dead_code)] // each test file uses its part

use std::io::Write;
use std::process::{Command, Stdio};

use bpftwin_conformance::bytes::Bytes;
use bpftwin_conformance::case::{Case, Network, ObjectImage, Run};
use bpftwin_conformance::observation::{Event, Observation, Outcome, Report};
use bpftwin_conformance::plane::Plane;
use bpftwin_conformance::plane::sim::SimPlane;
use bpftwin_sim::uapi::Release;

/// One of everything.
pub const PROBE: &[u8] = include_bytes!("../objects/probe.o");
/// Arrays with spin locks.
pub const LOCKED: &[u8] = include_bytes!("../objects/locked.o");
/// Walks over hashes.
pub const ORDER: &[u8] = include_bytes!("../objects/order.o");
/// What no verifier accepts.
pub const REJECTED: &[u8] = include_bytes!("../objects/rejected.o");

/// What the process left behind.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Answer {
    /// Every event it reported.
    pub fn events(&self) -> Vec<Event> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.out.lines().map(parse).collect()
    }
}

/// The binary, as yet without arguments.
pub fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bpftwin-kernel"))
}

/// Feeds `input` to `command` and waits for it.
pub fn feed(command: &mut Command, input: &str) -> Answer {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bpftwin-kernel starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    // It may end without reading: that is for the caller to see by its exit code.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().expect("bpftwin-kernel ends");
    writer.join().expect("the writer ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The answer to one case, which this machine must be able to give.
pub fn report(case: &Case) -> Report {
    let answer = feed(&mut binary(), &serde_json::to_string(case).expect("serialises"));
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    Report::collect(answer.events()).expect("a whole report")
}

/// What was seen of a case that must run.
pub fn seen(case: &Case) -> Observation {
    match report(case) {
        Report::Seen(observation) => *observation,
        Report::Declined(decline) => panic!("declined: {}\n{}", decline.reason, decline.log),
    }
}

/// A case of one object called `o`, with these programs loaded and these runs.
pub fn case(elf: &[u8], programs: &[&str], runs: Vec<Run>) -> Case {
    let programs = programs.iter().map(ToString::to_string).collect();
    Case {
        name: "a test".into(),
        objects: vec![ObjectImage {
            name: "o".into(),
            elf: elf.to_vec().into(),
            globals: Vec::new(),
            programs,
            types: Vec::new(),
            kconfig: Vec::new(),
            kernel_types: None,
            sizes: Vec::new(),
        }],
        maps: Vec::new(),
        network: Network::default(),
        runs,
        watch: None,
        topology: None,
    }
}

/// A run of one packet with a `__sk_buff` that has only a mark.
pub fn marked(program: &str, data: &[u8], mark: u32) -> Run {
    let mut ctx = vec![0; 192];
    ctx[8..12].copy_from_slice(&mark.to_le_bytes());
    Run { ctx: ctx.into(), ..plain(program, data) }
}

/// A run of one packet without a context.
pub fn plain(program: &str, data: &[u8]) -> Run {
    Run {
        name: "a run".into(),
        object: "o".into(),
        program: program.into(),
        data: data.to_vec().into(),
        ctx: Bytes::default(),
        repeat: 1,
        flags: 0,
        follows: None,
        afterwards: Vec::new(),
    }
}

/// `retval` of a run that must have been done.
pub fn retval(outcome: &Outcome) -> u32 {
    match outcome {
        Outcome::Done { retval, .. } => *retval,
        other => panic!("{other:?}"),
    }
}

/// Runs `case` on this kernel and on the simulator that speaks as this kernel; everything either saw must be equal.
pub fn agreed(case: &Case) -> Observation {
    let kernel = seen(case);
    compare(case, &kernel);
    kernel
}

/// Runs `case` on the simulator that speaks as the kernel which saw `kernel`.
pub fn compare(case: &Case, kernel: &Observation) {
    let release = Release::of_uname(&kernel.begin.kernel).expect("a described kernel");
    let plane =
        SimPlane { release, nr_cpus: kernel.begin.nr_cpus, cpu: kernel.begin.cpu, ..SimPlane::default() };
    let sim = match plane.run(case).expect("it is in this process") {
        Report::Seen(sim) => *sim,
        Report::Declined(decline) => panic!("the simulator declines: {}", decline.reason),
    };
    assert_eq!(sim.runs.len(), kernel.runs.len());
    for (mut sim, kernel) in sim.runs.into_iter().zip(&kernel.runs) {
        // Only the simulator knows which lines ran.
        sim.lines.clear();
        assert_eq!(&sim, kernel, "run {:?}", case.runs[kernel.index]);
    }
    assert_eq!(sim.end, kernel.end, "at the end");
}
