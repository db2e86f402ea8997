//! `BPF_MAP_TYPE_USER_RINGBUF`: `kernel/bpf/ringbuf.c`, v6.12. User space produces, programs consume.

use super::ring::{BUSY, DISCARD, HEADER, Ring, record_len};
use super::{Map, MapCtx, MapSpec};
use crate::uapi::Errno;

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

/// One ring.
pub struct UserRingbuf {
    ring: Ring,
}

impl UserRingbuf {
    pub(super) fn create(spec: &MapSpec) -> Self {
        Self { ring: Ring::new(spec.max_entries) }
    }

    /// A producer's sample from reserving to submitting, or discarding (`tools/lib/bpf/ringbuf.c:
    /// user_ring_buffer__reserve`, v6.12): `E2BIG` if it can never fit, `ENOSPC` if it does not now.
    pub fn produce(&mut self, data: &[u8], discard: bool) -> Result<(), Errno> {
        let size = u32::try_from(data.len()).ok().filter(|size| size & (BUSY | DISCARD) == 0);
        let size = size.ok_or(Errno::E2BIG)?;
        let len = record_len(u64::from(size));
        let max = self.ring.mask + 1;
        if len > max {
            return Err(Errno::E2BIG);
        }
        if max - (self.ring.producer - self.ring.consumer) < len {
            return Err(Errno::ENOSPC);
        }
        let header = if discard { size | DISCARD } else { size };
        self.ring.write(self.ring.producer, &header.to_le_bytes());
        self.ring.write(self.ring.producer + 4, &0_u32.to_le_bytes());
        self.ring.write(self.ring.producer + HEADER, data);
        self.ring.producer += len;
        Ok(())
    }

    /// `__bpf_user_ringbuf_peek`: the next sample, which [`release`](Self::release) consumes.
    pub fn peek(&mut self) -> Result<Sample, Errno> {
        if self.ring.consumer >= self.ring.producer {
            return Ok(Sample::Nothing);
        }
        let header = self.ring.header(self.ring.consumer);
        let size = header & !(BUSY | DISCARD);
        if size > DYNPTR_MAX_SIZE {
            return Err(Errno::E2BIG);
        }
        if header & DISCARD != 0 {
            self.ring.consumer += record_len(u64::from(size));
            return Ok(Sample::Discarded);
        }
        Ok(Sample::Bytes(self.ring.read(self.ring.consumer + HEADER, size as usize)))
    }

    /// `__bpf_user_ringbuf_sample_release`: the program wrote `data` over the sample and is done with it.
    pub fn release(&mut self, data: &[u8]) {
        self.ring.write(self.ring.consumer + HEADER, data);
        self.ring.consumer += record_len(data.len() as u64);
    }
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
