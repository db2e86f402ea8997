//! `BPF_MAP_TYPE_HASH` and `BPF_MAP_TYPE_PERCPU_HASH`: `kernel/bpf/hashtab.c`, v6.12.

use super::table::{NONE, Table};
use super::values::Values;
use super::{Change, Element, Map, MapCtx, MapId, MapSpec, Walk};
use crate::bpf::mem::{Addr, BadAccess, Memory};
use crate::uapi::map::{BPF_EXIST, BPF_F_LOCK, BPF_F_NO_PREALLOC, BPF_NOEXIST};
use crate::uapi::{Errno, MapType};

/// A hash map.
///
/// Which memory a new element gets is the kernel's choice too, and visible through pointers kept over a deletion: the
/// element freed last on this CPU is used first, and a map without `BPF_F_NO_PREALLOC` swaps a replaced element with
/// the CPU's extra one. Across CPUs the order is only approximated.
pub(super) struct Hash {
    values: Values,
    table: Table,
    percpu: bool,
    prealloc: bool,
    max_entries: u32,
    len: u32,
    /// Elements in no bucket, by the CPU that freed them.
    free: Vec<Vec<u32>>,
    /// `extra_elems`: what replaces an existing element next, by CPU.
    extra: Vec<u32>,
}

impl Hash {
    pub fn create(ctx: &MapCtx<'_>, id: MapId, spec: &MapSpec) -> Self {
        let percpu = spec.map_type == MapType::PercpuHash;
        Self {
            values: Values::new(id, spec),
            table: Table::new(spec.key_size, spec.max_entries, if percpu { ctx.nr_cpus } else { 1 }),
            percpu,
            prealloc: spec.flags & BPF_F_NO_PREALLOC == 0,
            max_entries: spec.max_entries,
            len: 0,
            free: vec![Vec::new(); ctx.nr_cpus as usize],
            extra: vec![NONE; ctx.nr_cpus as usize],
        }
    }

    fn column(&self, cpu: u32) -> u32 {
        if self.percpu { cpu } else { 0 }
    }

    /// An unused element, new if none was freed.
    fn take(&mut self, ctx: &mut MapCtx<'_>) -> Result<u32, Errno> {
        let own = self.free[ctx.cpu as usize].pop();
        own.map_or_else(|| self.table.add_values(&self.values, ctx.mem).ok_or(Errno::ENOMEM), Ok)
    }

    /// `alloc_htab_elem`: an element for `old`'s or a new key; one that replaces a preallocated one swaps with it.
    fn allocate(&mut self, ctx: &mut MapCtx<'_>, old: u32) -> Result<u32, Errno> {
        if old != NONE && self.prealloc {
            let extra = match self.extra[ctx.cpu as usize] {
                NONE => self.table.add_values(&self.values, ctx.mem).ok_or(Errno::ENOMEM)?,
                extra => extra,
            };
            self.extra[ctx.cpu as usize] = old;
            return Ok(extra);
        }
        if old == NONE && self.len == self.max_entries {
            return Err(Errno::E2BIG);
        }
        self.take(ctx)
    }

    fn remember(&mut self, mem: &Memory, key: &[u8]) {
        let (table, percpu) = (&self.table, self.percpu);
        self.values.remember(key, |values| read(values, table, percpu, mem, key));
    }

    fn release_fields(&mut self, slot: u32) {
        for &addr in self.table.addrs(slot) {
            self.values.free_fields(Addr::from(addr));
        }
    }

    /// `__htab_percpu_map_update_elem`.
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
        let old = self.table.find(key);
        check_flags(old, flags)?;
        self.remember(ctx.mem, key);
        let slot = if old == NONE { self.allocate(ctx, NONE)? } else { old };
        write_percpu(&self.values, ctx, self.table.addrs(slot), value, on_all_cpus, old == NONE);
        if old == NONE {
            self.table.link(slot, key);
            self.len += 1;
        } else {
            self.release_fields(slot);
        }
        Ok(())
    }
}

/// `check_flags`.
pub(super) fn check_flags(old: u32, flags: u64) -> Result<(), Errno> {
    match flags & !BPF_F_LOCK {
        BPF_NOEXIST if old != NONE => Err(Errno::EEXIST),
        BPF_EXIST if old == NONE => Err(Errno::ENOENT),
        _ => Ok(()),
    }
}

/// The element as the system call gives it.
pub(super) fn read(
    values: &Values,
    table: &Table,
    percpu: bool,
    mem: &Memory,
    key: &[u8],
) -> Option<Vec<u8>> {
    match table.find(key) {
        NONE => None,
        slot if percpu => {
            Some(table.addrs(slot).iter().flat_map(|&addr| values.read_long(mem, Addr::from(addr))).collect())
        }
        slot => Some(values.read(mem, table.addr(slot, 0))),
    }
}

/// `pcpu_copy_value`, and `pcpu_init_value` for a new element, whose values on other CPUs become zero.
pub(super) fn write_percpu(
    values: &Values,
    ctx: &mut MapCtx<'_>,
    addrs: &[u32],
    value: &[u8],
    on_all_cpus: bool,
    new: bool,
) {
    if on_all_cpus {
        for (&addr, value) in addrs.iter().zip(value.chunks_exact(values.long_size())) {
            values.write_long(ctx.mem, Addr::from(addr), value);
        }
        return;
    }
    values.write(ctx.mem, Addr::from(addrs[ctx.cpu as usize]), value);
    if new {
        let zeroes = vec![0; values.size()];
        for (cpu, &addr) in addrs.iter().enumerate() {
            if cpu != ctx.cpu as usize {
                values.write(ctx.mem, Addr::from(addr), &zeroes);
            }
        }
    }
}

impl Map for Hash {
    #[inline]
    fn lookup(&mut self, ctx: &mut MapCtx<'_>, key: Addr) -> Result<Addr, BadAccess> {
        self.lookup_percpu(ctx, key, ctx.cpu)
    }

    #[inline]
    fn glance(&self, mem: &Memory, key: Addr, cpu: u32) -> Option<Addr> {
        if self.values.tracked() {
            return None;
        }
        match self.table.find(mem.glance(key, self.table.key_size())?) {
            NONE => Some(0),
            slot => Some(self.table.addr(slot, self.column(cpu))),
        }
    }

    #[inline]
    fn lookup_percpu(&mut self, ctx: &mut MapCtx<'_>, key: Addr, cpu: u32) -> Result<Addr, BadAccess> {
        let key = ctx.mem.guest(key, self.table.key_size() as u64)?;
        let slot = self.table.find(key);
        if slot == NONE || cpu >= ctx.nr_cpus {
            return Ok(0);
        }
        if self.values.tracked() && self.values.writable() {
            let (table, percpu) = (&self.table, self.percpu);
            self.values.remember(key, |values| read(values, table, percpu, ctx.mem, key));
        }
        Ok(self.table.addr(slot, self.column(cpu)))
    }

    /// `kernel/bpf/hashtab.c: htab_map_update_elem`, `htab_percpu_map_update_elem`, v6.12.
    fn update(&mut self, ctx: &mut MapCtx<'_>, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        if self.percpu {
            return self.update_percpu(ctx, key, value, flags, false);
        }
        if flags & !BPF_F_LOCK > BPF_EXIST || (flags & BPF_F_LOCK != 0 && !self.values.has_lock()) {
            return Err(Errno::EINVAL);
        }
        let old = self.table.find(key);
        check_flags(old, flags)?;
        self.remember(ctx.mem, key);
        if old != NONE && flags & BPF_F_LOCK != 0 {
            self.values.write(ctx.mem, self.table.addr(old, 0), value);
            return Ok(());
        }
        let new = self.allocate(ctx, old)?;
        self.values.write(ctx.mem, self.table.addr(new, 0), value);
        self.table.link(new, key);
        if old == NONE {
            self.len += 1;
            return Ok(());
        }
        self.table.unlink(old);
        self.release_fields(old);
        if !self.prealloc {
            self.free[ctx.cpu as usize].push(old);
        }
        Ok(())
    }

    /// `kernel/bpf/hashtab.c: htab_map_delete_elem`, v6.12.
    fn delete(&mut self, ctx: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno> {
        let slot = self.table.find(key);
        if slot == NONE {
            return Err(Errno::ENOENT);
        }
        self.remember(ctx.mem, key);
        self.table.unlink(slot);
        self.release_fields(slot);
        self.free[ctx.cpu as usize].push(slot);
        self.len -= 1;
        Ok(())
    }

    fn walk(&mut self, ctx: &mut MapCtx<'_>, walk: &mut Walk) -> Option<Element> {
        let (_, element) = self.table.walk(walk, self.column(ctx.cpu))?;
        self.remember(ctx.mem, &element.key);
        Some(element)
    }

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

    /// `kernel/bpf/hashtab.c: __htab_map_lookup_and_delete_elem`, v6.12.
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
