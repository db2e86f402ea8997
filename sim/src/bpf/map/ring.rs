//! The bytes of a ring buffer, for programs' records and user space's samples: `kernel/bpf/ringbuf.c`, v6.12.

/// `BPF_RINGBUF_HDR_SZ`, bytes.
pub(super) const HEADER: u64 = 8;
/// `BPF_RINGBUF_BUSY_BIT`: a record is not finished.
pub(super) const BUSY: u32 = 1 << 31;
/// `BPF_RINGBUF_DISCARD_BIT`: a record is to be passed over.
pub(super) const DISCARD: u32 = 1 << 30;

/// Bytes a record of `size` takes, its header included.
pub(super) fn record_len(size: u64) -> u64 {
    (size + HEADER).next_multiple_of(8)
}

/// A ring's bytes and how far both sides are. Positions are bytes since the beginning, headers included.
pub(super) struct Ring {
    pub(super) mask: u64,
    pub(super) consumer: u64,
    pub(super) producer: u64,
    /// The ring's first bytes, as far as they were ever used.
    bytes: Vec<u8>,
}

impl Ring {
    /// An empty ring of `size` bytes, a power of two.
    pub(super) fn new(size: u32) -> Self {
        Self { mask: u64::from(size) - 1, consumer: 0, producer: 0, bytes: Vec::new() }
    }

    /// The first four bytes of a record's header: its size and both bits.
    pub(super) fn header(&self, position: u64) -> u32 {
        let bytes = self.read(position, 4);
        u32::from_le_bytes(bytes.try_into().expect("4 bytes were read"))
    }

    /// Bytes at a position, around the end of the ring; never used ones are zero.
    pub(super) fn read(&self, position: u64, len: usize) -> Vec<u8> {
        let at = |offset| ((position + offset as u64) & self.mask) as usize;
        (0..len).map(|offset| self.bytes.get(at(offset)).copied().unwrap_or(0)).collect()
    }

    /// Writes at a position, around the end of the ring.
    pub(super) fn write(&mut self, position: u64, data: &[u8]) {
        let size = (self.mask + 1) as usize;
        let start = (position & self.mask) as usize;
        let (first, wrapped) = data.split_at(data.len().min(size - start));
        for (start, part) in [(start, first), (0, wrapped)] {
            let end = start + part.len();
            if end > self.bytes.len() {
                self.bytes.resize(end, 0);
            }
            self.bytes[start..end].copy_from_slice(part);
        }
    }
}
