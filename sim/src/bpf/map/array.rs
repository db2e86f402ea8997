//! `BPF_MAP_TYPE_ARRAY` and `BPF_MAP_TYPE_PERCPU_ARRAY`: `kernel/bpf/arraymap.c`, v6.12.

use super::paged::Paged;
use super::values::Values;
use super::{Change, Element, Map, MapCtx, MapId, MapSpec, Walk};
use crate::bpf::mem::{Addr, BadAccess, Memory};
use crate::uapi::map::{BPF_EXIST, BPF_F_LOCK, BPF_NOEXIST};
use crate::uapi::{Errno, MapType};

/// An array, of one value per element or one per element and CPU. A value gets memory when it is first looked at by a
/// program or written.
pub(super) struct Array {
    spec: MapSpec,
    values: Values,
    /// Values per element: 1, or the possible CPUs.
    cpus: u32,
    /// Addresses, by `index * cpus + cpu`.
    addrs: Paged,
    /// The value of a global data section as user space last saw it: its address is in programs' instructions, so any
    /// run may have changed it.
    direct: Option<Vec<u8>>,
}

impl Array {
    pub fn create(ctx: &MapCtx<'_>, id: MapId, spec: &MapSpec) -> Self {
        let percpu = spec.map_type == MapType::PercpuArray;
        Self {
            spec: spec.clone(),
            values: Values::new(id, spec),
            cpus: if percpu { ctx.nr_cpus } else { 1 },
            addrs: Paged::default(),
            direct: None,
        }
    }

    fn percpu(&self) -> bool {
        self.spec.map_type == MapType::PercpuArray
    }

    /// The column of `cpu`'s value.
    fn column(&self, cpu: u32) -> u32 {
        if self.percpu() { cpu } else { 0 }
    }

    fn place(&self, index: u32, column: u32) -> u64 {
        u64::from(index) * u64::from(self.cpus) + u64::from(column)
    }

    /// The address of a value, which gets memory now if it has none; `None` when guest memory is used up.
    fn addr(&mut self, mem: &mut Memory, index: u32, column: u32) -> Option<Addr> {
        let place = self.place(index, column);
        match self.addrs.get(place) {
            0 => {
                let addr = self.values.alloc(mem)?;
                self.addrs.set(place, addr as u32);
                Some(addr)
            }
            addr => Some(Addr::from(addr)),
        }
    }

    /// Hands a value's address to a program.
    #[inline]
    fn hand_out(&mut self, mem: &mut Memory, index: u32, column: u32) -> Addr {
        if index >= self.spec.max_entries {
            return 0;
        }
        if self.values.tracked() && self.values.writable() {
            self.remember(mem, index);
        }
        self.addr(mem, index, column).unwrap_or(0)
    }

    fn remember(&mut self, mem: &Memory, index: u32) {
        let (addrs, cpus) = (&self.addrs, self.cpus);
        let long = self.spec.map_type == MapType::PercpuArray;
        self.values
            .remember(&index.to_le_bytes(), |values| Some(read(values, addrs, cpus, long, mem, index)));
    }

    fn read(&self, mem: &Memory, index: u32) -> Vec<u8> {
        read(&self.values, &self.addrs, self.cpus, self.percpu(), mem, index)
    }
}

/// An element as the system call gives it. Values without memory are zero.
fn read(values: &Values, addrs: &Paged, cpus: u32, long: bool, mem: &Memory, index: u32) -> Vec<u8> {
    let first = u64::from(index) * u64::from(cpus);
    let size = if long { values.long_size() } else { values.size() };
    (first..first + u64::from(cpus))
        .flat_map(|place| match addrs.get(place) {
            0 => vec![0; size],
            addr if long => values.read_long(mem, Addr::from(addr)),
            addr => values.read(mem, Addr::from(addr)),
        })
        .collect()
}

fn index_of(key: &[u8]) -> u32 {
    u32::from_le_bytes(key.try_into().expect("array keys are 4 bytes"))
}

/// The key after `key`: `kernel/bpf/arraymap.c: array_map_get_next_key`, v6.12. Other maps indexed by number share it.
pub(super) fn next_index(key: Option<&[u8]>, max_entries: u32) -> Result<Vec<u8>, Errno> {
    let next = match key.map(index_of) {
        Some(index) if index < max_entries => index + 1,
        _ => 0,
    };
    if next < max_entries { Ok(next.to_le_bytes().to_vec()) } else { Err(Errno::ENOENT) }
}

impl Map for Array {
    #[inline]
    fn lookup(&mut self, ctx: &mut MapCtx<'_>, key: Addr) -> Result<Addr, BadAccess> {
        let index = index_of(ctx.mem.guest(key, 4)?);
        let column = self.column(ctx.cpu);
        Ok(self.hand_out(ctx.mem, index, column))
    }

    #[inline]
    fn glance(&self, mem: &Memory, key: Addr, cpu: u32) -> Option<Addr> {
        if self.values.tracked() {
            return None;
        }
        let index = u32::from_le_bytes(mem.peek(key)?);
        if index >= self.spec.max_entries {
            return Some(0);
        }
        match self.addrs.get(self.place(index, self.column(cpu))) {
            0 => None,
            addr => Some(Addr::from(addr)),
        }
    }

    /// `kernel/bpf/arraymap.c: percpu_array_map_lookup_percpu_elem`, v6.12.
    fn lookup_percpu(&mut self, ctx: &mut MapCtx<'_>, key: Addr, cpu: u32) -> Result<Addr, BadAccess> {
        let index = index_of(ctx.mem.guest(key, 4)?);
        if !self.percpu() || cpu >= ctx.nr_cpus {
            return Ok(0);
        }
        Ok(self.hand_out(ctx.mem, index, cpu))
    }

    /// `kernel/bpf/arraymap.c: array_map_update_elem`, v6.12.
    fn update(&mut self, ctx: &mut MapCtx<'_>, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let index = index_of(key);
        if flags & !BPF_F_LOCK > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        if index >= self.spec.max_entries {
            return Err(Errno::E2BIG);
        }
        if flags & BPF_NOEXIST != 0 {
            return Err(Errno::EEXIST);
        }
        if flags & BPF_F_LOCK != 0 && !self.values.has_lock() {
            return Err(Errno::EINVAL);
        }
        self.remember(ctx.mem, index);
        let addr = self.addr(ctx.mem, index, self.column(ctx.cpu)).ok_or(Errno::ENOMEM)?;
        self.values.write(ctx.mem, addr, value);
        self.values.free_fields(addr);
        Ok(())
    }

    fn delete(&mut self, _: &mut MapCtx<'_>, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// `kernel/bpf/arraymap.c: bpf_for_each_array_elem`, v6.12.
    fn walk(&mut self, ctx: &mut MapCtx<'_>, walk: &mut Walk) -> Option<Element> {
        let index = u32::try_from(walk.at).ok().filter(|&index| index < self.spec.max_entries)?;
        walk.at += 1;
        let column = self.column(ctx.cpu);
        Some(Element { key: index.to_le_bytes().to_vec(), value: self.hand_out(ctx.mem, index, column) })
    }

    /// `array_map_lookup_elem` and `bpf_percpu_array_copy`.
    fn sys_lookup(&mut self, ctx: &mut MapCtx<'_>, key: &[u8]) -> Result<Vec<u8>, Errno> {
        let index = index_of(key);
        if index >= self.spec.max_entries {
            return Err(Errno::ENOENT);
        }
        Ok(self.read(ctx.mem, index))
    }

    /// `array_map_update_elem`, or `kernel/bpf/arraymap.c: bpf_percpu_array_update`, v6.12.
    fn sys_update(
        &mut self,
        ctx: &mut MapCtx<'_>,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        if !self.percpu() {
            return self.update(ctx, key, value, flags);
        }
        let index = index_of(key);
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        if index >= self.spec.max_entries {
            return Err(Errno::E2BIG);
        }
        if flags == BPF_NOEXIST {
            return Err(Errno::EEXIST);
        }
        self.remember(ctx.mem, index);
        for (cpu, value) in (0..self.cpus).zip(value.chunks_exact(self.values.long_size())) {
            let addr = self.addr(ctx.mem, index, cpu).ok_or(Errno::ENOMEM)?;
            self.values.write_long(ctx.mem, addr, value);
            self.values.free_fields(addr);
        }
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        next_index(key, self.spec.max_entries)
    }

    /// `kernel/bpf/arraymap.c: array_map_direct_value_addr`, v6.12.
    fn value_addr(&mut self, ctx: &mut MapCtx<'_>) -> Result<Addr, Errno> {
        if self.percpu() || self.spec.max_entries != 1 {
            return Err(Errno::ENOTSUPP);
        }
        if self.values.writable() && self.direct.is_none() {
            self.direct = Some(self.read(ctx.mem, 0));
        }
        self.addr(ctx.mem, 0, 0).ok_or(Errno::ENOMEM)
    }

    fn keys(&self) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        let mut from = 0;
        while let Some((place, _)) = self.addrs.first_set(from) {
            let index = (place / u64::from(self.cpus)) as u32;
            keys.push(index.to_le_bytes().to_vec());
            from = self.place(index + 1, 0);
        }
        keys
    }

    fn track(&mut self, on: bool) {
        self.values.track(on);
    }

    fn changes(&mut self, ctx: &mut MapCtx<'_>) -> Vec<Change> {
        if let Some(seen) = self.direct.take() {
            let now = self.read(ctx.mem, 0);
            if self.values.tracked() && seen != now {
                self.values.remember(&[0; 4], |_| Some(seen));
            }
            self.direct = Some(now);
        }
        let (addrs, cpus, long) = (&self.addrs, self.cpus, self.percpu());
        self.values.changes(ctx, |values, mem, key| Some(read(values, addrs, cpus, long, mem, index_of(key))))
    }

    fn key_of_value(&self, value: Addr) -> Option<Vec<u8>> {
        let place = self.addrs.place_of(value as u32)?;
        Some(((place / u64::from(self.cpus)) as u32).to_le_bytes().to_vec())
    }

    fn take_freed(&mut self) -> Vec<Addr> {
        self.values.take_freed()
    }
}
