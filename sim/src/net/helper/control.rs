//! Loops, locks, and where a program runs.

use super::{Arg, BASE, Call, Failure, GIVEN, Helper, PLAIN, Ret};
use crate::bpf::map::{MapId, SpecialKind};
use crate::bpf::mem::ObjectKind;
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgType, ProgTypes};

/// `BPF_MAX_LOOPS`.
const BPF_MAX_LOOPS: u64 = 8 << 20;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::loop_, BASE, &[Arg::Any, Arg::Func, Arg::Any, Arg::Any], bpf_loop,
        "kernel/bpf/bpf_iter.c: bpf_loop"),
    Helper::new(id::spin_lock, LOCKING, &[Arg::Any], spin_lock, "kernel/bpf/helpers.c: bpf_spin_lock"),
    Helper::new(id::spin_unlock, LOCKING, &[Arg::Any], spin_unlock, "kernel/bpf/helpers.c: bpf_spin_unlock"),
    Helper::new(id::get_smp_processor_id, BASE, &[], |call| Ok(call.machine.cpu.into()),
        "kernel/bpf/helpers.c: bpf_get_smp_processor_id"),
    Helper::new(id::get_numa_node_id, BASE, &[], |_| Ok(0), "kernel/bpf/helpers.c: bpf_get_numa_node_id"),
    Helper::new(id::get_prandom_u32, BASE, &[], |call| Ok(call.run.env.prandom_u32().into()),
        "kernel/bpf/core.c: bpf_user_rnd_u32"),
];

/// Whom the verifier lets use maps with a lock: `kernel/bpf/verifier.c: check_map_prog_compatibility`, v6.12.
const LOCKING: ProgTypes = ProgTypes::of(&[
    ProgType::CgroupSkb,
    ProgType::Xdp,
    ProgType::SchedCls,
    ProgType::SchedAct,
    ProgType::SkLookup,
    ProgType::FlowDissector,
    ProgType::LwtIn,
    ProgType::LwtOut,
    ProgType::LwtXmit,
    ProgType::LwtSeg6local,
    ProgType::SkSkb,
])
.or(PLAIN)
.or(GIVEN);

/// The verifier puts the loop in place of the call when the flags are a constant zero
/// (`kernel/bpf/verifier.c: inline_bpf_loop`, v6.12). That loop compares all 64 bits of the count and moves its error
/// as 32; zero flags are taken to be constant here, as C code has them.
fn bpf_loop(call: &mut Call<'_, '_>) -> Ret {
    let [count, callback, context, flags, _] = call.args;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    if count > BPF_MAX_LOOPS {
        return Ok(u64::from(Errno::E2BIG.as_r0() as u32));
    }
    for index in 0..count {
        if call.call_back(callback, [index, context, 0, 0, 0])? != 0 {
            return Ok(index + 1);
        }
    }
    Ok(count)
}

fn spin_lock(call: &mut Call<'_, '_>) -> Ret {
    let lock = call.special_field(SpecialKind::SpinLock)?;
    call.run.lock = Some(lock);
    Ok(0)
}

fn spin_unlock(call: &mut Call<'_, '_>) -> Ret {
    let lock = call.special_field(SpecialKind::SpinLock)?;
    if call.run.lock != Some(lock) {
        return Err(call.bad_arg(1, "not the lock that is held").into());
    }
    call.run.lock = None;
    Ok(0)
}

impl Call<'_, '_> {
    /// The address in argument 1, which has to be that of a map value's field of this kind.
    pub(super) fn special_field(&self, kind: SpecialKind) -> Result<u64, Failure> {
        self.value_of_field(kind).map(|_| self.args[0])
    }

    /// The map and the value that hold the field in argument 1.
    pub(super) fn value_of_field(&self, kind: SpecialKind) -> Result<(MapId, u64), Failure> {
        let addr = self.args[0];
        let object = self.machine.mem.object_at(addr, u64::from(kind.size()));
        if let Some(object) = object
            && let ObjectKind::MapValue(id) = object.kind
        {
            let offset = addr - object.base;
            let fields = &self.machine.maps.spec(MapId(id)).fields;
            if fields.iter().any(|field| field.kind == kind && u64::from(field.offset) == offset) {
                return Ok((MapId(id), object.base));
            }
        }
        Err(self.bad_arg(1, format!("no {kind:?} of a map value")).into())
    }
}
