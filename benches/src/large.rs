//! How long it takes until a program runs: decoding, opening an object, compiling.

use std::hint::black_box;
use std::time::Instant;

use bpftwin_sim::bpf::jit;
use bpftwin_sim::bpf::load::LoadOptions;
use bpftwin_sim::bpf::object::Object;
use bpftwin_sim::bpf::program::{Image, Program};
use bpftwin_sim::net::{Config, Kernel};
use bpftwin_sim::uapi::ProgType;

use crate::programs;
use crate::subject::LARGE;

/// `exit`, and `goto +0`.
const EXIT: u64 = 0x95;
const NOTHING: u64 = 0x05;

/// One line of the table: what takes how many instructions how long.
pub struct Row {
    /// What is measured.
    pub what: &'static str,
    /// Instructions.
    pub insns: usize,
    /// Milliseconds, the median.
    pub ms: f64,
}

/// The parser again and again, as one function of at least so many instructions.
fn image(insns: usize) -> Image {
    let parser = programs::link(programs::KERNEL_CONTEXT, |_| 0).remove("parser").expect("a program");
    let mut slots = Vec::with_capacity(insns + parser.len());
    while slots.len() < insns {
        slots.extend(parser.iter().map(|&slot| if slot == EXIT { NOTHING } else { slot }));
    }
    slots.push(EXIT);
    Image {
        name: "large".to_owned(),
        prog_type: ProgType::SchedCls,
        attach_type: None,
        xdp_has_frags: false,
        license_gpl: true,
        slots,
        functions: Vec::new(),
        lines: Vec::new(),
        maps: Vec::new(),
    }
}

fn median(mut run: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..9)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Opens an object and loads all its programs.
fn open(what: &'static str, elf: &[u8]) -> Row {
    let mut insns = 0;
    let ms = median(|| {
        let object = Object::parse(what, elf).expect("an object");
        let mut kernel = Kernel::new(&Config::default());
        kernel.load(&object, &LoadOptions::default()).expect("loads");
        insns = kernel.machine.programs.iter().map(|program| program.code().len()).sum();
    });
    Row { what, insns, ms }
}

/// Every row.
///
/// # Panics
/// If something does not load.
pub fn rows() -> Vec<Row> {
    let image34 = image(34_000);
    let decode = median(|| {
        black_box(Program::new(image34.clone()).expect("decodes"));
    });
    let decoded = Program::new(image34).expect("decodes").code().len();
    let veth = bpftwin_datapath::object("veth").expect("bundled").bytes;
    let mut rows = vec![
        Row { what: "decode", insns: decoded, ms: decode },
        open("open and load veth", veth),
        open("open and load large", LARGE),
    ];
    if jit::available().is_ok() {
        for insns in [1_000, 5_000, 20_000] {
            let program = Program::new(image(insns)).expect("decodes");
            let ms = median(|| {
                black_box(jit::compile(&program).expect("compiles"));
            });
            rows.push(Row { what: "compile one function", insns: program.code().len(), ms });
        }
    }
    rows
}
