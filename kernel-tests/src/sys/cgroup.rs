//! A control group of the second hierarchy, to attach programs to.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::{Errno, Prog, attr, bpf};

/// A control group this process is in while it lives.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    before: PathBuf,
    fd: OwnedFd,
}

impl Cgroup {
    /// Makes a group below the root of the second hierarchy, and moves this process into it.
    pub fn enter(name: &str) -> std::io::Result<Self> {
        let mounts = fs::read_to_string("/proc/mounts")?;
        let mounted = mounts.lines().find_map(|line| {
            let mut words = line.split(' ');
            let at = words.nth(1)?;
            (words.next()? == "cgroup2").then(|| PathBuf::from(at))
        });
        let root = mounted.ok_or_else(|| std::io::Error::other("no cgroup2 is mounted"))?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        let before = root.join(own.trim_start_matches('/'));
        let path = root.join(name);
        fs::create_dir_all(&path)?;
        let fd = OwnedFd::from(fs::File::open(&path)?);
        join(&path)?;
        Ok(Self { path, before, fd })
    }

    /// `BPF_PROG_ATTACH`, of one program to a hook; it is detached with the other call.
    pub fn attach(&self, prog: &Prog, attach_type: u32) -> Result<(), Errno> {
        self.change(attr::Cmd::ProgAttach, prog, attach_type)
    }

    /// `BPF_PROG_DETACH`.
    pub fn detach(&self, prog: &Prog, attach_type: u32) -> Result<(), Errno> {
        self.change(attr::Cmd::ProgDetach, prog, attach_type)
    }

    fn change(&self, cmd: attr::Cmd, prog: &Prog, attach_type: u32) -> Result<(), Errno> {
        let target_fd = self.fd.as_raw_fd() as u32;
        let mut attr =
            attr::ProgAttach { target_fd, attach_bpf_fd: prog.raw(), attach_type, attach_flags: 0 };
        // SAFETY: the command takes no address.
        unsafe { bpf(cmd, &mut attr) }.map(drop)
    }
}

fn join(path: &Path) -> std::io::Result<()> {
    fs::write(path.join("cgroup.procs"), "0")
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // What cannot be undone stays behind, empty.
        let _ = join(&self.before);
        let _ = fs::remove_dir(&self.path);
    }
}
