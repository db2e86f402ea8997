//! The same case on both planes, whole reports compared. Needs root.

mod rig;

use bpftwin_conformance::case::{Global, MapValue, MapWrite, Resized, Typed};
use rig::{LOCKED, ORDER, PROBE, agreed, case, marked, plain};

fn write(map: &str, key: u32, value: MapValue) -> MapWrite {
    MapWrite { object: "o".into(), map: map.into(), key: key.to_le_bytes().to_vec().into(), value }
}

fn bytes(value: u32) -> MapValue {
    MapValue::Bytes(value.to_le_bytes().to_vec().into())
}

#[test]
fn every_kind_of_map_and_buffer() {
    let packet: Vec<u8> = (0..64).collect();
    let mut runs = Vec::new();
    for index in 0..200 {
        let len = [64, 14, 20, 13][index % 4];
        runs.push(marked("classify", &packet[..len], index as u32 % 7));
        runs.push(plain("dispatch", &packet));
        runs.push(plain("prefilter", &packet[..14 + index % 50]));
    }
    let mut case = case(PROBE, &["classify", "dispatch", "stage", "prefilter"], runs);
    case.objects[0].globals = vec![
        Global { section: ".rodata".into(), offset: 0, value: 2u32.to_le_bytes().to_vec().into() },
        Global { section: ".data".into(), offset: 0, value: 5u32.to_le_bytes().to_vec().into() },
    ];
    case.maps = vec![
        write("first", 0, bytes(10)),
        write("cpu_counts", 0, bytes(70)),
        write("seen", 3, bytes(9)),
        write("limits", 0, bytes(1)),
        write("outer", 0, MapValue::Map("second".into())),
        write("stages", 1, MapValue::Program("stage".into())),
    ];
    let kernel = agreed(&case);
    assert!(
        kernel.runs.iter().any(|run| run.maps.iter().any(|change| change.value.is_none())),
        "one is deleted"
    );
}

#[test]
fn what_an_object_leaves_to_its_loader() {
    const LOADER: &[u8] = include_bytes!("../../conformance/tests/data/loader.o");
    let packets = [60, 142, 60, 99].map(|len| plain("spread", &vec![0; len]));
    let mut case = case(LOADER, &[], packets.to_vec());
    case.objects[0].types = vec![Typed { program: "spread".into(), prog_type: 3 }];
    // Large enough that it is first tried as one that no program changes, which this one does.
    for max_entries in [50, 1 << 20] {
        case.objects[0].sizes = vec![Resized { map: "counts".into(), max_entries }];
        let kernel = agreed(&case);
        let changed: Vec<usize> = kernel.runs.iter().map(|run| run.maps.len()).collect();
        assert_eq!(changed, if max_entries == 50 { [0, 1, 0, 0] } else { [1, 1, 1, 1] });
    }
}

#[test]
fn spin_locks() {
    agreed(&case(LOCKED, &[], vec![plain("count", &[0; 60]); 3]));
}

#[test]
fn hashes_are_walked_in_the_same_order() {
    let mut case = case(ORDER, &[], vec![plain("walk", &[0; 60]), plain("walk_inner", &[0; 60])]);
    for key in 0..50u32 {
        case.maps.push(write("numbers", key * 7919, bytes(key)));
        case.maps.push(write("inner", key * 104_729, bytes(key)));
    }
    let kernel = agreed(&case);
    let order = |run: usize| kernel.runs[run].maps[0].value.as_ref().expect("an array's element").to_vec();
    assert_ne!(order(0), order(1));
    let sorted: Vec<u8> = (0..50u32).flat_map(|key| (key * 7919).to_le_bytes()).collect();
    assert_ne!(order(0)[..sorted.len()], sorted, "no order a test would expect by itself");
}
