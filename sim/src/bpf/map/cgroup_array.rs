//! `BPF_MAP_TYPE_CGROUP_ARRAY`: `kernel/bpf/arraymap.c: cgroup_array_map_ops`, v6.12.

use super::fd_array::FdArray;
use super::{CgroupId, Map, MapCtx, MapSpec, Reference};
use crate::uapi::Errno;

/// Cgroups, to ask whether a socket or task is below them.
pub(super) struct CgroupArray {
    /// Numbers of cgroups in `cgroups`.
    slots: FdArray,
    /// Every cgroup that was ever put in.
    cgroups: Vec<CgroupId>,
}

impl CgroupArray {
    pub fn create(spec: &MapSpec) -> Self {
        Self { slots: FdArray::new(spec.max_entries), cgroups: Vec::new() }
    }
}

impl Map for CgroupArray {
    fn cgroup(&self, index: u32) -> Result<CgroupId, Errno> {
        if index >= self.slots.max_entries() {
            return Err(Errno::E2BIG);
        }
        let number = self.slots.get(index).ok_or(Errno::EAGAIN)?;
        Ok(self.cgroups[number as usize])
    }

    fn sys_lookup(&mut self, _: &mut MapCtx<'_>, _: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn sys_update(&mut self, _: &mut MapCtx<'_>, key: &[u8], _: &[u8], flags: u64) -> Result<(), Errno> {
        self.sys_update_fd(key, Err(Errno::EBADF), flags)
    }

    fn sys_update_fd(&mut self, key: &[u8], new: Result<Reference, Errno>, flags: u64) -> Result<(), Errno> {
        let cgroups = &mut self.cgroups;
        self.slots.update(key, flags, || match new? {
            Reference::Cgroup(cgroup) => {
                let known = cgroups.iter().position(|&other| other == cgroup);
                Ok(known.unwrap_or_else(|| {
                    cgroups.push(cgroup);
                    cgroups.len() - 1
                }) as u32)
            }
            _ => Err(Errno::EBADF),
        })?;
        Ok(())
    }

    fn sys_delete(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno> {
        self.slots.delete(key).map(drop)
    }

    fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        self.slots.next_key(key)
    }
}
