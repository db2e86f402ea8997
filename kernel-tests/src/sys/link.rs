//! Programs attached to devices by links.

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
}
