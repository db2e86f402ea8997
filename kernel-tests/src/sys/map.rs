//! Maps: creation and every element command.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::attr::{self, Cmd};
use super::mapping::{Mapping, page};
use super::{Errno, bpf, bpf_fd, possible_cpus};

pub use super::attr::MapCreate;

/// A map, kept alive by its file descriptor.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    info: attr::MapInfo,
    /// The elements' memory, after [`Map::share`].
    memory: Option<Mapping>,
}

impl Map {
    /// `BPF_MAP_CREATE` with every field free; [`Map::new`] is shorter for the common ones.
    pub fn create(mut spec: MapCreate) -> Result<Self, Errno> {
        // SAFETY: the structure holds no address.
        let fd = unsafe { bpf_fd(Cmd::MapCreate, &mut spec) }?;
        Self::from_fd(fd)
    }

    /// `BPF_MAP_CREATE` by type, sizes in bytes, capacity and `BPF_F_*` flags.
    pub fn new(
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        flags: u32,
    ) -> Result<Self, Errno> {
        Self::create(MapCreate {
            map_type,
            key_size,
            value_size,
            max_entries,
            map_flags: flags,
            ..MapCreate::default()
        })
    }

    /// An array or hash of maps; `inner` shows what the inner maps look like.
    pub fn new_of_maps(map_type: u32, key_size: u32, max_entries: u32, inner: &Map) -> Result<Self, Errno> {
        Self::create(MapCreate {
            map_type,
            key_size,
            value_size: 4,
            max_entries,
            inner_map_fd: inner.raw(),
            ..MapCreate::default()
        })
    }

    /// A map someone else made, such as libbpf.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Errno> {
        let mut info = attr::MapInfo::default();
        let mut get = attr::GetInfo {
            bpf_fd: fd.as_raw_fd() as u32,
            info_len: size_of_val(&info) as u32,
            info: std::ptr::from_mut(&mut info) as u64,
        };
        // SAFETY: `info` is a live structure of plain integers of the length given.
        unsafe { bpf(Cmd::ObjGetInfoByFd, &mut get) }?;
        Ok(Self { fd, info, memory: None })
    }

    /// The map with this id, as maps of maps show their inner maps.
    pub fn from_id(id: u32) -> Result<Self, Errno> {
        let mut get = attr::GetId { id, ..attr::GetId::default() };
        // SAFETY: the structure holds no address.
        Self::from_fd(unsafe { bpf_fd(Cmd::MapGetFdById, &mut get) }?)
    }

    /// What the kernel says about it.
    pub fn info(&self) -> &attr::MapInfo {
        &self.info
    }

    /// Maps the elements of an array with `BPF_F_MMAPABLE` into this process, for an [`Image`](super::Image). `ENOTSUPP`: the values have fields user space must not see, such as a spin lock.
    pub fn share(&mut self) -> Result<(), Errno> {
        let len = self.stride() * self.info.max_entries as usize;
        let memory = Mapping::new(self.as_fd(), len.next_multiple_of(page()), libc::PROT_READ, 0)?;
        self.memory = Some(memory);
        Ok(())
    }

    /// The elements, if [`Map::share`] mapped them.
    pub(super) fn shared(&self) -> Option<&Mapping> {
        self.memory.as_ref()
    }

    /// Bytes from one element of an array to the next: `kernel/bpf/arraymap.c: array_map_alloc`, v6.12.
    pub(super) fn stride(&self) -> usize {
        self.value_size().next_multiple_of(8)
    }

    /// The descriptor's number, as `ld_imm64` and maps of maps take it.
    pub fn raw(&self) -> u32 {
        self.fd.as_raw_fd() as u32
    }

    /// Bytes of a key; 0 for queues, stacks and ring buffers.
    pub fn key_size(&self) -> usize {
        self.info.key_size as usize
    }

    /// Bytes of a value as the system call moves it: for per-CPU maps every CPU's, each padded to 8 bytes;
    /// `kernel/bpf/syscall.c: bpf_map_value_size`, v6.12.
    pub fn value_size(&self) -> usize {
        let size = self.info.value_size as usize;
        match self.info.map_type {
            libbpf_sys::BPF_MAP_TYPE_PERCPU_HASH
            | libbpf_sys::BPF_MAP_TYPE_LRU_PERCPU_HASH
            | libbpf_sys::BPF_MAP_TYPE_PERCPU_ARRAY
            | libbpf_sys::BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE => {
                size.next_multiple_of(8) * possible_cpus() as usize
            }
            libbpf_sys::BPF_MAP_TYPE_PROG_ARRAY
            | libbpf_sys::BPF_MAP_TYPE_PERF_EVENT_ARRAY
            | libbpf_sys::BPF_MAP_TYPE_CGROUP_ARRAY
            | libbpf_sys::BPF_MAP_TYPE_ARRAY_OF_MAPS
            | libbpf_sys::BPF_MAP_TYPE_HASH_OF_MAPS => 4,
            _ => size,
        }
    }

    fn check_key(&self, key: &[u8]) {
        assert!(key.len() >= self.key_size(), "key of {} bytes for {:?}", key.len(), self.info);
    }

    fn check_value(&self, value: &[u8]) {
        assert!(value.len() >= self.value_size(), "value of {} bytes for {:?}", value.len(), self.info);
    }

    fn elem(&self, key: Option<&[u8]>, flags: u64) -> attr::Elem {
        if let Some(key) = key {
            self.check_key(key);
        }
        let key = key.filter(|k| !k.is_empty()).map_or(0, |k| k.as_ptr() as u64);
        attr::Elem { map_fd: self.raw(), key, flags, ..attr::Elem::default() }
    }

    /// Runs `cmd` with room for one value in `attr.value` and gives the value.
    fn read(&self, cmd: Cmd, key: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
        let mut value = vec![0u8; self.value_size()];
        let mut attr = self.elem(Some(key), flags);
        attr.value = value.as_mut_ptr() as u64;
        // SAFETY: key and value were checked or made to be as large as this map's.
        unsafe { bpf(cmd, &mut attr) }?;
        Ok(value)
    }

    /// `BPF_MAP_LOOKUP_ELEM`.
    pub fn lookup(&self, key: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
        self.read(Cmd::MapLookupElem, key, flags)
    }

    /// `BPF_MAP_LOOKUP_ELEM` of a bloom filter: `ENOENT` if the value is not in it.
    pub fn contains(&self, value: &[u8]) -> Result<(), Errno> {
        let mut value = value.to_vec();
        self.check_value(&value);
        let mut attr = self.elem(Some(&[]), 0);
        attr.value = value.as_mut_ptr() as u64;
        // SAFETY: the map has no keys, and the value is as large as this map's.
        unsafe { bpf(Cmd::MapLookupElem, &mut attr) }.map(drop)
    }

    /// `BPF_MAP_LOOKUP_AND_DELETE_ELEM`; for queues and stacks `key` is empty.
    pub fn lookup_and_delete(&self, key: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
        self.read(Cmd::MapLookupAndDeleteElem, key, flags)
    }

    /// `BPF_MAP_UPDATE_ELEM`; for queues, stacks and bloom filters `key` is empty.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.check_value(value);
        let mut attr = self.elem(Some(key), flags);
        attr.value = value.as_ptr() as u64;
        // SAFETY: key and value are as large as this map's, and only read.
        unsafe { bpf(Cmd::MapUpdateElem, &mut attr) }.map(drop)
    }

    /// `BPF_MAP_DELETE_ELEM`.
    pub fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let mut attr = self.elem(Some(key), 0);
        // SAFETY: the key is as large as this map's.
        unsafe { bpf(Cmd::MapDeleteElem, &mut attr) }.map(drop)
    }

    /// `BPF_MAP_GET_NEXT_KEY`; `None` asks for the first key.
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let mut next = vec![0u8; self.key_size()];
        let mut attr = self.elem(key, 0);
        attr.value = next.as_mut_ptr() as u64;
        // SAFETY: both keys are as large as this map's.
        unsafe { bpf(Cmd::MapGetNextKey, &mut attr) }?;
        Ok(next)
    }

    /// `BPF_MAP_FREEZE`.
    pub fn freeze(&self) -> Result<(), Errno> {
        let mut attr = attr::Elem { map_fd: self.raw(), ..attr::Elem::default() };
        // SAFETY: the structure holds no address. The kernel wants what follows `map_fd` to be zero.
        unsafe { bpf(Cmd::MapFreeze, &mut attr) }.map(drop)
    }

    /// Reads every element, in the kernel's order, into `elements`, which keeps its memory from one call to the next.
    pub fn read_all(&self, elements: &mut Elements) -> Result<(), Errno> {
        elements.reset(self.key_size(), self.value_size());
        match self.read_batched(elements) {
            // `EINVAL`: no batches in this kernel; 524 and `EOPNOTSUPP`: not for this type of map.
            Err(Errno::EINVAL | Errno::ENOTSUPP | Errno::EOPNOTSUPP) => self.read_one_by_one(elements),
            done => done,
        }
    }

    /// `BPF_MAP_LOOKUP_BATCH` until the end.
    fn read_batched(&self, elements: &mut Elements) -> Result<(), Errno> {
        let most = self.info.max_entries as usize;
        let mut step = most.min(64);
        // A hash's position is a bucket number, an array's a key; both fit here.
        let mut batch = vec![0u8; self.key_size().max(8)];
        let mut first = true;
        loop {
            let (keys, values) = elements.room(step);
            let mut attr = attr::Batch {
                in_batch: if first { 0 } else { batch.as_ptr() as u64 },
                out_batch: batch.as_mut_ptr() as u64,
                keys: keys.as_mut_ptr() as u64,
                values: values.as_mut_ptr() as u64,
                count: step as u32,
                map_fd: self.raw(),
                ..attr::Batch::default()
            };
            // SAFETY: `keys` and `values` have room for `count` elements, `batch` for a position.
            let result = unsafe { bpf(Cmd::MapLookupBatch, &mut attr) };
            match result {
                Ok(_) | Err(Errno::ENOENT) => elements.count += attr.count as usize,
                // One bucket holds more than there is room for.
                Err(Errno::ENOSPC) if step < most => {}
                Err(errno) => return Err(errno),
            }
            if result == Err(Errno::ENOENT) {
                return Ok(());
            }
            first &= result.is_err();
            step = (step * 2).min(most);
        }
    }

    fn read_one_by_one(&self, elements: &mut Elements) -> Result<(), Errno> {
        elements.count = 0;
        let mut key = None;
        loop {
            match self.next_key(key.as_deref()) {
                Ok(next) => {
                    match self.lookup(&next, 0) {
                        Ok(value) => elements.push(&next, &value),
                        // A hole, as in a device map.
                        Err(Errno::ENOENT) => {}
                        Err(errno) => return Err(errno),
                    }
                    key = Some(next);
                }
                Err(Errno::ENOENT) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// Many elements of one map, side by side.
#[derive(Clone, Debug, Default)]
pub struct Elements {
    key_size: usize,
    value_size: usize,
    count: usize,
    keys: Vec<u8>,
    values: Vec<u8>,
}

impl Elements {
    fn reset(&mut self, key_size: usize, value_size: usize) {
        (self.key_size, self.value_size, self.count) = (key_size, value_size, 0);
    }

    /// Room for `more` elements behind those that are there.
    fn room(&mut self, more: usize) -> (&mut [u8], &mut [u8]) {
        let grow = |bytes: &mut Vec<u8>, size: usize| {
            if bytes.len() < size {
                bytes.resize(size, 0);
            }
        };
        grow(&mut self.keys, (self.count + more) * self.key_size);
        grow(&mut self.values, (self.count + more) * self.value_size);
        (&mut self.keys[self.count * self.key_size..], &mut self.values[self.count * self.value_size..])
    }

    fn push(&mut self, key: &[u8], value: &[u8]) {
        let (keys, values) = self.room(1);
        keys[..key.len()].copy_from_slice(key);
        values[..value.len()].copy_from_slice(value);
        self.count += 1;
    }

    /// Every key, one after the other.
    pub fn keys(&self) -> &[u8] {
        &self.keys[..self.count * self.key_size]
    }

    /// Every value, in the order of the keys.
    pub fn values(&self) -> &[u8] {
        &self.values[..self.count * self.value_size]
    }

    /// Each key with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.keys().chunks_exact(self.key_size).zip(self.values().chunks_exact(self.value_size))
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
