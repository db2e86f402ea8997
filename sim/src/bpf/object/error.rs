//! Why bytes are no object.

use crate::bpf::btf::BtfError;

/// An object file that cannot be used: what is wrong, where, and what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("object \"{object}\": {kind}")]
pub struct ObjectError {
    /// The object's name.
    pub object: String,
    /// What is wrong.
    pub kind: ObjectErrorKind,
}

/// What is wrong with an object file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ObjectErrorKind {
    /// Not ELF, or cut short.
    #[error("not a usable ELF file: {what}; expected what clang -target bpf -g -c writes")]
    Elf {
        /// The part that could not be read.
        what: String,
    },
    /// ELF of another machine, class or byte order.
    #[error(
        "this is {found}, not a little-endian 64-bit relocatable BPF object; compile with clang -target bpfel -c"
    )]
    Machine {
        /// What the ELF header says.
        found: String,
    },
    /// `.BTF` or `.BTF.ext` cannot be read.
    #[error("section {section}: {error}")]
    Btf {
        /// The section.
        section: &'static str,
        /// Where and what.
        error: BtfError,
    },
    /// Something needs types and the object has none.
    #[error("{what} needs type information; compile with -g and strip with llvm-strip -g, not strip")]
    NoBtf {
        /// What needs it.
        what: String,
    },
    /// A map definition libbpf refuses.
    #[error("map \"{map}\": {what}")]
    Map {
        /// The C variable.
        map: String,
        /// What is wrong with it, and what it should be.
        what: String,
    },
    /// A function whose symbol makes no sense.
    #[error("section \"{section}\": function \"{function}\": {what}")]
    Function {
        /// The section.
        section: String,
        /// The symbol.
        function: String,
        /// What is wrong with it.
        what: String,
    },
    /// A relocation that cannot be understood.
    #[error("section \"{section}\", offset {offset:#x}: {what}")]
    Relocation {
        /// The section relocated.
        section: String,
        /// Byte offset in it.
        offset: u64,
        /// What is wrong, naming the symbol.
        what: String,
    },
    /// An extern that cannot be understood.
    #[error("extern \"{name}\": {what}")]
    Extern {
        /// The C name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// A section of the wrong shape.
    #[error("section \"{section}\": {what}")]
    Section {
        /// The section.
        section: String,
        /// What is wrong with it.
        what: String,
    },
}
