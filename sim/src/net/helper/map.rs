//! Maps: elements, and the callback for each of them.

use super::{Arg, BASE, Call, Failure, Helper, Ret, TC};
use crate::bpf::map::Walk;
use crate::bpf::mem::{Access, ObjectKind};
use crate::net::held::Kind;
use crate::net::sockets::Known;
use crate::uapi::MapType::{
    Array, ArrayOfMaps, BloomFilter, Devmap, DevmapHash, Hash, HashOfMaps, LpmTrie, LruHash, LruPercpuHash,
    PercpuArray, PercpuHash, Queue, Sockhash, Sockmap, Stack, Xskmap,
};
use crate::uapi::ProgType::{FlowDissector, SkLookup, SkReuseport, SockOps, SocketFilter, Xdp};
use crate::uapi::helper::id;
use crate::uapi::map::BPF_F_RDONLY_PROG;
use crate::uapi::{Errno, MapType, ProgTypes};

/// Maps whose elements a program can reach by key: `kernel/bpf/verifier.c: check_map_func_compatibility`, v6.12.
const LOOKUP: &[MapType] = &[
    Array,
    PercpuArray,
    Hash,
    PercpuHash,
    LruHash,
    LruPercpuHash,
    LpmTrie,
    ArrayOfMaps,
    HashOfMaps,
    Devmap,
    DevmapHash,
    Xskmap,
    Sockmap,
    Sockhash,
];
/// Those whose elements it can change.
const CHANGE: &[MapType] = &[Array, PercpuArray, Hash, PercpuHash, LruHash, LruPercpuHash, LpmTrie];
/// Those, and maps of sockets.
const CHANGE_SOCKETS: &[MapType] =
    &[Array, PercpuArray, Hash, PercpuHash, LruHash, LruPercpuHash, LpmTrie, Sockmap, Sockhash];
/// Who never runs with a socket locked, and so may change maps of sockets: `kernel/bpf/verifier.c: may_update_sockmap`,
/// v6.12.
const UPDATES_SOCKETS: ProgTypes =
    TC.or(ProgTypes::of(&[SocketFilter, Xdp, SkReuseport, FlowDissector, SkLookup]));
const DELETES_SOCKETS: ProgTypes = UPDATES_SOCKETS.or(ProgTypes::of(&[SockOps]));
const PERCPU: &[MapType] = &[PercpuArray, PercpuHash, LruPercpuHash];
const FOR_EACH: &[MapType] = &[Array, PercpuArray, Hash, PercpuHash, LruHash, LruPercpuHash];
const PUSH: &[MapType] = &[Queue, Stack, BloomFilter];
const POP: &[MapType] = &[Queue, Stack];

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::map_lookup_elem, BASE, &[Arg::Map(LOOKUP), Arg::Key], lookup,
        "kernel/bpf/helpers.c: bpf_map_lookup_elem"),
    Helper::new(id::map_update_elem, BASE.without(UPDATES_SOCKETS), &[Arg::Map(CHANGE), Arg::Key, Arg::Value, Arg::Any],
        update, "kernel/bpf/helpers.c: bpf_map_update_elem"),
    Helper::new(id::map_update_elem, UPDATES_SOCKETS, &[Arg::Map(CHANGE_SOCKETS), Arg::Key, Arg::Value, Arg::Any],
        update, "kernel/bpf/helpers.c: bpf_map_update_elem"),
    Helper::new(id::map_delete_elem, BASE.without(DELETES_SOCKETS), &[Arg::Map(CHANGE), Arg::Key], delete,
        "kernel/bpf/helpers.c: bpf_map_delete_elem"),
    Helper::new(id::map_delete_elem, DELETES_SOCKETS, &[Arg::Map(CHANGE_SOCKETS), Arg::Key], delete,
        "kernel/bpf/helpers.c: bpf_map_delete_elem"),
    Helper::new(id::map_lookup_percpu_elem, BASE, &[Arg::Map(PERCPU), Arg::Key, Arg::Any], lookup_percpu,
        "kernel/bpf/helpers.c: bpf_map_lookup_percpu_elem"),
    Helper::new(id::map_push_elem, BASE, &[Arg::Map(PUSH), Arg::Value, Arg::Any], push,
        "kernel/bpf/helpers.c: bpf_map_push_elem"),
    Helper::new(id::map_pop_elem, BASE, &[Arg::Map(POP), Arg::ValueOut], pop,
        "kernel/bpf/helpers.c: bpf_map_pop_elem"),
    Helper::new(id::map_peek_elem, BASE, &[Arg::Map(PUSH), Arg::Value], peek,
        "kernel/bpf/helpers.c: bpf_map_peek_elem"),
    Helper::new(id::for_each_map_elem, BASE, &[Arg::Map(FOR_EACH), Arg::Func, Arg::Any, Arg::Any], for_each,
        "kernel/bpf/bpf_iter.c: bpf_for_each_map_elem"),
];

/// A socket found is held until it is given back (`kernel/bpf/verifier.c: is_acquire_function`, v6.12).
fn lookup(call: &mut Call<'_, '_>) -> Ret {
    let key = call.args[1];
    let (map, mut ctx) = call.map(1);
    let found = map.lookup(&mut ctx, key)?;
    if found != 0 && call.is_of_sockets(1) {
        call.run.held.acquire(Kind::Sock, found);
    }
    Ok(found)
}

fn lookup_percpu(call: &mut Call<'_, '_>) -> Ret {
    let [_, key, cpu, _, _] = call.args;
    let (map, mut ctx) = call.map(1);
    Ok(map.lookup_percpu(&mut ctx, key, cpu as u32)?)
}

fn update(call: &mut Call<'_, '_>) -> Ret {
    let [_, _, value, flags, _] = call.args;
    call.check_writable()?;
    let key = call.key()?;
    if call.is_of_sockets(1) {
        let done = update_socket(call, &key, flags);
        return call.map_result(done);
    }
    let value = call.value(value)?;
    let (map, mut ctx) = call.map(1);
    let done = map.update(&mut ctx, &key, &value, flags);
    call.map_result(done)
}

/// `net/core/sock_map.c: sock_map_update_elem`, v6.12.
fn update_socket(call: &mut Call<'_, '_>, key: &[u8], flags: u64) -> Result<(), Errno> {
    let Some(Known { socket, full: true, .. }) = call.run.socket(call.machine, call.args[2]) else {
        return Err(Errno::EINVAL);
    };
    if !socket.suits_sock_maps() || !socket.state_suits_sock_maps() {
        return Err(Errno::EOPNOTSUPP);
    }
    let id = call.map_id(1);
    call.machine.maps.update_socket(id, key, socket, flags)
}

fn delete(call: &mut Call<'_, '_>) -> Ret {
    call.check_writable()?;
    let key = call.key()?;
    let (map, mut ctx) = call.map(1);
    let done = map.delete(&mut ctx, &key);
    call.map_result(done)
}

fn push(call: &mut Call<'_, '_>) -> Ret {
    let [_, value, flags, _, _] = call.args;
    call.check_writable()?;
    let value = call.value(value)?;
    let (map, mut ctx) = call.map(1);
    let done = map.push(&mut ctx, &value, flags);
    call.map_result(done)
}

fn pop(call: &mut Call<'_, '_>) -> Ret {
    call.check_writable()?;
    let (map, mut ctx) = call.map(1);
    let popped = map.pop(&mut ctx);
    call.hand_out(popped)
}

/// A bloom filter is asked for the value in argument 2; a queue or stack writes to it.
fn peek(call: &mut Call<'_, '_>) -> Ret {
    if call.machine.maps.spec(call.map_id(1)).map_type == BloomFilter {
        let value = call.value(call.args[1])?;
        let found = call.map(1).0.contains(&value);
        return call.map_result(found);
    }
    let (map, mut ctx) = call.map(1);
    let peeked = map.peek(&mut ctx);
    call.hand_out(peeked)
}

/// The callback gets the map, a copy of the key in memory it can only read, the value and the caller's context.
fn for_each(call: &mut Call<'_, '_>) -> Ret {
    let [map, callback, context, flags, _] = call.args;
    if flags != 0 {
        return call.map_result(Err(Errno::EINVAL));
    }
    let id = call.map_id(1);
    let key_size = call.machine.maps.spec(id).key_size;
    let kind = ObjectKind::Helper("key of the map element");
    let key = call.machine.mem.alloc(kind, Access::Read, key_size).ok_or(Errno::ENOMEM)?;
    let mut walk = Walk::default();
    let mut visited = 0;
    let result = loop {
        let (maps, mut ctx) = call.machine.maps();
        let Some(element) = maps.walk(&mut ctx, id, &mut walk) else { break Ok(visited) };
        ctx.mem.raw_mut(key, element.key.len()).copy_from_slice(&element.key);
        visited += 1;
        let args = [map, key, element.value, context, 0];
        match call.call_back(callback, args) {
            Ok(0) => {}
            Ok(_) => break Ok(visited),
            Err(fault) => break Err(fault.into()),
        }
    };
    call.machine.mem.free(key);
    result
}

impl Call<'_, '_> {
    /// Whether the map in argument `number` holds sockets that may be taken out of it by pointer.
    fn is_of_sockets(&self, number: usize) -> bool {
        matches!(self.machine.maps.spec(self.map_id(number)).map_type, Sockmap | Sockhash)
    }

    /// The key in argument 2 of the map in argument 1.
    fn key(&self) -> Result<Vec<u8>, Failure> {
        let key_size = self.machine.maps.spec(self.map_id(1)).key_size;
        Ok(self.mem(self.args[1], key_size.into())?.to_vec())
    }

    /// The value at `addr` for the map in argument 1.
    fn value(&self, addr: u64) -> Result<Vec<u8>, Failure> {
        let value_size = self.machine.maps.spec(self.map_id(1)).value_size;
        Ok(self.mem(addr, value_size.into())?.to_vec())
    }

    /// The verifier lets nobody change a map that is read-only to programs.
    fn check_writable(&self) -> Result<(), Failure> {
        if self.machine.maps.spec(self.map_id(1)).flags & BPF_F_RDONLY_PROG == 0 {
            return Ok(());
        }
        Err(self.bad_arg(1, "a map that is read-only to programs").into())
    }

    /// Writes what a queue or stack gave to argument 2.
    fn hand_out(&mut self, (value, done): (Vec<u8>, Result<(), Errno>)) -> Ret {
        self.mem_mut(self.args[1], value.len() as u64)?.copy_from_slice(&value);
        self.map_result(done)
    }

    /// `r0` of a map operation: 0 or a negative errno, as wide as the described kernel makes it.
    pub(super) fn map_result(&self, done: Result<(), Errno>) -> Ret {
        let r0 = done.map_or_else(Errno::as_r0, |()| 0);
        Ok(if self.machine.release.map_helpers_return_long() { r0 } else { u64::from(r0 as u32) })
    }
}
