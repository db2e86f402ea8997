//! Storage that belongs to sockets, cgroups, and attachments to cgroups.

use super::{Arg, BASE, CGROUP_CURRENT, Call, Failure, Helper, Ret, TC};
use crate::uapi::ProgType::{CgroupSkb, CgroupSock, CgroupSockAddr, CgroupSockopt, SkMsg, SockOps};
use crate::uapi::helper::id;
use crate::uapi::map::BPF_NOEXIST;
use crate::uapi::{Errno, MapType, ProgTypes};

/// Whom `net/core/filter.c` and `kernel/bpf/cgroup.c` give storage of sockets that are pointed at.
const SK: ProgTypes = TC.or(ProgTypes::of(&[CgroupSockAddr, CgroupSkb, SockOps, SkMsg, CgroupSockopt]));
/// Whom `kernel/bpf/cgroup.c: cgroup_common_func_proto` gives storage of the attachment.
const CGROUP: ProgTypes = CGROUP_CURRENT.or(ProgTypes::of(&[CgroupSkb, SockOps]));
const SK_STORAGE: Arg = Arg::Map(&[MapType::SkStorage]);
const CGRP_STORAGE: Arg = Arg::Map(&[MapType::CgrpStorage]);
const CGROUP_STORAGE: Arg = Arg::Map(&[MapType::CgroupStorage, MapType::PercpuCgroupStorage]);

/// `BPF_LOCAL_STORAGE_GET_F_CREATE`, and `BPF_SK_STORAGE_GET_F_CREATE`.
const BPF_LOCAL_STORAGE_GET_F_CREATE: u64 = 1;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::sk_storage_get, SK, &[SK_STORAGE, Arg::Sock, Arg::ValueOrNull, Arg::Any], sk_get,
        "net/core/bpf_sk_storage.c: bpf_sk_storage_get"),
    Helper::new(id::sk_storage_get, ProgTypes::of(&[CgroupSock]), &[SK_STORAGE, Arg::Ctx, Arg::ValueOrNull, Arg::Any],
        sk_get_of_context, "net/core/bpf_sk_storage.c: bpf_sk_storage_get_cg_sock_proto"),
    Helper::new(id::sk_storage_delete, SK, &[SK_STORAGE, Arg::Sock], sk_delete,
        "net/core/bpf_sk_storage.c: bpf_sk_storage_delete"),
    Helper::new(id::cgrp_storage_get, BASE, &[CGRP_STORAGE, Arg::Any, Arg::ValueOrNull, Arg::Any], cgrp_get,
        "kernel/bpf/bpf_cgrp_storage.c: bpf_cgrp_storage_get"),
    Helper::new(id::cgrp_storage_delete, BASE, &[CGRP_STORAGE, Arg::Any], cgrp_delete,
        "kernel/bpf/bpf_cgrp_storage.c: bpf_cgrp_storage_delete"),
    Helper::new(id::get_local_storage, CGROUP, &[CGROUP_STORAGE, Arg::Any], local,
        "kernel/bpf/cgroup.c: bpf_get_local_storage"),
];

/// The value of `owner`, which `flags` may ask to make; the caller looked at the flags.
fn get(call: &mut Call<'_, '_>, owner: u64, create: bool) -> Ret {
    let (id, from) = (call.map_id(1), call.args[2]);
    let size = call.machine.maps.spec(id).value_size;
    let value = if from == 0 { vec![0; size as usize] } else { call.mem(from, size.into())?.to_vec() };
    let (maps, mut ctx) = call.machine.maps();
    let found = maps.map(id).storage().expect("the arguments were checked").get(owner);
    Ok(match found {
        Some(addr) => addr,
        None if create => maps.store_for(&mut ctx, id, owner, &value, BPF_NOEXIST).unwrap_or(0),
        None => 0,
    })
}

fn delete(call: &mut Call<'_, '_>, owner: u64) -> Ret {
    let id = call.map_id(1);
    call.machine.maps.map(id).storage().expect("the arguments were checked").remove(owner)?;
    Ok(0)
}

fn sk_get(call: &mut Call<'_, '_>) -> Ret {
    let sk = call.sock(2)?;
    let flags = call.args[3];
    if !sk.full || flags > BPF_LOCAL_STORAGE_GET_F_CREATE {
        return Ok(0);
    }
    get(call, sk.socket.cookie, flags == BPF_LOCAL_STORAGE_GET_F_CREATE)
}

fn sk_get_of_context(call: &mut Call<'_, '_>) -> Ret {
    let flags = call.args[3];
    if flags > BPF_LOCAL_STORAGE_GET_F_CREATE {
        return Ok(0);
    }
    let cookie = call.given().cookie;
    get(call, cookie, flags == BPF_LOCAL_STORAGE_GET_F_CREATE)
}

fn sk_delete(call: &mut Call<'_, '_>) -> Ret {
    let sk = call.sock(2)?;
    if !sk.full {
        return Err(Errno::EINVAL.into());
    }
    delete(call, sk.socket.cookie)
}

/// Pointers to cgroups come from kernel functions, of which there are none here: only NULL can be one.
fn no_cgroup(call: &Call<'_, '_>) -> Result<(), Failure> {
    if call.args[1] == 0 { Ok(()) } else { Err(call.bad_arg(2, "not a cgroup").into()) }
}

fn cgrp_get(call: &mut Call<'_, '_>) -> Ret {
    no_cgroup(call)?;
    Ok(0)
}

fn cgrp_delete(call: &mut Call<'_, '_>) -> Ret {
    no_cgroup(call)?;
    Err(Errno::EINVAL.into())
}

/// A test run makes a value for the time it takes (`net/bpf/test_run.c: bpf_test_run`, v6.12); so does a run over a
/// context that is given.
fn local(call: &mut Call<'_, '_>) -> Ret {
    if call.args[1] != 0 {
        return Err(call.bad_arg(2, "get_local_storage() doesn't support non-zero flags").into());
    }
    let id = call.map_id(1);
    if let Some(&addr) = call.run.storage.get(&id) {
        return Ok(addr);
    }
    let (maps, ctx) = call.machine.maps();
    let value = maps.map(id).temporary_value(ctx.mem).ok_or(Errno::ENOMEM)?;
    call.run.storage.insert(id, value);
    Ok(value)
}
