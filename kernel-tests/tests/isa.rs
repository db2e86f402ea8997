//! The vectors of `sim/tests/isa` on the running kernel: what they expect is what it does. Needs CAP_BPF.

use std::fs;
use std::path::Path;

use bpftwin_kernel_tests::sys::{Prog, ProgLoad, TestRun};
use bpftwin_sim::bpf::vectors::{self, Expected, PACKET};

/// Classes that older kernels refuse, with the first `major.minor` that has them. The others want 6.9.
const SINCE: [(&str, (u32, u32)); 1] = [("acquire_release", (6, 15))];

fn running() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn retval(insns: &[u64]) -> Result<u32, String> {
    let prog = Prog::load(&ProgLoad { insns, ..ProgLoad::default() }).map_err(|e| e.to_string())?;
    let out = prog.test_run(&TestRun { data_in: &PACKET, ..TestRun::default() });
    Ok(out.map_err(|e| e.to_string())?.retval)
}

#[test]
fn every_vector_does_on_the_kernel_what_it_says() {
    let isa = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/tests/isa");
    let mut files: Vec<_> = fs::read_dir(isa).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut wrong, mut agreed) = (Vec::new(), 0);
    for file in files {
        let class = file.file_stem().unwrap().to_string_lossy().into_owned();
        let since = SINCE.iter().find(|(name, _)| *name == class).map_or((6, 9), |&(_, since)| since);
        for vector in vectors::parse(&fs::read_to_string(&file).unwrap()).unwrap() {
            let at = format!("{class}: {}", vector.name);
            let low = retval(&vector.assemble().unwrap_or_else(|e| panic!("{at}: {e}")).slots);
            let high = retval(&vector.assemble_high_half().unwrap_or_else(|e| panic!("{at}: {e}")).slots);
            let right = match (&vector.expected, &low, &high) {
                (Expected::R0(_), low, _) if running() < since => low.is_err(),
                (Expected::R0(value), Ok(low), Ok(high)) => {
                    *value == u64::from(*low) | u64::from(*high) << 32
                }
                (Expected::Refused(_), low, _) => low.is_err(),
                _ => false,
            };
            if right {
                agreed += 1;
            } else {
                wrong.push(format!("{at}: {low:x?} and {high:x?}, not {:x?}", vector.expected));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong, {agreed} right\n{}", wrong.len(), wrong.join("\n"));
    assert!(agreed > 1000, "only {agreed} vectors");
}
