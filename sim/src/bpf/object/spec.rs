//! What an object is made of.

use std::sync::Arc;

use super::Line;
use crate::bpf::map::MapSpec;
use crate::uapi::{AttachType, ProgType};

/// A map as the object describes it.
#[derive(Clone, PartialEq, Debug)]
pub struct ObjectMap {
    /// What to create. `spec.name` is the C variable's name, or the section's (`.rodata`, `.data.cfg`) for global data.
    pub spec: MapSpec,
    /// The name libbpf gives the map in the kernel, at most 15 bytes (`internal_map_name`, libbpf.c).
    pub kernel_name: String,
    /// The NUMA node asked for; no meaning without `BPF_F_NUMA_NODE`.
    pub numa_node: u32,
    /// What is in the map before the first program runs.
    pub contents: MapContents,
    /// `btf_decl_tag`s on the variable.
    pub tags: Vec<String>,
}

/// Initial contents of a map.
#[derive(Clone, PartialEq, Debug)]
pub enum MapContents {
    /// Nothing.
    Empty,
    /// Bytes of a data section, element 0 of an array; frozen for `.rodata` and `.kconfig`.
    Section(Vec<u8>),
    /// `values` of a prog array: element and the entry point's name, ascending.
    Programs(Vec<(u32, String)>),
    /// `values` of a map of maps: element (key) and the inner map's name, ascending.
    Maps(Vec<(u32, String)>),
}

/// An entry point.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgramSpec {
    /// The C function's name.
    pub name: String,
    /// The ELF section's name without a leading `?`.
    pub section: String,
    /// Loaded unless a caller says otherwise: the section's name does not begin with `?`.
    pub autoload: bool,
    /// From the section's name; [`ProgType::Unspec`] for a section libbpf does not know.
    pub prog_type: ProgType,
    /// `expected_attach_type` from the section's name.
    pub attach_type: Option<AttachType>,
    /// May sleep (`BPF_F_SLEEPABLE`).
    pub sleepable: bool,
    /// Knows packets in several buffers (`BPF_F_XDP_HAS_FRAGS`).
    pub xdp_frags: bool,
    /// The code, in [`Object::functions`](super::Object::functions).
    pub function: FunctionId,
}

/// An index into [`Object::functions`](super::Object::functions).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FunctionId(pub usize);

/// A C function.
#[derive(Clone, PartialEq, Debug)]
pub struct Function {
    /// Its C name.
    pub name: String,
    /// The ELF section it stands in.
    pub section: Arc<str>,
    /// Its first 8-byte slot in the section.
    pub section_slot: u32,
    /// Instructions as in the file: little-endian `struct bpf_insn`, relocations not applied.
    pub slots: Vec<u64>,
    /// Whether it is visible outside the compilation unit (a global function, verified on its own).
    pub global: bool,
    /// Its `BTF_KIND_FUNC`, 0 without one.
    pub btf_id: u32,
    /// `btf_decl_tag`s on the function itself.
    pub tags: Vec<String>,
    /// By slot, ascending; calls to functions of the same section included, which need no ELF relocation.
    pub relocations: Vec<Relocation>,
    /// Accesses to types of the running kernel, by slot, ascending.
    pub core: Vec<CoreRelocation>,
    /// C lines by the slot they begin at, ascending.
    pub lines: Vec<(u32, Line)>,
}

impl Function {
    /// The C line `slot` was compiled from.
    pub fn line_of(&self, slot: u32) -> Option<&Line> {
        let after = self.lines.partition_point(|&(start, _)| start <= slot);
        Some(&self.lines[after.checked_sub(1)?].1)
    }
}

/// An instruction that refers to something by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Relocation {
    /// The instruction, counted in slots from the function's first.
    pub slot: u32,
    /// What it refers to.
    pub target: Target,
}

/// What an instruction refers to. Numbers index the lists of the [`Object`](super::Object).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// `ld_imm64`: a map.
    Map(usize),
    /// `ld_imm64`: the address of byte `offset` of a data section's only value.
    Data {
        /// The section's map.
        map: usize,
        /// Symbol plus addend.
        offset: u32,
    },
    /// `call`: a function.
    Call(FunctionId),
    /// `ld_imm64`: a function's address, for callbacks.
    Address(FunctionId),
    /// `ld_imm64`: an extern variable.
    ExternVar(usize),
    /// `call`: a kernel function.
    ExternCall(usize),
}

/// Something the object declares and others define.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extern {
    /// Its C name.
    pub name: String,
    /// Zero, or a call that must not be reached, when nobody defines it.
    pub weak: bool,
    /// What it is.
    pub kind: ExternKind,
    /// Its `BTF_KIND_VAR` or `BTF_KIND_FUNC`.
    pub btf_id: u32,
}

/// Kinds of externs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExternKind {
    /// `__kconfig`: a variable in the `.kconfig` map.
    Kconfig {
        /// Byte offset in the map.
        offset: u32,
        /// Bytes it takes.
        size: u32,
        /// How its value is written down.
        value: KconfigValue,
    },
    /// `__ksym`: the address of a kernel variable; `typed` unless declared `void`.
    Variable {
        /// Whether its type is known to the object.
        typed: bool,
    },
    /// `__ksym`: a kernel function callable from BPF.
    Kfunc,
}

/// The C type of a `__kconfig` variable (`enum kcfg_type`, libbpf.c).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KconfigValue {
    /// One character, or a number of one byte.
    Char {
        /// Whether it is signed.
        signed: bool,
    },
    /// `bool`.
    Bool,
    /// Little-endian integer of 2, 4 or 8 bytes.
    Int {
        /// Whether it is signed.
        signed: bool,
    },
    /// `enum libbpf_tristate`: no, yes, module.
    Tristate,
    /// A string, NUL included.
    CharArray,
}

/// An instruction whose constant depends on the running kernel's types (`struct bpf_core_relo` of
/// `include/uapi/linux/bpf.h`, v6.12).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoreRelocation {
    /// The instruction, counted in slots from the function's first.
    pub slot: u32,
    /// The type in the object's own BTF.
    pub type_id: u32,
    /// The accessor, such as `0:1:2`; an enumerator's index for enumerations.
    pub access: Arc<str>,
    /// What is asked.
    pub kind: CoreKind,
}

/// `enum bpf_core_relo_kind`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
#[repr(u32)]
pub enum CoreKind {
    FieldByteOffset = 0,
    FieldByteSize = 1,
    FieldExists = 2,
    FieldSigned = 3,
    FieldLshiftU64 = 4,
    FieldRshiftU64 = 5,
    TypeIdLocal = 6,
    TypeIdTarget = 7,
    TypeExists = 8,
    TypeSize = 9,
    EnumvalExists = 10,
    EnumvalValue = 11,
    TypeMatches = 12,
}

impl CoreKind {
    /// The kind `value` stands for.
    pub fn from_u32(value: u32) -> Option<Self> {
        use CoreKind::{
            EnumvalExists, EnumvalValue, FieldByteOffset, FieldByteSize, FieldExists, FieldLshiftU64,
            FieldRshiftU64, FieldSigned, TypeExists, TypeIdLocal, TypeIdTarget, TypeMatches, TypeSize,
        };
        const ALL: [CoreKind; 13] = [
            FieldByteOffset,
            FieldByteSize,
            FieldExists,
            FieldSigned,
            FieldLshiftU64,
            FieldRshiftU64,
            TypeIdLocal,
            TypeIdTarget,
            TypeExists,
            TypeSize,
            EnumvalExists,
            EnumvalValue,
            TypeMatches,
        ];
        ALL.get(value as usize).copied()
    }
}
