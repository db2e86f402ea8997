//! Programs attached by links.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use super::attr::{self, Cmd};
use super::{Errno, Prog, bpf_fd};

/// An attachment that ends when this is dropped, or with the process.
#[derive(Debug)]
pub struct Link {
    _fd: OwnedFd,
}

impl Link {
    /// `BPF_LINK_CREATE` on a device of this thread's network namespace.
    pub fn create(prog: &Prog, ifindex: u32, attach_type: u32, flags: u32) -> Result<Self, Errno> {
        let mut attr = attr::LinkCreate {
            prog_fd: prog.raw(),
            target_ifindex: ifindex,
            attach_type,
            flags,
            ..attr::LinkCreate::default()
        };
        // SAFETY: the command takes no addresses.
        unsafe { bpf_fd(Cmd::LinkCreate, &mut attr) }.map(|fd| Self { _fd: fd })
    }

    /// `BPF_RAW_TRACEPOINT_OPEN`.
    pub fn raw_tracepoint(prog: &Prog, name: &CStr) -> Result<Self, Errno> {
        let mut attr =
            attr::RawTracepointOpen { name: name.as_ptr() as u64, prog_fd: prog.raw(), ..Default::default() };
        // SAFETY: the name is live and ends with a NUL.
        unsafe { bpf_fd(Cmd::RawTracepointOpen, &mut attr) }.map(|fd| Self { _fd: fd })
    }
}
