//! What this host answers: `net/ipv4/icmp.c`, `net/ipv4/tcp_ipv4.c: tcp_v4_send_reset`, v6.12. There are no sockets, so that
//! every port is closed. The identification of what is answered is a random number in the kernel: here it comes from the
//! seeded sequence, and a comparison has to leave it out.

use std::net::{IpAddr, Ipv4Addr};

use super::ip::{Header, IPHDR, icmp, tos_to_priority};
use super::{At, Halt, World};
use crate::net::Kernel;
use crate::net::helper::prefsrc;
use crate::net::network::RouteKind;
use crate::net::skb::{SkBuff, eth_p, pkt_type};
use crate::wire::checksum::{checksum, csum_fold, csum_partial, csum_tcpudp_magic};

const IPPROTO_ICMP: u8 = 1;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
/// `ip_rt_min_pmtu`: no path is taken for narrower.
const MIN_PMTU: usize = 552;
/// An ICMP error fits into 576 bytes.
const ERROR_MAX: usize = 576;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// The header of a packet of this host's own.
struct Own {
    protocol: u8,
    tos: u8,
    /// Whether it has an identification, a random one; without, it must not be fragmented.
    numbered: bool,
}

/// ICMP.
const ECHO: Own = Own { protocol: IPPROTO_ICMP, tos: 0, numbered: true };

impl World {
    /// `ip_local_deliver`, in a host without sockets.
    pub(super) fn ip_local(
        &mut self,
        kernel: &mut Kernel,
        skb: &SkBuff,
        at: At,
        header: &Header,
        broadcast: bool,
    ) -> Result<(), Halt> {
        if header.fragment {
            return Err(self.not_modelled(at, "a fragment to an address of this host"));
        }
        let payload = skb.linear.bytes(&kernel.machine.mem)[IPHDR..].to_vec();
        let sum = |protocol: u8| {
            let pseudo = csum_partial(&payload, 0);
            let (src, dst) = (header.src.octets(), header.dst.octets());
            csum_tcpudp_magic(src, dst, payload.len() as u32, protocol, pseudo) == 0
        };
        match header.protocol {
            IPPROTO_ICMP => {
                if payload.len() < 8 || csum_fold(csum_partial(&payload, 0)) != 0 {
                    self.dropped(at, "ICMP_CSUM");
                    return Ok(());
                }
                match payload[0] {
                    icmp::ECHO if !broadcast => {
                        let mut reply = payload;
                        (reply[0], reply[2], reply[3]) = (icmp::ECHOREPLY, 0, 0);
                        let check = checksum(&reply).to_be_bytes();
                        reply[2..4].copy_from_slice(&check);
                        self.answer(
                            kernel,
                            at,
                            (header.dst, header.src),
                            &Own { tos: header.tos, ..ECHO },
                            &reply,
                        )
                    }
                    // Replies, errors and what nobody answers any more end here, unless a route learns from them.
                    icmp::DEST_UNREACH => {
                        self.spaces[at.space].shrunk |= payload[1] == icmp::FRAG_NEEDED;
                        Ok(())
                    }
                    icmp::ECHO | 0..=2 | 4 | 6 | 7 | icmp::TIME_EXCEEDED | 12 | 15..=41 => Ok(()),
                    kind => Err(self.not_modelled(at, &format!("ICMP of type {kind}"))),
                }
            }
            IPPROTO_UDP => {
                let length = payload.get(4..6).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
                if payload.len() < 8 || length < 8 || length > payload.len() {
                    self.dropped(at, "PKT_TOO_SMALL");
                    return Ok(());
                }
                if length != payload.len() {
                    return Err(self.not_modelled(at, "UDP shorter than its packet"));
                }
                if payload[6..8] != [0, 0] && !sum(IPPROTO_UDP) {
                    self.dropped(at, "UDP_CSUM");
                    return Ok(());
                }
                self.dropped(at, "NO_SOCKET");
                if broadcast {
                    return Ok(());
                }
                self.icmp_send(kernel, skb, at, (icmp::DEST_UNREACH, icmp::PORT_UNREACH, 0), true)
            }
            IPPROTO_TCP => {
                if broadcast || skb.pkt_type != pkt_type::HOST || payload.len() < 20 {
                    return Ok(());
                }
                if !sum(IPPROTO_TCP) {
                    self.dropped(at, "TCP_CSUM");
                    return Ok(());
                }
                self.dropped(at, "NO_SOCKET");
                self.tcp_reset(kernel, at, header, &payload)
            }
            protocol => {
                Err(self.not_modelled(at, &format!("IP protocol {protocol} to an address of this host")))
            }
        }
    }

    /// `tcp_v4_send_reset` without a socket.
    fn tcp_reset(&mut self, kernel: &mut Kernel, at: At, header: &Header, tcp: &[u8]) -> Result<(), Halt> {
        let word = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().expect("4 bytes"));
        let (data_offset, flags) = (u32::from(tcp[12] >> 4) * 4, tcp[13]);
        if flags & RST != 0 || data_offset < 20 || data_offset as usize > tcp.len() {
            return Ok(());
        }
        let mut reset = [&tcp[2..4], &tcp[..2], &[0; 8], &[0x50, RST], &[0; 6]].concat();
        if flags & ACK != 0 {
            reset[4..8].copy_from_slice(&tcp[8..12]);
        } else {
            let counts = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
            let next = word(4).wrapping_add(counts).wrapping_add(tcp.len() as u32 - data_offset);
            reset[8..12].copy_from_slice(&next.to_be_bytes());
            reset[13] |= ACK;
        }
        let (src, dst) = (header.dst.octets(), header.src.octets());
        let sum = csum_partial(&reset, 0);
        let check = csum_tcpudp_magic(src, dst, reset.len() as u32, IPPROTO_TCP, sum).to_le_bytes();
        reset[16..18].copy_from_slice(&check);
        let ip = Own { protocol: IPPROTO_TCP, tos: header.tos & !3, numbered: false };
        self.answer(kernel, at, (header.dst, header.src), &ip, &reset)
    }

    /// `__icmp_send`: an error about a packet that begins with its IP header; `local` if it was for this host.
    pub(super) fn icmp_send(
        &mut self,
        kernel: &mut Kernel,
        skb: &SkBuff,
        at: At,
        (kind, code, info): (u8, u8, u32),
        local: bool,
    ) -> Result<(), Halt> {
        let bytes = skb.linear.bytes(&kernel.machine.mem);
        let header = Header::read(bytes);
        if skb.pkt_type != pkt_type::HOST || header.later_fragment {
            return Ok(());
        }
        if header.protocol == IPPROTO_ICMP {
            // No error about an error: everything but echo and the like.
            match bytes.get(IPHDR) {
                Some(0 | 8 | 13..=18) => {}
                _ => return Ok(()),
            }
        }
        let tos = header.tos & 0x1e | 0xc0;
        let mut message = vec![kind, code, 0, 0];
        message.extend(info.to_be_bytes());
        let room = ERROR_MAX - IPHDR - message.len();
        message.extend(&bytes[..bytes.len().min(room)]);
        let check = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&check);
        let source = if local { header.dst } else { Ipv4Addr::UNSPECIFIED };
        self.answer(kernel, at, (source, header.src), &Own { tos, ..ECHO }, &message)
    }

    /// A packet of this host's own; without a source it gets that of its route.
    fn answer(
        &mut self,
        kernel: &mut Kernel,
        at: At,
        (source, destination): (Ipv4Addr, Ipv4Addr),
        ip: &Own,
        payload: &[u8],
    ) -> Result<(), Halt> {
        let env = &mut self.spaces[at.space].env;
        let Some(entry) = env.fib.lookup(destination.into(), None, None).cloned() else { return Ok(()) };
        if entry.route.kind != RouteKind::Unicast {
            let what = format!("an answer to {destination}, whose route is {:?}", entry.route.kind);
            return Err(self.not_modelled(at, &what));
        }
        let to = At { space: at.space, ifindex: entry.route.ifindex };
        let hop = entry.route.via.unwrap_or(IpAddr::V4(destination));
        let source = if source.is_unspecified() {
            let device = env.device(to.ifindex).expect("a route's device exists");
            match prefsrc(env, &entry, device, destination.into()) {
                Some(IpAddr::V4(source)) => source,
                _ => return Err(self.not_modelled(at, "an answer from a host without an address")),
            }
        } else {
            source
        };
        let (id, fragment) = if ip.numbered { (env.prandom_u32() as u16, 0) } else { (0, 0x40) };
        let total = IPHDR + payload.len();
        if self.spaces[to.space].shrunk && total > MIN_PMTU {
            return Err(self.not_modelled(to, "a path's MTU that was learned"));
        }
        if total as u32 > self.spaces[to.space].device(to.ifindex).mtu {
            return Err(self.not_modelled(to, "fragmentation"));
        }
        let mut packet = vec![0x45, ip.tos];
        packet.extend((total as u16).to_be_bytes());
        packet.extend(id.to_be_bytes());
        packet.extend([fragment, 0, 64, ip.protocol, 0, 0]);
        packet.extend(source.octets());
        packet.extend(destination.octets());
        let check = checksum(&packet).to_be_bytes();
        packet[10..12].copy_from_slice(&check);
        packet.extend(payload);
        // `sk_stream`-less senders reserve `LL_RESERVED_SPACE` and 15 bytes.
        let mut skb = SkBuff::with_headroom(&mut kernel.machine.mem, 32, &packet);
        skb.protocol = eth_p::IP;
        skb.reset_network_header();
        skb.transport_header = (skb.linear.data() + IPHDR as u32) as u16;
        skb.priority = tos_to_priority(ip.tos);
        self.neigh_output(kernel, skb, to, hop, 0)
    }
}
