//! Sockets: the one of the packet, those out of maps, and looking others up. In the namespace of a test run there are none
//! to find.

use super::{Arg, BASE, Call, Failure, Helper, Ret, TC};
use crate::bpf::mem::ObjectKind;
use crate::bpf::{Access, FaultKind};
use crate::net::held::Kind;
use crate::net::run::Packet;
use crate::net::sock::{AF_INET6, AF_UNIX};
use crate::net::sockets::{Known, TCP_LISTEN};
use crate::uapi::ProgType::{
    CgroupSkb, CgroupSockAddr, CgroupSockopt, SkLookup, SkSkb, SockOps, SocketFilter, Xdp,
};
use crate::uapi::ctx::sock_ops;
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes};

const WITH_CGROUP: ProgTypes = TC.or(ProgTypes::of(&[CgroupSkb]));
const COOKIE: ProgTypes = WITH_CGROUP.or(ProgTypes::of(&[SocketFilter, SkSkb]));
const LOOKUP: ProgTypes = WITH_CGROUP.or(ProgTypes::of(&[Xdp, SkSkb]));
const TCP_SOCK: ProgTypes = WITH_CGROUP.or(ProgTypes::of(&[SockOps, CgroupSockopt]));
/// The same lookups, with another idea of which namespace and device the context means.
const LOOKUP_OF_ADDRESS: ProgTypes = ProgTypes::of(&[CgroupSockAddr]);

/// `TCP_ESTABLISHED`.
const TCP_ESTABLISHED: u32 = 1;
/// `IPPROTO_TCP`.
const IPPROTO_TCP: u16 = 6;
/// `IPPROTO_UDP`.
const IPPROTO_UDP: u16 = 17;
/// `BPF_SK_LOOKUP_F_REPLACE`.
const BPF_SK_LOOKUP_F_REPLACE: u64 = 1;
/// `BPF_SK_LOOKUP_F_NO_REUSEPORT`.
const BPF_SK_LOOKUP_F_NO_REUSEPORT: u64 = 2;
/// `sizeof(struct bpf_tcp_sock)`.
const BPF_TCP_SOCK: u32 = 112;

const FIND: &[Arg] = &[Arg::Ctx, Arg::Mem, Arg::SizeOrZero, Arg::Any, Arg::Any];

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::get_socket_cookie, COOKIE, &[Arg::Ctx], cookie, "net/core/filter.c: bpf_get_socket_cookie"),
    Helper::new(id::get_socket_uid, COOKIE, &[Arg::Ctx], uid, "net/core/filter.c: bpf_get_socket_uid"),
    Helper::new(id::sk_fullsock, WITH_CGROUP, &[Arg::Sock], fullsock, "net/core/filter.c: bpf_sk_fullsock"),
    Helper::new(id::tcp_sock, TCP_SOCK, &[Arg::Sock], tcp_sock, "net/core/filter.c: bpf_tcp_sock"),
    Helper::new(id::get_listener_sock, WITH_CGROUP, &[Arg::Sock], listener, "net/core/filter.c: bpf_get_listener_sock"),
    Helper::new(id::sk_lookup_tcp, LOOKUP, FIND, find_tcp, "net/core/filter.c: bpf_sk_lookup_tcp"),
    Helper::new(id::sk_lookup_udp, LOOKUP, FIND, find_udp, "net/core/filter.c: bpf_sk_lookup_udp"),
    Helper::new(id::skc_lookup_tcp, LOOKUP, FIND, find_tcp, "net/core/filter.c: bpf_skc_lookup_tcp"),
    Helper::new(id::sk_lookup_tcp, LOOKUP_OF_ADDRESS, FIND, find_tcp, "net/core/filter.c: bpf_sock_addr_sk_lookup_tcp"),
    Helper::new(id::sk_lookup_udp, LOOKUP_OF_ADDRESS, FIND, find_udp, "net/core/filter.c: bpf_sock_addr_sk_lookup_udp"),
    Helper::new(id::skc_lookup_tcp, LOOKUP_OF_ADDRESS, FIND, find_tcp, "net/core/filter.c: bpf_sock_addr_skc_lookup_tcp"),
    Helper::new(id::sk_release, LOOKUP.or(ProgTypes::of(&[SkLookup, CgroupSockAddr])), &[Arg::Sock], release,
        "net/core/filter.c: bpf_sk_release"),
    Helper::new(id::sk_assign, TC, &[Arg::Ctx, Arg::Any, Arg::Any], assign, "net/core/filter.c: bpf_sk_assign"),
    Helper::new(id::sk_assign, ProgTypes::of(&[SkLookup]), &[Arg::Ctx, Arg::SockOrNull, Arg::Any], lookup_assign,
        "net/core/filter.c: bpf_sk_lookup_assign"),
    Helper::new(id::skc_to_tcp6_sock, BASE, &[Arg::Sock], |call| cast(call, "struct tcp6_sock", |sk|
        sk.full && sk.socket.protocol == IPPROTO_TCP && sk.socket.family == AF_INET6),
        "net/core/filter.c: bpf_skc_to_tcp6_sock"),
    Helper::new(id::skc_to_tcp_sock, BASE, &[Arg::Sock], |call| cast(call, "struct tcp_sock", |sk|
        sk.full && sk.socket.protocol == IPPROTO_TCP), "net/core/filter.c: bpf_skc_to_tcp_sock"),
    Helper::new(id::skc_to_tcp_timewait_sock, BASE, &[Arg::Sock], mini,
        "net/core/filter.c: bpf_skc_to_tcp_timewait_sock"),
    Helper::new(id::skc_to_tcp_request_sock, BASE, &[Arg::Sock], mini,
        "net/core/filter.c: bpf_skc_to_tcp_request_sock"),
    Helper::new(id::skc_to_udp6_sock, BASE, &[Arg::Sock], |call| cast(call, "struct udp6_sock", |sk|
        sk.full && sk.socket.is_udp() && sk.socket.family == AF_INET6), "net/core/filter.c: bpf_skc_to_udp6_sock"),
    Helper::new(id::skc_to_unix_sock, BASE, &[Arg::Sock], |call| cast(call, "struct unix_sock", |sk|
        sk.full && sk.socket.family == AF_UNIX), "net/core/filter.c: bpf_skc_to_unix_sock"),
    // No socket here belongs to a connection of several paths.
    Helper::new(id::skc_to_mptcp_sock, BASE, &[Arg::Sock], none, "net/core/filter.c: bpf_skc_to_mptcp_sock"),
];

fn cookie(call: &mut Call<'_, '_>) -> Ret {
    Ok(call.skb().0.sk.as_ref().map_or(0, |sk| sk.cookie))
}

/// The user of a test run's socket is root; of none, `overflowuid`.
fn uid(call: &mut Call<'_, '_>) -> Ret {
    const OVERFLOW_UID: u64 = 65534;
    Ok(if call.skb().0.sk.is_some() { 0 } else { OVERFLOW_UID })
}

/// The pointer that went in, if its socket is so; otherwise NULL.
fn if_so(call: &Call<'_, '_>, so: impl Fn(&Known) -> bool) -> Ret {
    Ok(if so(&call.sock(1)?) { call.args[0] } else { 0 })
}

fn fullsock(call: &mut Call<'_, '_>) -> Ret {
    if_so(call, |sk| sk.full)
}

fn listener(call: &mut Call<'_, '_>) -> Ret {
    if_so(call, |sk| sk.socket.state == TCP_LISTEN && !sk.is_refcounted())
}

/// No socket is found where none could be.
fn find(call: &Call<'_, '_>, protocol: u16) -> Ret {
    if call.run.env.sockets.any_hashed(protocol) {
        let what = format!("bpf_{} among sockets that are bound is not modelled", call.name);
        return Err(Failure::Fault(FaultKind::Instruction(what)));
    }
    Ok(0)
}

fn find_tcp(call: &mut Call<'_, '_>) -> Ret {
    find(call, IPPROTO_TCP)
}

fn find_udp(call: &mut Call<'_, '_>) -> Ret {
    find(call, IPPROTO_UDP)
}

/// No such socket is here.
fn none(_: &mut Call<'_, '_>) -> Ret {
    Ok(0)
}

/// The same socket as a structure of the kernel, whose bytes nobody can read here.
fn cast(call: &mut Call<'_, '_>, what: &'static str, so: impl Fn(&Known) -> bool) -> Ret {
    let known = call.sock(1)?;
    if so(&known) { view(call, known, what, &[]) } else { Ok(0) }
}

/// Time-wait and request sockets are none of those a program meets here; but one that is not a full one may be either.
fn mini(call: &mut Call<'_, '_>) -> Ret {
    if call.sock(1)?.full {
        return Ok(0);
    }
    let what = format!("bpf_{} of a socket that is not a full one is not modelled", call.name);
    Err(Failure::Fault(FaultKind::Instruction(what)))
}

/// A pointer to `bytes` of the socket, the same one every time.
fn view(call: &mut Call<'_, '_>, known: Known, what: &'static str, bytes: &[u8]) -> Ret {
    let views = &call.run.views;
    if let Some((addr, _)) = views.get(&(known.socket.cookie, what)) {
        return Ok(*addr);
    }
    let mem = &mut call.machine.mem;
    let addr = mem.alloc(ObjectKind::Helper(what), Access::Read, bytes.len() as u32).ok_or(Errno::ENOMEM)?;
    mem.raw_mut(addr, bytes.len()).copy_from_slice(bytes);
    call.run.views.insert((known.socket.cookie, what), (addr, known));
    Ok(addr)
}

/// What a sock_ops context tells of its socket is what `struct bpf_tcp_sock` does.
fn tcp_sock(call: &mut Call<'_, '_>) -> Ret {
    let known = call.sock(1)?;
    if !known.full || known.socket.protocol != IPPROTO_TCP {
        return Ok(0);
    }
    let Packet::Given(given) = &call.run.packet else { return Err(not_told(call)) };
    if given.prog_type != SockOps || given.sk != Some(known.socket.guest) {
        return Err(not_told(call));
    }
    let mut bytes = [0; BPF_TCP_SOCK as usize];
    for (to, from) in sock_ops::TCP_SOCK {
        bytes[to..to + 4].copy_from_slice(&given.bytes[from..from + 4]);
    }
    view(call, known, "struct bpf_tcp_sock", &bytes)
}

fn not_told(call: &Call<'_, '_>) -> Failure {
    let what =
        format!("bpf_{} of a TCP socket of which the context tells nothing is not modelled", call.name);
    Failure::Fault(FaultKind::Instruction(what))
}

/// Only what a lookup found may be released.
fn release(call: &mut Call<'_, '_>) -> Ret {
    let sk = call.args[0];
    if !call.run.held.release(Kind::Sock, sk) {
        return Err(call.bad_arg(1, "not a socket a lookup returned").into());
    }
    Ok(0)
}

fn lookup_assign(call: &mut Call<'_, '_>) -> Ret {
    let [_, sk, flags, ..] = call.args;
    if flags & !(BPF_SK_LOOKUP_F_REPLACE | BPF_SK_LOOKUP_F_NO_REUSEPORT) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let known = if sk == 0 { None } else { Some(call.sock(2)?) };
    let Packet::SkLookup(lookup) = &mut call.run.packet else {
        unreachable!("the row is for sk_lookup");
    };
    if let Some(known) = known {
        let socket = known.socket;
        if known.is_refcounted() || socket.state == TCP_ESTABLISHED {
            return Err(Errno::ESOCKTNOSUPPORT.into());
        }
        if socket.protocol != lookup.protocol {
            return Err(Errno::EPROTOTYPE.into());
        }
        if socket.family != lookup.family && (socket.family != AF_INET6 || known.v6only) {
            return Err(Errno::EAFNOSUPPORT.into());
        }
    }
    if lookup.selected.is_some() && flags & BPF_SK_LOOKUP_F_REPLACE == 0 {
        return Err(Errno::EEXIST.into());
    }
    lookup.selected = known;
    lookup.no_reuseport = flags & BPF_SK_LOOKUP_F_NO_REUSEPORT != 0;
    Ok(0)
}

fn assign(call: &mut Call<'_, '_>) -> Ret {
    let [_, sk, flags, ..] = call.args;
    if sk == 0 || flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    call.sock(2)?;
    // Nothing that is under a program here has been received: `skb_at_tc_ingress` is false.
    Err(Errno::EOPNOTSUPP.into())
}
