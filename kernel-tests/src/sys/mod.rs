//! A safe layer over bpf(2) and what goes with it. Every `unsafe` block of this crate is below this module.
//!
//! Arguments are plain slices and numbers, file descriptors are owned, results are the kernel's bytes or its
//! [`Errno`]. Nothing is checked that the kernel checks itself, so that tests see the kernel's own answers; only what
//! would let the kernel read or write beyond a buffer is refused, by panic.
#![allow(unsafe_code)]

pub mod attr;
mod boot;
mod cgroup;
mod ids;
mod image;
mod libbpf;
mod link;
mod map;
mod mapping;
mod netlink;
mod object;
mod packet;
mod process;
mod prog;
mod ring;
mod socket;
mod verifier;

pub use boot::{load_module, mount, restart};
pub use cgroup::Cgroup;
pub use ids::{Kind, ids};
pub use image::Image;
pub use libbpf::{LibbpfMap, LibbpfProgram, Opened};
pub use link::Link;
pub use map::{Elements, Map, MapCreate};
pub use netlink::{NLA_F_NESTED, Netlink, NetlinkError, attributes};
pub use object::{inner_map, open_with, unpin};
pub use packet::PacketSocket;
pub use process::{Capability, confine, enter_network, network_namespace, pin_to_cpu, unshare_network};
pub use prog::{LoadError, Prog, ProgLoad, TestRun, TestRunOut, btf_load};
pub use ring::{Overflow, PerfBuffer, RingBuffer, UserRingBuffer};
pub use socket::Socket;
pub use verifier::{LARGEST_LOG, Loaded, LogBuffer, Prepared};

use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::OnceLock;

pub use bpftwin_sim::uapi::Errno;

/// The errno of the system call that just failed on this thread.
fn last_errno() -> Errno {
    Errno::from_raw(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

/// bpf(2) with one of the argument structures of [`attr`].
///
/// # Safety
/// Every address in `attr` must be good for what command `cmd` does with it.
unsafe fn bpf<T>(cmd: attr::Cmd, attr: &mut T) -> Result<i64, Errno> {
    // SAFETY: `attr` is a live, initialised structure of the size given, and the caller vouches for its addresses.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            cmd as libc::c_long,
            std::ptr::from_mut(attr),
            size_of::<T>() as libc::c_long,
        )
    };
    if ret < 0 { Err(last_errno()) } else { Ok(ret) }
}

/// bpf(2) for the commands that return a file descriptor.
///
/// # Safety
/// As [`bpf`].
unsafe fn bpf_fd<T>(cmd: attr::Cmd, attr: &mut T) -> Result<OwnedFd, Errno> {
    // SAFETY: the caller vouches for the addresses.
    let fd = unsafe { bpf(cmd, attr) }?;
    // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Possible CPUs: how many values a per-CPU element has. `/sys/devices/system/cpu/possible`, as libbpf's
/// `libbpf_num_possible_cpus` reads it.
///
/// # Panics
/// If the file cannot be read: without it no per-CPU map can be used safely.
pub fn possible_cpus() -> u32 {
    static COUNT: OnceLock<u32> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let path = "/sys/devices/system/cpu/possible";
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
        parse_cpu_list(text.trim()).unwrap_or_else(|| panic!("{path}: not a CPU list: {text:?}"))
    })
}

/// How many CPUs a list such as `0-3,8` names.
fn parse_cpu_list(text: &str) -> Option<u32> {
    text.split(',')
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            last.checked_sub(first)?.checked_add(1)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::parse_cpu_list;

    #[test]
    fn cpu_lists() {
        for (text, count) in
            [("0", Some(1)), ("0-3", Some(4)), ("0-1,4,6-7", Some(5)), ("", None), ("3-1", None)]
        {
            assert_eq!(parse_cpu_list(text), count, "{text:?}");
        }
    }
}
