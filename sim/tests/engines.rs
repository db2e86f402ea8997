//! Every engine against the interpreter: equal to the last register and byte, or declined by name.

mod support;

use std::collections::BTreeMap;
use std::fs;

use bpftwin_sim::bpf::engine::{self, Engine};
use bpftwin_sim::bpf::fault::{Fault, FaultKind};
use bpftwin_sim::bpf::interp::Ran;
use bpftwin_sim::bpf::machine::{Machine, ProgId};
use bpftwin_sim::bpf::program::function_addr;
use bpftwin_sim::bpf::vectors::{self, PACKET, Vector};
use bpftwin_sim::bpf::{asm, vectors::Expected};
use bpftwin_sim::uapi::Release;
use support::{FUEL, PACKET_AT, TestHost};

/// What the vectors of `isa/` that rbpf has to run come to at least.
const RBPF_RUNS: usize = 950;

/// All a run leaves behind.
#[derive(PartialEq, Debug)]
struct Left {
    ran: Result<Ran, Box<Fault>>,
    packet: Vec<u8>,
    cb: [u64; 2],
    frames: u32,
    executed: u64,
}

fn left(engine: Engine, host: TestHost, machine: &mut Machine, fuel: u64) -> Left {
    machine.engine = engine;
    let mut host = host;
    let ran = engine::run(machine, &mut host, ProgId(0), fuel);
    Left {
        ran,
        packet: machine.mem.raw(PACKET_AT, PACKET.len()).to_vec(),
        cb: host.cb,
        frames: machine.mem.frames(),
        executed: machine.executed,
    }
}

/// Why the engine does not run it, if it says so.
fn declined(left: &Left) -> Option<String> {
    match left.ran.as_ref().map_err(|fault| &fault.kind) {
        Err(FaultKind::Declined { what, why, .. }) => {
            let name = what.as_deref().and_then(|what| what.split(' ').next()).unwrap_or("all");
            Some(format!("{name}: {why}"))
        }
        _ => None,
    }
}

/// A vector's programs, loaded; `None` if one is refused, which happens before there is an engine.
fn load(vector: &Vector) -> Option<Machine> {
    let mut machine = support::machine(Release::default());
    let progs = support::prog_array(&mut machine, vectors::PROG_ARRAY_ENTRIES);
    for (index, mut code) in (0..).zip(vector.assemble().unwrap()) {
        code.define("progs", 0, progs.handle());
        let prog = machine.add_program(support::program(code.slots, code.functions).ok()?);
        support::set_program(&mut machine, progs, index, prog);
    }
    Some(machine)
}

#[test]
fn every_vector_leaves_the_same_behind_on_every_engine() {
    let mut files: Vec<_> = fs::read_dir("tests/isa").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut ran: BTreeMap<Engine, usize> = BTreeMap::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut loaded = 0;
    for file in files {
        for vector in vectors::parse(&fs::read_to_string(&file).unwrap()).unwrap() {
            let Some(mut machine) = load(&vector) else { continue };
            loaded += 1;
            let expected = left(Engine::Interp, TestHost::default(), &mut machine, FUEL);
            for &engine in Engine::ALL {
                let mut machine = load(&vector).unwrap();
                let seen = left(engine, TestHost::default(), &mut machine, FUEL);
                if let Some(reason) = declined(&seen) {
                    *reasons.entry(format!("{engine} declines {reason}")).or_default() += 1;
                } else if seen == expected {
                    *ran.entry(engine).or_default() += 1;
                } else {
                    wrong.push(format!("{engine}: {}: {seen:x?}, not {expected:x?}", vector.name));
                }
            }
            if let (Expected::R0(r0), Ok(ran)) = (&vector.expected, &expected.ran) {
                assert_eq!(ran.r0, *r0, "{}", vector.name);
            }
        }
    }
    println!("{loaded} vectors: {ran:?} ran the same, {reasons:#?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(ran[&Engine::Interp], loaded);
    assert_eq!(ran[&Engine::Auto], loaded, "auto runs everything");
    assert!(ran[&Engine::Rbpf] >= RBPF_RUNS, "rbpf runs {} of {loaded}", ran[&Engine::Rbpf]);
    assert!(reasons.keys().all(|reason| reason.ends_with("without a sign")), "{reasons:?}");
}

/// Programs about what is between the instructions: budgets, frames, callbacks, faults.
fn awkward() -> Vec<String> {
    let callback = |body: &str| {
        let text = |function: u64| {
            format!(
                "r6 = 6; r1 = 3; r2 = {function} ll; r3 = r10; r3 += -8; *(u64 *)(r3 + 0) = 1; r4 = 0; call 181
                 r7 = *(u64 *)(r10 - 8); r0 *= 1000; r0 += r7; r0 += r6; exit
                 .func on_round
                 r6 = 0; r3 = *(u64 *)(r2 + 0); r3 += r1; *(u64 *)(r2 + 0) = r3; r0 = 0; {body}; exit"
            )
        };
        let start = asm::assemble(&text(0)).unwrap().functions[1].start_slot;
        text(function_addr(start))
    };
    let mut texts: Vec<String> = [
        "r0 = 10; again: ; r0 -= 1; if r0 != 0 goto again; exit",
        "r0 = 0; goto -1",
        "r0 = 0; gotol -2",
        "r1 = 0; again: ; if r1 == 0 goto again; r0 = 0; exit",
        "r0 = 0; again: ; may_goto +2; r0 += 1; goto again; exit",
        "call f; call f; exit; .func f; call g; exit; .func g; r0 = 0; exit",
        "call f; exit; .func f; call f; exit",
        "r0 = r10; r0 -= r10; r2 = 5; r2 += r10; r0 += r2; r0 -= r10; if r10 != r0 goto +1; r0 = 0; exit",
        "r0 = 7; r0 &= r10; w0 |= w10; w1 = w10; r0 += r1; exit",
        "r0 = -1; if r0 s> -2 goto +1; exit; if r0 >= -1 goto +1; exit; r0 = 5; exit",
        "r0 = 1; r0 <<= 63; r0 = -r0; w1 = 0; w0 %= w1; exit",
        "r0 = -1; w1 = 0; w0 %= w1; exit",
        "r1 = 3; *(u8 *)(r1 + 0) = 1; r0 = 0; exit",
        "r0 = *(u64 *)(r10 - 520); exit",
        "r3 = 0x123456789abcdef0 ll; *(u32 *)(r1 + 48) = r3; r0 = *(u32 *)(r1 + 48); exit",
        "r6 = r1; r0 = *(u16 *)skb[12]; r7 = 3; r0 = *(u8 *)skb[r7 + 10]; exit",
        "r6 = r1; r0 = *(u8 *)skb[1000]; r0 = 1; exit",
        "*(u64 *)(r10 - 8) = 5; r1 = 3; lock *(u64 *)(r10 - 8) += r1; r0 = *(u64 *)(r10 - 8); exit",
        "r1 = 0; r2 = 0; r3 = 0; call 12; exit",
        "call 99; exit",
    ]
    .map(str::to_owned)
    .to_vec();
    for body in
        ["r0 = 0", "if r1 != 1 goto +1; r0 = 1", "r0 = *(u8 *)(r1 + 0)", "goto -1", "call f; exit; .func f"]
    {
        texts.push(callback(body));
    }
    texts
}

fn looping() -> TestHost {
    TestHost {
        helper: |host, machine, id, args| {
            if id != 181 {
                return Err(FaultKind::Instruction(format!("no helper {id}")));
            }
            for i in 0..args[0] {
                if engine::call(machine, host, args[1], [i, args[2], 0, 0, 0])? != 0 {
                    return Ok(i + 1);
                }
            }
            Ok(args[0])
        },
        ..TestHost::default()
    }
}

#[test]
fn budgets_frames_callbacks_and_faults_are_the_same_on_every_engine() {
    for text in awkward() {
        let machine = || {
            let mut machine = support::machine(Release::default());
            support::load(&mut machine, &text);
            machine
        };
        for fuel in (0..80).chain([FUEL]) {
            let expected = left(Engine::Interp, looping(), &mut machine(), fuel);
            for &engine in Engine::ALL {
                assert_eq!(
                    left(engine, looping(), &mut machine(), fuel),
                    expected,
                    "{engine}, {fuel}: {text}"
                );
            }
        }
    }
}

#[test]
fn a_long_straight_line_and_a_far_jump() {
    let body = "r0 += 1\n".repeat(40_000);
    let text = format!("r0 = 0; goto over; back: ; exit; over: ; {body} gotol back");
    // The distance back does not fit a plain jump; the one over it does.
    for &engine in Engine::ALL {
        let mut machine = support::machine(Release::default());
        support::load(&mut machine, &text);
        let left = left(engine, TestHost::default(), &mut machine, FUEL);
        assert_eq!(left.ran, Ok(Ran { r0: 40_000, insns: 40_004 }), "{engine}");
    }
}

#[test]
fn a_decline_names_program_instruction_and_reason_and_nothing_runs() {
    let mut machine = support::machine(Release::default());
    support::load(&mut machine, "r0 = 9; *(u32 *)(r1 + 48) = r0; r2 = 2; r0 s/= r2; exit");
    let left = left(Engine::Rbpf, TestHost::default(), &mut machine, FUEL);
    let fault = left.ran.unwrap_err();
    assert_eq!(
        fault.to_string(),
        "engine rbpf declines `sdiv64 r0, r2`: rbpf 0.4.1 divides without a sign in main at instruction 3"
    );
    assert_eq!((left.cb, left.frames, left.executed), ([0; 2], 0, 0));
}

#[test]
fn a_tracer_sees_every_instruction_whichever_engine_is_chosen() {
    for &engine in Engine::ALL {
        let mut machine = support::machine(Release::default());
        let prog = support::load(&mut machine, "r0 = 9; r2 = 2; r0 s/= r2; exit");
        let steps = std::rc::Rc::new(std::cell::Cell::new(0));
        let sink = steps.clone();
        machine.trace = Some(Box::new(move |_| sink.set(sink.get() + 1)));
        machine.engine = engine;
        let ran = engine::run(&mut machine, &mut TestHost::default(), prog, FUEL);
        assert_eq!((ran, steps.get()), (Ok(Ran { r0: 4, insns: 4 }), 4), "{engine}");
    }
}
