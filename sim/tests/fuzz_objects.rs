//! Whatever the bytes, reading an object file ends in an object or an error: no panic, no endless loop, no memory out
//! of proportion to the file.

#![allow(unsafe_code)] // a counting allocator

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::Path;

use bpftwin_sim::bpf::object::Object;
use bpftwin_sim::bpf::uses::Uses;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Counts the bytes each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; only numbers are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.get().saturating_add(layout.size());
        HELD.set(held);
        PEAK.set(PEAK.get().max(held));
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.set(HELD.get().saturating_sub(layout.size()));
        // SAFETY: the caller keeps the allocator's contract, and `alloc` gave it the system's block.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn small() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objects/small.o")).unwrap()
}

/// Reads `bytes` and looks at everything in the result; says whether it is an object.
fn read(bytes: &[u8]) -> bool {
    PEAK.set(HELD.get());
    let before = HELD.get();
    let object = Object::parse("small.o", bytes);
    let peak = PEAK.get() - before;
    let limit = 64 * bytes.len() + (64 << 10);
    assert!(peak <= limit, "{peak} bytes of memory for a file of {}", bytes.len());
    let Ok(object) = object else { return false };
    for program in &object.programs {
        Uses::of(&object, program);
    }
    if let Some(btf) = &object.btf {
        for map in &object.maps {
            for id in [map.spec.key_type, map.spec.value_type] {
                btf.size_of(id);
                btf.align_of(id);
                btf.describe(id);
            }
        }
    }
    true
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let whole = small();
    assert!(read(&whole));
    for len in 0..whole.len() {
        assert!(!read(&whole[..len]), "cut to {len} of {} bytes", whole.len());
    }
}

#[test]
fn a_file_with_any_byte_changed_is_an_object_or_an_error() {
    let whole = small();
    for at in 0..whole.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            read(&bytes);
        }
    }
}

/// One change to a file. Places are fractions of its length.
#[derive(Clone, Debug)]
enum Change {
    Byte(prop::sample::Index, u8),
    Word(prop::sample::Index, u32),
    Cut(prop::sample::Index),
    Copy { from: prop::sample::Index, to: prop::sample::Index, len: usize },
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let size = bytes.len();
        match self {
            Self::Byte(at, value) => bytes[at.index(size)] = *value,
            Self::Word(at, value) => {
                let at = at.index(size) & !3;
                let end = (at + 4).min(size);
                bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
            }
            Self::Cut(at) => bytes.truncate(at.index(size)),
            Self::Copy { from, to, len } => {
                let (from, to) = (from.index(size), to.index(size));
                let len = (*len).min(size - from.max(to));
                bytes.copy_within(from..from + len, to);
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    let word = prop_oneof![
        3 => 0..64_u32,
        1 => any::<u32>(),
        1 => prop::sample::select(vec![u32::MAX, 1 << 31, (1 << 31) - 1, 1 << 24, 0xffff, 0x10000, 0x8400_ffff]),
    ];
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, value)| Change::Byte(at, value)),
        8 => (at(), word).prop_map(|(at, value)| Change::Word(at, value)),
        1 => at().prop_map(Change::Cut),
        2 => (at(), at(), 1..64_usize).prop_map(|(from, to, len)| Change::Copy { from, to, len }),
    ]
}

#[test]
fn a_hundred_thousand_mutated_files_are_objects_or_errors() {
    const CASES: u32 = 100_000;
    let whole = small();
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let accepted = Cell::new(0);
    let run = TestRunner::new_with_rng(config, rng).run(&vec(change(), 1..6), |changes| {
        let mut bytes = whole.clone();
        for change in &changes {
            change.apply(&mut bytes);
        }
        accepted.set(accepted.get() + u32::from(read(&bytes)));
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
    // Mutations that break nothing show that those that do are not all caught by the first check.
    let accepted = accepted.get();
    assert!((CASES / 100..CASES / 2).contains(&accepted), "{accepted} of {CASES} were objects");
}
