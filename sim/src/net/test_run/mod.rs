//! BPF_PROG_TEST_RUN, exactly: `net/bpf/test_run.c`, v6.12. What is refused and with which errno, what the program sees,
//! what comes back.

mod flow_dissector;
mod given;
mod given_skb;
mod nf;
mod sk_lookup;
mod skb;
mod syscall;
#[cfg(test)]
mod tests;
mod xdp;

use crate::bpf::engine;
use crate::bpf::interp::Ran;
use crate::bpf::machine::ProgId;
use crate::bpf::program::Program;
use crate::bpf::{Fault, FaultKind, Machine};
use crate::net::env::Env;
use crate::net::kernel::Kernel;
use crate::net::run::{Packet, Run};
use crate::uapi::{Errno, ProgType, return_range};

pub use given::{GivenRun, runs_given};
pub use skb::eth_type_trans;

/// `BPF_F_TEST_XDP_LIVE_FRAMES`.
pub const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;
/// `BPF_F_TEST_SKB_CHECKSUM_COMPLETE`.
pub const BPF_F_TEST_SKB_CHECKSUM_COMPLETE: u32 = 1 << 2;

/// Room the caller gives for something that comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Room {
    /// None is asked for.
    Nothing,
    /// As much as there is; of a context, nothing where none is given.
    #[default]
    Whole,
    /// At most this many bytes.
    Bytes(u32),
}

/// The arguments of one BPF_PROG_TEST_RUN: `union bpf_attr.test`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TestRun<'a> {
    /// `data_in`.
    pub data_in: &'a [u8],
    /// `ctx_in`; empty: none is given.
    pub ctx_in: &'a [u8],
    /// `repeat`; 0 means 1.
    pub repeat: u32,
    /// `flags`, `BPF_F_TEST_*`.
    pub flags: u32,
    /// `cpu`.
    pub cpu: u32,
    /// `batch_size`.
    pub batch_size: u32,
    /// Room for `data_out`.
    pub data_out: Room,
    /// Room for `ctx_out`.
    pub ctx_out: Room,
}

/// What BPF_PROG_TEST_RUN gives back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TestRunOut {
    /// `retval`.
    pub retval: u32,
    /// The bytes written to `data_out`.
    pub data: Vec<u8>,
    /// `data_size_out`: how many there are.
    pub data_size: u32,
    /// The bytes written to `ctx_out`.
    pub ctx: Vec<u8>,
    /// `ctx_size_out`.
    pub ctx_size: u32,
    /// Whether room was short: the system call fails with `ENOSPC`, having written all of this.
    pub no_space: bool,
}

/// What the system call answers.
pub type Answer = Result<TestRunOut, Errno>;

/// Why a run ended early.
pub(super) enum Stop {
    /// The system call refuses.
    Errno(Errno),
    /// The program did what the verifier should have prevented.
    Fault(Box<Fault>),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl Kernel {
    /// BPF_PROG_TEST_RUN: `kernel/bpf/syscall.c: bpf_prog_test_run`, v6.12.
    ///
    /// The outer error is a fault of the program's, the inner one what the system call answers. A kernel would have
    /// refused to load a program that faults.
    pub fn prog_test_run(&mut self, prog: ProgId, test: &TestRun<'_>) -> Result<Answer, Box<Fault>> {
        let prog_type = self.machine.programs[prog.0 as usize].image().prog_type;
        let done = match prog_type {
            ProgType::SchedCls
            | ProgType::SchedAct
            | ProgType::CgroupSkb
            | ProgType::SocketFilter
            | ProgType::LwtIn
            | ProgType::LwtOut
            | ProgType::LwtXmit => self.test_run_skb(prog, test),
            ProgType::Xdp => self.test_run_xdp(prog, test),
            ProgType::FlowDissector => self.test_run_flow_dissector(prog, test),
            ProgType::SkLookup => self.test_run_sk_lookup(prog, test),
            ProgType::Netfilter => self.test_run_nf(prog, test),
            ProgType::Syscall => self.test_run_syscall(prog, test),
            _ => Err(Errno::ENOTSUPP.into()),
        };
        self.env.clock_ns += Env::RUN_NS;
        match done {
            Ok(out) => Ok(Ok(out)),
            Err(Stop::Errno(errno)) => Ok(Err(errno)),
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    /// `bpf_test_run`: the program, `repeat` times over the same packet. Returns the last `r0` and the packet.
    fn run_repeatedly(&mut self, prog: ProgId, packet: Packet, repeat: u32) -> Result<(u32, Packet), Stop> {
        run_program(&mut self.machine, &mut self.env, self.fuel, (prog, repeat), packet).map_err(Stop::Fault)
    }
}

/// A program, so many times over the same packet. Returns the last `r0` and the packet; an answer that such a program may
/// not give is a fault.
pub fn run_program(
    machine: &mut Machine,
    env: &mut Env,
    fuel: u64,
    (prog, repeat): (ProgId, u32),
    packet: Packet,
) -> Result<(u32, Packet), Box<Fault>> {
    let image = machine.programs[prog.0 as usize].image();
    let (prog_type, attach_type) = (image.prog_type, image.attach_type);
    let mut run = Run::new(env, packet, prog_type, attach_type);
    run.expose(machine);
    let range = return_range(prog_type, attach_type);
    let allowed =
        |ran: Ran| range.is_none_or(|(least, greatest)| (least..=greatest).contains(&(ran.r0 as i64)));
    let ran = engine::run_repeatedly(machine, &mut run, prog, fuel, repeat.max(1), allowed);
    run.hide(machine);
    run.give_memory_back(&mut machine.mem);
    machine.maps.synchronize_rcu(&mut machine.mem);
    let packet = run.packet;
    let ran = ran?;
    match range {
        Some((least, greatest)) if !allowed(ran) => {
            let retval = ran.r0 as i64;
            let what = format!("returns {retval}, and such a program may return {least} to {greatest} only");
            let program = &machine.programs[prog.0 as usize];
            Err(Box::new(fault_at(program, 0, FaultKind::Instruction(what))))
        }
        _ => Ok((ran.r0 as u32, packet)),
    }
}

/// A fault outside of any instruction's execution, told of the instruction at `slot`.
fn fault_at(program: &Program, slot: u32, kind: FaultKind) -> Fault {
    Fault {
        kind,
        program: program.name().to_owned(),
        insn: slot,
        function: program.function_of(slot).name.clone(),
        line: program.line_of(slot).cloned(),
        regs: [0; 11],
    }
}

/// `bpf_ctx_init`: the context given, zero-extended to `size` bytes; `None` if neither it nor room for it is given.
fn ctx_init(test: &TestRun<'_>, size: u32) -> Result<Option<Vec<u8>>, Errno> {
    if test.ctx_in.is_empty() && !matches!(test.ctx_out, Room::Bytes(1..)) {
        return Ok(None);
    }
    let size = size as usize;
    let (head, tail) = test.ctx_in.split_at(test.ctx_in.len().min(size));
    if tail.iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG);
    }
    let mut ctx = head.to_vec();
    ctx.resize(size, 0);
    Ok(Some(ctx))
}

/// `bpf_test_finish` and `bpf_ctx_finish`: what is written where. `linear` and `frags` make up the data.
fn finish(
    test: &TestRun<'_>,
    retval: u32,
    (linear, frags): (&[u8], &[&[u8]]),
    ctx: Option<Vec<u8>>,
) -> Result<TestRunOut, Errno> {
    let frags_len: usize = frags.iter().map(|f| f.len()).sum();
    let size = linear.len() + frags_len;
    let mut out = TestRunOut { retval, data_size: size as u32, ..TestRunOut::default() };
    // A `data_size_out` of 0 is no hint at all.
    let copy = match test.data_out {
        Room::Bytes(room) if room != 0 && (room as usize) < size => {
            out.no_space = true;
            room as usize
        }
        _ => size,
    };
    if test.data_out != Room::Nothing {
        // What is short is taken from the linear part first.
        let Some(len) = copy.checked_sub(frags_len) else {
            return Err(Errno::ENOSPC);
        };
        out.data.extend_from_slice(&linear[..len]);
        for frag in frags {
            if out.data.len() >= copy {
                out.no_space = true;
                break;
            }
            let len = frag.len().min(copy - out.data.len());
            out.data.extend_from_slice(&frag[..len]);
        }
    }
    if out.no_space {
        return Ok(out);
    }
    if let Some(mut ctx) = ctx {
        let room = match test.ctx_out {
            Room::Nothing => return Ok(out),
            Room::Whole => ctx.len(),
            Room::Bytes(room) => room as usize,
        };
        if room == 0 {
            return Ok(out);
        }
        out.ctx_size = ctx.len() as u32;
        out.no_space = room < ctx.len();
        ctx.truncate(room);
        out.ctx = ctx;
    }
    Ok(out)
}

/// Little-endian fields of a context in bytes.
fn get_u32(ctx: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(ctx[offset..offset + 4].try_into().expect("4 bytes"))
}

fn get_u64(ctx: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(ctx[offset..offset + 8].try_into().expect("8 bytes"))
}

fn put_u32(ctx: &mut [u8], offset: usize, value: u32) {
    ctx[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_u64(ctx: &mut [u8], offset: usize, value: u64) {
    ctx[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
}
