//! Address resolution: `net/ipv4/arp.c`, `net/core/neighbour.c`, v6.12.
//!
//! An answer comes at once or never: how long an entry lives and what is asked again later is not modelled, so that time
//! may not pass while an entry is not permanent.

use std::net::{IpAddr, Ipv4Addr};

use super::{At, Halt, World};
use crate::net::Kernel;
use crate::net::network::{Mac, RouteKind};
use crate::net::redirect::Parked;
use crate::net::skb::{SkBuff, eth_p, pkt_type};

/// The length of an ARP packet for IPv4 over Ethernet.
const ARP_LEN: usize = 28;
/// `unres_qlen_bytes` holds far more: nobody queues so many frames in one step.
const QUEUE: usize = 64;

/// Packets that wait for an address.
#[derive(Debug)]
pub(super) struct Waiting {
    at: At,
    hop: Ipv4Addr,
    packets: Vec<Parked>,
}

fn v4(bytes: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])
}

impl World {
    /// `neigh_output`: the packet, which begins with its IP header, gets its Ethernet header and leaves, or waits until the
    /// neighbour has answered.
    pub(super) fn neigh_output(
        &mut self,
        kernel: &mut Kernel,
        mut skb: SkBuff,
        to: At,
        hop: IpAddr,
        depth: u32,
    ) -> Result<(), Halt> {
        if let Some(mac) = self.spaces[to.space].env.fib.neighbour(hop, to.ifindex) {
            self.ethernet(kernel, &mut skb, to, mac);
            return self.transmit(kernel, skb, to, depth).map(drop);
        }
        let IpAddr::V4(hop) = hop else {
            return Err(self.not_modelled(to, &format!("asking for the neighbour {hop}")));
        };
        let source = self.asking_address(kernel, &skb, to);
        let packet = Parked::park(skb, &kernel.machine.mem);
        if let Some(known) = self.waiting.iter_mut().find(|known| known.at == to && known.hop == hop) {
            if known.packets.len() == QUEUE {
                return Err(self.not_modelled(to, "a long queue for a neighbour"));
            }
            known.packets.push(packet);
            return Ok(());
        }
        self.waiting.push(Waiting { at: to, hop, packets: vec![packet] });
        let request = arp(1, self.spaces[to.space].device(to.ifindex).mac, source, [0; 6], hop);
        self.arp_send(kernel, to, [0xff; 6], &request, depth)
    }

    /// `arp_solicit` with `arp_announce` 0: the packet's source if it is ours, else an address of the device.
    fn asking_address(&self, kernel: &Kernel, skb: &SkBuff, to: At) -> Ipv4Addr {
        let env = &self.spaces[to.space].env;
        let bytes = skb.linear.bytes(&kernel.machine.mem);
        if skb.protocol == eth_p::IP && bytes.len() >= 20 {
            let source = v4(&bytes[12..16]);
            if env.fib.local_kind(source.into()) == Some(RouteKind::Local) {
                return source;
            }
        }
        let own = |ifindex| {
            env.device(ifindex).into_iter().flat_map(|device| &device.addresses).find_map(|(address, _)| {
                match address {
                    IpAddr::V4(v4) => Some(*v4),
                    IpAddr::V6(_) => None,
                }
            })
        };
        own(to.ifindex)
            .or_else(|| env.devices.iter().filter(|d| !d.loopback).find_map(|d| own(d.ifindex)))
            .unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    fn arp_send(
        &mut self,
        kernel: &mut Kernel,
        at: At,
        dst: Mac,
        packet: &[u8],
        depth: u32,
    ) -> Result<(), Halt> {
        // `arp_create`: `LL_RESERVED_SPACE` of headroom.
        let mut skb = SkBuff::with_headroom(&mut kernel.machine.mem, 16, packet);
        skb.protocol = eth_p::ARP;
        skb.reset_network_header();
        self.ethernet(kernel, &mut skb, at, dst);
        self.transmit(kernel, skb, at, depth).map(drop)
    }

    /// `arp_rcv` and `arp_process`: an address of ours is answered for, and who asks or answers is remembered.
    pub(super) fn arp_rcv(&mut self, kernel: &mut Kernel, skb: &SkBuff, at: At) -> Result<(), Halt> {
        if skb.pkt_type == pkt_type::OTHERHOST {
            return Ok(());
        }
        let bytes = skb.linear.bytes(&kernel.machine.mem).to_vec();
        if bytes.len() < ARP_LEN || bytes[..6] != [0, 1, 8, 0, 6, 4] {
            self.dropped(at, "NOT_SPECIFIED");
            return Ok(());
        }
        let (op, sha) =
            (u16::from_be_bytes([bytes[6], bytes[7]]), <Mac>::try_from(&bytes[8..14]).expect("6 bytes"));
        let (sip, tip) = (v4(&bytes[14..18]), v4(&bytes[24..28]));
        if !matches!(op, 1 | 2) || tip.is_multicast() || tip.is_loopback() {
            self.dropped(at, "NOT_SPECIFIED");
            return Ok(());
        }
        let env = &self.spaces[at.space].env;
        let (mac, forwards) = {
            let device = env.device(at.ifindex).expect("a frame is at a device that exists");
            (device.mac, device.forwarding)
        };
        let is = |address: Ipv4Addr| env.fib.local_kind(address.into());
        if op == 1 && sip.is_unspecified() {
            // Somebody asks whether an address is free.
            if is(tip) == Some(RouteKind::Local) {
                let reply = arp(2, mac, tip, sha, sip);
                return self.arp_send(kernel, at, sha, &reply, 0);
            }
            return Ok(());
        }
        let sender_is_ours = is(sip) == Some(RouteKind::Local);
        if op == 1 && is(tip) == Some(RouteKind::Local) {
            if sender_is_ours {
                // `ip_route_input` refuses such a source.
                return Ok(());
            }
            self.learn(kernel, at, sip, sha, true)?;
            let reply = arp(2, mac, tip, sha, sip);
            return self.arp_send(kernel, at, sha, &reply, 0);
        }
        if op == 1 && forwards && is(tip).is_none() {
            // No proxy by default.
            return self.learn(kernel, at, sip, sha, false);
        }
        self.learn(kernel, at, sip, sha, false)
    }

    /// `neigh_update`: an entry that is there, or made if `create`, gets its address; what waited for it leaves.
    fn learn(
        &mut self,
        kernel: &mut Kernel,
        at: At,
        address: Ipv4Addr,
        mac: Mac,
        create: bool,
    ) -> Result<(), Halt> {
        let waited = self.waiting.iter().position(|known| known.at == at && known.hop == address);
        let waiting = waited.map(|index| self.waiting.remove(index));
        if waiting.is_none() && !create {
            let known = self.spaces[at.space].env.fib.neighbour(address.into(), at.ifindex);
            if known.is_some_and(|known| known != mac)
                && !self.spaces[at.space].env.fib.is_permanent(address.into(), at.ifindex)
            {
                return Err(self.not_modelled(at, &format!("a neighbour {address} that changes its address")));
            }
            return Ok(());
        }
        self.spaces[at.space].env.fib.learn(address.into(), at.ifindex, mac);
        for packet in waiting.into_iter().flat_map(|waiting| waiting.packets) {
            let skb = packet.unpark(&mut kernel.machine.mem);
            self.neigh_output(kernel, skb, at, address.into(), 0)?;
        }
        Ok(())
    }
}

/// An ARP packet.
fn arp(op: u8, sha: Mac, sip: Ipv4Addr, tha: Mac, tip: Ipv4Addr) -> Vec<u8> {
    let mut out = vec![0, 1, 8, 0, 6, 4, 0, op];
    out.extend(sha);
    out.extend(sip.octets());
    out.extend(tha);
    out.extend(tip.octets());
    out
}
