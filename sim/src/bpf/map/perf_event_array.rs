//! `BPF_MAP_TYPE_PERF_EVENT_ARRAY`: `kernel/bpf/arraymap.c: perf_event_array_map_ops`, v6.12.

use std::collections::BTreeMap;

use super::fd_array::FdArray;
use super::{Map, MapCtx, MapSpec, Reference};
use crate::uapi::Errno;

/// Perf events, each taking records on one CPU. A reader that keeps up is assumed: the events' own buffers never
/// fill, so the `ENOSPC` of a full one does not occur.
pub(super) struct PerfEventArray {
    /// The CPU each event is on.
    slots: FdArray,
    /// Records not yet read, by slot.
    records: BTreeMap<u32, Vec<Vec<u8>>>,
}

impl PerfEventArray {
    pub fn create(spec: &MapSpec) -> Self {
        Self { slots: FdArray::new(spec.max_entries), records: BTreeMap::new() }
    }
}

impl Map for PerfEventArray {
    fn sys_lookup(&mut self, _: &mut MapCtx<'_>, _: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn sys_update(&mut self, _: &mut MapCtx<'_>, key: &[u8], _: &[u8], flags: u64) -> Result<(), Errno> {
        self.sys_update_fd(key, Err(Errno::EBADF), flags)
    }

    fn sys_update_fd(&mut self, key: &[u8], new: Result<Reference, Errno>, flags: u64) -> Result<(), Errno> {
        let index = self.slots.update(key, flags, || match new? {
            Reference::PerfEvent { cpu } => Ok(cpu),
            _ => Err(Errno::EBADF),
        })?;
        self.records.remove(&index);
        Ok(())
    }

    fn sys_delete(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno> {
        let index = self.slots.delete(key)?;
        self.records.remove(&index);
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        self.slots.next_key(key)
    }

    fn perf_output(&mut self, cpu: u32, index: u32, mut data: Vec<u8>) -> Result<(), Errno> {
        if index >= self.slots.max_entries() {
            return Err(Errno::E2BIG);
        }
        let on_cpu = self.slots.get(index).ok_or(Errno::ENOENT)?;
        if on_cpu != cpu {
            return Err(Errno::EOPNOTSUPP);
        }
        // The record is a 32-bit size and the bytes, together a multiple of 8 (`kernel/events/core.c:
        // perf_prepare_sample`, v6.12), and the size says so.
        let size = (data.len() + 4).next_multiple_of(8) - 4;
        data.resize(size, 0);
        self.records.entry(index).or_default().push(data);
        Ok(())
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.records).into_values().flatten().collect()
    }
}
