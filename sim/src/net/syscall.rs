//! Programs of type syscall: user space's bytes are their context.

use crate::bpf::mem::{CTX_BASE, Object, ObjectKind};
use crate::bpf::{Access, Memory};

/// The context of a syscall program: plain memory to read and write, `kernel/bpf/syscall.c:
/// syscall_prog_is_valid_access`, v6.12. It lies where context pointers point, as guest memory.
#[derive(Debug)]
pub struct Syscall {
    /// Bytes.
    len: u32,
}

impl Syscall {
    /// Lays out the caller's bytes.
    ///
    /// # Panics
    /// If there are more than [`CTX_SIZE`](crate::bpf::mem::CTX_SIZE), which the system call refuses.
    pub fn new(mem: &mut Memory, bytes: &[u8]) -> Self {
        let len = bytes.len() as u32;
        if len > 0 {
            let kind = ObjectKind::Helper("context");
            mem.map(Object { base: CTX_BASE, len, access: Access::ReadWrite, kind });
            mem.raw_mut(CTX_BASE, bytes.len()).copy_from_slice(bytes);
        }
        Self { len }
    }

    /// Takes the context away and gives its bytes back.
    pub fn take(self, mem: &mut Memory) -> Vec<u8> {
        if self.len == 0 {
            return Vec::new();
        }
        mem.unmap(CTX_BASE);
        mem.raw(CTX_BASE, self.len as usize).to_vec()
    }
}
