//! CO-RE: programs compiled against one set of types, run against another.
//!
//! `objects/core.bpf.c` asks, `objects/core_kernel.c` is the kernel.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bpftwin_sim::bpf::interp;
use bpftwin_sim::bpf::load::{LoadOptions, load};
use bpftwin_sim::bpf::object::Object;
use bpftwin_sim::bpf::{FaultKind, Host, Machine};
use bpftwin_sim::uapi::Release;

fn object(name: &str) -> Object {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objects").join(name);
    Object::parse(name, &fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{error}"))
}

/// A context whose every byte knows its place.
struct Places;

impl Host for Places {
    fn helper(&mut self, _: &mut Machine, id: u32, _: [u64; 5]) -> Result<u64, FaultKind> {
        Err(FaultKind::Instruction(format!("helper {id:#x} does not exist")))
    }

    fn ctx_load(&mut self, _: &mut Machine, offset: u32, size: u32) -> Result<u64, FaultKind> {
        Ok(u64::from(1000 * offset + size))
    }

    fn ctx_store(&mut self, _: &mut Machine, _: u32, _: u32, _: u64) -> Result<(), FaultKind> {
        Err(FaultKind::Instruction("nothing is stored".to_owned()))
    }
}

fn answer(name: &str) -> Result<i64, String> {
    let (asking, kernel) = (object("core.o"), object("core_kernel.o"));
    let options = LoadOptions {
        programs: Some(vec![name.to_owned()]),
        kernel_types: kernel.btf.map(Arc::new),
        ..LoadOptions::default()
    };
    let mut machine = Machine::new(Release::V6_18, 1);
    let loaded = load(&mut machine, &asking, &options, &|_| Ok(())).map_err(|error| error.to_string())?;
    let ran = interp::run(&mut machine, &mut Places, loaded.programs[name], 1000)
        .map_err(|fault| fault.to_string())?;
    Ok(ran.r0 as i64)
}

#[test]
fn programs_get_the_kernels_numbers() {
    // Offsets in `struct task` of core_kernel.c; a load of `size` bytes at `offset` gives 1000 * offset + size.
    let table = [
        ("offset_moved", 8),
        ("offset_in_anonymous", 32),
        ("offset_of_element", 43),
        ("offset_of_flavour", 64),
        ("size_changed", 16),
        ("field_is_there", 1),
        ("field_is_absent", 0),
        ("type_is_there", 1),
        ("type_is_absent", 0),
        ("type_size", 88),
        ("typedef_size", 8),
        ("absent_size", 0),
        ("enum_moved", 20),
        ("enum_of_flavour", 90),
        ("enum_is_there", 1),
        ("enum_is_absent", 0),
        // Bits 0 to 2 of 58_001, one byte at 58; bits 11 to 15 of 56_008, eight bytes at 56.
        ("bit_field_unsigned", 58_001 % 8),
        ("bit_field_signed", 0b11011 - 32),
        ("load_moved", 8_004),
        ("load_widened", 16_004),
        ("load_pointer", 80_008),
        ("load_guarded", 7),
    ];
    for (name, expected) in table {
        assert_eq!(answer(name), Ok(expected), "{name}");
    }
    assert_eq!(object("core.o").programs.len(), table.len() + 2, "every program is asked");
}

#[test]
fn what_the_kernel_cannot_answer_faults_where_it_is_reached() {
    for name in ["reached_absent", "reached_sign_change"] {
        let fault = answer(name).unwrap_err();
        assert!(fault.contains("helper 0xbad2310") && fault.contains("core.bpf.c:"), "{fault}");
    }
}

#[test]
fn without_types_the_question_is_told() {
    let object = object("core.o");
    let options = LoadOptions { programs: Some(vec!["load_moved".to_owned()]), ..LoadOptions::default() };
    let error =
        load(&mut Machine::new(Release::V6_18, 1), &object, &options, &|_| Ok(())).map(|_| ()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the offset of struct task.pid") && text.contains("core.bpf.c:"), "{text}");
}
