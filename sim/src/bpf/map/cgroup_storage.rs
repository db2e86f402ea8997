//! `BPF_MAP_TYPE_CGROUP_STORAGE` and `BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE`: `kernel/bpf/local_storage.c`, v6.12.

use super::create::{ACCESS_MASK, PCPU_MIN_UNIT_SIZE, access_ok};
use super::local_storage::MAX_VALUE_SIZE;
use super::values::Values;
use super::{Map, MapCtx, MapId, MapSpec};
use crate::bpf::mem::{Addr, Memory};
use crate::uapi::map::{BPF_ANY, BPF_EXIST, BPF_F_LOCK, BPF_F_NUMA_NODE};
use crate::uapi::{Errno, MapType};

/// `sizeof(struct bpf_cgroup_storage_key)`, bytes.
const KEY_SIZE: u32 = 16;

/// `cgroup_storage_map_alloc`.
pub(super) fn check(spec: &MapSpec) -> Result<(), Errno> {
    let max_value_size = match spec.map_type {
        MapType::PercpuCgroupStorage => MAX_VALUE_SIZE.min(PCPU_MIN_UNIT_SIZE as u32),
        _ => MAX_VALUE_SIZE,
    };
    if !matches!(spec.key_size, KEY_SIZE | 8) || spec.value_size == 0 {
        return Err(Errno::EINVAL);
    }
    if spec.value_size > max_value_size {
        return Err(Errno::E2BIG);
    }
    if spec.flags & !(BPF_F_NUMA_NODE | ACCESS_MASK) != 0 || !access_ok(spec.flags) || spec.max_entries != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// One value, or one per CPU, for each attachment of a program to a cgroup. None is attached here, so there are no
/// elements; a test run gives the program a value of its own, which is in no map.
pub(super) struct CgroupStorage {
    percpu: bool,
    values: Values,
}

impl CgroupStorage {
    pub fn create(id: MapId, spec: &MapSpec) -> Self {
        Self { percpu: spec.map_type == MapType::PercpuCgroupStorage, values: Values::new(id, spec) }
    }
}

impl Map for CgroupStorage {
    fn temporary_value(&mut self, mem: &mut Memory) -> Option<Addr> {
        self.values.alloc(mem)
    }

    fn sys_lookup(&mut self, _: &mut MapCtx<'_>, _: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOENT)
    }

    /// `cgroup_storage_update_elem` and `bpf_percpu_cgroup_storage_update`.
    fn sys_update(&mut self, _: &mut MapCtx<'_>, _: &[u8], _: &[u8], flags: u64) -> Result<(), Errno> {
        let allowed = if self.percpu {
            matches!(flags, BPF_ANY | BPF_EXIST)
        } else {
            flags & !(BPF_F_LOCK | BPF_EXIST) == 0
        };
        Err(if allowed { Errno::ENOENT } else { Errno::EINVAL })
    }

    fn delete(&mut self, _: &mut MapCtx<'_>, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn next_key(&self, _: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOENT)
    }
}
