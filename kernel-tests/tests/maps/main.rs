//! The simulator's maps against the kernel's: the same commands with the same bytes on both sides, errno by errno and
//! value by value. Needs CAP_BPF and CAP_SYS_ADMIN (for `BPF_F_ZERO_SEED`).

mod attached;
mod cgroup;
mod cookies;
mod programs;
mod rig;
mod samples;
mod sockets;
mod twin;

use bpftwin_sim::bpf::map::MapSpec;
use bpftwin_sim::uapi::MapType;
use bpftwin_sim::uapi::map::*;
use proptest::prelude::*;

use twin::{Op, Twin, check, machine, pattern, spec, typed};

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
        map_type in prop::sample::select(vec![
            MapType::ProgArray, MapType::PerfEventArray, MapType::CgroupArray,
        ]),
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
    fn ring_buffers(user: bool, ops in ops(Just(Vec::new()))) {
        let map_type = if user { MapType::UserRingbuf } else { MapType::Ringbuf };
        check(&spec(map_type, 0, 0, 4096, 0), &ops)?;
    }

    /// Without a secret seed, the same wrong answers.
    #[test]
    fn bloom_filters(
        value_size in prop::sample::select(vec![1u32, 4, 5, 8, 12, 13]),
        max_entries in prop::sample::select(vec![1u32, 4, 30, 1000]),
        extra in 0..16u64,
        access in access(),
        ops in ops(Just(Vec::new())),
        asked in prop::collection::vec(0..8u8, 60),
    ) {
        let flags = BPF_F_ZERO_SEED | access;
        let spec = MapSpec { extra, ..spec(MapType::BloomFilter, 0, value_size, max_entries, flags) };
        check(&spec, &ops)?;
        let mut twin = Twin::create(&spec)?.expect("created");
        for (turn, byte) in asked.into_iter().enumerate() {
            let value = [byte, byte * 3, turn as u8, 1].repeat(4)[..value_size as usize].to_vec();
            if turn % 3 == 0 {
                twin.step(&Op::Update(Vec::new(), value, 0))?;
            } else {
                twin.step(&Op::Contains(value))?;
            }
        }
    }

    /// Nothing is attached to a cgroup, so that there are no elements.
    #[test]
    fn cgroup_storage(
        percpu: bool,
        key_size in prop::sample::select(vec![8u32, 16]),
        value_size in 1..20u32,
        access in access(),
        ops in ops(numbers(16, 4)),
    ) {
        let map_type = if percpu { MapType::PercpuCgroupStorage } else { MapType::CgroupStorage };
        let short = |key: Vec<u8>| key[..key_size as usize].to_vec();
        let ops: Vec<_> = ops.into_iter().map(|op| op.with_key(short)).collect();
        check(&spec(map_type, key_size, value_size, 0, access), &ops)?;
    }

    /// Keys and values that are no descriptors of sockets or cgroups.
    #[test]
    fn maps_of_sockets_without_one(
        map_type in prop::sample::select(vec![
            MapType::Sockmap, MapType::Sockhash, MapType::ReuseportSockarray, MapType::Xskmap,
        ]),
        wide: bool,
        max_entries in 1..6u32,
        access in prop::sample::select(vec![0, 0, 0, BPF_F_RDONLY, BPF_F_WRONLY]),
        ops in ops(numbers(4, 8)),
        fds in prop::collection::vec(prop::sample::select(vec![
            1 << 20, (1 << 31) - 1, 1 << 31, u64::from(u32::MAX), 1 << 32 | 1 << 20, u64::MAX,
        ]), 80),
    ) {
        let with_fd = |(op, fd): (Op, u64)| match op {
            Op::Update(key, _, flags) => Op::Update(key, fd.to_le_bytes().to_vec(), flags),
            other => other,
        };
        let ops: Vec<_> = ops.into_iter().zip(fds).map(with_fd).collect();
        let wide = wide && map_type != MapType::Xskmap;
        check(&spec(map_type, 4, if wide { 8 } else { 4 }, max_entries, access), &ops)?;
    }

    #[test]
    fn local_storage_of_nobody(
        cgroup: bool,
        value_size in 1..20u32,
        ops in ops((1u32 << 20..1 << 21).prop_map(|fd: u32| fd.to_le_bytes().to_vec())),
    ) {
        let map_type = if cgroup { MapType::CgrpStorage } else { MapType::SkStorage };
        check(&typed(spec(map_type, 4, value_size, 0, BPF_F_NO_PREALLOC)), &ops)?;
    }

    /// Attributes at and around every limit; big ones only where they are refused before memory is asked for.
    #[test]
    fn creation(
        map_type in prop::sample::select(vec![
            MapType::Array, MapType::PercpuArray, MapType::Hash, MapType::PercpuHash, MapType::LruHash,
            MapType::LruPercpuHash, MapType::LpmTrie, MapType::ProgArray, MapType::PerfEventArray,
            MapType::ArrayOfMaps, MapType::HashOfMaps, MapType::Ringbuf, MapType::Queue, MapType::Stack,
            MapType::Devmap, MapType::DevmapHash, MapType::Cpumap, MapType::UserRingbuf, MapType::BloomFilter,
            MapType::CgroupArray, MapType::CgroupStorage, MapType::PercpuCgroupStorage, MapType::SkStorage,
            MapType::CgrpStorage, MapType::Sockmap, MapType::Sockhash, MapType::ReuseportSockarray,
            MapType::Xskmap,
        ]),
        key_size in prop_oneof![
            6 => Just(4),
            2 => prop::sample::select(vec![0, 1, 3, 5, 8, 16, 255, 260, 261, 512, 513, 1 << 20]),
            1 => (1u32 << 22) - 60..(1 << 22),
            1 => Just(u32::MAX),
        ],
        value_size in prop_oneof![
            4 => Just(4),
            2 => prop::sample::select(vec![
                0, 1, 8, 12, 32760, 32761, 32768, 32769, 65406, 65407, 65408,
            ]),
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
        extra in prop_oneof![9 => Just(0), 1 => prop::sample::select(vec![1, 15, 16])],
        has_inner: bool,
        has_types: bool,
    ) {
        // `NR_CPUS` differs from kernel to kernel.
        prop_assume!(map_type != MapType::Cpumap || !(6..=8192).contains(&max_entries));
        // Needs a descriptor of its own kind.
        prop_assume!(flags & BPF_F_TOKEN_FD == 0);
        let has_inner = has_inner && matches!(map_type, MapType::ArrayOfMaps | MapType::HashOfMaps);
        let inner = has_inner.then(|| Box::new(pattern()));
        let spec = MapSpec { extra, inner, ..spec(map_type, key_size, value_size, max_entries, flags) };
        let storage = matches!(map_type, MapType::SkStorage | MapType::CgrpStorage);
        let spec = if storage && has_types { typed(spec) } else { spec };
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
