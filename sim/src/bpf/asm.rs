//! A small assembler, in the syntax of the kernel's log, `bpftool prog dump` and LLVM: for tests, and for whoever
//! wants ten instructions without a compiler.
//!
//! One instruction per line, or several with `;` between them. `//` begins a comment. `name:` is a label; `.func name`
//! begins a function, which is a label too. `.slot 0x…` is any 8 bytes. `r1 = name ll` is left for the caller to fill in.

use std::collections::BTreeMap;

use super::program::Function;
use crate::uapi::insn::{
    BPF_ABS, BPF_ADD, BPF_ALU, BPF_ALU64, BPF_AND, BPF_ARSH, BPF_ATOMIC, BPF_B, BPF_CALL, BPF_CMPXCHG,
    BPF_DIV, BPF_DW, BPF_END, BPF_EXIT, BPF_FETCH, BPF_H, BPF_IMM, BPF_IND, BPF_JA, BPF_JCOND, BPF_JEQ,
    BPF_JGE, BPF_JGT, BPF_JLE, BPF_JLT, BPF_JMP, BPF_JMP32, BPF_JNE, BPF_JSET, BPF_JSGE, BPF_JSGT, BPF_JSLE,
    BPF_JSLT, BPF_K, BPF_LD, BPF_LDX, BPF_LOAD_ACQ, BPF_LSH, BPF_MEM, BPF_MEMSX, BPF_MOD, BPF_MOV, BPF_MUL,
    BPF_NEG, BPF_OR, BPF_PSEUDO_CALL, BPF_RSH, BPF_ST, BPF_STORE_REL, BPF_STX, BPF_SUB, BPF_W, BPF_X,
    BPF_XCHG, BPF_XOR, Slot,
};

/// What the assembler makes: the two tables of an [`Image`](super::program::Image) that depend on the text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Assembly {
    /// Instruction slots.
    pub slots: Vec<u64>,
    /// `main` and every `.func`.
    pub functions: Vec<Function>,
    /// Slots of `ld_imm64` with a name for a number.
    pub symbols: Vec<(u32, String)>,
}

impl Assembly {
    /// Gives every `ld_imm64` of `name` this value, with `src` as its source register (a `BPF_PSEUDO_*` kind).
    pub fn define(&mut self, name: &str, src: u8, value: u64) {
        for (slot, _) in self.symbols.iter().filter(|(_, symbol)| symbol == name) {
            let at = *slot as usize;
            let first = Slot::from_u64(self.slots[at]);
            self.slots[at] = Slot { src, imm: value as i32, ..first }.to_u64();
            self.slots[at + 1] = Slot { imm: (value >> 32) as i32, ..Slot::default() }.to_u64();
        }
    }
}

/// A line that is no instruction.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{line}\": {what}")]
pub struct AsmError {
    /// The instruction as written.
    pub line: String,
    /// What is wrong with it.
    pub what: String,
}

/// Assembles `text`.
pub fn assemble(text: &str) -> Result<Assembly, AsmError> {
    let mut labels = BTreeMap::new();
    let mut functions = vec![Function { name: "main".to_owned(), start_slot: 0 }];
    let mut lines: Vec<(u32, &str, Statement)> = Vec::new();
    let mut slot = 0;
    for line in statements(text) {
        let fail = |what: String| AsmError { line: line.to_owned(), what };
        if let Some(name) = line.strip_prefix(".func ") {
            functions.push(Function { name: name.trim().to_owned(), start_slot: slot });
            labels.insert(name.trim(), slot);
        } else if let Some(name) = line.strip_suffix(':') {
            labels.insert(name, slot);
        } else {
            let statement = Parser { rest: line }.statement().map_err(fail)?;
            let size = statement.slots();
            lines.push((slot, line, statement));
            slot += size;
        }
    }
    let mut slots = Vec::with_capacity(slot as usize);
    let mut symbols = Vec::new();
    for (at, line, statement) in lines {
        let fail = |what: String| AsmError { line: line.to_owned(), what };
        if let Statement::Symbol(_, name) = &statement {
            symbols.push((at, name.clone()));
        }
        statement.emit(at, &labels, &mut slots).map_err(fail)?;
    }
    Ok(Assembly { slots, functions, symbols })
}

/// The instructions, labels and directives of a text, trimmed.
pub fn statements(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.flat_map(|line| line.split(';')).map(str::trim).filter(|s| !s.is_empty())
}

/// Where a jump or call leads.
enum Target {
    Distance(i32),
    Label(String),
}

enum Statement {
    Plain(Slot),
    Wide(Slot, i32),
    /// A wide one whose value the caller knows.
    Symbol(Slot, String),
    /// The distance goes into `off`, or with `true` into `imm`.
    Branch(Slot, Target, bool),
    Raw(u64),
}

impl Statement {
    fn slots(&self) -> u32 {
        if matches!(self, Self::Wide(..) | Self::Symbol(..)) { 2 } else { 1 }
    }

    fn emit(self, at: u32, labels: &BTreeMap<&str, u32>, out: &mut Vec<u64>) -> Result<(), String> {
        match self {
            Self::Plain(slot) => out.push(slot.to_u64()),
            Self::Raw(raw) => out.push(raw),
            Self::Wide(slot, high) => {
                out.extend([slot.to_u64(), Slot { imm: high, ..Slot::default() }.to_u64()]);
            }
            Self::Symbol(slot, _) => out.extend([slot.to_u64(), 0]),
            Self::Branch(slot, target, in_imm) => {
                let distance = match target {
                    Target::Distance(distance) => distance,
                    Target::Label(name) => {
                        let to = labels.get(name.as_str()).ok_or_else(|| format!("no label {name}"))?;
                        (i64::from(*to) - i64::from(at) - 1) as i32
                    }
                };
                let slot = if in_imm {
                    Slot { imm: distance, ..slot }
                } else {
                    let off = i16::try_from(distance).map_err(|_| format!("too far: {distance} slots"))?;
                    Slot { off, ..slot }
                };
                out.push(slot.to_u64());
            }
        }
        Ok(())
    }
}

/// A register as written: `r3` or `w3`.
#[derive(Clone, Copy)]
struct Register {
    number: u8,
    wide: bool,
}

enum Operand {
    Register(Register),
    Imm(i32),
}

type Parsed<T> = Result<T, String>;

struct Parser<'a> {
    rest: &'a str,
}

const ASSIGN: [(&str, u8, i16); 13] = [
    ("s>>=", BPF_ARSH, 0),
    ("s/=", BPF_DIV, 1),
    ("s%=", BPF_MOD, 1),
    ("<<=", BPF_LSH, 0),
    (">>=", BPF_RSH, 0),
    ("+=", BPF_ADD, 0),
    ("-=", BPF_SUB, 0),
    ("*=", BPF_MUL, 0),
    ("/=", BPF_DIV, 0),
    ("%=", BPF_MOD, 0),
    ("|=", BPF_OR, 0),
    ("&=", BPF_AND, 0),
    ("^=", BPF_XOR, 0),
];

const CONDITIONS: [(&str, u8); 11] = [
    ("s>=", BPF_JSGE),
    ("s<=", BPF_JSLE),
    ("s>", BPF_JSGT),
    ("s<", BPF_JSLT),
    ("==", BPF_JEQ),
    ("!=", BPF_JNE),
    (">=", BPF_JGE),
    ("<=", BPF_JLE),
    (">", BPF_JGT),
    ("<", BPF_JLT),
    ("&", BPF_JSET),
];

const FETCHES: [(&str, u8); 4] = [
    ("atomic_fetch_add", BPF_ADD),
    ("atomic_fetch_or", BPF_OR),
    ("atomic_fetch_and", BPF_AND),
    ("atomic_fetch_xor", BPF_XOR),
];

/// `xchg` and `cmpxchg` by operand width.
const EXCHANGES: [(&str, i32, u8); 4] = [
    ("xchg_64", BPF_XCHG, BPF_DW),
    ("xchg32_32", BPF_XCHG, BPF_W),
    ("cmpxchg_64", BPF_CMPXCHG, BPF_DW),
    ("cmpxchg32_32", BPF_CMPXCHG, BPF_W),
];

impl Parser<'_> {
    fn eat(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Parsed<()> {
        if self.eat(token) { Ok(()) } else { Err(format!("{token} expected at \"{}\"", self.rest)) }
    }

    fn end(&self) -> Parsed<()> {
        if self.rest.trim().is_empty() { Ok(()) } else { Err(format!("\"{}\" is too much", self.rest)) }
    }

    /// The first entry whose text comes next.
    fn one_of<T: Copy>(&mut self, table: &[T], text: impl Fn(T) -> &'static str) -> Option<T> {
        table.iter().copied().find(|&entry| self.eat(text(entry)))
    }

    fn word(&mut self) -> &str {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        word
    }

    fn register(&mut self) -> Option<Register> {
        let before = self.rest;
        let word = self.word();
        let parsed = word.split_at_checked(1).and_then(|(kind, number)| {
            let wide = match kind {
                "r" => true,
                "w" => false,
                _ => return None,
            };
            Some(Register { number: number.parse().ok().filter(|&n: &u8| n < 16)?, wide })
        });
        if parsed.is_none() {
            self.rest = before;
        }
        parsed
    }

    /// A number, decimal or hexadecimal, with or without a sign.
    fn number(&mut self) -> Parsed<i128> {
        self.eat("+");
        let negative = self.eat("-");
        let word = self.word();
        let magnitude = match word.strip_prefix("0x") {
            Some(hex) => i128::from_str_radix(hex, 16),
            None => word.parse(),
        };
        let magnitude = magnitude.map_err(|_| format!("\"{word}\" is no number"))?;
        Ok(if negative { -magnitude } else { magnitude })
    }

    /// 32 bits, signed or unsigned.
    fn imm(&mut self) -> Parsed<i32> {
        let value = self.number()?;
        let unsigned = u32::try_from(value).map(|v| v as i32);
        i32::try_from(value).or(unsigned).map_err(|_| format!("{value} has more than 32 bits"))
    }

    fn operand(&mut self) -> Parsed<Operand> {
        match self.register() {
            Some(register) => Ok(Operand::Register(register)),
            None => Ok(Operand::Imm(self.imm()?)),
        }
    }

    fn target(&mut self) -> Parsed<Target> {
        let text = self.rest.trim();
        if text.starts_with(['+', '-']) {
            return Ok(Target::Distance(self.imm()?));
        }
        Ok(Target::Label(self.word().to_owned()))
    }

    /// `u32 *)`: width and signedness, the parenthesis before it already eaten.
    fn pointee(&mut self) -> Parsed<(u8, bool)> {
        let word = self.word();
        let signed = word.starts_with('s');
        let width = match word.trim_start_matches(['u', 's']) {
            "8" => BPF_B,
            "16" => BPF_H,
            "32" => BPF_W,
            "64" => BPF_DW,
            _ => return Err(format!("\"{word}\" is no width")),
        };
        self.expect("*")?;
        self.expect(")")?;
        Ok((width, signed))
    }

    /// `r1 + 8`: register and offset, without parentheses.
    fn place(&mut self) -> Parsed<(u8, i16)> {
        let register = self.register().ok_or("a register expected")?;
        let off = if self.rest.trim_start().starts_with(['+', '-']) { self.number()? } else { 0 };
        let off = i16::try_from(off).map_err(|_| format!("offset {off} has more than 16 bits"))?;
        Ok((register.number, off))
    }

    fn statement(mut self) -> Parsed<Statement> {
        let statement = self.instruction()?;
        self.end()?;
        Ok(statement)
    }

    fn instruction(&mut self) -> Parsed<Statement> {
        if self.eat(".slot ") {
            return Ok(Statement::Raw(self.number()? as u64));
        }
        if self.rest == "exit" {
            self.rest = "";
            return Ok(Statement::Plain(Slot { code: BPF_JMP | BPF_EXIT, ..Slot::default() }));
        }
        if self.eat("if ") {
            return self.conditional();
        }
        for (keyword, code, in_imm) in [
            ("gotol ", BPF_JMP32 | BPF_JA, true),
            ("goto ", BPF_JMP | BPF_JA, false),
            ("may_goto ", BPF_JMP | BPF_JCOND, false),
        ] {
            if self.eat(keyword) {
                return Ok(Statement::Branch(Slot { code, ..Slot::default() }, self.target()?, in_imm));
            }
        }
        if self.eat("call ") {
            return self.call();
        }
        if self.eat("lock *(") {
            return self.lock();
        }
        if self.eat("store_release((") {
            let (width, _) = self.pointee()?;
            self.expect("(")?;
            let (dst, off) = self.place()?;
            self.expect(")")?;
            self.expect(",")?;
            let src = self.register().ok_or("a register expected")?.number;
            self.expect(")")?;
            let code = BPF_STX | BPF_ATOMIC | width;
            return Ok(Statement::Plain(Slot { code, dst, src, off, imm: BPF_STORE_REL }));
        }
        if self.eat("*(") {
            return self.store();
        }
        match self.register() {
            Some(register) => self.assignment(register),
            None => Err("no such instruction".to_owned()),
        }
    }

    fn conditional(&mut self) -> Parsed<Statement> {
        let left = self.register().ok_or("a register expected")?;
        let (_, op) = self.one_of(&CONDITIONS, |c| c.0).ok_or("a condition expected")?;
        let class = if left.wide { BPF_JMP } else { BPF_JMP32 };
        let slot = match self.operand()? {
            Operand::Imm(imm) => Slot { code: class | op | BPF_K, dst: left.number, imm, ..Slot::default() },
            Operand::Register(right) => {
                Slot { code: class | op | BPF_X, dst: left.number, src: right.number, ..Slot::default() }
            }
        };
        self.expect("goto ")?;
        Ok(Statement::Branch(slot, self.target()?, false))
    }

    fn call(&mut self) -> Parsed<Statement> {
        let slot = Slot { code: BPF_JMP | BPF_CALL, ..Slot::default() };
        if self.rest.trim_start().starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(Statement::Plain(Slot { imm: self.imm()?, ..slot }));
        }
        Ok(Statement::Branch(Slot { src: BPF_PSEUDO_CALL, ..slot }, self.target()?, true))
    }

    fn lock(&mut self) -> Parsed<Statement> {
        let (width, _) = self.pointee()?;
        self.expect("(")?;
        let (dst, off) = self.place()?;
        self.expect(")")?;
        let (_, op, _) = self.one_of(&ASSIGN, |a| a.0).ok_or("an assignment expected")?;
        let src = self.register().ok_or("a register expected")?.number;
        let code = BPF_STX | BPF_ATOMIC | width;
        Ok(Statement::Plain(Slot { code, dst, src, off, imm: i32::from(op) }))
    }

    fn store(&mut self) -> Parsed<Statement> {
        let (width, _) = self.pointee()?;
        self.expect("(")?;
        let (dst, off) = self.place()?;
        self.expect(")")?;
        self.expect("=")?;
        Ok(Statement::Plain(match self.operand()? {
            Operand::Imm(imm) => Slot { code: BPF_ST | BPF_MEM | width, dst, off, imm, ..Slot::default() },
            Operand::Register(src) => {
                Slot { code: BPF_STX | BPF_MEM | width, dst, src: src.number, off, imm: 0 }
            }
        }))
    }

    fn assignment(&mut self, dst: Register) -> Parsed<Statement> {
        let class = if dst.wide { BPF_ALU64 } else { BPF_ALU };
        let to = dst.number;
        if let Some((_, op, off)) = self.one_of(&ASSIGN, |a| a.0) {
            return Ok(Statement::Plain(match self.operand()? {
                Operand::Imm(imm) => Slot { code: class | op | BPF_K, dst: to, off, imm, ..Slot::default() },
                Operand::Register(src) => {
                    Slot { code: class | op | BPF_X, dst: to, src: src.number, off, imm: 0 }
                }
            }));
        }
        self.expect("=")?;
        if self.eat("*(") {
            return self.load(to);
        }
        if self.eat("load_acquire((") {
            let (width, _) = self.pointee()?;
            self.expect("(")?;
            let (src, off) = self.place()?;
            self.expect(")")?;
            self.expect(")")?;
            let code = BPF_STX | BPF_ATOMIC | width;
            return Ok(Statement::Plain(Slot { code, dst: to, src, off, imm: BPF_LOAD_ACQ }));
        }
        if let Some((_, op)) = self.one_of(&FETCHES, |f| f.0) {
            self.expect("((")?;
            let (width, _) = self.pointee()?;
            self.expect("(")?;
            let (place, off) = self.place()?;
            self.expect(")")?;
            return self.fetch(to, place, off, width, i32::from(op) | BPF_FETCH);
        }
        if let Some((_, op, width)) = self.one_of(&EXCHANGES, |e| e.0) {
            self.expect("(")?;
            let (place, off) = self.place()?;
            if op == BPF_CMPXCHG {
                self.expect(",")?;
                self.register().filter(|r| r.number == 0 && to == 0).ok_or("cmpxchg works on r0")?;
                self.expect(",")?;
                let src = self.register().ok_or("a register expected")?.number;
                self.expect(")")?;
                let code = BPF_STX | BPF_ATOMIC | width;
                return Ok(Statement::Plain(Slot { code, dst: place, src, off, imm: op }));
            }
            return self.fetch(to, place, off, width, op);
        }
        self.value(dst, class)
    }

    /// `, r2)` of an operation that gives its source register the old value.
    fn fetch(&mut self, to: u8, dst: u8, off: i16, width: u8, imm: i32) -> Parsed<Statement> {
        self.expect(",")?;
        let src = self.register().map(|r| r.number);
        if src != Some(to) {
            return Err("the old value goes into the source register".to_owned());
        }
        self.expect(")")?;
        Ok(Statement::Plain(Slot { code: BPF_STX | BPF_ATOMIC | width, dst, src: to, off, imm }))
    }

    fn load(&mut self, dst: u8) -> Parsed<Statement> {
        let (width, signed) = self.pointee()?;
        if self.eat("skb[") {
            let src = self.register();
            let mode = if src.is_some() { BPF_IND } else { BPF_ABS };
            let imm = if self.rest.starts_with(']') { 0 } else { self.imm()? };
            self.expect("]")?;
            let src = src.map_or(0, |r| r.number);
            return Ok(Statement::Plain(Slot { code: BPF_LD | mode | width, dst, src, off: 0, imm }));
        }
        self.expect("(")?;
        let (src, off) = self.place()?;
        self.expect(")")?;
        let mode = if signed { BPF_MEMSX } else { BPF_MEM };
        Ok(Statement::Plain(Slot { code: BPF_LDX | mode | width, dst, src, off, imm: 0 }))
    }

    /// What may stand behind `r1 =` apart from memory.
    fn value(&mut self, dst: Register, class: u8) -> Parsed<Statement> {
        let to = dst.number;
        let slot = |code, src, off, imm| Statement::Plain(Slot { code, dst: to, src, off, imm });
        for (prefix, off) in [("(s8)", 8), ("(s16)", 16), ("(s32)", 32)] {
            if self.eat(prefix) {
                let src = self.register().ok_or("a register expected")?.number;
                return Ok(slot(class | BPF_MOV | BPF_X, src, off, 0));
            }
        }
        for (prefix, code) in [
            ("le", BPF_ALU | BPF_END | BPF_K),
            ("be", BPF_ALU | BPF_END | BPF_X),
            ("bswap", BPF_ALU64 | BPF_END),
        ] {
            if self.eat(prefix) {
                let bits = self.number()? as i32;
                self.register().filter(|r| r.number == to).ok_or("the same register on both sides")?;
                return Ok(slot(code, 0, 0, bits));
            }
        }
        let before = self.rest;
        if self.eat("-") && self.register().is_some_and(|r| r.number == to) {
            return Ok(slot(class | BPF_NEG, 0, 0, 0));
        }
        self.rest = before;
        if let Some(src) = self.register() {
            return Ok(slot(class | BPF_MOV | BPF_X, src.number, 0, 0));
        }
        let wide = Slot { code: BPF_LD | BPF_IMM | BPF_DW, dst: to, ..Slot::default() };
        if self.rest.trim_start().starts_with(char::is_alphabetic) {
            let name = self.word().to_owned();
            self.expect("ll")?;
            return Ok(Statement::Symbol(wide, name));
        }
        let value = self.number()?;
        if self.eat("ll") {
            return Ok(Statement::Wide(Slot { imm: value as i32, ..wide }, (value >> 32) as i32));
        }
        self.rest = before;
        let imm = self.imm()?;
        Ok(slot(class | BPF_MOV | BPF_K, 0, 0, imm))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// What `llvm-mc` makes of the same text.
    #[test]
    fn every_form_has_its_encoding() {
        for (text, bytes) in [
            ("r0 = 5", "b700000005000000"),
            ("w3 = -1", "b4030000ffffffff"),
            ("r9 = r10", "bfa9000000000000"),
            ("w1 = w2", "bc21000000000000"),
            ("r1 = (s8)r2", "bf21080000000000"),
            ("w1 = (s16)w2", "bc21100000000000"),
            ("r4 = (s32)r5", "bf54200000000000"),
            ("r0 += 7", "0700000007000000"),
            ("r0 -= r9", "1f90000000000000"),
            ("w0 *= 3", "2400000003000000"),
            ("r0 /= r1", "3f10000000000000"),
            ("w0 %= w1", "9c10000000000000"),
            ("r0 s/= 5", "3700010005000000"),
            ("w2 s%= w3", "9c32010000000000"),
            ("r0 |= 1", "4700000001000000"),
            ("r0 &= r1", "5f10000000000000"),
            ("w0 ^= 9", "a400000009000000"),
            ("r0 <<= 4", "6700000004000000"),
            ("r0 >>= r2", "7f20000000000000"),
            ("w0 s>>= 3", "c400000003000000"),
            ("r3 = -r3", "8703000000000000"),
            ("w3 = -w3", "8403000000000000"),
            ("r1 = le16 r1", "d401000010000000"),
            ("r1 = be32 r1", "dc01000020000000"),
            ("r1 = bswap64 r1", "d701000040000000"),
            ("r1 = 0x1122334455667788 ll", "18010000887766550000000044332211"),
            ("r1 = *(u8 *)(r2 + 1)", "7121010000000000"),
            ("r1 = *(u16 *)(r2 - 2)", "6921feff00000000"),
            ("r1 = *(u32 *)(r2 + 0)", "6121000000000000"),
            ("r1 = *(u64 *)(r10 - 512)", "79a100fe00000000"),
            ("r1 = *(s8 *)(r2 + 1)", "9121010000000000"),
            ("r1 = *(s16 *)(r2 + 2)", "8921020000000000"),
            ("r1 = *(s32 *)(r2 + 4)", "8121040000000000"),
            ("*(u8 *)(r1 + 0) = r2", "7321000000000000"),
            ("*(u16 *)(r1 + 2) = r2", "6b21020000000000"),
            ("*(u32 *)(r1 + 4) = r2", "6321040000000000"),
            ("*(u64 *)(r1 + 8) = r2", "7b21080000000000"),
            ("*(u8 *)(r1 + 0) = 3", "7201000003000000"),
            ("*(u64 *)(r1 + 8) = -4", "7a010800fcffffff"),
            ("lock *(u32 *)(r1 + 4) += w2", "c321040000000000"),
            ("lock *(u64 *)(r1 + 8) |= r2", "db21080040000000"),
            ("lock *(u64 *)(r1 + 8) &= r2", "db21080050000000"),
            ("lock *(u64 *)(r1 + 8) ^= r2", "db210800a0000000"),
            ("w2 = atomic_fetch_add((u32 *)(r1 + 4), w2)", "c321040001000000"),
            ("r2 = atomic_fetch_or((u64 *)(r1 + 8), r2)", "db21080041000000"),
            ("r2 = atomic_fetch_and((u64 *)(r1 + 8), r2)", "db21080051000000"),
            ("r2 = atomic_fetch_xor((u64 *)(r1 + 8), r2)", "db210800a1000000"),
            ("w2 = xchg32_32(r1 + 4, w2)", "c3210400e1000000"),
            ("r2 = xchg_64(r1 + 8, r2)", "db210800e1000000"),
            ("w0 = cmpxchg32_32(r1 + 4, w0, w2)", "c3210400f1000000"),
            ("r0 = cmpxchg_64(r1 + 8, r0, r2)", "db210800f1000000"),
            ("r0 = *(u8 *)skb[3]", "3000000003000000"),
            ("r0 = *(u16 *)skb[r7]", "4870000000000000"),
            ("r0 = *(u32 *)skb[4]", "2000000004000000"),
            ("if r1 == 5 goto +1", "1501010005000000"),
            ("if r1 != r2 goto -1", "5d21ffff00000000"),
            ("if r1 > 1 goto +1", "2501010001000000"),
            ("if r1 >= 1 goto +1", "3501010001000000"),
            ("if r1 < 1 goto +1", "a501010001000000"),
            ("if r1 <= 1 goto +1", "b501010001000000"),
            ("if r1 s> -1 goto +1", "65010100ffffffff"),
            ("if r1 s>= r3 goto +1", "7d31010000000000"),
            ("if r1 s< -1 goto +1", "c5010100ffffffff"),
            ("if r1 s<= 1 goto +1", "d501010001000000"),
            ("if r1 & 8 goto +1", "4501010008000000"),
            ("if w1 == w2 goto +1", "1e21010000000000"),
            ("if w1 s< 7 goto +1", "c601010007000000"),
            ("goto +2", "0500020000000000"),
            ("gotol +3", "0600000003000000"),
            ("may_goto +2", "e500020000000000"),
            ("call 5", "8500000005000000"),
            ("exit", "9500000000000000"),
        ] {
            let slots = assemble(text).unwrap_or_else(|e| panic!("{e}")).slots;
            let mut hex = String::new();
            for byte in slots.iter().flat_map(|slot| slot.to_le_bytes()) {
                write!(hex, "{byte:02x}").unwrap();
            }
            assert_eq!(hex, bytes, "{text}");
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        for (text, what) in [
            ("r0 = 1; foo", "no such instruction"),
            ("r0 ** 2", "= expected"),
            ("goto nowhere", "no label nowhere"),
            ("r0 = 0x100000000", "more than 32 bits"),
            ("r0 = *(u24 *)(r1 + 0)", "\"u24\" is no width"),
            ("r0 = *(u8 *)(r1 + 40000)", "more than 16 bits"),
            ("exit now", "no such instruction"),
            ("r0 = 1 2", "is too much"),
            ("r1 = atomic_fetch_add((u64 *)(r2 + 0), r3)", "the source register"),
            ("r1 = cmpxchg_64(r2 + 0, r1, r3)", "cmpxchg works on r0"),
        ] {
            let error = assemble(text).unwrap_err().to_string();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn symbols_are_defined_by_the_caller() {
        let mut code = assemble("r1 = map ll; r2 = other ll; exit").unwrap();
        code.define("map", 1, 0x1_0000_0002);
        assert_eq!(code.slots[..2], [0x0000_0002_0000_1118, 0x0000_0001_0000_0000]);
        assert_eq!(code.symbols, [(0, "map".to_owned()), (2, "other".to_owned())]);
    }
}
