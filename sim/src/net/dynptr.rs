//! `struct bpf_dynptr`: a pointer whose bounds are known at run time.
//!
//! The 16 bytes on the program's stack are opaque. What they stand for is kept here, by their address, with a number
//! that is also in the bytes: a dynptr that was overwritten, or whose frame is gone, is none any more.

use std::collections::BTreeMap;

use crate::bpf::{Addr, Memory};

/// `sizeof(struct bpf_dynptr)`.
pub const SIZE: u32 = 16;
/// `include/linux/bpf.h: DYNPTR_MAX_SIZE`, v6.12.
pub const DYNPTR_MAX_SIZE: u32 = (1 << 24) - 1;

/// What a dynptr points into: `enum bpf_dynptr_type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// Nothing: making it failed, or it was released.
    Null,
    /// Guest memory at this address: a map value or a sample.
    Local(Addr),
    /// A ring buffer record at this address.
    Ringbuf(Addr),
    /// The packet of an skb program.
    Skb,
    /// The packet of an XDP program.
    Xdp,
}

/// One dynptr: `struct bpf_dynptr_kern`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dynptr {
    /// What it points into.
    pub target: Target,
    /// From the target's first byte.
    pub offset: u32,
    /// Bytes it spans.
    pub size: u32,
    /// Whether writing is refused.
    pub rdonly: bool,
    /// The dynptr whose release ends this one too: the address of the one it was cloned from, in the end.
    pub owner: Option<Addr>,
}

impl Dynptr {
    /// A dynptr to nothing.
    pub const NULL: Self = Self::new(Target::Null, 0);

    /// A dynptr to the first `size` bytes of `target`.
    pub const fn new(target: Target, size: u32) -> Self {
        Self { target, offset: 0, size, rdonly: false, owner: None }
    }

    /// `bpf_dynptr_check_off_len`.
    pub const fn has(&self, offset: u32, len: u32) -> bool {
        len <= self.size && offset <= self.size - len
    }
}

/// Every dynptr of one run.
#[derive(Clone, Debug, Default)]
pub struct Dynptrs {
    by_addr: BTreeMap<Addr, (u64, Dynptr)>,
    made: u64,
}

impl Dynptrs {
    /// Makes the 16 bytes at `addr`, which were checked, a dynptr.
    pub fn put(&mut self, mem: &mut Memory, addr: Addr, dynptr: Dynptr) {
        self.made += 1;
        let number = self.made;
        let bytes = mem.raw_mut(addr, SIZE as usize);
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes[8..].copy_from_slice(&(!number).to_le_bytes());
        self.by_addr.insert(addr, (number, dynptr));
    }

    /// The dynptr at `addr`, if the bytes there still are one.
    pub fn get(&mut self, mem: &Memory, addr: Addr) -> Option<&mut Dynptr> {
        let (number, dynptr) = self.by_addr.get_mut(&addr)?;
        let bytes = mem.guest(addr, SIZE.into()).ok()?;
        let intact = bytes[..8] == number.to_le_bytes() && bytes[8..] == (!*number).to_le_bytes();
        intact.then_some(dynptr)
    }

    /// Ends the dynptr at `addr` and its clones.
    pub fn release(&mut self, owner: Addr) {
        self.by_addr.retain(|_, (_, dynptr)| dynptr.owner != Some(owner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::Access;
    use crate::bpf::mem::ObjectKind;

    #[test]
    fn overwritten_bytes_are_no_dynptr() {
        let mut mem = Memory::new();
        let addr = mem.alloc(ObjectKind::Helper("test"), Access::ReadWrite, 64).unwrap();
        let mut dynptrs = Dynptrs::default();
        assert!(dynptrs.get(&mem, addr).is_none());
        dynptrs.put(&mut mem, addr, Dynptr { owner: Some(addr), ..Dynptr::new(Target::Ringbuf(7), 3) });
        let made = *dynptrs.get(&mem, addr).unwrap();
        assert!(made.has(0, 3) && made.has(3, 0) && !made.has(1, 3) && !made.has(u32::MAX, 2));
        dynptrs.put(&mut mem, addr + 16, made);
        mem.raw_mut(addr + 15, 1)[0] ^= 1;
        assert!(dynptrs.get(&mem, addr).is_none());
        assert!(dynptrs.get(&mem, addr + 16).is_some());
        dynptrs.release(addr);
        assert!(dynptrs.get(&mem, addr + 16).is_none(), "a clone ends with what it was cloned from");
    }
}
