//! What the verifier should have prevented.

use super::engine::Engine;
use super::mem::{BadAccess, ObjectKind};

/// What went wrong, before it is known where.
#[derive(Clone, PartialEq, Debug)]
pub enum FaultKind {
    /// A load, a store or a helper's memory argument outside every object, or a write to a read-only one.
    Access(BadAccess),
    /// A context field that does not exist, of another width, or not for this program type.
    Context {
        /// Byte offset into the context.
        offset: u32,
        /// Width of the access, bytes.
        size: u32,
        /// Whether it was a write.
        write: bool,
        /// Why, in words.
        why: &'static str,
    },
    /// A helper's argument the verifier would have refused; says which and why.
    Argument {
        /// The helper's name without `bpf_`.
        helper: &'static str,
        /// 1 to 5, for `r1` to `r5`.
        number: u8,
        /// Why, in words.
        why: String,
    },
    /// An instruction that does not exist or may not stand there.
    Instruction(String),
    /// More call frames than the kernel allows (`MAX_CALL_FRAMES`, 8).
    CallDepth,
    /// The instruction budget is used up.
    Fuel,
    /// A lock, a reference or a record still held when the program ended, or the like; says which.
    Unreleased(String),
    /// Nothing the program did: the engine asked for does not run this instruction, and says so before the program
    /// that holds it begins.
    Declined {
        /// The engine.
        engine: Engine,
        /// The instruction; `None`: the whole program.
        what: Option<String>,
        /// Why.
        why: String,
    },
    /// A fault inside a callback, already located.
    Located(Box<Fault>),
}

impl From<BadAccess> for FaultKind {
    fn from(bad: BadAccess) -> Self {
        Self::Access(bad)
    }
}

/// A fault and where it happened. Fails the run loudly.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    /// What went wrong.
    pub kind: FaultKind,
    /// The program's name.
    pub program: String,
    /// The instruction's index in the linked program, counted in 8-byte slots as the kernel's log does.
    pub insn: u32,
    /// The function the instruction belongs to.
    pub function: String,
    /// C file, line, column and text from `.BTF.ext`, where the object has them.
    pub line: Option<super::object::Line>,
    /// `r0` to `r10` before the instruction.
    pub regs: [u64; 11],
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Access(bad) => {
                let verb = if bad.write { "write" } else { "read" };
                write!(f, "{verb} of {} bytes at {:#x}", bad.len, bad.addr)?;
                match &bad.nearest {
                    Some(o) if bad.addr >= o.base && bad.addr + bad.len <= o.end() => {
                        write!(f, ": {} is read-only", o.kind)
                    }
                    Some(o) => {
                        let offset = bad.addr.wrapping_sub(o.base) as i64;
                        write!(f, ": offset {offset} of {} ({} bytes)", Named(o.kind), o.len)
                    }
                    None => f.write_str(": no object is near"),
                }
            }
            Self::Context { offset, size, write, why } => {
                let verb = if *write { "write" } else { "read" };
                write!(f, "{verb} of {size} bytes at context offset {offset}: {why}")
            }
            Self::Argument { helper, number, why } => write!(f, "bpf_{helper}, argument {number}: {why}"),
            Self::Instruction(why) => f.write_str(why),
            Self::CallDepth => f.write_str("more than 8 nested calls"),
            Self::Fuel => f.write_str("the instruction budget is used up"),
            Self::Unreleased(what) => f.write_str(what),
            Self::Declined { engine, what: Some(what), why } => {
                write!(f, "engine {engine} declines `{what}`: {why}")
            }
            Self::Declined { engine, what: None, why } => write!(f, "engine {engine} declines: {why}"),
            Self::Located(fault) => write!(f, "{fault}"),
        }
    }
}

struct Named(ObjectKind);

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the {}", self.0)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in {} at instruction {}", self.kind, self.function, self.insn)?;
        if let Some(line) = &self.line {
            write!(f, " ({line})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
