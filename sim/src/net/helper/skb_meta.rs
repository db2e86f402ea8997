//! What the kernel knows of an skb besides its bytes: type, time, route, control groups, congestion.

use super::{Arg, Call, Helper, LWT, Ret, TC};
use crate::bpf::Memory;
use crate::net::csum;
use crate::net::skb::{IpSummed, SkBuff, eth_p, pkt_type};
use crate::uapi::ProgType::CgroupSkb;
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes};

const WITH_CGROUP: ProgTypes = TC.or(ProgTypes::of(&[CgroupSkb]));

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::skb_change_type, TC, &[Arg::Ctx, Arg::Any], change_type, "net/core/filter.c: bpf_skb_change_type"),
    Helper::new(id::skb_set_tstamp, TC, &[Arg::Ctx, Arg::Any, Arg::Any], set_tstamp,
        "net/core/filter.c: bpf_skb_set_tstamp"),
    Helper::new(id::get_route_realm, TC.or(LWT), &[Arg::Ctx], nothing, "net/core/filter.c: bpf_get_route_realm"),
    Helper::new(id::get_cgroup_classid, TC.or(LWT), &[Arg::Ctx], nothing, "net/core/filter.c: bpf_get_cgroup_classid"),
    Helper::new(id::skb_cgroup_classid, TC, &[Arg::Ctx], nothing, "net/core/filter.c: bpf_skb_cgroup_classid"),
    Helper::new(id::skb_cgroup_id, WITH_CGROUP, &[Arg::Ctx], cgroup_id, "net/core/filter.c: bpf_skb_cgroup_id"),
    Helper::new(id::skb_ancestor_cgroup_id, WITH_CGROUP, &[Arg::Ctx, Arg::Any], ancestor_cgroup_id,
        "net/core/filter.c: bpf_skb_ancestor_cgroup_id"),
    Helper::new(id::skb_ecn_set_ce, WITH_CGROUP, &[Arg::Ctx], ecn_set_ce, "net/core/filter.c: bpf_skb_ecn_set_ce"),
];

/// The id of the root control group, which whoever runs a test run is in.
const ROOT_CGROUP: u64 = 1;

fn change_type(call: &mut Call<'_, '_>) -> Ret {
    let new = call.args[1] as u32;
    let (skb, _) = call.skb();
    if skb.pkt_type > pkt_type::OTHERHOST || new > u32::from(pkt_type::OTHERHOST) {
        return Err(Errno::EINVAL.into());
    }
    skb.pkt_type = new as u8;
    Ok(0)
}

fn set_tstamp(call: &mut Call<'_, '_>) -> Ret {
    let (tstamp, kind) = (call.args[1], call.args[2] as u32);
    let tai = call.machine.release.set_tstamp_tai();
    let (skb, _) = call.skb();
    if !matches!(skb.protocol, eth_p::IP | eth_p::IPV6) {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let refused = match kind {
        0 => !tai && tstamp != 0,
        1 => tstamp == 0,
        2 => !tai || tstamp == 0,
        _ => true,
    };
    if refused {
        return Err(Errno::EINVAL.into());
    }
    (skb.tstamp, skb.tstamp_type) = (tstamp, kind as u8);
    Ok(0)
}

/// No route has a realm here, no task and no socket a class.
fn nothing(_: &mut Call<'_, '_>) -> Ret {
    Ok(0)
}

fn cgroup_id(call: &mut Call<'_, '_>) -> Ret {
    let (skb, _) = call.skb();
    Ok(if skb.sk.is_some() { ROOT_CGROUP } else { 0 })
}

fn ancestor_cgroup_id(call: &mut Call<'_, '_>) -> Ret {
    let level = call.args[1] as i32;
    let (skb, _) = call.skb();
    Ok(if skb.sk.is_some() && level == 0 { ROOT_CGROUP } else { 0 })
}

/// The two ECN bits, all set: congestion experienced.
const INET_ECN_CE: u8 = 3;

fn ecn_set_ce(call: &mut Call<'_, '_>) -> Ret {
    let (skb, mem) = call.skb();
    let header_len = match vlan_get_protocol(skb, mem) {
        Some(eth_p::IP) => 20,
        Some(eth_p::IPV6) => 40,
        _ => return Ok(0),
    };
    let at = skb.network_offset();
    if skb.headlen() < header_len || at + header_len as i32 > skb.headlen() as i32 {
        return Ok(0);
    }
    let header = mem.raw_mut(skb.linear.data_addr().wrapping_add_signed(at.into()), header_len as usize);
    Ok(u64::from(if header_len == 20 { ip_ecn_set_ce(header) } else { ip6_ecn_set_ce(skb, header) }))
}

/// `include/net/inet_ecn.h: IP_ECN_set_ce`, v6.12.
fn ip_ecn_set_ce(header: &mut [u8]) -> bool {
    let ecn = (header[1].wrapping_add(1)) & INET_ECN_CE;
    if ecn & 2 == 0 {
        return ecn == 0;
    }
    // The checksum changes by what the field does: ECT(1) by 2, ECT(0) by 1.
    let add = (0xfffb_u16.wrapping_add(ecn.into())).to_be();
    let (sum, carry) = u16::from_le_bytes([header[10], header[11]]).overflowing_add(add);
    header[10..12].copy_from_slice(&(sum + u16::from(carry)).to_le_bytes());
    header[1] |= INET_ECN_CE;
    true
}

/// `include/net/inet_ecn.h: IP6_ECN_set_ce`, v6.12.
fn ip6_ecn_set_ce(skb: &mut SkBuff, header: &mut [u8]) -> bool {
    let from = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
    if from >> 20 & u32::from(INET_ECN_CE) == 0 {
        return false;
    }
    let to = from | u32::from(INET_ECN_CE) << 20;
    header[..4].copy_from_slice(&to.to_be_bytes());
    if skb.ip_summed == IpSummed::Complete {
        skb.csum = csum::add(csum::sub(skb.csum, from.to_be()), to.to_be());
    }
    true
}

/// `include/linux/if_vlan.h: __vlan_get_protocol`, v6.12: the EtherType behind every tag; `None` where tags do not end.
fn vlan_get_protocol(skb: &SkBuff, mem: &Memory) -> Option<u16> {
    const VLAN_MAX_DEPTH: u32 = 8;
    let mut proto = skb.protocol;
    let mut at = match skb.mac_len {
        0 => 14,
        len => i32::from(len) - 4,
    };
    let mut left = VLAN_MAX_DEPTH;
    while matches!(proto, eth_p::VLAN_8021Q | eth_p::VLAN_8021AD) {
        let mut tag = [0; 4];
        left -= 1;
        if left == 0 || !skb.copy_bits(mem, at, &mut tag) {
            return None;
        }
        proto = u16::from_be_bytes([tag[2], tag[3]]);
        at += 4;
    }
    Some(proto)
}
