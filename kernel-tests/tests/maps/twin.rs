//! One map on both sides, and commands done to both.

use std::os::fd::AsRawFd;

use bpftwin_kernel_tests::sys::{
    Errno, Map, MapCreate, btf_load, pin_to_cpu, possible_cpus, unshare_network,
};
use bpftwin_sim::bpf::Machine;
use bpftwin_sim::bpf::map::{CreateError, MapId, MapSpec, Reference};
use bpftwin_sim::uapi::map::*;
use bpftwin_sim::uapi::{MapType, Release};
use proptest::prelude::*;

pub fn machine() -> Machine {
    pin_to_cpu(0).expect("CPU 0 is ours");
    LONELY.with(|()| ());
    let uname = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a kernel");
    let mut machine = Machine::new(Release::of_uname(&uname).expect("a described kernel"), possible_cpus());
    machine.devices = vec![1];
    machine
}

thread_local! {
    /// A network namespace with nothing but a loopback, for this thread.
    static LONELY: () = unshare_network().expect("CAP_SYS_ADMIN");
}

pub fn spec(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32, flags: u32) -> MapSpec {
    MapSpec {
        name: "twin".to_owned(),
        map_type,
        key_size,
        value_size,
        max_entries,
        flags,
        extra: 0,
        inner: None,
        pinning: 0,
        key_type: 0,
        value_type: 0,
        fields: Vec::new(),
    }
}

/// What inner maps of maps of maps look like.
pub fn pattern() -> MapSpec {
    spec(MapType::Hash, 4, 8, 3, BPF_F_ZERO_SEED)
}

/// One map on both sides.
pub struct Twin {
    pub machine: Machine,
    pub id: MapId,
    pub kernel: Map,
    /// Inner maps: the first two fit [`pattern`], the last does not.
    inner: Vec<(MapId, Map)>,
}

/// A spec whose keys have type [`INT`] and whose values have type [`BYTES`].
pub fn typed(spec: MapSpec) -> MapSpec {
    MapSpec { key_type: INT, value_type: BYTES, ..spec }
}

/// `unsigned int`.
const INT: u32 = 1;
/// An array of as many bytes as the value has.
const BYTES: u32 = 3;

/// BTF with these types.
fn types(value_size: u32) -> Vec<u8> {
    const KIND_INT: u32 = 1 << 24;
    const KIND_ARRAY: u32 = 3 << 24;
    let strings = b"\0unsigned int\0unsigned char\0";
    let types =
        [[1, KIND_INT, 4, 32].as_slice(), &[14, KIND_INT, 1, 8], &[0, KIND_ARRAY, 0, 2, INT, value_size]]
            .concat();
    let len = types.len() as u32 * 4;
    let head = [0x0001_eb9f, 24, 0, len, len, strings.len() as u32];
    let words = head.into_iter().chain(types).flat_map(u32::to_le_bytes);
    words.chain(strings.iter().copied()).collect()
}

fn kernel_create(spec: &MapSpec, inner: Option<&Map>) -> Result<Map, Errno> {
    let types = (spec.value_type != 0).then(|| btf_load(&types(spec.value_size)).expect("valid BTF"));
    Map::create(MapCreate {
        map_type: spec.map_type as u32,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        map_flags: spec.flags,
        map_extra: spec.extra,
        inner_map_fd: inner.map_or(u32::MAX, Map::raw),
        btf_fd: types.as_ref().map_or(0, |fd| fd.as_raw_fd() as u32),
        btf_key_type_id: spec.key_type,
        btf_value_type_id: spec.value_type,
        ..MapCreate::default()
    })
}

impl Twin {
    /// `Ok(None)` when both refuse alike.
    pub fn create(spec: &MapSpec) -> Result<Option<Self>, TestCaseError> {
        let mut machine = machine();
        let mut inner = Vec::new();
        if let Some(pattern) = &spec.inner {
            let other = MapSpec { value_size: pattern.value_size + 8, ..(**pattern).clone() };
            for spec in [&**pattern, pattern, &other] {
                let (maps, mut ctx) = machine.maps();
                let id = maps.create(&mut ctx, spec).expect("a usual map");
                inner.push((id, kernel_create(spec, None).expect("a usual map")));
            }
        }
        let kernel = kernel_create(spec, inner.first().map(|(_, map)| map));
        let (maps, mut ctx) = machine.maps();
        match (maps.create(&mut ctx, spec), kernel) {
            (Ok(id), Ok(kernel)) => {
                let kept = maps.spec(id);
                prop_assert_eq!(kept.max_entries, kernel.info().max_entries, "{:?}", spec);
                Ok(Some(Self { machine, id, kernel, inner }))
            }
            (sim, kernel) => {
                let sim = sim.err();
                let kernel = kernel.err().map(CreateError::Errno);
                prop_assert_eq!(sim, kernel, "creating {:?}", spec);
                Ok(None)
            }
        }
    }

    /// Does `op` on both sides.
    pub fn step(&mut self, op: &Op) -> Result<(), TestCaseError> {
        let (id, kernel) = (self.id, &self.kernel);
        let (maps, mut ctx) = self.machine.maps();
        match op {
            Op::Update(key, value, flags) => {
                let value: Vec<u8> = value.iter().copied().cycle().take(kernel.value_size()).collect();
                let sim = maps.sys_update(&mut ctx, id, key, &value, *flags);
                // A number that is no descriptor, whatever the value is.
                let bytes = if holds_objects(kernel) { vec![0xff; 4] } else { value };
                prop_assert_eq!(sim, kernel.update(key, &bytes, *flags), "{:?}", op);
            }
            Op::SetMap(key, number, flags) => {
                let (inner, fd) = &self.inner[*number];
                let sim = maps.sys_update_reference(id, key, Reference::Map(*inner), *flags);
                let kernel = kernel.update(key, &fd.raw().to_le_bytes(), *flags);
                prop_assert_eq!(sim, kernel, "{:?}", op);
            }
            Op::Lookup(key, flags) => {
                let sim = maps.sys_lookup(&mut ctx, id, key, *flags);
                prop_assert_eq!(sim, self.translate(self.kernel.lookup(key, *flags)), "{:?}", op);
            }
            Op::LookupAndDelete(key, flags) => {
                let sim = maps.sys_lookup_and_delete(&mut ctx, id, key, *flags);
                prop_assert_eq!(sim, kernel.lookup_and_delete(key, *flags), "{:?}", op);
            }
            Op::Delete(key) => {
                prop_assert_eq!(maps.sys_delete(&mut ctx, id, key), kernel.delete(key), "{:?}", op);
            }
            Op::NextKey(key) => {
                let sim = maps.sys_next_key(id, key.as_deref());
                prop_assert_eq!(sim, kernel.next_key(key.as_deref()), "{:?}", op);
            }
            Op::Contains(value) => {
                let readable = maps.spec(id).flags & BPF_F_WRONLY == 0;
                let sim = if readable { maps.map(id).contains(value) } else { Err(Errno::EPERM) };
                prop_assert_eq!(sim, kernel.contains(value), "{:?}", op);
            }
            Op::Freeze => prop_assert_eq!(maps.sys_freeze(id), kernel.freeze()),
        }
        Ok(())
    }

    /// The kernel shows a map's id where the simulator shows its number.
    fn translate(&self, value: Result<Vec<u8>, Errno>) -> Result<Vec<u8>, Errno> {
        if !holds_objects(&self.kernel) {
            return value;
        }
        value.map(|value| {
            let shown = |(_, map): &&(MapId, Map)| map.info().id.to_le_bytes()[..] == value;
            let (inner, _) = self.inner.iter().find(shown).expect("an inner map of ours");
            inner.0.to_le_bytes().to_vec()
        })
    }

    /// Every key in the order of `BPF_MAP_GET_NEXT_KEY`, and every value.
    pub fn same_contents(&mut self) -> Result<(), TestCaseError> {
        let mut key = None;
        for _ in 0..5000 {
            let (maps, _) = self.machine.maps();
            let next = self.kernel.next_key(key.as_deref());
            prop_assert_eq!(&maps.sys_next_key(self.id, key.as_deref()), &next, "after {:?}", key);
            let Ok(next) = next else { return Ok(()) };
            self.step(&Op::Lookup(next.clone(), 0))?;
            key = Some(next);
        }
        panic!("the keys never end");
    }
}

fn holds_objects(map: &Map) -> bool {
    let types = [
        MapType::ProgArray,
        MapType::PerfEventArray,
        MapType::ArrayOfMaps,
        MapType::HashOfMaps,
        MapType::CgroupArray,
        MapType::Xskmap,
    ];
    types.iter().any(|&t| t as u32 == map.info().map_type)
}

#[derive(Clone, Debug)]
pub enum Op {
    Update(Vec<u8>, Vec<u8>, u64),
    SetMap(Vec<u8>, usize, u64),
    Lookup(Vec<u8>, u64),
    LookupAndDelete(Vec<u8>, u64),
    Delete(Vec<u8>),
    NextKey(Option<Vec<u8>>),
    Freeze,
    /// Asks a bloom filter for a value.
    Contains(Vec<u8>),
}

impl Op {
    /// The same with another key.
    pub fn with_key(self, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Self {
        match self {
            Self::Update(key, value, flags) => Self::Update(change(key), value, flags),
            Self::SetMap(key, number, flags) => Self::SetMap(change(key), number, flags),
            Self::Lookup(key, flags) => Self::Lookup(change(key), flags),
            Self::LookupAndDelete(key, flags) => Self::LookupAndDelete(change(key), flags),
            Self::Delete(key) => Self::Delete(change(key)),
            Self::NextKey(key) => Self::NextKey(key.map(change)),
            other @ (Self::Freeze | Self::Contains(_)) => other,
        }
    }
}

/// Runs `ops` on a new map, freezing it at the end, and compares the contents before and after.
pub fn check(spec: &MapSpec, ops: &[Op]) -> Result<(), TestCaseError> {
    let Some(mut twin) = Twin::create(spec)? else { return Ok(()) };
    for op in ops {
        twin.step(op)?;
    }
    let has_keys = !matches!(spec.map_type, MapType::SkStorage | MapType::CgrpStorage);
    if spec.flags & BPF_F_WRONLY == 0 && spec.key_size > 0 && has_keys {
        twin.same_contents()?;
    }
    twin.step(&Op::Freeze)?;
    for op in ops.iter().take(3) {
        twin.step(op)?;
    }
    twin.step(&Op::Freeze)
}
