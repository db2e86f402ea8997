//! Samples from user space.

use super::{Arg, BASE, Call, Failure, Helper, Ret};
use crate::bpf::FaultKind;
use crate::bpf::map::{MapId, Sample};
use crate::bpf::mem::{Access, ObjectKind};
use crate::net::dynptr::{Dynptr, SIZE, Target};
use crate::uapi::helper::id;
use crate::uapi::{Errno, MapType};

/// `BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP`: whether the producer is woken up has no effect here.
const WAKEUP_FLAGS: u64 = 3;
/// `BPF_MAX_USER_RINGBUF_SAMPLES`.
const BPF_MAX_USER_RINGBUF_SAMPLES: u64 = 128 * 1024;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::user_ringbuf_drain, BASE, &[Arg::Map(&[MapType::UserRingbuf]), Arg::Func, Arg::Any, Arg::Any], drain,
        "kernel/bpf/ringbuf.c: bpf_user_ringbuf_drain"),
];

/// A callback that drains the ring it is called for finds it busy.
fn drain(call: &mut Call<'_, '_>) -> Ret {
    if call.args[3] & !WAKEUP_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    let id = call.map_id(1);
    if call.run.draining.contains(&id) {
        return Err(Errno::EBUSY.into());
    }
    call.run.draining.push(id);
    let done = samples(call, id);
    call.run.draining.pop();
    done
}

fn samples(call: &mut Call<'_, '_>, id: MapId) -> Ret {
    let (mut samples, mut discarded) = (0, 0);
    let mut stop = false;
    while samples < BPF_MAX_USER_RINGBUF_SAMPLES && !stop {
        match call.machine.maps.map(id).user_ringbuf().expect("the arguments were checked").peek()? {
            Sample::Nothing => break,
            Sample::Discarded => discarded += 1,
            Sample::Bytes(bytes) => stop = one(call, id, bytes)?,
        }
        samples += 1;
    }
    Ok(samples - discarded)
}

/// Shows the callback one sample, through a dynptr that it can only hand on; gives whether that is enough.
fn one(call: &mut Call<'_, '_>, id: MapId, mut bytes: Vec<u8>) -> Result<bool, Failure> {
    let mem = &mut call.machine.mem;
    let kind = ObjectKind::Helper("sample of a user ring buffer");
    let sample = mem.alloc(kind, Access::ReadWrite, bytes.len() as u32).ok_or(Errno::ENOMEM)?;
    mem.raw_mut(sample, bytes.len()).copy_from_slice(&bytes);
    let dynptr = mem.alloc(ObjectKind::Helper("dynptr"), Access::Read, SIZE).ok_or(Errno::ENOMEM)?;
    let target = Dynptr { owner: Some(dynptr), ..Dynptr::new(Target::Local(sample), bytes.len() as u32) };
    call.run.dynptrs.put(mem, dynptr, target);
    let answer = call.call_back(call.args[1], [dynptr, call.args[2], 0, 0, 0]);
    call.run.dynptrs.release(dynptr);
    let mem = &mut call.machine.mem;
    let len = bytes.len();
    bytes.copy_from_slice(mem.raw(sample, len));
    mem.free(sample);
    mem.free(dynptr);
    call.machine.maps.map(id).user_ringbuf().expect("it was drained").release(&bytes);
    match answer? {
        0 => Ok(false),
        1 => Ok(true),
        other => {
            let what = format!("the callback returns {}, and it may return 0 or 1 only", other as i64);
            Err(FaultKind::Instruction(what).into())
        }
    }
}
