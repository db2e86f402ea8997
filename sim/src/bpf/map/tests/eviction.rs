//! LRU maps, at the sizes measured on kernels with two CPUs.

use super::{Bench, spec};
use crate::bpf::map::MapSpec;
use crate::uapi::map::BPF_F_NO_COMMON_LRU;
use crate::uapi::{MapType, Release};

/// Elements after each of `inserts` new keys.
fn counts(release: Release, max_entries: u32, flags: u32, inserts: u32) -> Vec<usize> {
    let plain = spec(MapType::LruHash, max_entries);
    let mut bench = Bench::on(release, 2, &MapSpec { flags: plain.flags | flags, ..plain });
    let insert = |key: u32| {
        bench.update(&key.to_le_bytes(), &[0; 8], 0).unwrap();
        bench.dump().len()
    };
    (0..inserts).map(insert).collect()
}

#[test]
fn a_full_map_makes_room_by_the_batch() {
    for release in [Release::V6_12, Release::V6_18] {
        let count = counts(release, 64, 0, 65);
        assert_eq!((count[63], count[64]), (64, 49));
        let count = counts(release, 8, 0, 9);
        assert_eq!((count[7], count[8]), (8, 7));
        // The first eviction comes long before the map is full, once free elements are short of a batch.
        let count = counts(release, 1000, 0, 1100);
        let first = count.windows(2).position(|pair| pair[1] <= pair[0]).unwrap() + 2;
        assert_eq!((first, count[first - 2] - count[first - 1] + 1), (897, 24));
    }
    let count = counts(Release::V6_1, 64, 0, 65);
    assert_eq!((count[63], count[64]), (64, 1));
}

#[test]
fn without_the_common_list_a_cpu_has_its_share() {
    let count = counts(Release::V6_18, 100, BPF_F_NO_COMMON_LRU, 60);
    assert_eq!((count[49], count[50], count[53], count[54]), (50, 47, 50, 47));
}

#[test]
fn a_programs_lookup_keeps_an_element() {
    let mut bench = Bench::new(&spec(MapType::LruHash, 8));
    for key in 0..8_u32 {
        bench.update(&key.to_le_bytes(), &[0; 8], 0).unwrap();
    }
    // Reading it from user space does not.
    bench.lookup(&0_u32.to_le_bytes()).unwrap();
    assert_ne!(bench.address(&1_u32.to_le_bytes()), 0);
    bench.update(&8_u32.to_le_bytes(), &[0; 8], 0).unwrap();
    let left: Vec<_> = (0..9_u32).filter(|key| bench.lookup(&key.to_le_bytes()).is_ok()).collect();
    assert_eq!(left, [1, 3, 4, 5, 6, 7, 8]);
}
