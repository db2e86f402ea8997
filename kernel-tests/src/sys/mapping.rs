//! Memory shared with the kernel.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::{Errno, last_errno};

/// Bytes of a page.
pub fn page() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        // SAFETY: takes and gives plain integers.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size).expect("the kernel has a page size")
    })
}

/// Shared memory that is unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    base: *mut AtomicU64,
    len: usize,
}

impl Mapping {
    /// Maps `len` bytes of what `fd` stands for, from `offset` on, with these `PROT_*`.
    pub fn new(fd: BorrowedFd<'_>, len: usize, prot: i32, offset: usize) -> Result<Self, Errno> {
        // SAFETY: the kernel picks the address, so no other memory is touched.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                prot,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        if base == libc::MAP_FAILED { Err(last_errno()) } else { Ok(Self { base: base.cast(), len }) }
    }

    /// A position the kernel and we both use.
    pub fn position(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.len);
        // SAFETY: inside the mapping, aligned, and shared only by atomic accesses.
        unsafe { &*self.base.byte_add(offset) }
    }

    /// A header word the kernel may still write.
    pub fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.len);
        // SAFETY: inside the mapping, aligned, and shared only by atomic accesses.
        unsafe { &*self.base.byte_add(offset).cast::<AtomicU32>() }
    }

    /// Copies bytes the kernel has finished writing.
    pub fn read(&self, offset: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0u8; len];
        self.read_into(offset, &mut bytes);
        bytes
    }

    /// Fills `bytes` from `offset` on.
    pub fn read_into(&self, offset: usize, bytes: &mut [u8]) {
        assert!(offset + bytes.len() <= self.len);
        let from = self.base.cast::<u8>();
        // SAFETY: inside the mapping, and `bytes` is our own. The kernel writes here only while a program runs.
        unsafe { std::ptr::copy_nonoverlapping(from.add(offset), bytes.as_mut_ptr(), bytes.len()) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and no reference into it outlives `self`.
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}

// SAFETY: the memory belongs to the process, not to a thread; it is written only through atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above; copies read what the kernel has finished writing.
unsafe impl Sync for Mapping {}
