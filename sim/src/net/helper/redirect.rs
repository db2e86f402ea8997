//! Redirecting. BPF_PROG_TEST_RUN looks at the return value only: a redirect goes nowhere, except for
//! `bpf_clone_redirect`, whose copy really leaves. In a topology, floor 4 looks at [`Redirect`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Arg, Call, Helper, Ret, TC};
use crate::net::redirect::{CloneSent, Nexthop, Parked, Redirect};
use crate::net::sock::{AF_INET, AF_INET6};
use crate::uapi::ProgType::{LwtXmit, Xdp};
use crate::uapi::action::{tc, xdp};
use crate::uapi::helper::id;
use crate::uapi::{Errno, MapType, ProgTypes};

const SENDERS: ProgTypes = TC.or(ProgTypes::of(&[LwtXmit]));

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::redirect, SENDERS, &[Arg::Any, Arg::Any], redirect, "net/core/filter.c: bpf_redirect"),
    Helper::new(id::redirect, ProgTypes::of(&[Xdp]), &[Arg::Any, Arg::Any], xdp_redirect,
        "net/core/filter.c: bpf_xdp_redirect"),
    Helper::new(id::redirect_peer, TC, &[Arg::Any, Arg::Any], redirect_peer, "net/core/filter.c: bpf_redirect_peer"),
    Helper::new(id::redirect_neigh, TC, &[Arg::Any, Arg::MemOrNull, Arg::SizeOrZero, Arg::Any], redirect_neigh,
        "net/core/filter.c: bpf_redirect_neigh"),
    Helper::new(id::clone_redirect, SENDERS, &[Arg::Ctx, Arg::Any, Arg::Any], clone_redirect,
        "net/core/filter.c: bpf_clone_redirect").moving(),
    Helper::new(id::redirect_map, ProgTypes::of(&[Xdp]), &[REDIRECT_MAPS, Arg::Any, Arg::Any], redirect_map,
        "net/core/filter.c: bpf_xdp_redirect_map"),
];

const REDIRECT_MAPS: Arg =
    Arg::Map(&[MapType::Devmap, MapType::DevmapHash, MapType::Cpumap, MapType::Xskmap]);

const BPF_F_INGRESS: u64 = 1;
/// `BPF_F_BROADCAST`.
const BPF_F_BROADCAST: u64 = 1 << 3;
/// `BPF_F_EXCLUDE_INGRESS`.
const BPF_F_EXCLUDE_INGRESS: u64 = 1 << 4;
/// `sizeof(struct bpf_redir_neigh)`.
const REDIR_NEIGH: u64 = 20;
/// `NET_RX_DROP`.
const NET_RX_DROP: u64 = 1;
/// `NET_XMIT_DROP`, what a veth device answers whose peer does not take a frame so long.
const NET_XMIT_DROP: u64 = 1;
/// `NET_XMIT_CN`, what the no-op queueing discipline of a device that is down answers.
const NET_XMIT_CN: u64 = 2;

/// What a tc program is to return.
fn tc_verdict(ok: bool) -> Ret {
    Ok(if ok { tc::REDIRECT } else { tc::SHOT } as u64)
}

fn redirect(call: &mut Call<'_, '_>) -> Ret {
    let [_, flags, ..] = call.args;
    let ok = flags & !BPF_F_INGRESS == 0;
    if ok {
        call.run.env.redirect =
            Redirect::Device { ifindex: call.args[0] as u32, ingress: flags & BPF_F_INGRESS != 0 };
    }
    tc_verdict(ok)
}

fn xdp_redirect(call: &mut Call<'_, '_>) -> Ret {
    if call.args[1] == 0 {
        call.run.env.redirect = Redirect::Device { ifindex: call.args[0] as u32, ingress: false };
    }
    Ok(if call.args[1] == 0 { xdp::REDIRECT } else { xdp::ABORTED }.into())
}

/// `include/linux/filter.h: __bpf_xdp_redirect_map`, v6.12: the low two bits of the flags are what a miss returns.
fn redirect_map(call: &mut Call<'_, '_>) -> Ret {
    let [_, index, flags, ..] = call.args;
    let on_miss = xdp::ABORTED | xdp::DROP | xdp::PASS | xdp::TX;
    let id = call.map_id(1);
    let allowed = match call.machine.maps.spec(id).map_type {
        MapType::Cpumap | MapType::Xskmap => 0,
        _ => BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS,
    };
    if flags & !(u64::from(on_miss) | allowed) != 0 {
        return Ok(xdp::ABORTED.into());
    }
    let found = call.machine.maps.map(id).has_target(index as u32);
    if found || flags & BPF_F_BROADCAST != 0 {
        let flags = flags & (BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS);
        call.run.env.redirect = Redirect::Map { map: id, index: index as u32, flags };
    }
    Ok(if found || flags & BPF_F_BROADCAST != 0 { xdp::REDIRECT.into() } else { flags & u64::from(on_miss) })
}

fn redirect_peer(call: &mut Call<'_, '_>) -> Ret {
    let ok = call.args[1] == 0;
    if ok {
        call.run.env.redirect = Redirect::Peer { ifindex: call.args[0] as u32 };
    }
    tc_verdict(ok)
}

fn redirect_neigh(call: &mut Call<'_, '_>) -> Ret {
    let [ifindex, params, len, flags, _] = call.args;
    let ok = (len == 0 || len >= REDIR_NEIGH) && flags == 0;
    if ok {
        let nexthop = if len == 0 { Nexthop::Routed } else { nexthop(call.mem(params, REDIR_NEIGH)?) };
        call.run.env.redirect = Redirect::Neigh { ifindex: ifindex as u32, nexthop };
    }
    tc_verdict(ok)
}

/// `struct bpf_redir_neigh`: a family and an address of it.
fn nexthop(params: &[u8]) -> Nexthop {
    let family = u32::from_le_bytes(params[..4].try_into().expect("4 bytes"));
    let octets: [u8; 16] = params[4..20].try_into().expect("16 bytes");
    match u16::try_from(family) {
        Ok(AF_INET) => Nexthop::Given(IpAddr::V4(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]))),
        Ok(AF_INET6) => Nexthop::Given(IpAddr::V6(Ipv6Addr::from(octets))),
        _ => Nexthop::Unknown,
    }
}

fn clone_redirect(call: &mut Call<'_, '_>) -> Ret {
    let [_, ifindex, flags, ..] = call.args;
    let dev = call.run.env.device(ifindex as u32).map(|dev| (dev.up, dev.carrier, dev.takes));
    let (skb, mem) = call.skb();
    if flags & !BPF_F_INGRESS != 0 {
        return Err(Errno::EINVAL.into());
    }
    if skb.is_gso() && skb.gso_type == 0 {
        return Err(Errno::EBADMSG.into());
    }
    let (up, carrier, takes) = dev.ok_or(Errno::EINVAL)?;
    // `__bpf_redirect_common`: there has to be a MAC header.
    if skb.mac_header.is_none_or(|mac| mac >= skb.network_header) || skb.is_empty() {
        return Err(Errno::ERANGE.into());
    }
    let (len, copy) = (skb.len(), skb.clone());
    let ingress = flags & BPF_F_INGRESS != 0;
    let packet = Parked::park(copy, mem);
    if let Some(clones) = &mut call.run.env.clones {
        clones.push(CloneSent { packet, ifindex: ifindex as u32, ingress });
    }
    Ok(match (up && (ingress || carrier), ingress) {
        (true, false) if takes.is_some_and(|takes| len > takes) => NET_XMIT_DROP,
        (true, _) => 0,
        (false, true) => NET_RX_DROP,
        (false, false) => NET_XMIT_CN,
    })
}
