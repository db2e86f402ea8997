//! Dynptrs over packets, and what may be done with any dynptr.

use super::iter::int;
use super::{Kfunc, SKB, WRITERS};
use crate::bpf::Access;
use crate::bpf::mem::CTX_BASE;
use crate::net::dynptr::{Dynptr, Target};
use crate::net::helper::{Arg, Call, Ret};
use crate::net::run::{Packet, packet_access};

use crate::uapi::ProgType::{Netfilter, Xdp};
use crate::uapi::{Errno, ProgTypes};

const ALL: ProgTypes = ProgTypes::ALL;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Kfunc] = &[
    Kfunc::new("bpf_dynptr_from_skb", SKB.or(ProgTypes::of(&[Netfilter])), &[Arg::Any, Arg::Any, Arg::DynptrOut], from_skb,
        "net/core/filter.c: bpf_dynptr_from_skb"),
    Kfunc::new("bpf_dynptr_from_xdp", ProgTypes::of(&[Xdp]), &[Arg::Ctx, Arg::Any, Arg::DynptrOut], from_packet,
        "net/core/filter.c: bpf_dynptr_from_xdp"),
    Kfunc::new("bpf_dynptr_slice", ALL, &[Arg::Dynptr, Arg::Any, Arg::MemOutOrNull, Arg::SizeOrZero],
        |call| slice(call, false), "kernel/bpf/helpers.c: bpf_dynptr_slice"),
    Kfunc::new("bpf_dynptr_slice_rdwr", WRITERS, &[Arg::Dynptr, Arg::Any, Arg::MemOutOrNull, Arg::SizeOrZero],
        |call| slice(call, true), "kernel/bpf/helpers.c: bpf_dynptr_slice_rdwr"),
    Kfunc::new("bpf_dynptr_adjust", ALL, &[Arg::Dynptr, Arg::Any, Arg::Any], adjust,
        "kernel/bpf/helpers.c: bpf_dynptr_adjust"),
    Kfunc::new("bpf_dynptr_is_null", ALL, &[Arg::Dynptr], |call| Ok((call.dynptr(1)?.target == Target::Null).into()),
        "kernel/bpf/helpers.c: bpf_dynptr_is_null"),
    Kfunc::new("bpf_dynptr_is_rdonly", ALL, &[Arg::Dynptr], |call| Ok(call.dynptr(1)?.rdonly.into()),
        "kernel/bpf/helpers.c: bpf_dynptr_is_rdonly"),
    Kfunc::new("bpf_dynptr_size", ALL, &[Arg::Dynptr], size, "kernel/bpf/helpers.c: bpf_dynptr_size"),
    Kfunc::new("bpf_dynptr_clone", ALL, &[Arg::Dynptr, Arg::DynptrOut], clone, "kernel/bpf/helpers.c: bpf_dynptr_clone"),
];

/// Where the program may only read packet bytes, the kernel calls `bpf_dynptr_from_skb_rdonly` instead
/// (`kernel/bpf/verifier.c: specialize_kfunc`, v6.12).
fn from_packet(call: &mut Call<'_, '_>) -> Ret {
    if call.args[1] != 0 {
        call.put_dynptr(3, Dynptr::NULL);
        return int(Err(Errno::EINVAL));
    }
    let rdonly = packet_access(call.run.prog_type) == Access::Read;
    let dynptr = match &call.run.packet {
        Packet::Xdp(xdp) => Dynptr::new(Target::Xdp, xdp.len()),
        packet if let Some(skb) = packet.skb() => Dynptr { rdonly, ..Dynptr::new(Target::Skb, skb.len()) },
        _ => return Err(call.bad_arg(1, "no packet").into()),
    };
    call.put_dynptr(3, dynptr);
    Ok(0)
}

/// The skb is the context; of a netfilter program, what its context points to.
fn from_skb(call: &mut Call<'_, '_>) -> Ret {
    let skb = match &call.run.packet {
        Packet::Nf(nf) => nf.skb_addr,
        _ => CTX_BASE,
    };
    if call.args[0] == skb { from_packet(call) } else { Err(call.bad_arg(1, "not the packet").into()) }
}

fn slice(call: &mut Call<'_, '_>, write: bool) -> Ret {
    let [_, offset, buffer, len, _] = call.args;
    let (offset, len) = (offset as u32, len as u32);
    let dynptr = *call.dynptr(1)?;
    if dynptr.target == Target::Null || write && dynptr.rdonly || !dynptr.has(offset, len) {
        return Ok(0);
    }
    let at = dynptr.offset + offset;
    let mem = &mut call.machine.mem;
    let mut bytes = vec![0; len as usize];
    match (dynptr.target, &mut call.run.packet) {
        (Target::Local(addr) | Target::Ringbuf(addr), _) => return Ok(addr + u64::from(at)),
        (Target::Skb, &mut ref packet) if let Some(skb) = packet.skb() => {
            // `skb_header_pointer`, `skb_pointer_if_linear`.
            if i64::from(skb.headlen()) - i64::from(at) >= i64::from(len) {
                return Ok(skb.linear.data_addr() + u64::from(at));
            }
            if buffer == 0 || !skb.copy_bits(mem, at as i32, &mut bytes) {
                return Ok(0);
            }
        }
        (Target::Xdp, Packet::Xdp(xdp)) => {
            // The packet may have shrunk below the dynptr's end: `bpf_xdp_pointer` says so, and the kernel copies what
            // there is.
            let inside = at <= 0xffff && len <= 0xffff && at + len <= xdp.len();
            if inside && let Some(addr) = xdp.pointer(mem, at, len) {
                return Ok(addr);
            }
            if buffer == 0 {
                return Ok(0);
            }
            let mut done = 0;
            bytes.copy_from_slice(mem.guest(buffer, len.into())?);
            xdp.for_range(mem, at, len, |piece| {
                bytes[done..done + piece.len()].copy_from_slice(piece);
                done += piece.len();
            });
        }
        _ => return Err(call.bad_arg(1, "a dynptr of another packet").into()),
    }
    call.mem_mut(buffer, len.into())?.copy_from_slice(&bytes);
    Ok(buffer)
}

fn adjust(call: &mut Call<'_, '_>) -> Ret {
    let [_, start, end, ..] = call.args.map(|arg| arg as u32);
    let dynptr = call.dynptr(1)?;
    if dynptr.target == Target::Null || start > end {
        return int(Err(Errno::EINVAL));
    }
    if end > dynptr.size {
        return int(Err(Errno::ERANGE));
    }
    dynptr.offset += start;
    dynptr.size = end - start;
    Ok(0)
}

fn size(call: &mut Call<'_, '_>) -> Ret {
    let dynptr = call.dynptr(1)?;
    int(if dynptr.target == Target::Null { Err(Errno::EINVAL) } else { Ok(dynptr.size) })
}

fn clone(call: &mut Call<'_, '_>) -> Ret {
    let dynptr = *call.dynptr(1)?;
    call.put_dynptr(2, dynptr);
    int(if dynptr.target == Target::Null { Err(Errno::EINVAL) } else { Ok(0) })
}
