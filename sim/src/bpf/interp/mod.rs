//! The interpreter: exact bounds, exact counts, a located [`Fault`] for whatever the verifier should have prevented.
//!
//! Registers and frames behave as under the x86-64 JIT (`arch/x86/net/bpf_jit_comp.c`, v6.12): a callee has its own
//! 512 bytes of stack, `r6` to `r9` survive a call, a tail call takes the place of the frame it is made from.

pub(super) mod access;
mod arith;
pub(super) mod atomic;
mod burst;
mod dispatch;
pub(super) mod tail;

pub(super) use burst::{Position, Regs};
pub(super) use dispatch::{Entry, interpret, packet_load};

use std::rc::Rc;

use crate::bpf::fault::{Fault, FaultKind};
use crate::bpf::machine::{Host, Machine, ProgId};
use crate::bpf::mem::{Addr, CTX_BASE, FUNC_BASE};
use crate::bpf::program::Program;
use crate::uapi::insn::MAX_CALL_FRAMES;

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ran {
    /// All 64 bits of `r0`; a hook looks at the low 32.
    pub r0: u64,
    /// Instructions executed, those of callees, callbacks and tail-called programs included. A `ld_imm64` is one.
    pub insns: u64,
}

/// What a tracer sees before each instruction; see [`Machine::trace`].
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The program the instruction belongs to.
    pub program: &'a Program,
    /// Its slot.
    pub slot: u32,
    /// Call frames below this one.
    pub depth: u32,
    /// `r0` to `r10`.
    pub regs: [u64; 11],
}

/// A return address.
#[derive(Clone, Copy, Debug)]
struct Return {
    program: ProgId,
    pc: usize,
    callee_saved: [u64; 4],
    fp: Addr,
    tail_calls: u32,
    may_goto: u32,
    program_frame: u32,
}

/// What executes the instructions between calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Plain {
    /// The hot loop.
    #[default]
    Burst,
    /// The crate rbpf.
    Rbpf,
    /// Machine code, which does calls as well.
    Compiled,
}

/// The state of one run that callbacks and tail calls share.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) program: Option<ProgId>,
    plain: Plain,
    pub(super) fuel: u64,
    pub(super) insns: u64,
    /// Frames of guest memory that belong to runs below this one.
    first_frame: u32,
    /// Frames below the running program: a program that was tail-called from a function begins on top of others.
    pub(super) program_frame: u32,
    returns: Vec<Return>,
    pub(super) tail_calls: u32,
    pub(super) callbacks: u32,
}

impl Run {
    /// A run that has executed nothing. `first_frame`: frames in use by others.
    pub(super) fn new(plain: Plain, fuel: u64, first_frame: u32) -> Self {
        Self { plain, fuel, first_frame, program_frame: first_frame, ..Self::default() }
    }

    /// Back to where it began, once it has ended well.
    #[inline]
    pub(super) fn again(&mut self) {
        self.insns = 0;
        self.program_frame = self.first_frame;
        self.tail_calls = 0;
    }

    /// Puts the run below in the place of one that has ended, whose frames go.
    pub(super) fn end(machine: &mut Machine, below: Self) -> Self {
        let run = std::mem::replace(&mut machine.run, below);
        while machine.mem.frames() > run.first_frame {
            machine.mem.pop_frame();
        }
        run
    }
}

/// Runs `prog` with `r1` at the context, for at most `fuel` instructions.
///
/// A run may begin while another one is inside a helper; each has its own frames, counts and budget.
pub fn run(machine: &mut Machine, host: &mut dyn Host, prog: ProgId, fuel: u64) -> Result<Ran, Box<Fault>> {
    run_with(Plain::Burst, machine, host, prog, fuel)
}

/// [`run`], what is between calls being left to `plain`.
#[inline]
pub(super) fn run_with(
    plain: Plain,
    machine: &mut Machine,
    host: &mut dyn Host,
    prog: ProgId,
    fuel: u64,
) -> Result<Ran, Box<Fault>> {
    begin(plain, machine, host, prog, 0, [CTX_BASE, 0, 0, 0, 0], fuel)
}

/// Runs the function at `func` of `prog` by itself: what a timer does after the program that armed it has ended.
pub fn run_function(
    machine: &mut Machine,
    host: &mut dyn Host,
    prog: ProgId,
    func: Addr,
    args: [u64; 5],
    fuel: u64,
) -> Result<Ran, Box<Fault>> {
    run_function_with(Plain::Burst, machine, host, prog, func, args, fuel)
}

/// [`run_function`], what is between calls being left to `plain`.
pub(super) fn run_function_with(
    plain: Plain,
    machine: &mut Machine,
    host: &mut dyn Host,
    prog: ProgId,
    func: Addr,
    args: [u64; 5],
    fuel: u64,
) -> Result<Ran, Box<Fault>> {
    match entry(&machine.programs[prog.0 as usize], func) {
        Ok(pc) => begin(plain, machine, host, prog, pc, args, fuel),
        Err(kind) => Err(locate(&machine.programs[prog.0 as usize], 0, [0; 11], kind)),
    }
}

/// The program that is running; after a tail call, the one it went to.
pub fn running(machine: &Machine) -> Option<ProgId> {
    machine.run.program
}

/// Calls back into the running program, from inside a helper: the function at `func` with `r1..r5`.
///
/// Shares frames, instruction budget and count with the program. An error is [`FaultKind::Located`] and is to be
/// handed on as it is.
///
/// # Panics
/// When no program is running.
pub fn call(
    machine: &mut Machine,
    host: &mut dyn Host,
    func: Addr,
    args: [u64; 5],
) -> Result<u64, FaultKind> {
    let prog = machine.run.program.expect("a callback has a running program");
    let pc = entry(&machine.programs[prog.0 as usize], func)?;
    machine.run.callbacks += 1;
    let result = dispatch::enter(machine, host, prog, pc, args);
    machine.run.callbacks -= 1;
    machine.run.program = Some(prog);
    result.map_err(FaultKind::Located)
}

#[inline]
fn begin(
    plain: Plain,
    machine: &mut Machine,
    host: &mut dyn Host,
    prog: ProgId,
    pc: usize,
    args: [u64; 5],
    fuel: u64,
) -> Result<Ran, Box<Fault>> {
    let fresh = Run::new(plain, fuel, machine.mem.frames());
    let below = std::mem::replace(&mut machine.run, fresh);
    let result = dispatch::enter(machine, host, prog, pc, args);
    let run = Run::end(machine, below);
    result.map(|r0| Ran { r0, insns: run.insns })
}

/// Where a function pointer leads inside its program.
fn entry(program: &Program, func: Addr) -> Result<usize, FaultKind> {
    func.checked_sub(FUNC_BASE)
        .and_then(|slot| u32::try_from(slot).ok())
        .and_then(|slot| program.entry(slot))
        .ok_or_else(|| FaultKind::Instruction(format!("no function of {} is at {func:#x}", program.name())))
}

/// Gives the program a frame; `r10` comes back.
#[inline]
pub(super) fn push_frame(machine: &mut Machine) -> Result<Addr, FaultKind> {
    if machine.mem.frames() - machine.run.program_frame == MAX_CALL_FRAMES {
        return Err(FaultKind::CallDepth);
    }
    // Not `ok_or`, which would make a fault to throw it away.
    match machine.mem.push_frame() {
        Some(fp) => Ok(fp),
        None => Err(FaultKind::CallDepth),
    }
}

/// Says where a fault happened; one that comes located out of a callback stays as it is.
#[cold]
pub(super) fn locate(program: &Program, index: usize, regs: [u64; 11], kind: FaultKind) -> Box<Fault> {
    if let FaultKind::Located(fault) = kind {
        return fault;
    }
    let slot = program.slot_of(index);
    Box::new(Fault {
        kind,
        program: program.name().to_owned(),
        insn: slot,
        function: program.function_of(slot).name.clone(),
        line: program.line_of(slot).cloned(),
        regs,
    })
}

fn program_of(machine: &Machine, prog: ProgId) -> Rc<Program> {
    Rc::clone(&machine.programs[prog.0 as usize])
}
