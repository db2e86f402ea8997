//! Maps as their users see them. The kernel's own answers to the same commands are compared in `kernel-tests`.

mod errnos;
mod eviction;
mod memory;
mod model;
mod records;

use super::{MapId, MapSpec};
use crate::bpf::Machine;
use crate::uapi::map::{BPF_F_NO_PREALLOC, BPF_F_ZERO_SEED};
use crate::uapi::{Errno, MapType, Release};

/// A map with 4-byte keys and 8-byte values, or as near to it as its type allows.
fn spec(map_type: MapType, max_entries: u32) -> MapSpec {
    use MapType::{
        ArrayOfMaps, BloomFilter, CgroupArray, CgroupStorage, CgrpStorage, Hash, HashOfMaps, LpmTrie,
        LruHash, LruPercpuHash, PercpuCgroupStorage, PercpuHash, PerfEventArray, ProgArray, Queue, Ringbuf,
        SkStorage, Stack, UserRingbuf, Xskmap,
    };
    let (key_size, value_size) = match map_type {
        Queue | Stack | BloomFilter => (0, 8),
        Ringbuf | UserRingbuf => (0, 0),
        CgroupStorage | PercpuCgroupStorage => (16, 8),
        LpmTrie => (8, 8),
        ProgArray | PerfEventArray | ArrayOfMaps | HashOfMaps | CgroupArray | Xskmap => (4, 4),
        _ => (4, 8),
    };
    let flags = match map_type {
        LpmTrie | SkStorage | CgrpStorage => BPF_F_NO_PREALLOC,
        Hash | PercpuHash | LruHash | LruPercpuHash | HashOfMaps => BPF_F_ZERO_SEED,
        _ => 0,
    };
    let inner = matches!(map_type, ArrayOfMaps | HashOfMaps).then(|| Box::new(spec(MapType::Array, 1)));
    MapSpec {
        name: format!("{map_type}"),
        map_type,
        key_size,
        value_size,
        max_entries,
        flags,
        extra: 0,
        inner,
        pinning: 0,
        key_type: 1,
        value_type: 1,
        fields: Vec::new(),
    }
}

/// A machine with one map, and what tests do to it.
struct Bench {
    machine: Machine,
    id: MapId,
}

impl Bench {
    fn new(spec: &MapSpec) -> Self {
        Self::on(Release::V6_18, 2, spec)
    }

    fn on(release: Release, nr_cpus: u32, spec: &MapSpec) -> Self {
        let mut machine = Machine::new(release, nr_cpus);
        let (maps, mut ctx) = machine.maps();
        let id = maps.create(&mut ctx, spec).unwrap();
        Self { machine, id }
    }

    fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let (maps, mut ctx) = self.machine.maps();
        maps.sys_update(&mut ctx, self.id, key, value, flags)
    }

    fn lookup(&mut self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        let (maps, mut ctx) = self.machine.maps();
        maps.sys_lookup(&mut ctx, self.id, key, 0)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Errno> {
        let (maps, mut ctx) = self.machine.maps();
        maps.sys_delete(&mut ctx, self.id, key)
    }

    /// What a program's lookup returns, the key lying on its stack.
    fn address(&mut self, key: &[u8]) -> u64 {
        let fp = self.machine.mem.push_frame().unwrap();
        let at = fp - 64;
        self.machine.mem.guest_mut(at, key.len() as u64).unwrap().copy_from_slice(key);
        let (maps, mut ctx) = self.machine.maps();
        let value = maps.map(self.id).lookup(&mut ctx, at).unwrap();
        self.machine.mem.pop_frame();
        value
    }

    /// What a program's update does.
    fn program_update(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let (maps, mut ctx) = self.machine.maps();
        maps.map(self.id).update(&mut ctx, key, value, flags)
    }

    fn dump(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let (maps, mut ctx) = self.machine.maps();
        maps.dump(&mut ctx, self.id)
    }
}
