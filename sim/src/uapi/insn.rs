//! Instruction encoding: `include/uapi/linux/bpf_common.h` and `include/uapi/linux/bpf.h`, v6.18.
#![allow(missing_docs)] // the kernel's names, one by one

/// Classes, the low three bits of the opcode.
pub const BPF_LD: u8 = 0x00;
pub const BPF_LDX: u8 = 0x01;
pub const BPF_ST: u8 = 0x02;
pub const BPF_STX: u8 = 0x03;
pub const BPF_ALU: u8 = 0x04;
pub const BPF_JMP: u8 = 0x05;
pub const BPF_JMP32: u8 = 0x06;
pub const BPF_ALU64: u8 = 0x07;

/// Second operand of ALU and JMP classes: immediate or register.
pub const BPF_K: u8 = 0x00;
pub const BPF_X: u8 = 0x08;

/// Operations of the ALU classes, the high four bits.
pub const BPF_ADD: u8 = 0x00;
pub const BPF_SUB: u8 = 0x10;
pub const BPF_MUL: u8 = 0x20;
pub const BPF_DIV: u8 = 0x30;
pub const BPF_OR: u8 = 0x40;
pub const BPF_AND: u8 = 0x50;
pub const BPF_LSH: u8 = 0x60;
pub const BPF_RSH: u8 = 0x70;
pub const BPF_NEG: u8 = 0x80;
pub const BPF_MOD: u8 = 0x90;
pub const BPF_XOR: u8 = 0xa0;
pub const BPF_MOV: u8 = 0xb0;
pub const BPF_ARSH: u8 = 0xc0;
pub const BPF_END: u8 = 0xd0;

/// Operations of the JMP classes.
pub const BPF_JA: u8 = 0x00;
pub const BPF_JEQ: u8 = 0x10;
pub const BPF_JGT: u8 = 0x20;
pub const BPF_JGE: u8 = 0x30;
pub const BPF_JSET: u8 = 0x40;
pub const BPF_JNE: u8 = 0x50;
pub const BPF_JSGT: u8 = 0x60;
pub const BPF_JSGE: u8 = 0x70;
pub const BPF_CALL: u8 = 0x80;
pub const BPF_EXIT: u8 = 0x90;
pub const BPF_JLT: u8 = 0xa0;
pub const BPF_JLE: u8 = 0xb0;
pub const BPF_JSLT: u8 = 0xc0;
pub const BPF_JSLE: u8 = 0xd0;
pub const BPF_JCOND: u8 = 0xe0;

/// Widths of loads and stores.
pub const BPF_W: u8 = 0x00;
pub const BPF_H: u8 = 0x08;
pub const BPF_B: u8 = 0x10;
pub const BPF_DW: u8 = 0x18;

/// Modes of loads and stores.
pub const BPF_IMM: u8 = 0x00;
pub const BPF_ABS: u8 = 0x20;
pub const BPF_IND: u8 = 0x40;
pub const BPF_MEM: u8 = 0x60;
pub const BPF_MEMSX: u8 = 0x80;
pub const BPF_ATOMIC: u8 = 0xc0;

/// Atomic operations, in the immediate; [`BPF_ADD`], [`BPF_OR`], [`BPF_AND`] and [`BPF_XOR`] with or without fetch.
pub const BPF_FETCH: i32 = 0x01;
pub const BPF_XCHG: i32 = 0xe0 | BPF_FETCH;
pub const BPF_CMPXCHG: i32 = 0xf0 | BPF_FETCH;
pub const BPF_LOAD_ACQ: i32 = 0x100;
pub const BPF_STORE_REL: i32 = 0x110;

/// Source register of a call: a helper by number, a function by distance, a kernel function by BTF id.
pub const BPF_PSEUDO_CALL: u8 = 1;
pub const BPF_PSEUDO_KFUNC_CALL: u8 = 2;

/// `bpf_tail_call`, the one helper that is an instruction.
pub const BPF_FUNC_TAIL_CALL: i32 = 12;

/// `include/linux/bpf.h`: limits.
pub const MAX_TAIL_CALL_CNT: u32 = 33;
pub const MAX_CALL_FRAMES: u32 = 8;
pub const BPF_MAX_LOOPS: u32 = 8 * 1024 * 1024;

/// One 8-byte slot, `struct bpf_insn`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slot {
    /// Class, operation and operand kind.
    pub code: u8,
    pub dst: u8,
    pub src: u8,
    pub off: i16,
    pub imm: i32,
}

impl Slot {
    /// From the little-endian bytes of an object file.
    pub const fn from_u64(raw: u64) -> Self {
        Self {
            code: raw as u8,
            dst: (raw >> 8) as u8 & 0xf,
            src: (raw >> 12) as u8 & 0xf,
            off: (raw >> 16) as i16,
            imm: (raw >> 32) as i32,
        }
    }

    /// Back to what [`from_u64`](Self::from_u64) takes.
    pub const fn to_u64(self) -> u64 {
        self.code as u64
            | (self.dst as u64 & 0xf) << 8
            | (self.src as u64 & 0xf) << 12
            | (self.off as u16 as u64) << 16
            | (self.imm as u32 as u64) << 32
    }

    /// `BPF_CLASS`.
    pub const fn class(self) -> u8 {
        self.code & 0x07
    }

    /// `BPF_OP`.
    pub const fn op(self) -> u8 {
        self.code & 0xf0
    }

    /// `BPF_MODE`.
    pub const fn mode(self) -> u8 {
        self.code & 0xe0
    }

    /// `BPF_SIZE`, in bytes.
    pub const fn width(self) -> u32 {
        match self.code & 0x18 {
            BPF_B => 1,
            BPF_H => 2,
            BPF_W => 4,
            _ => 8,
        }
    }

    /// Whether the second operand is a register (`BPF_SRC` is `BPF_X`).
    pub const fn by_register(self) -> bool {
        self.code & BPF_X != 0
    }
}
