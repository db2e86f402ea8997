//! One statement's text → what it encodes.

use super::{Statement, Target};
use crate::uapi::insn::{
    BPF_ABS, BPF_ADD, BPF_ALU, BPF_ALU64, BPF_AND, BPF_ARSH, BPF_ATOMIC, BPF_B, BPF_CALL, BPF_CMPXCHG,
    BPF_DIV, BPF_DW, BPF_END, BPF_EXIT, BPF_FETCH, BPF_H, BPF_IMM, BPF_IND, BPF_JA, BPF_JCOND, BPF_JEQ,
    BPF_JGE, BPF_JGT, BPF_JLE, BPF_JLT, BPF_JMP, BPF_JMP32, BPF_JNE, BPF_JSET, BPF_JSGE, BPF_JSGT, BPF_JSLE,
    BPF_JSLT, BPF_K, BPF_LD, BPF_LDX, BPF_LOAD_ACQ, BPF_LSH, BPF_MEM, BPF_MEMSX, BPF_MOD, BPF_MOV, BPF_MUL,
    BPF_NEG, BPF_OR, BPF_PSEUDO_CALL, BPF_RSH, BPF_ST, BPF_STORE_REL, BPF_STX, BPF_SUB, BPF_W, BPF_X,
    BPF_XCHG, BPF_XOR, Slot,
};

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

pub(super) type Parsed<T> = Result<T, String>;

pub(super) struct Parser<'a> {
    pub(super) rest: &'a str,
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

    pub(super) fn statement(mut self) -> Parsed<Statement> {
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
