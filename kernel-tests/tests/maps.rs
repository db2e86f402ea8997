//! The simulator's maps against the kernel's: the same commands with the same bytes on both sides, errno by errno and
//! value by value. Needs CAP_BPF and CAP_SYS_ADMIN (for `BPF_F_ZERO_SEED`).

use bpftwin_kernel_tests::sys::{Errno, Map, MapCreate, pin_to_cpu, possible_cpus, unshare_network};
use bpftwin_sim::bpf::Machine;
use bpftwin_sim::bpf::map::{CreateError, MapId, MapSpec, Reference};
use bpftwin_sim::uapi::map::*;
use bpftwin_sim::uapi::{MapType, Release};
use proptest::prelude::*;

fn machine() -> Machine {
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

fn spec(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32, flags: u32) -> MapSpec {
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
fn pattern() -> MapSpec {
    spec(MapType::Hash, 4, 8, 3, BPF_F_ZERO_SEED)
}

/// One map on both sides.
struct Twin {
    machine: Machine,
    id: MapId,
    kernel: Map,
    /// Inner maps: the first two fit [`pattern`], the last does not.
    inner: Vec<(MapId, Map)>,
}

fn kernel_create(spec: &MapSpec, inner: Option<&Map>) -> Result<Map, Errno> {
    Map::create(MapCreate {
        map_type: spec.map_type as u32,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        map_flags: spec.flags,
        map_extra: spec.extra,
        inner_map_fd: inner.map_or(u32::MAX, Map::raw),
        ..MapCreate::default()
    })
}

impl Twin {
    /// `Ok(None)` when both refuse alike.
    fn create(spec: &MapSpec) -> Result<Option<Self>, TestCaseError> {
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
    fn step(&mut self, op: &Op) -> Result<(), TestCaseError> {
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
    fn same_contents(&mut self) -> Result<(), TestCaseError> {
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
    let types = [MapType::ProgArray, MapType::PerfEventArray, MapType::ArrayOfMaps, MapType::HashOfMaps];
    types.iter().any(|&t| t as u32 == map.info().map_type)
}

#[derive(Clone, Debug)]
enum Op {
    Update(Vec<u8>, Vec<u8>, u64),
    SetMap(Vec<u8>, usize, u64),
    Lookup(Vec<u8>, u64),
    LookupAndDelete(Vec<u8>, u64),
    Delete(Vec<u8>),
    NextKey(Option<Vec<u8>>),
    Freeze,
}

fn flags() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => Just(0),
        6 => 0..3u64,
        1 => 0..8u64,
        1 => Just(1 << 32),
        1 => Just(u64::MAX),
    ]
}

fn ops(keys: impl Strategy<Value = Vec<u8>> + Clone + 'static) -> impl Strategy<Value = Vec<Op>> {
    let value = prop::collection::vec(any::<u8>(), 1..40);
    let op = prop_oneof![
        12 => (keys.clone(), value, flags()).prop_map(|(k, v, f)| Op::Update(k, v, f)),
        3 => (keys.clone(), flags()).prop_map(|(k, f)| Op::Lookup(k, f)),
        2 => (keys.clone(), flags()).prop_map(|(k, f)| Op::LookupAndDelete(k, f)),
        5 => keys.clone().prop_map(Op::Delete),
        4 => prop::option::of(keys).prop_map(Op::NextKey),
    ];
    prop::collection::vec(op, 1..80)
}

/// Runs `ops` on a new map, freezing it at the end, and compares the contents before and after.
fn check(spec: &MapSpec, ops: &[Op]) -> Result<(), TestCaseError> {
    let Some(mut twin) = Twin::create(spec)? else { return Ok(()) };
    for op in ops {
        twin.step(op)?;
    }
    if spec.flags & BPF_F_WRONLY == 0 && spec.key_size > 0 {
        twin.same_contents()?;
    }
    twin.step(&Op::Freeze)?;
    for op in ops.iter().take(3) {
        twin.step(op)?;
    }
    twin.step(&Op::Freeze)
}

/// Keys below `count`, little-endian, stretched to `size` bytes.
fn numbers(size: usize, count: u32) -> impl Strategy<Value = Vec<u8>> + Clone {
    (0..count).prop_map(move |number| number.to_le_bytes().into_iter().cycle().take(size).collect())
}

fn access() -> impl Strategy<Value = u32> {
    prop_oneof![
        8 => Just(0),
        1 => Just(BPF_F_RDONLY),
        1 => Just(BPF_F_WRONLY),
        1 => Just(BPF_F_RDONLY_PROG),
        1 => Just(BPF_F_WRONLY_PROG),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arrays(
        percpu: bool,
        value_size in prop::sample::select(vec![1u32, 4, 8, 12, 33]),
        max_entries in 1..6u32,
        access in access(),
        ops in ops(numbers(4, 8)),
    ) {
        let map_type = if percpu { MapType::PercpuArray } else { MapType::Array };
        check(&spec(map_type, 4, value_size, max_entries, access), &ops)?;
    }

    #[test]
    fn hashes(
        percpu: bool,
        (key_size, ops) in prop::sample::select(vec![1usize, 4, 7, 8, 13, 16])
            .prop_flat_map(|size| (Just(size as u32), ops(numbers(size, 9)))),
        value_size in prop::sample::select(vec![1u32, 8, 12]),
        max_entries in 1..9u32,
        prealloc in prop::sample::select(vec![0, BPF_F_NO_PREALLOC]),
        access in access(),
    ) {
        let map_type = if percpu { MapType::PercpuHash } else { MapType::Hash };
        check(&spec(map_type, key_size, value_size, max_entries, BPF_F_ZERO_SEED | prealloc | access), &ops)?;
    }

    #[test]
    fn lru_hashes(
        percpu: bool,
        max_entries in 1..12u32,
        common in prop::sample::select(vec![0, BPF_F_NO_COMMON_LRU]),
        ops in ops(numbers(4, 16)),
    ) {
        let map_type = if percpu { MapType::LruPercpuHash } else { MapType::LruHash };
        check(&spec(map_type, 4, 8, max_entries, BPF_F_ZERO_SEED | common), &ops)?;
    }

    #[test]
    fn lpm_tries(
        (key_size, ops) in prop::sample::select(vec![5usize, 6, 8, 9, 16, 20]).prop_flat_map(|size| {
            let bits = (size as u32 - 4) * 8;
            let prefix = prop_oneof![0..=bits + 1, bits - 3..=bits];
            let data = prop::collection::vec(prop::sample::select(vec![0u8, 1, 0x80, 0xc0, 0xff]), size - 4);
            let key = (prefix, data).prop_map(|(prefix, data)| [&prefix.to_le_bytes()[..], &data].concat());
            let keys = prop::collection::vec(key, 12);
            keys.prop_flat_map(move |keys| (Just(size as u32), ops(prop::sample::select(keys))))
        }),
        value_size in prop::sample::select(vec![1u32, 8]),
        max_entries in 1..14u32,
        access in access(),
    ) {
        check(&spec(MapType::LpmTrie, key_size, value_size, max_entries, BPF_F_NO_PREALLOC | access), &ops)?;
    }

    #[test]
    fn arrays_of_kernel_objects(
        map_type in prop::sample::select(vec![MapType::ProgArray, MapType::PerfEventArray]),
        access in access(),
        ops in ops(numbers(4, 6)),
    ) {
        check(&spec(map_type, 4, 4, 3, access), &ops)?;
    }

    #[test]
    fn maps_of_maps(
        hash: bool,
        max_entries in 1..5u32,
        ops in ops(numbers(4, 6)),
        sets in prop::collection::vec((numbers(4, 6), 0..3usize, flags()), 1..20),
    ) {
        let (map_type, flags) =
            if hash { (MapType::HashOfMaps, BPF_F_ZERO_SEED) } else { (MapType::ArrayOfMaps, 0) };
        let spec = MapSpec { inner: Some(Box::new(pattern())), ..spec(map_type, 4, 4, max_entries, flags) };
        let sets = sets.into_iter().map(|(key, number, flags)| Op::SetMap(key, number, flags));
        let mixed: Vec<Op> = sets.zip(ops).flat_map(|(set, op)| [set, op]).collect();
        check(&spec, &mixed)?;
    }

    #[test]
    fn queues_and_stacks(
        stack: bool,
        value_size in 1..9u32,
        max_entries in 1..5u32,
        access in access(),
        ops in ops(Just(Vec::new())),
    ) {
        let map_type = if stack { MapType::Stack } else { MapType::Queue };
        check(&spec(map_type, 0, value_size, max_entries, access), &ops)?;
    }

    /// The loopback is there, other devices are not.
    #[test]
    fn maps_to_redirect_through(
        map_type in prop::sample::select(vec![MapType::Devmap, MapType::DevmapHash, MapType::Cpumap]),
        wide: bool,
        max_entries in 1..6u32,
        access in prop::sample::select(vec![0, 0, 0, BPF_F_RDONLY, BPF_F_WRONLY]),
        ops in ops(numbers(4, 8)),
        values in prop::collection::vec(
            (prop::sample::select(vec![0u32, 1, 1, 1, 192, 16384, 16385, u32::MAX]), -2..2i32), 80,
        ),
    ) {
        let with_value = |(op, (target, fd)): (Op, (u32, i32))| match op {
            Op::Update(key, _, flags) => {
                Op::Update(key, [target.to_le_bytes(), fd.to_le_bytes()].concat(), flags)
            }
            other => other,
        };
        // A small descriptor may be open, but is none of a program.
        let ops: Vec<_> = ops.into_iter().zip(values).map(with_value).collect();
        check(&spec(map_type, 4, if wide { 8 } else { 4 }, max_entries, access), &ops)?;
    }

    #[test]
    fn ring_buffers(ops in ops(Just(Vec::new()))) {
        check(&spec(MapType::Ringbuf, 0, 0, 4096, 0), &ops)?;
    }

    /// Attributes at and around every limit; big ones only where they are refused before memory is asked for.
    #[test]
    fn creation(
        map_type in prop::sample::select(vec![
            MapType::Array, MapType::PercpuArray, MapType::Hash, MapType::PercpuHash, MapType::LruHash,
            MapType::LruPercpuHash, MapType::LpmTrie, MapType::ProgArray, MapType::PerfEventArray,
            MapType::ArrayOfMaps, MapType::HashOfMaps, MapType::Ringbuf, MapType::Queue, MapType::Stack,
            MapType::Devmap, MapType::DevmapHash, MapType::Cpumap,
        ]),
        key_size in prop_oneof![
            6 => Just(4),
            2 => prop::sample::select(vec![0, 1, 3, 5, 8, 255, 260, 261, 512, 1 << 20]),
            1 => (1u32 << 22) - 60..(1 << 22),
            1 => Just(u32::MAX),
        ],
        value_size in prop_oneof![
            4 => Just(4),
            2 => prop::sample::select(vec![0, 1, 8, 12, 32760, 32761, 32768, 32769]),
            1 => (1u32 << 22) - 310..(1 << 22),
            1 => prop::sample::select(vec![1 << 31, (1 << 31) - 1, u32::MAX]),
        ],
        max_entries in prop::sample::select(vec![
            0, 1, 2, 3, 5, 1000, 4095, 4096, 8192, 12288, 1 << 20, (1 << 27) + 1, 1 << 31, u32::MAX,
        ]),
        flags in prop_oneof![
            2 => Just(0),
            2 => Just(BPF_F_NO_PREALLOC),
            3 => (0..19u32).prop_map(|bit| 1 << bit),
            3 => (0..19u32, 0..19u32).prop_map(|(a, b)| 1 << a | 1 << b),
        ],
        extra in prop_oneof![9 => Just(0), 1 => Just(1)],
        has_inner: bool,
    ) {
        // `NR_CPUS` differs from kernel to kernel.
        prop_assume!(map_type != MapType::Cpumap || !(6..=8192).contains(&max_entries));
        // Needs a descriptor of its own kind.
        prop_assume!(flags & BPF_F_TOKEN_FD == 0);
        let has_inner = has_inner && matches!(map_type, MapType::ArrayOfMaps | MapType::HashOfMaps);
        let inner = has_inner.then(|| Box::new(pattern()));
        let spec = MapSpec { extra, inner, ..spec(map_type, key_size, value_size, max_entries, flags) };
        let mut machine = machine();
        let (maps, mut ctx) = machine.maps();
        let bytes = u128::from(max_entries) * (u128::from(value_size) + u128::from(key_size) + 64);
        if bytes > 1 << 22 && maps.create(&mut ctx, &spec).is_ok() {
            return Ok(());
        }
        Twin::create(&spec)?;
    }
}

/// Fills LRU maps of many sizes far beyond their limit: which keys are left tells every batch and every rotation.
#[test]
fn lru_eviction_at_size() {
    for (max_entries, flags) in [
        (1, 0),
        (2, 0),
        (3, 0),
        (8, 0),
        (64, 0),
        (100, 0),
        (255, 0),
        (256, 0),
        (1000, 0),
        (2048, 0),
        (2, BPF_F_NO_COMMON_LRU),
        (7, BPF_F_NO_COMMON_LRU),
        (100, BPF_F_NO_COMMON_LRU),
        (1000, BPF_F_NO_COMMON_LRU),
    ] {
        for map_type in [MapType::LruHash, MapType::LruPercpuHash] {
            let spec = spec(map_type, 4, 8, max_entries, BPF_F_ZERO_SEED | flags);
            let mut twin = Twin::create(&spec).expect("alike").expect("created");
            let mut state = 0x9e37_79b9u32 ^ max_entries;
            for turn in 0..max_entries * 4 + 50 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Mostly new keys, some old ones again, some deleted.
                let key = match state >> 29 {
                    0..=4 => turn,
                    _ => turn.saturating_sub(1 + (state >> 8) % (max_entries * 2)),
                };
                let op = match state >> 24 & 0x1f {
                    0 => Op::Delete(key.to_le_bytes().to_vec()),
                    1 => Op::Update(key.to_le_bytes().to_vec(), vec![turn as u8], BPF_NOEXIST),
                    2 => Op::Update(key.to_le_bytes().to_vec(), vec![turn as u8], BPF_EXIST),
                    _ => Op::Update(key.to_le_bytes().to_vec(), vec![turn as u8], BPF_ANY),
                };
                twin.step(&op).unwrap_or_else(|e| panic!("{spec:?}, turn {turn}: {e}"));
                if turn % (max_entries / 8 + 1) == 0 {
                    twin.same_contents().unwrap_or_else(|e| panic!("{spec:?}, turn {turn}: {e}"));
                }
            }
        }
    }
}
