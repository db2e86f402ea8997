//! Calls, returns and whatever else reaches beyond registers and memory, between bursts of plain instructions.

use super::burst::{Position, Regs, burst};
use super::{Plain, Return, Run, Step, access, atomic, locate, program_of, push_frame, tail};
use crate::bpf::fault::{Fault, FaultKind};
use crate::bpf::insn::Op;
use crate::bpf::jit;
use crate::bpf::machine::{Host, Machine, ProgId};
use crate::bpf::mem::CTX_BASE;
use crate::bpf::rbpf;
use crate::uapi::Release;
use crate::uapi::helper::id;
use crate::uapi::insn::BPF_MAX_LOOPS;

/// Runs the function at `pc` of `prog` until it returns; gives its `r0`.
#[inline] // where a run begins, its arguments are known
pub(super) fn enter(
    machine: &mut Machine,
    host: &mut dyn Host,
    prog: ProgId,
    pc: usize,
    args: [u64; 5],
) -> Result<u64, Box<Fault>> {
    match (machine.trace.is_some(), machine.run.plain) {
        (true, _) => begin::<true, false>(machine, host, prog, pc, args),
        (false, Plain::Burst) => begin::<false, false>(machine, host, prog, pc, args),
        (false, Plain::Compiled) => jit::enter(machine, host, prog, pc, args),
        (false, Plain::Rbpf) => begin::<false, true>(machine, host, prog, pc, args),
    }
}

fn trace(machine: &mut Machine, prog: ProgId, index: usize, regs: &Regs) {
    let program = program_of(machine, prog);
    let depth = machine.mem.frames() - machine.run.first_frame - 1;
    let slot = program.slot_of(index);
    if let Some(hook) = &mut machine.trace {
        hook(&Step { program: &program, slot, depth, regs: *regs });
    }
}

/// Gives the function a frame and runs it.
#[inline]
fn begin<const TRACE: bool, const RBPF: bool>(
    machine: &mut Machine,
    host: &mut dyn Host,
    prog: ProgId,
    pc: usize,
    args: [u64; 5],
) -> Result<u64, Box<Fault>> {
    let [r1, r2, r3, r4, r5] = args;
    let mut regs: Regs = [0, r1, r2, r3, r4, r5, 0, 0, 0, 0, 0];
    regs[10] = match push_frame(machine) {
        Ok(fp) => fp,
        Err(kind) => return Err(locate(&program_of(machine, prog), pc, regs, kind)),
    };
    execute::<TRACE, RBPF>(machine, host, Entry { prog, pc, outermost: true }, &mut regs)
}

/// Where a function begins, in a frame that it has.
#[derive(Clone, Copy)]
pub(in crate::bpf) struct Entry {
    pub prog: ProgId,
    pub pc: usize,
    /// Whether it ends the program when it returns, unless it is a callback.
    pub outermost: bool,
}

/// Runs a function for an engine that does not run this one itself; gives its `r0`.
pub(in crate::bpf) fn interpret(
    machine: &mut Machine,
    host: &mut dyn Host,
    entry: Entry,
    regs: &mut Regs,
) -> Result<u64, Box<Fault>> {
    execute::<false, false>(machine, host, entry, regs)
}

/// The budget is looked at wherever code could run on without end: at jumps back, and at whatever is done here.
fn execute<const TRACE: bool, const RBPF: bool>(
    machine: &mut Machine,
    host: &mut dyn Host,
    entry: Entry,
    regs: &mut Regs,
) -> Result<u64, Box<Fault>> {
    let floor = machine.run.returns.len();
    let Entry { mut prog, pc, outermost } = entry;
    let mut may_goto = 0;
    let mut at = Position::new(pc, machine.run.insns);
    'program: loop {
        let program = program_of(machine, prog);
        machine.run.program = Some(prog);
        let code = program.code();
        let hot = if TRACE { code } else { program.fused() };
        let lowered = match RBPF.then(|| rbpf::lowered(machine, prog)).transpose() {
            Ok(lowered) => lowered,
            Err(declined) => return Err(locate(&program, declined.index, *regs, declined.kind(&program))),
        };
        let kind = loop {
            let before = at.executed();
            if TRACE {
                trace(machine, prog, at.pc, regs);
            }
            at = match &lowered {
                Some(lowered) if RBPF => lowered.burst(code, &mut machine.mem, regs, at, machine.run.fuel),
                _ => burst::<TRACE>(hot, &mut machine.mem, regs, at, machine.run.fuel),
            };
            if TRACE && at.executed() != before {
                continue;
            }
            let insn = code[at.pc];
            at.pc += 1;
            if at.executed() > machine.run.fuel {
                break FaultKind::Fuel;
            }
            let mut leave = false;
            let done = match insn.op {
                Op::CallHelper => {
                    machine.run.insns = at.executed();
                    let args = [regs[1], regs[2], regs[3], regs[4], regs[5]];
                    let found = if insn.imm == u64::from(id::map_lookup_elem) && host.looks_up() {
                        machine.look_up(args[0], args[1])
                    } else {
                        None
                    };
                    let result = match found {
                        Some(addr) => Ok(addr),
                        None => host.helper(machine, insn.imm as u32, args),
                    };
                    at = Position::new(at.pc, machine.run.insns);
                    result.map(|value| {
                        regs[0] = value;
                        regs[1..6].fill(0);
                    })
                }
                Op::CallKfunc => {
                    machine.run.insns = at.executed();
                    let args = [regs[1], regs[2], regs[3], regs[4], regs[5]];
                    let result = host.kfunc(machine, insn.imm as u32, args);
                    at = Position::new(at.pc, machine.run.insns);
                    result.map(|value| {
                        regs[0] = value;
                        regs[1..6].fill(0);
                    })
                }
                Op::CallLocal => push_frame(machine).map(|fp| {
                    machine.run.returns.push(Return {
                        program: prog,
                        pc: at.pc,
                        callee_saved: [regs[6], regs[7], regs[8], regs[9]],
                        fp: regs[10],
                        tail_calls: machine.run.tail_calls,
                        may_goto,
                        program_frame: machine.run.program_frame,
                    });
                    regs[10] = fp;
                    may_goto = 0;
                    at.jump(at.pc.wrapping_add_signed(insn.off as isize));
                }),
                Op::Exit => {
                    leave = true;
                    Ok(())
                }
                Op::TailCall => match tail::target(machine, regs) {
                    Ok(None) => Ok(()),
                    Ok(Some(target)) => {
                        prog = target;
                        may_goto = 0;
                        tail::replace_frame(machine, regs);
                        at.jump(0);
                        continue 'program;
                    }
                    Err(kind) => Err(kind),
                },
                Op::LdAbs | Op::LdInd => {
                    let index = if insn.op == Op::LdInd { regs[insn.src as usize] as u32 } else { 0 };
                    let offset = index.wrapping_add(insn.imm as u32) as i32;
                    packet_load(machine, host, regs, offset, insn.off as u32).map(|found| {
                        // `net/core/filter.c: bpf_gen_ld_abs`: else the function returns 0.
                        leave = found.is_none();
                        regs[0] = found.unwrap_or(0);
                    })
                }
                Op::MayGoto => {
                    if may_goto == BPF_MAX_LOOPS {
                        at.jump(at.pc.wrapping_add_signed(insn.off as isize));
                    } else {
                        may_goto += 1;
                    }
                    Ok(())
                }
                Op::Atomic1 => atomic::execute(&mut machine.mem, insn, 1, regs),
                Op::Atomic2 => atomic::execute(&mut machine.mem, insn, 2, regs),
                Op::Atomic4 => atomic::execute(&mut machine.mem, insn, 4, regs),
                Op::Atomic8 => atomic::execute(&mut machine.mem, insn, 8, regs),
                _ => access::execute(machine, host, insn, regs),
            };
            if let Err(kind) = done {
                break kind;
            }
            if leave {
                if outermost
                    && machine.run.returns.len() == floor
                    && machine.run.callbacks == 0
                    && let Err(kind) = host.exit(machine)
                {
                    break kind;
                }
                machine.mem.end_frame(false);
                if machine.run.returns.len() == floor {
                    machine.run.insns = at.executed();
                    return Ok(regs[0]);
                }
                let caller = resume(&mut machine.run, machine.release, regs);
                may_goto = caller.may_goto;
                at.jump(caller.pc);
                if caller.program != prog {
                    prog = caller.program;
                    continue 'program;
                }
            }
        };
        return Err(locate(&program, at.pc - 1, *regs, kind));
    }
}

/// Takes up the caller where it called.
fn resume(run: &mut Run, release: Release, regs: &mut Regs) -> Return {
    let caller = run.returns.pop().expect("above the floor there is a caller");
    regs[1..6].fill(0);
    regs[6..10].copy_from_slice(&caller.callee_saved);
    regs[10] = caller.fp;
    if !release.tail_call_count_is_shared() {
        run.tail_calls = caller.tail_calls;
    }
    run.program_frame = caller.program_frame;
    caller
}

/// `LD_ABS` and `LD_IND`: `r6` has to be the context.
pub(in crate::bpf) fn packet_load(
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
