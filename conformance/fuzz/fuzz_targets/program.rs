//! Any bytes as a program: decoded, and run as XDP over one packet, interpreted and compiled. Both say the same.

#![no_main]

use bpftwin_sim::bpf::engine::Engine;
use bpftwin_sim::bpf::program::{Image, Program};
use bpftwin_sim::net::{Config, Kernel, TestRun};
use bpftwin_sim::uapi::ProgType;
use libfuzzer_sys::fuzz_target;

const FUEL: u64 = 10_000;

fuzz_target!(|bytes: &[u8]| {
    let slots = bytes.as_chunks::<8>().0.iter().map(|slot| u64::from_le_bytes(*slot)).collect();
    let image = Image {
        name: "fuzz".into(),
        prog_type: ProgType::Xdp,
        attach_type: None,
        xdp_has_frags: false,
        license_gpl: true,
        slots,
        functions: Vec::new(),
        lines: Vec::new(),
        maps: Vec::new(),
    };
    let Ok(program) = Program::new(image) else { return };
    let [interpreted, compiled] = [Engine::Interp, Engine::Jit].map(|engine| {
        let mut kernel = Kernel::new(&Config { fuel: FUEL, ..Config::default() });
        kernel.machine.engine = engine;
        let prog = kernel.machine.add_program(program.clone());
        let ran = kernel.prog_test_run(prog, &TestRun { data_in: &[0; 64], ..TestRun::default() });
        (format!("{ran:?}"), kernel.machine.executed)
    });
    assert_eq!(interpreted, compiled);
});
