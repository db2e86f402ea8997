//! The hot loop: instructions that need nothing but registers, code and memory. It calls nothing, so that the compiler
//! keeps its few variables in machine registers.

use super::arith::{
    arsh32, arsh64, div32, div64, lsh32, lsh64, mod32, mod64, rsh32, rsh64, sdiv32, sdiv64, smod32, smod64,
};
use crate::bpf::insn::{Insn, Op};
use crate::bpf::mem::Memory;

/// Registers `r0` to `r10`.
pub(in crate::bpf) type Regs = [u64; 11];

/// Where execution stands.
///
/// Instructions are counted where control leaves a straight line: `pc - origin` is the number executed so far, and
/// whatever moves `pc` by a distance moves `origin` by the same.
#[derive(Clone, Copy, Debug)]
pub(in crate::bpf) struct Position {
    /// Index of the next instruction.
    pub pc: usize,
    /// See above; wraps around.
    pub origin: usize,
}

impl Position {
    /// `pc` after `executed` instructions.
    pub fn new(pc: usize, executed: u64) -> Self {
        Self { pc, origin: pc.wrapping_sub(executed as usize) }
    }

    /// Instructions executed so far.
    pub fn executed(self) -> u64 {
        self.pc.wrapping_sub(self.origin) as u64
    }

    /// Goes on elsewhere; the instruction at the old place has been counted or not, as `pc` said.
    pub fn jump(&mut self, pc: usize) {
        *self = Self::new(pc, self.executed());
    }
}

/// Executes instructions until one that is not for this loop, and stands before it: calls, returns, atomic operations,
/// accesses that the shadow does not allow at a glance, and a jump back with which the run would exceed `fuel`.
///
/// With `ONE`, stops after the first instruction as well.
#[inline(never)] // its variables are to have all machine registers
pub(super) fn burst<const ONE: bool>(
    code: &[Insn],
    mem: &mut Memory,
    regs: &mut Regs,
    start: Position,
    fuel: u64,
) -> Position {
    let Position { mut pc, mut origin } = start;
    loop {
        let Insn { op, dst, src, off, imm } = code[pc];
        let (dst, src) = (dst as usize, src as usize);
        macro_rules! stop {
            () => {
                return Position { pc, origin }
            };
        }
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
            () => {
                go!(off)
            };
            ($off:expr) => {{
                let off = $off;
                if off < 0 && pc.wrapping_sub(origin) as u64 >= fuel {
                    stop!()
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
        macro_rules! fused_move {
            ($type:ty, $f:expr) => {{
                regs[dst] = $f(regs[src] as $type, imm as $type) as u64;
                pc += 1;
            }};
        }
        macro_rules! load {
            ($type:ty, $wide:ty) => {
                match mem.peek(regs[src].wrapping_add_signed(off as i64)) {
                    Some(bytes) => regs[dst] = <$type>::from_le_bytes(bytes) as $wide as u64,
                    None => stop!(),
                }
            };
        }
        macro_rules! load_jne {
            ($type:ty) => {{
                load!($type, u64);
                pc += 1;
                if regs[code[pc].dst as usize] as u32 != code[pc].imm as u32 {
                    go!(code[pc].off);
                }
            }};
        }
        macro_rules! load_stack_store {
            ($type:ty) => {{
                load!($type, u64);
                pc += 1;
                let value = regs[code[pc].src as usize] as $type;
                *mem.frame_bytes(regs[10], code[pc].off) = value.to_le_bytes();
            }};
        }
        macro_rules! store {
            ($type:ty, $value:expr) => {
                match mem.poke(regs[dst].wrapping_add_signed(off as i64)) {
                    Some(bytes) => *bytes = ($value as $type).to_le_bytes(),
                    None => stop!(),
                }
            };
        }
        macro_rules! stack_load {
            ($type:ty) => {
                regs[dst] = <$type>::from_le_bytes(*mem.frame_bytes(regs[10], off)) as u64
            };
        }
        macro_rules! stack_store {
            ($type:ty, $value:expr) => {
                *mem.frame_bytes(regs[10], off) = ($value as $type).to_le_bytes()
            };
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
            Op::StoreImm1 => store!(u8, imm),
            Op::StoreImm2 => store!(u16, imm),
            Op::StoreImm4 => store!(u32, imm),
            Op::StoreImm8 => store!(u64, imm),
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
            Op::MovAdd64Imm => fused_move!(u64, u64::wrapping_add),
            Op::MovAnd64Imm => fused_move!(u64, |a: u64, b: u64| a & b),
            Op::MovLsh64Imm => fused_move!(u64, lsh64),
            Op::MovRsh64Imm => fused_move!(u64, rsh64),
            Op::MovAnd32Imm => fused_move!(u32, |a: u32, b: u32| a & b),
            Op::MovLsh32Imm => fused_move!(u32, lsh32),
            Op::MovRsh32Imm => fused_move!(u32, rsh32),
            Op::MovAdd64Reg => {
                regs[dst] = regs[src];
                pc += 1;
                regs[dst] = regs[dst].wrapping_add(regs[code[pc].src as usize]);
            }
            Op::MovMov64 => {
                regs[dst] = regs[src];
                pc += 1;
                regs[code[pc].dst as usize] = regs[code[pc].src as usize];
            }
            Op::MovMovImm => {
                regs[dst] = regs[src];
                pc += 1;
                regs[code[pc].dst as usize] = imm;
            }
            Op::MovAdd32Reg => {
                regs[dst] = regs[src] as u32 as u64;
                pc += 1;
                regs[dst] = (regs[dst] as u32).wrapping_add(regs[code[pc].src as usize] as u32) as u64;
            }
            Op::AndAdd32 => {
                regs[dst] = (regs[dst] as u32 & imm as u32) as u64;
                pc += 1;
                regs[dst] = (regs[dst] as u32).wrapping_add(regs[code[pc].src as usize] as u32) as u64;
            }
            Op::Load1Jne32Imm => load_jne!(u8),
            Op::Load2Jne32Imm => load_jne!(u16),
            Op::Load4Jne32Imm => load_jne!(u32),
            Op::Load2StackStore2 => load_stack_store!(u16),
            Op::Load4StackStore4 => load_stack_store!(u32),
            Op::MovAddJgt64 => {
                regs[dst] = regs[src].wrapping_add(imm);
                pc += 2;
                if regs[code[pc].dst as usize] > regs[code[pc].src as usize] {
                    go!(code[pc].off);
                }
            }
            Op::AddJne64Imm => {
                regs[dst] = regs[dst].wrapping_add(imm);
                pc += 1;
                if regs[code[pc].dst as usize] != code[pc].imm {
                    go!(code[pc].off);
                }
            }
            Op::AddJne32Imm => {
                regs[dst] = regs[dst].wrapping_add(imm);
                pc += 1;
                if regs[code[pc].dst as usize] as u32 != code[pc].imm as u32 {
                    go!(code[pc].off);
                }
            }
            Op::Jeq64ImmJa => {
                if regs[dst] == imm {
                    go!();
                } else {
                    pc += 1;
                    go!(code[pc].off);
                }
            }
            Op::Jeq32ImmJa => {
                if regs[dst] as u32 == imm as u32 {
                    go!();
                } else {
                    pc += 1;
                    go!(code[pc].off);
                }
            }
            Op::MayGoto
            | Op::Atomic1
            | Op::Atomic2
            | Op::Atomic4
            | Op::Atomic8
            | Op::LdAbs
            | Op::LdInd
            | Op::CallHelper
            | Op::CallKfunc
            | Op::TailCall
            | Op::CallLocal
            | Op::Exit => stop!(),
        }
        pc = pc.wrapping_add(1);
        if ONE {
            stop!()
        }
    }
}
