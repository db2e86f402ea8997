//! Clocks. All of them stand still while a program runs.

use super::{BASE, Call, Helper, Ret};
use crate::uapi::helper::id;

/// Nanoseconds from one timer tick to the next: `CONFIG_HZ` is 250.
const TICK_NS: u64 = 4_000_000;
/// `INITIAL_JIFFIES`: five minutes before the low 32 bits wrap (`include/linux/jiffies.h`, v6.12).
const INITIAL_JIFFIES: u64 = (-300 * 250_i32) as u32 as u64;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::ktime_get_ns, BASE, &[], ktime_get_ns, "kernel/bpf/helpers.c: bpf_ktime_get_ns"),
    // The machine never sleeps, so time since boot is the same.
    Helper::new(id::ktime_get_boot_ns, BASE, &[], ktime_get_ns, "kernel/bpf/helpers.c: bpf_ktime_get_boot_ns"),
    // Nor has it a clock of its own for the world's time, which begins with the boot; nobody tells it about leap seconds.
    Helper::new(id::ktime_get_tai_ns, BASE, &[], ktime_get_ns, "kernel/bpf/helpers.c: bpf_ktime_get_tai_ns"),
    Helper::new(id::ktime_get_coarse_ns, BASE, &[], |call| Ok(call.run.env.clock_ns / TICK_NS * TICK_NS),
        "kernel/bpf/helpers.c: bpf_ktime_get_coarse_ns"),
    Helper::new(id::jiffies64, BASE, &[], |call| Ok(INITIAL_JIFFIES + call.run.env.clock_ns / TICK_NS),
        "kernel/bpf/helpers.c: bpf_jiffies64"),
];

fn ktime_get_ns(call: &mut Call<'_, '_>) -> Ret {
    Ok(call.run.env.clock_ns)
}
