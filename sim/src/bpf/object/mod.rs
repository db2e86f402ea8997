//! ELF → Object: everything an object file says, without asking a kernel.
//!
//! An [`Object`] is pure data and the same on every machine. What depends on a kernel (sizes given by the number of
//! CPUs, types of the running kernel, which helpers exist) is decided when it is [loaded](super::load).
//! Rules and names are those of libbpf, so that an object means here what it means to `bpf_object__open`
//! (`tools/lib/bpf/libbpf.c`, v6.12).

mod data;
mod elf;
mod error;
mod externs;
pub(crate) mod functions;
mod legacy;
mod maps;
mod parse;
mod section_name;
mod spec;
mod special;
mod struct_ops;
mod tails;

use std::fmt;
use std::sync::Arc;

pub(crate) use maps::ring_size;

pub use error::{ObjectError, ObjectErrorKind};
pub use section_name::SectionName;
pub use spec::{
    CoreKind, CoreRelocation, Extern, ExternKind, Function, FunctionId, KconfigValue, MapContents, ObjectMap,
    ProgramSpec, Relocation, Target,
};
pub use tails::TailSlot;

/// An object file, understood.
#[derive(Clone, PartialEq, Debug)]
pub struct Object {
    /// The object's name, as libbpf prefixes it to global data maps: the file name up to the first dot.
    pub name: String,
    /// The contents of the `license` section; empty without one.
    pub license: String,
    /// The contents of the `version` section, `KERNEL_VERSION(a, b, c)`.
    pub version: Option<u32>,
    /// Maps in libbpf's order: those of `.maps`, then the data sections, then `.kconfig`, then struct_ops.
    pub maps: Vec<ObjectMap>,
    /// Entry points, ordered by section and place in it.
    pub programs: Vec<ProgramSpec>,
    /// Slots of prog arrays that decl tags fill.
    pub tails: Vec<TailSlot>,
    /// Every function, entry points and subprograms, ordered by section and place in it.
    pub functions: Vec<Function>,
    /// What the object expects others to define.
    pub externs: Vec<Extern>,
    /// What the object holds and loading leaves out, in words.
    pub notes: Vec<String>,
    /// The object's types.
    pub btf: Option<super::btf::Btf>,
}

impl Object {
    /// The map with this name: the C variable's, or the section's for global data.
    pub fn map(&self, name: &str) -> Option<&ObjectMap> {
        self.maps.iter().find(|map| map.spec.name == name)
    }

    /// The entry point with this name.
    pub fn program(&self, name: &str) -> Option<&ProgramSpec> {
        self.programs.iter().find(|program| program.name == name)
    }

    /// Gives an entry point a type, as a loader does whose sections have names of its own (`bpf_program__set_type`,
    /// libbpf.c); whether there is one of that name.
    pub fn set_type(&mut self, program: &str, prog_type: crate::uapi::ProgType) -> bool {
        let found = self.programs.iter_mut().find(|p| p.name == program);
        found.map(|p| (p.prog_type, p.attach_type) = (prog_type, None)).is_some()
    }

    /// The function `id` stands for.
    pub fn function(&self, id: FunctionId) -> &Function {
        &self.functions[id.0]
    }

    /// Whether the licence lets programs call `gpl_only` helpers (`license_is_gpl_compatible` of
    /// `include/linux/license.h`, v6.12).
    pub fn license_is_gpl_compatible(&self) -> bool {
        const COMPATIBLE: [&str; 6] =
            ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];
        COMPATIBLE.contains(&self.license.as_str())
    }
}

/// The version of the clang that compiled an object file, from its `.comment` section, such as `19.1.7`; `None` if the file
/// does not say.
pub fn compiler(bytes: &[u8]) -> Option<String> {
    let elf = elf::Elf::parse(bytes).ok()?;
    let comment = elf.sections.iter().find(|section| section.name == ".comment")?;
    let comment = String::from_utf8_lossy(comment.data);
    let (_, version) = comment.split_once("clang version ")?;
    Some(version.split(|c: char| c != '.' && !c.is_ascii_alphanumeric()).next()?.to_owned())
}

/// A C source position from `.BTF.ext` line info. Cloning it copies no text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// As the compiler recorded it.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// From 1; 0 if unknown.
    pub column: u32,
    /// The source text of the line, without leading blanks; may be empty.
    pub text: Arc<str>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        Ok(())
    }
}
