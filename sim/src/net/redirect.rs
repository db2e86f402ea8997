//! What the redirect family of helpers leaves behind: `include/linux/filter.h: struct bpf_redirect_info`, v6.12.

use std::net::IpAddr;

use crate::bpf::Memory;
use crate::bpf::map::MapId;
use crate::net::skb::SkBuff;

/// Where the packet goes if the program's verdict says so.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Redirect {
    /// No helper was called: `tgt_index` is 0, of no device.
    #[default]
    Nowhere,
    /// `bpf_redirect`.
    Device {
        /// `tgt_index`.
        ifindex: u32,
        /// `BPF_F_INGRESS`.
        ingress: bool,
    },
    /// `bpf_redirect_peer`.
    Peer {
        /// `tgt_index`.
        ifindex: u32,
    },
    /// `bpf_redirect_neigh`.
    Neigh {
        /// `tgt_index`.
        ifindex: u32,
        /// `struct bpf_redir_neigh`.
        nexthop: Nexthop,
    },
    /// `bpf_redirect_map`.
    Map {
        /// The map.
        map: MapId,
        /// The key.
        index: u32,
        /// `BPF_F_BROADCAST`, `BPF_F_EXCLUDE_INGRESS`.
        flags: u64,
    },
}

/// Who the next hop of `bpf_redirect_neigh` is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nexthop {
    /// Nobody was named: the route says.
    Routed,
    /// This one.
    Given(IpAddr),
    /// One of a family that does not exist.
    Unknown,
}

/// A copy `bpf_clone_redirect` made.
#[derive(Debug)]
pub struct CloneSent {
    /// The copy.
    pub packet: Parked,
    /// The device's ifindex.
    pub ifindex: u32,
    /// `BPF_F_INGRESS`.
    pub ingress: bool,
}

/// A packet that is not in the packet window: one in a queue.
#[derive(Debug)]
pub struct Parked {
    skb: SkBuff,
    room: Vec<u8>,
}

impl Parked {
    /// Takes a packet out of the window.
    pub fn park(skb: SkBuff, mem: &Memory) -> Self {
        let room = skb.linear.room(mem);
        Self { skb, room }
    }

    /// Puts it into the window, where there may be no other.
    pub fn unpark(self, mem: &mut Memory) -> SkBuff {
        self.skb.linear.put_back(mem, &self.room);
        self.skb
    }
}
