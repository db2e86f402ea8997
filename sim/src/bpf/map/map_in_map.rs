//! `BPF_MAP_TYPE_ARRAY_OF_MAPS` and `BPF_MAP_TYPE_HASH_OF_MAPS`, and what may stand inside them:
//! `kernel/bpf/map_in_map.c`, v6.12.

use super::fd_array::FdArray;
use super::hash::check_flags;
use super::table::{NONE, Table};
use super::{Map, MapCtx, MapId, MapSpec, Reference};
use crate::bpf::mem::{Addr, BadAccess};
use crate::uapi::map::{BPF_EXIST, BPF_F_INNER_MAP, BPF_F_RDONLY, BPF_F_WRONLY};
use crate::uapi::{Errno, MapType};

/// Whether a map of maps may have inner maps like `inner`: `bpf_map_meta_alloc`.
pub(super) fn check_inner(inner: &MapSpec) -> Result<(), Errno> {
    match inner.map_type {
        MapType::ArrayOfMaps | MapType::HashOfMaps => Err(Errno::EINVAL),
        MapType::ProgArray | MapType::CgroupStorage | MapType::PercpuCgroupStorage | MapType::StructOps => {
            Err(Errno::ENOTSUPP)
        }
        _ => Ok(()),
    }
}

/// Whether `inner` may be put into `outer`: `bpf_map_fd_get_ptr`, `bpf_map_meta_equal` and
/// `kernel/bpf/arraymap.c: array_map_meta_equal`, v6.12.
pub(super) fn fits(outer: &MapSpec, inner: &MapSpec) -> Result<(), Errno> {
    let pattern = outer.inner.as_deref().ok_or(Errno::EINVAL)?;
    let permanent = |flags: u32| flags & !(BPF_F_RDONLY | BPF_F_WRONLY);
    let same = pattern.map_type == inner.map_type
        && pattern.key_size == inner.key_size
        && pattern.value_size == inner.value_size
        && permanent(pattern.flags) == permanent(inner.flags)
        && pattern.fields == inner.fields
        && (pattern.map_type != MapType::Array
            || pattern.flags & BPF_F_INNER_MAP != 0
            || pattern.max_entries == inner.max_entries);
    if same { Ok(()) } else { Err(Errno::EINVAL) }
}

/// The map that looking a descriptor up gave.
fn inner(new: Result<Reference, Errno>) -> Result<MapId, Errno> {
    match new? {
        Reference::Map(map) => Ok(map),
        _ => Err(Errno::EINVAL),
    }
}

/// An array of maps. User space reads a map's number where the kernel gives its id.
pub(super) struct ArrayOfMaps {
    slots: FdArray,
}

impl ArrayOfMaps {
    pub fn create(spec: &MapSpec) -> Self {
        Self { slots: FdArray::new(spec.max_entries) }
    }
}

impl Map for ArrayOfMaps {
    /// `kernel/bpf/arraymap.c: array_of_map_lookup_elem`, v6.12: the inner map itself.
    fn lookup(&mut self, ctx: &mut MapCtx<'_>, key: Addr) -> Result<Addr, BadAccess> {
        let index = ctx.mem.load(key, 4)? as u32;
        Ok(self.slots.get(index).map_or(0, |map| MapId(map).handle()))
    }

    fn sys_lookup(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<Vec<u8>, Errno> {
        self.slots.lookup(key).map(|map| map.to_le_bytes().to_vec())
    }

    fn sys_update(&mut self, _: &mut MapCtx<'_>, key: &[u8], _: &[u8], flags: u64) -> Result<(), Errno> {
        self.sys_update_fd(key, Err(Errno::EBADF), flags)
    }

    fn sys_update_fd(&mut self, key: &[u8], new: Result<Reference, Errno>, flags: u64) -> Result<(), Errno> {
        self.slots.update(key, flags, || inner(new).map(|map| map.0))?;
        Ok(())
    }

    fn sys_delete(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno> {
        self.slots.delete(key).map(drop)
    }

    fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        self.slots.next_key(key)
    }

    fn keys(&self) -> Vec<Vec<u8>> {
        self.slots.keys()
    }
}

/// A hash of maps: see [`ArrayOfMaps`].
pub(super) struct HashOfMaps {
    /// In place of values' addresses, the numbers of maps.
    table: Table,
    max_entries: u32,
    len: u32,
    free: Vec<u32>,
    in_place: bool,
}

impl HashOfMaps {
    pub fn create(ctx: &MapCtx<'_>, spec: &MapSpec) -> Self {
        Self {
            table: Table::new(spec.key_size, spec.max_entries, 1),
            max_entries: spec.max_entries,
            len: 0,
            free: Vec::new(),
            in_place: ctx.release.hash_of_maps_replaces_in_place(),
        }
    }

    fn get(&self, key: &[u8]) -> Option<MapId> {
        match self.table.find(key) {
            NONE => None,
            slot => Some(MapId(self.table.addrs(slot)[0])),
        }
    }
}

impl Map for HashOfMaps {
    /// `kernel/bpf/hashtab.c: htab_of_map_lookup_elem`, v6.12: the inner map itself.
    fn lookup(&mut self, ctx: &mut MapCtx<'_>, key: Addr) -> Result<Addr, BadAccess> {
        let key = ctx.mem.guest(key, self.table.key(NONE).len() as u64)?;
        Ok(self.get(key).map_or(0, MapId::handle))
    }

    fn sys_lookup(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<Vec<u8>, Errno> {
        self.get(key).map(|map| map.0.to_le_bytes().to_vec()).ok_or(Errno::ENOENT)
    }

    fn sys_update(&mut self, _: &mut MapCtx<'_>, key: &[u8], _: &[u8], flags: u64) -> Result<(), Errno> {
        self.sys_update_fd(key, Err(Errno::EBADF), flags)
    }

    /// `kernel/bpf/hashtab.c: bpf_fd_htab_map_update_elem`, v6.12: the descriptor is looked up before the flags.
    fn sys_update_fd(&mut self, key: &[u8], new: Result<Reference, Errno>, flags: u64) -> Result<(), Errno> {
        let map = inner(new)?;
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let old = self.table.find(key);
        check_flags(old, flags)?;
        if old == NONE && self.len == self.max_entries {
            return Err(Errno::E2BIG);
        }
        if old != NONE && self.in_place {
            self.table.set_addr(old, map.0);
            return Ok(());
        }
        let new = self.free.pop().unwrap_or_else(|| self.table.add(std::iter::once(0)));
        self.table.set_addr(new, map.0);
        self.table.link(new, key);
        if old == NONE {
            self.len += 1;
        } else {
            self.table.unlink(old);
            self.free.push(old);
        }
        Ok(())
    }

    fn sys_delete(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno> {
        let slot = self.table.find(key);
        if slot == NONE {
            return Err(Errno::ENOENT);
        }
        self.table.unlink(slot);
        self.free.push(slot);
        self.len -= 1;
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        self.table.next_key(key)
    }

    fn keys(&self) -> Vec<Vec<u8>> {
        self.table.keys()
    }
}
