//! House rules of the repository that a compiler does not check.

use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn the_top_level_is_the_one_in_the_architecture() {
    let expected = ["benches", "conformance", "datapath-bpf", "kernel-tests", "pcaps", "sim"];
    let mut folders: Vec<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && name != "target")
        .collect();
    folders.sort();
    assert_eq!(folders, expected);
}

#[test]
fn privilege_is_one_crate() {
    for member in ["sim", "pcaps", "datapath-bpf", "conformance"] {
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        for word in ["libbpf", "bpftwin-kernel-tests", "netlink", "libc"] {
            assert!(!manifest.contains(word), "{member} must not depend on {word}: only kernel-tests may");
        }
    }
}

#[test]
fn the_simulator_stands_below_conformance() {
    let manifest = fs::read_to_string(root().join("sim/Cargo.toml")).unwrap();
    // Its tests may read the captures.
    let manifest = manifest.split("[dev-dependencies]").next().unwrap();
    for crate_above in ["bpftwin-pcaps", "bpftwin-datapath", "bpftwin-conformance"] {
        assert!(!manifest.contains(crate_above), "sim must not depend on {crate_above}");
    }
}
