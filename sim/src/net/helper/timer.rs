//! Timers inside map values.

use super::{Arg, BASE, Call, Failure, Helper, Ret};
use crate::bpf::map::{MapId, SpecialKind};
use crate::bpf::{Addr, engine};
use crate::uapi::helper::id;
use crate::uapi::{Errno, MapType};

const CLOCK_REALTIME: u64 = 0;
const CLOCK_MONOTONIC: u64 = 1;
const CLOCK_BOOTTIME: u64 = 7;
/// `BPF_F_TIMER_ABS`.
const BPF_F_TIMER_ABS: u64 = 1 << 0;

const HOLDERS: Arg = Arg::Map(&[MapType::Array, MapType::Hash, MapType::LruHash]);

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::timer_init, BASE, &[Arg::Any, HOLDERS, Arg::Any], init, "kernel/bpf/helpers.c: bpf_timer_init"),
    Helper::new(id::timer_set_callback, BASE, &[Arg::Any, Arg::Func], set_callback,
        "kernel/bpf/helpers.c: bpf_timer_set_callback"),
    Helper::new(id::timer_start, BASE, &[Arg::Any, Arg::Any, Arg::Any], start, "kernel/bpf/helpers.c: bpf_timer_start"),
    Helper::new(id::timer_cancel, BASE, &[Arg::Any], cancel, "kernel/bpf/helpers.c: bpf_timer_cancel"),
];

impl Call<'_, '_> {
    /// The map and the value that hold the timer in argument 1. Values deleted before have lost theirs.
    fn timer(&mut self) -> Result<(MapId, Addr), Failure> {
        self.run.env.timers.forget_freed(&mut self.machine.maps);
        self.value_of_field(SpecialKind::Timer)
    }
}

/// All three clocks are the same here: the machine never sleeps and was started at the beginning of the epoch.
fn init(call: &mut Call<'_, '_>) -> Ret {
    let [_, _, clock, _, _] = call.args;
    let (map, value) = call.timer()?;
    if map != call.map_id(2) {
        return Err(call.bad_arg(2, "not the map the timer is in").into());
    }
    if !matches!(clock, CLOCK_REALTIME | CLOCK_MONOTONIC | CLOCK_BOOTTIME) {
        return Err(Errno::EINVAL.into());
    }
    call.run.env.timers.init(value, map)?;
    Ok(0)
}

fn set_callback(call: &mut Call<'_, '_>) -> Ret {
    let (_, value) = call.timer()?;
    let prog = engine::running(call.machine).expect("a helper has a running program");
    call.run.env.timers.set_callback(value, prog, call.args[1])?;
    Ok(0)
}

fn start(call: &mut Call<'_, '_>) -> Ret {
    let [_, ns, flags, _, _] = call.args;
    let (_, value) = call.timer()?;
    if flags & !call.machine.release.timer_start_flags() != 0 {
        return Err(Errno::EINVAL.into());
    }
    let now = call.run.env.clock_ns;
    let at = if flags & BPF_F_TIMER_ABS != 0 { ns } else { now.saturating_add(ns) };
    call.run.env.timers.start(value, at)?;
    Ok(0)
}

fn cancel(call: &mut Call<'_, '_>) -> Ret {
    let (_, value) = call.timer()?;
    Ok(call.run.env.timers.cancel(value)?.into())
}
