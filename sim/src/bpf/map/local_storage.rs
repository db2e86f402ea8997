//! `BPF_MAP_TYPE_SK_STORAGE` and `BPF_MAP_TYPE_CGRP_STORAGE`: values that belong to a socket or a cgroup and go with it.
//! `kernel/bpf/bpf_local_storage.c`, `net/core/bpf_sk_storage.c` and `kernel/bpf/bpf_cgrp_storage.c`, v6.12.

use std::collections::BTreeMap;

use super::values::Values;
use super::{Map, MapCtx, MapId, MapSpec, Reference};
use crate::bpf::mem::{Addr, Memory};
use crate::uapi::map::{BPF_EXIST, BPF_F_CLONE, BPF_F_LOCK, BPF_F_NO_PREALLOC, BPF_NOEXIST};
use crate::uapi::{Errno, MapType};

/// `BPF_LOCAL_STORAGE_MAX_VALUE_SIZE`, bytes: `U16_MAX` less `sizeof(struct bpf_local_storage_elem)`.
pub(super) const MAX_VALUE_SIZE: u32 = u16::MAX as u32 - 128;
/// What an element costs besides its value: the offset of `sdata.data` in `struct bpf_local_storage_elem`.
const ELEM_OVERHEAD: u64 = 72;

/// `bpf_local_storage_map_alloc_check`.
pub(super) fn check(spec: &MapSpec) -> Result<(), Errno> {
    if spec.flags & !(BPF_F_NO_PREALLOC | BPF_F_CLONE) != 0
        || spec.flags & BPF_F_NO_PREALLOC == 0
        || spec.max_entries != 0
        || spec.key_size != 4
        || spec.value_size == 0
        || spec.key_type == 0
        || spec.value_type == 0
    {
        return Err(Errno::EINVAL);
    }
    if spec.value_size > MAX_VALUE_SIZE { Err(Errno::E2BIG) } else { Ok(()) }
}

/// What an owner has already, in every map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Account {
    /// Nothing.
    pub is_first: bool,
    /// Whether it can be charged with one more value.
    pub has_room: bool,
}

/// Values by owner.
pub struct LocalStorage {
    map_type: MapType,
    values: Values,
    /// The address of each owner's value, by the owner's cookie or id.
    owners: BTreeMap<u64, Addr>,
    /// Values a running program may still point to.
    deferred: Vec<Addr>,
}

impl LocalStorage {
    pub(super) fn create(id: MapId, spec: &MapSpec) -> Self {
        Self {
            map_type: spec.map_type,
            values: Values::new(id, spec),
            owners: BTreeMap::new(),
            deferred: Vec::new(),
        }
    }

    /// The number of an owner that a descriptor gave; the kernel's errno if it is not of the map's kind.
    pub(super) fn owner(&self, owner: Reference) -> Result<u64, Errno> {
        match (self.map_type, owner) {
            (MapType::SkStorage, Reference::Socket(socket)) => Ok(socket.cookie),
            (MapType::CgrpStorage, Reference::Cgroup(cgroup)) => Ok(cgroup.0),
            (MapType::SkStorage, _) => Err(Errno::ENOTSOCK),
            _ => Err(Errno::EBADF),
        }
    }

    /// The address of the value of `owner`, a socket's cookie or a cgroup's id.
    pub fn get(&self, owner: u64) -> Option<Addr> {
        self.owners.get(&owner).copied()
    }

    /// What a value is charged to its socket with, bytes.
    pub(super) fn charge(&self) -> u64 {
        ELEM_OVERHEAD + self.values.size() as u64
    }

    /// `bpf_local_storage_update`: a value for `owner`, in new memory unless `BPF_F_LOCK` says to write in place.
    pub(super) fn put(
        &mut self,
        mem: &mut Memory,
        owner: u64,
        value: &[u8],
        flags: u64,
        account: Account,
    ) -> Result<Addr, Errno> {
        let existence = flags & !BPF_F_LOCK;
        if existence > BPF_EXIST || (flags & BPF_F_LOCK != 0 && !self.values.has_lock()) {
            return Err(Errno::EINVAL);
        }
        let old = self.get(owner);
        let check_flags = || match (old, existence) {
            (Some(_), BPF_NOEXIST) => Err(Errno::EEXIST),
            (None, BPF_EXIST) => Err(Errno::ENOENT),
            _ => Ok(()),
        };
        if let Some(addr) = old.filter(|_| flags & BPF_F_LOCK != 0) {
            check_flags()?;
            self.values.write(mem, addr, value);
            return Ok(addr);
        }
        if account.is_first {
            check_flags()?;
        }
        if !account.has_room {
            return Err(Errno::ENOMEM);
        }
        check_flags()?;
        let addr = self.values.alloc(mem).ok_or(Errno::ENOMEM)?;
        self.values.write(mem, addr, value);
        self.owners.insert(owner, addr);
        self.deferred.extend(old);
        Ok(addr)
    }

    /// `bpf_sk_storage_del`, `cgroup_storage_delete`.
    pub fn remove(&mut self, owner: u64) -> Result<(), Errno> {
        let addr = self.owners.remove(&owner).ok_or(Errno::ENOENT)?;
        self.deferred.push(addr);
        Ok(())
    }

    pub(super) fn read(&self, mem: &Memory, owner: u64) -> Result<Vec<u8>, Errno> {
        self.get(owner).map(|addr| self.values.read(mem, addr)).ok_or(Errno::ENOENT)
    }
}

/// Keys are descriptors, and as bytes they are those of nothing.
impl Map for LocalStorage {
    fn sys_lookup(&mut self, _: &mut MapCtx<'_>, _: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::EBADF)
    }

    fn sys_update(&mut self, _: &mut MapCtx<'_>, _: &[u8], _: &[u8], _: u64) -> Result<(), Errno> {
        Err(Errno::EBADF)
    }

    fn sys_delete(&mut self, _: &mut MapCtx<'_>, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EBADF)
    }

    fn next_key(&self, _: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn storage(&mut self) -> Option<&mut LocalStorage> {
        Some(self)
    }

    fn forget_socket(&mut self, cookie: u64) {
        if self.map_type == MapType::SkStorage {
            let _ = self.remove(cookie);
        }
    }

    fn synchronize_rcu(&mut self, mem: &mut Memory) {
        for addr in self.deferred.drain(..) {
            mem.free(addr);
        }
    }
}
