//! Who runs the program: the task, its cgroups, its network namespace. Here that is always the same one: process 1 of
//! user root, in the root cgroup, in the first namespace, called `bpftwin`. A kernel tells of whoever runs the program
//! there, so a scenario that looks at process numbers or names ignores them by name.

use super::{Arg, BASE, CGROUP_CURRENT, Call, Helper, LWT, Ret, TC};
use crate::net::run::Packet;
use crate::uapi::ProgType::{
    CgroupSkb, CgroupSock, CgroupSockAddr, CgroupSockopt, SkMsg, SkReuseport, SockOps, Syscall,
};
use crate::uapi::helper::id;
use crate::uapi::{Errno, MapType, ProgTypes};

const UID: ProgTypes = CGROUP_CURRENT.or(ProgTypes::of(&[SkMsg, Syscall]));
const COMM: ProgTypes = CGROUP_CURRENT.or(ProgTypes::of(&[Syscall]));
const NETNS: ProgTypes = ProgTypes::of(&[CgroupSock, CgroupSockAddr, CgroupSockopt, SockOps, SkMsg]);
const COOKIE: ProgTypes = ProgTypes::of(&[CgroupSock, CgroupSockAddr, SockOps]);

const CGROUPS: Arg = Arg::Map(&[MapType::CgroupArray]);

/// `task->pid` and `task->tgid`.
const PID: u64 = 1;
/// `task->comm`.
const COMM_TEXT: &[u8] = b"bpftwin";
/// `cgroup_id` of the root of the default hierarchy.
pub(super) const ROOT_CGROUP: u64 = 1;
/// `net->net_cookie` of `init_net`.
const INIT_NET_COOKIE: u64 = 1;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::get_current_pid_tgid, BASE, &[], |_| Ok(PID << 32 | PID), "kernel/bpf/helpers.c: bpf_get_current_pid_tgid"),
    Helper::new(id::get_current_uid_gid, UID, &[], |_| Ok(0), "kernel/bpf/helpers.c: bpf_get_current_uid_gid"),
    Helper::new(id::get_current_comm, COMM, &[Arg::MemOut, Arg::Size], comm, "kernel/bpf/helpers.c: bpf_get_current_comm"),
    Helper::new(id::get_current_cgroup_id, BASE, &[], |_| Ok(ROOT_CGROUP), "kernel/bpf/helpers.c: bpf_get_current_cgroup_id"),
    Helper::new(id::get_current_ancestor_cgroup_id, BASE, &[Arg::Any], |call| Ok(ancestor(call.args[0])),
        "kernel/bpf/helpers.c: bpf_get_current_ancestor_cgroup_id"),
    Helper::new(id::get_netns_cookie, NETNS, &[Arg::CtxOrNull], |_| Ok(INIT_NET_COOKIE),
        "net/core/filter.c: __bpf_get_netns_cookie"),
    Helper::new(id::get_socket_cookie, COOKIE, &[Arg::Ctx], |call| Ok(given_cookie(call)),
        "net/core/filter.c: bpf_get_socket_cookie_{sock,sock_addr,sock_ops}"),
    Helper::new(id::get_socket_cookie, ProgTypes::of(&[SkReuseport]), &[Arg::SockOrNull], cookie_of,
        "net/core/filter.c: bpf_get_socket_ptr_cookie"),
    Helper::new(id::current_task_under_cgroup, CGROUP_CURRENT, &[CGROUPS, Arg::Any], |call| under(call, 1),
        "kernel/bpf/helpers.c: bpf_current_task_under_cgroup"),
    Helper::new(id::skb_under_cgroup, TC.or(LWT), &[Arg::Ctx, CGROUPS, Arg::Any], skb_under,
        "net/core/filter.c: bpf_skb_under_cgroup"),
    Helper::new(id::sk_cgroup_id, ProgTypes::of(&[CgroupSkb]), &[Arg::Sock], |call| of_socket(call, 0),
        "net/core/filter.c: bpf_sk_cgroup_id"),
    Helper::new(id::sk_ancestor_cgroup_id, ProgTypes::of(&[CgroupSkb]), &[Arg::Sock, Arg::Any],
        |call| of_socket(call, call.args[1]), "net/core/filter.c: bpf_sk_ancestor_cgroup_id"),
    // Nobody puts the task into a class of net_cls.
    Helper::new(id::get_cgroup_classid, CGROUP_CURRENT.or(ProgTypes::of(&[SkMsg])), &[], |_| Ok(0),
        "net/core/filter.c: bpf_get_cgroup_classid_curr"),
];

/// `strscpy_pad`.
fn comm(call: &mut Call<'_, '_>) -> Ret {
    let [to, size, ..] = call.args;
    let out = call.mem_mut(to, size)?;
    let len = COMM_TEXT.len().min(out.len() - 1);
    out.fill(0);
    out[..len].copy_from_slice(&COMM_TEXT[..len]);
    Ok(0)
}

/// `cgroup_ancestor` of the root: itself at level 0.
fn ancestor(level: u64) -> u64 {
    if level as i32 == 0 { ROOT_CGROUP } else { 0 }
}

/// Whether the root is in the cgroup of the map in argument `number`, whose place is in the next argument: only in itself.
fn under(call: &mut Call<'_, '_>, number: usize) -> Ret {
    let (id, index) = (call.map_id(number), call.args[number] as u32);
    Ok(u64::from(call.machine.maps.map(id).cgroup(index)?.0 == ROOT_CGROUP))
}

fn skb_under(call: &mut Call<'_, '_>) -> Ret {
    if call.skb().0.sk.is_none() {
        return Err(Errno::ENOENT.into());
    }
    under(call, 2)
}

/// The id of the cgroup of a socket, which the task made, at this level.
fn of_socket(call: &Call<'_, '_>, level: u64) -> Ret {
    Ok(if call.sock(1)?.full { ancestor(level) } else { 0 })
}

fn given_cookie(call: &Call<'_, '_>) -> u64 {
    match &call.run.packet {
        Packet::Given(given) => given.cookie,
        _ => unreachable!("the row is for contexts that are given"),
    }
}

fn cookie_of(call: &mut Call<'_, '_>) -> Ret {
    Ok(if call.args[0] == 0 { 0 } else { call.sock(1)?.socket.cookie })
}
