//! Maps: one file per type, the kernel's errno for every operation and flag.
//!
//! A map type is one implementation of [`Map`] and one line in `create`. [`Maps`] adds what the kernel does for every
//! type alike: permissions of the file descriptor, freezing, flags that need a lock in the value.
//!
//! Values live in guest memory, keys and everything else outside it. Storage is lazy: a map of a million entries costs
//! nothing until they are used. Memory of deleted elements is never unmapped while the map lives: the kernel hands it
//! to the next insertion the same way, so a pointer kept over a deletion sees here what it would see there.

mod array;
mod bloom_filter;
mod cgroup_array;
mod cgroup_storage;
mod create;
mod fd_array;
mod hash;
mod jhash;
mod local_storage;
mod lpm_trie;
mod lru;
mod lru_list;
mod map_in_map;
mod ops;
mod owned;
mod paged;
mod perf_event_array;
mod prog_array;
mod queue_stack;
mod redirect;
mod reuseport_array;
mod ring;
mod ringbuf;
mod sock_hash;
mod sock_map;
mod socket;
mod spec;
mod table;
mod tail_callee;
#[cfg(test)]
mod tests;
mod user_ringbuf;
mod values;
mod xskmap;

pub use create::CreateError;
pub use local_storage::LocalStorage;
pub use ops::Map;
pub use ringbuf::{Ringbuf, RingbufQuery};
pub use socket::{Holder, SocketRef};
pub use spec::{MapSpec, SpecialField, SpecialKind};
pub use tail_callee::TailCallee;
pub use user_ringbuf::{Sample, UserRingbuf};

use crate::bpf::mem::{Addr, MAP_HANDLE_BASE, Memory};
use crate::uapi::map::{BPF_F_LOCK, BPF_F_RDONLY, BPF_F_WRONLY};
use crate::uapi::{Errno, MapType, Release};

/// Identifies a map in [`Maps`]. Its handle in guest memory is [`MapId::handle`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MapId(pub u32);

impl MapId {
    /// The guest's `struct bpf_map *`.
    pub const fn handle(self) -> Addr {
        MAP_HANDLE_BASE + self.0 as u64 * 16
    }
}

/// Where a map operation happens.
pub struct MapCtx<'a> {
    /// Where elements live.
    pub mem: &'a mut Memory,
    /// The CPU the program runs on.
    pub cpu: u32,
    /// Possible CPUs.
    pub nr_cpus: u32,
    /// The kernel spoken as.
    pub release: Release,
    /// The ifindex of every device there is.
    pub devices: &'a [u32],
}

/// What the system call stores in maps that hold kernel objects; user space passes a file descriptor for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reference {
    /// For prog arrays.
    Program(TailCallee),
    /// For maps of maps.
    Map(MapId),
    /// For perf event arrays: an event that takes records on this CPU (`PERF_COUNT_SW_BPF_OUTPUT`).
    PerfEvent {
        /// The CPU the event was opened on.
        cpu: u32,
    },
    /// For maps of sockets; in place of a key, for storage of sockets.
    Socket(SocketRef),
    /// For cgroup arrays; in place of a key, for storage of cgroups.
    Cgroup(CgroupId),
}

/// A cgroup's id, its inode number: what `bpf_skb_cgroup_id` gives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CgroupId(pub u64);

/// A record that came out of a ring buffer or a perf event array.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The map it came out of.
    pub map: MapId,
    /// The bytes a consumer gets; of a perf event padded with zeroes to the size the consumer is told.
    pub data: Vec<u8>,
}

/// An element that is not what it was. Values are as the system call gives them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The map.
    pub map: MapId,
    /// The element's key.
    pub key: Vec<u8>,
    /// What it was; `None`: absent.
    pub before: Option<Vec<u8>>,
    /// What it is; `None`: absent.
    pub after: Option<Vec<u8>>,
}

/// A position in [`Maps::walk`], the order of `bpf_for_each_map_elem`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    /// Buckets or elements already left behind.
    at: u64,
    /// The element to visit next in the current bucket; 0: look at the next bucket.
    slot: u32,
}

/// An element that [`Maps::walk`] visits.
pub struct Element {
    /// The key's bytes.
    pub key: Vec<u8>,
    /// The address of this CPU's value.
    pub value: Addr,
}

/// Types for which `bpf_map_lookup_elem` is [`Map::lookup`] and nothing more.
const PLAIN: &[MapType] = &[
    MapType::Hash,
    MapType::Array,
    MapType::PercpuHash,
    MapType::PercpuArray,
    MapType::LruHash,
    MapType::LruPercpuHash,
    MapType::LpmTrie,
];

/// A map and what is the same for every type.
struct Slot {
    spec: MapSpec,
    frozen: bool,
    /// Whether its type is one of [`PLAIN`].
    looks_up: bool,
    map: Box<dyn Map>,
}

/// Every map of one kernel, by the order of creation.
#[derive(Default)]
pub struct Maps {
    slots: Vec<Slot>,
    /// Those with records to reserve.
    rings: Vec<MapId>,
    tracked: bool,
    /// Whether a map is storage of sockets.
    stores: bool,
}

impl Maps {
    /// `BPF_MAP_CREATE` (`kernel/bpf/syscall.c: map_create`, v6.12), with every capability.
    ///
    /// Memory is not taken until used, so a kernel's `ENOMEM` for a huge map has no counterpart.
    pub fn create(&mut self, ctx: &mut MapCtx<'_>, spec: &MapSpec) -> Result<MapId, CreateError> {
        let id = MapId(self.slots.len() as u32);
        let (map, spec) = create::create(ctx, id, spec)?;
        self.stores |= spec.map_type == MapType::SkStorage;
        let looks_up = PLAIN.contains(&spec.map_type);
        if spec.map_type == MapType::Ringbuf {
            self.rings.push(id);
        }
        self.slots.push(Slot { spec, frozen: false, looks_up, map });
        let tracked = self.tracked;
        self.map(id).track(tracked);
        Ok(id)
    }

    /// The map a guest handle stands for.
    #[inline]
    pub fn by_handle(&self, handle: Addr) -> Option<MapId> {
        let offset = handle.checked_sub(MAP_HANDLE_BASE)?;
        let number = offset / 16;
        (offset.is_multiple_of(16) && number < self.slots.len() as u64).then_some(MapId(number as u32))
    }

    /// Every map, oldest first.
    pub fn ids(&self) -> impl Iterator<Item = MapId> + use<> {
        (0..self.slots.len() as u32).map(MapId)
    }

    /// What the map is: the flags and `max_entries` are those the kernel keeps, which may differ from those asked for.
    pub fn spec(&self, id: MapId) -> &MapSpec {
        &self.slots[id.0 as usize].spec
    }

    /// Whether `bpf_map_lookup_elem` of this map is [`Map::lookup`].
    #[inline]
    pub(super) fn looks_up(&self, id: MapId) -> bool {
        self.slots[id.0 as usize].looks_up
    }

    /// The map itself, for operations that ask nothing of the file descriptor: the program side.
    #[inline]
    pub fn map(&mut self, id: MapId) -> &mut dyn Map {
        self.slots[id.0 as usize].map.as_mut()
    }

    /// One step of `bpf_for_each_map_elem`, in the kernel's order, which the callback may disturb as it may there: the
    /// next element is chosen before the current one is handed out.
    pub fn walk(&mut self, ctx: &mut MapCtx<'_>, id: MapId, walk: &mut Walk) -> Option<Element> {
        self.map(id).walk(ctx, walk)
    }

    /// `BPF_MAP_LOOKUP_ELEM` (`kernel/bpf/syscall.c: map_lookup_elem`, v6.12).
    pub fn sys_lookup(
        &mut self,
        ctx: &mut MapCtx<'_>,
        id: MapId,
        key: &[u8],
        flags: u64,
    ) -> Result<Vec<u8>, Errno> {
        if flags & !BPF_F_LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        let slot = self.readable(id)?.lockable(flags)?;
        slot.map.sys_lookup(ctx, slot.spec.whole_key(key))
    }

    /// `BPF_MAP_UPDATE_ELEM` (`kernel/bpf/syscall.c: map_update_elem`, v6.12).
    ///
    /// No file descriptor exists here: bytes written to a map that holds kernel objects get `EBADF` where the kernel
    /// looks the descriptor up. [`sys_update_reference`](Self::sys_update_reference) is for those.
    pub fn sys_update(
        &mut self,
        ctx: &mut MapCtx<'_>,
        id: MapId,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        let slot = self.writable(id)?.lockable(flags)?;
        assert_eq!(value.len(), slot.spec.sys_value_size(ctx.nr_cpus), "value of map {}", slot.spec.name);
        slot.map.sys_update(ctx, slot.spec.whole_key(key), value, flags)
    }

    /// `BPF_MAP_UPDATE_ELEM` of a map that holds kernel objects.
    pub fn sys_update_reference(
        &mut self,
        id: MapId,
        key: &[u8],
        new: Reference,
        flags: u64,
    ) -> Result<(), Errno> {
        let new = match new {
            Reference::Map(inner) => map_in_map::fits(self.spec(id), self.spec(inner)).map(|()| new),
            Reference::Socket(socket) => Ok(Reference::Socket(self.held(socket))),
            Reference::Program(_) | Reference::PerfEvent { .. } | Reference::Cgroup(_) => Ok(new),
        };
        let slot = self.writable(id)?.lockable(flags)?;
        slot.map.sys_update_fd(slot.spec.whole_key(key), new, flags)
    }

    /// What a loader's perf buffer does to every perf event array: opens an event on each CPU that has a slot
    /// (`tools/lib/bpf/libbpf.c: __perf_buffer__new`, v6.12).
    pub fn open_perf_buffers(&mut self, nr_cpus: u32) -> Result<(), Errno> {
        for id in self.ids() {
            let spec = self.spec(id);
            if spec.map_type == MapType::PerfEventArray {
                for cpu in 0..nr_cpus.min(spec.max_entries) {
                    self.sys_update_reference(id, &cpu.to_le_bytes(), Reference::PerfEvent { cpu }, 0)?;
                }
            }
        }
        Ok(())
    }

    /// `BPF_MAP_DELETE_ELEM` (`kernel/bpf/syscall.c: map_delete_elem`, v6.12).
    pub fn sys_delete(&mut self, ctx: &mut MapCtx<'_>, id: MapId, key: &[u8]) -> Result<(), Errno> {
        let slot = self.writable(id)?;
        slot.map.sys_delete(ctx, slot.spec.whole_key(key))
    }

    /// `BPF_MAP_LOOKUP_AND_DELETE_ELEM` (`kernel/bpf/syscall.c: map_lookup_and_delete_elem`, v6.12).
    pub fn sys_lookup_and_delete(
        &mut self,
        ctx: &mut MapCtx<'_>,
        id: MapId,
        key: &[u8],
        flags: u64,
    ) -> Result<Vec<u8>, Errno> {
        if flags & !BPF_F_LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        self.readable(id)?;
        let slot = self.writable(id)?;
        if flags != 0 && matches!(slot.spec.map_type, MapType::Queue | MapType::Stack) {
            return Err(Errno::EINVAL);
        }
        let slot = slot.lockable(flags)?;
        slot.map.sys_lookup_and_delete(ctx, slot.spec.whole_key(key))
    }

    /// `BPF_MAP_GET_NEXT_KEY` (`kernel/bpf/syscall.c: map_get_next_key`, v6.12). `None` asks for the first key; a key
    /// that is not (or no longer) in the map starts over. Ends with `ENOENT`.
    pub fn sys_next_key(&mut self, id: MapId, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let slot = self.readable(id)?;
        slot.map.next_key(key.map(|key| slot.spec.whole_key(key)))
    }

    /// `BPF_MAP_FREEZE` (`kernel/bpf/syscall.c: map_freeze`, v6.12): from now on the system call may not write.
    pub fn sys_freeze(&mut self, id: MapId) -> Result<(), Errno> {
        if !self.spec(id).fields.is_empty() {
            return Err(Errno::ENOTSUPP);
        }
        self.writable(id)?.frozen = true;
        Ok(())
    }

    /// The guest address `offset` bytes into the value of a map of one element: what `ld_imm64` of a global variable
    /// loads (`kernel/bpf/arraymap.c: array_map_direct_value_addr`, v6.12).
    pub fn value_addr(&mut self, ctx: &mut MapCtx<'_>, id: MapId, offset: u32) -> Result<Addr, Errno> {
        let slot = &mut self.slots[id.0 as usize];
        let base = slot.map.value_addr(ctx)?;
        if offset >= slot.spec.value_size {
            return Err(Errno::EINVAL);
        }
        Ok(base + Addr::from(offset))
    }

    /// Every element that can be read, by key in the map's own order, with values as the system call gives them.
    /// Elements of arrays that were never written are left out: they are zero.
    pub fn dump(&mut self, ctx: &mut MapCtx<'_>, id: MapId) -> Vec<(Vec<u8>, Vec<u8>)> {
        let map = self.map(id);
        let keys = map.keys();
        keys.into_iter().filter_map(|key| map.sys_lookup(ctx, &key).ok().map(|value| (key, value))).collect()
    }

    /// Finishes the ring buffer record at `sample`, which [`Ringbuf::reserve`] gave; false if no ring gave it.
    pub fn ringbuf_commit(&mut self, mem: &mut Memory, sample: Addr, discard: bool) -> bool {
        let mut rings = self.rings.iter();
        rings.any(|id| {
            let ring = self.slots[id.0 as usize].map.ringbuf();
            ring.is_some_and(|ring| ring.commit(mem, sample, discard))
        })
    }

    /// The address of a record that is reserved and neither submitted nor discarded, if there is one.
    #[inline]
    pub fn ringbuf_open(&mut self) -> Option<Addr> {
        let Self { rings, slots, .. } = self;
        rings.iter().find_map(|id| slots[id.0 as usize].map.ringbuf()?.open().next())
    }

    /// Takes every record a consumer of the ring buffers and perf events would get now, by map, in the order of each
    /// map's records; of a perf event array, the records of its first slot before those of the next.
    pub fn drain(&mut self) -> Vec<Record> {
        let slots = self.slots.iter_mut().enumerate();
        slots
            .flat_map(|(number, slot)| {
                let map = MapId(number as u32);
                slot.map.drain().into_iter().map(move |data| Record { map, data })
            })
            .collect()
    }

    /// Starts (or stops) remembering, for every map, what an element was before it could change.
    pub fn track(&mut self, on: bool) {
        self.tracked = on;
        for slot in &mut self.slots {
            slot.map.track(on);
        }
    }

    /// The elements that changed since [`track`](Self::track) or since the last call, by map and key. Costs what was
    /// touched, not what the maps hold.
    pub fn changes(&mut self, ctx: &mut MapCtx<'_>) -> Vec<Change> {
        self.slots.iter_mut().flat_map(|slot| slot.map.changes(ctx)).collect()
    }

    /// The values whose special fields maps have freed since the last call: their timers are no more.
    pub fn take_freed(&mut self) -> Vec<Addr> {
        self.slots.iter_mut().flat_map(|slot| slot.map.take_freed()).collect()
    }

    /// To be called when no program runs: memory that only a running program could still reach is given back, and
    /// records a faulting program left open are discarded.
    pub fn synchronize_rcu(&mut self, mem: &mut Memory) {
        while let Some(record) = self.ringbuf_open() {
            self.ringbuf_commit(mem, record, true);
        }
        for slot in &mut self.slots {
            slot.map.synchronize_rcu(mem);
        }
    }

    fn readable(&mut self, id: MapId) -> Result<&mut Slot, Errno> {
        let slot = &mut self.slots[id.0 as usize];
        if slot.spec.flags & BPF_F_WRONLY != 0 { Err(Errno::EPERM) } else { Ok(slot) }
    }

    fn writable(&mut self, id: MapId) -> Result<&mut Slot, Errno> {
        let slot = &mut self.slots[id.0 as usize];
        if slot.frozen || slot.spec.flags & BPF_F_RDONLY != 0 { Err(Errno::EPERM) } else { Ok(slot) }
    }
}

impl Slot {
    /// The local storage that the caller knows this map to be.
    fn storage(&mut self) -> &mut LocalStorage {
        self.map.storage().expect("a map of local storage")
    }

    fn lockable(&mut self, flags: u64) -> Result<&mut Self, Errno> {
        let has_lock = self.spec.fields.iter().any(|f| f.kind == SpecialKind::SpinLock);
        if flags & BPF_F_LOCK != 0 && !has_lock { Err(Errno::EINVAL) } else { Ok(self) }
    }
}
