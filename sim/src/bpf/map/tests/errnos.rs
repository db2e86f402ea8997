//! Every operation with every kind of flags on every type, as one table.

use std::fmt::Write;

use super::{Bench, spec};
use crate::bpf::map::{CreateError, MapSpec, Reference};
use crate::uapi::map::{
    BPF_ANY, BPF_EXIST, BPF_F_INNER_MAP, BPF_F_LOCK, BPF_F_RDONLY, BPF_F_RDONLY_PROG, BPF_F_WRONLY,
    BPF_F_WRONLY_PROG, BPF_NOEXIST,
};
use crate::uapi::{Errno, MapType};

const TYPES: &[MapType] = &[
    MapType::Array,
    MapType::PercpuArray,
    MapType::Hash,
    MapType::PercpuHash,
    MapType::LruHash,
    MapType::LruPercpuHash,
    MapType::LpmTrie,
    MapType::ProgArray,
    MapType::PerfEventArray,
    MapType::ArrayOfMaps,
    MapType::HashOfMaps,
    MapType::Queue,
    MapType::Stack,
    MapType::Ringbuf,
    MapType::UserRingbuf,
    MapType::BloomFilter,
    MapType::CgroupArray,
    MapType::CgroupStorage,
    MapType::PercpuCgroupStorage,
    MapType::SkStorage,
    MapType::CgrpStorage,
    MapType::Sockmap,
    MapType::Sockhash,
    MapType::ReuseportSockarray,
    MapType::Xskmap,
];

fn word(result: Result<impl Sized, Errno>) -> String {
    result.map_or_else(|errno| errno.to_string(), |_| "ok".to_owned())
}

/// The errno of each operation, in the order of the table's heading.
fn row(map_type: MapType) -> Vec<String> {
    let max_entries = match map_type {
        MapType::Ringbuf | MapType::UserRingbuf => 4096,
        MapType::CgroupStorage | MapType::PercpuCgroupStorage | MapType::SkStorage | MapType::CgrpStorage => {
            0
        }
        _ => 2,
    };
    let spec = spec(map_type, max_entries);
    let mut bench = Bench::new(&spec);
    let size = spec.sys_value_size(2);
    let key = |number: u8| {
        let lpm = map_type == MapType::LpmTrie;
        let mut key = if lpm { vec![32, 0, 0, 0, 10, 0, 0, number] } else { vec![number, 0, 0, 0] };
        key.resize(spec.key_size as usize, 0);
        key
    };
    let value = match map_type {
        // The number of no descriptor.
        MapType::Sockmap | MapType::Sockhash | MapType::ReuseportSockarray => {
            0x7777_7777_u64.to_le_bytes()[..size].to_vec()
        }
        _ => vec![7; size],
    };
    let mut row = Vec::new();
    row.push(word(bench.lookup(&key(0))));
    row.push(word(bench.delete(&key(0))));
    for flags in [BPF_EXIST, BPF_F_LOCK, 3, BPF_NOEXIST, BPF_ANY] {
        row.push(word(bench.update(&key(0), &value, flags)));
    }
    row.push(word(bench.update(&key(0), &value, BPF_NOEXIST)));
    row.push(word(bench.update(&key(1), &value, BPF_ANY)));
    row.push(word(bench.update(&key(2), &value, BPF_ANY)));
    let (maps, mut ctx) = bench.machine.maps();
    row.push(word(maps.sys_lookup(&mut ctx, bench.id, &key(0), BPF_F_LOCK)));
    row.push(word(maps.sys_lookup_and_delete(&mut ctx, bench.id, &key(0), 0)));
    row.push(word(maps.sys_next_key(bench.id, None)));
    row.push(word(maps.sys_freeze(bench.id)));
    row.push(word(maps.sys_update(&mut ctx, bench.id, &key(0), &value, 0)));
    row
}

#[test]
fn every_operation_on_every_type() {
    let heading = [
        "lookup", "delete", "EXIST", "LOCK", "3", "NOEXIST", "ANY", "again", "second", "third", "lk LOCK",
        "lk+del", "next", "freeze", "frozen",
    ];
    let mut table = format!("{:<22}", "");
    for word in heading {
        write!(table, "{word:<12}").unwrap();
    }
    for &map_type in TYPES {
        let name = map_type.kernel_name().trim_start_matches("BPF_MAP_TYPE_").to_lowercase();
        write!(table, "\n{name:<22}").unwrap();
        for word in row(map_type) {
            write!(table, "{word:<12}").unwrap();
        }
    }
    let table: Vec<_> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn permissions_of_the_descriptor_come_first() {
    for &map_type in &[MapType::Array, MapType::Hash] {
        let with = |flags| {
            let plain = spec(map_type, 2);
            Bench::new(&MapSpec { flags: plain.flags | flags, ..plain })
        };
        let mut read_only = with(BPF_F_RDONLY);
        assert_eq!(read_only.update(&[0; 4], &[1; 8], !BPF_F_LOCK), Err(Errno::EPERM));
        assert_eq!(read_only.delete(&[0; 4]), Err(Errno::EPERM));
        let mut write_only = with(BPF_F_WRONLY);
        assert_eq!(write_only.update(&[0; 4], &[1; 8], 0), Ok(()));
        assert_eq!(write_only.lookup(&[0; 4]), Err(Errno::EPERM));
        assert_eq!(write_only.machine.maps.sys_next_key(write_only.id, None), Err(Errno::EPERM));
        // What programs may do is not the system call's business.
        for flags in [BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG] {
            assert_eq!(with(flags).update(&[0; 4], &[1; 8], 0), Ok(()));
        }
    }
}

#[test]
fn memory_of_maps_read_only_to_programs_cannot_be_written() {
    let mut bench = Bench::new(&MapSpec { flags: BPF_F_RDONLY_PROG, ..spec(MapType::Array, 1) });
    bench.update(&[0; 4], &[5; 8], 0).unwrap();
    let value = bench.address(&[0; 4]);
    assert_eq!(bench.machine.mem.load(value, 8), Ok(0x0505_0505_0505_0505));
    assert!(bench.machine.mem.store(value, 1, 0).is_err());
}

#[test]
fn global_data_is_the_only_element_of_an_array() {
    let mut bench = Bench::new(&spec(MapType::Array, 1));
    let (maps, mut ctx) = bench.machine.maps();
    let base = maps.value_addr(&mut ctx, bench.id, 0).unwrap();
    assert_eq!(maps.value_addr(&mut ctx, bench.id, 7), Ok(base + 7));
    assert_eq!(maps.value_addr(&mut ctx, bench.id, 8), Err(Errno::EINVAL));
    let two = maps.create(&mut ctx, &spec(MapType::Array, 2)).unwrap();
    assert_eq!(maps.value_addr(&mut ctx, two, 0), Err(Errno::ENOTSUPP));
    let hash = maps.create(&mut ctx, &spec(MapType::Hash, 1)).unwrap();
    assert_eq!(maps.value_addr(&mut ctx, hash, 0), Err(Errno::ENOTSUPP));
}

#[test]
fn inner_maps_have_to_be_alike() {
    let plain = spec(MapType::Array, 4);
    let larger = MapSpec { max_entries: 5, ..plain.clone() };
    let wider = MapSpec { value_size: 16, ..plain.clone() };
    let flexible = |spec: &MapSpec| MapSpec { flags: BPF_F_INNER_MAP, ..spec.clone() };
    for (pattern, inner, fits) in [
        (plain.clone(), plain.clone(), true),
        (plain.clone(), larger.clone(), false),
        (plain.clone(), wider.clone(), false),
        (plain.clone(), flexible(&plain), false),
        (flexible(&plain), flexible(&larger), true),
        (flexible(&plain), flexible(&wider), false),
    ] {
        for outer in [MapType::ArrayOfMaps, MapType::HashOfMaps] {
            let outer = MapSpec { inner: Some(Box::new(pattern.clone())), ..spec(outer, 2) };
            let mut bench = Bench::new(&outer);
            let (maps, mut ctx) = bench.machine.maps();
            let map = maps.create(&mut ctx, &inner).unwrap();
            let done = maps.sys_update_reference(bench.id, &[0; 4], Reference::Map(map), 0);
            assert_eq!(done, if fits { Ok(()) } else { Err(Errno::EINVAL) }, "{pattern:?} {inner:?}");
            assert_eq!(bench.address(&[0; 4]), if fits { map.handle() } else { 0 });
        }
    }
}

#[test]
fn what_is_not_modelled_is_named() {
    let mut bench = Bench::new(&spec(MapType::Array, 1));
    let (maps, mut ctx) = bench.machine.maps();
    let refused = maps.create(&mut ctx, &spec(MapType::Arena, 1)).unwrap_err();
    assert_eq!(refused, CreateError::NotModelled(MapType::Arena));
    assert_eq!(
        refused.to_string(),
        "BPF_MAP_TYPE_ARENA is not modelled: programs and user space share its memory"
    );
}
