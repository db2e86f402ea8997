//! Maps: one file per type, the kernel's errno for every operation and flag.

mod spec;

pub use spec::{MapSpec, SpecialField, SpecialKind};

use crate::bpf::machine::ProgId;
use crate::bpf::mem::{Addr, MAP_HANDLE_BASE, Memory};
use crate::uapi::Errno;

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
    pub release: crate::uapi::Release,
}

/// One map. The first group is what helpers do (`map_ops` of the program side), the second what bpf(2) does.
///
/// Keys and values have exactly the sizes of the [`MapSpec`]; the syscall side of a per-CPU map takes and gives
/// `nr_cpus × round_up(value_size, 8)` bytes, as the kernel does.
pub trait Map {
    /// What the map was created as.
    fn spec(&self) -> &MapSpec;

    /// `bpf_map_lookup_elem`: the address of the (this CPU's) value.
    fn lookup(&mut self, ctx: &mut MapCtx<'_>, key: &[u8]) -> Option<Addr>;
    /// `bpf_map_update_elem`.
    fn update(&mut self, ctx: &mut MapCtx<'_>, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno>;
    /// `bpf_map_delete_elem`.
    fn delete(&mut self, ctx: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno>;

    /// The program in a slot of a prog array, for `bpf_tail_call`; `None` for an empty slot, one out of range, or
    /// another type of map.
    fn program(&self, index: u32) -> Option<ProgId> {
        let _ = index;
        None
    }

    /// `BPF_MAP_LOOKUP_ELEM`.
    fn sys_lookup(&mut self, ctx: &mut MapCtx<'_>, key: &[u8], flags: u64) -> Result<Vec<u8>, Errno>;
    /// `BPF_MAP_UPDATE_ELEM`.
    fn sys_update(&mut self, ctx: &mut MapCtx<'_>, key: &[u8], value: &[u8], flags: u64)
    -> Result<(), Errno>;
    /// `BPF_MAP_DELETE_ELEM`.
    fn sys_delete(&mut self, ctx: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno>;
    /// `BPF_MAP_GET_NEXT_KEY`; `None` asks for the first key. Ends with `ENOENT`.
    fn next_key(&mut self, ctx: &mut MapCtx<'_>, key: Option<&[u8]>) -> Result<Vec<u8>, Errno>;
}

/// Every map of one kernel.
#[derive(Default)]
pub struct Maps {
    maps: Vec<Box<dyn Map>>,
}

impl Maps {
    /// The map a guest handle stands for.
    pub fn by_handle(&mut self, handle: Addr) -> Option<(MapId, &mut (dyn Map + 'static))> {
        let offset = handle.checked_sub(MAP_HANDLE_BASE)?;
        let id = u32::try_from(offset / 16).ok()?;
        let map = self.maps.get_mut(id as usize)?;
        (offset % 16 == 0).then(move || (MapId(id), map.as_mut()))
    }
}
