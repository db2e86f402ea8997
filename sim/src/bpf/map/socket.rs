//! Sockets, as far as maps look at them.

use crate::bpf::mem::Addr;

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_VSOCK: u16 = 40;
/// `AF_XDP`.
pub(super) const AF_XDP: u16 = 44;
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const SOCK_SEQPACKET: u32 = 5;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_UDP: u16 = 17;
const TCP_ESTABLISHED: u32 = 1;
const TCP_LISTEN: u32 = 10;

/// A socket at the moment a map is given it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SocketRef {
    /// What a program that looks it up gets.
    pub guest: Addr,
    /// `sock_gen_cookie`: tells sockets apart, and is what user space reads.
    pub cookie: u64,
    /// `sk_family`, `AF_*`.
    pub family: u16,
    /// `sk_type`, `SOCK_*`.
    pub sock_type: u32,
    /// `sk_protocol`, `IPPROTO_*`.
    pub protocol: u16,
    /// `sk_state`, `TCP_*`.
    pub state: u32,
    /// `sk_hashed`: bound or connected, so that packets find it.
    pub hashed: bool,
    /// `sk_reuseport_cb`: bound (UDP) or listening (TCP) with `SO_REUSEPORT`.
    pub in_reuseport_group: bool,
    /// `sk_user_data`: which kind of map has it. [`Maps`](super::Maps) fills this in.
    pub held_by: Option<Holder>,
}

/// What makes use of a socket's `sk_user_data`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    /// A socket map or socket hash: a `struct sk_psock`, which any number of them share.
    Psock,
    /// An array for `SO_REUSEPORT`: a place in one of them.
    ReuseportArray,
}

impl SocketRef {
    fn is_inet(&self) -> bool {
        matches!(self.family, AF_INET | AF_INET6)
    }

    /// `sk_is_tcp`.
    pub fn is_tcp(&self) -> bool {
        self.is_inet() && self.sock_type == SOCK_STREAM && self.protocol == IPPROTO_TCP
    }

    /// `sk_is_udp`.
    pub fn is_udp(&self) -> bool {
        self.is_inet() && self.sock_type == SOCK_DGRAM && self.protocol == IPPROTO_UDP
    }

    /// `sk_is_vsock`.
    pub fn is_vsock(&self) -> bool {
        self.family == AF_VSOCK
    }

    /// `net/core/sock_map.c: sock_map_sk_is_suitable`, v6.12: which protocols have a `psock_update_sk_prot`.
    pub fn suits_sock_maps(&self) -> bool {
        self.is_tcp() || self.is_udp() || self.family == AF_UNIX || self.is_vsock()
    }

    /// `net/unix/unix_bpf.c: unix_dgram_bpf_update_proto`, v6.12: whether the protocol takes a `struct sk_psock`.
    pub fn takes_psock(&self) -> bool {
        self.family != AF_UNIX || self.sock_type != SOCK_SEQPACKET
    }

    /// `net/core/sock_map.c: sock_map_sk_state_allowed`, v6.12.
    pub fn state_suits_sock_maps(&self) -> bool {
        let stream = self.sock_type == SOCK_STREAM;
        if self.is_tcp() {
            matches!(self.state, TCP_ESTABLISHED | TCP_LISTEN)
        } else if self.is_udp() {
            self.hashed
        } else if (self.family == AF_UNIX && stream)
            || (self.is_vsock() && (stream || self.sock_type == SOCK_SEQPACKET))
        {
            self.state == TCP_ESTABLISHED
        } else {
            true
        }
    }

    /// `net/core/sock_map.c: sock_map_redirect_allowed`, v6.12.
    pub fn takes_redirects(&self) -> bool {
        if self.is_tcp() { self.state != TCP_LISTEN } else { self.state == TCP_ESTABLISHED }
    }

    /// Whether `kernel/bpf/reuseport_array.c: reuseport_array_update_check`, v6.12, knows this kind of socket.
    pub fn suits_reuseport_arrays(&self) -> bool {
        matches!(self.protocol, IPPROTO_TCP | IPPROTO_UDP)
            && self.is_inet()
            && matches!(self.sock_type, SOCK_STREAM | SOCK_DGRAM)
    }
}
