//! CO-RE: programs compiled against one set of types, run against another.
//!
//! `objects/core.bpf.c` asks, `objects/core_kernel.c` is the kernel.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bpftwin_sim::bpf::interp;
use bpftwin_sim::bpf::load::{Kfunc, LoadOptions, Offered, load};
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

/// The answer of a program of core.o, on the kernel of core_kernel.o.
fn answer(name: &str) -> Result<i64, String> {
    run("core.o", name, Some("core_kernel.o"), Release::V6_18)
}

fn run(asking: &str, name: &str, kernel: Option<&str>, release: Release) -> Result<i64, String> {
    let asking = object(asking);
    let options = LoadOptions {
        programs: Some(vec![name.to_owned()]),
        kernel_types: kernel.and_then(|kernel| object(kernel).btf).map(Arc::new),
        ..LoadOptions::default()
    };
    let mut machine = Machine::new(release, 1);
    let loaded =
        load(&mut machine, &asking, &options, &Offered { helper: &|_| Ok(()), kfunc: &|_| Kfunc::Absent })
            .map_err(|error| error.to_string())?;
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
        // By name and type, in any order, of what the object declares.
        ("shape_matches", 1),
        ("shape_has_other_sizes", 0),
        ("shape_is_absent", 0),
        ("shape_of_enum", 0),
        ("shape_behind_pointer", 1),
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
fn types_of_the_abi_are_known_without_a_kernel() {
    let table = [
        ("mark", Ok(8_004)),
        ("data", Ok(76_004)),
        ("last_member", Ok(188)),
        ("header_length", Ok(20)),
        ("redirect", Ok(7)),
        ("member_is_there", Ok(1)),
        ("member_is_absent", Ok(0)),
        ("inside", Err("the type is no part of the user-space ABI")),
        ("number", Err("types have numbers in a running kernel only")),
    ];
    for (name, expected) in table {
        match (run("core_abi.o", name, None, Release::V6_18), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{name}"),
            (Err(found), Err(expected)) => {
                assert!(found.contains(expected) && found.contains("core_abi.bpf.c:"), "{name}: {found}");
            }
            (found, _) => panic!("{name}: {found:?}"),
        }
    }
    assert_eq!(object("core_abi.o").programs.len(), table.len(), "every program is asked");
}

#[test]
fn older_kernels_are_not_guessed_at() {
    assert_eq!(run("core_abi.o", "mark", None, Release::V6_1), Ok(8_004));
    let error = run("core_abi.o", "member_is_there", None, Release::V6_1).unwrap_err();
    assert!(error.contains("the existence of struct __sk_buff.hwtstamp"), "{error}");
}
