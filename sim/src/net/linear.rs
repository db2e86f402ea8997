//! The linear part of a packet: bytes in the guest's packet window, with room before and after.

use crate::bpf::mem::{Object, ObjectKind, PACKET_BASE, PACKET_SIZE};
use crate::bpf::{Access, Addr, Memory};

/// The window has two halves. A packet moves to the other one whenever a helper may have moved it in the kernel, so that
/// a pointer kept across such a helper, which the verifier refuses, points at nothing.
const HALF: Addr = PACKET_SIZE / 2;
/// From the beginning of a half to a packet's first byte of headroom.
const MARGIN: Addr = 0x1000;

/// `head`, `data`, `tail` and `end` of `include/linux/skbuff.h: struct sk_buff`, or `data_hard_start`, `data_meta`,
/// `data`, `data_end` of `include/net/xdp.h: struct xdp_buff`, v6.12. Offsets count from `head`.
#[derive(Clone, Debug)]
pub struct Linear {
    head: Addr,
    meta: u32,
    data: u32,
    tail: u32,
    end: u32,
    /// Where the objects the program sees begin.
    exposed: [Option<Addr>; 2],
}

impl Linear {
    /// Puts `bytes` into the window, with `headroom` and `tailroom` zeroed bytes around them.
    ///
    /// # Panics
    /// If all of it does not fit into half a window: callers bound packets far below that.
    pub fn new(mem: &mut Memory, headroom: u32, bytes: &[u8], tailroom: u32) -> Self {
        let data = headroom;
        let tail = data + bytes.len() as u32;
        let linear = Self {
            head: PACKET_BASE + MARGIN,
            meta: data,
            data,
            tail,
            end: tail + tailroom,
            exposed: [None; 2],
        };
        linear.assert_fits();
        let room = mem.raw_mut(linear.head, linear.end as usize);
        room.fill(0);
        room[data as usize..tail as usize].copy_from_slice(bytes);
        linear
    }

    fn assert_fits(&self) {
        assert!(Addr::from(self.end) + 2 * MARGIN <= HALF, "a packet of {} bytes with its room", self.end);
    }

    /// The offset of the first byte.
    pub fn data(&self) -> u32 {
        self.data
    }

    /// The guest address of the first byte.
    pub fn data_addr(&self) -> Addr {
        self.head + Addr::from(self.data)
    }

    /// The guest address one past the last byte.
    pub fn end_addr(&self) -> Addr {
        self.head + Addr::from(self.tail)
    }

    /// The guest address of the metadata, which ends where the data begin.
    pub fn meta_addr(&self) -> Addr {
        self.head + Addr::from(self.meta)
    }

    /// Bytes from the first to the last.
    pub fn len(&self) -> u32 {
        self.tail - self.data
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of metadata before the data.
    pub fn meta_len(&self) -> u32 {
        self.data - self.meta
    }

    /// Bytes of room after the last byte.
    pub fn tailroom(&self) -> u32 {
        self.end - self.tail
    }

    /// The bytes.
    pub fn bytes<'m>(&self, mem: &'m Memory) -> &'m [u8] {
        mem.raw(self.data_addr(), self.len() as usize)
    }

    /// The bytes, to write.
    pub fn bytes_mut<'m>(&self, mem: &'m mut Memory) -> &'m mut [u8] {
        mem.raw_mut(self.data_addr(), self.len() as usize)
    }

    /// Metadata and bytes.
    pub fn bytes_with_meta<'m>(&self, mem: &'m Memory) -> &'m [u8] {
        mem.raw(self.meta_addr(), (self.tail - self.meta) as usize)
    }

    /// The bytes with all room around them, to be [put back](Self::put_back) when another packet was in the window.
    pub fn room(&self, mem: &Memory) -> Vec<u8> {
        mem.raw(self.head, self.end as usize).to_vec()
    }

    /// Puts into the window what [`room`](Self::room) took out of it.
    pub fn put_back(&self, mem: &mut Memory, room: &[u8]) {
        mem.raw_mut(self.head, self.end as usize).copy_from_slice(room);
    }

    /// Moves the first byte: `by` < 0 takes from the headroom, `by` > 0 gives to it. Metadata stay where they are only
    /// if there are none.
    ///
    /// # Panics
    /// Outside the room.
    pub fn move_data(&mut self, by: i32) {
        let meta_len = self.meta_len();
        let data = self.data.checked_add_signed(by).expect("there is headroom");
        assert!(data <= self.tail && data >= meta_len, "the data stay inside their room");
        self.data = data;
        self.meta = data - meta_len;
    }

    /// Moves where the metadata begin, `len` bytes before the data.
    pub fn set_meta_len(&mut self, len: u32) {
        self.meta = self.data - len;
    }

    /// Moves one past the last byte so that `len` bytes remain; what is added keeps whatever lay there.
    ///
    /// # Panics
    /// Outside the room.
    pub fn set_len(&mut self, len: u32) {
        assert!(self.data + len <= self.end, "there is tailroom");
        self.tail = self.data + len;
    }

    /// Holds `bytes` from now on, with no room around them.
    ///
    /// # Panics
    /// If they do not fit into half a window.
    pub fn replace(&mut self, mem: &mut Memory, bytes: &[u8]) {
        self.unmap(mem);
        (self.meta, self.data, self.tail, self.end) = (0, 0, bytes.len() as u32, bytes.len() as u32);
        self.assert_fits();
        mem.raw_mut(self.head, bytes.len()).copy_from_slice(bytes);
    }

    /// Makes `more_head` bytes of headroom and `more_tail` of tailroom: `net/core/skbuff.c: pskb_expand_head`, v6.12.
    /// Every offset grows by `more_head`.
    pub fn expand(&mut self, mem: &mut Memory, more_head: u32, more_tail: u32) {
        self.unmap(mem);
        let old_end = self.end;
        let (meta, data, tail) = (self.meta + more_head, self.data + more_head, self.tail + more_head);
        self.end = old_end + more_head + more_tail;
        self.assert_fits();
        let room = mem.raw_mut(self.head, self.end as usize);
        room.copy_within(..old_end as usize, more_head as usize);
        room[..more_head as usize].fill(0);
        room[(old_end + more_head) as usize..].fill(0);
        (self.meta, self.data, self.tail) = (meta, data, tail);
    }

    /// Lets the program at the bytes, at another address than before.
    pub fn expose(&mut self, mem: &mut Memory, access: Access) {
        self.unmap(mem);
        let other = if self.head < PACKET_BASE + HALF { self.head + HALF } else { self.head - HALF };
        let start = (self.head - PACKET_BASE) as usize;
        mem.raw_mut(PACKET_BASE, PACKET_SIZE as usize)
            .copy_within(start..start + self.end as usize, (other - PACKET_BASE) as usize);
        self.head = other;
        let parts = [
            (self.meta_addr(), self.meta_len(), ObjectKind::Metadata),
            (self.data_addr(), self.len(), ObjectKind::Packet),
        ];
        self.exposed = parts.map(|(base, len, kind)| {
            (len > 0).then(|| {
                mem.map(Object { base, len, access, kind });
                base
            })
        });
    }

    /// Takes the bytes away from the program.
    pub fn hide(&mut self, mem: &mut Memory) {
        self.unmap(mem);
    }

    fn unmap(&mut self, mem: &mut Memory) {
        for base in std::mem::take(&mut self.exposed).into_iter().flatten() {
            mem.unmap(base);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposing_moves_the_packet_and_its_bounds_are_exact() {
        let mut mem = Memory::new();
        let mut linear = Linear::new(&mut mem, 64, b"0123456789", 320);
        linear.expose(&mut mem, Access::ReadWrite);
        let first = linear.data_addr();
        assert_eq!(mem.load(first + 9, 1), Ok(u64::from(b'9')));
        assert!(mem.load(first + 10, 1).is_err() && mem.load(first - 1, 1).is_err());
        linear.move_data(3);
        linear.expose(&mut mem, Access::ReadWrite);
        assert!(mem.load(first, 1).is_err(), "the old address is stale");
        assert_eq!(mem.load(linear.data_addr(), 1), Ok(u64::from(b'3')));
        linear.hide(&mut mem);
        assert!(mem.load(linear.data_addr(), 1).is_err());
    }

    #[test]
    fn expanding_keeps_the_bytes() {
        let mut mem = Memory::new();
        let mut linear = Linear::new(&mut mem, 2, b"abc", 1);
        linear.expand(&mut mem, 64, 10);
        assert_eq!((linear.data(), linear.tailroom()), (66, 11));
        assert_eq!(linear.bytes(&mem), b"abc");
        linear.move_data(-66);
        assert_eq!(linear.bytes(&mem)[..3], [0, 0, 0]);
        assert_eq!(linear.len(), 69);
    }

    #[test]
    fn metadata_move_along_and_are_apart_from_the_data() {
        let mut mem = Memory::new();
        let mut linear = Linear::new(&mut mem, 256, b"data", 320);
        linear.set_meta_len(8);
        linear.expose(&mut mem, Access::ReadWrite);
        assert_eq!(linear.bytes_with_meta(&mem), b"\0\0\0\0\0\0\0\0data");
        assert!(mem.load(linear.meta_addr(), 8).is_ok());
        assert!(mem.load(linear.data_addr() - 4, 8).is_err(), "across the border");
        linear.move_data(-16);
        assert_eq!(linear.meta_len(), 8);
    }
}
