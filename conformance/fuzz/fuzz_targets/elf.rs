//! Any bytes as an object file: read, load, run its programs over one packet.

#![no_main]

use bpftwin_sim::bpf::load::LoadOptions;
use bpftwin_sim::bpf::object::Object;
use bpftwin_sim::net::{Config, Kernel, TestRun};
use libfuzzer_sys::fuzz_target;

/// Enough for a program to get somewhere, little enough for many tries.
const FUEL: u64 = 10_000;

fuzz_target!(|bytes: &[u8]| {
    let Ok(object) = Object::parse("fuzz.o", bytes) else { return };
    let mut kernel = Kernel::new(&Config { fuel: FUEL, ..Config::default() });
    let Ok(loaded) = kernel.load(&object, &LoadOptions::default()) else { return };
    for &prog in loaded.programs.values() {
        let frame = [0; 64];
        // An errno and a fault are answers; a panic is what is looked for.
        let _ = kernel.prog_test_run(prog, &TestRun { data_in: &frame, ..TestRun::default() });
    }
});
