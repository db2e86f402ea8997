//! Records for user space: ring buffers and perf events.

use super::{Arg, BASE, CGROUP_CURRENT, Call, Helper, LWT, Ret, TC};
use crate::bpf::map::{Ringbuf, RingbufQuery};
use crate::net::run::Packet;
use crate::uapi::helper::id;
use crate::uapi::{Errno, MapType, ProgType, ProgTypes};

const PERF: ProgTypes =
    ProgTypes::of(&[ProgType::CgroupSkb, ProgType::SocketFilter, ProgType::SkSkb, ProgType::Xdp])
        .or(TC)
        .or(LWT);
/// Whose events are data alone, and no packet after them.
const DATA: ProgTypes =
    CGROUP_CURRENT.or(ProgTypes::of(&[ProgType::SockOps, ProgType::SkMsg, ProgType::SkLookup]));
const EVENT: &[Arg] = &[Arg::Ctx, Arg::Map(&[MapType::PerfEventArray]), Arg::Any, Arg::Mem, Arg::SizeOrZero];
const RINGBUF: Arg = Arg::Map(&[MapType::Ringbuf]);

/// `BPF_RB_NO_WAKEUP`.
const BPF_RB_NO_WAKEUP: u64 = 1 << 0;
/// `BPF_RB_FORCE_WAKEUP`.
const BPF_RB_FORCE_WAKEUP: u64 = 1 << 1;
/// `BPF_F_INDEX_MASK`; all of it set is `BPF_F_CURRENT_CPU`.
const BPF_F_INDEX_MASK: u64 = 0xffff_ffff;
/// `BPF_F_CTXLEN_MASK`.
const BPF_F_CTXLEN_MASK: u64 = 0xf_ffff << 32;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::ringbuf_reserve, BASE, &[RINGBUF, Arg::SizeOrZero, Arg::Any], reserve,
        "kernel/bpf/ringbuf.c: bpf_ringbuf_reserve"),
    Helper::new(id::ringbuf_submit, BASE, &[Arg::Record, Arg::Any], |call| commit(call, false),
        "kernel/bpf/ringbuf.c: bpf_ringbuf_submit"),
    Helper::new(id::ringbuf_discard, BASE, &[Arg::Record, Arg::Any], |call| commit(call, true),
        "kernel/bpf/ringbuf.c: bpf_ringbuf_discard"),
    Helper::new(id::ringbuf_output, BASE, &[RINGBUF, Arg::Mem, Arg::SizeOrZero, Arg::Any], output,
        "kernel/bpf/ringbuf.c: bpf_ringbuf_output"),
    Helper::new(id::ringbuf_query, BASE, &[RINGBUF, Arg::Any], query, "kernel/bpf/ringbuf.c: bpf_ringbuf_query"),
    Helper::new(id::perf_event_output, PERF, EVENT, perf_event_output,
        "net/core/filter.c: bpf_skb_event_output, bpf_xdp_event_output"),
    Helper::new(id::perf_event_output, DATA, EVENT, event_output_data,
        "kernel/bpf/helpers.c: bpf_event_output_data"),
];

impl Call<'_, '_> {
    fn ring(&mut self) -> &mut Ringbuf {
        let id = self.map_id(1);
        self.machine.maps.map(id).ringbuf().expect("the arguments were checked")
    }
}

fn reserve(call: &mut Call<'_, '_>) -> Ret {
    let [_, size, flags, _, _] = call.args;
    if flags != 0 {
        return Ok(0);
    }
    let id = call.map_id(1);
    let (maps, ctx) = call.machine.maps();
    let ring = maps.map(id).ringbuf().expect("the arguments were checked");
    Ok(ring.reserve(ctx.mem, size).unwrap_or(0))
}

/// Whether the consumer is woken up has no effect here.
fn commit(call: &mut Call<'_, '_>, discard: bool) -> Ret {
    let sample = call.args[0];
    let (maps, ctx) = call.machine.maps();
    if maps.ringbuf_commit(ctx.mem, sample, discard) {
        return Ok(0);
    }
    Err(call.bad_arg(1, "not a reserved record").into())
}

fn output(call: &mut Call<'_, '_>) -> Ret {
    let [_, data, size, flags, _] = call.args;
    if flags & !(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let data = call.mem(data, size)?.to_vec();
    call.ring().output(&data)?;
    Ok(0)
}

fn query(call: &mut Call<'_, '_>) -> Ret {
    let question = RingbufQuery::from_flags(call.args[1]);
    Ok(question.map_or(0, |question| call.ring().query(question)))
}

/// The record is the caller's bytes and, if asked for, the first bytes of the packet.
fn perf_event_output(call: &mut Call<'_, '_>) -> Ret {
    let [_, _, flags, data, size] = call.args;
    if flags & !(BPF_F_CTXLEN_MASK | BPF_F_INDEX_MASK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut record = call.mem(data, size)?.to_vec();
    let packet_len = ((flags & BPF_F_CTXLEN_MASK) >> 32) as u32;
    match &mut call.run.packet {
        Packet::Skb(skb) => {
            let start = record.len();
            record.resize(start + packet_len as usize, 0);
            if packet_len > skb.len() || !skb.copy_bits(&call.machine.mem, 0, &mut record[start..]) {
                return Err(Errno::EFAULT.into());
            }
        }
        Packet::Xdp(xdp) => {
            if packet_len > xdp.len() {
                return Err(Errno::EFAULT.into());
            }
            let mem = &mut call.machine.mem;
            xdp.for_range(mem, 0, packet_len, |piece| record.extend_from_slice(piece));
        }
        _ => unreachable!("the row is for packets"),
    }
    hand_over(call, record)
}

fn event_output_data(call: &mut Call<'_, '_>) -> Ret {
    let [_, _, flags, data, size] = call.args;
    if flags & !BPF_F_INDEX_MASK != 0 {
        return Err(Errno::EINVAL.into());
    }
    let record = call.mem(data, size)?.to_vec();
    hand_over(call, record)
}

/// `__bpf_perf_event_output`: to the event of the slot that the flags choose.
fn hand_over(call: &mut Call<'_, '_>, record: Vec<u8>) -> Ret {
    let cpu = call.machine.cpu;
    let index = match call.args[2] & BPF_F_INDEX_MASK {
        BPF_F_INDEX_MASK => cpu,
        index => index as u32,
    };
    let id = call.map_id(2);
    call.machine.maps.map(id).perf_output(cpu, index, record)?;
    Ok(0)
}
