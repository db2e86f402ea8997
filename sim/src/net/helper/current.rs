//! Who runs the program: the task, its cgroups, its network namespace. Here that is always the same one: process 1 of
//! user root, in the root cgroup, in the first namespace, called `bpftwin`. A kernel tells of whoever runs the program
//! there, so a scenario that looks at process numbers or names ignores them by name.

use super::{Arg, BASE, CGROUP_CURRENT, Call, Helper, Ret};
use crate::net::run::Packet;
use crate::uapi::ProgType::{
    CgroupSock, CgroupSockAddr, CgroupSockopt, SkMsg, SkReuseport, SockOps, Syscall,
};
use crate::uapi::ProgTypes;
use crate::uapi::helper::id;

const UID: ProgTypes = CGROUP_CURRENT.or(ProgTypes::of(&[SkMsg, Syscall]));
const COMM: ProgTypes = CGROUP_CURRENT.or(ProgTypes::of(&[Syscall]));
const NETNS: ProgTypes = ProgTypes::of(&[CgroupSock, CgroupSockAddr, CgroupSockopt, SockOps, SkMsg]);
const COOKIE: ProgTypes = ProgTypes::of(&[CgroupSock, CgroupSockAddr, SockOps]);

/// `task->pid` and `task->tgid`.
const PID: u64 = 1;
/// `task->comm`.
const COMM_TEXT: &[u8] = b"bpftwin";
/// `cgroup_id` of the root of the default hierarchy.
const ROOT_CGROUP: u64 = 1;
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
    Helper::new(id::get_socket_cookie, ProgTypes::of(&[SkReuseport]), &[Arg::Sock], cookie_of,
        "net/core/filter.c: bpf_get_socket_ptr_cookie"),
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

fn given_cookie(call: &Call<'_, '_>) -> u64 {
    match &call.run.packet {
        Packet::Given(given) => given.cookie,
        _ => unreachable!("the row is for contexts that are given"),
    }
}

/// The only socket there is, or NULL.
fn cookie_of(call: &mut Call<'_, '_>) -> Ret {
    let sk = call.args[0];
    match &call.run.packet {
        Packet::Given(given) if given.sk == Some(sk) => Ok(given.cookie),
        _ if sk == 0 => Ok(0),
        _ => Err(call.bad_arg(1, "not a socket").into()),
    }
}
