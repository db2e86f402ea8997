//! The layer over bpf(2) itself. Needs CAP_BPF and CAP_NET_ADMIN.

use bpftwin_kernel_tests::sys::{
    Elements, Errno, Image, Kind, Map, Prog, ProgLoad, TestRun, TestRunOut, ids,
};

/// One instruction slot.
const fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    code as u64
        | (dst as u64) << 8
        | (src as u64) << 12
        | (off as u16 as u64) << 16
        | (imm as u32 as u64) << 32
}

const EXIT: u64 = insn(0x95, 0, 0, 0, 0);

#[test]
fn a_program_runs_and_gives_back_its_packet() {
    let insns = [insn(0xb7, 0, 0, 0, 42), EXIT];
    let prog = Prog::load(&ProgLoad { insns: &insns, ..ProgLoad::default() }).expect("loads");
    let data = [0x22; 14];
    let out = prog.test_run(&TestRun { data_in: &data, ..TestRun::default() }).expect("runs");
    assert_eq!((out.retval, &out.data[..], &out.ctx[..]), (42, &data[..], &[][..]));

    let out =
        prog.test_run(&TestRun { data_in: &data, ctx_in: Some(&[]), ..TestRun::default() }).expect("runs");
    assert_eq!(out.ctx_size, 192, "struct __sk_buff");
    let short = prog.test_run(&TestRun { data_in: &data[..13], ..TestRun::default() });
    assert_eq!(short, Err(Errno::EINVAL));

    let mut out = TestRunOut::default();
    let clipped =
        prog.test_run_into(&TestRun { data_in: &data, data_room: Some(4), ..TestRun::default() }, &mut out);
    assert_eq!((clipped, out.data.len(), out.data_size), (Err(Errno::ENOSPC), 4, 14));
}

#[test]
fn the_verifier_says_why() {
    let insns = [insn(0xbf, 0, 5, 0, 0), EXIT];
    let error = Prog::load(&ProgLoad { insns: &insns, ..ProgLoad::default() }).expect_err("r5 is not set");
    assert_eq!(error.errno, Errno::EACCES);
    assert!(error.log.contains("R5 !read_ok"), "{}", error.log);
}

#[test]
fn map_elements() {
    let (key, absent) = (7u32.to_le_bytes(), 9u32.to_le_bytes());
    for map_type in [libbpf_sys::BPF_MAP_TYPE_HASH, libbpf_sys::BPF_MAP_TYPE_PERCPU_HASH] {
        let map = Map::new(map_type, 4, 8, 16, 0).expect("creates");
        let value = vec![5; map.value_size()];
        assert_eq!(map.lookup(&key, 0), Err(Errno::ENOENT));
        assert_eq!(map.next_key(None), Err(Errno::ENOENT));
        map.update(&key, &value, libbpf_sys::BPF_NOEXIST as u64).expect("inserts");
        assert_eq!(map.update(&key, &value, libbpf_sys::BPF_NOEXIST as u64), Err(Errno::EEXIST));
        assert_eq!(map.next_key(None), Ok(key.to_vec()));
        assert_eq!(map.next_key(Some(&absent)), Ok(key.to_vec()));
        let mut all = Elements::default();
        map.read_all(&mut all).expect("reads");
        assert_eq!(all.iter().collect::<Vec<_>>(), [(&key[..], &value[..])]);
        assert_eq!(map.lookup_and_delete(&key, 0), Ok(value.clone()));
        assert_eq!(map.delete(&key), Err(Errno::ENOENT));
        map.freeze().expect("freezes");
        assert_eq!(map.update(&key, &value, 0), Err(Errno::EPERM));
    }
    let queue = Map::new(libbpf_sys::BPF_MAP_TYPE_QUEUE, 0, 4, 4, 0).expect("creates");
    queue.update(&[], &key, 0).expect("pushes");
    assert_eq!(queue.lookup_and_delete(&[], 0), Ok(key.to_vec()));
    let inner = Map::new(libbpf_sys::BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0).expect("creates");
    let outer = Map::new_of_maps(libbpf_sys::BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 2, &inner).expect("creates");
    outer.update(&[0; 4], &inner.raw().to_le_bytes(), 0).expect("sets");
    assert_eq!(outer.lookup(&[0; 4], 0), Ok(inner.info().id.to_le_bytes().to_vec()));
    assert_eq!(Map::from_id(inner.info().id).expect("opens").info(), inner.info());
    assert!(ids(Kind::Map).expect("walks").contains(&outer.info().id));
}

#[test]
fn an_image_of_a_shared_array_gives_what_changed() {
    for value_size in [8, 12, 5000] {
        let mut map =
            Map::new(libbpf_sys::BPF_MAP_TYPE_ARRAY, 4, value_size, 3000, libbpf_sys::BPF_F_MMAPABLE)
                .expect("creates");
        assert!(Image::of(&map).is_none(), "it is not shared yet");
        map.share().expect("maps");
        let mut image = Image::of(&map).expect("it is shared");
        let mut changed = || {
            let mut changed = Vec::new();
            image.update(&map, |index, value| changed.push((index, value.to_vec())));
            changed
        };
        assert_eq!(changed(), []);
        let value = |byte: u8| vec![byte; value_size as usize];
        for (index, byte) in [(0u32, 1), (1, 2), (2999, 3)] {
            map.update(&index.to_ne_bytes(), &value(byte), 0).expect("sets");
        }
        assert_eq!(changed(), [(0, value(1)), (1, value(2)), (2999, value(3))]);
        map.update(&1u32.to_ne_bytes(), &value(0), 0).expect("sets");
        assert_eq!(changed(), [(1, value(0))]);
        assert_eq!(changed(), []);
    }
}

#[test]
fn more_elements_than_one_batch_holds() {
    for map_type in [libbpf_sys::BPF_MAP_TYPE_HASH, libbpf_sys::BPF_MAP_TYPE_LRU_HASH] {
        let map = Map::new(map_type, 4, 4, 4096, 0).expect("creates");
        for index in 0..2000u32 {
            map.update(&index.to_ne_bytes(), &(!index).to_ne_bytes(), 0).expect("inserts");
        }
        let mut all = Elements::default();
        map.read_all(&mut all).expect("reads");
        let sorted: std::collections::BTreeMap<u32, u32> = all
            .iter()
            .map(|(key, value)| {
                (u32::from_ne_bytes(key.try_into().unwrap()), u32::from_ne_bytes(value.try_into().unwrap()))
            })
            .collect();
        assert_eq!(all.iter().count(), 2000);
        assert!(sorted.into_iter().eq((0..2000).map(|index| (index, !index))));
    }
}
