//! The vectors of `sim/tests/isa` on the running kernel: what they expect is what it does. Needs CAP_BPF.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use bpftwin_kernel_tests::sys::{Map, Prog, ProgLoad, TestRun, btf_load};
use bpftwin_sim::bpf::asm::Assembly;
use bpftwin_sim::bpf::program::Function;
use bpftwin_sim::bpf::vectors::{self, Expected, PACKET};

/// What the vectors describe: from here on one count of tail calls serves a program and its functions.
const OLDEST: (u32, u32) = (6, 12);

/// Classes that the first of these kernels refuse, with the first `major.minor` that has them.
const SINCE: [(&str, (u32, u32)); 1] = [("acquire_release", (6, 15))];

fn running() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// BTF in which every function is `int (void)`: tail calls in functions want some.
fn type_information(functions: &[Function]) -> (Vec<u8>, Vec<[u32; 2]>) {
    let (kind_int, kind_func, kind_proto) = (1 << 24, 12 << 24, 13 << 24);
    let mut strings = b"\0int\0".to_vec();
    let mut types = vec![1, kind_int, 4, 1 << 24 | 32, 0, kind_proto, 1];
    let mut func_info = Vec::new();
    for (id, function) in (3..).zip(functions) {
        types.extend([strings.len() as u32, kind_func, 2]);
        strings.extend(function.name.bytes().chain([0]));
        func_info.push([function.start_slot, id]);
    }
    let types: Vec<u8> = types.into_iter().flat_map(u32::to_le_bytes).collect();
    let (type_len, str_len) = (types.len() as u32, strings.len() as u32);
    let mut btf = vec![0x9f, 0xeb, 1, 0];
    btf.extend([24, 0, type_len, type_len, str_len].into_iter().flat_map(u32::to_le_bytes));
    btf.extend(types);
    btf.extend(strings);
    (btf, func_info)
}

fn retval(programs: Vec<Assembly>) -> Result<u32, String> {
    let progs = Map::new(libbpf_sys::BPF_MAP_TYPE_PROG_ARRAY, 4, 4, vectors::PROG_ARRAY_ENTRIES, 0)
        .map_err(|e| e.to_string())?;
    let mut loaded = Vec::new();
    for (index, mut code) in (0_u32..).zip(programs) {
        code.define("progs", libbpf_sys::BPF_PSEUDO_MAP_FD as u8, u64::from(progs.raw()));
        let (btf, func_info) = type_information(&code.functions);
        let btf = btf_load(&btf).map_err(|e| e.to_string())?;
        let (btf, func_info) = (Some(btf.as_fd()), &func_info[..]);
        let prog = Prog::load(&ProgLoad { insns: &code.slots, btf, func_info, ..ProgLoad::default() });
        let prog = prog.map_err(|e| e.to_string())?;
        progs.update(&index.to_le_bytes(), &prog.raw().to_le_bytes(), 0).map_err(|e| e.to_string())?;
        loaded.push(prog);
    }
    let out = loaded[0].test_run(&TestRun { data_in: &PACKET, ..TestRun::default() });
    Ok(out.map_err(|e| e.to_string())?.retval)
}

#[test]
fn every_vector_does_on_the_kernel_what_it_says() {
    let isa = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/tests/isa");
    let mut files: Vec<_> = fs::read_dir(isa).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(running() >= OLDEST, "the vectors describe kernels from {OLDEST:?} on");
    let (mut wrong, mut agreed) = (Vec::new(), 0);
    for file in files {
        let class = file.file_stem().unwrap().to_string_lossy().into_owned();
        let since = SINCE.iter().find(|(name, _)| *name == class).map_or(OLDEST, |&(_, since)| since);
        for vector in vectors::parse(&fs::read_to_string(&file).unwrap()).unwrap() {
            let at = format!("{class}: {}", vector.name);
            let low = retval(vector.assemble().unwrap_or_else(|e| panic!("{at}: {e}")));
            let high = vector
                .assemble_high_half()
                .map_or(Ok(0), |code| retval(vec![code.unwrap_or_else(|e| panic!("{at}: {e}"))]));
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
