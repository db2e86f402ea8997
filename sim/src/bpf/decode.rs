//! Slots → decoded instructions: every field checked once, so that the interpreter need not.
//!
//! What is refused here is what `kernel/bpf/verifier.c` (v6.18) refuses of an instruction by itself: unknown opcodes,
//! reserved fields, jumps out of the function, falling off its end, writes to `r10`.

use super::insn::{Insn, Op, Reg};
use super::mem::STACK_SIZE;
use super::program::DecodeError;
use crate::uapi::insn::{
    BPF_ABS, BPF_ADD, BPF_ALU, BPF_ALU64, BPF_AND, BPF_ARSH, BPF_ATOMIC, BPF_CALL, BPF_CMPXCHG, BPF_DIV,
    BPF_DW, BPF_END, BPF_EXIT, BPF_FETCH, BPF_FUNC_TAIL_CALL, BPF_IMM, BPF_IND, BPF_JA, BPF_JCOND, BPF_JEQ,
    BPF_JGE, BPF_JGT, BPF_JLE, BPF_JLT, BPF_JMP, BPF_JMP32, BPF_JNE, BPF_JSET, BPF_JSGE, BPF_JSGT, BPF_JSLE,
    BPF_JSLT, BPF_LD, BPF_LDX, BPF_LOAD_ACQ, BPF_LSH, BPF_MEM, BPF_MEMSX, BPF_MOD, BPF_MOV, BPF_MUL, BPF_NEG,
    BPF_OR, BPF_PSEUDO_CALL, BPF_PSEUDO_KFUNC_CALL, BPF_RSH, BPF_ST, BPF_STORE_REL, BPF_STX, BPF_SUB,
    BPF_XCHG, BPF_XOR, Slot,
};

/// Decoded code and the way back to slots.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Code {
    /// Instructions; a `ld_imm64` is one.
    pub insns: Vec<Insn>,
    /// The slot of each instruction.
    pub slots: Vec<u32>,
}

impl Code {
    /// The instruction at `slot`, if one begins there.
    pub fn index_of(&self, slot: u32) -> Option<usize> {
        self.slots.binary_search(&slot).ok()
    }
}

/// The slots that calls between functions lead to, in the order of the calls.
pub(super) fn call_targets(slots: &[u64]) -> impl Iterator<Item = u32> {
    slots.iter().enumerate().filter_map(|(at, &raw)| {
        let slot = Slot::from_u64(raw);
        let call = slot.code == BPF_JMP | BPF_CALL && slot.src == BPF_PSEUDO_CALL;
        call.then(|| u32::try_from(at as i64 + 1 + i64::from(slot.imm)).ok()).flatten()
    })
}

/// Decodes `raw`. `starts` are the functions' first slots, ascending, beginning with 0.
pub(super) fn decode(raw: &[u64], starts: &[u32]) -> Result<Code, DecodeError> {
    let len = u32::try_from(raw.len()).unwrap_or(u32::MAX);
    let mut code = Code { insns: Vec::with_capacity(raw.len()), slots: Vec::with_capacity(raw.len()) };
    for (i, &start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(len);
        if start >= end {
            return refuse(start, "a function without instructions");
        }
        let mut at = start;
        while at < end {
            let slot = Slot::from_u64(raw[at as usize]);
            let next = (at + 1 < end).then(|| Slot::from_u64(raw[at as usize + 1]));
            let insn = one(slot, next).map_err(|what| DecodeError { slot: at, what })?;
            code.insns.push(insn);
            code.slots.push(at);
            at += if slot.code == BPF_LD | BPF_IMM | BPF_DW { 2 } else { 1 };
        }
        let last = code.insns[code.insns.len() - 1];
        if !matches!(last.op, Op::Exit | Op::Ja) {
            return refuse(end - 1, "the last instruction of a function is not an exit or a jump");
        }
        resolve_jumps(&mut code, start, end)?;
    }
    resolve_calls(&mut code, starts)?;
    Ok(code)
}

fn refuse<T>(slot: u32, what: impl Into<String>) -> Result<T, DecodeError> {
    Err(DecodeError { slot, what: what.into() })
}

/// Turns the distances of the last function's jumps from slots into instructions.
fn resolve_jumps(code: &mut Code, start: u32, end: u32) -> Result<(), DecodeError> {
    let first = code.slots.partition_point(|&slot| slot < start);
    for index in first..code.insns.len() {
        let insn = code.insns[index];
        if !insn.op.is_jump() {
            continue;
        }
        let slot = code.slots[index];
        let target = i64::from(slot) + 1 + i64::from(insn.off);
        if target < i64::from(start) || target >= i64::from(end) {
            return refuse(slot, format!("a jump out of the function, to {target}"));
        }
        match code.index_of(target as u32) {
            Some(to) => code.insns[index].off = (to as i64 - index as i64 - 1) as i32,
            None => return refuse(slot, format!("a jump into the middle of the ld_imm64 before {target}")),
        }
    }
    Ok(())
}

fn resolve_calls(code: &mut Code, starts: &[u32]) -> Result<(), DecodeError> {
    for index in 0..code.insns.len() {
        let insn = code.insns[index];
        if insn.op != Op::CallLocal {
            continue;
        }
        let slot = code.slots[index];
        let target = i64::from(slot) + 1 + i64::from(insn.off);
        let to = u32::try_from(target).ok().filter(|t| starts.binary_search(t).is_ok());
        match to.and_then(|target| code.index_of(target)) {
            Some(to) => code.insns[index].off = (to as i64 - index as i64 - 1) as i32,
            None => return refuse(slot, format!("a call to {target}, where no function begins")),
        }
    }
    Ok(())
}

type Decoded = Result<Insn, String>;

fn reserved(what: &str) -> Decoded {
    Err(format!("{what} uses reserved fields"))
}

fn unknown(slot: Slot) -> Decoded {
    Err(format!("unknown opcode {:02x}", slot.code))
}

fn one(slot: Slot, next: Option<Slot>) -> Decoded {
    for register in [slot.dst, slot.src] {
        if register > 10 {
            return Err(format!("R{register} is invalid"));
        }
    }
    let insn = match slot.class() {
        BPF_ALU | BPF_ALU64 => alu(slot),
        BPF_JMP | BPF_JMP32 => jump(slot),
        BPF_LDX | BPF_ST | BPF_STX => access(slot),
        _ => load_special(slot, next),
    }?;
    if insn.dst == Reg::R10 && insn.op.writes_dst() || insn.src == Reg::R10 && fetches(insn) {
        return Err("frame pointer is read only".to_owned());
    }
    Ok(insn)
}

fn fetches(insn: Insn) -> bool {
    let atomic = matches!(insn.op, Op::Atomic1 | Op::Atomic2 | Op::Atomic4 | Op::Atomic8);
    let operation = insn.imm as i32;
    atomic && operation & BPF_FETCH != 0 && operation != BPF_CMPXCHG
}

fn base(op: Op, slot: Slot) -> Insn {
    Insn {
        op,
        dst: Reg::ALL[usize::from(slot.dst)],
        src: Reg::ALL[usize::from(slot.src)],
        off: i32::from(slot.off),
        imm: slot.imm as i64 as u64,
    }
}

/// Operations with all four forms: 64 and 32 bits, immediate and register; `signed` is `off == 1`.
fn alu_forms(op: u8, signed: bool) -> Option<[Op; 4]> {
    Some(match (op, signed) {
        (BPF_ADD, false) => [Op::Add64Imm, Op::Add64Reg, Op::Add32Imm, Op::Add32Reg],
        (BPF_SUB, false) => [Op::Sub64Imm, Op::Sub64Reg, Op::Sub32Imm, Op::Sub32Reg],
        (BPF_MUL, false) => [Op::Mul64Imm, Op::Mul64Reg, Op::Mul32Imm, Op::Mul32Reg],
        (BPF_DIV, false) => [Op::Div64Imm, Op::Div64Reg, Op::Div32Imm, Op::Div32Reg],
        (BPF_DIV, true) => [Op::Sdiv64Imm, Op::Sdiv64Reg, Op::Sdiv32Imm, Op::Sdiv32Reg],
        (BPF_MOD, false) => [Op::Mod64Imm, Op::Mod64Reg, Op::Mod32Imm, Op::Mod32Reg],
        (BPF_MOD, true) => [Op::Smod64Imm, Op::Smod64Reg, Op::Smod32Imm, Op::Smod32Reg],
        (BPF_OR, false) => [Op::Or64Imm, Op::Or64Reg, Op::Or32Imm, Op::Or32Reg],
        (BPF_AND, false) => [Op::And64Imm, Op::And64Reg, Op::And32Imm, Op::And32Reg],
        (BPF_XOR, false) => [Op::Xor64Imm, Op::Xor64Reg, Op::Xor32Imm, Op::Xor32Reg],
        (BPF_LSH, false) => [Op::Lsh64Imm, Op::Lsh64Reg, Op::Lsh32Imm, Op::Lsh32Reg],
        (BPF_RSH, false) => [Op::Rsh64Imm, Op::Rsh64Reg, Op::Rsh32Imm, Op::Rsh32Reg],
        (BPF_ARSH, false) => [Op::Arsh64Imm, Op::Arsh64Reg, Op::Arsh32Imm, Op::Arsh32Reg],
        _ => return None,
    })
}

fn alu(slot: Slot) -> Decoded {
    let wide = slot.class() == BPF_ALU64;
    match slot.op() {
        BPF_NEG => {
            if slot.by_register() || slot.src != 0 || slot.off != 0 || slot.imm != 0 {
                return reserved("BPF_NEG");
            }
            Ok(base(if wide { Op::Neg64 } else { Op::Neg32 }, slot))
        }
        BPF_END => swap(slot, wide),
        BPF_MOV => mov(slot, wide),
        op => {
            if slot.by_register() && slot.imm != 0 || !slot.by_register() && slot.src != 0 {
                return reserved("BPF_ALU");
            }
            let signed = match slot.off {
                0 => false,
                1 if matches!(op, BPF_DIV | BPF_MOD) => true,
                _ => return reserved("BPF_ALU"),
            };
            let Some(forms) = alu_forms(op, signed) else { return unknown(slot) };
            if !slot.by_register() && matches!(op, BPF_DIV | BPF_MOD) && slot.imm == 0 {
                return Err("div by zero".to_owned());
            }
            let bits = if wide { 64 } else { 32 };
            let shift = matches!(op, BPF_LSH | BPF_RSH | BPF_ARSH);
            if !slot.by_register() && shift && !(0..bits).contains(&slot.imm) {
                return Err(format!("invalid shift {}", slot.imm));
            }
            Ok(base(forms[usize::from(!wide) * 2 + usize::from(slot.by_register())], slot))
        }
    }
}

fn swap(slot: Slot, wide: bool) -> Decoded {
    if slot.src != 0 || slot.off != 0 || wide && slot.by_register() {
        return reserved("BPF_END");
    }
    let to_little = !wide && !slot.by_register();
    let op = match (slot.imm, to_little) {
        (16, true) => Op::Le16,
        (32, true) => Op::Le32,
        (64, true) => Op::Nop,
        (16, false) => Op::Swap16,
        (32, false) => Op::Swap32,
        (64, false) => Op::Swap64,
        _ => return reserved("BPF_END"),
    };
    Ok(base(op, slot))
}

fn mov(slot: Slot, wide: bool) -> Decoded {
    if !slot.by_register() {
        if slot.src != 0 || slot.off != 0 {
            return reserved("BPF_MOV");
        }
        let imm = if wide { slot.imm as i64 as u64 } else { slot.imm as u32 as u64 };
        return Ok(Insn { imm, ..base(Op::MovImm, slot) });
    }
    let op = match (slot.off, wide) {
        (0, true) => Op::Mov64Reg,
        (8, true) => Op::Movsx8To64,
        (16, true) => Op::Movsx16To64,
        (32, true) => Op::Movsx32To64,
        (0, false) => Op::Mov32Reg,
        (8, false) => Op::Movsx8To32,
        (16, false) => Op::Movsx16To32,
        _ => return reserved("BPF_MOV"),
    };
    if slot.imm != 0 {
        return reserved("BPF_MOV");
    }
    Ok(base(op, slot))
}

/// Conditions in their four forms: 64 and 32 bits, immediate and register.
fn condition_forms(op: u8) -> Option<[Op; 4]> {
    Some(match op {
        BPF_JEQ => [Op::Jeq64Imm, Op::Jeq64Reg, Op::Jeq32Imm, Op::Jeq32Reg],
        BPF_JNE => [Op::Jne64Imm, Op::Jne64Reg, Op::Jne32Imm, Op::Jne32Reg],
        BPF_JGT => [Op::Jgt64Imm, Op::Jgt64Reg, Op::Jgt32Imm, Op::Jgt32Reg],
        BPF_JGE => [Op::Jge64Imm, Op::Jge64Reg, Op::Jge32Imm, Op::Jge32Reg],
        BPF_JLT => [Op::Jlt64Imm, Op::Jlt64Reg, Op::Jlt32Imm, Op::Jlt32Reg],
        BPF_JLE => [Op::Jle64Imm, Op::Jle64Reg, Op::Jle32Imm, Op::Jle32Reg],
        BPF_JSET => [Op::Jset64Imm, Op::Jset64Reg, Op::Jset32Imm, Op::Jset32Reg],
        BPF_JSGT => [Op::Jsgt64Imm, Op::Jsgt64Reg, Op::Jsgt32Imm, Op::Jsgt32Reg],
        BPF_JSGE => [Op::Jsge64Imm, Op::Jsge64Reg, Op::Jsge32Imm, Op::Jsge32Reg],
        BPF_JSLT => [Op::Jslt64Imm, Op::Jslt64Reg, Op::Jslt32Imm, Op::Jslt32Reg],
        BPF_JSLE => [Op::Jsle64Imm, Op::Jsle64Reg, Op::Jsle32Imm, Op::Jsle32Reg],
        _ => return None,
    })
}

fn jump(slot: Slot) -> Decoded {
    let wide = slot.class() == BPF_JMP;
    match slot.op() {
        BPF_JA => {
            let unused = if wide { slot.imm != 0 } else { slot.off != 0 };
            if slot.by_register() || slot.src != 0 || slot.dst != 0 || unused {
                return reserved("BPF_JA");
            }
            Ok(Insn { off: if wide { i32::from(slot.off) } else { slot.imm }, ..base(Op::Ja, slot) })
        }
        BPF_CALL if wide => call(slot),
        BPF_EXIT if wide => {
            if slot.by_register() || slot.src != 0 || slot.dst != 0 || slot.imm != 0 || slot.off != 0 {
                return reserved("BPF_EXIT");
            }
            Ok(base(Op::Exit, slot))
        }
        BPF_JCOND if wide => {
            if slot.by_register() || slot.src != 0 || slot.dst != 0 || slot.imm != 0 {
                return reserved("may_goto");
            }
            Ok(base(Op::MayGoto, slot))
        }
        op => {
            let Some(forms) = condition_forms(op) else { return unknown(slot) };
            if slot.by_register() && slot.imm != 0 || !slot.by_register() && slot.src != 0 {
                return reserved("BPF_JMP/JMP32");
            }
            Ok(base(forms[usize::from(!wide) * 2 + usize::from(slot.by_register())], slot))
        }
    }
}

fn call(slot: Slot) -> Decoded {
    if slot.by_register() || slot.dst != 0 || slot.off != 0 {
        return reserved("BPF_CALL");
    }
    match slot.src {
        0 if slot.imm == BPF_FUNC_TAIL_CALL => Ok(base(Op::TailCall, slot)),
        0 => Ok(base(Op::CallHelper, slot)),
        BPF_PSEUDO_CALL => Ok(Insn { off: slot.imm, ..base(Op::CallLocal, slot) }),
        BPF_PSEUDO_KFUNC_CALL => Ok(base(Op::CallKfunc, slot)),
        _ => reserved("BPF_CALL"),
    }
}

/// Picks the operation for a width of 1, 2, 4 or 8 bytes.
fn by_width<const N: usize>(slot: Slot, ops: [Op; N]) -> Result<Op, String> {
    let index = slot.width().trailing_zeros() as usize;
    ops.get(index).copied().ok_or_else(|| format!("unknown opcode {:02x}", slot.code))
}

fn access(slot: Slot) -> Decoded {
    let pointer = if slot.class() == BPF_LDX { slot.src } else { slot.dst };
    let end = i32::from(slot.off) + slot.width() as i32;
    let in_frame = pointer == 10 && i32::from(slot.off) >= -(STACK_SIZE as i32) && end <= 0;
    let op = match (slot.class(), slot.mode()) {
        (BPF_LDX, _) if slot.imm != 0 => return reserved("BPF_LDX"),
        (BPF_ST, _) if slot.src != 0 => return reserved("BPF_ST"),
        (BPF_STX, BPF_MEM) if slot.imm != 0 => return reserved("BPF_STX"),
        (BPF_LDX, BPF_MEM) if in_frame => {
            by_width(slot, [Op::StackLoad1, Op::StackLoad2, Op::StackLoad4, Op::StackLoad8])?
        }
        (BPF_LDX, BPF_MEM) => by_width(slot, [Op::Load1, Op::Load2, Op::Load4, Op::Load8])?,
        (BPF_LDX, BPF_MEMSX) => by_width(slot, [Op::Loadsx1, Op::Loadsx2, Op::Loadsx4])?,
        (BPF_ST, BPF_MEM) if in_frame => {
            let ops = [Op::StackStoreImm1, Op::StackStoreImm2, Op::StackStoreImm4, Op::StackStoreImm8];
            by_width(slot, ops)?
        }
        (BPF_ST, BPF_MEM) => by_width(slot, [Op::StoreImm1, Op::StoreImm2, Op::StoreImm4, Op::StoreImm8])?,
        (BPF_STX, BPF_MEM) if in_frame => {
            by_width(slot, [Op::StackStore1, Op::StackStore2, Op::StackStore4, Op::StackStore8])?
        }
        (BPF_STX, BPF_MEM) => by_width(slot, [Op::Store1, Op::Store2, Op::Store4, Op::Store8])?,
        (BPF_STX, BPF_ATOMIC) => return atomic(slot),
        _ => return unknown(slot),
    };
    Ok(base(op, slot))
}

fn atomic(slot: Slot) -> Decoded {
    const WITH_AND_WITHOUT_FETCH: [i32; 4] = [BPF_ADD as i32, BPF_OR as i32, BPF_AND as i32, BPF_XOR as i32];
    let any_width = matches!(slot.imm, BPF_LOAD_ACQ | BPF_STORE_REL);
    let known = any_width
        || matches!(slot.imm, BPF_XCHG | BPF_CMPXCHG)
        || WITH_AND_WITHOUT_FETCH.contains(&(slot.imm & !BPF_FETCH));
    if !known {
        return Err(format!("unknown atomic operation {:#x}", slot.imm));
    }
    if slot.width() < 4 && !any_width {
        return Err("an atomic operation of 1 or 2 bytes".to_owned());
    }
    if slot.imm == BPF_LOAD_ACQ && slot.dst == 10 {
        return Err("frame pointer is read only".to_owned());
    }
    let op = by_width(slot, [Op::Atomic1, Op::Atomic2, Op::Atomic4, Op::Atomic8])?;
    Ok(base(op, slot))
}

fn load_special(slot: Slot, next: Option<Slot>) -> Decoded {
    match (slot.mode(), slot.width()) {
        (BPF_IMM, 8) => {
            let Some(next) = next else { return Err("half a ld_imm64".to_owned()) };
            if next != (Slot { imm: next.imm, ..Slot::default() }) || slot.off != 0 {
                return reserved("BPF_LD_IMM64");
            }
            if slot.src != 0 {
                return Err(format!("an unresolved ld_imm64 of kind {}", slot.src));
            }
            let imm = u64::from(slot.imm as u32) | u64::from(next.imm as u32) << 32;
            Ok(Insn { imm, ..base(Op::MovImm, slot) })
        }
        (BPF_ABS, 1 | 2 | 4) => {
            if slot.dst != 0 || slot.off != 0 || slot.src != 0 {
                return reserved("BPF_LD_ABS");
            }
            Ok(Insn { off: slot.width() as i32, ..base(Op::LdAbs, slot) })
        }
        (BPF_IND, 1 | 2 | 4) => {
            if slot.dst != 0 || slot.off != 0 {
                return reserved("BPF_LD_IND");
            }
            Ok(Insn { off: slot.width() as i32, ..base(Op::LdInd, slot) })
        }
        _ => unknown(slot),
    }
}
