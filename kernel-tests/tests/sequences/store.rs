//! The maps random programs use, on both sides.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use bpftwin_kernel_tests::sys::{Elements, Map, PerfBuffer, RingBuffer, possible_cpus};
use bpftwin_sim::bpf::Machine;
use bpftwin_sim::bpf::map::{MapId, MapSpec};
use bpftwin_sim::uapi::MapType;
use bpftwin_sim::uapi::map::BPF_F_NO_PREALLOC;

/// A map programs may use. Small, so that it gets full.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What kind of map it is.
    pub map_type: MapType,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

const fn shape(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> Shape {
    Shape { map_type, key_size, value_size, max_entries, flags: 0 }
}

/// One of each type whose elements can be compared.
pub const SHAPES: [Shape; 11] = [
    shape(MapType::Array, 4, 8, 3),
    shape(MapType::PercpuArray, 4, 8, 3),
    shape(MapType::Hash, 4, 8, 3),
    shape(MapType::PercpuHash, 4, 8, 3),
    shape(MapType::LruHash, 4, 8, 6),
    shape(MapType::LruPercpuHash, 4, 8, 6),
    Shape { flags: BPF_F_NO_PREALLOC, ..shape(MapType::LpmTrie, 8, 8, 3) },
    shape(MapType::Queue, 0, 8, 3),
    shape(MapType::Stack, 0, 8, 3),
    shape(MapType::Ringbuf, 0, 0, 4096),
    shape(MapType::PerfEventArray, 4, 4, 2),
];

/// What maps hold and what came out of them, by index in [`SHAPES`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Contents {
    elements: BTreeMap<usize, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// What is left in queues and stacks, next element first; what buffers gave.
    sequences: BTreeMap<usize, Vec<Vec<u8>>>,
}

impl Contents {
    fn insert(&mut self, index: usize, elements: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) {
        let array = matches!(SHAPES[index].map_type, MapType::Array | MapType::PercpuArray);
        let kept = elements.filter(|(_, value)| !array || value.iter().any(|&byte| byte != 0));
        self.elements.insert(index, kept.collect());
    }
}

fn is_queue(map_type: MapType) -> bool {
    matches!(map_type, MapType::Queue | MapType::Stack)
}

/// The kernel's side.
pub struct KernelStore {
    maps: BTreeMap<usize, Map>,
    ring: Option<RingBuffer>,
    perf: Vec<PerfBuffer>,
}

impl KernelStore {
    /// Makes the maps with these indices.
    pub fn new(indices: impl Iterator<Item = usize>) -> Self {
        let mut store = Self { maps: BTreeMap::new(), ring: None, perf: Vec::new() };
        for index in indices {
            let Shape { map_type, key_size, value_size, max_entries, flags } = SHAPES[index];
            let map = Map::new(map_type as u32, key_size, value_size, max_entries, flags).expect("creates");
            if map_type == MapType::Ringbuf {
                store.ring = Some(RingBuffer::new(map.as_fd(), max_entries).expect("maps"));
            }
            if map_type == MapType::PerfEventArray {
                for cpu in 0..possible_cpus().min(max_entries) {
                    let buffer = PerfBuffer::open(cpu).expect("CAP_PERFMON");
                    map.update(&cpu.to_ne_bytes(), &buffer.fd().to_ne_bytes(), 0).expect("sets");
                    store.perf.push(buffer);
                }
            }
            store.maps.insert(index, map);
        }
        store
    }

    /// What `ld_imm64` takes for the map with this index.
    pub fn fd(&self, index: usize) -> u32 {
        self.maps[&index].raw()
    }

    /// What is in them.
    pub fn contents(&mut self) -> Contents {
        let mut contents = Contents::default();
        for (&index, map) in &self.maps {
            let map_type = SHAPES[index].map_type;
            if is_queue(map_type) {
                let left = std::iter::from_fn(|| map.lookup_and_delete(&[], 0).ok());
                contents.sequences.insert(index, left.collect());
            } else if map_type == MapType::Ringbuf {
                contents
                    .sequences
                    .insert(index, self.ring.as_mut().map(RingBuffer::drain).unwrap_or_default());
            } else if map_type == MapType::PerfEventArray {
                let taken = self.perf.iter_mut().flat_map(|buffer| buffer.drain().expect("room for all"));
                contents.sequences.insert(index, taken.collect());
            } else {
                let mut elements = Elements::default();
                map.read_all(&mut elements).expect("reads");
                contents.insert(index, elements.iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
            }
        }
        contents
    }
}

/// The simulator's side.
pub struct SimStore {
    maps: BTreeMap<usize, MapId>,
}

impl SimStore {
    /// Makes the maps with these indices.
    pub fn new(machine: &mut Machine, indices: impl Iterator<Item = usize>) -> Self {
        let nr_cpus = machine.nr_cpus;
        let (maps, mut ctx) = machine.maps();
        let made = indices
            .map(|index| {
                let Shape { map_type, key_size, value_size, max_entries, flags } = SHAPES[index];
                let spec = MapSpec { flags, ..spec(map_type, key_size, value_size, max_entries) };
                (index, maps.create(&mut ctx, &spec).expect("creates"))
            })
            .collect();
        maps.open_perf_buffers(nr_cpus).expect("opens");
        Self { maps: made }
    }

    /// What `ld_imm64` takes for the map with this index.
    pub fn id(&self, index: usize) -> MapId {
        self.maps[&index]
    }

    /// What is in them.
    pub fn contents(&self, machine: &mut Machine) -> Contents {
        let (maps, mut ctx) = machine.maps();
        let mut contents = Contents::default();
        let mut drained: BTreeMap<MapId, Vec<Vec<u8>>> = BTreeMap::new();
        for record in maps.drain() {
            drained.entry(record.map).or_default().push(record.data);
        }
        for (&index, &id) in &self.maps {
            match SHAPES[index].map_type {
                map_type if is_queue(map_type) => {
                    let left = std::iter::from_fn(|| maps.sys_lookup_and_delete(&mut ctx, id, &[], 0).ok());
                    contents.sequences.insert(index, left.collect());
                }
                MapType::Ringbuf | MapType::PerfEventArray => {
                    contents.sequences.insert(index, drained.remove(&id).unwrap_or_default());
                }
                _ => contents.insert(index, maps.dump(&mut ctx, id).into_iter()),
            }
        }
        contents
    }
}

/// A map without anything special.
pub fn spec(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec {
        name: "twin".into(),
        map_type,
        key_size,
        value_size,
        max_entries,
        flags: 0,
        extra: 0,
        inner: None,
        pinning: 0,
        key_type: 0,
        value_type: 0,
        fields: Vec::new(),
    }
}
