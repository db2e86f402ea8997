//! Sockets: the one of the packet, and looking others up. In the namespace of a test run there are none to find.

use super::{Arg, Call, Helper, Ret, TC};
use crate::uapi::ProgType::{CgroupSkb, SkLookup, SkSkb, SocketFilter, Xdp};
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes};

const WITH_CGROUP: ProgTypes = TC.or(ProgTypes::of(&[CgroupSkb]));
const COOKIE: ProgTypes = WITH_CGROUP.or(ProgTypes::of(&[SocketFilter, SkSkb]));
const LOOKUP: ProgTypes = WITH_CGROUP.or(ProgTypes::of(&[Xdp, SkSkb]));

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::get_socket_cookie, COOKIE, &[Arg::Ctx], cookie, "net/core/filter.c: bpf_get_socket_cookie"),
    Helper::new(id::get_socket_uid, COOKIE, &[Arg::Ctx], uid, "net/core/filter.c: bpf_get_socket_uid"),
    Helper::new(id::sk_fullsock, WITH_CGROUP, &[Arg::Sock], fullsock, "net/core/filter.c: bpf_sk_fullsock"),
    Helper::new(id::tcp_sock, WITH_CGROUP, &[Arg::Sock], none, "net/core/filter.c: bpf_tcp_sock"),
    Helper::new(id::get_listener_sock, WITH_CGROUP, &[Arg::Sock], none, "net/core/filter.c: bpf_get_listener_sock"),
    Helper::new(id::sk_lookup_tcp, LOOKUP, &[Arg::Ctx, Arg::Mem, Arg::SizeOrZero, Arg::Any, Arg::Any], none,
        "net/core/filter.c: bpf_sk_lookup_tcp"),
    Helper::new(id::sk_lookup_udp, LOOKUP, &[Arg::Ctx, Arg::Mem, Arg::SizeOrZero, Arg::Any, Arg::Any], none,
        "net/core/filter.c: bpf_sk_lookup_udp"),
    Helper::new(id::skc_lookup_tcp, LOOKUP, &[Arg::Ctx, Arg::Mem, Arg::SizeOrZero, Arg::Any, Arg::Any], none,
        "net/core/filter.c: bpf_skc_lookup_tcp"),
    Helper::new(id::sk_release, LOOKUP.or(ProgTypes::of(&[SkLookup])), &[Arg::Sock], release,
        "net/core/filter.c: bpf_sk_release"),
    Helper::new(id::sk_assign, TC, &[Arg::Ctx, Arg::Any, Arg::Any], assign, "net/core/filter.c: bpf_sk_assign"),
    Helper::new(id::sk_assign, ProgTypes::of(&[SkLookup]), &[Arg::Ctx, Arg::Any, Arg::Any], lookup_assign,
        "net/core/filter.c: bpf_sk_lookup_assign"),
];

fn cookie(call: &mut Call<'_, '_>) -> Ret {
    Ok(call.skb().0.sk.as_ref().map_or(0, |sk| sk.cookie))
}

/// The user of a test run's socket is root; of none, `overflowuid`.
fn uid(call: &mut Call<'_, '_>) -> Ret {
    const OVERFLOW_UID: u64 = 65534;
    Ok(if call.skb().0.sk.is_some() { 0 } else { OVERFLOW_UID })
}

/// Every socket here is a full one.
fn fullsock(call: &mut Call<'_, '_>) -> Ret {
    Ok(call.args[0])
}

/// No socket is found; none is a TCP socket or listens.
fn none(_: &mut Call<'_, '_>) -> Ret {
    Ok(0)
}

/// Only what a lookup found may be released.
fn release(call: &mut Call<'_, '_>) -> Ret {
    Err(call.bad_arg(1, "not a socket a lookup returned").into())
}

/// Only NULL can be assigned, which takes back what was; `BPF_SK_LOOKUP_F_REPLACE` and `_NO_REUSEPORT` go with it.
fn lookup_assign(call: &mut Call<'_, '_>) -> Ret {
    let [_, sk, flags, ..] = call.args;
    if sk != 0 {
        return Err(call.bad_arg(2, "not a socket").into());
    }
    if flags & !3 != 0 { Err(Errno::EINVAL.into()) } else { Ok(0) }
}

fn assign(call: &mut Call<'_, '_>) -> Ret {
    let [_, sk, flags, ..] = call.args;
    if sk == 0 || flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    // Nothing that is under a program here has been received: `skb_at_tc_ingress` is false.
    Err(Errno::EOPNOTSUPP.into())
}
