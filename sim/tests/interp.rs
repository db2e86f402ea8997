//! What the interpreter adds to the instruction set: counts, budgets, calls back from helpers, located faults.

mod support;

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;

use bpftwin_sim::bpf::asm;
use bpftwin_sim::bpf::fault::{Fault, FaultKind};
use bpftwin_sim::bpf::interp::{self, Ran};
use bpftwin_sim::bpf::jit;
use bpftwin_sim::bpf::machine::{Machine, ProgId};
use bpftwin_sim::bpf::mem::CTX_BASE;
use bpftwin_sim::bpf::object::Line;
use bpftwin_sim::bpf::program::{Image, Program, function_addr};
use bpftwin_sim::uapi::{ProgType, Release};
use support::{FUEL, TestHost};

fn machine() -> Machine {
    support::machine(Release::default())
}

fn with_helper(
    machine: &mut Machine,
    prog: ProgId,
    helper: support::Helper,
) -> (TestHost, Result<Ran, Box<Fault>>) {
    support::run_with(machine, prog, FUEL, || TestHost { helper, ..TestHost::default() })
}

#[test]
fn every_instruction_counts_once() {
    for (text, insns) in [
        ("r0 = 0; exit", 2),
        ("r0 = 0x1122334455667788 ll; exit", 2),
        ("r0 = 0; goto +1; r0 = 1; exit", 3),
        ("r0 = 0; if r0 == 1 goto +1; r0 = 1; exit", 4),
        ("r0 = 10; again: ; r0 -= 1; if r0 != 0 goto again; exit", 22),
        ("call f; exit; .func f; r0 = 0; exit", 4),
        ("call f; call f; exit; .func f; call g; exit; .func g; r0 = 0; exit", 11),
        ("r6 = r1; r0 = *(u8 *)skb[1000]; r0 = 1; r0 = 2; exit", 2),
    ] {
        let mut machine = machine();
        let prog = support::load(&mut machine, text);
        let full = support::run(&mut machine, prog).unwrap();
        assert_eq!(full.insns, insns, "{text}");
        for fuel in 0..insns {
            let short = support::run_with(&mut machine, prog, fuel, TestHost::default).1.unwrap_err();
            assert_eq!(short.kind, FaultKind::Fuel, "{text} with {fuel}");
        }
        assert_eq!(support::run_with(&mut machine, prog, insns, TestHost::default).1, Ok(full), "{text}");
    }
}

#[test]
fn a_program_without_end_stops() {
    for text in
        ["r0 = 0; goto -1", "r0 = 0; gotol -2", "r1 = 0; again: ; if r1 == 0 goto again; r0 = 0; exit"]
    {
        let mut machine = machine();
        let prog = support::load(&mut machine, text);
        let fault = support::run(&mut machine, prog).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Fuel, "{text}");
        assert!(fault.insn > 0, "{text}: at the jump, not where it leads");
        assert_eq!(machine.mem.frames(), 0);
    }
}

#[test]
fn may_goto_ends_after_the_kernels_number_of_rounds() {
    let mut machine = machine();
    let prog = support::load(&mut machine, "r0 = 0; again: ; may_goto +2; r0 += 1; goto again; exit");
    let ran = support::run_with(&mut machine, prog, u64::MAX, TestHost::default).1.unwrap();
    assert_eq!(ran.r0, 8 * 1024 * 1024);
}

#[test]
fn frames_are_eight_at_most() {
    let deep = |calls: usize| {
        let mut text = String::from("call f1; exit");
        for depth in 1..=calls {
            let body = if depth < calls { format!("call f{}", depth + 1) } else { "r0 = 7".to_owned() };
            write!(text, "; .func f{depth}; {body}; exit").unwrap();
        }
        let mut machine = machine();
        let prog = support::load(&mut machine, &text);
        support::run(&mut machine, prog).map(|ran| ran.r0).map_err(|fault| (fault.kind, fault.function))
    };
    assert_eq!(deep(7), Ok(7));
    assert_eq!(deep(8), Err((FaultKind::CallDepth, "f7".to_owned())));
}

#[test]
fn helpers_get_five_arguments_and_give_r0() {
    let mut machine = machine();
    let text = "r1 = 1; r2 = 2; r3 = 3; r4 = 4; r5 = 5; r6 = 6; call 1000; r0 += r6; exit";
    let prog = support::load(&mut machine, text);
    let (_, result) = with_helper(&mut machine, prog, |_, _, id, args| {
        assert_eq!((id, args), (1000, [1, 2, 3, 4, 5]));
        Ok(u64::MAX)
    });
    assert_eq!(result, Ok(Ran { r0: 5, insns: 9 }));
}

/// `bpf_loop`, as floor 3 would write it.
fn looping(host: &mut TestHost, machine: &mut Machine, _: u32, args: [u64; 5]) -> Result<u64, FaultKind> {
    for i in 0..args[0] {
        host.note.push(i);
        if interp::call(machine, host, args[1], [i, args[2], 0, 0, 0])? != 0 {
            return Ok(i + 1);
        }
    }
    Ok(args[0])
}

/// Three rounds of a callback that adds its index to the caller's frame, or does `body` before.
fn callback(body: &str) -> (TestHost, Result<Ran, Box<Fault>>) {
    let text = |function: u64| {
        format!(
            "*(u64 *)(r10 - 8) = 100; r6 = 6; r1 = 3; r2 = {function} ll; r3 = r10; r3 += -8; r4 = 0; call 181
             r7 = *(u64 *)(r10 - 8); r0 *= 1000; r0 += r7; r0 += r6; exit
             .func on_round
             r6 = 0; r3 = *(u64 *)(r2 + 0); r3 += r1; *(u64 *)(r2 + 0) = r3; r0 = 0; {body}; exit"
        )
    };
    let start = asm::assemble(&text(0)).unwrap().functions[1].start_slot;
    let mut machine = machine();
    let prog = support::load(&mut machine, &text(function_addr(start)));
    let out = with_helper(&mut machine, prog, looping);
    assert_eq!(machine.mem.frames(), 0);
    out
}

#[test]
fn helpers_call_back() {
    let (host, result) = callback("r0 = 0");
    assert_eq!(host.note, [0, 1, 2]);
    assert_eq!(result, Ok(Ran { r0: 3_000 + 103 + 6, insns: 13 + 3 * 7 }));
    let (_, stopped) = callback("if r1 != 1 goto +1; r0 = 1");
    assert_eq!(stopped.map(|ran| ran.r0), Ok(2_000 + 101 + 6));
}

#[test]
fn a_fault_in_a_callback_is_located_there() {
    let (_, result) = callback("r0 = *(u8 *)(r1 + 0)");
    let fault = result.unwrap_err();
    assert_eq!((fault.function.as_str(), fault.insn), ("on_round", 19));
    assert!(matches!(fault.kind, FaultKind::Access(_)), "{fault}");
}

#[test]
fn a_callback_may_not_tail_call_and_shares_the_budget() {
    let (_, result) = callback("r1 = 65536; call 12; r0 = 0");
    assert_eq!(result.unwrap_err().kind, FaultKind::Instruction("a tail call in a callback".to_owned()));
    let (_, result) = callback("goto -1");
    assert_eq!(result.unwrap_err().kind, FaultKind::Fuel);
}

#[test]
fn a_callback_is_a_function_of_the_running_program() {
    let mut machine = machine();
    let prog = support::load(&mut machine, "r1 = 1; r2 = 0x400001 ll; r3 = 0; call 181; exit");
    let (_, result) = with_helper(&mut machine, prog, looping);
    assert_eq!(
        result.unwrap_err().to_string(),
        "no function of main is at 0x400001 in main at instruction 4"
    );
}

#[test]
fn a_function_may_run_by_itself() {
    let mut machine = machine();
    let prog = support::load(&mut machine, "r0 = 0; exit; .func on_timer; r0 = r1; r0 += r3; exit");
    let mut host = TestHost::default();
    let mut run = |func| interp::run_function(&mut machine, &mut host, prog, func, [1, 2, 3, 4, 5], FUEL);
    assert_eq!(run(function_addr(2)), Ok(Ran { r0: 4, insns: 3 }));
    assert!(run(function_addr(3)).is_err());
}

/// `bpf_clone_redirect` and the like run other programs before they return.
#[test]
fn a_helper_may_run_another_program() {
    let mut machine = machine();
    let outer =
        support::load(&mut machine, "*(u64 *)(r10 - 8) = 5; call 1; r1 = *(u64 *)(r10 - 8); r0 += r1; exit");
    support::load(&mut machine, "*(u64 *)(r10 - 8) = 70; r0 = *(u64 *)(r10 - 8); exit");
    let (_, result) = with_helper(&mut machine, outer, |host, machine, _, _| {
        let inner = interp::run(machine, host, ProgId(1), 3).map_err(FaultKind::Located)?;
        assert_eq!(inner.insns, 3);
        Ok(inner.r0)
    });
    assert_eq!(result, Ok(Ran { r0: 75, insns: 5 }));
}

#[test]
fn faults_say_where() {
    let code = asm::assemble(
        "r6 = 5; call f; exit; .func f; r7 = 0x11 ll; r1 = 3; *(u8 *)(r1 + 0) = 1; r0 = 0; exit",
    );
    let code = code.unwrap();
    let line = |line, text: &str| Line { file: "a.bpf.c".into(), line, column: 1, text: text.into() };
    let image = Image {
        name: "main".to_owned(),
        prog_type: ProgType::Xdp,
        attach_type: None,
        xdp_has_frags: false,
        license_gpl: true,
        slots: code.slots,
        functions: code.functions,
        lines: vec![(0, line(7, "f();")), (3, line(2, "u8 *p = 3;")), (6, line(3, "*p = 1;"))],
        maps: Vec::new(),
    };
    let mut machine = machine();
    let prog = machine.add_program(Program::new(image).unwrap());
    let fault = support::run(&mut machine, prog).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "write of 1 bytes at 0x3: no object is near in f at instruction 6 (a.bpf.c:3: *p = 1;)"
    );
    assert_eq!((fault.program.as_str(), fault.regs[1], fault.regs[6], fault.regs[7]), ("main", 3, 5, 0x11));
}

#[test]
fn tail_calls_count_as_the_release_counts() {
    // Forty misses, then a hit: 77 if misses are free, 5 if they use up the 33.
    let misses: String = (0..40).map(|_| "r1 = r6; r2 = progs ll; r3 = 3; call 12\n").collect();
    let missing = format!("r6 = r1\n{misses}r1 = r6; r2 = progs ll; r3 = 1; call 12; r0 = 5; exit");
    // Thirty in the main program, then five functions that make one each.
    let calls: String = (0..5).map(|_| "r1 = r6; call f; r7 += r0\n").collect();
    let shared = format!(
        "r0 = *(u32 *)(r1 + 48); r0 += 1; *(u32 *)(r1 + 48) = r0; r6 = r1; r7 = 0
         if r0 > 30 goto functions
         r2 = progs ll; r3 = 0; call 12
         functions: ; {calls} r0 = r7; exit
         .func f
         r2 = progs ll; r3 = 1; call 12; r0 = 0; exit"
    );
    for (text, callee, expected) in [(missing, 77, [5, 77, 77]), (shared, 1, [5, 3, 3])] {
        for (&release, expected) in Release::ALL.iter().zip(expected) {
            let mut machine = support::machine(release);
            let progs = support::prog_array(&mut machine, 4);
            let callee = format!("r0 = {callee}; exit");
            for (index, text) in [(0, &text), (1, &callee)] {
                let mut code = asm::assemble(text).unwrap();
                code.define("progs", 0, progs.handle());
                let prog = machine.add_program(support::program(code.slots, code.functions).unwrap());
                support::set_program(&mut machine, progs, index, prog);
            }
            let ran = support::run(&mut machine, ProgId(0)).unwrap();
            assert_eq!(ran.r0, expected, "{release}: {text}");
        }
    }
}

#[test]
fn a_tail_call_wants_the_context_and_a_map() {
    let mut machine = machine();
    for (text, message) in [
        ("r1 = 1; r2 = 2; r3 = 3; call 12; exit", "bpf_tail_call, argument 1: not the context"),
        ("r2 = 2; r3 = 3; call 12; exit", "bpf_tail_call, argument 2: no map has the handle 0x2"),
    ] {
        let prog = support::load(&mut machine, text);
        let fault = support::run(&mut machine, prog).unwrap_err();
        assert_eq!(fault.kind.to_string(), message);
    }
}

#[test]
fn ld_abs_wants_the_context_in_r6() {
    let mut machine = machine();
    let prog = support::load(&mut machine, "r0 = *(u8 *)skb[0]; exit");
    let fault = support::run(&mut machine, prog).unwrap_err();
    assert_eq!(fault.kind.to_string(), "LD_ABS or LD_IND without the context in r6");
}

#[test]
fn a_tracer_sees_every_instruction_before_it_runs() {
    let mut machine = machine();
    let prog = support::load(&mut machine, "r0 = 1; call f; exit; .func f; r0 = 0x5 ll; exit");
    let steps = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&steps);
    machine.trace = Some(Box::new(move |step| {
        sink.borrow_mut().push((
            step.program.name().to_owned(),
            step.slot,
            step.depth,
            step.regs[0],
            step.regs[1],
        ));
    }));
    let step = |slot, depth, r0, r1| ("main".to_owned(), slot, depth, r0, r1);
    let first = [step(0, 0, 0, CTX_BASE), step(1, 0, 1, CTX_BASE)];
    // A call leaves nothing in r1 to r5.
    let rest = [step(3, 1, 1, CTX_BASE), step(5, 1, 5, CTX_BASE), step(2, 0, 5, 0)];
    // With a tracer, the compiling engine goes step by step as well.
    for engine in [interp::run, jit::run] {
        steps.borrow_mut().clear();
        let ran = engine(&mut machine, &mut TestHost::default(), prog, FUEL).unwrap();
        assert_eq!(*steps.borrow(), [first.as_slice(), &rest].concat());
        assert_eq!(ran.insns, steps.borrow().len() as u64);
    }
}
