//! IPv4 comes in: `net/ipv4/ip_input.c: ip_rcv_core`, `net/ipv4/route.c: ip_route_input_slow`, v6.12, with `rp_filter` 0.

use std::net::Ipv4Addr;

use super::{At, Halt, World};
use crate::bpf::Memory;
use crate::net::Kernel;
use crate::net::network::RouteKind;
use crate::net::skb::{SkBuff, pkt_type};
use crate::wire::checksum::{csum_fold, csum_partial};

/// `sizeof(struct iphdr)`.
pub(super) const IPHDR: usize = 20;
/// `IPSKB_FORWARDED`.
const IPSKB_FORWARDED: u8 = 1;

/// `ICMP_DEST_UNREACH` and its codes, `ICMP_TIME_EXCEEDED`: `include/uapi/linux/icmp.h`.
#[allow(missing_docs)]
pub(super) mod icmp {
    pub const ECHOREPLY: u8 = 0;
    pub const DEST_UNREACH: u8 = 3;
    pub const ECHO: u8 = 8;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const NET_UNREACH: u8 = 0;
    pub const HOST_UNREACH: u8 = 1;
    pub const PORT_UNREACH: u8 = 3;
    pub const FRAG_NEEDED: u8 = 4;
    pub const PKT_FILTERED: u8 = 13;
}

/// A packet's IPv4 header.
pub(super) struct Header {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub ttl: u8,
    pub tos: u8,
    pub protocol: u8,
    /// `IP_DF`.
    pub df: bool,
    /// Whether it is a fragment.
    pub fragment: bool,
    /// Whether it is not the first one.
    pub later_fragment: bool,
}

impl Header {
    /// The header `bytes` begin with, which has no options.
    pub fn read(bytes: &[u8]) -> Self {
        let four = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
        let frag = u16::from_be_bytes([bytes[6], bytes[7]]);
        Self {
            src: four(12),
            dst: four(16),
            ttl: bytes[8],
            tos: bytes[1],
            protocol: bytes[9],
            df: frag & 0x4000 != 0,
            fragment: frag & 0x3fff != 0,
            later_fragment: frag & 0x1fff != 0,
        }
    }
}

/// Where a packet that came in goes.
enum Input {
    /// To this host; `broadcast` if by a broadcast address.
    Local { broadcast: bool },
    /// To a next hop on another device.
    Forward { to: At, hop: Ipv4Addr },
    /// Nowhere, and the sender is told if this host forwards: the ICMP code.
    Refused(Option<u8>),
    /// An address that may not be on the wire.
    Martian(&'static str),
}

impl World {
    /// `ip_rcv` and what follows.
    pub(super) fn ip_rcv(&mut self, kernel: &mut Kernel, mut skb: SkBuff, at: At) -> Result<(), Halt> {
        if let Err(reason) = ip_rcv_core(&mut kernel.machine.mem, &mut skb) {
            self.dropped(at, reason);
            return Ok(());
        }
        if skb.linear.bytes(&kernel.machine.mem)[0] & 0xf != 5 {
            return Err(self.not_modelled(at, "options of IPv4"));
        }
        let header = Header::read(skb.linear.bytes(&kernel.machine.mem));
        match self.route_input(at, &header)? {
            Input::Martian(reason) => {
                self.dropped(at, reason);
                Ok(())
            }
            Input::Local { broadcast } => self.ip_local(kernel, &skb, at, &header, broadcast),
            // `net/ipv4/route.c: ip_error`, v6.12.
            Input::Refused(code) => {
                let forwards = self.spaces[at.space].device(at.ifindex).forwarding;
                let reason = match code {
                    _ if !forwards => "IP_INADDRERRORS",
                    Some(icmp::NET_UNREACH) => "IP_INNOROUTES",
                    _ => "NOT_SPECIFIED",
                };
                self.dropped(at, reason);
                match code {
                    Some(code) if forwards => {
                        self.icmp_send(kernel, &skb, at, (icmp::DEST_UNREACH, code, 0), false)
                    }
                    _ => Ok(()),
                }
            }
            Input::Forward { to, hop } => self.ip_forward(kernel, skb, at, to, hop, &header),
        }
    }

    fn route_input(&self, at: At, header: &Header) -> Result<Input, Halt> {
        let env = &self.spaces[at.space].env;
        let Header { src, dst, .. } = *header;
        if dst.is_multicast() {
            let all_hosts = dst == Ipv4Addr::new(224, 0, 0, 1);
            if all_hosts {
                return Err(self.not_modelled(at, "a packet to all hosts (224.0.0.1)"));
            }
            return Ok(Input::Martian("IP_LOCALNET"));
        }
        if src.is_multicast() || src.is_broadcast() {
            return Ok(Input::Martian("IP_INVALID_SOURCE"));
        }
        if dst.is_broadcast() || src.is_unspecified() && dst.is_unspecified() {
            return Ok(Input::Local { broadcast: true });
        }
        let zero_net = |address: Ipv4Addr| address.octets()[0] == 0;
        if zero_net(src) {
            return Ok(Input::Martian("IP_INVALID_SOURCE"));
        }
        if zero_net(dst) || dst.is_loopback() {
            return Ok(Input::Martian("IP_INVALID_DEST"));
        }
        if src.is_loopback() {
            return Ok(Input::Martian("IP_LOCAL_SOURCE"));
        }
        let forwards = env.device(at.ifindex).is_some_and(|device| device.forwarding);
        let Some(entry) = env.fib.lookup(dst.into(), None, None) else {
            return Ok(Input::Refused(Some(icmp::NET_UNREACH)));
        };
        // `__fib_validate_source` without `rp_filter`: only own addresses are impossible.
        let own_source = env.devices.iter().flat_map(|d| &d.addresses).any(|(address, _)| *address == src);
        match entry.route.kind {
            RouteKind::Unicast if !forwards => Ok(Input::Refused(None)),
            RouteKind::Broadcast | RouteKind::Local | RouteKind::Unicast if own_source => {
                Ok(Input::Martian("IP_LOCAL_SOURCE"))
            }
            RouteKind::Broadcast => Ok(Input::Local { broadcast: true }),
            RouteKind::Local => Ok(Input::Local { broadcast: false }),
            RouteKind::Blackhole => Ok(Input::Refused(None)),
            RouteKind::Unreachable => Ok(Input::Refused(Some(icmp::HOST_UNREACH))),
            RouteKind::Prohibit => Ok(Input::Refused(Some(icmp::PKT_FILTERED))),
            RouteKind::Unicast => {
                let to = At { space: at.space, ifindex: entry.route.ifindex };
                if to == at {
                    return Err(self.not_modelled(at, "forwarding out of the device a packet came from"));
                }
                let hop = match entry.route.via {
                    None => dst,
                    Some(std::net::IpAddr::V4(via)) => via,
                    Some(via) => {
                        return Err(self.not_modelled(at, &format!("the IPv6 gateway {via} of IPv4")));
                    }
                };
                Ok(Input::Forward { to, hop })
            }
            RouteKind::Multicast | RouteKind::Anycast => Ok(Input::Martian("IP_INVALID_DEST")),
        }
    }

    /// `net/ipv4/ip_forward.c: ip_forward`, v6.12.
    fn ip_forward(
        &mut self,
        kernel: &mut Kernel,
        mut skb: SkBuff,
        at: At,
        to: At,
        hop: Ipv4Addr,
        header: &Header,
    ) -> Result<(), Halt> {
        if skb.pkt_type != pkt_type::HOST {
            self.dropped(at, "NOT_SPECIFIED");
            return Ok(());
        }
        if header.ttl <= 1 {
            self.dropped(at, "IP_INHDR");
            return self.icmp_send(kernel, &skb, at, (icmp::TIME_EXCEEDED, 0, 0), false);
        }
        let mtu = self.spaces[to.space].device(to.ifindex).mtu;
        if skb.len() > mtu {
            if !header.df {
                return Err(self.not_modelled(to, "fragmentation"));
            }
            self.dropped(at, "PKT_TOO_BIG");
            return self.icmp_send(kernel, &skb, at, (icmp::DEST_UNREACH, icmp::FRAG_NEEDED, mtu), false);
        }
        let bytes = skb.linear.bytes_mut(&mut kernel.machine.mem);
        // `ip_decrease_ttl`: the sum grows by what the header shrinks.
        let check = u32::from(u16::from_be_bytes([bytes[10], bytes[11]])) + 0x100;
        let check = (check + u32::from(check >= 0xffff)) as u16;
        bytes[10..12].copy_from_slice(&check.to_be_bytes());
        bytes[8] -= 1;
        skb.cb[12] = IPSKB_FORWARDED;
        skb.priority = tos_to_priority(header.tos);
        self.neigh_output(kernel, skb, to, hop.into(), 0)
    }
}

/// What `ip_rcv_core` checks; the error is why the packet is dropped.
fn ip_rcv_core(mem: &mut Memory, skb: &mut SkBuff) -> Result<(), &'static str> {
    if skb.pkt_type == pkt_type::OTHERHOST {
        return Err("OTHERHOST");
    }
    if !skb.may_pull(mem, IPHDR as u32) {
        return Err("IP_INHDR");
    }
    let bytes = skb.linear.bytes(mem);
    let (version, ihl) = (bytes[0] >> 4, usize::from(bytes[0] & 0xf) * 4);
    let total = u32::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    if version != 4 || ihl < IPHDR || !skb.may_pull(mem, ihl as u32) {
        return Err("IP_INHDR");
    }
    if csum_fold(csum_partial(&skb.linear.bytes(mem)[..ihl], 0)) != 0 {
        return Err("IP_CSUM");
    }
    if skb.len() < total {
        return Err("PKT_TOO_SMALL");
    }
    if (total as usize) < ihl {
        return Err("IP_INHDR");
    }
    skb.linear.set_len(total);
    skb.transport_header = (skb.network_header + ihl as u32) as u16;
    // `IPCB` overlays what programs see as the first four words of `cb`.
    skb.cb[..16].fill(0);
    skb.sk = None;
    Ok(())
}

/// `rt_tos2priority`: `net/ipv4/route.c: ip_tos2prio`, v6.12.
pub(super) fn tos_to_priority(tos: u8) -> u32 {
    const TABLE: [u32; 16] = [0, 1, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4];
    TABLE[usize::from(tos & 0x1e) >> 1]
}
