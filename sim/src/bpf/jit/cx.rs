//! What machine code and the machine share, and what machine code calls.

use std::mem::offset_of;
use std::rc::Rc;

use super::super::engine::{self, Engine};
use super::super::fault::{Fault, FaultKind};
use super::super::insn::Op;
use super::super::interp::{
    Entry, Plain, Ran, Regs, Run, access, atomic, interpret, locate, packet_load, push_frame, tail,
};
use super::super::machine::{Host, Machine, ProgId};
use super::super::mem::{Addr, CTX_BASE, View};
use super::super::program::Program;
use super::super::remembered::Remembered;
use super::code::{self, Code};

/// How a function ended, or how what it called did.
pub(super) type Status = u64;
/// Of a call: go on.
pub(super) const GO_ON: Status = 0;
/// `Cx::fault` says what is wrong with the instruction `Cx::pc`.
const FAULT: Status = 1;
/// Another program took this one's place and has ended.
const DONE: Status = 2;
/// At the exit `Cx::pc`, after `Cx::insns` instructions.
pub(super) const EXIT: Status = 3;
/// `Cx::program` is to take this one's place.
const REPLACED: Status = 4;

/// What the function that looks up answers when the helper has to be called: no address.
pub(super) const ELSEWHERE: u64 = u64::MAX;

/// What machine code calls, with the index of the instruction and the number executed up to and including it.
type Callee = unsafe extern "C" fn(*mut Cx<'_>, usize, u64) -> Status;
/// What machine code calls with `r1` to `r5` for a helper, index and number being in `Cx::pc` and `Cx::insns`.
type CallHelper = unsafe extern "C" fn(*mut Cx<'_>, u64, u64, u64, u64, u64) -> Status;
/// What machine code calls with `r1`, `r2` and that number, to look up an element of a map.
type LookUp = unsafe extern "C" fn(*mut Cx<'_>, Addr, Addr, u64) -> u64;

/// What machine code is given.
#[repr(C)]
pub(super) struct Cx<'a> {
    /// Registers, whenever the code is left or entered.
    regs: Regs,
    /// Instructions executed.
    insns: u64,
    /// At most [`MOST_FUEL`].
    fuel: u64,
    /// What is known of the context.
    remembered: *const Remembered,
    view: View,
    step: Callee,
    helper: CallHelper,
    local: Callee,
    look_up: LookUp,
    /// [`emit::aside`](super::emit::aside), ready to be called.
    aside: *const u8,
    /// What it leaves.
    status: Status,
    pc: usize,
    /// From here on, nothing that machine code knows.
    machine: &'a mut Machine,
    host: &'a mut dyn Host,
    program: Rc<Program>,
    fault: Option<FaultKind>,
    /// Functions of this entry that wait for another to return.
    depth: u32,
}

/// No run gets there, and counts can be compared as signed numbers.
const MOST_FUEL: u64 = 1 << 62;

/// Where machine code finds the fields.
pub(super) mod at {
    use super::{Cx, View, offset_of};

    pub const REGS: i32 = offset_of!(Cx<'_>, regs) as i32;
    pub const INSNS: i32 = offset_of!(Cx<'_>, insns) as i32;
    pub const FUEL: i32 = offset_of!(Cx<'_>, fuel) as i32;
    pub const PC: i32 = offset_of!(Cx<'_>, pc) as i32;
    pub const STEP: i32 = offset_of!(Cx<'_>, step) as i32;
    pub const HELPER: i32 = offset_of!(Cx<'_>, helper) as i32;
    pub const LOCAL: i32 = offset_of!(Cx<'_>, local) as i32;
    pub const LOOK_UP: i32 = offset_of!(Cx<'_>, look_up) as i32;
    pub const ASIDE: i32 = offset_of!(Cx<'_>, aside) as i32;
    pub const STATUS: i32 = offset_of!(Cx<'_>, status) as i32;
    pub const REMEMBERED: i32 = offset_of!(Cx<'_>, remembered) as i32;
    const VIEW: usize = offset_of!(Cx<'_>, view);
    pub const BYTES: i32 = (VIEW + offset_of!(View, bytes)) as i32;
    pub const SHADOW: i32 = (VIEW + offset_of!(View, shadow)) as i32;
}

/// Runs the function at `pc` of `prog` until it returns; gives its `r0`. The compiled form of the interpreter's loop.
pub(in crate::bpf) fn enter(
    machine: &mut Machine,
    host: &mut dyn Host,
    prog: ProgId,
    pc: usize,
    args: [u64; 5],
) -> Result<u64, Box<Fault>> {
    let program = Rc::clone(&machine.programs[prog.0 as usize]);
    let mut regs: Regs = [0; 11];
    regs[1..6].copy_from_slice(&args);
    regs[10] = match push_frame(machine) {
        Ok(fp) => fp,
        Err(kind) => return Err(locate(&program, pc, regs, kind)),
    };
    let mut cx = Cx::new(machine, host, program);
    cx.regs = regs;
    if cx.is_interpreted(prog) {
        cx.interpret(prog, pc)?;
    } else {
        cx.machine.run.program = Some(prog);
        cx.enter(pc)?;
    }
    cx.machine.run.insns = cx.insns;
    Ok(cx.regs[0])
}

/// [`run`](super::run), `times` times as long as `goes_on` wants it, with no tracer. Gives what the last run gave.
pub(in crate::bpf) fn repeat(
    machine: &mut Machine,
    host: &mut dyn Host,
    prog: ProgId,
    fuel: u64,
    times: u32,
    mut goes_on: impl FnMut(Ran) -> bool,
) -> Result<Ran, Box<Fault>> {
    let program = Rc::clone(&machine.programs[prog.0 as usize]);
    let code = super::code_of(&program)?;
    let fresh = Run::new(Plain::Compiled, fuel, machine.mem.frames());
    let below = std::mem::replace(&mut machine.run, fresh);
    let mut cx = Cx::new(machine, host, Rc::clone(&program));
    let mut done = Ok(Ran { r0: 0, insns: 0 });
    for _ in 0..times {
        done = cx.once(prog, &program, code);
        if !done.as_ref().is_ok_and(|&ran| goes_on(ran)) {
            break;
        }
    }
    Run::end(machine, below);
    done
}

impl<'a> Cx<'a> {
    fn new(machine: &'a mut Machine, host: &'a mut dyn Host, program: Rc<Program>) -> Self {
        Self {
            regs: [0; 11],
            insns: machine.run.insns,
            fuel: machine.run.fuel.min(MOST_FUEL),
            remembered: &raw const machine.remembered,
            view: machine.mem.view(),
            step,
            helper,
            local,
            look_up,
            aside: code::aside().as_ref().expect("there is machine code").first(),
            status: GO_ON,
            pc: 0,
            machine,
            host,
            program,
            fault: None,
            depth: 0,
        }
    }
}

impl Cx<'_> {
    /// Runs the whole program once.
    fn once(&mut self, prog: ProgId, program: &Rc<Program>, code: &Code) -> Result<Ran, Box<Fault>> {
        self.machine.run.again();
        self.machine.run.program = Some(prog);
        self.insns = 0;
        self.regs = [0; 11];
        self.regs[1] = CTX_BASE;
        match push_frame(self.machine) {
            Ok(fp) => self.regs[10] = fp,
            Err(kind) => return Err(locate(program, 0, self.regs, kind)),
        }
        if !Rc::ptr_eq(&self.program, program) {
            self.program = Rc::clone(program);
        }
        self.enter_code(program, code, 0)?;
        Ok(Ran { r0: self.regs[0], insns: self.insns })
    }

    fn is_interpreted(&self, prog: ProgId) -> bool {
        self.machine.engine == Engine::Auto && !engine::is_compiled(self.machine, prog)
    }

    /// Runs the function at `pc` of this program in the frame that `r10` shows, and whatever takes its place.
    fn enter(&mut self, pc: usize) -> Result<(), Box<Fault>> {
        let program = Rc::clone(&self.program);
        match program.machine_code() {
            Ok(code) => self.enter_code(&program, code, code.function(pc)),
            Err(why) => Err(locate(&program, pc, self.regs, why.declined())),
        }
    }

    #[inline]
    fn enter_code(&mut self, program: &Program, code: &Code, number: usize) -> Result<(), Box<Fault>> {
        let kind = match code.enter(number, self) {
            DONE => return Ok(()),
            REPLACED => return self.enter(0),
            FAULT => self.fault.take().expect("it was put there"),
            _ => match self.leave(code.only_reads(number)) {
                Ok(()) => return Ok(()),
                Err(kind) => kind,
            },
        };
        Err(locate(program, self.pc, self.regs, kind))
    }

    /// [`enter`](Self::enter) for what has not been compiled.
    fn interpret(&mut self, prog: ProgId, function: usize) -> Result<(), Box<Fault>> {
        self.machine.run.insns = self.insns;
        let outermost = self.depth == 0;
        let mut regs = self.regs;
        self.regs[0] =
            interpret(self.machine, self.host, Entry { prog, pc: function, outermost }, &mut regs)?;
        self.insns = self.machine.run.insns;
        Ok(())
    }

    /// The function is at its exit.
    #[inline]
    fn leave(&mut self, only_read: bool) -> Result<(), FaultKind> {
        if self.insns > self.fuel {
            return Err(FaultKind::Fuel);
        }
        if self.depth == 0 && self.machine.run.callbacks == 0 {
            self.host.exit(self.machine)?;
        }
        self.machine.mem.end_frame(only_read);
        Ok(())
    }

    // Apart, so that what does not fail moves no fault.
    #[cold]
    #[inline(never)]
    fn fail(&mut self, kind: FaultKind) -> Status {
        self.fault = Some(kind);
        FAULT
    }

    fn status(&mut self, done: Result<Status, FaultKind>) -> Status {
        match done {
            Ok(status) => status,
            Err(kind) => self.fail(kind),
        }
    }

    fn begin(&mut self, pc: usize, executed: u64) -> Result<(), FaultKind> {
        self.pc = pc;
        self.insns = executed;
        if executed > self.fuel { Err(FaultKind::Fuel) } else { Ok(()) }
    }

    fn step(&mut self, pc: usize, executed: u64) -> Status {
        if let Err(kind) = self.begin(pc, executed) {
            return self.fail(kind);
        }
        let op = self.program.code()[pc].op;
        match op {
            Op::TailCall => return self.tail_call(),
            Op::LdAbs | Op::LdInd => return self.packet_load(pc),
            _ => {}
        }
        let insn = self.program.code()[pc];
        let (machine, regs) = (&mut *self.machine, &mut self.regs);
        let done = match op {
            Op::Atomic1 => atomic::execute(&mut machine.mem, insn, 1, regs),
            Op::Atomic2 => atomic::execute(&mut machine.mem, insn, 2, regs),
            Op::Atomic4 => atomic::execute(&mut machine.mem, insn, 4, regs),
            Op::Atomic8 => atomic::execute(&mut machine.mem, insn, 8, regs),
            _ => access::execute(machine, self.host, insn, regs),
        };
        match done {
            Ok(()) => GO_ON,
            Err(kind) => self.fail(kind),
        }
    }

    fn packet_load(&mut self, pc: usize) -> Status {
        let insn = self.program.code()[pc];
        let index = if insn.op == Op::LdInd { self.regs[insn.src as usize] as u32 } else { 0 };
        let offset = index.wrapping_add(insn.imm as u32) as i32;
        match packet_load(self.machine, self.host, &self.regs, offset, insn.off as u32) {
            Ok(found) => {
                self.regs[0] = found.unwrap_or(0);
                if found.is_some() { GO_ON } else { EXIT }
            }
            Err(kind) => self.fail(kind),
        }
    }

    fn tail_call(&mut self) -> Status {
        let target = match tail::target(self.machine, &self.regs) {
            Ok(Some(target)) => target,
            Ok(None) => return GO_ON,
            Err(kind) => return self.fail(kind),
        };
        tail::replace_frame(self.machine, &mut self.regs);
        if self.is_interpreted(target) {
            return match self.interpret(target, 0) {
                Ok(()) => DONE,
                Err(fault) => self.fail(FaultKind::Located(fault)),
            };
        }
        self.machine.run.program = Some(target);
        self.program = Rc::clone(&self.machine.programs[target.0 as usize]);
        REPLACED
    }

    #[inline]
    fn helper(&mut self, args: [u64; 5]) -> Result<Status, FaultKind> {
        self.begin(self.pc, self.insns)?;
        let insn = self.program.code()[self.pc];
        self.machine.run.insns = self.insns;
        self.regs[0] = if insn.op == Op::CallKfunc {
            self.host.kfunc(self.machine, insn.imm as u32, args)?
        } else {
            self.host.helper(self.machine, insn.imm as u32, args)?
        };
        self.insns = self.machine.run.insns;
        self.regs[1..6].fill(0);
        Ok(GO_ON)
    }

    fn local(&mut self, pc: usize, executed: u64) -> Result<Status, FaultKind> {
        self.begin(pc, executed)?;
        let function = (pc + 1).wrapping_add_signed(self.program.code()[pc].off as isize);
        let fp = push_frame(self.machine)?;
        let run = &self.machine.run;
        let (prog, tail_calls, program_frame) = (run.program, run.tail_calls, run.program_frame);
        self.regs[10] = fp;
        self.depth += 1;
        let program = Rc::clone(&self.program);
        let code = program.machine_code().expect("it is what runs");
        self.enter_code(&program, code, code.function(function)).map_err(FaultKind::Located)?;
        self.program = program;
        self.depth -= 1;
        self.regs[1..6].fill(0);
        let shared = self.machine.release.tail_call_count_is_shared();
        let run = &mut self.machine.run;
        run.program = prog;
        run.program_frame = program_frame;
        if !shared {
            run.tail_calls = tail_calls;
        }
        Ok(GO_ON)
    }
}

/// Executes one instruction that is not for machine code.
unsafe extern "C" fn step(cx: *mut Cx<'_>, pc: usize, executed: u64) -> Status {
    // SAFETY: machine code passes the `cx` it was given, which `enter` holds, and uses it no further until this returns.
    let cx = unsafe { &mut *cx };
    cx.step(pc, executed)
}

/// Calls a helper or a kernel function.
unsafe extern "C" fn helper(cx: *mut Cx<'_>, r1: u64, r2: u64, r3: u64, r4: u64, r5: u64) -> Status {
    // SAFETY: as for `step`.
    let cx = unsafe { &mut *cx };
    let done = cx.helper([r1, r2, r3, r4, r5]);
    cx.status(done)
}

/// Looks up an element of a map; [`ELSEWHERE`] where that is the helper's business.
unsafe extern "C" fn look_up(cx: *mut Cx<'_>, map: Addr, key: Addr, executed: u64) -> u64 {
    // SAFETY: as for `step`.
    let cx = unsafe { &mut *cx };
    if executed > cx.fuel || !cx.host.looks_up() {
        return ELSEWHERE;
    }
    cx.machine.look_up(map, key).unwrap_or(ELSEWHERE)
}

/// Calls a function of the program, which leaves nothing of `r6` to `r10`.
unsafe extern "C" fn local(cx: *mut Cx<'_>, pc: usize, executed: u64) -> Status {
    // SAFETY: as for `step`.
    let cx = unsafe { &mut *cx };
    let done = cx.local(pc, executed);
    cx.status(done)
}
