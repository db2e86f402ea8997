//! The decoded instruction: what engines execute.

use std::fmt;

/// One instruction, 16 bytes, fully resolved. Which fields mean something is said at each [`Op`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Insn {
    /// What to do.
    pub op: Op,
    /// Destination register.
    pub dst: Reg,
    /// Source register.
    pub src: Reg,
    /// Memory accesses: distance in bytes. Jumps and calls: distance from the next instruction, in instructions.
    pub off: i32,
    /// Immediate, extended as the operation needs it.
    pub imm: u64,
}

const _: () = assert!(size_of::<Insn>() == 16);

/// The operation's name and what it works on, for messages: `sdiv64 r1, -3`.
impl fmt::Display for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{:?}", self.op);
        let (dst, src) = (self.dst as u8, self.src as u8);
        if let Some(operation) = name.strip_suffix("Imm") {
            return write!(f, "{} r{dst}, {}", operation.to_lowercase(), self.imm as i64);
        }
        match name.strip_suffix("Reg") {
            Some(operation) => write!(f, "{} r{dst}, r{src}", operation.to_lowercase()),
            None => f.write_str(&name.to_lowercase()),
        }
    }
}

/// A register. A type of its own so that indexing with it needs no bounds check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Reg {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

impl Reg {
    /// Every register, by number.
    pub const ALL: [Self; 11] = {
        use Reg::{R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10};
        [R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10]
    };
}

macro_rules! ops {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// Operations. `Imm` takes `imm` as second operand, `Reg` takes `src`; 64 and 32 are operand widths, and what
        /// is 32 bits wide zero-extends into `dst`.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum Op { $($(#[$meta])* $name,)* }
    };
}

ops! {
    Add64Imm, Sub64Imm, Mul64Imm, Div64Imm, Sdiv64Imm, Mod64Imm, Smod64Imm,
    Or64Imm, And64Imm, Xor64Imm, Lsh64Imm, Rsh64Imm, Arsh64Imm,
    Add64Reg, Sub64Reg, Mul64Reg, Div64Reg, Sdiv64Reg, Mod64Reg, Smod64Reg,
    Or64Reg, And64Reg, Xor64Reg, Lsh64Reg, Rsh64Reg, Arsh64Reg,
    Add32Imm, Sub32Imm, Mul32Imm, Div32Imm, Sdiv32Imm, Mod32Imm, Smod32Imm,
    Or32Imm, And32Imm, Xor32Imm, Lsh32Imm, Rsh32Imm, Arsh32Imm,
    Add32Reg, Sub32Reg, Mul32Reg, Div32Reg, Sdiv32Reg, Mod32Reg, Smod32Reg,
    Or32Reg, And32Reg, Xor32Reg, Lsh32Reg, Rsh32Reg, Arsh32Reg,
    Neg64, Neg32,
    /// `dst = imm`: 64- and 32-bit moves of immediates and `ld_imm64`.
    MovImm,
    Mov64Reg, Mov32Reg,
    /// Sign-extending moves: to 64 bits, then to 32.
    Movsx8To64, Movsx16To64, Movsx32To64, Movsx8To32, Movsx16To32,
    /// `le16`, `le32`: truncation. `le64` is [`Nop`](Self::Nop).
    Le16, Le32,
    Nop,
    /// `be` and `bswap` alike, the guest being little-endian.
    Swap16, Swap32, Swap64,

    /// Jumps by `off`, counted from the next instruction.
    Ja,
    Jeq64Imm, Jne64Imm, Jgt64Imm, Jge64Imm, Jlt64Imm, Jle64Imm, Jset64Imm,
    Jsgt64Imm, Jsge64Imm, Jslt64Imm, Jsle64Imm,
    Jeq64Reg, Jne64Reg, Jgt64Reg, Jge64Reg, Jlt64Reg, Jle64Reg, Jset64Reg,
    Jsgt64Reg, Jsge64Reg, Jslt64Reg, Jsle64Reg,
    Jeq32Imm, Jne32Imm, Jgt32Imm, Jge32Imm, Jlt32Imm, Jle32Imm, Jset32Imm,
    Jsgt32Imm, Jsge32Imm, Jslt32Imm, Jsle32Imm,
    Jeq32Reg, Jne32Reg, Jgt32Reg, Jge32Reg, Jlt32Reg, Jle32Reg, Jset32Reg,
    Jsgt32Reg, Jsge32Reg, Jslt32Reg, Jsle32Reg,
    /// Jumps by `off` once the frame has passed here `BPF_MAX_LOOPS` times.
    MayGoto,

    /// `dst = *(src + off)`, zero-extended. The number is the width in bytes.
    Load1, Load2, Load4, Load8,
    /// Sign-extended to 64 bits.
    Loadsx1, Loadsx2, Loadsx4,
    /// `*(dst + off) = src`.
    Store1, Store2, Store4, Store8,
    /// `*(dst + off) = imm`.
    StoreImm1, StoreImm2, StoreImm4, StoreImm8,
    /// The same relative to `r10` and proved to lie in the frame.
    StackLoad1, StackLoad2, StackLoad4, StackLoad8,
    StackStore1, StackStore2, StackStore4, StackStore8,
    StackStoreImm1, StackStoreImm2, StackStoreImm4, StackStoreImm8,
    /// `imm` is the operation as encoded; the number is the width in bytes. 1 and 2 are `load_acquire` and
    /// `store_release` only.
    Atomic1, Atomic2, Atomic4, Atomic8,
    /// `r0 = packet[imm]`, big-endian, `off` bytes wide.
    LdAbs,
    /// `r0 = packet[src + imm]`, big-endian, `off` bytes wide.
    LdInd,

    /// Calls helper `imm`.
    CallHelper,
    /// Calls kernel function `imm`, by its number in the host's table.
    CallKfunc,
    TailCall,
    /// Calls the function that begins `off` after the next instruction.
    CallLocal,
    Exit,

    /// Sequences that `fuse` makes one of, named after their parts. The first part's fields are here, with the second's
    /// immediate if that part is a move; what else is needed is read from the parts' own places.
    MovAdd64Imm, MovAnd64Imm, MovLsh64Imm, MovRsh64Imm, MovAnd32Imm, MovLsh32Imm, MovRsh32Imm,
    MovAdd64Reg, MovMov64, MovAddJgt64, AddJne64Imm, AddJne32Imm, Jeq64ImmJa, Jeq32ImmJa,
    MovMovImm, MovAdd32Reg, AndAdd32, Load1Jne32Imm, Load2Jne32Imm, Load4Jne32Imm, Load2StackStore2, Load4StackStore4,
}

impl Op {
    /// Whether `off` is a distance to another instruction of the same function.
    pub const fn is_jump(self) -> bool {
        self as u8 >= Self::Ja as u8 && self as u8 <= Self::MayGoto as u8
    }

    /// Whether `dst` is written.
    pub const fn writes_dst(self) -> bool {
        let number = self as u8;
        number < Self::Ja as u8
            || number >= Self::Load1 as u8 && number <= Self::Loadsx4 as u8
            || number >= Self::StackLoad1 as u8 && number <= Self::StackLoad8 as u8
    }
}
