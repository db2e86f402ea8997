//! Packet sockets: frames in and out of devices, from the MAC header on.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{Errno, Prog, last_errno};

/// A packet socket of type `SOCK_RAW` in the network namespace it was opened in, wherever the thread goes later.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens one that receives nothing.
    pub fn open() -> Result<Self, Errno> {
        // SAFETY: takes no address.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(last_errno());
        }
        // SAFETY: the kernel just made this descriptor for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Runs `filter` on every frame of every device of the namespace, in both directions, from now on.
    pub fn tap(&self, filter: &Prog) -> Result<(), Errno> {
        let prog = filter.raw();
        // SAFETY: `prog` is live and 4 bytes long.
        let ret = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_BPF,
                (&raw const prog).cast(),
                size_of_val(&prog) as u32,
            )
        };
        if ret < 0 {
            return Err(last_errno());
        }
        let every = address(0);
        // SAFETY: the address is live and of the length given.
        let ret =
            unsafe { libc::bind(self.0.as_raw_fd(), (&raw const every).cast(), size_of_val(&every) as u32) };
        if ret < 0 { Err(last_errno()) } else { Ok(()) }
    }

    /// Sends one frame out of a device; the kernel reads its protocol from it: `net/packet/af_packet.c: packet_snd`, v6.12.
    pub fn send(&self, ifindex: u32, frame: &[u8]) -> Result<(), Errno> {
        let to = address(ifindex);
        // SAFETY: frame and address are live and of the lengths given.
        let sent = unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const to).cast(),
                size_of_val(&to) as u32,
            )
        };
        if sent < 0 { Err(last_errno()) } else { Ok(()) }
    }
}

/// For frames of every protocol, of one device or of all.
fn address(ifindex: u32) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: ifindex.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}
