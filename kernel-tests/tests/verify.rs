//! What this kernel's verifier counts: statistics, C lines, rejections, and a gate that changes for the worse do not pass.
//! Needs root.

use bpftwin_conformance::bytes::Bytes;
use bpftwin_conformance::case::ObjectImage;
use bpftwin_conformance::plane::kernel::KernelPlane;
use bpftwin_conformance::verify::judge::{Gated, Judged, gate};
use bpftwin_conformance::verify::lock::Lock;
use bpftwin_conformance::verify::protocol::Verdict;
use bpftwin_conformance::verify::row::Row;
use bpftwin_conformance::verify::{Subject, Verified, rejection, report, verify};

const RECORDED: &[u8] = include_bytes!("verify/objects/recorded.o");
const PLANTED: &[u8] = include_bytes!("verify/objects/planted.o");
const REJECTED: &[u8] = include_bytes!("objects/rejected.o");

fn kernel() -> KernelPlane {
    KernelPlane::at(env!("CARGO_BIN_EXE_bpftwin-kernel"))
}

fn subject(elf: &[u8]) -> Subject {
    let image = ObjectImage {
        name: "subject.o".into(),
        elf: Bytes(elf.to_vec()),
        globals: Vec::new(),
        programs: Vec::new(),
        types: Vec::new(),
        kconfig: Vec::new(),
        kernel_types: None,
        sizes: Vec::new(),
    };
    Subject { object: "subject.o".into(), config: "default".into(), llvm: "-".into(), image }
}

fn seen(elf: &[u8], lines: bool) -> Verified {
    let verified = verify(&kernel(), &[subject(elf)], lines).expect("this kernel can be asked");
    assert_eq!(verified.refused, []);
    verified
}

fn gated(lock: &Lock, elf: &[u8]) -> Gated {
    gate(&kernel(), lock, &[subject(elf)]).expect("this kernel can be asked")
}

/// A lock as it is after it was written and read.
fn lock(rows: &[Row]) -> Lock {
    Lock::read(&Lock::of(rows).write()).expect("what was written")
}

#[test]
fn a_planted_regression_is_caught_and_its_line_named() {
    let lock = lock(&seen(RECORDED, true).rows);
    let Gated { judged, grew, .. } = gated(&lock, PLANTED);
    assert_eq!(judged.len(), 10);
    let mut first = 0;
    for (key, judged) in &judged {
        assert!(matches!(judged, Judged::Over { .. }), "{key}: {judged:?}");
        // The sources say at the ends of their lines which become more expensive.
        let right = |at: usize| grew[key].get(at).is_some_and(|line| line.place.text.contains("/* grows */"));
        assert!((0..3).any(right), "{key}: {:#?}", &grew[key][..3]);
        first += usize::from(right(0));
    }
    assert!(first >= 8, "the line named first is right in {first} of 10");
}

#[test]
fn a_clean_run_is_green_every_time() {
    let lock = lock(&seen(RECORDED, true).rows);
    for _ in 0..5 {
        let judged = gated(&lock, RECORDED).judged;
        assert!(judged.len() == 10 && judged.values().all(|judged| *judged == Judged::Same), "{judged:?}");
    }
}

#[test]
fn every_instruction_is_on_some_line() {
    for name in ["veth", "xdp_prefilter", "hooks"] {
        let object = bpftwin_datapath::object(name).expect("bundled");
        for row in seen(object.bytes, true).rows {
            let (key, seen) = (&row.key, &row.seen);
            // Each program alone, those in prog arrays of the object, too.
            assert_eq!(seen.verdict, Verdict::Success, "{key}: {}", seen.reason);
            let visits: u64 = seen.lines.iter().map(|line| line.visits).sum();
            assert_eq!(visits, seen.counts.insns, "{key}");
            assert!(seen.lines.iter().all(|line| line.place.line > 0), "{key}");
            assert!(seen.jited > 0 && seen.memory >= 4096 && seen.deepest >= seen.stack[0], "{seen:?}");
        }
    }
}

#[test]
fn a_rejection_names_the_line_and_tells_of_the_registers() {
    let rows = seen(REJECTED, false).rows;
    let of = |name: &str| &rows.iter().find(|row| row.key.program == name).expect("it is there").seen;
    assert_eq!(of("careful").verdict, Verdict::Success);
    let careless = of("careless");
    assert_eq!(careless.verdict, Verdict::Failure);
    let story = rejection::story(careless.rejection.as_ref().expect("a log"));
    let place = story.place.expect("a line");
    assert_eq!((place.line, place.text.as_str()), (8, "return *(__u8 *)(long)skb->data;"));
    assert_eq!(story.registers[0].holds, "the packet, of which nothing was compared with data_end");
    let table = report::table(&rows, &|_| Vec::new(), false);
    assert!(table.contains(">     8 | return *(__u8 *)(long)skb->data;"), "{table}");
}

#[test]
fn what_cannot_be_loaded_is_not_lost() {
    // The first program has no reader of its type's attach target in this kernel.
    let rows = seen(include_bytes!("verify/objects/targets.o"), true).rows;
    let verdicts: Vec<_> = rows.iter().map(|row| (row.key.program.as_str(), row.seen.verdict)).collect();
    assert_eq!(verdicts, [("no_target", Verdict::Unloadable), ("target", Verdict::Success)]);
    assert!(rows[0].seen.reason.contains("no_such_kernel_function"), "{}", rows[0].seen.reason);
}
