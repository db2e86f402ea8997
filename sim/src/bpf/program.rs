//! A linked program: what an engine runs.

use crate::bpf::map::MapId;
use crate::bpf::mem::{Addr, FUNC_BASE};
use crate::bpf::object::Line;
use crate::uapi::{AttachType, ProgType};

pub use super::machine::ProgId;

/// A linked program before decoding: what the loader hands over.
#[derive(Clone, PartialEq, Debug)]
pub struct Image {
    /// The main C function's name.
    pub name: String,
    /// `BPF_PROG_TYPE_*`.
    pub prog_type: ProgType,
    /// `expected_attach_type`, where the section or the caller gives one.
    pub attach_type: Option<AttachType>,
    /// Whether the licence is GPL-compatible, which some helpers ask for.
    pub license_gpl: bool,
    /// 8-byte instruction slots as in the object file (little-endian `struct bpf_insn`): the main program first,
    /// subprograms appended. Every relocation is resolved: a `ld_imm64` has source register 0 and holds a plain
    /// 64-bit value (map handle, address of a map value, [`function_addr`]), a call between functions has its
    /// distance in slots.
    pub slots: Vec<u64>,
    /// Where functions begin, main first. Targets of calls may be missing here; targets of function pointers may not.
    pub functions: Vec<Function>,
    /// C lines by the slot they begin at, ascending.
    pub lines: Vec<(u32, Line)>,
    /// Maps the program refers to.
    pub maps: Vec<MapId>,
}

/// One function of a linked program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Its C name.
    pub name: String,
    /// Its first slot.
    pub start_slot: u32,
}

/// The value of a function pointer: of the function that begins at `slot`, in the program that loads the pointer.
pub const fn function_addr(slot: u32) -> Addr {
    FUNC_BASE + slot as Addr
}

/// Why an [`Image`] is no program.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("instruction {slot}: {what}")]
pub struct DecodeError {
    /// The offending slot, counted as the kernel's log does.
    pub slot: u32,
    /// What is wrong with it, in words.
    pub what: String,
}

/// A program ready to run.
#[derive(Clone, PartialEq, Debug)]
pub struct Program {
    image: Image,
}

impl Program {
    /// Decodes an image.
    pub fn new(image: Image) -> Result<Self, DecodeError> {
        Ok(Self { image })
    }

    /// What the program was made from.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The main C function's name.
    pub fn name(&self) -> &str {
        &self.image.name
    }

    /// The function `slot` belongs to.
    pub fn function_of(&self, slot: u32) -> Option<&Function> {
        self.image.functions.iter().rfind(|f| f.start_slot <= slot)
    }

    /// The C line `slot` was compiled from.
    pub fn line_of(&self, slot: u32) -> Option<&Line> {
        let after = self.image.lines.partition_point(|&(start, _)| start <= slot);
        Some(&self.image.lines[after.checked_sub(1)?].1)
    }
}
