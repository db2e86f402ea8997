//! Arithmetic and conditions.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::immediates::Imm64;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{InstBuilder, Type, Value};

use super::emit::Emitter;
use crate::bpf::insn::{Insn, Op};

/// Two-operand arithmetic.
#[derive(Clone, Copy)]
enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Sdiv,
    Mod,
    Smod,
    Or,
    And,
    Xor,
    Lsh,
    Rsh,
    Arsh,
}

const BINARY: [Binary; 13] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Sdiv,
    Binary::Mod,
    Binary::Smod,
    Binary::Or,
    Binary::And,
    Binary::Xor,
    Binary::Lsh,
    Binary::Rsh,
    Binary::Arsh,
];

/// Conditions in the order of [`Op`]; `None` is `Jset`.
const CONDITIONS: [Option<IntCC>; 11] = [
    Some(IntCC::Equal),
    Some(IntCC::NotEqual),
    Some(IntCC::UnsignedGreaterThan),
    Some(IntCC::UnsignedGreaterThanOrEqual),
    Some(IntCC::UnsignedLessThan),
    Some(IntCC::UnsignedLessThanOrEqual),
    None,
    Some(IntCC::SignedGreaterThan),
    Some(IntCC::SignedGreaterThanOrEqual),
    Some(IntCC::SignedLessThan),
    Some(IntCC::SignedLessThanOrEqual),
];

/// One of four forms of operations in a fixed order: 64 bits by immediate and register, then 32 bits.
fn form(op: Op, first: [Op; 4], count: u8) -> Option<(usize, Type, bool)> {
    let forms = [(I64, false), (I64, true), (I32, false), (I32, true)];
    first.into_iter().zip(forms).find_map(|(first, (width, by_register))| {
        let index = (op as u8).checked_sub(first as u8)?;
        (index < count).then_some((index as usize, width, by_register))
    })
}

fn operands(e: &mut Emitter<'_>, insn: Insn, width: Type, by_register: bool) -> (Value, Value) {
    let a = e.get(insn.dst);
    if width == I64 {
        let b = if by_register { e.get(insn.src) } else { e.constant(insn.imm as i64) };
        return (a, b);
    }
    let a = e.b.ins().ireduce(I32, a);
    if by_register {
        let b = e.get(insn.src);
        return (a, e.b.ins().ireduce(I32, b));
    }
    (a, e.b.ins().iconst(I32, Imm64::new(i64::from(insn.imm as u32))))
}

/// Translates arithmetic; `false` if the instruction is something else.
pub(super) fn emit(e: &mut Emitter<'_>, insn: Insn) -> bool {
    let first = [Op::Add64Imm, Op::Add64Reg, Op::Add32Imm, Op::Add32Reg];
    if let Some((index, width, by_register)) = form(insn.op, first, 13) {
        let (a, b) = operands(e, insn, width, by_register);
        let value = binary(e, BINARY[index], width, a, b);
        let value = if width == I64 { value } else { e.b.ins().uextend(I64, value) };
        e.set(insn.dst, value);
        return true;
    }
    let (dst, src) = (e.get(insn.dst), e.get(insn.src));
    let value = match insn.op {
        Op::Neg64 => e.b.ins().ineg(dst),
        Op::Neg32 => {
            let value = e.b.ins().ireduce(I32, dst);
            let value = e.b.ins().ineg(value);
            e.b.ins().uextend(I64, value)
        }
        Op::MovImm => e.constant(insn.imm as i64),
        Op::Mov64Reg => src,
        Op::Mov32Reg => truncated(e, src, I32),
        Op::Movsx8To64 => extended(e, src, I8, I64),
        Op::Movsx16To64 => extended(e, src, I16, I64),
        Op::Movsx32To64 => extended(e, src, I32, I64),
        Op::Movsx8To32 => extended(e, src, I8, I32),
        Op::Movsx16To32 => extended(e, src, I16, I32),
        Op::Le16 => truncated(e, dst, I16),
        Op::Le32 => truncated(e, dst, I32),
        Op::Nop => return true,
        Op::Swap16 => swapped(e, dst, I16),
        Op::Swap32 => swapped(e, dst, I32),
        Op::Swap64 => e.b.ins().bswap(dst),
        _ => return false,
    };
    e.set(insn.dst, value);
    true
}

fn truncated(e: &mut Emitter<'_>, value: Value, to: Type) -> Value {
    let value = e.b.ins().ireduce(to, value);
    e.b.ins().uextend(I64, value)
}

fn swapped(e: &mut Emitter<'_>, value: Value, width: Type) -> Value {
    let value = e.b.ins().ireduce(width, value);
    let value = e.b.ins().bswap(value);
    e.b.ins().uextend(I64, value)
}

fn extended(e: &mut Emitter<'_>, value: Value, from: Type, to: Type) -> Value {
    let value = e.b.ins().ireduce(from, value);
    let value = e.b.ins().sextend(to, value);
    if to == I64 { value } else { e.b.ins().uextend(I64, value) }
}

fn binary(e: &mut Emitter<'_>, what: Binary, width: Type, a: Value, b: Value) -> Value {
    match what {
        Binary::Add => e.b.ins().iadd(a, b),
        Binary::Sub => e.b.ins().isub(a, b),
        Binary::Mul => e.b.ins().imul(a, b),
        Binary::Or => e.b.ins().bor(a, b),
        Binary::And => e.b.ins().band(a, b),
        Binary::Xor => e.b.ins().bxor(a, b),
        Binary::Lsh => e.b.ins().ishl(a, b),
        Binary::Rsh => e.b.ins().ushr(a, b),
        Binary::Arsh => e.b.ins().sshr(a, b),
        Binary::Div | Binary::Mod | Binary::Sdiv | Binary::Smod => divided(e, what, width, a, b),
    }
}

/// Division as [`interp`](crate::bpf::interp) does it: by 1 where the machine's would trap, and the result mended.
fn divided(e: &mut Emitter<'_>, what: Binary, width: Type, a: Value, b: Value) -> Value {
    let [zero, one, minus_one] = [0, 1, -1].map(|value: i64| {
        let value = if width == I32 { i64::from(value as u32) } else { value };
        e.b.ins().iconst(width, Imm64::new(value))
    });
    let by_zero = e.b.ins().icmp(IntCC::Equal, b, zero);
    let safe = e.b.ins().select(by_zero, one, b);
    match what {
        Binary::Div => {
            let value = e.b.ins().udiv(a, safe);
            e.b.ins().select(by_zero, zero, value)
        }
        Binary::Mod => {
            let value = e.b.ins().urem(a, safe);
            e.b.ins().select(by_zero, a, value)
        }
        _ => {
            let negates = e.b.ins().icmp(IntCC::Equal, b, minus_one);
            let safe = e.b.ins().select(negates, one, safe);
            if let Binary::Sdiv = what {
                let value = e.b.ins().sdiv(a, safe);
                let negated = e.b.ins().ineg(a);
                let value = e.b.ins().select(negates, negated, value);
                e.b.ins().select(by_zero, zero, value)
            } else {
                // By 1 and by -1 alike nothing remains.
                let value = e.b.ins().srem(a, safe);
                e.b.ins().select(by_zero, a, value)
            }
        }
    }
}

/// What a conditional jump asks; `None` if the instruction is none.
pub(super) fn condition(e: &mut Emitter<'_>, insn: Insn) -> Option<Value> {
    let first = [Op::Jeq64Imm, Op::Jeq64Reg, Op::Jeq32Imm, Op::Jeq32Reg];
    let (index, width, by_register) = form(insn.op, first, 11)?;
    let (a, b) = operands(e, insn, width, by_register);
    Some(match CONDITIONS[index] {
        Some(condition) => e.b.ins().icmp(condition, a, b),
        None => e.b.ins().band(a, b),
    })
}
