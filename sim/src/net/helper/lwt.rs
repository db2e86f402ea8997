//! Headers that lightweight tunnel programs put in front of a packet.

use super::{Arg, Call, Failure, Helper, Ret};
use crate::bpf::{FaultKind, Memory};
use crate::net::seg6::{self, NextHop};
use crate::net::skb::{SkBuff, eth_p, gso_type};
use crate::uapi::ProgType::{LwtIn, LwtXmit};
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes};

const ARGS: &[Arg] = &[Arg::Ctx, Arg::Any, Arg::Mem, Arg::Size];

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::lwt_push_encap, ProgTypes::of(&[LwtIn]), ARGS, push_encap_in,
        "net/core/filter.c: bpf_lwt_in_push_encap").moving(),
    Helper::new(id::lwt_push_encap, ProgTypes::of(&[LwtXmit]), ARGS, push_encap_xmit,
        "net/core/filter.c: bpf_lwt_xmit_push_encap").moving(),
];

const BPF_LWT_ENCAP_SEG6: u32 = 0;
const BPF_LWT_ENCAP_SEG6_INLINE: u32 = 1;
const BPF_LWT_ENCAP_IP: u32 = 2;

/// `LWT_BPF_MAX_HEADROOM`.
const LWT_BPF_MAX_HEADROOM: usize = 256;
/// `LL_RESERVED_SPACE` of the loopback, where a route that is not valid leads.
const LOOPBACK_HEADROOM: u32 = 16;
/// `GRE_CSUM`, first of the two bytes of flags.
const GRE_CSUM: u8 = 0x80;

fn push_encap_in(call: &mut Call<'_, '_>) -> Ret {
    let [_, kind, header, len, _] = call.args;
    let header = call.mem(header, len)?.to_vec();
    match kind as u32 {
        BPF_LWT_ENCAP_SEG6 if seg6::is_valid(&header, false) => {
            Err(call.not_modelled("the route it needs, which no test run gives a packet"))
        }
        BPF_LWT_ENCAP_SEG6_INLINE => call.insert_srh(&header),
        BPF_LWT_ENCAP_IP => {
            let (skb, mem) = call.skb();
            push_ip(skb, mem, &header, true)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

fn push_encap_xmit(call: &mut Call<'_, '_>) -> Ret {
    let [_, kind, header, len, _] = call.args;
    let header = call.mem(header, len)?.to_vec();
    if kind as u32 != BPF_LWT_ENCAP_IP {
        return Err(Errno::EINVAL.into());
    }
    let (skb, mem) = call.skb();
    push_ip(skb, mem, &header, false)?;
    Ok(0)
}

impl Call<'_, '_> {
    /// A fault: the program does `what`, of which nothing is known here.
    pub(super) fn not_modelled(&self, what: &str) -> Failure {
        let what = format!("bpf_{}: {what} is not modelled", self.name);
        Failure::Fault(FaultKind::Instruction(what))
    }

    /// `bpf_push_seg6_encap` of `BPF_LWT_ENCAP_SEG6_INLINE`.
    pub(super) fn insert_srh(&mut self, srh: &[u8]) -> Ret {
        if !seg6::is_valid(srh, false) {
            return Err(Errno::EINVAL.into());
        }
        let (skb, mem) = self.skb();
        if skb.protocol != eth_p::IPV6 {
            return Err(Errno::EBADMSG.into());
        }
        seg6::insert(skb, mem, srh)?;
        skb.transport_header = (skb.linear.data() + seg6::IPV6HDR) as u16;
        self.next_hop(None, 0)
    }

    /// `seg6_lookup_nexthop`.
    pub(super) fn next_hop(&mut self, to: Option<std::net::Ipv6Addr>, table: u32) -> Ret {
        let crate::net::run::Packet::Skb(skb) = &mut self.run.packet else {
            unreachable!("the row is for skbs");
        };
        match seg6::next_hop(skb, &self.machine.mem, self.run.env, to, table) {
            NextHop::Found => Ok(0),
            NextHop::Useless(errno) => Err(errno.into()),
            NextHop::OfOneLink => Err(self.not_modelled("the route to an address of one link")),
        }
    }
}

/// `net/core/lwt_bpf.c: bpf_lwt_push_ip_encap`, v6.12.
fn push_ip(skb: &mut SkBuff, mem: &mut Memory, header: &[u8], ingress: bool) -> Result<(), Errno> {
    if !(20..=LWT_BPF_MAX_HEADROOM).contains(&header.len()) {
        return Err(Errno::EINVAL);
    }
    let (ipv4, ip_len, protocol) = match header[0] >> 4 {
        4 => (true, usize::from(header[0] & 0xf) * 4, header[9]),
        6 => (false, 40, header[6]),
        _ => return Err(Errno::EINVAL),
    };
    let is_udp = protocol == 17;
    if header.len() < ip_len || is_udp && header.len() < ip_len + 8 {
        return Err(Errno::EINVAL);
    }
    let len = header.len() as u32;
    skb.cow(mem, len + if ingress { skb.mac_len.into() } else { LOOPBACK_HEADROOM });
    skb.inner_network_header = skb.network_header;
    skb.inner_transport_header = skb.transport_header.into();
    skb.inner_mac_header = skb.linear.data();
    skb.inner_protocol = skb.protocol;
    skb.encapsulation = true;
    skb.push(mem, len);
    skb.linear.bytes_mut(mem)[..header.len()].copy_from_slice(header);
    if ingress {
        skb.postpush_rcsum(mem, 0, len, 0);
    }
    skb.reset_network_header();
    if is_udp {
        skb.transport_header = (skb.linear.data() as usize + ip_len) as u16;
    }
    skb.clear_hash();
    if ipv4 && header[10..12] == [0, 0] {
        let sum = ip_fast_csum(&skb.linear.bytes(mem)[..ip_len.max(20)], ip_len);
        skb.linear.bytes_mut(mem)[10..12].copy_from_slice(&sum.to_le_bytes());
    }
    skb.protocol = if ipv4 { eth_p::IP } else { eth_p::IPV6 };
    if skb.is_gso() { encap_gso(skb, mem, ipv4, header.len()) } else { Ok(()) }
}

/// `arch/x86/include/asm/checksum_64.h: ip_fast_csum`, v6.12: of fewer than five words it is the first one's low half.
fn ip_fast_csum(header: &[u8], len: usize) -> u16 {
    let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"));
    if len < 20 {
        return word(0) as u16;
    }
    crate::net::csum::fold(crate::net::csum::partial(&header[..len], 0))
}

/// `net/core/lwt_bpf.c: handle_gso_encap`, v6.12.
fn encap_gso(skb: &mut SkBuff, mem: &Memory, ipv4: bool, len: usize) -> Result<(), Errno> {
    if skb.gso_type & (gso_type::TCPV4 | gso_type::TCPV6) == 0 {
        return Err(Errno::ENOTSUPP);
    }
    let bytes = skb.linear.bytes(mem);
    let (protocol, next) = if ipv4 { (bytes[9], 20) } else { (bytes[6], 40) };
    let kind = match protocol {
        47 | 17 if next + if protocol == 47 { 4 } else { 8 } > len => return Err(Errno::EINVAL),
        47 if bytes[next] & GRE_CSUM != 0 => gso_type::GRE_CSUM,
        47 => gso_type::GRE,
        17 if bytes[next + 6..next + 8] != [0, 0] => gso_type::UDP_TUNNEL_CSUM,
        17 => gso_type::UDP_TUNNEL,
        0 | 41 if ipv4 => gso_type::IPXIP4,
        0 | 41 => gso_type::IPXIP6,
        _ => return Err(Errno::EPROTONOSUPPORT),
    };
    skb.gso_type |= kind | gso_type::DODGY;
    skb.gso_size = skb.gso_size.wrapping_sub(len as u16);
    skb.gso_segs = 0;
    Ok(())
}
