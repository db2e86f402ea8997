//! `bpf_skb_adjust_room`: room for headers, or less of it.

use super::skb_geometry::{IPHDR, IPV6HDR};
use super::{Arg, Call, Helper, Ret, TC};
use crate::bpf::Memory;
use crate::net::skb::{ETH_HLEN, SKB_MAX_ALLOC, SkBuff, eth_p, gso_type};
use crate::uapi::ProgType::SkSkb;
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes, Release};

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::skb_adjust_room, TC, &[Arg::Ctx, Arg::Any, Arg::Any, Arg::Any], adjust_room,
        "net/core/filter.c: bpf_skb_adjust_room").moving(),
    Helper::new(id::skb_adjust_room, ProgTypes::of(&[SkSkb]), &[Arg::Ctx, Arg::Any, Arg::Any, Arg::Any], stream_room,
        "net/core/filter.c: sk_skb_adjust_room").moving(),
];

const BPF_ADJ_ROOM_NET: u32 = 0;
const BPF_ADJ_ROOM_MAC: u32 = 1;

const FIXED_GSO: u64 = 1 << 0;
const ENCAP_L3_IPV4: u64 = 1 << 1;
const ENCAP_L3_IPV6: u64 = 1 << 2;
const ENCAP_L4_GRE: u64 = 1 << 3;
const ENCAP_L4_UDP: u64 = 1 << 4;
const NO_CSUM_RESET: u64 = 1 << 5;
const ENCAP_L2_ETH: u64 = 1 << 6;
const DECAP_L3_IPV4: u64 = 1 << 7;
const DECAP_L3_IPV6: u64 = 1 << 8;
const ENCAP_L2_SHIFT: u32 = 56;
const ENCAP_L2_MASK: u64 = 0xff << ENCAP_L2_SHIFT;
const ENCAP_L3: u64 = ENCAP_L3_IPV4 | ENCAP_L3_IPV6;
const DECAP_L3: u64 = DECAP_L3_IPV4 | DECAP_L3_IPV6;

/// `BPF_F_ADJ_ROOM_MASK | BPF_F_ADJ_ROOM_NO_CSUM_RESET`.
const fn known(release: Release) -> u64 {
    let decap = if release.adjust_room_decap_l3() { DECAP_L3 } else { 0 };
    FIXED_GSO | ENCAP_L3 | ENCAP_L4_GRE | ENCAP_L4_UDP | NO_CSUM_RESET | ENCAP_L2_ETH | ENCAP_L2_MASK | decap
}

fn adjust_room(call: &mut Call<'_, '_>) -> Ret {
    let (diff, mode, flags) = (call.args[1] as i32, call.args[2] as u32, call.args[3]);
    let release = call.machine.release;
    let (skb, mem) = call.skb();
    let (len, shrink) = (diff.unsigned_abs(), diff < 0);
    if flags & !known(release) != 0 {
        return Err(Errno::EINVAL.into());
    }
    if len > 0xfff {
        return Err(Errno::EFAULT.into());
    }
    let base = match skb.protocol {
        eth_p::IP => IPHDR,
        eth_p::IPV6 => IPV6HDR,
        _ => return Err(Errno::ENOTSUPP.into()),
    };
    let at = match mode {
        BPF_ADJ_ROOM_NET => skb.mac_header_len() + base,
        BPF_ADJ_ROOM_MAC => skb.mac_header_len(),
        _ => return Err(Errno::ENOTSUPP.into()),
    };
    let min = match flags & DECAP_L3 {
        0 => base,
        DECAP_L3_IPV4 if shrink => IPHDR,
        DECAP_L3_IPV6 if shrink => IPV6HDR,
        _ => return Err(Errno::EINVAL.into()),
    };
    let current = (skb.len() as i32 - skb.network_offset()) as u32;
    let refused = if shrink {
        len >= current || current - len < min
    } else {
        skb.len() + len > SKB_MAX_ALLOC && !skb.is_gso()
    };
    if refused {
        return Err(Errno::ENOTSUPP.into());
    }
    if shrink {
        net_shrink(skb, mem, at, len, flags)?;
    } else {
        net_grow(skb, mem, at, len, flags)?;
    }
    if flags & NO_CSUM_RESET == 0 {
        skb.reset_checksum_unnecessary();
    }
    Ok(0)
}

/// In front of a stream's bytes, whatever their protocol.
fn stream_room(call: &mut Call<'_, '_>) -> Ret {
    let (diff, mode, flags) = (call.args[1] as i32, call.args[2] as u32, call.args[3]);
    let (skb, mem) = call.skb();
    let len = diff.unsigned_abs();
    if flags != 0 || mode != 0 {
        return Err(Errno::EINVAL.into());
    }
    if len > 0xfff {
        return Err(Errno::EFAULT.into());
    }
    if diff >= 0 {
        skb.push(mem, len);
        skb.linear.bytes_mut(mem)[..len as usize].fill(0);
    } else {
        if !skb.may_pull(mem, len) {
            return Err(Errno::ENOMEM.into());
        }
        skb.pull(len);
    }
    Ok(0)
}

/// UDP segments are told apart by their size, so it has to stay fixed.
fn gso_allows(skb: &SkBuff, flags: u64) -> Result<(), Errno> {
    let tcp = skb.gso_type & (gso_type::TCPV4 | gso_type::TCPV6) != 0;
    let fixed_udp = skb.gso_type & gso_type::UDP_L4 != 0 && flags & FIXED_GSO != 0;
    if skb.is_gso() && !tcp && !fixed_udp { Err(Errno::ENOTSUPP) } else { Ok(()) }
}

/// `net/core/filter.c: bpf_skb_net_grow`, v6.12.
fn net_grow(skb: &mut SkBuff, mem: &mut Memory, at: u32, len: u32, flags: u64) -> Result<(), Errno> {
    let has = |flag| flags & flag != 0;
    let inner_mac_len = (flags >> ENCAP_L2_SHIFT) as u32;
    gso_allows(skb, flags)?;
    skb.cow(mem, len);
    let encap = has(ENCAP_L3);
    if encap {
        if has(ENCAP_L3_IPV4) && has(ENCAP_L3_IPV6)
            || has(ENCAP_L4_GRE) && has(ENCAP_L4_UDP)
            || has(ENCAP_L2_ETH) && inner_mac_len < ETH_HLEN
        {
            return Err(Errno::EINVAL);
        }
        if skb.encapsulation {
            return Err(Errno::EALREADY);
        }
        if inner_mac_len > len {
            return Err(Errno::EINVAL);
        }
    }
    let mac_len = skb.mac_header_len();
    let (inner_net, inner_trans) = (skb.network_header, skb.transport_header);
    skb.net_hdr_push(mem, at, len);
    let mut gso = gso_type::DODGY;
    if encap {
        skb.inner_mac_header = inner_net - inner_mac_len;
        skb.inner_network_header = inner_net;
        skb.inner_transport_header = inner_trans.into();
        skb.inner_protocol = if has(ENCAP_L2_ETH) { eth_p::TEB } else { skb.protocol };
        skb.encapsulation = true;
        skb.network_header = skb.linear.data() + mac_len;
        gso |= if has(ENCAP_L4_UDP) {
            gso_type::UDP_TUNNEL
        } else if has(ENCAP_L4_GRE) {
            gso_type::GRE
        } else if has(ENCAP_L3_IPV6) {
            gso_type::IPXIP6
        } else {
            gso_type::IPXIP4
        };
        if has(ENCAP_L4_GRE) || has(ENCAP_L4_UDP) {
            let header = if has(ENCAP_L3_IPV6) { IPV6HDR } else { IPHDR };
            skb.transport_header = (skb.linear.data() + mac_len + header) as u16;
        }
        match skb.protocol {
            eth_p::IP if has(ENCAP_L3_IPV6) => skb.change_protocol(eth_p::IPV6),
            eth_p::IPV6 if has(ENCAP_L3_IPV4) => skb.change_protocol(eth_p::IP),
            _ => {}
        }
    }
    if skb.is_gso() {
        skb.gso_type |= gso;
        skb.gso_segs = 0;
        if !has(FIXED_GSO) {
            skb.gso_size = skb.gso_size.wrapping_sub(len as u16);
        }
    }
    Ok(())
}

/// `net/core/filter.c: bpf_skb_net_shrink`, v6.12.
fn net_shrink(skb: &mut SkBuff, mem: &mut Memory, at: u32, len: u32, flags: u64) -> Result<(), Errno> {
    if flags & !(FIXED_GSO | DECAP_L3 | NO_CSUM_RESET) != 0 {
        return Err(Errno::EINVAL);
    }
    gso_allows(skb, flags)?;
    skb.net_hdr_pop(mem, at, len)?;
    match skb.protocol {
        eth_p::IP if flags & DECAP_L3_IPV6 != 0 => skb.change_protocol(eth_p::IPV6),
        eth_p::IPV6 if flags & DECAP_L3_IPV4 != 0 => skb.change_protocol(eth_p::IP),
        _ => {}
    }
    if skb.is_gso() {
        if flags & FIXED_GSO == 0 {
            skb.gso_size = skb.gso_size.wrapping_add(len as u16);
        }
        skb.gso_type |= gso_type::DODGY;
        skb.gso_segs = 0;
    }
    Ok(())
}
