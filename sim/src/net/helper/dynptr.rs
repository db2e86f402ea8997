//! Dynptrs over memory and ring buffer records, and reading and writing through any dynptr.

use super::skb_bytes::store;
use super::{Arg, BASE, Call, Helper, Ret};
use crate::bpf::FaultKind;
use crate::bpf::mem::ObjectKind;
use crate::net::dynptr::{DYNPTR_MAX_SIZE, Dynptr, SIZE, Target};
use crate::net::held::Kind;
use crate::net::run::Packet;
use crate::net::xdp::XdpBuff;
use crate::uapi::helper::id;
use crate::uapi::{Errno, MapType};

const RINGBUF: Arg = Arg::Map(&[MapType::Ringbuf]);

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::dynptr_from_mem, BASE, &[Arg::MemOut, Arg::SizeOrZero, Arg::Any, Arg::DynptrOut], from_mem,
        "kernel/bpf/helpers.c: bpf_dynptr_from_mem"),
    Helper::new(id::dynptr_read, BASE, &[Arg::MemOut, Arg::SizeOrZero, Arg::Dynptr, Arg::Any, Arg::Any], read,
        "kernel/bpf/helpers.c: bpf_dynptr_read"),
    Helper::new(id::dynptr_write, BASE, &[Arg::Dynptr, Arg::Any, Arg::Mem, Arg::SizeOrZero, Arg::Any], write,
        "kernel/bpf/helpers.c: bpf_dynptr_write"),
    Helper::new(id::dynptr_data, BASE, &[Arg::Dynptr, Arg::Any, Arg::Any], data,
        "kernel/bpf/helpers.c: bpf_dynptr_data"),
    Helper::new(id::ringbuf_reserve_dynptr, BASE, &[RINGBUF, Arg::Any, Arg::Any, Arg::DynptrOut], reserve,
        "kernel/bpf/ringbuf.c: bpf_ringbuf_reserve_dynptr"),
    Helper::new(id::ringbuf_submit_dynptr, BASE, &[Arg::Dynptr, Arg::Any], |call| commit(call, false),
        "kernel/bpf/ringbuf.c: bpf_ringbuf_submit_dynptr"),
    Helper::new(id::ringbuf_discard_dynptr, BASE, &[Arg::Dynptr, Arg::Any], |call| commit(call, true),
        "kernel/bpf/ringbuf.c: bpf_ringbuf_discard_dynptr"),
];

impl Call<'_, '_> {
    /// The dynptr in argument `number` (from 1).
    pub fn dynptr(&mut self, number: usize) -> Result<&mut Dynptr, FaultKind> {
        let addr = self.args[number - 1];
        if self.run.dynptrs.get(&self.machine.mem, addr).is_none() {
            return Err(self.bad_arg(number, "no initialized dynptr"));
        }
        Ok(self.run.dynptrs.get(&self.machine.mem, addr).expect("it was there"))
    }

    /// Makes argument `number` (from 1), whose bytes were checked, a dynptr.
    pub fn put_dynptr(&mut self, number: usize, dynptr: Dynptr) {
        self.run.dynptrs.put(&mut self.machine.mem, self.args[number - 1], dynptr);
    }

    /// What the verifier asks of the stack under a new dynptr: 16 aligned bytes that hold no dynptr with a reference.
    pub(super) fn check_dynptr_out(&mut self, number: usize) -> Result<(), FaultKind> {
        let addr = self.args[number - 1];
        let on_stack = self.machine.mem.object_at(addr, SIZE.into());
        if !addr.is_multiple_of(8) || on_stack.is_none_or(|object| object.kind != ObjectKind::Stack) {
            return Err(self.bad_arg(number, "not 16 aligned bytes of the stack"));
        }
        let old = self.run.dynptrs.get(&self.machine.mem, addr).copied();
        let owned = old.and_then(|old| old.owner);
        if owned.is_some_and(|owner| self.run.held.has(Kind::RecordDynptr, owner)) {
            return Err(self.bad_arg(number, "a dynptr with a reference, which may not be overwritten"));
        }
        Ok(())
    }
}

fn from_mem(call: &mut Call<'_, '_>) -> Ret {
    let [addr, size, flags, ..] = call.args;
    let size = size as u32;
    let object = call.machine.mem.object_at(addr, size.into());
    if !matches!(object.map(|object| object.kind), Some(ObjectKind::MapValue(_))) {
        return Err(call.bad_arg(1, "not memory of a map value").into());
    }
    let dynptr = if size > DYNPTR_MAX_SIZE {
        Err(Errno::E2BIG)
    } else if flags != 0 {
        Err(Errno::EINVAL)
    } else {
        Ok(Dynptr::new(Target::Local(addr), size))
    };
    call.put_dynptr(4, dynptr.unwrap_or(Dynptr::NULL));
    dynptr.map(|_| 0).map_err(Into::into)
}

/// The range checks of `bpf_xdp_pointer`.
fn xdp_range(xdp: &XdpBuff, offset: u32, len: u32) -> Result<(), Errno> {
    if offset > 0xffff || len > 0xffff {
        return Err(Errno::EFAULT);
    }
    if offset + len > xdp.len() { Err(Errno::EINVAL) } else { Ok(()) }
}

fn read(call: &mut Call<'_, '_>) -> Ret {
    let [to, len, _, offset, flags] = call.args;
    let (len, offset) = (len as u32, offset as u32);
    let dynptr = *call.dynptr(3)?;
    if dynptr.target == Target::Null || flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    if !dynptr.has(offset, len) {
        return Err(Errno::E2BIG.into());
    }
    let at = dynptr.offset + offset;
    let mut bytes = vec![0; len as usize];
    let mem = &mut call.machine.mem;
    match (dynptr.target, &mut call.run.packet) {
        (Target::Local(addr) | Target::Ringbuf(addr), _) => {
            bytes.copy_from_slice(mem.guest(addr + u64::from(at), len.into())?);
        }
        (Target::Skb, packet) if packet.skb().is_some() => {
            return call.give(to, len.into(), |call, bytes| {
                let skb = call.run.packet.skb().expect("there is one");
                i32::try_from(at).is_ok_and(|at| skb.copy_bits(&call.machine.mem, at, bytes))
            });
        }
        (Target::Xdp, Packet::Xdp(xdp)) => {
            xdp_range(xdp, at, len)?;
            bytes.clear();
            xdp.for_range(mem, at, len, |piece| bytes.extend_from_slice(piece));
        }
        _ => return Err(call.bad_arg(3, "a dynptr of another packet").into()),
    }
    call.mem_mut(to, len.into())?.copy_from_slice(&bytes);
    Ok(0)
}

/// Writing to an skb may make it linear: pointers into the packet are stale afterwards.
fn write(call: &mut Call<'_, '_>) -> Ret {
    let [_, offset, from, len, flags] = call.args;
    let (len, offset) = (len as u32, offset as u32);
    let dynptr = *call.dynptr(1)?;
    let bytes = call.mem(from, len.into())?.to_vec();
    if dynptr.target == Target::Skb {
        let done = write_skb(call, &dynptr, offset, &bytes, flags);
        call.run.expose(call.machine);
        return done.map(|()| 0).map_err(Into::into);
    }
    if dynptr.target == Target::Null || dynptr.rdonly {
        return Err(Errno::EINVAL.into());
    }
    if !dynptr.has(offset, len) {
        return Err(Errno::E2BIG.into());
    }
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let at = dynptr.offset + offset;
    match (dynptr.target, &mut call.run.packet) {
        (Target::Local(addr) | Target::Ringbuf(addr), _) => {
            call.mem_mut(addr + u64::from(at), len.into())?.copy_from_slice(&bytes);
        }
        (Target::Xdp, Packet::Xdp(xdp)) => {
            xdp_range(xdp, at, len)?;
            let mut rest = bytes.as_slice();
            xdp.for_range(&mut call.machine.mem, at, len, |piece| {
                let (now, later) = rest.split_at(piece.len());
                piece.copy_from_slice(now);
                rest = later;
            });
        }
        _ => return Err(call.bad_arg(1, "a dynptr of another packet").into()),
    }
    Ok(0)
}

fn write_skb(
    call: &mut Call<'_, '_>,
    dynptr: &Dynptr,
    offset: u32,
    bytes: &[u8],
    flags: u64,
) -> Result<(), Errno> {
    if dynptr.rdonly {
        return Err(Errno::EINVAL);
    }
    if !dynptr.has(offset, bytes.len() as u32) {
        return Err(Errno::E2BIG);
    }
    let (skb, mem) = call.skb();
    store(skb, mem, dynptr.offset + offset, bytes, flags)
}

fn data(call: &mut Call<'_, '_>) -> Ret {
    let [_, offset, len, ..] = call.args.map(|arg| arg as u32);
    let dynptr = call.dynptr(1)?;
    let at = u64::from(dynptr.offset) + u64::from(offset);
    Ok(match dynptr.target {
        Target::Local(addr) | Target::Ringbuf(addr) if dynptr.has(offset, len) && !dynptr.rdonly => addr + at,
        _ => 0,
    })
}

/// Whatever comes of it, the dynptr has to be submitted or discarded.
fn reserve(call: &mut Call<'_, '_>) -> Ret {
    let [_, size, flags, addr, _] = call.args;
    let size = size as u32;
    let id = call.map_id(1);
    let (maps, ctx) = call.machine.maps();
    let ring = maps.map(id).ringbuf().expect("the arguments were checked");
    let done = if flags != 0 {
        Err(Errno::EINVAL)
    } else if size > DYNPTR_MAX_SIZE {
        Err(Errno::E2BIG)
    } else {
        ring.reserve(ctx.mem, size.into()).ok_or(Errno::EINVAL)
    };
    let target = done.map_or(Target::Null, Target::Ringbuf);
    let size = if done.is_ok() { size } else { 0 };
    call.put_dynptr(4, Dynptr { owner: Some(addr), ..Dynptr::new(target, size) });
    call.run.held.acquire(Kind::RecordDynptr, addr);
    done.map(|_| 0).map_err(Into::into)
}

/// Ends the dynptr and its clones.
fn commit(call: &mut Call<'_, '_>, discard: bool) -> Ret {
    let dynptr = *call.dynptr(1)?;
    let owner = dynptr.owner.filter(|&owner| call.run.held.release(Kind::RecordDynptr, owner));
    let Some(owner) = owner else {
        return Err(call.bad_arg(1, "not a dynptr of a reserved record").into());
    };
    if let Target::Ringbuf(sample) = dynptr.target {
        let (maps, ctx) = call.machine.maps();
        assert!(maps.ringbuf_commit(ctx.mem, sample, discard), "the record was reserved");
    }
    call.run.dynptrs.release(owner);
    Ok(0)
}
