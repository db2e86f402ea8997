//! Sockets for maps that hold them: made, bound and connected with the loopback's addresses only.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{Errno, Prog, last_errno};

/// A socket.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// socket(2).
    pub fn new(family: i32, kind: i32, protocol: i32) -> Result<Self, Errno> {
        // SAFETY: no address is passed.
        let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
        if fd < 0 {
            return Err(last_errno());
        }
        // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// socketpair(2) of `AF_UNIX`.
    pub fn unix_pair(kind: i32) -> Result<[Self; 2], Errno> {
        let mut fds = [0; 2];
        // SAFETY: there is room for two descriptors.
        done(unsafe { libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()) })?;
        // SAFETY: the kernel just made these descriptors for us; nobody else owns them.
        Ok(fds.map(|fd| Self(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// The descriptor's number.
    pub fn raw(&self) -> u32 {
        self.0.as_raw_fd() as u32
    }

    /// `SO_REUSEPORT`.
    pub fn reuse_port(&self) -> Result<(), Errno> {
        let on = 1_i32;
        // SAFETY: `on` is live and 4 bytes long.
        done(unsafe {
            let on = std::ptr::from_ref(&on).cast();
            libc::setsockopt(self.0.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, on, 4)
        })
    }

    /// bind(2) to a port of 127.0.0.1; 0: any. Gives the port.
    pub fn bind(&self, port: u16) -> Result<u16, Errno> {
        let mut addr = loopback(port);
        let mut len = size_of_val(&addr) as u32;
        // SAFETY: the address is live and of the length given.
        done(unsafe { libc::bind(self.0.as_raw_fd(), std::ptr::from_ref(&addr).cast(), len) })?;
        // SAFETY: the address is live, of the length given, and plain integers.
        done(unsafe {
            libc::getsockname(self.0.as_raw_fd(), std::ptr::from_mut(&mut addr).cast(), &raw mut len)
        })?;
        Ok(u16::from_be(addr.sin_port))
    }

    /// connect(2) to a port of 127.0.0.1.
    pub fn connect(&self, port: u16) -> Result<(), Errno> {
        let addr = loopback(port);
        let len = size_of_val(&addr) as u32;
        // SAFETY: the address is live and of the length given.
        done(unsafe { libc::connect(self.0.as_raw_fd(), std::ptr::from_ref(&addr).cast(), len) })
    }

    /// connect(2) to any address.
    pub fn connect_to(&self, to: SocketAddr) -> Result<(), Errno> {
        let (addr, len) = address(to);
        // SAFETY: the address is live and of the length given.
        done(unsafe { libc::connect(self.0.as_raw_fd(), addr.as_ptr().cast(), len) })
    }

    /// sendto(2).
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<(), Errno> {
        let (addr, len) = address(to);
        // SAFETY: bytes and address are live and of the lengths given.
        let sent = unsafe {
            libc::sendto(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0, addr.as_ptr().cast(), len)
        };
        if sent < 0 { Err(last_errno()) } else { Ok(()) }
    }

    /// setsockopt(2).
    pub fn set_option(&self, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        let (value, len) = (value.as_ptr().cast(), value.len() as u32);
        // SAFETY: the value is live and of the length given.
        done(unsafe { libc::setsockopt(self.0.as_raw_fd(), level, name, value, len) })
    }

    /// getsockopt(2), with room for `len` bytes.
    pub fn option(&self, level: i32, name: i32, len: u32) -> Result<Vec<u8>, Errno> {
        let mut value = vec![0_u8; len as usize];
        let mut len = len;
        // SAFETY: the value is live and of the length given.
        done(unsafe {
            libc::getsockopt(self.0.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut len)
        })?;
        value.truncate(len as usize);
        Ok(value)
    }

    /// listen(2).
    pub fn listen(&self) -> Result<(), Errno> {
        // SAFETY: no address is passed.
        done(unsafe { libc::listen(self.0.as_raw_fd(), 8) })
    }

    /// `SO_ATTACH_REUSEPORT_EBPF`: the program chooses among the sockets of the group.
    pub fn choose_with(&self, prog: &Prog) -> Result<(), Errno> {
        let fd = prog.raw();
        // SAFETY: `fd` is live and 4 bytes long.
        done(unsafe {
            let fd = std::ptr::from_ref(&fd).cast();
            libc::setsockopt(self.0.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_EBPF, fd, 4)
        })
    }

    /// accept(2).
    pub fn accept(&self) -> Result<Self, Errno> {
        let (nowhere, no_len) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: no address is passed.
        let fd = unsafe { libc::accept4(self.0.as_raw_fd(), nowhere, no_len, libc::SOCK_CLOEXEC) };
        done(fd)?;
        // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// send(2) without waiting and without a signal.
    pub fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the bytes are live and of the length given.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
        usize::try_from(sent).map_err(|_| last_errno())
    }

    /// `SO_COOKIE`.
    pub fn cookie(&self) -> Result<u64, Errno> {
        let mut cookie = 0_u64;
        let mut len = size_of_val(&cookie) as u32;
        // SAFETY: `cookie` is live and of the length given.
        done(unsafe {
            let cookie = std::ptr::from_mut(&mut cookie).cast();
            libc::getsockopt(self.0.as_raw_fd(), libc::SOL_SOCKET, libc::SO_COOKIE, cookie, &raw mut len)
        })?;
        Ok(cookie)
    }
}

/// `struct sockaddr_in` or `struct sockaddr_in6`, and its length.
fn address(to: SocketAddr) -> (Vec<u8>, u32) {
    let mut bytes = Vec::new();
    match to {
        SocketAddr::V4(to) => {
            bytes.extend((libc::AF_INET as u16).to_ne_bytes());
            bytes.extend(to.port().to_be_bytes());
            bytes.extend(to.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(to) => {
            bytes.extend((libc::AF_INET6 as u16).to_ne_bytes());
            bytes.extend(to.port().to_be_bytes());
            bytes.extend(to.flowinfo().to_be_bytes());
            bytes.extend(to.ip().octets());
            bytes.extend(to.scope_id().to_ne_bytes());
        }
    }
    let len = bytes.len() as u32;
    (bytes, len)
}

fn loopback(port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    }
}

fn done(result: i32) -> Result<(), Errno> {
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}
