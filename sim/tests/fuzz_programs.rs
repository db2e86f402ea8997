//! Whatever bytes come as a program: an error or a run that ends, never a panic.

mod support;

use std::cell::{Cell, RefCell};

use bpftwin_sim::bpf::asm;
use bpftwin_sim::bpf::engine::{self, Engine};
use bpftwin_sim::bpf::fault::FaultKind;
use bpftwin_sim::bpf::machine::{Machine, Tracer};
use bpftwin_sim::bpf::map::MapId;
use bpftwin_sim::bpf::mem::CTX_BASE;
use bpftwin_sim::bpf::program::{Function, function_addr};
use bpftwin_sim::bpf::vectors::PACKET;
use bpftwin_sim::uapi::Release;
use bpftwin_sim::uapi::insn::{BPF_DW, BPF_IMM, BPF_LD, Slot};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use support::{PACKET_AT, TestHost};

/// How many random programs; `FUZZ_PROGRAMS` asks for fewer, where each takes long, or for more.
fn cases() -> u32 {
    std::env::var("FUZZ_PROGRAMS").map_or(150_000, |n| n.parse().expect("FUZZ_PROGRAMS is a number"))
}

/// One in so many is compiled as well, which takes longer than all else together.
const COMPILED: u32 = 20;
const FUEL: u64 = 400;

const EXIT: u64 = Slot { code: 0x95, dst: 0, src: 0, off: 0, imm: 0 }.to_u64();

/// Whether the instruction decodes with others around it.
fn stands_alone(slot: u64) -> bool {
    let mut slots = vec![EXIT; 24];
    slots[8] = slot;
    if is_wide(slot) {
        slots[9] = 0;
    }
    support::program(slots, Vec::new()).is_ok()
}

fn is_wide(slot: u64) -> bool {
    slot as u8 == BPF_LD | BPF_IMM | BPF_DW
}

/// Opcodes that exist, so that most programs get past decoding.
fn codes() -> Vec<u8> {
    let offset = Slot { off: -8, ..Slot::default() };
    let swap = Slot { imm: 16, ..Slot::default() };
    let forms = |code| [offset, swap, Slot::default()].map(|form| Slot { code, ..form }.to_u64());
    (0..=u8::MAX).filter(|&code| forms(code).into_iter().any(stands_alone)).collect()
}

/// A function made of those of the slots that stand alone.
fn function(slots: Vec<u64>) -> Vec<u64> {
    let mut body = Vec::new();
    for slot in slots.into_iter().filter(|&slot| stands_alone(slot)) {
        body.push(slot);
        if is_wide(slot) {
            body.push(0);
        }
    }
    body.push(EXIT);
    body
}

fn slot(codes: Vec<u8>) -> impl Strategy<Value = u64> {
    // Moves, additions, loads, stores to the frame and jumps, which are fused when they meet.
    let fusable = vec![
        0xbf, 0xbf, 0xbc, 0x07, 0x0f, 0x57, 0x77, 0x2d, 0x55, 0x56, 0x15, 0x16, 0x05, 0xb4, 0x0c, 0x54, 0x61,
        0x69, 0x71, 0x63, 0x6b,
    ];
    let code = prop_oneof![
        6 => prop::sample::select(codes),
        3 => prop::sample::select(fusable),
        1 => any::<u8>(),
    ];
    let off = prop_oneof![4 => Just(0_i16), 2 => -4_i16..8, 1 => -520_i16..8, 1 => any::<i16>()];
    let imm = prop_oneof![6 => Just(0), 3 => 0..16, 1 => Just(12), 1 => any::<i32>()];
    // Fields that must be zero mostly are.
    let src = prop_oneof![2 => Just(0_u8), 1 => 0_u8..11, 1 => Just(10), 1 => 0_u8..16];
    let dst = prop_oneof![2 => Just(0_u8), 6 => 0_u8..10, 1 => 0_u8..16];
    (code, dst, src, off, imm)
        .prop_map(|(code, dst, src, off, imm)| Slot { code, dst, src, off, imm }.to_u64())
}

/// What a helper does with a program that means no good: calls it back.
fn hostile(host: &mut TestHost, machine: &mut Machine, id: u32, args: [u64; 5]) -> Result<u64, FaultKind> {
    if id.is_multiple_of(2) {
        return engine::call(machine, host, function_addr(id % 8), args);
    }
    Ok(CTX_BASE)
}

/// Runs what decodes on every engine; tells how far it came, and whether the engines all ran it.
fn try_program(
    machine: &mut Machine,
    slots: Vec<u64>,
    functions: Vec<Function>,
    compiled: bool,
) -> (bool, bool, bool) {
    let Ok(program) = support::program(slots, functions) else { return (false, false, false) };
    machine.programs.clear();
    let prog = machine.add_program(program);
    support::set_program(machine, MapId(0), 0, prog);
    let mut once = |engine, trace: Option<Tracer>| {
        machine.mem.raw_mut(PACKET_AT, PACKET.len()).copy_from_slice(&PACKET);
        machine.trace = trace;
        machine.engine = engine;
        let mut host = TestHost { helper: hostile, ..TestHost::default() };
        let result = engine::run(machine, &mut host, prog, FUEL);
        assert_eq!(machine.mem.frames(), 0);
        (result, machine.mem.raw(PACKET_AT, PACKET.len()).to_vec())
    };
    let (result, packet) = once(Engine::Interp, None);
    // One instruction at a time, nothing fused: the same.
    assert_eq!(once(Engine::Interp, Some(Box::new(|_| ()))), (result.clone(), packet.clone()));
    let mut everywhere = true;
    for &engine in Engine::ALL.iter().filter(|&&engine| compiled || engine != Engine::Jit) {
        let (other, left) = once(engine, None);
        if matches!(&other, Err(fault) if matches!(fault.kind, FaultKind::Declined { .. })) {
            everywhere = false;
        } else {
            assert_eq!((&other, &left), (&result, &packet), "{engine}");
        }
    }
    match result {
        Ok(ran) => {
            assert!(ran.insns <= FUEL);
            (true, true, everywhere)
        }
        Err(fault) => {
            assert!(!fault.to_string().is_empty());
            (true, false, everywhere)
        }
    }
}

#[test]
fn no_program_makes_an_engine_panic_or_differ() {
    let codes = codes();
    let body = prop::collection::vec(slot(codes.clone()), 1..16);
    let second = prop::option::of(prop::collection::vec(slot(codes), 1..6));
    let machine = RefCell::new(support::machine(Release::default()));
    support::prog_array(&mut machine.borrow_mut(), 2);
    let counts = Cell::new((0, 0, 0));
    let cases = cases();
    TestRunner::new(config(cases))
        .run(&(body, second), |(main, second)| {
            let mut slots = function(main);
            let mut functions = Vec::new();
            if let Some(second) = second {
                functions.push(Function { name: "second".to_owned(), start_slot: slots.len() as u32 });
                slots.extend(function(second));
            }
            let (all, ended, by_all) = counts.get();
            let compiled = all % COMPILED == 0;
            let (decoded, returned, everywhere) =
                try_program(&mut machine.borrow_mut(), slots, functions, compiled);
            counts.set((
                all + u32::from(decoded),
                ended + u32::from(returned),
                by_all + u32::from(everywhere),
            ));
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
    let (decoded, returned, everywhere) = counts.get();
    println!(
        "{cases} programs, {decoded} decoded, {returned} ran to their end, {everywhere} ran on every engine"
    );
    assert!(decoded > cases / 3 * 2 && returned > cases / 3, "{decoded} decoded, {returned} returned");
    assert!(everywhere > cases / 5 * 3, "{everywhere} on every engine");
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn no_bytes_make_the_decoder_panic(slots: Vec<u64>, starts: Vec<u8>) {
        let functions = starts.iter().map(|&s| Function { name: String::new(), start_slot: u32::from(s) }).collect();
        let _ = support::program(slots, functions);
    }

    #[test]
    fn no_text_makes_the_assembler_panic(text in "[rw0-9+*/=&|<> s()\\[\\]\\-;:.a-z\n]{0,60}") {
        let _ = asm::assemble(&text);
    }
}
