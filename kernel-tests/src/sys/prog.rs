//! Programs: loading raw instructions, BPF_PROG_TEST_RUN, and BTF for them.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::attr::{self, Cmd};
use super::{Errno, bpf, bpf_fd};

/// What to load. `ProgLoad { prog_type, insns, ..ProgLoad::default() }` is enough for most programs.
#[derive(Clone, Debug)]
pub struct ProgLoad<'a> {
    /// `BPF_PROG_TYPE_*`.
    pub prog_type: u32,
    /// Eight-byte instruction slots, little endian fields, as in an object file. A map's `ld_imm64` carries
    /// [`Map::raw`](super::Map::raw) with source register `BPF_PSEUDO_MAP_FD`.
    pub insns: &'a [u64],
    /// The licence string; decides about GPL-only helpers.
    pub license: &'a str,
    /// `BPF_*` of `enum bpf_attach_type`.
    pub expected_attach_type: u32,
    /// `BPF_F_*` load flags.
    pub flags: u32,
    /// BTF made by [`btf_load`], with the function records (`struct bpf_func_info`, 8 bytes each) that programs with
    /// callbacks or global subprograms need.
    pub btf: Option<BorrowedFd<'a>>,
    /// `(instruction slot, BTF type id)` of every function, the main program first.
    pub func_info: &'a [[u32; 2]],
}

impl Default for ProgLoad<'_> {
    fn default() -> Self {
        Self {
            prog_type: libbpf_sys::BPF_PROG_TYPE_SCHED_CLS,
            insns: &[],
            license: "GPL",
            expected_attach_type: 0,
            flags: 0,
            btf: None,
            func_info: &[],
        }
    }
}

/// A program the kernel would not load.
#[derive(Clone, Debug, thiserror::Error)]
#[error("BPF_PROG_LOAD: {errno}\n{log}")]
pub struct LoadError {
    /// What the system call said.
    pub errno: Errno,
    /// The verifier's log, or nothing if it did not get that far.
    pub log: String,
}

/// A loaded program, kept alive by its file descriptor.
#[derive(Debug)]
pub struct Prog {
    fd: OwnedFd,
}

/// The arguments of BPF_PROG_TEST_RUN.
#[derive(Clone, Debug, Default)]
pub struct TestRun<'a> {
    /// `data_in`; empty: a NULL pointer and size 0.
    pub data_in: &'a [u8],
    /// `ctx_in`; `None`: neither `ctx_in` nor `ctx_out`.
    pub ctx_in: Option<&'a [u8]>,
    /// `repeat`; 0 means 1.
    pub repeat: u32,
    /// `BPF_F_TEST_*`.
    pub flags: u32,
    /// `cpu`, for `BPF_F_TEST_RUN_ON_CPU`.
    pub cpu: u32,
    /// `batch_size`, for live XDP frames.
    pub batch_size: u32,
    /// Room for `data_out`, bytes; `None`: as much as any program type can give back.
    pub data_room: Option<u32>,
    /// Room for `ctx_out`, bytes; `None`: as much as `ctx_in`, at least 256, and none without `ctx_in`.
    pub ctx_room: Option<u32>,
    /// Whether the kernel writes the context back where it found it, as it does for syscall programs: there is no
    /// `ctx_out`, and what comes back is `ctx_in`.
    pub in_place: bool,
}

/// What BPF_PROG_TEST_RUN gave back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TestRunOut {
    /// `retval`.
    pub retval: u32,
    /// `data_out`, `data_size_out` bytes; no more than there was room for.
    pub data: Vec<u8>,
    /// `data_size_out` as the kernel wrote it.
    pub data_size: u32,
    /// `ctx_out`, `ctx_size_out` bytes; no more than there was room for.
    pub ctx: Vec<u8>,
    /// `ctx_size_out` as the kernel wrote it.
    pub ctx_size: u32,
    /// `duration`: nanoseconds per repeat, different each time.
    pub duration: u32,
}

/// The largest `data_out`: XDP with every fragment (3520 + 17 × 4096), and what a program may add.
const DATA_OUT_ROOM: u32 = 128 * 1024;

impl Prog {
    /// `BPF_PROG_LOAD`.
    pub fn load(load: &ProgLoad<'_>) -> Result<Self, LoadError> {
        let license = CString::new(load.license).expect("a licence without NUL");
        let mut log = vec![0u8; 1 << 20];
        let attempt = |log: Option<&mut Vec<u8>>| {
            let (log_level, log_size, log_buf) =
                log.map_or((0, 0, 0), |log| (1, log.len() as u32, log.as_mut_ptr() as u64));
            let mut attr = attr::ProgLoad {
                prog_type: load.prog_type,
                insn_cnt: load.insns.len() as u32,
                insns: load.insns.as_ptr() as u64,
                license: license.as_ptr() as u64,
                log_level,
                log_size,
                log_buf,
                prog_flags: load.flags,
                expected_attach_type: load.expected_attach_type,
                prog_btf_fd: load.btf.map_or(0, |fd| fd.as_raw_fd() as u32),
                func_info_rec_size: if load.func_info.is_empty() { 0 } else { 8 },
                func_info: if load.func_info.is_empty() { 0 } else { load.func_info.as_ptr() as u64 },
                func_info_cnt: load.func_info.len() as u32,
                ..attr::ProgLoad::default()
            };
            // SAFETY: instructions, licence and records are live and of the counts given; the log, if any, is
            // writable for `log_size` bytes.
            unsafe { bpf_fd(Cmd::ProgLoad, &mut attr) }
        };
        attempt(None)
            .or_else(|errno| match attempt(Some(&mut log)) {
                Ok(fd) => Ok(fd),
                Err(_) => Err(LoadError { errno, log: text_until_nul(&log) }),
            })
            .map(|fd| Self { fd })
    }

    /// A program someone else loaded, such as libbpf.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// The descriptor's number, as prog arrays take it.
    pub fn raw(&self) -> u32 {
        self.fd.as_raw_fd() as u32
    }

    /// `BPF_PROG_ATTACH` to what descriptor `target` stands for, such as a map of sockets.
    pub fn attach(&self, target: u32, attach_type: u32) -> Result<(), Errno> {
        let attach_bpf_fd = self.raw();
        let mut attr = attr::ProgAttach { target_fd: target, attach_bpf_fd, attach_type, attach_flags: 0 };
        // SAFETY: the command takes no addresses.
        unsafe { bpf(Cmd::ProgAttach, &mut attr) }.map(drop)
    }

    /// `BPF_PROG_TEST_RUN`.
    pub fn test_run(&self, run: &TestRun<'_>) -> Result<TestRunOut, Errno> {
        let mut out = TestRunOut::default();
        self.test_run_into(run, &mut out).map(|()| out)
    }

    /// [`test_run`](Self::test_run) that also gives what the kernel wrote before it refused: with `ENOSPC` the
    /// results that did fit.
    pub fn test_run_into(&self, run: &TestRun<'_>, out: &mut TestRunOut) -> Result<(), Errno> {
        let data_room = run.data_room.unwrap_or(DATA_OUT_ROOM);
        let ctx_in = run.ctx_in.unwrap_or_default();
        let ctx_room = if run.in_place { Some(ctx_in.len() as u32) } else { run.ctx_room };
        let ctx_room = ctx_room.unwrap_or_else(|| run.ctx_in.map_or(0, |ctx| ctx.len().max(256) as u32));
        // A size of 0 with a buffer means "copy everything", so a missing room is a missing buffer.
        out.data.clear();
        out.data.resize(data_room as usize, 0);
        out.ctx.clear();
        out.ctx.resize(ctx_room as usize, 0);
        let address = |buffer: &[u8]| if buffer.is_empty() { 0 } else { buffer.as_ptr() as u64 };
        if run.in_place {
            out.ctx.copy_from_slice(ctx_in);
        }
        let mut attr = attr::TestRun {
            prog_fd: self.raw(),
            data_size_in: run.data_in.len() as u32,
            data_size_out: data_room,
            data_in: address(run.data_in),
            data_out: if data_room == 0 { 0 } else { out.data.as_mut_ptr() as u64 },
            repeat: run.repeat,
            ctx_size_in: ctx_in.len() as u32,
            ctx_size_out: if run.in_place { 0 } else { ctx_room },
            ctx_in: if run.in_place && ctx_room != 0 { out.ctx.as_mut_ptr() as u64 } else { address(ctx_in) },
            ctx_out: if run.in_place || ctx_room == 0 { 0 } else { out.ctx.as_mut_ptr() as u64 },
            flags: run.flags,
            cpu: run.cpu,
            batch_size: run.batch_size,
            ..attr::TestRun::default()
        };
        // SAFETY: every buffer is live and of the size given; only the two outputs are written, or what `in_place` copied.
        let result = unsafe { bpf(Cmd::ProgTestRun, &mut attr) };
        out.retval = attr.retval;
        out.duration = attr.duration;
        (out.data_size, out.ctx_size) =
            (attr.data_size_out, if run.in_place { ctx_room } else { attr.ctx_size_out });
        out.data.truncate(out.data_size as usize);
        out.ctx.truncate(out.ctx_size as usize);
        result.map(drop)
    }
}

impl AsFd for Prog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `BPF_BTF_LOAD` of a whole BTF blob, header first.
pub fn btf_load(btf: &[u8]) -> Result<OwnedFd, LoadError> {
    let mut log = vec![0u8; 1 << 16];
    let mut attr = attr::BtfLoad {
        btf: btf.as_ptr() as u64,
        btf_log_buf: log.as_mut_ptr() as u64,
        btf_size: btf.len() as u32,
        btf_log_size: log.len() as u32,
        btf_log_level: 1,
        pad: 0,
    };
    // SAFETY: the blob is read and the log written within the lengths given.
    unsafe { bpf_fd(Cmd::BtfLoad, &mut attr) }.map_err(|errno| LoadError { errno, log: text_until_nul(&log) })
}

fn text_until_nul(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
