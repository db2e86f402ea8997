//! What the engines do with programs that this machine has no machine code of.

use crate::bpf::asm::assemble;
use crate::bpf::engine::{self, Engine, HOT};
use crate::bpf::fault::{Fault, FaultKind};
use crate::bpf::interp::Ran;
use crate::bpf::machine::{Host, Machine, ProgId};
use crate::bpf::map::{MapSpec, Reference, TailCallee};
use crate::bpf::program::{Image, Program, function_addr};
use crate::uapi::{MapType, ProgType, Release};

const WHY: &str = "memory cannot be made executable: Permission denied (os error 13)";
const FUEL: u64 = 100_000;

/// Knows `bpf_loop` and counts how often a program ends.
#[derive(Default)]
struct Loops {
    exits: u32,
}

impl Host for Loops {
    fn helper(&mut self, machine: &mut Machine, _: u32, args: [u64; 5]) -> Result<u64, FaultKind> {
        for i in 0..args[0] {
            engine::call(machine, self, args[1], [i, args[2], 0, 0, 0])?;
        }
        Ok(args[0])
    }

    fn ctx_load(&mut self, _: &mut Machine, _: u32, _: u32) -> Result<u64, FaultKind> {
        Ok(7)
    }

    fn ctx_store(&mut self, _: &mut Machine, _: u32, _: u32, _: u64) -> Result<(), FaultKind> {
        Ok(())
    }

    fn exit(&mut self, _: &mut Machine) -> Result<(), FaultKind> {
        self.exits += 1;
        Ok(())
    }
}

fn add(machine: &mut Machine, text: &str, refused: bool) -> ProgId {
    let code = assemble(text).unwrap();
    let image = Image {
        name: "main".to_owned(),
        prog_type: ProgType::SchedCls,
        attach_type: None,
        xdp_has_frags: false,
        license_gpl: true,
        slots: code.slots,
        functions: code.functions,
        lines: Vec::new(),
        maps: Vec::new(),
    };
    let program = Program::new(image).unwrap();
    machine.add_program(if refused { program.refused(WHY) } else { program })
}

/// Two programs: one that tail-calls the other from a function, and that other one, which loops and calls back. Those
/// named are refused machine code.
fn machine(engine: Engine, refused: &[u32]) -> Machine {
    let mut machine = Machine::new(Release::default(), 1);
    machine.engine = engine;
    let spec = MapSpec {
        name: "progs".to_owned(),
        map_type: MapType::ProgArray,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        flags: 0,
        extra: 0,
        inner: None,
        pinning: 0,
        key_type: 0,
        value_type: 0,
        fields: Vec::new(),
    };
    let (maps, mut ctx) = machine.maps();
    let progs = maps.create(&mut ctx, &spec).unwrap();
    let first = format!(
        "r8 = 5; call f; r0 += r8; exit
         .func f
         r2 = {} ll; r3 = 0; call 12; r0 = -1; exit",
        progs.handle()
    );
    let second = |function: u64| {
        format!(
            "r6 = *(u32 *)(r1 + 0); r1 = 3; r2 = {function} ll; r3 = r10; r3 += -8; *(u64 *)(r3 + 0) = r6; r4 = 0
             call 181; r7 = *(u64 *)(r10 - 8); r0 *= 1000; r0 += r7; exit
             .func on_round
             r3 = *(u64 *)(r2 + 0); r3 += r1; *(u64 *)(r2 + 0) = r3; r0 = 0; exit"
        )
    };
    let start = assemble(&second(0)).unwrap().functions[1].start_slot;
    add(&mut machine, &first, refused.contains(&0));
    let prog = add(&mut machine, &second(function_addr(start)), refused.contains(&1));
    let callee = TailCallee::of(&machine, prog);
    let (maps, _) = machine.maps();
    maps.sys_update_reference(progs, &0_u32.to_le_bytes(), Reference::Program(callee), 0).unwrap();
    machine
}

type Outcome = (Result<Ran, Box<Fault>>, u32, u32);

fn once(machine: &mut Machine, fuel: u64) -> Outcome {
    let mut host = Loops::default();
    let ran = engine::run(machine, &mut host, ProgId(0), fuel);
    (ran, host.exits, machine.mem.frames())
}

#[test]
fn auto_runs_what_is_hot_compiled_and_all_else_interpreted() {
    for refused in [[].as_slice(), &[0], &[1], &[0, 1]] {
        let expected: Vec<_> = (0..40).map(|fuel| once(&mut machine(Engine::Interp, &[]), fuel)).collect();
        let whole = once(&mut machine(Engine::Interp, &[]), FUEL);
        assert_eq!(whole, (Ok(Ran { r0: 3015, insns: 34 }), 1, 0));
        let mut machine = machine(Engine::Auto, refused);
        for round in 0..HOT * 5 / 2 {
            assert_eq!(once(&mut machine, FUEL), whole, "{round}, {refused:?}");
        }
        for (fuel, expected) in (0..).zip(&expected) {
            assert_eq!(&once(&mut machine, fuel), expected, "{fuel}, {refused:?}");
        }
        let compiled = |id: u32| machine.programs[id as usize].machine_code().is_ok();
        let seen = [0, 1].map(|id: u32| machine.programs[id as usize].is_compiled() && compiled(id));
        // A run that begins in the interpreter ends there: its targets are not asked for.
        let expected = [0, 1].map(|id| !refused.contains(&id) && !refused.contains(&0));
        assert_eq!(seen, expected, "{refused:?}");
    }
}

#[test]
fn runs_in_a_row_begin_anew() {
    let in_a_row = |engine, times, wanted: usize, fuel| {
        let mut machine = machine(engine, &[]);
        let mut host = Loops::default();
        let mut seen = Vec::new();
        let last = engine::run_repeatedly(&mut machine, &mut host, ProgId(0), fuel, times, |ran| {
            seen.push(ran);
            seen.len() < wanted
        });
        (last, seen, host.exits, machine.mem.frames(), machine.executed)
    };
    for (times, wanted, fuel) in [(0, 9, FUEL), (1, 9, FUEL), (5, 9, FUEL), (5, 2, FUEL), (5, 9, 33)] {
        let expected = in_a_row(Engine::Interp, times, wanted, fuel);
        assert_eq!(in_a_row(Engine::Jit, times, wanted, fuel), expected, "{times}, {wanted}, {fuel}");
        assert_eq!(expected.1.len(), if fuel == 33 { 0 } else { wanted.min(times as usize) });
    }
    // From the middle on compiled.
    let times = HOT as u32 * 5 / 2;
    let (_, seen, ..) = in_a_row(Engine::Auto, times, usize::MAX, FUEL);
    assert_eq!(seen, vec![Ran { r0: 3015, insns: 34 }; times as usize]);
}

#[test]
fn auto_leaves_cold_targets_of_tail_calls_alone() {
    let mut machine = machine(Engine::Auto, &[]);
    for _ in 0..HOT / 2 {
        assert!(once(&mut machine, FUEL).0.is_ok());
    }
    let compiled: Vec<bool> = machine.programs.iter().map(|program| program.is_compiled()).collect();
    assert_eq!(compiled, [true, false]);
}

#[test]
fn where_machine_code_cannot_be_had_the_compiling_engine_declines_by_name() {
    let (ran, exits, frames) = once(&mut machine(Engine::Jit, &[0]), FUEL);
    let declined =
        format!("engine jit declines: not available on this machine: {WHY} in main at instruction 0");
    assert_eq!((ran.unwrap_err().to_string(), exits, frames), (declined.clone(), 0, 0));
    let (ran, exits, frames) = once(&mut machine(Engine::Jit, &[1]), FUEL);
    assert_eq!((ran.unwrap_err().to_string(), exits, frames), (declined, 0, 0));
}
