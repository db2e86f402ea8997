//! `BPF_MAP_TYPE_USER_RINGBUF`: `kernel/bpf/ringbuf.c`, v6.12. User space produces, programs consume.

use super::{Map, MapCtx, MapSpec};
use crate::uapi::Errno;

/// `BPF_RINGBUF_HDR_SZ`, bytes.
const HEADER: u64 = 8;
const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
/// `kernel/bpf/helpers.c: DYNPTR_MAX_SIZE`, bytes.
const DYNPTR_MAX_SIZE: u32 = (1 << 24) - 1;

/// What [`UserRingbuf::peek`] finds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sample {
    /// A sample's bytes; [`UserRingbuf::release`] is to be called with their number.
    Bytes(Vec<u8>),
    /// A sample the producer took back; it is consumed.
    Discarded,
    /// None is there, or the next is not finished.
    Nothing,
}

/// One ring. Positions are bytes since the beginning, headers included.
pub struct UserRingbuf {
    mask: u64,
    consumer: u64,
    producer: u64,
    /// The ring's first bytes, as far as they were ever used.
    bytes: Vec<u8>,
}

impl UserRingbuf {
    pub(super) fn create(spec: &MapSpec) -> Self {
        Self { mask: u64::from(spec.max_entries) - 1, consumer: 0, producer: 0, bytes: Vec::new() }
    }

    /// A producer's sample from reserving to submitting, or discarding (`tools/lib/bpf/ringbuf.c:
    /// user_ring_buffer__reserve`, v6.12): `E2BIG` if it can never fit, `ENOSPC` if it does not now.
    pub fn produce(&mut self, data: &[u8], discard: bool) -> Result<(), Errno> {
        let size = u32::try_from(data.len()).ok().filter(|size| size & (BUSY | DISCARD) == 0);
        let size = size.ok_or(Errno::E2BIG)?;
        let len = record_len(size);
        let max = self.mask + 1;
        if len > max {
            return Err(Errno::E2BIG);
        }
        if max - (self.producer - self.consumer) < len {
            return Err(Errno::ENOSPC);
        }
        let header = if discard { size | DISCARD } else { size };
        self.write(self.producer, &header.to_le_bytes());
        self.write(self.producer + 4, &0_u32.to_le_bytes());
        self.write(self.producer + HEADER, data);
        self.producer += len;
        Ok(())
    }

    /// `__bpf_user_ringbuf_peek`: the next sample, which [`release`](Self::release) consumes.
    pub fn peek(&mut self) -> Result<Sample, Errno> {
        if self.consumer >= self.producer {
            return Ok(Sample::Nothing);
        }
        let header = self.read(self.consumer, 4);
        let header = u32::from_le_bytes(header.try_into().expect("4 bytes were read"));
        let size = header & !(BUSY | DISCARD);
        if size > DYNPTR_MAX_SIZE {
            return Err(Errno::E2BIG);
        }
        if header & DISCARD != 0 {
            self.consumer += record_len(size);
            return Ok(Sample::Discarded);
        }
        Ok(Sample::Bytes(self.read(self.consumer + HEADER, size as usize)))
    }

    /// `__bpf_user_ringbuf_sample_release`: the program wrote `data` over the sample and is done with it.
    pub fn release(&mut self, data: &[u8]) {
        self.write(self.consumer + HEADER, data);
        self.consumer += record_len(data.len() as u32);
    }

    /// Bytes at a position, around the end of the ring.
    fn read(&self, position: u64, len: usize) -> Vec<u8> {
        let at = |offset| ((position + offset as u64) & self.mask) as usize;
        (0..len).map(|offset| self.bytes.get(at(offset)).copied().unwrap_or(0)).collect()
    }

    fn write(&mut self, position: u64, data: &[u8]) {
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

fn record_len(size: u32) -> u64 {
    (u64::from(size) + HEADER).next_multiple_of(8)
}

impl Map for UserRingbuf {
    fn sys_lookup(&mut self, _: &mut MapCtx<'_>, _: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn next_key(&self, _: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn user_ringbuf(&mut self) -> Option<&mut UserRingbuf> {
        Some(self)
    }
}
