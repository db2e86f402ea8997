//! The redirect family of tc: `net/core/filter.c: skb_do_redirect`, v6.12.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::tx::XMIT_RECURSION_LIMIT;
use super::{At, Halt, World};
use crate::net::Kernel;
use crate::net::network::{LOOPBACK, Mac, RouteKind};
use crate::net::redirect::{Nexthop, Redirect};
use crate::net::skb::{ETH_HLEN, SkBuff, eth_p};

/// Where a redirected frame is.
pub(super) enum Next {
    /// Queued, or dropped.
    Done,
    /// About to leave a device.
    Transmit(SkBuff, At),
    /// Received by another device, in the same round.
    Again(SkBuff, At),
}

impl World {
    /// Does what the last helper said to a frame that begins with its MAC header, `depth` transmissions deep.
    pub(super) fn redirect(
        &mut self,
        kernel: &mut Kernel,
        skb: SkBuff,
        at: At,
        redirect: &Redirect,
        depth: u32,
    ) -> Result<Next, Halt> {
        match *redirect {
            Redirect::Nowhere | Redirect::Map { .. } => Ok(self.lost(at)),
            Redirect::Device { ifindex, ingress } => {
                self.via_device(kernel, skb, at, (ifindex, ingress), depth)
            }
            Redirect::Peer { ifindex } => Ok(self.via_peer(skb, at, ifindex)),
            Redirect::Neigh { ifindex, nexthop } => {
                self.via_neighbour(kernel, skb, at, (ifindex, nexthop), depth)
            }
        }
    }

    fn lost(&mut self, at: At) -> Next {
        self.dropped(at, "NOT_SPECIFIED");
        Next::Done
    }

    /// `__bpf_redirect`: the target is looked up in the namespace of the device the frame is at.
    fn via_device(
        &mut self,
        kernel: &mut Kernel,
        mut skb: SkBuff,
        at: At,
        (ifindex, ingress): (u32, bool),
        depth: u32,
    ) -> Result<Next, Halt> {
        let to = At { space: at.space, ifindex };
        if ifindex == LOOPBACK {
            return Err(self.not_modelled(at, "a redirect to the loopback"));
        }
        if !self.spaces[to.space].has_port(ifindex) {
            return Ok(self.lost(at));
        }
        if skb.mac_header.is_none_or(|mac| mac >= skb.network_header) || skb.is_empty() {
            return Ok(self.lost(at));
        }
        if ingress {
            self.forward_to(kernel, skb, at, to, false);
            return Ok(Next::Done);
        }
        if depth > XMIT_RECURSION_LIMIT {
            return Ok(self.lost(at));
        }
        skb.redirected = true;
        skb.clear_tstamp();
        Ok(Next::Transmit(skb, to))
    }

    /// The whole of `__bpf_redirect`, for a copy.
    pub(super) fn redirect_and_go(
        &mut self,
        kernel: &mut Kernel,
        skb: SkBuff,
        at: At,
        ifindex: u32,
        ingress: bool,
    ) -> Result<(), Halt> {
        match self.via_device(kernel, skb, at, (ifindex, ingress), 0)? {
            Next::Transmit(skb, to) => self.transmit(kernel, skb, to, 1).map(drop),
            Next::Done | Next::Again(..) => Ok(()),
        }
    }

    /// `BPF_F_PEER`: from ingress only, into another namespace only.
    fn via_peer(&mut self, mut skb: SkBuff, at: At, ifindex: u32) -> Next {
        let here = &self.spaces[at.space];
        let peer = if here.has_port(ifindex) { here.port(ifindex).peer } else { None };
        match peer {
            Some(peer)
                if skb.at_ingress
                    && peer.space != at.space
                    && self.spaces[peer.space].device(peer.ifindex).up =>
            {
                skb.dev = peer.ifindex;
                skb.scrub(false);
                Next::Again(skb, peer)
            }
            _ => self.lost(at),
        }
    }

    /// `__bpf_redirect_neigh`.
    fn via_neighbour(
        &mut self,
        kernel: &mut Kernel,
        mut skb: SkBuff,
        at: At,
        (ifindex, nexthop): (u32, Nexthop),
        depth: u32,
    ) -> Result<Next, Halt> {
        let to = At { space: at.space, ifindex };
        if ifindex == LOOPBACK {
            return Err(self.not_modelled(at, "a redirect to the loopback"));
        }
        if !self.spaces[to.space].has_port(ifindex)
            || skb.mac_header.is_none_or(|mac| mac >= skb.network_header)
            || skb.linear.bytes(&kernel.machine.mem)[0] & 1 != 0
        {
            return Ok(self.lost(at));
        }
        skb.pull(ETH_HLEN);
        skb.reset_network_header();
        let Some((family, destination)) = destination(&skb, kernel) else { return Ok(self.lost(at)) };
        let hop = match nexthop {
            // An IPv4 packet may have an IPv6 next hop, not the other way round.
            Nexthop::Given(hop) if hop.is_ipv6() || family == eth_p::IP => hop,
            Nexthop::Given(_) | Nexthop::Unknown => return Ok(self.lost(at)),
            // `ip_route_output_key_hash_rcu` finds no route out of a device that is down.
            Nexthop::Routed if !self.spaces[to.space].device(ifindex).up => return Ok(self.lost(at)),
            Nexthop::Routed => match self.route_out(to, destination)? {
                Some(hop) => hop,
                None => return Ok(self.lost(at)),
            },
        };
        if depth > XMIT_RECURSION_LIMIT {
            return Ok(self.lost(at));
        }
        skb.clear_tstamp();
        if let Some(mac) = self.spaces[to.space].env.fib.neighbour(hop, ifindex) {
            self.ethernet(kernel, &mut skb, to, mac);
            return Ok(Next::Transmit(skb, to));
        }
        self.neigh_output(kernel, skb, to, hop, depth + 1)?;
        Ok(Next::Done)
    }

    /// The next hop towards `destination` on a device, assumed on-link where no route says otherwise: `None` where the
    /// route is none to send by. `net/ipv4/route.c: ip_route_output_key_hash_rcu` with `flowi4_oif`, v6.12.
    fn route_out(&self, to: At, destination: IpAddr) -> Result<Option<IpAddr>, Halt> {
        let entry = self.spaces[to.space].env.fib.lookup(destination, None, Some(to.ifindex));
        let Some(entry) = entry else {
            return if destination.is_ipv4() {
                Ok(Some(destination))
            } else {
                Err(self.not_modelled(to, &format!("bpf_redirect_neigh to {destination} without a route")))
            };
        };
        match entry.route.kind {
            RouteKind::Unicast if entry.route.ifindex == to.ifindex => {
                Ok(Some(entry.route.via.unwrap_or(destination)))
            }
            RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit if destination.is_ipv4() => {
                Ok(Some(destination))
            }
            kind => {
                let what = format!("bpf_redirect_neigh to {destination}, whose route is {kind:?}");
                Err(self.not_modelled(to, &what))
            }
        }
    }

    /// `neigh_hh_output`: an Ethernet header in front.
    pub(super) fn ethernet(&self, kernel: &mut Kernel, skb: &mut SkBuff, to: At, mac: Mac) {
        let source = self.spaces[to.space].device(to.ifindex).mac;
        skb.push(&mut kernel.machine.mem, ETH_HLEN);
        let header = &mut skb.linear.bytes_mut(&mut kernel.machine.mem)[..ETH_HLEN as usize];
        header[..6].copy_from_slice(&mac);
        header[6..12].copy_from_slice(&source);
        header[12..].copy_from_slice(&skb.protocol.to_be_bytes());
    }
}

/// The destination of a packet that begins with its IP header, with its protocol; `None` if it is no IP packet.
fn destination(skb: &SkBuff, kernel: &Kernel) -> Option<(u16, IpAddr)> {
    let bytes = skb.linear.bytes(&kernel.machine.mem);
    match skb.protocol {
        eth_p::IP => {
            let octets: [u8; 4] = bytes.get(16..20)?.try_into().expect("4 bytes");
            Some((eth_p::IP, IpAddr::V4(Ipv4Addr::from(octets))))
        }
        eth_p::IPV6 => {
            let octets: [u8; 16] = bytes.get(24..40)?.try_into().expect("16 bytes");
            Some((eth_p::IPV6, IpAddr::V6(Ipv6Addr::from(octets))))
        }
        _ => None,
    }
}
