//! The loop over instructions.

use super::arith::{
    arsh32, arsh64, div32, div64, lsh32, lsh64, mod32, mod64, rsh32, rsh64, sdiv32, sdiv64, smod32, smod64,
};
use super::{
    Return, Run, Step, atomic, locate, program_of, push_frame, slow_load, slow_store, slow_store_imm, tail,
};
use crate::bpf::fault::{Fault, FaultKind};
use crate::bpf::insn::{Insn, Op};
use crate::bpf::machine::{Host, Machine, ProgId};
use crate::bpf::mem::CTX_BASE;
use crate::uapi::Release;
use crate::uapi::insn::BPF_MAX_LOOPS;

/// Runs the function at `pc` of `prog` until it returns; gives its `r0`.
pub(super) fn enter(
    machine: &mut Machine,
    host: &mut dyn Host,
    prog: ProgId,
    pc: usize,
    args: [u64; 5],
) -> Result<u64, Box<Fault>> {
    if machine.trace.is_some() {
        execute::<true>(machine, host, prog, pc, args)
    } else {
        execute::<false>(machine, host, prog, pc, args)
    }
}

/// Registers, 16 of them so that a masked index needs no bounds check.
type Regs = [u64; 16];

fn visible(regs: &Regs) -> [u64; 11] {
    std::array::from_fn(|i| regs[i])
}

fn trace(machine: &mut Machine, prog: ProgId, index: usize, regs: &Regs) {
    let program = program_of(machine, prog);
    let depth = machine.mem.frames() - machine.run.first_frame - 1;
    let slot = program.slot_of(index);
    if let Some(hook) = &mut machine.trace {
        hook(&Step { program: &program, slot, depth, regs: visible(regs) });
    }
}

/// Instructions are counted where control leaves a straight line: `pc - origin` is the number executed so far, and
/// whatever moves `pc` by a distance moves `origin` by the same. The budget is looked at wherever code could run on
/// without end: at jumps back, calls and returns.
#[allow(clippy::cognitive_complexity)]
fn execute<const TRACE: bool>(
    machine: &mut Machine,
    host: &mut dyn Host,
    mut prog: ProgId,
    mut pc: usize,
    args: [u64; 5],
) -> Result<u64, Box<Fault>> {
    let floor = machine.run.returns.len();
    let mut regs: Regs = [0; 16];
    regs[1..6].copy_from_slice(&args);
    regs[10] = match push_frame(machine) {
        Ok(fp) => fp,
        Err(kind) => return Err(locate(&program_of(machine, prog), pc, visible(&regs), kind)),
    };
    let mut may_goto = 0;
    let mut origin = pc.wrapping_sub(machine.run.insns as usize);
    'program: loop {
        let program = program_of(machine, prog);
        machine.run.program = Some(prog);
        let code = program.code();
        macro_rules! fault {
            ($kind:expr) => {
                return Err(locate(&program, pc.wrapping_sub(1), visible(&regs), $kind.into()))
            };
        }
        macro_rules! check_fuel {
            () => {
                if pc.wrapping_sub(origin) as u64 > machine.run.fuel {
                    fault!(FaultKind::Fuel)
                }
            };
        }
        loop {
            if TRACE {
                trace(machine, prog, pc, &regs);
            }
            let Insn { op, dst, src, off, imm } = code[pc];
            let (dst, src) = (usize::from(dst & 15), usize::from(src & 15));
            pc += 1;
            macro_rules! alu64 {
                (imm, $f:expr) => {
                    regs[dst] = $f(regs[dst], imm)
                };
                (reg, $f:expr) => {
                    regs[dst] = $f(regs[dst], regs[src])
                };
            }
            macro_rules! alu32 {
                (imm, $f:expr) => {
                    regs[dst] = $f(regs[dst] as u32, imm as u32) as u64
                };
                (reg, $f:expr) => {
                    regs[dst] = $f(regs[dst] as u32, regs[src] as u32) as u64
                };
            }
            macro_rules! go {
                () => {{
                    if off < 0 {
                        check_fuel!();
                    }
                    pc = pc.wrapping_add_signed(off as isize);
                    origin = origin.wrapping_add_signed(off as isize);
                }};
            }
            macro_rules! jump_if {
                (imm, $type:ty, $f:expr) => {
                    if $f(&(regs[dst] as $type), &(imm as $type)) {
                        go!()
                    }
                };
                (reg, $type:ty, $f:expr) => {
                    if $f(&(regs[dst] as $type), &(regs[src] as $type)) {
                        go!()
                    }
                };
            }
            macro_rules! load {
                ($type:ty, $wide:ty) => {{
                    let addr = regs[src].wrapping_add_signed(off as i64);
                    regs[dst] = match machine.mem.peek(addr) {
                        Some(bytes) => <$type>::from_le_bytes(bytes) as $wide as u64,
                        None => match slow_load(machine, host, addr, size_of::<$type>() as u32) {
                            Ok(value) => value as $type as $wide as u64,
                            Err(kind) => fault!(kind),
                        },
                    }
                }};
            }
            macro_rules! store {
                ($type:ty, $value:expr) => {
                    store!($type, $value, slow_store, u64)
                };
                ($type:ty, $value:expr, $slow:ident, $whole:ty) => {{
                    let addr = regs[dst].wrapping_add_signed(off as i64);
                    match machine.mem.poke(addr) {
                        Some(bytes) => *bytes = ($value as $type).to_le_bytes(),
                        None => {
                            let value = $value as $whole;
                            if let Err(kind) = $slow(machine, host, addr, size_of::<$type>() as u32, value) {
                                fault!(kind)
                            }
                        }
                    }
                }};
            }
            macro_rules! stack_load {
                ($type:ty) => {
                    regs[dst] = <$type>::from_le_bytes(*machine.mem.frame_bytes(regs[10], off)) as u64
                };
            }
            macro_rules! stack_store {
                ($type:ty, $value:expr) => {
                    *machine.mem.frame_bytes(regs[10], off) = ($value as $type).to_le_bytes()
                };
            }
            macro_rules! atomic {
                ($width:literal) => {
                    if let Err(kind) = atomic::execute(&mut machine.mem, code[pc - 1], $width, &mut regs) {
                        fault!(kind)
                    }
                };
            }
            macro_rules! leave {
                () => {{
                    check_fuel!();
                    if machine.run.returns.len() == floor
                        && machine.run.callbacks == 0
                        && let Err(kind) = host.exit(machine)
                    {
                        fault!(kind);
                    }
                    machine.mem.pop_frame();
                    if machine.run.returns.len() == floor {
                        machine.run.insns = pc.wrapping_sub(origin) as u64;
                        return Ok(regs[0]);
                    }
                    let caller = resume(&mut machine.run, machine.release, &mut regs);
                    may_goto = caller.may_goto;
                    origin = caller.pc.wrapping_sub(pc.wrapping_sub(origin));
                    pc = caller.pc;
                    if caller.program != prog {
                        prog = caller.program;
                        continue 'program;
                    }
                }};
            }
            match op {
                Op::Add64Imm => alu64!(imm, u64::wrapping_add),
                Op::Sub64Imm => alu64!(imm, u64::wrapping_sub),
                Op::Mul64Imm => alu64!(imm, u64::wrapping_mul),
                Op::Div64Imm => alu64!(imm, div64),
                Op::Sdiv64Imm => alu64!(imm, sdiv64),
                Op::Mod64Imm => alu64!(imm, mod64),
                Op::Smod64Imm => alu64!(imm, smod64),
                Op::Or64Imm => alu64!(imm, |a: u64, b: u64| a | b),
                Op::And64Imm => alu64!(imm, |a: u64, b: u64| a & b),
                Op::Xor64Imm => alu64!(imm, |a: u64, b: u64| a ^ b),
                Op::Lsh64Imm => alu64!(imm, lsh64),
                Op::Rsh64Imm => alu64!(imm, rsh64),
                Op::Arsh64Imm => alu64!(imm, arsh64),
                Op::Add64Reg => alu64!(reg, u64::wrapping_add),
                Op::Sub64Reg => alu64!(reg, u64::wrapping_sub),
                Op::Mul64Reg => alu64!(reg, u64::wrapping_mul),
                Op::Div64Reg => alu64!(reg, div64),
                Op::Sdiv64Reg => alu64!(reg, sdiv64),
                Op::Mod64Reg => alu64!(reg, mod64),
                Op::Smod64Reg => alu64!(reg, smod64),
                Op::Or64Reg => alu64!(reg, |a: u64, b: u64| a | b),
                Op::And64Reg => alu64!(reg, |a: u64, b: u64| a & b),
                Op::Xor64Reg => alu64!(reg, |a: u64, b: u64| a ^ b),
                Op::Lsh64Reg => alu64!(reg, lsh64),
                Op::Rsh64Reg => alu64!(reg, rsh64),
                Op::Arsh64Reg => alu64!(reg, arsh64),
                Op::Add32Imm => alu32!(imm, u32::wrapping_add),
                Op::Sub32Imm => alu32!(imm, u32::wrapping_sub),
                Op::Mul32Imm => alu32!(imm, u32::wrapping_mul),
                Op::Div32Imm => alu32!(imm, div32),
                Op::Sdiv32Imm => alu32!(imm, sdiv32),
                Op::Mod32Imm => alu32!(imm, mod32),
                Op::Smod32Imm => alu32!(imm, smod32),
                Op::Or32Imm => alu32!(imm, |a: u32, b: u32| a | b),
                Op::And32Imm => alu32!(imm, |a: u32, b: u32| a & b),
                Op::Xor32Imm => alu32!(imm, |a: u32, b: u32| a ^ b),
                Op::Lsh32Imm => alu32!(imm, lsh32),
                Op::Rsh32Imm => alu32!(imm, rsh32),
                Op::Arsh32Imm => alu32!(imm, arsh32),
                Op::Add32Reg => alu32!(reg, u32::wrapping_add),
                Op::Sub32Reg => alu32!(reg, u32::wrapping_sub),
                Op::Mul32Reg => alu32!(reg, u32::wrapping_mul),
                Op::Div32Reg => alu32!(reg, div32),
                Op::Sdiv32Reg => alu32!(reg, sdiv32),
                Op::Mod32Reg => alu32!(reg, mod32),
                Op::Smod32Reg => alu32!(reg, smod32),
                Op::Or32Reg => alu32!(reg, |a: u32, b: u32| a | b),
                Op::And32Reg => alu32!(reg, |a: u32, b: u32| a & b),
                Op::Xor32Reg => alu32!(reg, |a: u32, b: u32| a ^ b),
                Op::Lsh32Reg => alu32!(reg, lsh32),
                Op::Rsh32Reg => alu32!(reg, rsh32),
                Op::Arsh32Reg => alu32!(reg, arsh32),
                Op::Neg64 => regs[dst] = regs[dst].wrapping_neg(),
                Op::Neg32 => regs[dst] = (regs[dst] as u32).wrapping_neg() as u64,
                Op::MovImm => regs[dst] = imm,
                Op::Mov64Reg => regs[dst] = regs[src],
                Op::Mov32Reg => regs[dst] = regs[src] as u32 as u64,
                Op::Movsx8To64 => regs[dst] = regs[src] as i8 as u64,
                Op::Movsx16To64 => regs[dst] = regs[src] as i16 as u64,
                Op::Movsx32To64 => regs[dst] = regs[src] as i32 as u64,
                Op::Movsx8To32 => regs[dst] = regs[src] as i8 as u32 as u64,
                Op::Movsx16To32 => regs[dst] = regs[src] as i16 as u32 as u64,
                Op::Le16 => regs[dst] = regs[dst] as u16 as u64,
                Op::Le32 => regs[dst] = regs[dst] as u32 as u64,
                Op::Nop => {}
                Op::Swap16 => regs[dst] = (regs[dst] as u16).swap_bytes() as u64,
                Op::Swap32 => regs[dst] = (regs[dst] as u32).swap_bytes() as u64,
                Op::Swap64 => regs[dst] = regs[dst].swap_bytes(),
                Op::Ja => go!(),
                Op::Jeq64Imm => jump_if!(imm, u64, u64::eq),
                Op::Jne64Imm => jump_if!(imm, u64, u64::ne),
                Op::Jgt64Imm => jump_if!(imm, u64, u64::gt),
                Op::Jge64Imm => jump_if!(imm, u64, u64::ge),
                Op::Jlt64Imm => jump_if!(imm, u64, u64::lt),
                Op::Jle64Imm => jump_if!(imm, u64, u64::le),
                Op::Jset64Imm => jump_if!(imm, u64, |a: &u64, b: &u64| a & b != 0),
                Op::Jsgt64Imm => jump_if!(imm, i64, i64::gt),
                Op::Jsge64Imm => jump_if!(imm, i64, i64::ge),
                Op::Jslt64Imm => jump_if!(imm, i64, i64::lt),
                Op::Jsle64Imm => jump_if!(imm, i64, i64::le),
                Op::Jeq64Reg => jump_if!(reg, u64, u64::eq),
                Op::Jne64Reg => jump_if!(reg, u64, u64::ne),
                Op::Jgt64Reg => jump_if!(reg, u64, u64::gt),
                Op::Jge64Reg => jump_if!(reg, u64, u64::ge),
                Op::Jlt64Reg => jump_if!(reg, u64, u64::lt),
                Op::Jle64Reg => jump_if!(reg, u64, u64::le),
                Op::Jset64Reg => jump_if!(reg, u64, |a: &u64, b: &u64| a & b != 0),
                Op::Jsgt64Reg => jump_if!(reg, i64, i64::gt),
                Op::Jsge64Reg => jump_if!(reg, i64, i64::ge),
                Op::Jslt64Reg => jump_if!(reg, i64, i64::lt),
                Op::Jsle64Reg => jump_if!(reg, i64, i64::le),
                Op::Jeq32Imm => jump_if!(imm, u32, u32::eq),
                Op::Jne32Imm => jump_if!(imm, u32, u32::ne),
                Op::Jgt32Imm => jump_if!(imm, u32, u32::gt),
                Op::Jge32Imm => jump_if!(imm, u32, u32::ge),
                Op::Jlt32Imm => jump_if!(imm, u32, u32::lt),
                Op::Jle32Imm => jump_if!(imm, u32, u32::le),
                Op::Jset32Imm => jump_if!(imm, u32, |a: &u32, b: &u32| a & b != 0),
                Op::Jsgt32Imm => jump_if!(imm, i32, i32::gt),
                Op::Jsge32Imm => jump_if!(imm, i32, i32::ge),
                Op::Jslt32Imm => jump_if!(imm, i32, i32::lt),
                Op::Jsle32Imm => jump_if!(imm, i32, i32::le),
                Op::Jeq32Reg => jump_if!(reg, u32, u32::eq),
                Op::Jne32Reg => jump_if!(reg, u32, u32::ne),
                Op::Jgt32Reg => jump_if!(reg, u32, u32::gt),
                Op::Jge32Reg => jump_if!(reg, u32, u32::ge),
                Op::Jlt32Reg => jump_if!(reg, u32, u32::lt),
                Op::Jle32Reg => jump_if!(reg, u32, u32::le),
                Op::Jset32Reg => jump_if!(reg, u32, |a: &u32, b: &u32| a & b != 0),
                Op::Jsgt32Reg => jump_if!(reg, i32, i32::gt),
                Op::Jsge32Reg => jump_if!(reg, i32, i32::ge),
                Op::Jslt32Reg => jump_if!(reg, i32, i32::lt),
                Op::Jsle32Reg => jump_if!(reg, i32, i32::le),
                Op::MayGoto => {
                    if may_goto == BPF_MAX_LOOPS {
                        go!();
                    } else {
                        may_goto += 1;
                    }
                }
                Op::Load1 => load!(u8, u64),
                Op::Load2 => load!(u16, u64),
                Op::Load4 => load!(u32, u64),
                Op::Load8 => load!(u64, u64),
                Op::Loadsx1 => load!(i8, i64),
                Op::Loadsx2 => load!(i16, i64),
                Op::Loadsx4 => load!(i32, i64),
                Op::Store1 => store!(u8, regs[src]),
                Op::Store2 => store!(u16, regs[src]),
                Op::Store4 => store!(u32, regs[src]),
                Op::Store8 => store!(u64, regs[src]),
                Op::StoreImm1 => store!(u8, imm, slow_store_imm, i32),
                Op::StoreImm2 => store!(u16, imm, slow_store_imm, i32),
                Op::StoreImm4 => store!(u32, imm, slow_store_imm, i32),
                Op::StoreImm8 => store!(u64, imm, slow_store_imm, i32),
                Op::StackLoad1 => stack_load!(u8),
                Op::StackLoad2 => stack_load!(u16),
                Op::StackLoad4 => stack_load!(u32),
                Op::StackLoad8 => stack_load!(u64),
                Op::StackStore1 => stack_store!(u8, regs[src]),
                Op::StackStore2 => stack_store!(u16, regs[src]),
                Op::StackStore4 => stack_store!(u32, regs[src]),
                Op::StackStore8 => stack_store!(u64, regs[src]),
                Op::StackStoreImm1 => stack_store!(u8, imm),
                Op::StackStoreImm2 => stack_store!(u16, imm),
                Op::StackStoreImm4 => stack_store!(u32, imm),
                Op::StackStoreImm8 => stack_store!(u64, imm),
                Op::Atomic1 => atomic!(1),
                Op::Atomic2 => atomic!(2),
                Op::Atomic4 => atomic!(4),
                Op::Atomic8 => atomic!(8),
                Op::LdAbs | Op::LdInd => {
                    let index = if op == Op::LdInd { regs[src] as u32 } else { 0 };
                    let at = index.wrapping_add(imm as u32) as i32;
                    match packet_load(machine, host, &regs, at, off as u32) {
                        Ok(Some(value)) => regs[0] = value,
                        // `net/core/filter.c: bpf_gen_ld_abs`: the function returns 0.
                        Ok(None) => {
                            regs[0] = 0;
                            leave!();
                        }
                        Err(kind) => fault!(kind),
                    }
                }
                Op::CallHelper => {
                    check_fuel!();
                    machine.run.insns = pc.wrapping_sub(origin) as u64;
                    let args = [regs[1], regs[2], regs[3], regs[4], regs[5]];
                    match host.helper(machine, imm as u32, args) {
                        Ok(value) => regs[0] = value,
                        Err(kind) => fault!(kind),
                    }
                    origin = pc.wrapping_sub(machine.run.insns as usize);
                }
                Op::TailCall => {
                    if regs[1] != CTX_BASE {
                        fault!(FaultKind::Argument {
                            helper: "tail_call",
                            number: 1,
                            why: "not the context".to_owned(),
                        });
                    }
                    match tail::target(machine, regs[2], regs[3] as u32) {
                        Ok(None) => {}
                        Ok(Some(target)) => {
                            origin = 0_usize.wrapping_sub(pc.wrapping_sub(origin));
                            pc = 0;
                            prog = target;
                            may_goto = 0;
                            machine.mem.pop_frame();
                            machine.run.program_frame = machine.mem.frames();
                            let fp = machine.mem.push_frame().expect("one was just given back");
                            regs = [0; 16];
                            regs[1] = CTX_BASE;
                            regs[10] = fp;
                            continue 'program;
                        }
                        Err(kind) => fault!(kind),
                    }
                }
                Op::CallLocal => {
                    check_fuel!();
                    let fp = match push_frame(machine) {
                        Ok(fp) => fp,
                        Err(kind) => fault!(kind),
                    };
                    let callee_saved = [regs[6], regs[7], regs[8], regs[9]];
                    let caller = Return {
                        program: prog,
                        pc,
                        callee_saved,
                        fp: regs[10],
                        tail_calls: machine.run.tail_calls,
                        may_goto,
                        program_frame: machine.run.program_frame,
                    };
                    machine.run.returns.push(caller);
                    regs[10] = fp;
                    may_goto = 0;
                    pc = pc.wrapping_add_signed(off as isize);
                    origin = origin.wrapping_add_signed(off as isize);
                }
                Op::Exit => leave!(),
            }
        }
    }
}

/// Takes up the caller where it called.
fn resume(run: &mut Run, release: Release, regs: &mut Regs) -> Return {
    let caller = run.returns.pop().expect("above the floor there is a caller");
    regs[6..10].copy_from_slice(&caller.callee_saved);
    regs[10] = caller.fp;
    if !release.tail_call_count_is_shared() {
        run.tail_calls = caller.tail_calls;
    }
    run.program_frame = caller.program_frame;
    caller
}

/// `LD_ABS` and `LD_IND`: `r6` has to be the context.
#[inline(never)]
fn packet_load(
    machine: &mut Machine,
    host: &mut dyn Host,
    regs: &Regs,
    offset: i32,
    width: u32,
) -> Result<Option<u64>, FaultKind> {
    if regs[6] != CTX_BASE {
        return Err(FaultKind::Instruction("LD_ABS or LD_IND without the context in r6".to_owned()));
    }
    host.packet_load(machine, offset, width)
}
