//! A synchronous rtnetlink socket.

use std::fmt;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{Errno, last_errno};

/// What the kernel answered to a refused request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetlinkError {
    /// The error number.
    pub errno: Errno,
    /// The extended acknowledgement's text; empty if there is none.
    pub message: String,
}

impl fmt::Display for NetlinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            write!(f, "{} ({})", self.errno, self.errno.text())
        } else {
            write!(f, "{} ({})", self.errno, self.message)
        }
    }
}

impl From<Errno> for NetlinkError {
    fn from(errno: Errno) -> Self {
        Self { errno, message: String::new() }
    }
}

/// A socket in the network namespace it was opened in, wherever the thread goes later.
pub struct Netlink {
    fd: OwnedFd,
    sequence: u32,
}

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSG_ERROR: u16 = 2;
const HEADER: usize = 16;
const NETLINK_CAP_ACK: i32 = 10;
const NETLINK_EXT_ACK: i32 = 11;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// Some attributes made of attributes are refused without this mark.
pub const NLA_F_NESTED: u16 = 1 << 15;

impl Netlink {
    /// Opens a `NETLINK_ROUTE` socket in this thread's namespace.
    pub fn open() -> Result<Self, Errno> {
        // SAFETY: takes no address.
        let fd = unsafe {
            libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE)
        };
        if fd < 0 {
            return Err(last_errno());
        }
        // SAFETY: the kernel just made this descriptor for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        for option in [NETLINK_CAP_ACK, NETLINK_EXT_ACK] {
            let on = 1i32;
            // SAFETY: the value is live and of the size given.
            let ret = unsafe {
                libc::setsockopt(
                    fd.as_raw_fd(),
                    libc::SOL_NETLINK,
                    option,
                    (&raw const on).cast(),
                    size_of_val(&on) as u32,
                )
            };
            if ret < 0 {
                return Err(last_errno());
            }
        }
        Ok(Self { fd, sequence: 0 })
    }

    /// Sends one request and waits for its acknowledgement; gives the answers that came before it, each without its
    /// message header.
    pub fn request(&mut self, kind: u16, flags: u16, body: &[u8]) -> Result<Vec<Vec<u8>>, NetlinkError> {
        self.sequence += 1;
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend_from_slice(&((HEADER + body.len()) as u32).to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&(flags | NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&0u32.to_ne_bytes());
        message.extend_from_slice(body);
        // SAFETY: the message is live and of the length given.
        let sent = unsafe { libc::send(self.fd.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
        if sent < 0 {
            return Err(last_errno().into());
        }
        let mut answers = Vec::new();
        let mut buffer = vec![0u8; 1 << 16];
        loop {
            // SAFETY: the buffer is writable for the length given.
            let got = unsafe { libc::recv(self.fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
            if got < 0 {
                return Err(last_errno().into());
            }
            let mut rest = &buffer[..got as usize];
            while let Some((header, after)) = rest.split_first_chunk::<HEADER>() {
                let len = u32_at(header, 0) as usize;
                let (kind, flags) = (u16_at(header, 4), u16_at(header, 6));
                let body = &after[..len - HEADER];
                if u32_at(header, 8) == self.sequence {
                    if kind == NLMSG_ERROR {
                        return acknowledgement(body, flags).map(|()| answers);
                    }
                    answers.push(body.to_vec());
                }
                rest = after.get(len.next_multiple_of(4) - HEADER..).unwrap_or_default();
            }
        }
    }
}

/// `struct nlmsgerr`, then attributes.
fn acknowledgement(body: &[u8], flags: u16) -> Result<(), NetlinkError> {
    let error = u32_at(body, 0) as i32;
    if error == 0 {
        return Ok(());
    }
    let tlvs = if flags & NLM_F_ACK_TLVS == 0 { &[] } else { &body[4 + HEADER..] };
    let text = attributes(tlvs).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG).map(|(_, text)| text);
    let message = text.map(|text| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
    Err(NetlinkError { errno: Errno::from_raw(-error), message: message.unwrap_or_default() })
}

/// The attributes of a message after its fixed part: number and payload.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.first_chunk::<4>()?;
        let (len, kind) = (u16_at(header, 0) as usize, u16_at(header, 2));
        let payload = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().expect("2 bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}
