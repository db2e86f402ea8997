//! What a cgroup/sysctl program is asked about: `kernel/bpf/cgroup.c: struct bpf_sysctl_kern`, v6.12.

use crate::uapi::Errno;

/// `PAGE_SIZE`: as much as a value may have.
const PAGE_SIZE: usize = 4096;

/// A file below `/proc/sys` that is read or written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sysctl {
    /// Its path below `/proc/sys`, such as `net/ipv4/tcp_mem`.
    pub path: Vec<u8>,
    /// What reading it gives, with the newline at its end; nothing where it cannot be read.
    current: Vec<u8>,
    /// What is written; the program may have put another in its place.
    new: Vec<u8>,
}

impl Sysctl {
    /// From the data of a run: path, current value and new value, a NUL between each two; what is at the end may be left
    /// out.
    pub fn from_data(data: &[u8]) -> Result<Self, String> {
        let mut parts = data.splitn(3, |&byte| byte == 0);
        let mut part = || parts.next().unwrap_or_default().to_vec();
        let sysctl = Self { path: part(), current: part(), new: part() };
        if sysctl.path.split(|&byte| byte == b'/').any(<[u8]>::is_empty) && !sysctl.path.is_empty() {
            return Err("a sysctl's path is below /proc/sys, without a slash at its ends".into());
        }
        if sysctl.current.len() > PAGE_SIZE || sysctl.new.len() > PAGE_SIZE {
            return Err(format!("a sysctl's value has at most {PAGE_SIZE} bytes"));
        }
        Ok(sysctl)
    }

    /// As [`from_data`](Self::from_data) takes it.
    pub fn to_data(&self) -> Vec<u8> {
        if *self == Self::default() {
            return Vec::new();
        }
        [&self.path[..], &self.current, &self.new].join(&0)
    }

    /// `bpf_sysctl_get_name`: into `out`, the last part of the path alone or all of it.
    pub fn name(&self, out: &mut [u8], base: bool) -> Result<u64, Errno> {
        let mut done = 0;
        let mut parts = self.path.split(|&byte| byte == b'/').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            if base && !last {
                continue;
            }
            done += strscpy(&mut out[done..], part)?;
            if !last {
                done += strscpy(&mut out[done..], b"/")?;
            }
        }
        Ok(done as u64)
    }

    /// `bpf_sysctl_get_current_value`.
    pub fn current_value(&self, out: &mut [u8]) -> Result<u64, Errno> {
        copy_sysctl_value(out, &self.current)
    }

    /// `bpf_sysctl_get_new_value`.
    pub fn new_value(&self, out: &mut [u8], write: bool) -> Result<u64, Errno> {
        copy_sysctl_value(out, if write { &self.new } else { &[] })
    }

    /// `bpf_sysctl_set_new_value`.
    pub fn set_new_value(&mut self, value: &[u8], write: bool) -> Result<(), Errno> {
        if !write || self.new.is_empty() || value.is_empty() {
            return Err(Errno::EINVAL);
        }
        if value.len() > PAGE_SIZE - 1 {
            return Err(Errno::E2BIG);
        }
        self.new = value.to_vec();
        Ok(())
    }
}

/// `copy_sysctl_value`.
fn copy_sysctl_value(out: &mut [u8], value: &[u8]) -> Result<u64, Errno> {
    let len = value.len().min(out.len());
    out[..len].copy_from_slice(&value[..len]);
    if value.is_empty() || out.len() > value.len() {
        out[len..].fill(0);
        return if value.is_empty() { Err(Errno::EINVAL) } else { Ok(len as u64) };
    }
    out[len - 1] = 0;
    Err(Errno::E2BIG)
}

/// `lib/string.c: sized_strscpy`, v6.12, eight bytes at a time: the word that holds the end is zero behind it.
fn strscpy(out: &mut [u8], text: &[u8]) -> Result<usize, Errno> {
    let len = text.len().min(out.len());
    out[..len].copy_from_slice(&text[..len]);
    if len < out.len() {
        let word = len / 8 * 8;
        let zeroed = if word + 8 <= out.len() { word + 8 } else { len + 1 };
        out[len..zeroed].fill(0);
        return Ok(len);
    }
    if let Some(last) = out.last_mut() {
        *last = 0;
    }
    Err(Errno::E2BIG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cut_part_by_part() {
        let sysctl = Sysctl::from_data(b"net/ipv4/tcp_mem\x001 2 3\n\x007 8 9").unwrap();
        let mut out = [0xff; 24];
        assert_eq!(sysctl.name(&mut out, false), Ok(16));
        assert_eq!(&out, b"net/ipv4/tcp_mem\0\xff\xff\xff\xff\xff\xff\xff");
        out.fill(0xff);
        assert_eq!((sysctl.name(&mut out[..8], true), &out[..9]), (Ok(7), &b"tcp_mem\0\xff"[..]));
        assert_eq!((sysctl.name(&mut out[..7], true), &out[..8]), (Err(Errno::E2BIG), &b"tcp_me\0\0"[..]));
        out.fill(0xff);
        assert_eq!(sysctl.name(&mut out[..6], false), Err(Errno::E2BIG));
        assert_eq!(&out[..7], b"net/i\0\xff");
    }

    #[test]
    fn values_are_copied_with_zeroes_or_cut() {
        let mut sysctl = Sysctl::from_data(b"kernel/ostype\x001 2 3\n\x007").unwrap();
        let mut out = [0xff; 8];
        assert_eq!((sysctl.current_value(&mut out), &out), (Ok(6), b"1 2 3\n\0\0"));
        assert_eq!((sysctl.current_value(&mut out[..6]), &out[..6]), (Err(Errno::E2BIG), &b"1 2 3\0"[..]));
        assert_eq!((sysctl.new_value(&mut out, false), &out), (Err(Errno::EINVAL), &[0; 8]));
        assert_eq!(sysctl.set_new_value(b"90", true), Ok(()));
        assert_eq!(sysctl.to_data(), b"kernel/ostype\x001 2 3\n\x0090");
    }
}
