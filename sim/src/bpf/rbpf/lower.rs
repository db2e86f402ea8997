//! Programs → straight lines for rbpf.
//!
//! A lowered line uses three places: registers as the program has them, rbpf's own stack for what must be put aside,
//! and the cells outside. `r10` is rbpf's stack pointer throughout; the program's `r10` is read from its cell.

use std::rc::Rc;

use super::{Cells, Declined, Line, Lowered, address};
use crate::bpf::insn::{Insn, Op, Reg};
use crate::bpf::program::Program;
use crate::uapi::insn::{
    BPF_ADD, BPF_ALU, BPF_ALU64, BPF_AND, BPF_ARSH, BPF_DW, BPF_END, BPF_EXIT, BPF_IMM, BPF_JMP, BPF_K,
    BPF_LD, BPF_LDX, BPF_LSH, BPF_MEM, BPF_MOV, BPF_STX, BPF_X, BPF_XOR, Slot,
};

/// Instructions of the program in one line: jumps of rbpf 0.4.1 reach 15 bits.
const LONGEST: usize = 256;

/// Where the lowered code puts aside `r0`, and a register that lends itself, below rbpf's stack pointer.
const ASIDE: i16 = -8;
const LENT: i16 = -16;

/// Lowers a program, or names the first instruction that cannot be.
pub(super) fn lower(program: Rc<Program>) -> Result<Lowered, Declined> {
    let code = program.code();
    for (index, insn) in code.iter().enumerate() {
        if let Some(why) = declined(insn.op) {
            return Err(Declined { index, why });
        }
    }
    let entered = entered(&program);
    let cells = Box::new(Cells::default());
    let mut lines: Vec<Option<Line>> = code.iter().map(|_| None).collect();
    let mut at = 0;
    while at < code.len() {
        let len = length(&code[at..], &entered[at..]);
        if len > 0 {
            lines[at] = Some(Emit { code: Vec::new(), cells: address(&cells) }.line(&program, at, len));
        }
        at += len.max(1);
    }
    Ok(Lowered { program, cells, lines })
}

/// What rbpf computes wrongly and what has no equivalent among the rest.
const fn declined(op: Op) -> Option<&'static str> {
    match op {
        Op::Sdiv64Imm | Op::Sdiv64Reg | Op::Sdiv32Imm | Op::Sdiv32Reg => {
            Some("rbpf 0.4.1 divides without a sign")
        }
        Op::Smod64Imm | Op::Smod64Reg | Op::Smod32Imm | Op::Smod32Reg => {
            Some("rbpf 0.4.1 takes the remainder without a sign")
        }
        Op::Swap16 | Op::Swap32 | Op::Swap64 if cfg!(target_endian = "big") => {
            Some("rbpf 0.4.1 swaps by the host's byte order")
        }
        _ => None,
    }
}

/// Whether control may come to an instruction other than from the one before.
fn entered(program: &Program) -> Vec<bool> {
    let code = program.code();
    let mut entered = vec![false; code.len()];
    for (index, insn) in code.iter().enumerate() {
        if insn.op.is_jump() {
            entered[(index + 1).wrapping_add_signed(insn.off as isize)] = true;
        }
    }
    for function in &program.image().functions {
        if let Some(index) = program.entry(function.start_slot) {
            entered[index] = true;
        }
    }
    entered
}

/// How many instructions the line has that begins here; 0 if the first one is the machine's.
fn length(code: &[Insn], entered: &[bool]) -> usize {
    let mut len = 0;
    for (insn, entered) in code.iter().zip(entered).take(LONGEST) {
        if len > 0 && *entered {
            break;
        }
        if is_jump(insn.op) {
            return len + 1;
        }
        if how(insn.op).is_none() {
            break;
        }
        len += 1;
    }
    len
}

/// Jumps that depend on nothing but registers.
fn is_jump(op: Op) -> bool {
    op.is_jump() && op != Op::MayGoto
}

/// How an instruction that only computes is lowered.
enum How {
    /// As it is.
    Same,
    /// As it is, then the upper half cleared.
    Narrow,
    /// A constant.
    Constant,
    /// A move, and shifts to the left and back by so much; in 64 or 32 bits.
    Extend {
        wide: bool,
        by: i32,
    },
    Negate,
    /// Only the low 16, 32 or 64 bits.
    Truncate(i32),
    /// The bytes of so many bits in reverse order, the others 0.
    Swap(i32),
}

#[rustfmt::skip] // a table
const fn how(op: Op) -> Option<How> {
    Some(match op {
        Op::Add64Imm | Op::Sub64Imm | Op::Mul64Imm | Op::Div64Imm | Op::Mod64Imm
        | Op::Or64Imm | Op::And64Imm | Op::Xor64Imm | Op::Lsh64Imm | Op::Rsh64Imm | Op::Arsh64Imm
        | Op::Add64Reg | Op::Sub64Reg | Op::Mul64Reg | Op::Div64Reg | Op::Mod64Reg
        | Op::Or64Reg | Op::And64Reg | Op::Xor64Reg | Op::Lsh64Reg | Op::Rsh64Reg | Op::Arsh64Reg
        | Op::Add32Imm | Op::Sub32Imm | Op::Mul32Imm | Op::Div32Imm
        | Op::Or32Imm | Op::And32Imm | Op::Xor32Imm | Op::Lsh32Imm | Op::Rsh32Imm | Op::Arsh32Imm
        | Op::Add32Reg | Op::Sub32Reg | Op::Mul32Reg | Op::Div32Reg
        | Op::Or32Reg | Op::And32Reg | Op::Xor32Reg | Op::Lsh32Reg | Op::Rsh32Reg | Op::Arsh32Reg
        | Op::Neg32 | Op::Mov64Reg | Op::Mov32Reg => How::Same,
        Op::Mod32Imm | Op::Mod32Reg => How::Narrow,
        Op::MovImm => How::Constant,
        Op::Movsx8To64 => How::Extend { wide: true, by: 56 },
        Op::Movsx16To64 => How::Extend { wide: true, by: 48 },
        Op::Movsx32To64 => How::Extend { wide: true, by: 32 },
        Op::Movsx8To32 => How::Extend { wide: false, by: 24 },
        Op::Movsx16To32 => How::Extend { wide: false, by: 16 },
        Op::Neg64 => How::Negate,
        Op::Le16 => How::Truncate(16),
        Op::Le32 => How::Truncate(32),
        Op::Nop => How::Truncate(64),
        Op::Swap16 => How::Swap(16),
        Op::Swap32 => How::Swap(32),
        Op::Swap64 => How::Swap(64),
        _ => return None,
    })
}

/// Writes one line.
struct Emit {
    code: Vec<u8>,
    cells: u64,
}

impl Emit {
    fn line(mut self, program: &Program, at: usize, len: usize) -> Line {
        let code = &program.code()[at..at + len];
        let slot = |index: usize| Slot::from_u64(program.image().slots[program.slot_of(index) as usize]);
        let (jump, body) = match code.split_last() {
            Some((last, body)) if is_jump(last.op) => (Some(*last), body),
            _ => (None, code),
        };
        let (mut used, mut written) = ([false; 10], [false; 10]);
        for insn in body {
            written[insn.dst as usize] = true;
            for register in [insn.dst, insn.src].into_iter().filter(|&r| r != Reg::R10) {
                used[register as usize] = true;
            }
        }
        if !body.is_empty() {
            self.fetch(&used);
            for (index, insn) in (at..).zip(body) {
                self.compute(*insn, slot(index));
            }
            self.leave(&written);
        }
        match jump {
            Some(jump) => self.decide(jump, slot(at + len - 1)),
            None => self.end(0),
        }
        Line { code: self.code, len }
    }

    fn put(&mut self, code: u8, dst: u8, src: u8, off: i16, imm: i32) {
        self.code.extend(Slot { code, dst, src, off, imm }.to_u64().to_le_bytes());
    }

    fn constant(&mut self, dst: u8, value: u64) {
        self.put(BPF_LD | BPF_IMM | BPF_DW, dst, 0, 0, value as i32);
        self.put(0, 0, 0, 0, (value >> 32) as i32);
    }

    fn load(&mut self, dst: u8, src: u8, off: i16) {
        self.put(BPF_LDX | BPF_MEM | BPF_DW, dst, src, off, 0);
    }

    fn store(&mut self, dst: u8, off: i16, src: u8) {
        self.put(BPF_STX | BPF_MEM | BPF_DW, dst, src, off, 0);
    }

    fn end(&mut self, result: i32) {
        self.put(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, result);
        self.put(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    }

    /// Registers from their cells; `r0`, which holds the address until then, last.
    fn fetch(&mut self, used: &[bool; 10]) {
        self.constant(0, self.cells);
        for register in (0..10).rev().filter(|&r| used[usize::from(r)]) {
            self.load(register, 0, cell(register));
        }
    }

    /// Registers into their cells.
    fn leave(&mut self, written: &[bool; 10]) {
        self.store(10, ASIDE, 0);
        self.constant(0, self.cells);
        for register in (1..10).filter(|&r| written[usize::from(r)]) {
            self.store(0, cell(register), register);
        }
        if written[0] {
            self.load(1, 10, ASIDE);
            self.store(0, cell(0), 1);
        }
    }

    /// Returns whether the jump is taken. Every register is free here.
    fn decide(&mut self, jump: Insn, slot: Slot) {
        if jump.op == Op::Ja {
            return self.end(1);
        }
        self.constant(0, self.cells);
        self.load(1, 0, cell(jump.dst as u8));
        if slot.by_register() {
            self.load(2, 0, cell(jump.src as u8));
        } else {
            self.constant(2, jump.imm);
        }
        self.put(slot.code | BPF_X, 1, 2, 2, 0);
        self.end(0);
        self.end(1);
    }

    fn compute(&mut self, insn: Insn, slot: Slot) {
        let dst = insn.dst as u8;
        match how(insn.op).expect("a line holds nothing else") {
            How::Same => self.with_source(insn, slot),
            How::Narrow => {
                self.with_source(insn, slot);
                self.put(BPF_ALU | BPF_MOV | BPF_X, dst, dst, 0, 0);
            }
            How::Constant => self.constant(dst, insn.imm),
            How::Extend { wide, by } => {
                let class = if wide { BPF_ALU64 } else { BPF_ALU };
                self.with_source(insn, Slot { code: class | BPF_MOV | BPF_X, off: 0, ..slot });
                self.put(class | BPF_LSH | BPF_K, dst, 0, 0, by);
                self.put(class | BPF_ARSH | BPF_K, dst, 0, 0, by);
            }
            How::Negate => {
                self.put(BPF_ALU64 | BPF_XOR | BPF_K, dst, 0, 0, -1);
                self.put(BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, 1);
            }
            How::Truncate(16) => self.put(BPF_ALU64 | BPF_AND | BPF_K, dst, 0, 0, 0xffff),
            How::Truncate(32) => self.put(BPF_ALU | BPF_MOV | BPF_X, dst, dst, 0, 0),
            How::Truncate(_) => {}
            How::Swap(bits) => self.put(BPF_ALU | BPF_END | BPF_X, dst, 0, 0, bits),
        }
    }

    /// The instruction as it is; if its source is `r10`, by way of another register.
    fn with_source(&mut self, insn: Insn, slot: Slot) {
        if !slot.by_register() || insn.src != Reg::R10 {
            return self.put(slot.code, slot.dst, slot.src, slot.off, slot.imm);
        }
        let lent = u8::from(insn.dst == Reg::R0);
        self.store(10, LENT, lent);
        self.constant(lent, self.cells);
        self.load(lent, lent, cell(10));
        self.put(slot.code, slot.dst, lent, slot.off, slot.imm);
        self.load(lent, 10, LENT);
    }
}

/// Where a register's cell is in the array.
const fn cell(register: u8) -> i16 {
    register as i16 * 8
}
