//! The sockets of a kernel beside those that belong to one run: what maps of sockets are filled with.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::bpf::map::SocketRef;
use crate::bpf::mem::ObjectKind;
use crate::bpf::{Access, Addr, Machine};
use crate::net::kernel::Kernel;
use crate::net::run::{Packet, Run};
use crate::net::sock::TCP_CLOSE;
use crate::uapi::ProgType;
use crate::uapi::ctx::bpf_sock;

/// `AF_XDP`.
const AF_XDP: u16 = 44;
/// `TCP_LISTEN`.
pub const TCP_LISTEN: u32 = 10;
/// `sizeof(struct bpf_xdp_sock)`.
const BPF_XDP_SOCK: u32 = 4;

/// What is said of a socket when it is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Socket {
    /// `sk_family`, `AF_*`.
    pub family: u16,
    /// `sk_type`, `SOCK_*`.
    pub sock_type: u32,
    /// `sk_protocol`, `IPPROTO_*`.
    pub protocol: u16,
    /// `sk_state`, `TCP_*`.
    pub state: u32,
    /// `sk_hashed`: bound or connected.
    pub hashed: bool,
    /// `sk_reuseport_cb->reuseport_id`; 0: in no group.
    pub reuseport_id: u32,
    /// Address and port it is bound to.
    pub local: Option<SocketAddr>,
    /// Address and port it is connected to.
    pub remote: Option<SocketAddr>,
    /// `sk_ipv6only`.
    pub v6only: bool,
    /// `sk_reuseport`: `SO_REUSEPORT`.
    pub reuseport: bool,
    /// The queue an `AF_XDP` socket is bound to.
    pub queue_id: u32,
}

impl Socket {
    /// A socket just made, neither bound nor connected.
    pub const fn new(family: u16, sock_type: u32, protocol: u16) -> Self {
        Self {
            family,
            sock_type,
            protocol,
            state: TCP_CLOSE,
            hashed: false,
            reuseport_id: 0,
            local: None,
            remote: None,
            v6only: false,
            reuseport: false,
            queue_id: 0,
        }
    }

    /// `struct bpf_sock`, or `struct bpf_xdp_sock`.
    fn view(&self) -> Vec<u8> {
        if self.family == AF_XDP {
            return self.queue_id.to_le_bytes().to_vec();
        }
        let mut view = vec![0; bpf_sock::SIZE as usize];
        let mut put = |offset: usize, bytes: &[u8]| view[offset..offset + bytes.len()].copy_from_slice(bytes);
        put(bpf_sock::FAMILY, &u32::from(self.family).to_le_bytes());
        put(bpf_sock::TYPE, &self.sock_type.to_le_bytes());
        put(bpf_sock::PROTOCOL, &u32::from(self.protocol).to_le_bytes());
        put(bpf_sock::STATE, &self.state.to_le_bytes());
        put(bpf_sock::RX_QUEUE_MAPPING, &u32::MAX.to_le_bytes());
        let ends = [
            (self.local, bpf_sock::SRC_IP4, bpf_sock::SRC_IP6),
            (self.remote, bpf_sock::DST_IP4, bpf_sock::DST_IP6),
        ];
        for (end, ip4, ip6) in ends {
            match end {
                Some(SocketAddr::V4(end)) => put(ip4, &end.ip().octets()),
                Some(SocketAddr::V6(end)) => put(ip6, &end.ip().octets()),
                None => {}
            }
        }
        put(bpf_sock::SRC_PORT, &u32::from(self.local.map_or(0, |end| end.port())).to_le_bytes());
        put(bpf_sock::DST_PORT, &self.remote.map_or(0, |end| end.port()).to_be_bytes());
        view
    }
}

/// A socket as a helper sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// What maps look at.
    pub socket: SocketRef,
    /// `sk_fullsock`.
    pub full: bool,
    /// `sk_reuseport_cb->reuseport_id`; 0: in no group.
    pub reuseport_id: u32,
    /// `sk_reuseport`: `SO_REUSEPORT`.
    pub reuseport: bool,
    /// `sk_ipv6only`.
    pub v6only: bool,
}

impl Known {
    /// `include/net/sock.h: sk_is_refcounted`, v6.12: listening TCP and bound UDP sockets are freed after a grace period,
    /// `SOCK_RCU_FREE`.
    pub fn is_refcounted(&self) -> bool {
        let rcu_free = if self.socket.is_tcp() {
            self.socket.state == TCP_LISTEN
        } else {
            self.socket.is_udp() && self.socket.hashed
        };
        self.full && !rcu_free
    }
}

/// Every socket made, by the guest's pointer to it.
#[derive(Clone, Debug, Default)]
pub struct Sockets(BTreeMap<Addr, Known>);

impl Sockets {
    /// Whether a packet could find one of these, of this protocol.
    pub fn any_hashed(&self, protocol: u16) -> bool {
        self.0.values().any(|known| known.socket.hashed && known.socket.protocol == protocol)
    }
}

impl Kernel {
    /// Makes a socket, for maps that hold some. `None`: no guest memory is left.
    pub fn add_socket(&mut self, socket: &Socket) -> Option<SocketRef> {
        let size = if socket.family == AF_XDP { BPF_XDP_SOCK } else { bpf_sock::SIZE };
        let mem = &mut self.machine.mem;
        let guest = mem.alloc(ObjectKind::Helper("socket"), Access::Read, size)?;
        let view = socket.view();
        mem.raw_mut(guest, view.len()).copy_from_slice(&view);
        let made = SocketRef {
            guest,
            cookie: self.env.next_cookie(),
            family: socket.family,
            sock_type: socket.sock_type,
            protocol: socket.protocol,
            state: socket.state,
            hashed: socket.hashed,
            in_reuseport_group: socket.reuseport_id != 0,
            held_by: None,
        };
        let known = Known {
            socket: made,
            full: true,
            reuseport_id: socket.reuseport_id,
            reuseport: socket.reuseport,
            v6only: socket.v6only,
        };
        self.env.sockets.0.insert(guest, known);
        Some(made)
    }

    /// Closes a socket: it leaves every map, and what is stored for it goes.
    pub fn close_socket(&mut self, socket: SocketRef) {
        if self.env.sockets.0.remove(&socket.guest).is_some() {
            self.machine.maps.forget_socket(socket.cookie);
            self.machine.mem.free(socket.guest);
        }
    }
}

impl Run<'_> {
    /// The socket at this address: that of the packet or the context, or one of the kernel's.
    pub fn socket(&self, machine: &Machine, addr: Addr) -> Option<Known> {
        match &self.packet {
            Packet::Skb(skb) => {
                if let Some(sk) = skb.sk.as_ref().filter(|sk| sk.guest == addr) {
                    return Some(of_view(machine, addr, sk.cookie, true));
                }
            }
            Packet::Given(given) if given.sk == Some(addr) => {
                return Some(of_view(machine, addr, given.cookie, given.is_fullsock()));
            }
            _ => {}
        }
        let view = self.views.values().find(|(view, _)| *view == addr).map(|(_, known)| *known);
        view.or_else(|| self.env.sockets.0.get(&addr).copied())
    }

    /// The socket that the context is, or tells of.
    ///
    /// # Panics
    /// If the context is none that is given.
    pub fn context_socket(&self, machine: &Machine) -> Known {
        let Packet::Given(given) = &self.packet else { unreachable!("the context is given") };
        if let Some(sk) = given.sk {
            return of_view(machine, sk, given.cookie, given.is_fullsock());
        }
        assert_eq!(self.prog_type, ProgType::CgroupSock, "every other context has a pointer");
        known(&|offset| given.word(offset), 0, given.cookie, true)
    }
}

/// A socket as its `struct bpf_sock` shows it.
fn of_view(machine: &Machine, addr: Addr, cookie: u64, full: bool) -> Known {
    let view = machine.mem.raw(addr, bpf_sock::SIZE as usize);
    let word = |offset: usize| u32::from_le_bytes(view[offset..offset + 4].try_into().expect("4 bytes"));
    known(&word, addr, cookie, full)
}

fn known(word: &dyn Fn(usize) -> u32, guest: Addr, cookie: u64, full: bool) -> Known {
    let state = word(bpf_sock::STATE);
    let socket = SocketRef {
        guest,
        cookie,
        family: word(bpf_sock::FAMILY) as u16,
        sock_type: word(bpf_sock::TYPE),
        protocol: word(bpf_sock::PROTOCOL) as u16,
        state,
        hashed: state != TCP_CLOSE || word(bpf_sock::SRC_PORT) != 0,
        in_reuseport_group: false,
        held_by: None,
    };
    Known { socket, full, reuseport_id: 0, reuseport: false, v6only: false }
}
