//! `BPF_MAP_TYPE_LRU_HASH` and `BPF_MAP_TYPE_LRU_PERCPU_HASH`: `kernel/bpf/hashtab.c`, v6.12.

use super::hash::{check_flags, read, write_percpu};
use super::lru_list::Lru;
use super::table::{NONE, Table};
use super::values::Values;
use super::{Change, Element, Map, MapCtx, MapId, MapSpec, Walk};
use crate::bpf::mem::{Addr, BadAccess, Memory};
use crate::uapi::map::{BPF_EXIST, BPF_F_NO_COMMON_LRU};
use crate::uapi::{Errno, MapType};

/// A hash map that makes room.
pub(super) struct LruHash {
    values: Values,
    table: Table,
    lru: Lru,
    percpu: bool,
}

impl LruHash {
    /// `spec.max_entries` is what the kernel keeps: with `BPF_F_NO_COMMON_LRU`, a multiple of the CPUs.
    pub fn create(ctx: &MapCtx<'_>, id: MapId, spec: &MapSpec) -> Self {
        let percpu = spec.map_type == MapType::LruPercpuHash;
        let no_common = spec.flags & BPF_F_NO_COMMON_LRU != 0;
        Self {
            values: Values::new(id, spec),
            table: Table::new(spec.key_size, spec.max_entries, if percpu { ctx.nr_cpus } else { 1 }),
            lru: Lru::new(spec.max_entries, ctx.nr_cpus, no_common, ctx.release),
            percpu,
        }
    }

    fn column(&self, cpu: u32) -> u32 {
        if self.percpu { cpu } else { 0 }
    }

    fn remember(&mut self, mem: &Memory, key: &[u8]) {
        let (table, percpu) = (&self.table, self.percpu);
        self.values.remember(key, |values| read(values, table, percpu, mem, key));
    }

    /// `prealloc_lru_pop`: an element in no bucket, evicting others if need be.
    fn pop(&mut self, ctx: &mut MapCtx<'_>) -> Result<u32, Errno> {
        let Self { values, table, lru, percpu } = self;
        let popped = lru.pop_free(ctx.cpu, |evicted| {
            let key = table.key(evicted).to_vec();
            values.remember(&key, |values| read(values, table, *percpu, ctx.mem, &key));
            table.unlink(evicted);
            for &addr in table.addrs(evicted) {
                values.free_fields(Addr::from(addr));
            }
        });
        let slot = popped.ok_or(Errno::ENOMEM)?;
        while slot >= table.next_slot() {
            if table.add_values(values, ctx.mem).is_none() {
                lru.push_free(slot);
                return Err(Errno::ENOMEM);
            }
        }
        Ok(slot)
    }

    /// `htab_lru_push_free`.
    fn push(&mut self, slot: u32) {
        for &addr in self.table.addrs(slot) {
            self.values.free_fields(Addr::from(addr));
        }
        self.lru.push_free(slot);
    }

    /// `__htab_lru_percpu_map_update_elem`.
    fn update_percpu(
        &mut self,
        ctx: &mut MapCtx<'_>,
        key: &[u8],
        value: &[u8],
        flags: u64,
        on_all_cpus: bool,
    ) -> Result<(), Errno> {
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let new = if flags == BPF_EXIST { NONE } else { self.pop(ctx)? };
        let old = self.table.find(key);
        let checked = check_flags(old, flags);
        if checked.is_ok() {
            self.remember(ctx.mem, key);
            let slot = if old == NONE { new } else { old };
            write_percpu(&self.values, ctx, self.table.addrs(slot), value, on_all_cpus, old == NONE);
            if old == NONE {
                self.table.link(new, key);
                return Ok(());
            }
            self.lru.set_ref(old);
        }
        if new != NONE {
            self.lru.push_free(new);
        }
        checked
    }
}

impl Map for LruHash {
    #[inline]
    fn lookup(&mut self, ctx: &mut MapCtx<'_>, key: Addr) -> Result<Addr, BadAccess> {
        self.lookup_percpu(ctx, key, ctx.cpu)
    }

    #[inline]
    fn lookup_percpu(&mut self, ctx: &mut MapCtx<'_>, key: Addr, cpu: u32) -> Result<Addr, BadAccess> {
        let key = ctx.mem.guest(key, self.table.key(NONE).len() as u64)?;
        if cpu >= ctx.nr_cpus {
            return Ok(0);
        }
        let slot = self.table.find(key);
        if slot == NONE {
            return Ok(0);
        }
        self.lru.set_ref(slot);
        if self.values.tracked() && self.values.writable() {
            let (table, percpu) = (&self.table, self.percpu);
            self.values.remember(key, |values| read(values, table, percpu, ctx.mem, key));
        }
        Ok(self.table.addr(slot, self.column(cpu)))
    }

    /// `kernel/bpf/hashtab.c: htab_lru_map_update_elem`, `htab_lru_percpu_map_update_elem`, v6.12. Room is made before
    /// the flags are looked at.
    fn update(&mut self, ctx: &mut MapCtx<'_>, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        if self.percpu {
            return self.update_percpu(ctx, key, value, flags, false);
        }
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let new = self.pop(ctx)?;
        self.values.write(ctx.mem, self.table.addr(new, 0), value);
        let old = self.table.find(key);
        if let Err(errno) = check_flags(old, flags) {
            self.push(new);
            return Err(errno);
        }
        self.remember(ctx.mem, key);
        self.table.link(new, key);
        if old != NONE {
            self.lru.set_ref(new);
            self.table.unlink(old);
            self.push(old);
        }
        Ok(())
    }

    /// `kernel/bpf/hashtab.c: htab_lru_map_delete_elem`, v6.12.
    fn delete(&mut self, ctx: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno> {
        let slot = self.table.find(key);
        if slot == NONE {
            return Err(Errno::ENOENT);
        }
        self.remember(ctx.mem, key);
        self.table.unlink(slot);
        self.push(slot);
        Ok(())
    }

    fn walk(&mut self, ctx: &mut MapCtx<'_>, walk: &mut Walk) -> Option<Element> {
        let (_, element) = self.table.walk(walk, self.column(ctx.cpu))?;
        self.remember(ctx.mem, &element.key);
        Some(element)
    }

    /// Reading from user space does not count as use (`htab_lru_map_lookup_elem_sys`).
    fn sys_lookup(&mut self, ctx: &mut MapCtx<'_>, key: &[u8]) -> Result<Vec<u8>, Errno> {
        read(&self.values, &self.table, self.percpu, ctx.mem, key).ok_or(Errno::ENOENT)
    }

    fn sys_update(
        &mut self,
        ctx: &mut MapCtx<'_>,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        if self.percpu {
            self.update_percpu(ctx, key, value, flags, true)
        } else {
            self.update(ctx, key, value, flags)
        }
    }

    fn sys_lookup_and_delete(&mut self, ctx: &mut MapCtx<'_>, key: &[u8]) -> Result<Vec<u8>, Errno> {
        let value = self.sys_lookup(ctx, key)?;
        self.delete(ctx, key)?;
        Ok(value)
    }

    fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        self.table.next_key(key)
    }

    fn keys(&self) -> Vec<Vec<u8>> {
        self.table.keys()
    }

    fn track(&mut self, on: bool) {
        self.values.track(on);
    }

    fn changes(&mut self, ctx: &mut MapCtx<'_>) -> Vec<Change> {
        let (table, percpu) = (&self.table, self.percpu);
        self.values.changes(ctx, |values, mem, key| read(values, table, percpu, mem, key))
    }

    fn key_of_value(&self, value: Addr) -> Option<Vec<u8>> {
        self.table.key_of_value(value as u32)
    }

    fn take_freed(&mut self) -> Vec<Addr> {
        self.values.take_freed()
    }
}
