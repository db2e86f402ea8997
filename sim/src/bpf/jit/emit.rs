//! From a program to machine code: blocks, jumps, calls, counts.
//!
//! `executed - pc` is one number as long as control goes straight on; a jump changes it by its distance. So counting
//! costs one addition per jump taken, and with the budget taken off looking at that costs one comparison.

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::immediates::Imm64;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    AbiParam, Block, Function, InstBuilder, MemFlagsData, SigRef, Signature, UserFuncName, Value,
};
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};

use super::code::Compiled;
use super::cx::{ELSEWHERE, EXIT, at};
use super::flow::{Flow, Known, looks_up};
use super::{Unavailable, alu};
use crate::bpf::insn::{Insn, Op, Reg};
use crate::bpf::program::Program;
use crate::uapi::insn::BPF_MAX_LOOPS;

/// The machine to compile for: this one.
pub(super) fn isa() -> Result<OwnedTargetIsa, Unavailable> {
    let unavailable = |why: &dyn std::fmt::Display| Unavailable(why.to_string());
    if !cfg!(all(target_arch = "x86_64", target_endian = "little")) {
        return Err(unavailable(&"it compiles for x86-64 only"));
    }
    let mut flags = settings::builder();
    for (name, value) in [("opt_level", "speed"), ("enable_verifier", "false")] {
        flags.set(name, value).map_err(|error| unavailable(&error))?;
    }
    let builder = cranelift_native::builder().map_err(|why| unavailable(&why))?;
    builder.finish(settings::Flags::new(flags)).map_err(|error| unavailable(&error))
}

/// Compiles every function of a program.
pub(super) fn program(program: &Program) -> Result<Compiled, Unavailable> {
    let isa = isa()?;
    let starts: Vec<usize> =
        program.image().functions.iter().filter_map(|function| program.entry(function.start_slot)).collect();
    let mut compiled = Compiled::default();
    let mut builders = FunctionBuilderContext::new();
    for (i, &start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(program.code().len());
        compiled.entries.push((start, compiled.bytes.len()));
        let flow = Flow::new(program.code(), start..end);
        compiled.only_reads.push(flow.only_reads);
        let code = function(&*isa, &mut builders, program.code(), start..end, flow)
            .map_err(|why| Unavailable(format!("{}: {why}", program.name())))?;
        compiled.bytes.extend(code);
        compiled.bytes.resize(compiled.bytes.len().next_multiple_of(16), 0);
    }
    Ok(compiled)
}

fn function(
    isa: &dyn TargetIsa,
    builders: &mut FunctionBuilderContext,
    code: &[Insn],
    range: std::ops::Range<usize>,
    flow: Flow,
) -> Result<Vec<u8>, String> {
    let mut context = unfinished(native(isa, 1));
    let mut b = FunctionBuilder::new(&mut context.func, builders);
    let signatures = Signatures {
        callee: b.import_signature(native(isa, 3)),
        helper: b.import_signature(native(isa, 6)),
        look_up: b.import_signature(native(isa, 4)),
        aside: b.import_signature(aside_signature()),
    };
    Emitter::new(b, signatures, code, range, flow).emit(isa);
    finish(isa, context)
}

/// A function of the platform's calling convention that takes so many words and returns one.
fn native(isa: &dyn TargetIsa, params: usize) -> Signature {
    let mut signature = Signature::new(CallConv::triple_default(isa.triple()));
    signature.params.extend(std::iter::repeat_n(AbiParam::new(I64), params));
    signature.returns.push(AbiParam::new(I64));
    signature
}

fn unfinished(signature: Signature) -> Context {
    Context::for_function(Function::with_name_signature(UserFuncName::default(), signature))
}

fn finish(isa: &dyn TargetIsa, mut context: Context) -> Result<Vec<u8>, String> {
    let compiled =
        context.compile(isa, &mut ControlPlane::default()).map_err(|e| format!("{:?}", e.inner))?;
    if !compiled.buffer.relocs().is_empty() {
        return Err("code that is not to be moved".to_owned());
    }
    Ok(compiled.code_buffer().to_vec())
}

/// Of what leaves every register as it was: the code around a call that is rarely made need not make room for it.
fn aside_signature() -> Signature {
    let mut signature = Signature::new(CallConv::PreserveAll);
    signature.params.extend([AbiParam::new(I64); 3]);
    signature
}

/// A function that calls `Cx::step` and leaves what that returns in `Cx::status`, and every register as it was.
pub(super) fn aside() -> Result<Compiled, Unavailable> {
    let isa = isa()?;
    let mut context = unfinished(aside_signature());
    let mut builders = FunctionBuilderContext::new();
    let mut b = FunctionBuilder::new(&mut context.func, &mut builders);
    let callee = b.import_signature(native(&*isa, 3));
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let params = b.block_params(entry).to_vec();
    let step = b.ins().load(I64, PLAIN, params[0], at::STEP);
    let call = b.ins().call_indirect(callee, step, &params);
    let status = b.inst_results(call)[0];
    b.ins().store(PLAIN, status, params[0], at::STATUS);
    b.ins().return_(&[]);
    b.seal_all_blocks();
    b.finalize(isa.frontend_config());
    let bytes = finish(&*isa, context).map_err(Unavailable)?;
    Ok(Compiled { bytes, entries: vec![(0, 0)], only_reads: vec![false] })
}

/// Of what machine code calls.
struct Signatures {
    /// The functions in `Cx`.
    callee: SigRef,
    /// The one that calls helpers.
    helper: SigRef,
    /// The one that looks up.
    look_up: SigRef,
    /// [`aside`].
    aside: SigRef,
}

/// One function being compiled.
pub(super) struct Emitter<'a> {
    pub b: FunctionBuilder<'a>,
    pub cx: Value,
    code: &'a [Insn],
    range: std::ops::Range<usize>,
    signatures: Signatures,
    flow: Flow,
    regs: [Variable; 11],
    /// `executed - fuel - pc`: with `pc`, what is left, negative.
    origin: Variable,
    may_goto: Variable,
    /// Where guest memory is, and its shadow.
    pub bytes: Value,
    pub shadow: Value,
    /// Returns its parameter.
    leave: Block,
    /// Blocks by instruction, where one begins.
    blocks: Vec<Option<Block>>,
    /// The instruction at hand.
    pub pc: usize,
}

pub(super) const PLAIN: MemFlagsData = MemFlagsData::new().with_notrap();

impl<'a> Emitter<'a> {
    fn new(
        mut b: FunctionBuilder<'a>,
        signatures: Signatures,
        code: &'a [Insn],
        range: std::ops::Range<usize>,
        flow: Flow,
    ) -> Self {
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        let cx = b.block_params(entry)[0];
        let regs = std::array::from_fn(|_| b.declare_var(I64));
        let origin = b.declare_var(I64);
        let [bytes, shadow] = [at::BYTES, at::SHADOW].map(|offset| b.ins().load(I64, PLAIN, cx, offset));
        let may_goto = b.declare_var(I32);
        let leave = b.create_block();
        b.append_block_param(leave, I64);
        b.set_cold_block(leave);
        let mut blocks = vec![None; range.len()];
        let mut begin = |b: &mut FunctionBuilder<'_>, index: usize| {
            if let Some(block) = blocks.get_mut(index - range.start)
                && block.is_none()
            {
                *block = Some(b.create_block());
            }
        };
        begin(&mut b, range.start);
        for index in range.clone() {
            let insn = code[index];
            if insn.op.is_jump() {
                begin(&mut b, target(index, insn));
            }
            if insn.op.is_jump() || insn.op == Op::Exit {
                begin(&mut b, index + 1);
            }
        }
        Self {
            b,
            cx,
            code,
            range,
            signatures,
            flow,
            regs,
            origin,
            may_goto,
            bytes,
            shadow,
            leave,
            blocks,
            pc: 0,
        }
    }

    fn emit(mut self, isa: &dyn TargetIsa) {
        for register in self.flow.entry.iter() {
            self.reload(register);
        }
        self.pc = self.range.start;
        self.reload_count(self.pc);
        let zero = self.b.ins().iconst(I32, 0);
        self.b.def_var(self.may_goto, zero);
        let mut open = true;
        for index in self.range.clone() {
            self.pc = index;
            if let Some(block) = self.blocks[index - self.range.start] {
                if open {
                    self.b.ins().jump(block, &[]);
                }
                self.b.switch_to_block(block);
                open = true;
            }
            if open {
                open = self.insn(self.code[index]);
            }
        }
        let leave = self.leave;
        self.b.switch_to_block(leave);
        let status = self.b.block_params(leave)[0];
        self.b.ins().return_(&[status]);
        self.b.seal_all_blocks();
        self.b.finalize(isa.frontend_config());
    }

    /// Translates one instruction; says whether the block goes on behind it.
    fn insn(&mut self, insn: Insn) -> bool {
        if alu::emit(self, insn) || self.access(insn) {
            return true;
        }
        if let Some(condition) = alu::condition(self, insn) {
            self.branch(insn, condition);
            return false;
        }
        match insn.op {
            Op::Ja => {
                self.go(insn);
                return false;
            }
            Op::Exit => {
                self.flush();
                self.stand_here();
                let status = self.constant(EXIT as i64);
                self.b.ins().return_(&[status]);
                return false;
            }
            Op::MayGoto => self.may_goto(insn),
            Op::CallHelper if looks_up(insn) => self.look_up(),
            Op::CallHelper | Op::CallKfunc => {
                let args = std::array::from_fn(|i| self.get(Reg::ALL[i + 1]));
                self.call_helper(args);
                self.after_call();
            }
            Op::CallLocal => {
                self.call(at::LOCAL);
                self.returned();
                self.after_call();
            }
            Op::TailCall => self.step(),
            Op::LdAbs | Op::LdInd => {
                self.step();
                self.reload(Reg::R0);
            }
            Op::Atomic1 | Op::Atomic2 | Op::Atomic4 | Op::Atomic8 => {
                self.step();
                for register in [Reg::R0, insn.dst, insn.src] {
                    self.reload(register);
                }
            }
            op => unreachable!("{op:?} is translated elsewhere, or fused"),
        }
        true
    }

    pub fn constant(&mut self, value: i64) -> Value {
        self.b.ins().iconst(I64, Imm64::new(value))
    }

    pub fn get(&mut self, register: Reg) -> Value {
        self.b.use_var(self.regs[register as usize])
    }

    pub fn set(&mut self, register: Reg, value: Value) {
        self.b.def_var(self.regs[register as usize], value);
    }

    pub fn reload(&mut self, register: Reg) {
        let value = self.b.ins().load(I64, PLAIN, self.cx, at::REGS + 8 * register as i32);
        self.set(register, value);
    }

    /// What is known before the instruction at hand.
    pub fn known(&self) -> Known {
        self.flow.before(self.pc)
    }

    /// Shows all registers to whoever is called or returned to.
    pub fn flush(&mut self) {
        for register in self.known().stale.iter() {
            let value = self.get(register);
            self.b.ins().store(PLAIN, value, self.cx, at::REGS + 8 * register as i32);
        }
    }

    /// Instructions executed, up to and including this one.
    fn executed(&mut self) -> Value {
        let origin = self.b.use_var(self.origin);
        let pc = self.constant((self.pc + 1) as i64);
        let fuel = self.b.ins().load(I64, PLAIN, self.cx, at::FUEL);
        let spent = self.b.ins().iadd(origin, pc);
        self.b.ins().iadd(spent, fuel)
    }

    /// Whether the budget does not reach beyond this instruction.
    fn spent(&mut self) -> Value {
        let origin = self.b.use_var(self.origin);
        let here = self.constant(-(self.pc as i64));
        self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, origin, here)
    }

    /// Takes over the count, standing before the instruction `pc`.
    fn reload_count(&mut self, pc: usize) {
        let executed = self.b.ins().load(I64, PLAIN, self.cx, at::INSNS);
        let fuel = self.b.ins().load(I64, PLAIN, self.cx, at::FUEL);
        let left = self.b.ins().isub(executed, fuel);
        let pc = self.constant(pc as i64);
        let origin = self.b.ins().isub(left, pc);
        self.b.def_var(self.origin, origin);
    }

    /// Calls what the field at `offset` says, about this instruction.
    fn call(&mut self, offset: i32) {
        self.flush();
        let callee = self.b.ins().load(I64, PLAIN, self.cx, offset);
        let (pc, executed) = (self.constant(self.pc as i64), self.executed());
        let call = self.b.ins().call_indirect(self.signatures.callee, callee, &[self.cx, pc, executed]);
        let status = self.b.inst_results(call)[0];
        self.go_on_unless(status);
    }

    /// Leaves with this status, unless it is [`GO_ON`].
    fn go_on_unless(&mut self, status: Value) {
        let go_on = self.b.create_block();
        self.b.ins().brif(status, self.leave, &[status.into()], go_on, &[]);
        self.b.switch_to_block(go_on);
    }

    /// Lets this instruction be executed elsewhere.
    pub fn step(&mut self) {
        self.call(at::STEP);
    }

    /// Lets this instruction be executed elsewhere, which is rarely wanted.
    pub fn step_aside(&mut self) {
        let status = self.call_aside();
        self.go_on_unless(status);
    }

    fn call_aside(&mut self) -> Value {
        self.flush();
        let callee = self.b.ins().load(I64, PLAIN, self.cx, at::ASIDE);
        let (pc, executed) = (self.constant(self.pc as i64), self.executed());
        self.b.ins().call_indirect(self.signatures.aside, callee, &[self.cx, pc, executed]);
        self.b.ins().load(I64, PLAIN, self.cx, at::STATUS)
    }

    /// Calls a helper, or a kernel function.
    fn call_helper(&mut self, [r1, r2, r3, r4, r5]: [Value; 5]) {
        self.flush();
        self.stand_here();
        let callee = self.b.ins().load(I64, PLAIN, self.cx, at::HELPER);
        let params = [self.cx, r1, r2, r3, r4, r5];
        let call = self.b.ins().call_indirect(self.signatures.helper, callee, &params);
        let status = self.b.inst_results(call)[0];
        self.go_on_unless(status);
        self.returned();
    }

    /// Shows this instruction, and the number executed up to and including it.
    fn stand_here(&mut self) {
        let (pc, executed) = (self.constant(self.pc as i64), self.executed());
        self.b.ins().store(PLAIN, executed, self.cx, at::INSNS);
        self.b.ins().store(PLAIN, pc, self.cx, at::PC);
    }

    /// Takes over the result of a call and the count.
    fn returned(&mut self) {
        self.reload_count(self.pc + 1);
        self.reload(Reg::R0);
    }

    /// `r1` to `r5` hold nothing.
    fn after_call(&mut self) {
        let zero = self.constant(0);
        for register in &Reg::ALL[1..6] {
            self.set(*register, zero);
        }
    }

    /// Calls what looks up elements of maps; if that does not, the helper.
    fn look_up(&mut self) {
        let callee = self.b.ins().load(I64, PLAIN, self.cx, at::LOOK_UP);
        let (map, key, executed) = (self.get(Reg::R1), self.get(Reg::R2), self.executed());
        let call =
            self.b.ins().call_indirect(self.signatures.look_up, callee, &[self.cx, map, key, executed]);
        let found = self.b.inst_results(call)[0];
        let (elsewhere, here, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(elsewhere);
        let not_found = self.constant(ELSEWHERE as i64);
        let refused = self.b.ins().icmp(IntCC::Equal, found, not_found);
        self.b.ins().brif(refused, elsewhere, &[], here, &[]);
        self.b.switch_to_block(elsewhere);
        let none = self.constant(0);
        self.call_helper([map, key, none, none, none]);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(here);
        self.set(Reg::R0, found);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(done);
        self.after_call();
    }

    fn block(&self, index: usize) -> Block {
        self.blocks[index - self.range.start].expect("a block begins at every target")
    }

    /// Ends the block with a jump; one back looks at the budget.
    fn go(&mut self, insn: Insn) {
        if insn.off < 0 {
            let spent = self.spent();
            self.fault_if(spent);
        }
        self.arrive(insn);
    }

    /// Ends the block with a jump that has been counted.
    fn arrive(&mut self, insn: Insn) {
        let origin = self.b.use_var(self.origin);
        let distance = self.constant(-i64::from(insn.off));
        let origin = self.b.ins().iadd(origin, distance);
        self.b.def_var(self.origin, origin);
        let block = self.block(target(self.pc, insn));
        self.b.ins().jump(block, &[]);
    }

    /// Where the budget does not reach, executing elsewhere is what faults.
    fn fault_if(&mut self, spent: Value) {
        let (fault, go_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(fault);
        self.b.ins().brif(spent, fault, &[], go_on, &[]);
        self.b.switch_to_block(fault);
        let status = self.call_aside();
        self.b.ins().jump(self.leave, &[status.into()]);
        self.b.switch_to_block(go_on);
    }

    fn branch(&mut self, insn: Insn, condition: Value) {
        let taken = self.b.create_block();
        let next = self.block(self.pc + 1);
        self.b.ins().brif(condition, taken, &[], next, &[]);
        self.b.switch_to_block(taken);
        self.go(insn);
    }

    fn may_goto(&mut self, insn: Insn) {
        let spent = self.spent();
        self.fault_if(spent);
        let count = self.b.use_var(self.may_goto);
        let most = self.b.ins().iconst(I32, i64::from(BPF_MAX_LOOPS));
        let enough = self.b.ins().icmp(IntCC::Equal, count, most);
        let (taken, next) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(enough, taken, &[], next, &[]);
        self.b.switch_to_block(taken);
        self.arrive(insn);
        self.b.switch_to_block(next);
        let one = self.b.ins().iconst(I32, 1);
        let count = self.b.ins().iadd(count, one);
        self.b.def_var(self.may_goto, count);
    }
}

fn target(index: usize, insn: Insn) -> usize {
    (index + 1).wrapping_add_signed(insn.off as isize)
}
