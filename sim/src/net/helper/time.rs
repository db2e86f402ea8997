//! Clocks and random numbers.

use super::{BASE, Call, Helper, Ret};
use crate::uapi::helper::id;

/// The family's rows.
pub const ROWS: &[Helper] = &[Helper {
    id: id::ktime_get_ns,
    types: BASE,
    args: &[],
    moves_packet: false,
    cite: "kernel/bpf/helpers.c: bpf_ktime_get_ns",
    call: ktime_get_ns,
}];

fn ktime_get_ns(call: &mut Call<'_, '_>) -> Ret {
    Ok(call.run.env.clock_ns)
}
