//! The same program and packet on the simulator and on the kernel.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use bpftwin_conformance::bytes::Bytes;
use bpftwin_kernel_tests::sys::{
    self, Errno, Map, Netlink, Prog, ProgLoad, pin_to_cpu, possible_cpus, unshare_network,
};
use bpftwin_sim::bpf::asm::assemble;
use bpftwin_sim::bpf::program::{Image, Program};
use bpftwin_sim::net::{Config, Kernel, TestRun};
use bpftwin_sim::uapi::{MapType, Release};
use proptest::test_runner::TestCaseError;

use crate::Question;
use crate::step::{LD_IMM64, RESULTS, Step, assembly, initial};
use crate::store::{Contents, KernelStore, SimStore, spec};

/// Everything a run shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// `retval`, `data_out`, `ctx_out`.
    outcome: Result<(u32, Vec<u8>, Vec<u8>), Errno>,
    /// The map value with every step's result.
    results: Vec<u8>,
    /// The maps.
    contents: Contents,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex = |bytes: &[u8]| Bytes(bytes.to_vec());
        match &self.outcome {
            Ok((retval, data, ctx)) => {
                write!(f, "\n retval {retval}\n data {} {}\n ctx {}", data.len(), hex(data), hex(ctx))?;
            }
            Err(errno) => write!(f, "\n {errno}")?,
        }
        for (index, r0) in self.results.chunks_exact(8).take(crate::MOST).enumerate() {
            write!(f, "\n r0[{index}] {:#x}", u64::from_le_bytes(r0.try_into().expect("8 bytes")))?;
        }
        for (index, memory) in self.results[crate::MOST * 8..].chunks_exact(crate::step::SCRATCH).enumerate()
        {
            write!(f, "\n memory[{index}] {}", hex(memory))?;
        }
        write!(f, "\n {:?}", self.contents)
    }
}

/// This machine, prepared once per thread.
pub struct Twin {
    release: Release,
}

thread_local! {
    static TWIN: OnceCell<Twin> = const { OnceCell::new() };
}

/// `ld_imm64 r7` of a map value: the two slots.
fn load_value(source: u64, low: u32, high: u32) -> [u64; 2] {
    [0x18 | 7 << 8 | source << 12 | u64::from(low) << 32, u64::from(high) << 32]
}

const BPF_PSEUDO_MAP_FD: u64 = 1;
const BPF_PSEUDO_MAP_VALUE: u64 = 2;

/// The maps these steps use, each once, in ascending order.
fn maps_of(steps: &[Step]) -> impl Iterator<Item = usize> {
    steps.iter().filter_map(Step::map).collect::<BTreeSet<_>>().into_iter()
}

/// Replaces every `ld_imm64` of [`map_slots`](crate::step::map_slots) by one of what `map` gives: bits to set in the first
/// slot, and the 64-bit value.
fn with_maps(slots: &[u64], map: impl Fn(usize) -> [u64; 2]) -> Vec<u64> {
    let mut slots = slots.to_vec();
    for at in 0..slots.len() {
        if slots[at] as u8 == LD_IMM64 {
            let [bits, value] = map((slots[at] >> 32) as usize);
            slots[at] = slots[at] & 0xffff | bits | value << 32;
            slots[at + 1] = value >> 32 << 32;
        }
    }
    slots
}

impl Twin {
    fn new() -> Self {
        pin_to_cpu(0).expect("CPU 0 is ours");
        unshare_network().expect("CAP_SYS_ADMIN");
        let up = [0, 1, 1, 1u32].map(u32::to_ne_bytes).concat();
        Netlink::open().expect("a socket").request(16, 0, &up).expect("the loopback comes up");
        let uname = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a kernel");
        Self { release: Release::of_uname(&uname).expect("a described kernel") }
    }

    /// Simulator first, kernel second.
    pub fn ask(question: &Question) -> Result<(Answer, Answer), TestCaseError> {
        let text = assembly(question.prog_type, &question.steps);
        let slots = assemble(&format!("r6 = r1\n{text}"))
            .map_err(|error| TestCaseError::fail(error.to_string()))?
            .slots;
        TWIN.with(|twin| {
            let twin = twin.get_or_init(Self::new);
            let kernel = Self::on_kernel(question, &slots)?;
            Ok((twin.on_simulator(question, &slots)?, kernel))
        })
    }

    fn on_kernel(question: &Question, slots: &[u64]) -> Result<Answer, TestCaseError> {
        let map = Map::new(MapType::Array as u32, 4, RESULTS as u32, 1, 0).expect("creates");
        map.update(&[0; 4], &initial(&question.steps), 0).expect("sets");
        let mut store = KernelStore::new(maps_of(&question.steps));
        let slots = with_maps(slots, |index| [BPF_PSEUDO_MAP_FD << 12, u64::from(store.fd(index))]);
        let insns = [&load_value(BPF_PSEUDO_MAP_VALUE, map.raw(), 0), &slots[..]].concat();
        let load = ProgLoad { prog_type: question.prog_type as u32, insns: &insns, ..ProgLoad::default() };
        // What the verifier refuses is no question: constants it can see through, such as a size out of range.
        let prog = Prog::load(&load).map_err(|error| {
            let last =
                error.log.lines().rev().find(|line| !line.starts_with("processed")).unwrap_or_default();
            TestCaseError::reject(last.to_owned())
        })?;
        let outcome = prog.test_run(&sys::TestRun {
            data_in: &question.packet,
            ctx_in: question.ctx.as_deref(),
            repeat: question.repeat,
            flags: question.flags,
            ..sys::TestRun::default()
        });
        Ok(Answer {
            outcome: outcome.map(|out| (out.retval, out.data, out.ctx)),
            results: map.lookup(&[0; 4], 0).expect("reads"),
            contents: store.contents(),
        })
    }

    fn on_simulator(&self, question: &Question, slots: &[u64]) -> Result<Answer, TestCaseError> {
        let mut kernel =
            Kernel::new(&Config { release: self.release, nr_cpus: possible_cpus(), ..Config::default() });
        let store = SimStore::new(&mut kernel.machine, maps_of(&question.steps));
        let slots = with_maps(slots, |index| [0, store.id(index).handle()]);
        let spec = spec(MapType::Array, 4, RESULTS as u32, 1);
        let (maps, mut ctx) = kernel.machine.maps();
        let map = maps.create(&mut ctx, &spec).expect("creates");
        maps.sys_update(&mut ctx, map, &[0; 4], &initial(&question.steps), 0).expect("sets");
        let value = maps.value_addr(&mut ctx, map, 0).expect("an array of one");
        let image = Image {
            name: "main".into(),
            prog_type: question.prog_type,
            attach_type: None,
            license_gpl: true,
            xdp_has_frags: false,
            slots: [&load_value(0, value as u32, (value >> 32) as u32), &slots[..]].concat(),
            functions: Vec::new(),
            lines: Vec::new(),
            maps: vec![map],
        };
        let program = Program::new(image).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let prog = kernel.machine.add_program(program);
        let test = TestRun {
            data_in: &question.packet,
            ctx_in: question.ctx.as_deref().unwrap_or_default(),
            repeat: question.repeat,
            flags: question.flags,
            ..TestRun::default()
        };
        let fault = |fault| TestCaseError::fail(format!("a fault, although the verifier agrees: {fault}"));
        let outcome = kernel.prog_test_run(prog, &test).map_err(fault)?;
        let contents = store.contents(&mut kernel.machine);
        let (maps, mut ctx) = kernel.machine.maps();
        Ok(Answer {
            outcome: outcome.map(|out| (out.retval, out.data, out.ctx)),
            results: maps.sys_lookup(&mut ctx, map, &[0; 4], 0).expect("reads"),
            contents,
        })
    }
}
