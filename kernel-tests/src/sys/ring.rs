//! Consumers of ring buffers and perf buffers, on the kernel's own shared memory.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use super::mapping::{Mapping, page};
use super::{Errno, last_errno};

/// The consumer of a `BPF_MAP_TYPE_RINGBUF`. `kernel/bpf/ringbuf.c`, v6.12, describes the memory.
pub struct RingBuffer {
    consumer: Mapping,
    producer: Mapping,
    size: usize,
}

const BPF_RINGBUF_BUSY_BIT: u32 = 1 << 31;
const BPF_RINGBUF_DISCARD_BIT: u32 = 1 << 30;
const BPF_RINGBUF_HDR_SZ: usize = 8;

impl RingBuffer {
    /// Of the map `fd` with `size` bytes (its `max_entries`).
    pub fn new(fd: BorrowedFd<'_>, size: u32) -> Result<Self, Errno> {
        let size = size as usize;
        let consumer = Mapping::new(fd, page(), libc::PROT_READ | libc::PROT_WRITE, 0)?;
        // The data is mapped twice in a row, so that a record never wraps.
        let producer = Mapping::new(fd, page() + 2 * size, libc::PROT_READ, page())?;
        Ok(Self { consumer, producer, size })
    }

    /// Takes every submitted record, in order.
    pub fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        let mut at = self.consumer.position(0).load(Ordering::Acquire);
        while at < self.producer.position(0).load(Ordering::Acquire) {
            let offset = page() + (at as usize & (self.size - 1));
            let header = self.producer.word(offset).load(Ordering::Acquire);
            if header & BPF_RINGBUF_BUSY_BIT != 0 {
                break;
            }
            let len = (header & !BPF_RINGBUF_DISCARD_BIT) as usize;
            if header & BPF_RINGBUF_DISCARD_BIT == 0 {
                records.push(self.producer.read(offset + BPF_RINGBUF_HDR_SZ, len));
            }
            at += (len + BPF_RINGBUF_HDR_SZ).next_multiple_of(8) as u64;
            self.consumer.position(0).store(at, Ordering::Release);
        }
        records
    }
}

/// The producer of a `BPF_MAP_TYPE_USER_RINGBUF`. `kernel/bpf/ringbuf.c`, v6.12, describes the memory.
pub struct UserRingBuffer {
    consumer: Mapping,
    producer: Mapping,
    size: usize,
}

impl UserRingBuffer {
    /// Of the map `fd` with `size` bytes (its `max_entries`).
    pub fn new(fd: BorrowedFd<'_>, size: u32) -> Result<Self, Errno> {
        let size = size as usize;
        let consumer = Mapping::new(fd, page(), libc::PROT_READ, 0)?;
        // The data is mapped twice in a row, so that a record never wraps.
        let writable = libc::PROT_READ | libc::PROT_WRITE;
        let producer = Mapping::new(fd, page() + 2 * size, writable, page())?;
        Ok(Self { consumer, producer, size })
    }

    /// Submits a sample, or takes it back; false if there is no room.
    pub fn produce(&mut self, sample: &[u8], discard: bool) -> bool {
        let at = self.producer.position(0).load(Ordering::Relaxed);
        let used = at - self.consumer.position(0).load(Ordering::Acquire);
        let len = (sample.len() + BPF_RINGBUF_HDR_SZ).next_multiple_of(8);
        if used as usize + len > self.size {
            return false;
        }
        let offset = page() + (at as usize & (self.size - 1));
        for (index, word) in sample.chunks(4).enumerate() {
            let mut bytes = [0; 4];
            bytes[..word.len()].copy_from_slice(word);
            let to = self.producer.word(offset + BPF_RINGBUF_HDR_SZ + 4 * index);
            to.store(u32::from_ne_bytes(bytes), Ordering::Relaxed);
        }
        let flag = if discard { BPF_RINGBUF_DISCARD_BIT } else { 0 };
        self.producer.word(offset + 4).store(0, Ordering::Relaxed);
        self.producer.word(offset).store(sample.len() as u32 | flag, Ordering::Release);
        self.producer.position(0).store(at + len as u64, Ordering::Release);
        true
    }
}

/// One CPU's part of a `BPF_MAP_TYPE_PERF_EVENT_ARRAY`.
pub struct PerfBuffer {
    fd: OwnedFd,
    mapping: Mapping,
}

/// 512 KiB of data: with its header page as much as `perf_event_mlock_kb` allows without CAP_IPC_LOCK.
const PERF_DATA: usize = 512 << 10;
/// `struct perf_event_mmap_page` of `include/uapi/linux/perf_event.h`.
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;
const PERF_RECORD_SAMPLE: u32 = 9;
/// `PERF_TYPE_SOFTWARE`, `PERF_COUNT_SW_BPF_OUTPUT`, `PERF_SAMPLE_RAW`.
const TYPE_SOFTWARE: u32 = 1;
const SW_BPF_OUTPUT: u64 = 10;
const SAMPLE_RAW: u64 = 1 << 10;

/// The first fields of `struct perf_event_attr` (`PERF_ATTR_SIZE_VER0`, 64 bytes).
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
}

/// More than [`PerfBuffer::AT_ONCE`] bytes since the last drain: some may have been lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overflow;

impl PerfBuffer {
    /// Opens the BPF output event of one CPU; [`fd`](Self::fd) is what goes into the map. `EACCES`: CAP_PERFMON is
    /// missing. `ENODEV`: the CPU is offline.
    pub fn open(cpu: u32) -> Result<Self, Errno> {
        let attr = PerfEventAttr {
            kind: TYPE_SOFTWARE,
            size: size_of::<PerfEventAttr>() as u32,
            config: SW_BPF_OUTPUT,
            sample_period: 1,
            sample_type: SAMPLE_RAW,
            wakeup_events: 1,
            ..PerfEventAttr::default()
        };
        let any_process: libc::c_long = -1;
        let no_group: libc::c_long = -1;
        // SAFETY: the structure is live and says its own size.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attr,
                any_process,
                cpu as libc::c_long,
                no_group,
                1 << 3, // PERF_FLAG_FD_CLOEXEC
            )
        };
        if fd < 0 {
            return Err(last_errno());
        }
        // SAFETY: the kernel just made this descriptor for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        let mapping = Mapping::new(fd.as_fd(), page() + PERF_DATA, libc::PROT_READ | libc::PROT_WRITE, 0)?;
        Ok(Self { fd, mapping })
    }

    /// The event's descriptor.
    pub fn fd(&self) -> u32 {
        self.fd.as_raw_fd() as u32
    }

    /// Bytes of records, headers included, that are never lost between two drains. The rest of the half that is left
    /// at worst is for the largest single record (64 KiB), so that one that found no room cannot go unnoticed.
    pub const AT_ONCE: usize = PERF_DATA / 2 - (64 << 10);

    /// Whether half of the memory is used. The kernel skips over the padding of a record, so that only memory used for
    /// the first time has zeroes there; and user space cannot clear it. A used-up buffer is to be opened anew.
    pub fn is_used_up(&self) -> bool {
        self.mapping.position(DATA_TAIL).load(Ordering::Relaxed) as usize > PERF_DATA / 2
    }

    /// Takes every record, in order: the sample's raw bytes as the kernel sized them (rounded so that size and bytes
    /// together are a multiple of 8).
    pub fn drain(&mut self) -> Result<Vec<Vec<u8>>, Overflow> {
        let head = self.mapping.position(DATA_HEAD).load(Ordering::Acquire) as usize;
        let mut tail = self.mapping.position(DATA_TAIL).load(Ordering::Relaxed) as usize;
        if head - tail > Self::AT_ONCE || head > PERF_DATA {
            return Err(Overflow);
        }
        let mut records = Vec::new();
        while tail < head {
            let header = self.mapping.read(page() + tail, 8);
            let kind = u32::from_ne_bytes(header[..4].try_into().expect("4 bytes"));
            let size = u16::from_ne_bytes(header[6..].try_into().expect("2 bytes")) as usize;
            if kind == PERF_RECORD_SAMPLE {
                let body = self.mapping.read(page() + tail + 8, size - 8);
                let len = u32::from_ne_bytes(body[..4].try_into().expect("4 bytes")) as usize;
                records.push(body[4..4 + len].to_vec());
            }
            tail += size;
        }
        self.mapping.position(DATA_TAIL).store(tail as u64, Ordering::Release);
        Ok(records)
    }
}
