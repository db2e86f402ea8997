//! Element values in guest memory: allocating, copying around special fields, and remembering what they were.

use std::collections::BTreeMap;

use super::{Change, MapCtx, MapId, MapSpec, SpecialKind};
use crate::bpf::mem::{Access, Addr, Memory, ObjectKind};
use crate::uapi::map::BPF_F_RDONLY_PROG;

/// How the values of one map lie in guest memory, and what they were before anybody could change them.
///
/// A value is one object of exactly `value_size` bytes, so that an access past it faults; the bytes up to the next
/// multiple of 8 exist behind it, because the system call reads and writes them on per-CPU maps
/// (`include/linux/bpf.h: copy_map_value_long`, v6.12).
pub(super) struct Values {
    id: MapId,
    access: Access,
    value_size: u32,
    /// Special fields as (offset, size): never copied, zero for user space.
    fields: Vec<(u32, u32)>,
    has_lock: bool,
    has_timer: bool,
    tracked: bool,
    before: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Values whose timers the map has freed since the last question.
    freed: Vec<Addr>,
}

impl Values {
    /// Values as `spec` describes them.
    pub fn new(id: MapId, spec: &MapSpec) -> Self {
        let read_only = spec.flags & BPF_F_RDONLY_PROG != 0;
        let mut fields: Vec<_> = spec.fields.iter().map(|f| (f.offset, f.kind.size())).collect();
        fields.sort_unstable();
        let has = |kind| spec.fields.iter().any(|f| f.kind == kind);
        Self {
            id,
            access: if read_only { Access::Read } else { Access::ReadWrite },
            value_size: spec.value_size,
            fields,
            has_lock: has(SpecialKind::SpinLock),
            has_timer: has(SpecialKind::Timer),
            tracked: false,
            before: BTreeMap::new(),
            freed: Vec::new(),
        }
    }

    /// Whether values hold a `bpf_spin_lock`, which `BPF_F_LOCK` needs.
    pub fn has_lock(&self) -> bool {
        self.has_lock
    }

    /// Whether a program may write to values by pointer.
    pub fn writable(&self) -> bool {
        self.access == Access::ReadWrite
    }

    /// Bytes of one value.
    pub fn size(&self) -> usize {
        self.value_size as usize
    }

    /// Bytes of one CPU's value as the system call passes it.
    pub fn long_size(&self) -> usize {
        self.size().next_multiple_of(8)
    }

    /// A new value, all zero; `None` when guest memory is used up.
    pub fn alloc(&self, mem: &mut Memory) -> Option<Addr> {
        let addr = mem.alloc(ObjectKind::MapValue(self.id.0), self.access, self.value_size)?;
        mem.raw_mut(addr, self.long_size()).fill(0);
        Some(addr)
    }

    /// Copies the first `value_size` bytes of `value`, leaving special fields as they are (`copy_map_value`).
    pub fn write(&self, mem: &mut Memory, addr: Addr, value: &[u8]) {
        self.copy(mem.raw_mut(addr, self.size()), value);
    }

    /// Like [`write`](Self::write) with the padding to a multiple of 8 (`copy_map_value_long`).
    pub fn write_long(&self, mem: &mut Memory, addr: Addr, value: &[u8]) {
        self.copy(mem.raw_mut(addr, self.long_size()), value);
    }

    fn copy(&self, to: &mut [u8], from: &[u8]) {
        let mut at = 0;
        for &(offset, size) in &self.fields {
            to[at..offset as usize].copy_from_slice(&from[at..offset as usize]);
            at = (offset + size) as usize;
        }
        let end = to.len();
        to[at..].copy_from_slice(&from[at..end]);
    }

    /// What user space sees: special fields read as zero (`check_and_init_map_value`).
    pub fn read(&self, mem: &Memory, addr: Addr) -> Vec<u8> {
        self.masked(mem.raw(addr, self.size()).to_vec())
    }

    /// Like [`read`](Self::read), padded to a multiple of 8.
    pub fn read_long(&self, mem: &Memory, addr: Addr) -> Vec<u8> {
        self.masked(mem.raw(addr, self.long_size()).to_vec())
    }

    fn masked(&self, mut value: Vec<u8>) -> Vec<u8> {
        for &(offset, size) in &self.fields {
            value[offset as usize..][..size as usize].fill(0);
        }
        value
    }

    /// The map frees the special fields of this value (`bpf_obj_free_fields`): its timers stop.
    pub fn free_fields(&mut self, addr: Addr) {
        if self.has_timer {
            self.freed.push(addr);
        }
    }

    /// The values whose fields were freed since the last call.
    pub fn take_freed(&mut self) -> Vec<Addr> {
        std::mem::take(&mut self.freed)
    }

    /// Starts or stops remembering values before they change.
    pub fn track(&mut self, on: bool) {
        self.tracked = on;
        self.before.clear();
    }

    /// Whether [`remember`](Self::remember) has any effect.
    #[inline]
    pub fn tracked(&self) -> bool {
        self.tracked
    }

    /// Remembers what `key`'s value was, as user space sees it, unless that is already known.
    pub fn remember(&mut self, key: &[u8], value: impl FnOnce(&Self) -> Option<Vec<u8>>) {
        if self.tracked && !self.before.contains_key(key) {
            let value = value(self);
            self.before.insert(key.to_vec(), value);
        }
    }

    /// The remembered values that differ from what `now` gives; forgets them all.
    pub fn changes(
        &mut self,
        ctx: &mut MapCtx<'_>,
        now: impl Fn(&Self, &Memory, &[u8]) -> Option<Vec<u8>>,
    ) -> Vec<Change> {
        let remembered = self.take_remembered();
        let change = |(key, before): (Vec<u8>, _)| {
            let after = now(self, ctx.mem, &key);
            self.change(key, before, after)
        };
        remembered.into_iter().filter_map(change).collect()
    }

    /// The remembered values by key; forgets them all.
    pub fn take_remembered(&mut self) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        std::mem::take(&mut self.before)
    }

    /// A change, if there is one.
    pub fn change(&self, key: Vec<u8>, before: Option<Vec<u8>>, after: Option<Vec<u8>>) -> Option<Change> {
        (before != after).then_some(Change { map: self.id, key, before, after })
    }
}
