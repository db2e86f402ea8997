//! Every vector of `isa/` on the interpreter. `kernel-tests/tests/isa.rs` runs the same files on a kernel.

mod support;

use std::fs;

use bpftwin_sim::bpf::asm::Assembly;
use bpftwin_sim::bpf::machine::ProgId;
use bpftwin_sim::bpf::vectors::{self, Expected};
use bpftwin_sim::uapi::Release;

/// Classes, and how many vectors each must have at least.
const AT_LEAST: usize = 30;

fn r0(programs: Vec<Assembly>) -> Result<u64, String> {
    let mut machine = support::machine(Release::default());
    let progs = support::prog_array(&mut machine, vectors::PROG_ARRAY_ENTRIES);
    for (index, mut code) in (0..).zip(programs) {
        code.define("progs", 0, progs.handle());
        let program = support::program(code.slots, code.functions).map_err(|e| e.to_string())?;
        let prog = machine.add_program(program);
        support::set_program(&mut machine, progs, index, prog);
    }
    support::run(&mut machine, ProgId(0)).map(|ran| ran.r0).map_err(|fault| fault.to_string())
}

#[test]
fn every_vector_returns_what_the_kernel_returns() {
    let mut wrong = Vec::new();
    let mut files: Vec<_> = fs::read_dir("tests/isa").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let class = file.file_stem().unwrap().to_string_lossy().into_owned();
        let vectors =
            vectors::parse(&fs::read_to_string(&file).unwrap()).unwrap_or_else(|e| panic!("{class}: {e}"));
        assert!(vectors.len() >= AT_LEAST, "{class} has {} vectors", vectors.len());
        for vector in vectors {
            let at = format!("{class}: {}", vector.name);
            let low = vector.assemble().unwrap_or_else(|e| panic!("{at}: {e}"));
            let high = vector.assemble_high_half().map(|code| code.unwrap_or_else(|e| panic!("{at}: {e}")));
            match (&vector.expected, r0(low)) {
                (Expected::R0(value), Ok(got)) if *value == got => {
                    let half = high.map_or(Ok(got >> 32), |code| r0(vec![code]));
                    if half != Ok(got >> 32) {
                        wrong.push(format!("{at}: high half {half:x?}"));
                    }
                }
                (Expected::Refused(why), Err(error)) if error.contains(why.as_str()) => {}
                (_, got) => wrong.push(format!("{at}: got {got:x?}, not {:x?}", vector.expected)),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
