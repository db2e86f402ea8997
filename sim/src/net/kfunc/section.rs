//! Sections a program enters and has to leave.

use super::Kfunc;
use crate::bpf::FaultKind;
use crate::net::held::Kind;
use crate::net::helper::{Call, Failure, Ret};
use crate::uapi::ProgTypes;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Kfunc] = &[
    Kfunc::new("bpf_rcu_read_lock", ProgTypes::ALL, &[], rcu_lock, "kernel/bpf/helpers.c: bpf_rcu_read_lock"),
    Kfunc::new("bpf_rcu_read_unlock", ProgTypes::ALL, &[], |call| leave(call, Kind::Rcu),
        "kernel/bpf/helpers.c: bpf_rcu_read_unlock"),
    Kfunc::new("bpf_preempt_disable", ProgTypes::ALL, &[], |call| enter(call, Kind::Preempt),
        "kernel/bpf/helpers.c: bpf_preempt_disable"),
    Kfunc::new("bpf_preempt_enable", ProgTypes::ALL, &[], |call| leave(call, Kind::Preempt),
        "kernel/bpf/helpers.c: bpf_preempt_enable"),
];

/// `kernel/bpf/verifier.c: check_kfunc_call`, v6.12: RCU read locks do not nest.
fn rcu_lock(call: &mut Call<'_, '_>) -> Ret {
    if call.run.held.has(Kind::Rcu, 0) {
        return Err(FaultKind::Instruction("nested rcu read lock".to_owned()).into());
    }
    enter(call, Kind::Rcu)
}

/// Nothing runs beside a program here: entering and leaving is all there is.
fn enter(call: &mut Call<'_, '_>, kind: Kind) -> Ret {
    call.run.held.acquire(kind, 0);
    Ok(0)
}

fn leave(call: &mut Call<'_, '_>, kind: Kind) -> Ret {
    if call.run.held.release(kind, 0) {
        return Ok(0);
    }
    let why = format!("bpf_{} without {kind}", call.name);
    Err(Failure::Fault(FaultKind::Instruction(why)))
}
