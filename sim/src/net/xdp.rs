//! `struct xdp_buff`: a packet before the kernel made an `sk_buff` of it.

use crate::bpf::mem::ObjectKind;
use crate::bpf::{Access, Addr, Memory};
use crate::net::linear::Linear;

/// `XDP_PACKET_HEADROOM`.
pub const XDP_PACKET_HEADROOM: u32 = 256;
/// `PAGE_SIZE`.
pub const PAGE_SIZE: u32 = 4096;
/// `MAX_SKB_FRAGS`.
pub const MAX_SKB_FRAGS: usize = 17;
/// `sizeof(struct xdp_frame)` on x86-64: headroom no program may use.
pub const XDP_FRAME: u32 = 40;

/// A packet under an XDP program: `include/net/xdp.h: struct xdp_buff`, v6.12.
#[derive(Debug)]
pub struct XdpBuff {
    /// The linear part, with its metadata.
    pub linear: Linear,
    /// Fragments after it, in order.
    pub frags: Vec<Frag>,
    /// `rxq->dev->ifindex`.
    pub ingress_ifindex: u32,
    /// `rxq->queue_index`.
    pub rx_queue_index: u32,
    /// `rxq->frag_size`; 0 where fragments cannot grow.
    pub frag_size: u32,
    /// `XDP_FLAGS_HAS_FRAGS`.
    pub has_frags: bool,
    /// Fragments that the program has pointers into.
    pub windows: Vec<Window>,
}

/// A fragment's bytes in guest memory, for as long as the program has pointers into it.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Where the bytes lie.
    pub addr: Addr,
    /// Which fragment.
    pub frag: usize,
}

/// One fragment, `skb_frag_t`.
#[derive(Clone, Debug)]
pub struct Frag {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its offset in its page.
    pub offset: u32,
}

impl XdpBuff {
    /// `xdp_get_frags_len`.
    pub fn frags_len(&self) -> u32 {
        self.frags.iter().map(|f| f.bytes.len() as u32).sum()
    }

    /// `xdp_get_buff_len`: linear bytes and fragments.
    pub fn len(&self) -> u32 {
        self.linear.len() + self.frags_len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `net/core/filter.c: bpf_xdp_pointer` (v6.12) of a range that was checked: the address of `len` bytes at `offset`;
    /// `None` if they do not lie in one piece, or no guest memory is left.
    pub fn pointer(&mut self, mem: &mut Memory, offset: u32, len: u32) -> Option<Addr> {
        let headlen = self.linear.len();
        let Some(mut at) = offset.checked_sub(headlen) else {
            return (offset + len <= headlen).then(|| self.linear.data_addr() + Addr::from(offset));
        };
        for (index, frag) in self.frags.iter().enumerate() {
            let size = frag.bytes.len() as u32;
            if at < size {
                let addr = if at + len <= size { self.window(mem, index)? } else { return None };
                return Some(addr + Addr::from(at));
            }
            at -= size;
        }
        // An empty range at the very end: the kernel points at the first byte.
        (at + len <= headlen).then(|| self.linear.data_addr() + Addr::from(at))
    }

    fn window(&mut self, mem: &mut Memory, frag: usize) -> Option<Addr> {
        if let Some(window) = self.windows.iter().find(|window| window.frag == frag) {
            return Some(window.addr);
        }
        let bytes = &self.frags[frag].bytes;
        let kind = ObjectKind::Helper("packet fragment");
        let addr = mem.alloc(kind, Access::ReadWrite, bytes.len() as u32)?;
        mem.raw_mut(addr, bytes.len()).copy_from_slice(bytes);
        self.windows.push(Window { addr, frag });
        Some(addr)
    }

    /// Takes over what the program wrote through its pointers.
    pub fn store_windows(&mut self, mem: &Memory) {
        for window in &self.windows {
            let bytes = &mut self.frags[window.frag].bytes;
            let len = bytes.len();
            bytes.copy_from_slice(mem.raw(window.addr, len));
        }
    }

    /// Shows the program what was written to fragments.
    pub fn load_windows(&mut self, mem: &mut Memory) {
        for window in &self.windows {
            let bytes = &self.frags[window.frag].bytes;
            mem.raw_mut(window.addr, bytes.len()).copy_from_slice(bytes);
        }
    }

    /// Ends the program's pointers into fragments. What it wrote was taken over before, or is lost.
    pub fn close_windows(&mut self, mem: &mut Memory) {
        for window in std::mem::take(&mut self.windows) {
            mem.free(window.addr);
        }
    }

    /// Calls `each` with the pieces that hold `[offset, offset + len)`, in order; the caller has checked the range.
    pub fn for_range(&mut self, mem: &mut Memory, offset: u32, len: u32, mut each: impl FnMut(&mut [u8])) {
        let (mut offset, mut len) = (offset as usize, len as usize);
        let linear = self.linear.bytes_mut(mem);
        let pieces = std::iter::once(linear).chain(self.frags.iter_mut().map(|f| f.bytes.as_mut_slice()));
        for piece in pieces {
            if offset < piece.len() && len > 0 {
                let n = len.min(piece.len() - offset);
                each(&mut piece[offset..offset + n]);
                (offset, len) = (0, len - n);
            } else {
                offset -= piece.len().min(offset);
            }
        }
    }
}
