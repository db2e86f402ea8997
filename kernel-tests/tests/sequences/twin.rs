//! The same program and packet on the simulator and on the kernel.

use std::cell::OnceCell;

use bpftwin_conformance::bytes::Bytes;
use bpftwin_kernel_tests::sys::{
    self, Errno, Map, Netlink, Prog, ProgLoad, pin_to_cpu, possible_cpus, unshare_network,
};
use bpftwin_sim::bpf::asm::assemble;
use bpftwin_sim::bpf::map::MapSpec;
use bpftwin_sim::bpf::program::{Image, Program};
use bpftwin_sim::net::{Config, Kernel, TestRun};
use bpftwin_sim::uapi::{MapType, Release};
use proptest::test_runner::TestCaseError;

use crate::Question;
use crate::step::{RESULTS, assembly, initial};

/// Everything a run shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// `retval`, `data_out`, `ctx_out`.
    outcome: Result<(u32, Vec<u8>, Vec<u8>), Errno>,
    /// The map value with every step's result.
    results: Vec<u8>,
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
        Ok(())
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

const BPF_PSEUDO_MAP_VALUE: u64 = 2;

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
        let insns = [&load_value(BPF_PSEUDO_MAP_VALUE, map.raw(), 0), slots].concat();
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
        })
    }

    fn on_simulator(&self, question: &Question, slots: &[u64]) -> Result<Answer, TestCaseError> {
        let mut kernel =
            Kernel::new(&Config { release: self.release, nr_cpus: possible_cpus(), ..Config::default() });
        let spec = MapSpec {
            name: "results".into(),
            map_type: MapType::Array,
            key_size: 4,
            value_size: RESULTS as u32,
            max_entries: 1,
            flags: 0,
            extra: 0,
            inner: None,
            pinning: 0,
            key_type: 0,
            value_type: 0,
            fields: Vec::new(),
        };
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
            slots: [&load_value(0, value as u32, (value >> 32) as u32), slots].concat(),
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
        let (maps, mut ctx) = kernel.machine.maps();
        Ok(Answer {
            outcome: outcome.map(|out| (out.retval, out.data, out.ctx)),
            results: maps.sys_lookup(&mut ctx, map, &[0; 4], 0).expect("reads"),
        })
    }
}
