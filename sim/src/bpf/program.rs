//! A linked program: what an engine runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decode::{self, Code};
use super::fuse::fuse;
use super::insn::Insn;
use super::jit;
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
    /// Whether it knows packets in several buffers (`BPF_F_XDP_HAS_FRAGS`).
    pub xdp_has_frags: bool,
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
    code: Code,
    fused: Vec<Insn>,
    machine_code: jit::Slot,
}

impl Program {
    /// Decodes an image.
    pub fn new(mut image: Image) -> Result<Self, DecodeError> {
        if image.slots.is_empty() {
            return Err(DecodeError { slot: 0, what: "a program without instructions".to_owned() });
        }
        name_functions(&mut image)?;
        let starts: Vec<u32> = image.functions.iter().map(|f| f.start_slot).collect();
        let code = decode::decode(&image.slots, &starts)?;
        let fused = fuse(&code.insns);
        Ok(Self { image, code, fused, machine_code: jit::Slot::default() })
    }

    /// What the program was made from; its functions are complete and ascending.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The main C function's name.
    pub fn name(&self) -> &str {
        &self.image.name
    }

    /// Its instructions.
    pub fn code(&self) -> &[Insn] {
        &self.code.insns
    }

    /// The same with common sequences made one, for the hot loop.
    pub(super) fn fused(&self) -> &[Insn] {
        &self.fused
    }

    /// Its machine code, compiled at the first use.
    pub(super) fn machine_code(&self) -> Result<&Arc<jit::Code>, &jit::Unavailable> {
        self.machine_code.get(|| jit::compile(self))
    }

    /// Makes its machine code now, so that its first use need not. Programs may be compiled on several threads.
    pub fn compile(&self) {
        // Where there is none, running it says why.
        _ = self.machine_code();
    }

    /// The same program where machine code cannot be had.
    #[cfg(test)]
    pub(super) fn refused(self, why: &str) -> Self {
        Self { machine_code: jit::Slot::refused(why), ..self }
    }

    /// Whether its machine code has been asked for.
    pub fn is_compiled(&self) -> bool {
        self.machine_code.is_filled()
    }

    /// Instructions executed by runs that began with it, and one pass over it for each tail call to it.
    pub(super) fn executed(&self) -> u64 {
        self.machine_code.executed()
    }

    /// Counts some.
    pub(super) fn count(&self, instructions: u64) {
        self.machine_code.count(instructions);
    }

    /// The slot of the instruction at `index` of [`code`](Self::code).
    pub fn slot_of(&self, index: usize) -> u32 {
        self.code.slots[index]
    }

    /// The index in [`code`](Self::code) of the function that begins at `slot`.
    pub fn entry(&self, slot: u32) -> Option<usize> {
        self.image.functions.binary_search_by_key(&slot, |f| f.start_slot).ok()?;
        self.code.index_of(slot)
    }

    /// The function `slot` belongs to.
    pub fn function_of(&self, slot: u32) -> &Function {
        let after = self.image.functions.partition_point(|f| f.start_slot <= slot);
        &self.image.functions[after - 1]
    }

    /// The C line `slot` was compiled from.
    pub fn line_of(&self, slot: u32) -> Option<&Line> {
        let after = self.image.lines.partition_point(|&(start, _)| start <= slot);
        let (start, line) = self.image.lines.get(after.checked_sub(1)?)?;
        (*start >= self.function_of(slot).start_slot).then_some(line)
    }
}

/// Sorts the functions and adds those that only a call tells of.
fn name_functions(image: &mut Image) -> Result<(), DecodeError> {
    let len = image.slots.len() as u32;
    let mut named: BTreeMap<u32, String> = BTreeMap::new();
    for function in image.functions.drain(..) {
        named.insert(function.start_slot, function.name);
    }
    named.entry(0).or_insert_with(|| image.name.clone());
    for target in decode::call_targets(&image.slots) {
        named.entry(target).or_insert_with(|| format!("subprog_{target}"));
    }
    if let Some((&slot, name)) = named.range(len..).next() {
        return Err(DecodeError {
            slot,
            what: format!("function {name} begins behind the last instruction"),
        });
    }
    image.functions = named.into_iter().map(|(start_slot, name)| Function { name, start_slot }).collect();
    Ok(())
}
