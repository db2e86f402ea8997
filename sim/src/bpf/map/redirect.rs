//! Maps that XDP redirects through: `BPF_MAP_TYPE_DEVMAP`, `BPF_MAP_TYPE_DEVMAP_HASH` (`kernel/bpf/devmap.c`) and
//! `BPF_MAP_TYPE_CPUMAP` (`kernel/bpf/cpumap.c`), v6.12. Programs in their values, which user space gives by
//! descriptor, are not modelled: a descriptor is one of no program.

use std::collections::BTreeMap;

use super::array::next_index;
use super::values::Values;
use super::{Change, Map, MapCtx, MapId, MapSpec};
use crate::bpf::mem::{Addr, BadAccess, Memory};
use crate::uapi::map::{BPF_EXIST, BPF_NOEXIST};
use crate::uapi::{Errno, MapType};

/// The most frames a CPU's queue may hold.
const QSIZE_MAX: u32 = 16384;

/// Targets by number.
pub(super) struct RedirectMap {
    map_type: MapType,
    max_entries: u32,
    values: Values,
    /// The address of each target's value.
    targets: BTreeMap<u32, Addr>,
    /// Of a hash, the keys in each bucket, newest first.
    buckets: BTreeMap<u32, Vec<u32>>,
    /// Values a running program may still point to.
    deferred: Vec<Addr>,
}

impl RedirectMap {
    pub fn create(id: MapId, spec: &MapSpec) -> Self {
        Self {
            map_type: spec.map_type,
            max_entries: spec.max_entries,
            values: Values::new(id, spec),
            targets: BTreeMap::new(),
            buckets: BTreeMap::new(),
            deferred: Vec::new(),
        }
    }

    fn is_hash(&self) -> bool {
        self.map_type == MapType::DevmapHash
    }

    fn bucket(&self, key: u32) -> u32 {
        // One more than the last bucket overflows for 2^31 entries and more only.
        key & self.max_entries.next_power_of_two().wrapping_sub(1)
    }

    fn remove(&mut self, key: u32) -> bool {
        let Some(addr) = self.targets.remove(&key) else { return false };
        self.deferred.push(addr);
        if self.is_hash() {
            let bucket = self.bucket(key);
            let keys = self.buckets.entry(bucket).or_default();
            keys.retain(|&other| other != key);
            if keys.is_empty() {
                self.buckets.remove(&bucket);
            }
        }
        true
    }

    fn insert(&mut self, mem: &mut Memory, key: u32, value: &[u8]) -> Result<(), Errno> {
        let addr = self.values.alloc(mem).ok_or(Errno::ENOMEM)?;
        self.remove(key);
        self.values.write(mem, addr, value);
        // The place of the program holds its id, and there is none.
        mem.raw_mut(addr, value.len())[4..].fill(0);
        self.targets.insert(key, addr);
        if self.is_hash() {
            let bucket = self.bucket(key);
            self.buckets.entry(bucket).or_default().insert(0, key);
        }
        Ok(())
    }

    fn read(&self, mem: &Memory, key: &[u8]) -> Option<Vec<u8>> {
        self.targets.get(&number(key)).map(|&addr| self.values.read(mem, addr))
    }

    /// `__dev_map_alloc_node`: the device has to be there, and no program named.
    fn check_device(ctx: &MapCtx<'_>, value: &[u8]) -> Result<(), Errno> {
        let known = ctx.devices.contains(&number(&value[..4]));
        if known && !names_program(value) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// `__dev_map_hash_update_elem`.
    fn update_hash(&mut self, ctx: &mut MapCtx<'_>, key: u32, value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags > BPF_EXIST || number(&value[..4]) == 0 {
            return Err(Errno::EINVAL);
        }
        let there = self.targets.contains_key(&key);
        if there && flags & BPF_NOEXIST != 0 {
            return Err(Errno::EEXIST);
        }
        Self::check_device(ctx, value)?;
        if !there && self.targets.len() >= self.max_entries as usize {
            return Err(Errno::E2BIG);
        }
        self.insert(ctx.mem, key, value)
    }

    /// `__dev_map_update_elem` and `cpu_map_update_elem`.
    fn update_array(
        &mut self,
        ctx: &mut MapCtx<'_>,
        key: u32,
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        if key >= self.max_entries {
            return Err(Errno::E2BIG);
        }
        if flags == BPF_NOEXIST {
            return Err(Errno::EEXIST);
        }
        let target = number(&value[..4]);
        if self.map_type == MapType::Cpumap {
            if target > QSIZE_MAX {
                return Err(Errno::EOVERFLOW);
            }
            if key >= ctx.nr_cpus {
                return Err(Errno::ENODEV);
            }
        }
        if target == 0 {
            if self.map_type == MapType::Devmap && names_program(value) {
                return Err(Errno::EINVAL);
            }
            self.remove(key);
            return Ok(());
        }
        if self.map_type == MapType::Devmap {
            Self::check_device(ctx, value)?;
        } else if names_program(value) {
            return Err(Errno::ENOMEM);
        }
        self.insert(ctx.mem, key, value)
    }
}

/// A device's or CPU's number, or a key.
fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("4 bytes"))
}

/// Whether the value gives a descriptor of a program, behind the target.
fn names_program(value: &[u8]) -> bool {
    value.len() > 4 && number(&value[4..8]) as i32 > 0
}

impl Map for RedirectMap {
    fn lookup(&mut self, ctx: &mut MapCtx<'_>, key: Addr) -> Result<Addr, BadAccess> {
        let key = number(ctx.mem.guest(key, 4)?);
        Ok(self.targets.get(&key).copied().unwrap_or(0))
    }

    fn has_target(&self, index: u32) -> bool {
        self.targets.contains_key(&index)
    }

    fn sys_lookup(&mut self, ctx: &mut MapCtx<'_>, key: &[u8]) -> Result<Vec<u8>, Errno> {
        self.read(ctx.mem, key).ok_or(Errno::ENOENT)
    }

    fn sys_update(
        &mut self,
        ctx: &mut MapCtx<'_>,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        if self.is_hash() {
            self.update_hash(ctx, number(key), value, flags)
        } else {
            self.update_array(ctx, number(key), value, flags)
        }
    }

    fn sys_delete(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno> {
        let key = number(key);
        if !self.is_hash() && key >= self.max_entries {
            return Err(Errno::EINVAL);
        }
        let removed = self.remove(key);
        if self.is_hash() && !removed { Err(Errno::ENOENT) } else { Ok(()) }
    }

    fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        if !self.is_hash() {
            return next_index(key, self.max_entries);
        }
        let mut keys = self.buckets.values().flatten();
        let next = match key.map(number) {
            Some(key) if self.targets.contains_key(&key) => keys.skip_while(|&&k| k != key).nth(1),
            _ => keys.next(),
        };
        next.map(|key| key.to_le_bytes().to_vec()).ok_or(Errno::ENOENT)
    }

    fn keys(&self) -> Vec<Vec<u8>> {
        let keys: Vec<u32> = if self.is_hash() {
            self.buckets.values().flatten().copied().collect()
        } else {
            self.targets.keys().copied().collect()
        };
        keys.into_iter().map(|key| key.to_le_bytes().to_vec()).collect()
    }

    /// Programs cannot change them.
    fn changes(&mut self, _: &mut MapCtx<'_>) -> Vec<Change> {
        Vec::new()
    }

    fn synchronize_rcu(&mut self, mem: &mut Memory) {
        for addr in self.deferred.drain(..) {
            mem.free(addr);
        }
    }
}
