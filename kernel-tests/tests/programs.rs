//! Random programs of every ISA level on the simulator and on the running kernel: registers, stack and memory at their
//! end. `bpftwin fuzz programs` runs more of them. Needs root.

use bpftwin_conformance::case::Network;
use bpftwin_conformance::fuzz::generate::Program;
use bpftwin_conformance::fuzz::programs::{differences, probe};
use bpftwin_conformance::plane::probe::SimProber;
use bpftwin_conformance::probe::{Probe, ProbeRun, ProbeSeen};
use bpftwin_kernel_tests::probe::Prober;
use bpftwin_kernel_tests::sys::{pin_to_cpu, possible_cpus};
use bpftwin_sim::bpf::asm::assemble;
use bpftwin_sim::uapi::{ProgType, Release};

#[test]
fn random_programs_leave_the_same() {
    let name = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let release = Release::of_uname(&name).expect("a described kernel");
    pin_to_cpu(0).unwrap();
    let (mut kernel, mut sim) = (Prober::default(), SimProber::new(release, possible_cpus()));
    let programs: Vec<Program> =
        (0..4000).map(|index| Program::random(2, index, None, release > Release::V6_12)).collect();
    for (number, batch) in programs.chunks(50).enumerate() {
        let probe = probe(batch);
        let real = kernel.run(&probe).unwrap();
        assert!(matches!(real, ProbeSeen::Ran(_)), "from {}: {real:?}", number * 50);
        let found = differences(&sim.run(&probe).unwrap(), &real);
        assert!(found.is_empty(), "from {}: {}", number * 50, found.join("\n"));
    }
}

/// What a program leaves in `*(u64 *)(r9 + 0)`, its value being 8 words: on the simulator, and on the kernel.
fn both(text: &str, words: [u64; 8]) -> (u64, u64) {
    let name = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let release = Release::of_uname(&name).expect("a described kernel");
    let code = assemble(&format!("r9 = value ll\n{text}\nr0 = 0\nexit")).unwrap();
    let probe = Probe {
        prog_type: ProgType::SchedCls as u32,
        attach_type: 0,
        slots: code.slots.iter().flat_map(|slot| slot.to_le_bytes()).collect::<Vec<u8>>().into(),
        value_at: code.symbols.iter().map(|(slot, _)| *slot).collect(),
        network: Network::default(),
        runs: vec![ProbeRun {
            value: words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>().into(),
            data: vec![0; 14].into(),
            ctx: Vec::new().into(),
            repeat: 1,
            flags: 0,
        }],
    };
    let first = |seen: ProbeSeen| match seen {
        ProbeSeen::Ran(runs) => u64::from_le_bytes(runs[0].value[..8].try_into().unwrap()),
        ProbeSeen::Refused(why) => panic!("{why}"),
    };
    let real = Prober::default().run(&probe).unwrap();
    (first(SimProber::new(release, possible_cpus()).run(&probe).unwrap()), first(real))
}

/// Jumps and instructions enough that the verifier remembers the state behind them: `kernel/bpf/verifier.c:
/// is_state_visited`.
const REMEMBERED: &str =
    "goto +0; goto +0; goto +0; r5 = 1; r5 = 2; r5 = 3; r5 = 4; r5 = 5; r5 = 6; r5 = 7; r5 = 8";

/// Since registers have no chains of liveness any more (v6.18), `mark_insn_zext` is not reached where the reader of a
/// 32-bit compare-and-exchange's `r0` is behind a point at which the path is pruned, and the upper half stays. When this
/// fails, the kernel is mended: let `fuzz::instructions` make the instruction without a reader behind it.
#[test]
fn the_kernel_forgets_the_upper_half_of_a_pruned_compare_and_exchange() {
    let text = format!(
        "r0 = *(u64 *)(r9 +0); r2 = *(u64 *)(r9 +8); r1 = 0; *(u64 *)(r10 -8) = r1;
        r0 = cmpxchg32_32(r10 -8, r0, r1);
        if r2 != 0 goto join; r0 = *(u64 *)(r9 +16); {REMEMBERED};
        join:; *(u64 *)(r9 +0) = r0"
    );
    assert_eq!(both(&text, [1 << 63, 1, 0, 0, 0, 0, 0, 0]), (0, 1 << 63));
}

/// `backtrack_insn` asks for the precision of `r0` before an atomic operation that fetches into it from the stack, and
/// forgets the slot: a path on which the slot has another number is pruned, and what only that path reaches is taken to be
/// dead (v6.12, v6.18). When this fails, the kernel is mended: let `fuzz::instructions` fetch from any stack slot.
#[test]
fn the_kernel_forgets_that_a_fetched_stack_slot_must_be_precise() {
    let text = format!(
        "r2 = *(u64 *)(r9 +8); r3 = *(u8 *)(r9 +16); r0 = 7;
        if r2 != 0 goto wide; {REMEMBERED}; goto join;
        wide:; r3 = *(u32 *)(r9 +24);
        join:; *(u64 *)(r10 -8) = r3; r0 = cmpxchg_64(r10 -8, r0, r3); r1 = 1;
        if r0 s< 65535 goto done; r1 = 2;
        done:; *(u64 *)(r9 +0) = r1"
    );
    let (sim, kernel) = both(&text, [0, 1, 5, 0xffff_ffff, 0, 0, 0, 0]);
    assert_eq!(sim, 2);
    assert_eq!(kernel, 1);
}
