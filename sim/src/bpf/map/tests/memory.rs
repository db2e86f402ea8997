//! Where values live: laziness, pointers kept over deletions, per-CPU values.

use super::{Bench, spec};
use crate::bpf::map::{MapSpec, SpecialField, SpecialKind};
use crate::bpf::mem::{Access, HEAP_BASE, ObjectKind};
use crate::uapi::map::{BPF_F_LOCK, BPF_F_NO_PREALLOC};
use crate::uapi::{Errno, MapType};

#[test]
fn a_map_costs_nothing_until_it_is_used() {
    for map_type in [
        MapType::Array,
        MapType::PercpuArray,
        MapType::Hash,
        MapType::LruHash,
        MapType::LpmTrie,
        MapType::ProgArray,
        MapType::ArrayOfMaps,
        MapType::Queue,
        MapType::Ringbuf,
    ] {
        let mut bench = Bench::new(&spec(map_type, 1 << 19));
        let (maps, mut ctx) = bench.machine.maps();
        // 8,192 maps of 524,288 elements would fit nowhere.
        for _ in 0..8192 {
            maps.create(&mut ctx, &spec(map_type, 1 << 19)).unwrap();
        }
        let first = ctx.mem.alloc(ObjectKind::MapValue(0), Access::ReadWrite, 8);
        assert_eq!(first, Some(HEAP_BASE), "{map_type}");
    }
    let mut bench = Bench::new(&spec(MapType::Array, u32::MAX));
    let last = (u32::MAX - 1).to_le_bytes();
    bench.update(&last, &[3; 8], 0).unwrap();
    assert_eq!(bench.dump(), [(last.to_vec(), vec![3; 8])]);
}

#[test]
fn a_pointer_outlives_the_element() {
    for flags in [0, BPF_F_NO_PREALLOC] {
        let plain = spec(MapType::Hash, 4);
        let mut bench = Bench::new(&MapSpec { flags: plain.flags | flags, ..plain });
        bench.update(&[1, 0, 0, 0], &[1; 8], 0).unwrap();
        let value = bench.address(&[1, 0, 0, 0]);
        bench.delete(&[1, 0, 0, 0]).unwrap();
        assert_eq!(bench.machine.mem.load(value, 1), Ok(1));
        // The next element on this CPU gets the same memory.
        bench.update(&[2, 0, 0, 0], &[2; 8], 0).unwrap();
        assert_eq!(bench.machine.mem.load(value, 1), Ok(2));
        // Replacing it moves it elsewhere; the old value stays until the memory is used again.
        bench.update(&[2, 0, 0, 0], &[3; 8], 0).unwrap();
        assert_eq!(bench.machine.mem.load(value, 1), Ok(2));
        assert_ne!(bench.address(&[2, 0, 0, 0]), value);
        bench.update(&[2, 0, 0, 0], &[4; 8], 0).unwrap();
        assert_eq!(bench.address(&[2, 0, 0, 0]), value);
    }
}

#[test]
fn a_prefix_is_freed_after_a_grace_period() {
    let mut bench = Bench::new(&spec(MapType::LpmTrie, 4));
    let key = [8, 0, 0, 0, 10, 0, 0, 0];
    bench.update(&key, &[1; 8], 0).unwrap();
    let value = bench.address(&[32, 0, 0, 0, 10, 1, 2, 3]);
    bench.delete(&key).unwrap();
    assert_eq!(bench.machine.mem.load(value, 1), Ok(1));
    bench.machine.maps.synchronize_rcu(&mut bench.machine.mem);
    assert!(bench.machine.mem.load(value, 1).is_err());
}

#[test]
fn programs_see_their_cpus_value() {
    for map_type in [MapType::PercpuArray, MapType::PercpuHash, MapType::LruPercpuHash] {
        let mut bench = Bench::new(&spec(map_type, 4));
        bench.machine.cpu = 1;
        bench.program_update(&[0; 4], &[9; 8], 0).unwrap();
        assert_eq!(bench.lookup(&[0; 4]).unwrap(), [[0; 8], [9; 8]].concat());
        let own = bench.address(&[0; 4]);
        bench.machine.mem.store(own, 1, 5).unwrap();
        bench.machine.cpu = 0;
        bench.program_update(&[0; 4], &[8; 8], 0).unwrap();
        assert_eq!(bench.lookup(&[0; 4]).unwrap()[..9], [8, 8, 8, 8, 8, 8, 8, 8, 5]);

        let at = bench.machine.mem.push_frame().unwrap() - 8;
        let (maps, mut ctx) = bench.machine.maps();
        assert_eq!(maps.map(bench.id).lookup_percpu(&mut ctx, at, 1), Ok(own));
        assert_eq!(maps.map(bench.id).lookup_percpu(&mut ctx, at, 2), Ok(0));
    }
}

#[test]
fn locks_are_neither_copied_nor_shown() {
    for map_type in [MapType::Array, MapType::Hash] {
        let lock = SpecialField { offset: 4, kind: SpecialKind::SpinLock };
        let spec = MapSpec { value_size: 12, fields: vec![lock], ..spec(map_type, 2) };
        let mut bench = Bench::new(&spec);
        bench.update(&[0; 4], &[1; 12], 0).unwrap();
        let value = bench.address(&[0; 4]);
        assert_eq!(bench.machine.mem.guest(value, 12).unwrap(), [1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]);
        bench.machine.mem.guest_mut(value, 12).unwrap().fill(2);
        // In place, under the lock.
        bench.update(&[0; 4], &[3; 12], BPF_F_LOCK).unwrap();
        assert_eq!(bench.machine.mem.guest(value, 12).unwrap(), [3, 3, 3, 3, 2, 2, 2, 2, 3, 3, 3, 3]);
        assert_eq!(bench.lookup(&[0; 4]).unwrap(), [3, 3, 3, 3, 0, 0, 0, 0, 3, 3, 3, 3]);
        assert_eq!(bench.machine.maps.sys_freeze(bench.id), Err(Errno::ENOTSUPP));
    }
}

#[test]
fn a_walk_stands_the_deletion_of_where_it_is() {
    let mut bench = Bench::new(&spec(MapType::Hash, 64));
    for key in 0..64_u32 {
        bench.update(&key.to_le_bytes(), &[0; 8], 0).unwrap();
    }
    let order: Vec<_> = bench.dump().into_iter().map(|(key, _)| key).collect();
    let mut walk = crate::bpf::map::Walk::default();
    let mut visited = Vec::new();
    loop {
        let (maps, mut ctx) = bench.machine.maps();
        let Some(element) = maps.walk(&mut ctx, bench.id, &mut walk) else { break };
        maps.sys_delete(&mut ctx, bench.id, &element.key).unwrap();
        visited.push(element.key);
    }
    assert_eq!(visited, order);
    assert_eq!(bench.dump(), []);
}
