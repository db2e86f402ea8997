//! A small assembler, in the syntax of the kernel's log, `bpftool prog dump` and LLVM: for tests, and for whoever
//! wants ten instructions without a compiler.
//!
//! One instruction per line, or several with `;` between them. `//` begins a comment. `name:` is a label; `.func name`
//! begins a function, which is a label too. `.slot 0x…` is any 8 bytes. `r1 = name ll` is left for the caller to fill in.

mod parse;

use std::collections::BTreeMap;

use self::parse::Parser;
use super::program::Function;
use crate::uapi::insn::Slot;

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

#[cfg(test)]
mod tests;
