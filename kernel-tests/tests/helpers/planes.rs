//! A trial as a program, and that program on both planes.

use bpftwin_conformance::case::Network;
use bpftwin_kernel_tests::network::{self, Scene};
use bpftwin_kernel_tests::sys::{Map, Prog, ProgLoad, TestRun, pin_to_cpu, possible_cpus};
use bpftwin_sim::bpf::asm::assemble;
use bpftwin_sim::bpf::map::MapSpec;
use bpftwin_sim::bpf::program::{Image, Program};
use bpftwin_sim::net;
use bpftwin_sim::uapi::{AttachType, Errno, MapType, ProgType, Release};

use super::calls::{Arg, Call, Trial, helper_id};

/// Bytes of results at the beginning of the map's value; the buffer follows.
const RESULTS: u32 = 16384;
/// Bytes of buffer.
pub const BUFFER: u32 = 2048;
const VALUE: u32 = RESULTS + BUFFER;
/// Words kept of every call: what it returned, then the fields of [`seen_fields`].
const SEEN: usize = 10;

/// Fields of the context looked at after every call.
fn seen_fields(prog_type: ProgType) -> &'static [i16] {
    match prog_type {
        ProgType::Xdp => &[],
        // len, pkt_type, protocol, vlan_present, vlan_tci, vlan_proto, gso_size
        _ => &[0, 4, 16, 20, 24, 28, 176],
    }
}

/// Whether the program type may look at packet bytes directly, in test runs of every kernel.
fn has_direct_access(prog_type: ProgType) -> bool {
    prog_type != ProgType::SocketFilter
}

/// Values no two kernels agree on: only whether they are 0 is kept.
const UNPREDICTABLE: [&str; 2] = ["get_hash_recalc", "get_socket_cookie"];

const fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    code as u64
        | (dst as u64) << 8
        | (src as u64) << 12
        | (off as u16 as u64) << 16
        | (imm as u32 as u64) << 32
}

const LDDW: u8 = 0x18;
const LDX_W: u8 = 0x61;
const LDX_DW: u8 = 0x79;
const STX_DW: u8 = 0x7b;
const ST_W: u8 = 0x62;
const MOV: u8 = 0xb7;
const MOV_X: u8 = 0xbf;
const ADD: u8 = 0x07;
const SUB_X: u8 = 0x1f;
const JGT_X: u8 = 0x2d;
const JEQ: u8 = 0x15;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

/// The program; `value` is what `ld_imm64` of the map's value takes: source register and both halves.
fn program(trial: &Trial, value: (u8, u32, u32)) -> Vec<u64> {
    let (data, data_end) = if trial.prog_type == ProgType::Xdp { (0, 4) } else { (76, 80) };
    let mut out = vec![
        insn(MOV_X, 6, 1, 0, 0),
        insn(LDDW, 7, value.0, 0, value.1 as i32),
        insn(0, 0, 0, 0, value.2 as i32),
    ];
    for (index, call) in trial.calls.iter().enumerate() {
        let at = |word: usize| ((index * SEEN + word) * 8) as i16;
        match call {
            Call::Helper { name, args } => {
                let mut body = Vec::new();
                for (arg, reg) in args.iter().zip(1..) {
                    match *arg {
                        Arg::Ctx => body.push(insn(MOV_X, reg, 6, 0, 0)),
                        Arg::Imm(imm) => {
                            body.push(insn(LDDW, reg, 0, 0, imm as i32));
                            body.push(insn(0, 0, 0, 0, (imm >> 32) as i32));
                        }
                        Arg::Buf(offset) => {
                            body.push(insn(MOV_X, reg, 7, 0, 0));
                            body.push(insn(ADD, reg, 0, 0, (RESULTS + offset) as i32));
                        }
                        Arg::Sk => body.push(insn(MOV_X, reg, 8, 0, 0)),
                    }
                }
                body.push(insn(CALL, 0, 0, 0, helper_id(name) as i32));
                if UNPREDICTABLE.contains(name) {
                    body.push(insn(JEQ, 0, 0, 1, 0));
                    body.push(insn(MOV, 0, 0, 0, 1));
                }
                if *name == "sk_fullsock" {
                    body.push(insn(JEQ, 0, 0, 1, 0));
                    body.push(insn(LDX_W, 0, 0, 8, 0));
                }
                if name.contains("_lookup_") {
                    body.push(insn(JEQ, 0, 0, 3, 0));
                    body.push(insn(MOV_X, 1, 0, 0, 0));
                    body.push(insn(CALL, 0, 0, 0, helper_id("sk_release") as i32));
                    body.push(insn(MOV, 0, 0, 0, 1));
                }
                body.push(insn(STX_DW, 7, 0, at(0), 0));
                if args.contains(&Arg::Sk) {
                    out.push(insn(LDX_DW, 8, 6, 168, 0));
                    out.push(insn(JEQ, 8, 0, body.len() as i16, 0));
                }
                out.extend(body);
            }
            Call::Store { offset, size, value } => {
                let code = match size {
                    1 => 0x72,
                    2 => 0x6a,
                    4 => ST_W,
                    _ => 0x7a,
                };
                out.push(insn(code, 6, 0, *offset, *value));
                let load = match size {
                    1 => 0x71,
                    2 => 0x69,
                    4 => LDX_W,
                    _ => LDX_DW,
                };
                out.push(insn(load, 0, 6, *offset, 0));
                out.push(insn(STX_DW, 7, 0, at(0), 0));
            }
            Call::Fill { at, value } => {
                out.push(insn(ST_W, 7, 0, (RESULTS + at) as i16, *value as i32));
            }
            Call::Packet { offset, value } => {
                let writes =
                    !matches!(trial.prog_type, ProgType::LwtIn | ProgType::LwtOut | ProgType::CgroupSkb);
                let mut body = vec![insn(LDX_W, 0, 1, *offset, 0), insn(STX_DW, 7, 0, at(0), 0)];
                if writes {
                    body.push(insn(ST_W, 1, 0, *offset, *value));
                }
                out.push(insn(LDX_W, 1, 6, data, 0));
                out.push(insn(LDX_W, 2, 6, data_end, 0));
                out.push(insn(MOV_X, 3, 1, 0, 0));
                out.push(insn(ADD, 3, 0, 0, i32::from(*offset) + 4));
                out.push(insn(JGT_X, 3, 2, body.len() as i16, 0));
                out.extend(body);
            }
        }
        let fields = seen_fields(trial.prog_type);
        for (&field, word) in fields.iter().zip(1..) {
            out.push(insn(LDX_W, 0, 6, field, 0));
            out.push(insn(STX_DW, 7, 0, at(word), 0));
        }
        if has_direct_access(trial.prog_type) {
            out.push(insn(LDX_W, 1, 6, data, 0));
            out.push(insn(LDX_W, 2, 6, data_end, 0));
            out.push(insn(SUB_X, 2, 1, 0, 0));
            out.push(insn(STX_DW, 7, 2, at(SEEN - 1), 0));
        }
        if trial.prog_type == ProgType::Xdp {
            out.push(insn(LDX_W, 1, 6, 8, 0));
            out.push(insn(LDX_W, 2, 6, data, 0));
            out.push(insn(SUB_X, 2, 1, 0, 0));
            out.push(insn(STX_DW, 7, 2, at(1), 0));
        }
    }
    out.push(insn(MOV, 0, 0, 0, if trial.prog_type == ProgType::Xdp { 2 } else { 0 }));
    out.push(insn(EXIT, 0, 0, 0, 0));
    out
}

/// `BPF_F_SLEEPABLE`, without which no syscall program loads.
const BPF_F_SLEEPABLE: u32 = 1 << 4;

/// `retval`, `data_out` and `ctx_out`, or the errno.
pub type Answer = Result<(u32, Vec<u8>, Vec<u8>), i32>;

/// One program in the assembler's syntax, on the running kernel and on the simulator.
pub fn both(
    (prog_type, attach_type): (ProgType, AttachType),
    text: &str,
    data: &[u8],
    ctx: &[u8],
    repeat: u32,
) -> (Answer, Answer) {
    let assembly = assemble(text).unwrap_or_else(|error| panic!("{error}"));
    let load = ProgLoad {
        prog_type: prog_type as u32,
        expected_attach_type: attach_type as u32,
        insns: &assembly.slots,
        flags: if prog_type == ProgType::Syscall { BPF_F_SLEEPABLE } else { 0 },
        ..ProgLoad::default()
    };
    let prog = Prog::load(&load).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let run = TestRun {
        data_in: data,
        ctx_in: (!ctx.is_empty()).then_some(ctx),
        repeat,
        data_room: matches!(prog_type, ProgType::SkLookup | ProgType::Syscall).then_some(0),
        ctx_room: (prog_type == ProgType::Netfilter).then_some(0),
        in_place: prog_type == ProgType::Syscall,
        ..TestRun::default()
    };
    let real = prog.test_run(&run).map(|out| (out.retval, out.data, out.ctx)).map_err(Errno::raw);

    let mut kernel = net::Kernel::new(&net::Config { release: running(), ..net::Config::default() });
    let image = Image {
        name: "main".into(),
        prog_type,
        attach_type: Some(attach_type),
        xdp_has_frags: false,
        license_gpl: true,
        slots: assembly.slots,
        functions: assembly.functions,
        lines: Vec::new(),
        maps: Vec::new(),
    };
    let prog = kernel.machine.add_program(Program::new(image).expect("decodes"));
    let run = net::TestRun { data_in: data, ctx_in: ctx, repeat, ..net::TestRun::default() };
    let answer = kernel.prog_test_run(prog, &run).unwrap_or_else(|fault| panic!("{text}\n{fault}"));
    (real, answer.map(|out| (out.retval, out.data, out.ctx)).map_err(Errno::raw))
}

/// The series of the running kernel.
fn running() -> Release {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    Release::of_uname(&release).expect("a known series")
}

/// What the map's value holds before a run: results of no call, and a buffer that counts.
fn initial_value() -> Vec<u8> {
    let mut value = vec![0xee; RESULTS as usize];
    value.extend((0..BUFFER).map(|i| (i * 7 + 1) as u8));
    value
}

/// `ctx_in`, whole.
fn context(trial: &Trial) -> Vec<u8> {
    let mut ctx = vec![0; if trial.prog_type == ProgType::Xdp { 24 } else { 192 }];
    for &(offset, value) in &trial.ctx {
        ctx[offset as usize..offset as usize + 4].copy_from_slice(&value.to_le_bytes());
    }
    ctx
}

/// What a plane saw.
#[derive(Clone, PartialEq, Debug)]
pub struct Seen {
    /// What the system call gave.
    pub answer: Answer,
    /// The map's value after the run.
    pub value: Vec<u8>,
}

impl Seen {
    /// Says where two observations differ.
    pub fn compare(&self, simulated: &Self, trial: &Trial) -> String {
        let mut lines = Vec::new();
        match (&self.answer, &simulated.answer) {
            (Ok(real), Ok(ours)) => {
                if real.0 != ours.0 {
                    lines.push(format!("  retval: kernel {}, sim {}", real.0, ours.0));
                }
                for (what, real, ours) in [("data", &real.1, &ours.1), ("ctx", &real.2, &ours.2)] {
                    if real != ours {
                        let at = real.iter().zip(ours).take_while(|(a, b)| a == b).count();
                        let (real, ours) = (brief(real, at), brief(ours, at));
                        lines.push(format!("  {what} from byte {at}: kernel {real}, sim {ours}"));
                    }
                }
            }
            (real, ours) if real.as_ref().err() != ours.as_ref().err() => {
                lines.push(format!(
                    "  errno: kernel {:?}, sim {:?}",
                    real.as_ref().err(),
                    ours.as_ref().err()
                ));
            }
            _ => {}
        }
        let word =
            |value: &[u8], at: usize| u64::from_le_bytes(value[at..at + 8].try_into().expect("8 bytes"));
        for (index, call) in trial.calls.iter().enumerate() {
            for seen in 0..SEEN {
                let at = (index * SEEN + seen) * 8;
                let (real, ours) = (word(&self.value, at), word(&simulated.value, at));
                if real != ours {
                    lines.push(format!(
                        "  {call}: word {seen}: kernel {real:#x} ({}), sim {ours:#x}",
                        real as i64
                    ));
                }
            }
        }
        for at in (RESULTS..VALUE).map(|at| at as usize) {
            if self.value[at] != simulated.value[at] {
                let offset = at - RESULTS as usize;
                lines.push(format!(
                    "  buf+{offset}: kernel {:02x}, sim {:02x}",
                    self.value[at], simulated.value[at]
                ));
            }
        }
        lines.truncate(20);
        lines.join("\n")
    }
}

/// The first bytes from `at` on, and how many there are in all.
fn brief(bytes: &[u8], at: usize) -> String {
    let some = &bytes[at..bytes.len().min(at + 16)];
    format!("{some:02x?} ({} bytes)", bytes.len())
}

/// The running kernel, in a namespace of its own.
pub struct Kernel {
    map: Map,
    _scene: Scene,
}

impl Kernel {
    /// Moves this thread into a fresh namespace of a network.
    pub fn new(network: &Network) -> Self {
        let scene = network::enter(network).expect("a network namespace");
        pin_to_cpu(0).expect("CPU 0");
        let map = Map::new(libbpf_sys::BPF_MAP_TYPE_ARRAY, 4, VALUE, 1, 0).expect("a map");
        Self { map, _scene: scene }
    }

    /// One trial on the kernel.
    ///
    /// # Panics
    /// If the verifier refuses the program, which makes the trial a bad one.
    pub fn run(&self, trial: &Trial) -> Seen {
        self.map.update(&[0; 4], &initial_value(), 0).expect("resets the value");
        let insns = program(trial, (2, self.map.raw(), 0));
        let load = ProgLoad { prog_type: trial.prog_type as u32, insns: &insns, ..ProgLoad::default() };
        let prog = Prog::load(&load).unwrap_or_else(|error| panic!("{trial}\n{error}"));
        let (data, ctx) = (trial.packet.bytes(trial.len), context(trial));
        let answer = prog.test_run(&TestRun {
            data_in: &data,
            ctx_in: (!trial.ctx.is_empty()).then_some(&ctx),
            repeat: trial.repeat,
            flags: trial.flags,
            ..TestRun::default()
        });
        Seen {
            answer: answer.map(|out| (out.retval, out.data, out.ctx)).map_err(Errno::raw),
            value: self.map.lookup(&[0; 4], 0).expect("reads the value"),
        }
    }
}

/// One trial on the simulator, as the series of the running kernel.
///
/// # Panics
/// If the program faults, which the verifier's consent says it does not.
pub fn simulate(trial: &Trial, network: &net::network::Network) -> Seen {
    let config = net::Config {
        release: running(),
        nr_cpus: possible_cpus(),
        network: network.clone(),
        ..net::Config::default()
    };
    let mut kernel = net::Kernel::new(&config);
    let spec = MapSpec {
        name: "value".into(),
        map_type: MapType::Array,
        key_size: 4,
        value_size: VALUE,
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
    let map = maps.create(&mut ctx, &spec).expect("creates the map");
    maps.sys_update(&mut ctx, map, &[0; 4], &initial_value(), 0).expect("sets the value");
    let value = maps.value_addr(&mut ctx, map, 0).expect("an array has an address");
    let image = Image {
        name: "trial".into(),
        prog_type: trial.prog_type,
        attach_type: None,
        xdp_has_frags: false,
        license_gpl: true,
        slots: program(trial, (0, value as u32, (value >> 32) as u32)),
        functions: vec![bpftwin_sim::bpf::program::Function { name: "trial".into(), start_slot: 0 }],
        lines: Vec::new(),
        maps: vec![map],
    };
    let prog = kernel.machine.add_program(Program::new(image).expect("decodes"));
    let (data, ctx_in) = (trial.packet.bytes(trial.len), context(trial));
    let run = net::TestRun {
        data_in: &data,
        ctx_in: if trial.ctx.is_empty() { &[] } else { &ctx_in },
        repeat: trial.repeat,
        flags: trial.flags,
        ..net::TestRun::default()
    };
    let answer = kernel.prog_test_run(prog, &run).unwrap_or_else(|fault| panic!("{trial}\n{fault}"));
    let (maps, mut ctx) = kernel.machine.maps();
    Seen {
        answer: answer.map(|out| (out.retval, out.data, out.ctx)).map_err(Errno::raw),
        value: maps.sys_lookup(&mut ctx, map, &[0; 4], 0).expect("reads the value"),
    }
}
