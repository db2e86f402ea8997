//! `BPF_MAP_TYPE_RINGBUF`: `kernel/bpf/ringbuf.c`, v6.12.

use super::ring::{BUSY, DISCARD, HEADER, Ring, record_len};
use super::{Map, MapCtx, MapId, MapSpec};
use crate::bpf::mem::{Access, Addr, Memory, ObjectKind};
use crate::uapi::Errno;

/// `RINGBUF_MAX_RECORD_SZ`, bytes.
const MAX_RECORD: u64 = u32::MAX as u64 / 4;
const PAGE_SHIFT: u32 = 12;
/// Pages of `struct bpf_ringbuf` before its data, which a record's header counts from.
const META_PAGES: u32 = 3;

/// What `bpf_ringbuf_query` is asked, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum RingbufQuery {
    /// `BPF_RB_AVAIL_DATA`: bytes between the consumer's and the producer's position.
    AvailData = 0,
    /// `BPF_RB_RING_SIZE`: bytes in the ring.
    RingSize = 1,
    /// `BPF_RB_CONS_POS`: bytes ever consumed.
    ConsPos = 2,
    /// `BPF_RB_PROD_POS`: bytes ever produced.
    ProdPos = 3,
}

impl RingbufQuery {
    /// The question with this number, if there is one.
    pub fn from_flags(flags: u64) -> Option<Self> {
        [Self::AvailData, Self::RingSize, Self::ConsPos, Self::ProdPos]
            .into_iter()
            .find(|&q| q as u64 == flags)
    }
}

/// A reserved record, in guest memory until it is finished.
struct Open {
    addr: Addr,
    position: u64,
    size: u32,
}

/// One ring. Its bytes are kept as in the kernel: a record the program leaves partly unwritten carries what was there
/// before.
pub struct Ringbuf {
    id: MapId,
    ring: Ring,
    pending: u64,
    open: Vec<Open>,
}

impl Ringbuf {
    pub(super) fn create(id: MapId, spec: &MapSpec) -> Self {
        Self { id, ring: Ring::new(spec.max_entries), pending: 0, open: Vec::new() }
    }

    /// `bpf_ringbuf_reserve`: the address of `size` bytes, `None` when they do not fit. An empty record has an address
    /// too, at which nothing can be read.
    pub fn reserve(&mut self, mem: &mut Memory, size: u64) -> Option<Addr> {
        let position = self.claim(size)?;
        let addr = mem.alloc(ObjectKind::RingRecord(self.id.0), Access::ReadWrite, size as u32)?;
        let stale = self.ring.read(position + HEADER, size as usize);
        mem.raw_mut(addr, size as usize).copy_from_slice(&stale);
        self.open.push(Open { addr, position, size: size as u32 });
        Some(addr)
    }

    /// `bpf_ringbuf_submit` and `bpf_ringbuf_discard`: false if `sample` is not a record reserved here. Its memory is
    /// gone afterwards.
    pub fn commit(&mut self, mem: &mut Memory, sample: Addr, discard: bool) -> bool {
        let Some(index) = self.open.iter().position(|open| open.addr == sample) else {
            return false;
        };
        let Open { addr, position, size } = self.open.remove(index);
        let data = mem.raw(addr, size as usize).to_vec();
        mem.free(addr);
        self.ring.write(position + HEADER, &data);
        self.finish(position, size, discard);
        true
    }

    /// `bpf_ringbuf_output` after its flags were checked: `EAGAIN` when the record does not fit.
    pub fn output(&mut self, data: &[u8]) -> Result<(), Errno> {
        let position = self.claim(data.len() as u64).ok_or(Errno::EAGAIN)?;
        self.ring.write(position + HEADER, data);
        self.finish(position, data.len() as u32, false);
        Ok(())
    }

    /// `bpf_ringbuf_query`.
    pub fn query(&self, query: RingbufQuery) -> u64 {
        match query {
            RingbufQuery::AvailData => self.ring.producer - self.ring.consumer,
            RingbufQuery::RingSize => self.ring.mask + 1,
            RingbufQuery::ConsPos => self.ring.consumer,
            RingbufQuery::ProdPos => self.ring.producer,
        }
    }

    /// The addresses of records reserved and not finished.
    pub fn open(&self) -> impl Iterator<Item = Addr> {
        self.open.iter().map(|open| open.addr)
    }

    /// `__bpf_ringbuf_reserve`: the position of a new busy record.
    fn claim(&mut self, size: u64) -> Option<u64> {
        if size > MAX_RECORD {
            return None;
        }
        let len = record_len(size);
        if len > self.ring.mask + 1 {
            return None;
        }
        while self.pending < self.ring.producer {
            let header = self.ring.header(self.pending);
            if header & BUSY != 0 {
                break;
            }
            self.pending += record_len(u64::from(header & !DISCARD));
        }
        let end = self.ring.producer + len;
        if end - self.ring.consumer > self.ring.mask || end - self.pending > self.ring.mask {
            return None;
        }
        let position = std::mem::replace(&mut self.ring.producer, end);
        let page = META_PAGES + ((position & self.ring.mask) >> PAGE_SHIFT) as u32;
        self.ring.write(position, &(size as u32 | BUSY).to_le_bytes());
        self.ring.write(position + 4, &page.to_le_bytes());
        Some(position)
    }

    fn finish(&mut self, position: u64, size: u32, discard: bool) {
        let header = if discard { size | DISCARD } else { size };
        self.ring.write(position, &header.to_le_bytes());
    }
}

impl Map for Ringbuf {
    fn sys_lookup(&mut self, _: &mut MapCtx<'_>, _: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn next_key(&self, _: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn ringbuf(&mut self) -> Option<&mut Ringbuf> {
        Some(self)
    }

    /// What a consumer does (`tools/lib/bpf/ringbuf.c: ringbuf_process_ring`, v6.12): stops at a busy record, leaves out
    /// discarded ones.
    fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        while self.ring.consumer < self.ring.producer {
            let header = self.ring.header(self.ring.consumer);
            if header & BUSY != 0 {
                break;
            }
            let size = header & !DISCARD;
            if header & DISCARD == 0 {
                records.push(self.ring.read(self.ring.consumer + HEADER, size as usize));
            }
            self.ring.consumer += record_len(u64::from(size));
        }
        records
    }
}
