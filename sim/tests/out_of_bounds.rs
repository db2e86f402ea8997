//! Accesses at and around both ends of every kind of object, by every instruction that touches memory: a fault exactly
//! where the object ends.

mod support;

use std::fmt::Write;
use std::ops::Range;

use bpftwin_sim::bpf::fault::FaultKind;
use bpftwin_sim::bpf::machine::Machine;
use bpftwin_sim::bpf::mem::{Access, Addr, CTX_BASE, CTX_SIZE, Object, ObjectKind, PACKET_BASE};
use bpftwin_sim::uapi::{MapType, Release};

/// What a program may do with an object.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Allowed {
    Everything,
    /// Packets: the verifier lets no atomic operation touch them.
    NoAtomics,
    ReadOnly,
}

/// How the program comes to the address.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Path {
    /// The offset is in the instruction: `*(u32 *)(r2 + off)`.
    Constant,
    /// The offset is in the register: `r2 += off; *(u32 *)(r2 + 0)`.
    Computed,
    /// `*(u32 *)(r10 + off)`.
    Frame,
    /// From a function that got the pointer from its caller.
    Callee,
}

/// An object under test: the instruction that makes `r2` point at it, and its length.
struct Case {
    name: &'static str,
    pointer: String,
    len: i64,
    allowed: Allowed,
    paths: &'static [Path],
    /// Where an object lies that touches this one, by offset: what is wholly inside it is an access to that one.
    touching: Range<i64>,
}

#[derive(Clone, Copy)]
struct Operation {
    /// `{p}` is the place.
    text: &'static str,
    width: i64,
    atomic: bool,
    write: bool,
}

const fn op(text: &'static str, width: i64, atomic: bool, write: bool) -> Operation {
    Operation { text, width, atomic, write }
}

const OPERATIONS: [Operation; 33] = [
    op("r0 = *(u8 *)({p})", 1, false, false),
    op("r0 = *(u16 *)({p})", 2, false, false),
    op("r0 = *(u32 *)({p})", 4, false, false),
    op("r0 = *(u64 *)({p})", 8, false, false),
    op("r0 = *(s8 *)({p})", 1, false, false),
    op("r0 = *(s16 *)({p})", 2, false, false),
    op("r0 = *(s32 *)({p})", 4, false, false),
    op("*(u8 *)({p}) = r3", 1, false, true),
    op("*(u16 *)({p}) = r3", 2, false, true),
    op("*(u32 *)({p}) = r3", 4, false, true),
    op("*(u64 *)({p}) = r3", 8, false, true),
    op("*(u8 *)({p}) = 5", 1, false, true),
    op("*(u16 *)({p}) = 5", 2, false, true),
    op("*(u32 *)({p}) = 5", 4, false, true),
    op("*(u64 *)({p}) = 5", 8, false, true),
    op("lock *(u32 *)({p}) += r3", 4, true, true),
    op("lock *(u64 *)({p}) |= r3", 8, true, true),
    op("r3 = atomic_fetch_and((u32 *)({p}), r3)", 4, true, true),
    op("r3 = atomic_fetch_xor((u64 *)({p}), r3)", 8, true, true),
    op("r3 = xchg32_32({p}, r3)", 4, true, true),
    op("r3 = xchg_64({p}, r3)", 8, true, true),
    op("r0 = cmpxchg32_32({p}, r0, r3)", 4, true, true),
    op("r0 = cmpxchg_64({p}, r0, r3)", 8, true, true),
    op("r0 = load_acquire((u8 *)({p}))", 1, true, false),
    op("r0 = load_acquire((u16 *)({p}))", 2, true, false),
    op("r0 = load_acquire((u32 *)({p}))", 4, true, false),
    op("r0 = load_acquire((u64 *)({p}))", 8, true, false),
    op("store_release((u8 *)({p}), r3)", 1, true, true),
    op("store_release((u16 *)({p}), r3)", 2, true, true),
    op("store_release((u32 *)({p}), r3)", 4, true, true),
    op("store_release((u64 *)({p}), r3)", 8, true, true),
    op("r0 = *(u8 *)({p}); *(u8 *)({p}) = r0", 1, false, true),
    op("r0 = *(u64 *)({p}); *(u64 *)({p}) = r0", 8, false, true),
];

/// The program for one access, `offset` bytes from where the object begins.
fn text(case: &Case, path: Path, operation: Operation, offset: i64) -> String {
    let place = |base: &str, off: i64| operation.text.replace("{p}", &format!("{base} + {off}"));
    let mut out = String::from("r0 = 0; r3 = 1\n");
    match path {
        Path::Constant => write!(out, "{}\n{}\nexit", case.pointer, place("r2", offset)),
        Path::Computed => write!(out, "{}\nr2 += {offset}\n{}\nexit", case.pointer, place("r2", 0)),
        Path::Frame => write!(out, "{}\nexit", place("r10", offset - 512)),
        Path::Callee => {
            write!(out, "{}\ncall f\nexit\n.func f\nr0 = 0\n{}\nexit", case.pointer, place("r2", offset))
        }
    }
    .unwrap();
    out
}

/// `r2 = addr`.
fn at(addr: Addr) -> String {
    format!("r2 = {addr} ll")
}

fn array(machine: &mut Machine, value_size: u32, flags: u32) -> Addr {
    let spec = support::map_spec(MapType::Array, value_size, 1, flags);
    let (maps, mut ctx) = machine.maps();
    let id = maps.create(&mut ctx, &spec).unwrap();
    maps.value_addr(&mut ctx, id, 0).unwrap()
}

/// Objects of every kind, of lengths and alignments that end anywhere in a word.
fn cases(machine: &mut Machine) -> Vec<Case> {
    const BPF_F_RDONLY_PROG: u32 = 1 << 7;
    const POINTER: &[Path] = &[Path::Constant, Path::Computed, Path::Callee];
    let mut cases = vec![
        Case {
            name: "frame",
            pointer: "r2 = r10; r2 += -512".to_owned(),
            len: 512,
            allowed: Allowed::Everything,
            paths: &[Path::Frame, Path::Constant, Path::Computed, Path::Callee],
            touching: 0..0,
        },
        Case {
            name: "packet",
            pointer: "r2 = *(u32 *)(r1 + 76)".to_owned(),
            len: 64,
            allowed: Allowed::NoAtomics,
            paths: POINTER,
            touching: 0..0,
        },
    ];
    for (base, len) in [(0x1000, 1), (0x2003, 7), (0x3001, 14), (0x4004, 61)] {
        let base = PACKET_BASE + base;
        machine.mem.map(Object { base, len, access: Access::ReadWrite, kind: ObjectKind::Packet });
        cases.push(Case {
            name: "packet elsewhere",
            pointer: at(base),
            len: i64::from(len),
            allowed: Allowed::NoAtomics,
            paths: POINTER,
            touching: 0..0,
        });
    }
    let touching = PACKET_BASE + 0x5000;
    for (base, len, kind, other) in
        [(touching - 12, 12, ObjectKind::Metadata, 12..32), (touching, 20, ObjectKind::Packet, -12..0)]
    {
        machine.mem.map(Object { base, len, access: Access::ReadWrite, kind });
        cases.push(Case {
            name: "metadata and the packet it touches",
            pointer: at(base),
            len: i64::from(len),
            allowed: Allowed::NoAtomics,
            paths: POINTER,
            touching: other,
        });
    }
    for (value_size, flags, allowed) in [
        (1, 0, Allowed::Everything),
        (4, 0, Allowed::Everything),
        (8, 0, Allowed::Everything),
        (12, 0, Allowed::Everything),
        (27, 0, Allowed::Everything),
        (4096, 0, Allowed::Everything),
        (10, BPF_F_RDONLY_PROG, Allowed::ReadOnly),
    ] {
        cases.push(Case {
            name: "map value",
            pointer: at(array(machine, value_size, flags)),
            len: i64::from(value_size),
            allowed,
            paths: POINTER,
            touching: 0..0,
        });
    }
    for (len, access, allowed) in
        [(20, Access::ReadWrite, Allowed::Everything), (13, Access::Read, Allowed::ReadOnly)]
    {
        let base = machine.mem.alloc(ObjectKind::Helper("memory handed out"), access, len).unwrap();
        cases.push(Case {
            name: "memory of a helper",
            pointer: at(base),
            len: i64::from(len),
            allowed,
            paths: POINTER,
            touching: 0..0,
        });
    }
    cases
}

fn offsets(len: i64, width: i64) -> impl Iterator<Item = i64> {
    let around = |edge: i64| edge - 1..=edge + 1;
    let mut all: Vec<i64> =
        around(-width).chain(around(0)).chain(around(len - width)).chain(around(len)).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter()
}

#[test]
fn every_access_outside_faults_and_every_neighbour_inside_does_not() {
    let (mut faults, mut fine, mut wrong) = (0, 0, Vec::new());
    let mut machine = support::machine(Release::default());
    for case in cases(&mut machine) {
        for &path in case.paths {
            for operation in OPERATIONS {
                for offset in offsets(case.len, operation.width) {
                    let within =
                        |range: &Range<i64>| offset >= range.start && offset + operation.width <= range.end;
                    let inside = within(&(0..case.len)) || within(&case.touching);
                    let permitted = match case.allowed {
                        Allowed::Everything => true,
                        Allowed::NoAtomics => !operation.atomic,
                        Allowed::ReadOnly => !operation.write,
                    };
                    let text = text(&case, path, operation, offset);
                    let prog = support::load(&mut machine, &text);
                    let right = match support::run_changing(&mut machine, prog) {
                        Ok(_) => inside && permitted,
                        Err(fault) => match &fault.kind {
                            FaultKind::Access(bad) => {
                                !(inside && permitted) && bad.len == operation.width as u64
                            }
                            FaultKind::Instruction(_) => inside && !permitted,
                            _ => false,
                        },
                    };
                    machine.programs.pop();
                    if !right {
                        wrong.push(format!("{} {path:?} {offset}: {}", case.name, operation.text));
                    }
                    if inside && permitted {
                        fine += 1;
                    } else {
                        faults += 1;
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), faults + fine, wrong.join("\n"));
    println!("{faults} accesses outside, each a fault; {fine} inside, none");
    assert!(faults >= 2_000 && fine >= 2_000, "{faults} outside, {fine} inside");
}

#[test]
fn wild_pointers_fault() {
    let mut machine = support::machine(Release::default());
    let value = array(&mut machine, 8, 0);
    let wild = [
        0,
        1,
        0xffff,
        CTX_BASE - 1,
        CTX_BASE + CTX_SIZE,
        value + (1 << 32),
        value | 1 << 63,
        u64::from(u32::MAX),
        1 << 32,
        u64::MAX,
        u64::MAX - 3,
        u64::MAX - 7,
        i64::MAX as u64,
    ];
    for addr in wild {
        for operation in OPERATIONS {
            let text = operation.text.replace("{p}", "r2 + 0");
            let prog = support::load(&mut machine, &format!("r0 = 0; r3 = 1; {}; {text}; exit", at(addr)));
            let fault = support::run(&mut machine, prog).expect_err(&text);
            assert!(
                matches!(&fault.kind, FaultKind::Access(bad) if bad.addr == addr),
                "{addr:#x} {text}: {fault}"
            );
        }
    }
}

#[test]
fn freed_and_returned_memory_faults() {
    let mut machine = support::machine(Release::default());
    let base = machine.mem.alloc(ObjectKind::RingRecord(1), Access::ReadWrite, 16).unwrap();
    let text = format!("{}; r0 = *(u64 *)(r2 + 8); exit", at(base));
    let prog = support::load(&mut machine, &text);
    assert!(support::run(&mut machine, prog).is_ok());
    machine.mem.free(base);
    assert!(support::run(&mut machine, prog).is_err());
    // The frame of a function that has returned.
    let prog = support::load(
        &mut machine,
        "call f; r0 = *(u64 *)(r0 - 8); exit; .func f; *(u64 *)(r10 - 8) = 1; r0 = r10; exit",
    );
    let fault = support::run(&mut machine, prog).unwrap_err();
    assert_eq!((fault.insn, fault.function.as_str()), (1, "main"));
}

/// The context has no bytes: the host says which offsets and widths exist.
#[test]
fn context_fields_are_exact() {
    let mut machine = support::machine(Release::default());
    let mut faults = 0;
    for (bits, width) in [(8, 1), (16, 2), (32, 4), (64, 8)] {
        for offset in -8..200 {
            for (text, read) in [
                (format!("r0 = *(u{bits} *)(r1 + {offset})"), true),
                (format!("*(u{bits} *)(r1 + {offset}) = 0"), false),
                (format!("r1 += {offset}; r0 = *(u{bits} *)(r1 + 0)"), true),
            ] {
                let readable = width == 4 && [0, 48, 52, 76, 80].contains(&offset);
                let field = readable && (read || [48, 52].contains(&offset));
                let prog = support::load(&mut machine, &format!("r0 = 0; {text}; exit"));
                match support::run(&mut machine, prog) {
                    Ok(_) => assert!(field, "{text}"),
                    Err(fault) => {
                        faults += 1;
                        assert!(!field, "{text}: {fault}");
                        let context = matches!(&fault.kind, FaultKind::Context { offset: o, size, write, .. }
                            if (i64::from(*o), *size, *write) == (offset, width, !read));
                        assert_eq!(context, offset >= 0, "{text}: {fault}");
                    }
                }
            }
        }
    }
    for text in ["r2 = 1; lock *(u32 *)(r1 + 0) += r2", "r0 = load_acquire((u32 *)(r1 + 0))"] {
        let prog = support::load(&mut machine, &format!("r0 = 0; {text}; exit"));
        assert!(support::run(&mut machine, prog).is_err(), "{text}");
    }
    assert!(faults > 2_000, "{faults}");
}
