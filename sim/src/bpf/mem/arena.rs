//! The bytes of guest memory, and for each how far an access that begins there may reach.

use std::io::Result;

use memmap2::{MmapMut, MmapOptions};

use super::{Access, Addr, Object};

/// Bytes of address space: every valid address is below. The processor compares with it at no cost, as its last one
/// is a positive number of 32 bits.
pub const ARENA_SIZE: Addr = 1 << 31;

/// In a shadow byte, one byte that may be read.
pub(in crate::bpf) const READ: u8 = 0x10;
/// In a shadow byte, one byte that may be written.
pub(in crate::bpf) const WRITE: u8 = 0x01;

/// The widest access of one instruction, bytes. A shadow byte knows no more.
const WIDEST: u8 = 8;

/// Bytes, zero at first, and their shadow. Neither moves, and what nobody uses takes no memory.
///
/// A shadow byte holds two numbers of up to [`WIDEST`]: in units of [`READ`] and of [`WRITE`], how many bytes from this
/// one on are of the same object and may be accessed.
pub(super) struct Arena {
    bytes: MmapMut,
    shadow: MmapMut,
}

/// Where they are, for machine code; good for as long as the memory lives.
#[derive(Clone, Copy)]
#[repr(C)]
pub(in crate::bpf) struct View {
    pub bytes: *mut u8,
    pub shadow: *const u8,
}

impl Arena {
    /// Address space that one takes, in bytes.
    pub const RESERVED: u64 = 2 * ARENA_SIZE;

    /// The error says why there is no such address space.
    pub fn new() -> Result<Self> {
        let reserve = || MmapOptions::new().len(ARENA_SIZE as usize).no_reserve_swap().map_anon();
        Ok(Self { bytes: reserve()?, shadow: reserve()? })
    }

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Lets a guest access the object.
    pub fn allow(&mut self, object: &Object) {
        let unit = match object.access {
            Access::Read => READ,
            Access::ReadWrite => READ + WRITE,
        };
        // What is left before the end, where that is near.
        let ends = [8, 7, 6, 5, 4, 3, 2, 1_u8].map(|left| left * unit);
        let shadow = self.shadow_of(object);
        if let Some((most, last)) = shadow.split_last_chunk_mut() {
            most.fill(WIDEST * unit);
            *last = ends;
        } else {
            shadow.copy_from_slice(&ends[ends.len() - shadow.len()..]);
        }
    }

    /// Lets no guest access it.
    pub fn forbid(&mut self, object: &Object) {
        self.shadow_of(object).fill(0);
    }

    fn shadow_of(&mut self, object: &Object) -> &mut [u8] {
        &mut self.shadow[object.base as usize..object.end() as usize]
    }

    /// Whether the shadow allows `len` bytes at `addr`. It never does across the border of two objects. What is long is
    /// not looked at.
    #[inline]
    pub fn allows(&self, addr: Addr, len: u64, write: bool) -> bool {
        const LONG: u64 = 128;
        if len > LONG || len == 0 || addr >= ARENA_SIZE - LONG {
            return false;
        }
        let reach = |at: u64| {
            let byte = self.shadow[(addr + at) as usize];
            u64::from(if write { byte % READ } else { byte / READ })
        };
        if len <= u64::from(WIDEST) {
            return reach(0) >= len;
        }
        // Each piece begins at the last byte of the one before, so that every border is inside one.
        let mut pieces = (0..len).step_by(usize::from(WIDEST) - 1);
        pieces.all(|at| reach(at) >= (len - at).min(u64::from(WIDEST)))
    }

    /// The bytes at `addr` if a guest may read them.
    #[inline(always)]
    #[allow(clippy::inline_always)] // the interpreter's hottest path
    pub fn peek<const N: usize>(&self, addr: Addr) -> Option<[u8; N]> {
        if *self.shadow.get(addr as usize)? < N as u8 * READ {
            return None;
        }
        self.bytes.get(addr as usize..)?.first_chunk().copied()
    }

    /// The bytes at `addr` if a guest may write them.
    #[inline(always)]
    #[allow(clippy::inline_always)] // the interpreter's hottest path
    pub fn poke<const N: usize>(&mut self, addr: Addr) -> Option<&mut [u8; N]> {
        if *self.shadow.get(addr as usize)? % READ < N as u8 * WRITE {
            return None;
        }
        self.bytes.get_mut(addr as usize..)?.first_chunk_mut()
    }

    /// See [`View`].
    #[inline]
    pub fn view(&mut self) -> View {
        View { bytes: self.bytes.as_mut_ptr(), shadow: self.shadow.as_ptr() }
    }
}
