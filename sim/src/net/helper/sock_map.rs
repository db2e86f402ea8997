//! Maps of sockets: where messages are sent on to, and which socket of several takes a packet.

use super::{Arg, Call, Helper, Ret};
use crate::bpf::map::SocketRef;
use crate::net::run::Packet;
use crate::net::sk_msg::Redirect;
use crate::uapi::MapType::{ReuseportSockarray, Sockhash, Sockmap};
use crate::uapi::ProgType::{SkMsg, SkReuseport, SkSkb, SockOps};
use crate::uapi::ctx::sock_ops::OP;
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes};

const MSG: ProgTypes = ProgTypes::of(&[SkMsg]);
const SKB: ProgTypes = ProgTypes::of(&[SkSkb]);
const OPS: ProgTypes = ProgTypes::of(&[SockOps]);
const REUSEPORT: ProgTypes = ProgTypes::of(&[SkReuseport]);
const MAP: Arg = Arg::Map(&[Sockmap]);
const HASH: Arg = Arg::Map(&[Sockhash]);

/// `SK_DROP`.
const SK_DROP: u64 = 0;
/// `SK_PASS`.
const SK_PASS: u64 = 1;
/// `BPF_F_INGRESS`.
const BPF_F_INGRESS: u64 = 1;
/// `BPF_SOCK_OPS_TCP_LISTEN_CB`, `BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB`, `BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB`.
const OKAY_OPS: [u32; 3] = [11, 4, 5];

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::sock_map_update, OPS, &[Arg::Ctx, MAP, Arg::Key, Arg::Any], update,
        "net/core/sock_map.c: bpf_sock_map_update"),
    Helper::new(id::sock_hash_update, OPS, &[Arg::Ctx, HASH, Arg::Key, Arg::Any], update,
        "net/core/sock_map.c: bpf_sock_hash_update"),
    Helper::new(id::msg_redirect_map, MSG, &[Arg::Ctx, MAP, Arg::Any, Arg::Any], msg_redirect_map,
        "net/core/sock_map.c: bpf_msg_redirect_map"),
    Helper::new(id::msg_redirect_hash, MSG, &[Arg::Ctx, HASH, Arg::Key, Arg::Any], msg_redirect_hash,
        "net/core/sock_map.c: bpf_msg_redirect_hash"),
    Helper::new(id::sk_redirect_map, SKB, &[Arg::Ctx, MAP, Arg::Any, Arg::Any], sk_redirect_map,
        "net/core/sock_map.c: bpf_sk_redirect_map"),
    Helper::new(id::sk_redirect_hash, SKB, &[Arg::Ctx, HASH, Arg::Key, Arg::Any], sk_redirect_hash,
        "net/core/sock_map.c: bpf_sk_redirect_hash"),
    Helper::new(id::sk_select_reuseport, REUSEPORT,
        &[Arg::Ctx, Arg::Map(&[ReuseportSockarray, Sockmap, Sockhash]), Arg::Key, Arg::Any], select,
        "net/core/filter.c: sk_select_reuseport"),
];

impl Call<'_, '_> {
    /// The key in argument 3 of the map in argument 2.
    fn key_of_second(&self) -> Result<Vec<u8>, crate::bpf::FaultKind> {
        let key_size = self.machine.maps.spec(self.map_id(2)).key_size;
        Ok(self.mem(self.args[2], key_size.into())?.to_vec())
    }

    /// The socket under `key` of the map in argument 2.
    fn socket_under(&mut self, key: &[u8]) -> Option<SocketRef> {
        let id = self.map_id(2);
        self.machine.maps.map(id).socket(key)
    }
}

/// `sock_map_sk_is_suitable` and `sock_map_op_okay`, then as the system call does.
fn update(call: &mut Call<'_, '_>) -> Ret {
    let (key, flags) = (call.key_of_second()?, call.args[3]);
    let known = call.run.context_socket(call.machine);
    if !known.socket.suits_sock_maps() || !OKAY_OPS.contains(&call.given().word(OP)) {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let id = call.map_id(2);
    call.machine.maps.update_socket(id, &key, known.socket, flags)?;
    Ok(0)
}

fn msg_redirect_map(call: &mut Call<'_, '_>) -> Ret {
    let key = (call.args[2] as u32).to_le_bytes();
    Ok(msg_redirect(call, &key))
}

fn msg_redirect_hash(call: &mut Call<'_, '_>) -> Ret {
    let key = call.key_of_second()?;
    Ok(msg_redirect(call, &key))
}

fn msg_redirect(call: &mut Call<'_, '_>, key: &[u8]) -> u64 {
    let flags = call.args[3];
    if flags & !BPF_F_INGRESS != 0 {
        return SK_DROP;
    }
    let ingress = flags & BPF_F_INGRESS != 0;
    match call.socket_under(key).filter(SocketRef::takes_redirects) {
        Some(to) if (ingress || to.is_tcp()) && !to.is_vsock() => {
            call.given().message.redirect = Some(Redirect { to: to.cookie, ingress });
            SK_PASS
        }
        _ => SK_DROP,
    }
}

fn sk_redirect_map(call: &mut Call<'_, '_>) -> Ret {
    let key = (call.args[2] as u32).to_le_bytes();
    Ok(sk_redirect(call, &key))
}

fn sk_redirect_hash(call: &mut Call<'_, '_>) -> Ret {
    let key = call.key_of_second()?;
    Ok(sk_redirect(call, &key))
}

fn sk_redirect(call: &mut Call<'_, '_>, key: &[u8]) -> u64 {
    let flags = call.args[3];
    if flags & !BPF_F_INGRESS != 0 {
        return SK_DROP;
    }
    let ingress = flags & BPF_F_INGRESS != 0;
    match call.socket_under(key).filter(SocketRef::takes_redirects) {
        Some(to) if !(ingress && to.is_vsock()) => {
            call.run.redirect = Some(Redirect { to: to.cookie, ingress });
            SK_PASS
        }
        _ => SK_DROP,
    }
}

/// The socket of the context is in a group of its own, which no socket in a map belongs to unless it says so.
fn select(call: &mut Call<'_, '_>) -> Ret {
    let key = call.key_of_second()?;
    let id = call.map_id(2);
    let Some(selected) = call.socket_under(&key) else { return Err(Errno::ENOENT.into()) };
    let of_array = call.machine.maps.spec(id).map_type == ReuseportSockarray;
    let group = call.run.socket(call.machine, selected.guest).map_or(0, |known| known.reuseport_id);
    if group == 0 {
        return Err(if of_array { Errno::ENOENT } else { Errno::EINVAL }.into());
    }
    let context = call.run.context_socket(call.machine).socket;
    let Packet::Given(given) = &mut call.run.packet else { unreachable!("the context is given") };
    if group == given.reuseport_id {
        given.selected = Some(selected.cookie);
        return Ok(0);
    }
    Err(if context.protocol != selected.protocol {
        Errno::EPROTOTYPE
    } else if context.family != selected.family {
        Errno::EAFNOSUPPORT
    } else {
        Errno::EBADFD
    }
    .into())
}
