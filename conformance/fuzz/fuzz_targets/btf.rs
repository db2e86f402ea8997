//! Any bytes as type information.

#![no_main]

use bpftwin_sim::bpf::btf::Btf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Btf::parse(bytes);
});
