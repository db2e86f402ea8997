//! Objects of several files, put together by libbpf's own linker: read as libbpf reads them, and run as on the kernel. Needs
//! root.

mod rig;

use std::fs;

use bpftwin_kernel_tests::view::{View, view};
use bpftwin_sim::bpf::btf::Btf;
use libbpf_rs::Linker;
use rig::{agreed, case, marked};

const HALVES: [&[u8]; 2] = [include_bytes!("objects/linked_a.o"), include_bytes!("objects/linked_b.o")];

/// Both halves in one object, in this order.
fn linked(halves: [&[u8]; 2]) -> Vec<u8> {
    let folder = std::env::temp_dir().join(format!("bpftwin-linked-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let out = folder.join("linked.o");
    let mut linker = Linker::new(&out).unwrap();
    for half in halves {
        linker.add_buf(half).unwrap();
    }
    linker.link().unwrap();
    let bytes = fs::read(&out).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    bytes
}

#[test]
fn linked_objects_are_read_and_run_as_one() {
    let kernel = Btf::parse(&fs::read("/sys/kernel/btf/vmlinux").unwrap()).unwrap();
    let [a, b] = HALVES;
    for halves in [[a, b], [b, a]] {
        let object = linked(halves);
        let View::Both(compared) = view(&object, &kernel) else { panic!("{:?}", view(&object, &kernel)) };
        assert!(compared.differences.is_empty(), "{:?}", compared.differences);
        assert_eq!((compared.programs, compared.unresolved.len()), (2, 0));
        assert!(compared.maps >= 3 && compared.slots > 30, "{compared:?}");
        let runs = (0..4).flat_map(|mark| ["first", "second"].map(|p| marked(p, &[0; 40], mark))).collect();
        agreed(&case(&object, &["first", "second"], runs));
    }
}

#[test]
fn one_half_alone_says_what_it_lacks() {
    let kernel = Btf::parse(&fs::read("/sys/kernel/btf/vmlinux").unwrap()).unwrap();
    for half in HALVES {
        assert!(matches!(view(half, &kernel), View::Neither(..)), "{:?}", view(half, &kernel));
    }
}
