//! Random instructions that a verifier accepts: every operation an ISA level has, over registers that hold numbers.

use bpftwin_sim::uapi::insn::{
    BPF_ADD, BPF_ALU, BPF_ALU64, BPF_AND, BPF_ARSH, BPF_ATOMIC, BPF_B, BPF_CMPXCHG, BPF_DIV, BPF_DW, BPF_END,
    BPF_FETCH, BPF_H, BPF_IMM, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JLE, BPF_JLT, BPF_JMP, BPF_JMP32, BPF_JNE,
    BPF_JSET, BPF_JSGE, BPF_JSGT, BPF_JSLE, BPF_JSLT, BPF_K, BPF_LD, BPF_LDX, BPF_LOAD_ACQ, BPF_LSH, BPF_MEM,
    BPF_MEMSX, BPF_MOD, BPF_MOV, BPF_MUL, BPF_NEG, BPF_OR, BPF_RSH, BPF_ST, BPF_STORE_REL, BPF_STX, BPF_SUB,
    BPF_W, BPF_X, BPF_XCHG, BPF_XOR, Slot,
};

use super::Random;

/// An ISA level, as in clang's `-mcpu=v1` to `v4`: each has what the ones before it have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// 64-bit arithmetic, jumps by `==`, `>`, `>=` and their signed forms, atomic additions.
    V1 = 1,
    /// Jumps by `<` and `<=`.
    V2,
    /// 32-bit arithmetic and jumps; every atomic operation.
    V3,
    /// Sign extension, `bswap`, signed division, `gotol`; load-acquire and store-release where the kernel has them.
    V4,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::V1, Self::V2, Self::V3, Self::V4];

    /// As clang calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V3 => "v3",
            Self::V4 => "v4",
        }
    }
}

/// Where instructions may read and write.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The register that points there.
    pub base: u8,
    /// The first byte.
    pub from: i16,
    /// How many bytes.
    pub len: i16,
    /// Whether accesses have to be aligned, as on a stack.
    pub aligned: bool,
}

/// What instructions have around them.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The ISA level.
    pub level: Level,
    /// Whether there are load-acquire and store-release.
    pub acquire: bool,
    /// Registers that hold numbers and may change.
    pub free: Vec<u8>,
    /// Registers that hold numbers.
    pub readable: Vec<u8>,
    /// Memory.
    pub places: Vec<Place>,
}

/// A number of 32 bits, at an edge more often than not.
pub fn imm(r: &mut Random) -> i32 {
    let random = r.next() as i32;
    match r.below(4) {
        0 => random,
        1 => random >> r.below(32),
        _ => r.of(&[
            0,
            1,
            -1,
            2,
            3,
            7,
            8,
            31,
            32,
            63,
            64,
            127,
            128,
            255,
            256,
            0x7fff,
            0x8000,
            0xffff,
            -2,
            -128,
            -0x8000,
            i32::MIN,
            i32::MAX,
            0x5555_5555,
        ]),
    }
}

/// A number of 64 bits, at an edge more often than not.
pub fn wide(r: &mut Random) -> u64 {
    let random = r.next();
    match r.below(4) {
        0 => random,
        1 => random >> r.below(64),
        2 => (imm(r) as i64 as u64) << r.of(&[0, 0, 32, 16, 31]),
        _ => r.of(&[
            0,
            1,
            u64::MAX,
            1 << 63,
            i64::MAX as u64,
            0xffff_ffff,
            0x1_0000_0000,
            0x8000_0000,
            0xffff_ffff_8000_0000,
            0x7fff_ffff_ffff_fffe,
            0x0102_0304_0506_0708,
            0xf0f0_f0f0_0f0f_0f0f,
        ]),
    }
}

impl Scope {
    fn dst(&self, r: &mut Random) -> u8 {
        r.of(&self.free)
    }

    fn src(&self, r: &mut Random) -> u8 {
        r.of(&self.readable)
    }

    fn alu_class(&self, r: &mut Random) -> u8 {
        if self.level >= Level::V3 && r.chance(2) { BPF_ALU } else { BPF_ALU64 }
    }

    /// One random step: an instruction, or a few that belong together.
    pub fn step(&self, r: &mut Random) -> Vec<Slot> {
        match r.below(20) {
            0..=8 => vec![self.arithmetic(r)],
            9 => vec![self.swap(r)],
            10 => constant(self.dst(r), wide(r)),
            11 => vec![self.extend(r)],
            12..=14 => vec![self.load(r)],
            15 | 16 => vec![self.store(r)],
            17 => self.atomic(r),
            18 => self.indexed(r),
            _ => vec![self.extended_access(r)],
        }
    }

    fn arithmetic(&self, r: &mut Random) -> Slot {
        let class = self.alu_class(r);
        let op = r.of(&[
            BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_LSH, BPF_RSH, BPF_NEG, BPF_MOD, BPF_XOR,
            BPF_MOV, BPF_ARSH,
        ]);
        let dst = self.dst(r);
        if op == BPF_NEG {
            return Slot { code: class | op, dst, ..Slot::default() };
        }
        let signed = matches!(op, BPF_DIV | BPF_MOD) && self.level >= Level::V4 && r.chance(2);
        let off = i16::from(signed);
        if r.chance(2) {
            return Slot { code: class | op | BPF_X, dst, src: self.src(r), off, imm: 0 };
        }
        let width = if class == BPF_ALU64 { 64 } else { 32 };
        let imm = match op {
            BPF_LSH | BPF_RSH | BPF_ARSH => r.below(width) as i32,
            // The verifier refuses a division by the number 0.
            BPF_DIV | BPF_MOD => match imm(r) {
                0 => 1,
                other => other,
            },
            _ => imm(r),
        };
        Slot { code: class | op | BPF_K, dst, src: 0, off, imm }
    }

    fn swap(&self, r: &mut Random) -> Slot {
        let (dst, imm) = (self.dst(r), r.of(&[16, 32, 64]));
        let code = match r.below(if self.level >= Level::V4 { 3 } else { 2 }) {
            0 => BPF_ALU | BPF_END | BPF_K,
            1 => BPF_ALU | BPF_END | BPF_X,
            _ => BPF_ALU64 | BPF_END,
        };
        Slot { code, dst, imm, ..Slot::default() }
    }

    /// A move with sign extension; before v4 a move.
    fn extend(&self, r: &mut Random) -> Slot {
        let (class, dst, src) = (self.alu_class(r), self.dst(r), self.src(r));
        let off = match (self.level, class) {
            (Level::V4, BPF_ALU64) => r.of(&[8, 16, 32]),
            (Level::V4, _) => r.of(&[8, 16]),
            _ => 0,
        };
        Slot { code: class | BPF_MOV | BPF_X, dst, src, off, imm: 0 }
    }

    /// A register and offset where `size` bytes are.
    fn place(&self, r: &mut Random, size: i16, aligned: bool) -> (u8, i16) {
        let place = r.of(&self.places);
        let room = place.len - size;
        let mut at = r.below(room as u64 + 1) as i16;
        if aligned || place.aligned {
            at = at / size * size;
        }
        (place.base, place.from + at)
    }

    fn load(&self, r: &mut Random) -> Slot {
        let (size, width) = r.of(&WIDTHS);
        let (src, off) = self.place(r, size, false);
        Slot { code: BPF_LDX | BPF_MEM | width, dst: self.dst(r), src, off, imm: 0 }
    }

    fn store(&self, r: &mut Random) -> Slot {
        let (size, width) = r.of(&WIDTHS);
        let (dst, off) = self.place(r, size, false);
        if r.chance(2) {
            Slot { code: BPF_ST | BPF_MEM | width, dst, src: 0, off, imm: imm(r) }
        } else {
            Slot { code: BPF_STX | BPF_MEM | width, dst, src: self.src(r), off, imm: 0 }
        }
    }

    /// An atomic operation. Two mistakes of verifiers are kept out of the way, since what a program does then depends on
    /// the order in which its paths are looked at; `kernel-tests/tests/programs.rs` shows them on the running kernel.
    ///
    /// The upper half of `r0` after a 32-bit compare-and-exchange is cleared by an instruction that the verifier adds where
    /// it sees all of `r0` read; of a path that is pruned it sees nothing (v6.18, after registers lost their chains of
    /// liveness). So all of it is read at once.
    ///
    /// An operation that fetches from the stack gives its register what the verifier knows of the stack slot, but
    /// `backtrack_insn` asks for the precision of the register's old number. So the slot first gets a number of which
    /// nothing is known.
    fn atomic(&self, r: &mut Random) -> Vec<Slot> {
        let (size, width) = r.of(&[(4, BPF_W), (8, BPF_DW)]);
        let (dst, off) = self.place(r, size, true);
        let slot = |src, imm| Slot { code: BPF_STX | BPF_ATOMIC | width, dst, src, off, imm };
        if self.level < Level::V3 {
            return vec![slot(self.src(r), i32::from(BPF_ADD))];
        }
        let plain = i32::from(r.of(&[BPF_ADD, BPF_OR, BPF_AND, BPF_XOR]));
        let fetching = match r.below(4) {
            1 => slot(self.dst(r), plain | BPF_FETCH),
            2 => slot(self.dst(r), BPF_XCHG),
            // Writes r0.
            3 if self.free.contains(&0) => slot(self.src(r), BPF_CMPXCHG),
            _ => return vec![slot(self.src(r), plain)],
        };
        let mut out = Vec::new();
        if self.places.iter().any(|place| place.aligned && place.base == dst) {
            let Some(memory) = self.places.iter().find(|place| !place.aligned) else {
                return vec![slot(self.src(r), plain)];
            };
            let through = self.dst(r);
            let whole = off & !7;
            let from = memory.from + r.below(memory.len as u64 - 7) as i16;
            let load = BPF_LDX | BPF_MEM | BPF_DW;
            out.push(Slot { code: load, dst: through, src: memory.base, off: from, imm: 0 });
            out.push(Slot { code: BPF_STX | BPF_MEM | BPF_DW, dst, src: through, off: whole, imm: 0 });
            // Numbers known to be equal are narrowed together.
            out.push(small(through, imm(r)));
        }
        out.push(fetching);
        if fetching.imm == BPF_CMPXCHG {
            out.push(Slot { code: BPF_ALU64 | BPF_MOV | BPF_X, ..Slot::default() });
        }
        out
    }

    /// Sign-extending loads, load-acquire and store-release; where the level has neither, a load.
    fn extended_access(&self, r: &mut Random) -> Slot {
        if self.level < Level::V4 {
            return self.load(r);
        }
        if self.acquire && r.chance(2) {
            let (size, width) = r.of(&WIDTHS);
            let (base, off) = self.place(r, size, true);
            let code = BPF_STX | BPF_ATOMIC | width;
            return if r.chance(2) {
                Slot { code, dst: self.dst(r), src: base, off, imm: BPF_LOAD_ACQ }
            } else {
                Slot { code, dst: base, src: self.src(r), off, imm: BPF_STORE_REL }
            };
        }
        let (size, width) = r.of(&WIDTHS[..3]);
        let (src, off) = self.place(r, size, false);
        Slot { code: BPF_LDX | BPF_MEMSX | width, dst: self.dst(r), src, off, imm: 0 }
    }

    /// An access at an index only the run knows.
    fn indexed(&self, r: &mut Random) -> Vec<Slot> {
        let Some(place) = self.places.iter().copied().find(|place| !place.aligned) else {
            return vec![self.arithmetic(r)];
        };
        let pointer = self.dst(r);
        let index = self.src(r);
        let value = self.dst(r);
        let (size, width) = r.of(&WIDTHS);
        // 63 is the largest index.
        let off = place.from + r.below((place.len - 63 - size) as u64 + 1) as i16;
        let alu = |op, dst, src, imm| Slot { code: BPF_ALU64 | op, dst, src, off: 0, imm };
        let mut out = vec![
            alu(BPF_MOV | BPF_X, pointer, index, 0),
            alu(BPF_AND | BPF_K, pointer, 0, r.of(&[63, 63, 56, 7])),
            alu(BPF_ADD | BPF_X, pointer, place.base, 0),
        ];
        if value == pointer || r.chance(2) {
            out.push(Slot { code: BPF_LDX | BPF_MEM | width, dst: pointer, src: pointer, off, imm: 0 });
        } else {
            out.push(Slot { code: BPF_STX | BPF_MEM | width, dst: pointer, src: value, off, imm: 0 });
            out.push(alu(BPF_MOV | BPF_K, pointer, 0, imm(r)));
        }
        out
    }

    /// A conditional jump without its distance.
    pub fn condition(&self, r: &mut Random) -> Slot {
        let class = if self.level >= Level::V3 && r.chance(2) { BPF_JMP32 } else { BPF_JMP };
        let ops = [
            BPF_JEQ, BPF_JNE, BPF_JGT, BPF_JGE, BPF_JSGT, BPF_JSGE, BPF_JSET, BPF_JLT, BPF_JLE, BPF_JSLT,
            BPF_JSLE,
        ];
        let op = r.of(if self.level >= Level::V2 { &ops } else { &ops[..7] });
        let dst = self.src(r);
        if r.chance(2) {
            Slot { code: class | op | BPF_X, dst, src: self.src(r), off: 0, imm: 0 }
        } else {
            Slot { code: class | op | BPF_K, dst, src: 0, off: 0, imm: imm(r) }
        }
    }
}

/// Sizes in bytes with their width bits, the widest last.
const WIDTHS: [(i16, u8); 4] = [(1, BPF_B), (2, BPF_H), (4, BPF_W), (8, BPF_DW)];

/// `ld_imm64`.
pub fn constant(dst: u8, value: u64) -> Vec<Slot> {
    let low = Slot { code: BPF_LD | BPF_IMM | BPF_DW, dst, src: 0, off: 0, imm: value as i32 };
    vec![low, Slot { imm: (value >> 32) as i32, ..Slot::default() }]
}

/// `dst = imm`.
pub const fn small(dst: u8, imm: i32) -> Slot {
    Slot { code: BPF_ALU64 | BPF_MOV | BPF_K, dst, src: 0, off: 0, imm }
}
