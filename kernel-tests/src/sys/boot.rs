//! What the first process of a machine does: file systems, modules, the end.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd;

use super::{Errno, last_errno};

/// Mounts a file system of this type.
pub fn mount(fs_type: &str, target: &str) -> Result<(), Errno> {
    let c = |text: &str| CString::new(text).map_err(|_| Errno::EINVAL);
    let (fs_type, target) = (c(fs_type)?, c(target)?);
    // SAFETY: three strings that end with a zero; no data.
    let ret =
        unsafe { libc::mount(fs_type.as_ptr(), target.as_ptr(), fs_type.as_ptr(), 0, std::ptr::null()) };
    if ret < 0 { Err(last_errno()) } else { Ok(()) }
}

/// Loads a kernel module, without parameters.
pub fn load_module(module: &File) -> Result<(), Errno> {
    // SAFETY: an open file and an empty string.
    let ret = unsafe { libc::syscall(libc::SYS_finit_module, module.as_raw_fd(), c"".as_ptr(), 0) };
    if ret < 0 { Err(last_errno()) } else { Ok(()) }
}

/// Ends the machine at once.
pub fn restart() -> Errno {
    // SAFETY: takes no address.
    unsafe { libc::reboot(libc::RB_AUTOBOOT) };
    last_errno()
}
