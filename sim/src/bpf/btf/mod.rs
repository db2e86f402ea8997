//! BTF: the types of an object or a kernel (`Documentation/bpf/btf.rst`, `include/uapi/linux/btf.h`, v6.12).

/// Why bytes are no BTF.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("offset {offset:#x}: {what}")]
pub struct BtfError {
    /// Byte offset in the section.
    pub offset: usize,
    /// What is wrong there.
    pub what: String,
}

/// A type graph.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Btf {}
