//! What this process may do and where it runs.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::{Errno, last_errno};

/// A capability, by its number in `include/uapi/linux/capability.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Capability {
    NetAdmin = 12,
    SysAdmin = 21,
    Perfmon = 38,
    Bpf = 39,
}

impl Capability {
    /// Its name in capabilities(7).
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }

    /// Whether this thread's effective set has it. CAP_SYS_ADMIN stands for the two that were split from it:
    /// `include/linux/capability.h: bpf_capable, perfmon_capable`, v6.12.
    pub fn held(self) -> bool {
        let implied = matches!(self, Self::Bpf | Self::Perfmon);
        let held = |c: Self| effective() >> c as u32 & 1 == 1;
        held(self) || (implied && held(Self::SysAdmin))
    }
}

/// The effective capabilities of this thread, one bit each.
fn effective() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

/// Keeps this thread on one CPU.
pub fn pin_to_cpu(cpu: u32) -> Result<(), Errno> {
    // SAFETY: a CPU set is an array of integers, for which all zeroes are a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `CPU_SET` only writes inside the set: it checks `cpu` against the set's size.
    unsafe { libc::CPU_SET(cpu as usize, &mut set) };
    // SAFETY: the set is live and of the size given; 0 is the calling thread.
    let ret = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    if ret < 0 { Err(last_errno()) } else { Ok(()) }
}

/// Moves this thread into a fresh network namespace.
pub fn unshare_network() -> Result<(), Errno> {
    // SAFETY: takes no address.
    let ret = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    if ret < 0 { Err(last_errno()) } else { Ok(()) }
}

/// This thread's network namespace, kept alive as long as the descriptor.
pub fn network_namespace() -> std::io::Result<OwnedFd> {
    std::fs::File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
}

/// Moves this thread into a network namespace.
pub fn enter_network(namespace: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: takes no address.
    let ret = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    if ret < 0 { Err(last_errno()) } else { Ok(()) }
}

/// `struct __user_cap_header_struct` and two `__user_cap_data_struct`.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Makes `command` run as user and group `id` with these capabilities and no others.
pub fn confine(command: &mut Command, id: u32, capabilities: &[Capability]) {
    let bits = capabilities.iter().fold(0u64, |bits, &c| bits | 1 << c as u32);
    let numbers: Vec<libc::c_ulong> = capabilities.iter().map(|&c| c as libc::c_ulong).collect();
    let apply = move || {
        let (low, high) = (bits as u32, (bits >> 32) as u32);
        let header = [CAPABILITY_VERSION_3, 0];
        let data = [low, low, low, high, high, high];
        // SAFETY: between fork and exec only system calls are made, on memory of this closure.
        let done = unsafe {
            libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0
                && libc::setgroups(0, std::ptr::null()) == 0
                && libc::setresgid(id, id, id) == 0
                && libc::setresuid(id, id, id) == 0
                && libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) == 0
                && numbers
                    .iter()
                    .all(|&n| libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, n, 0, 0) == 0)
        };
        if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(apply) };
}
