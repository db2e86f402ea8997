//! `struct bpf_timer`: `kernel/bpf/helpers.c`, v6.12. A timer fires when the clock is moved past it, never by itself.

use std::collections::BTreeMap;

use crate::bpf::machine::ProgId;
use crate::bpf::map::{MapId, Maps};
use crate::bpf::mem::{Access, ObjectKind};
use crate::bpf::{Addr, Fault, engine};
use crate::net::kernel::Kernel;
use crate::net::run::{Packet, Run};
use crate::net::skb::SkBuff;
use crate::uapi::Errno;

/// Every timer initialised, by the address of the map value that holds it.
#[derive(Debug, Default)]
pub struct Timers {
    by_value: BTreeMap<Addr, Timer>,
    /// How many were ever started: of those due at the same time, the first started is the first to fire.
    starts: u64,
    /// The timer whose callback runs.
    running: Option<Addr>,
}

#[derive(Debug)]
struct Timer {
    map: MapId,
    callback: Option<(ProgId, Addr)>,
    /// When it fires, `CLOCK_MONOTONIC` in nanoseconds, and the number of its start.
    due: Option<(u64, u64)>,
}

impl Timers {
    /// Forgets the timers of values that maps have deleted or overwritten: `bpf_timer_cancel_and_free`.
    pub fn forget_freed(&mut self, maps: &mut Maps) {
        for value in maps.take_freed() {
            self.by_value.remove(&value);
        }
    }

    /// `bpf_timer_init`, the clock being checked.
    pub fn init(&mut self, value: Addr, map: MapId) -> Result<(), Errno> {
        if self.by_value.contains_key(&value) {
            return Err(Errno::EBUSY);
        }
        self.by_value.insert(value, Timer { map, callback: None, due: None });
        Ok(())
    }

    fn get(&mut self, value: Addr) -> Result<&mut Timer, Errno> {
        self.by_value.get_mut(&value).ok_or(Errno::EINVAL)
    }

    /// `bpf_timer_set_callback`.
    pub fn set_callback(&mut self, value: Addr, prog: ProgId, callback: Addr) -> Result<(), Errno> {
        self.get(value)?.callback = Some((prog, callback));
        Ok(())
    }

    /// `bpf_timer_start`: it fires at `at` nanoseconds of `CLOCK_MONOTONIC`.
    pub fn start(&mut self, value: Addr, at: u64) -> Result<(), Errno> {
        let number = self.starts;
        let timer = self.get(value)?;
        if timer.callback.is_none() {
            return Err(Errno::EINVAL);
        }
        timer.due = Some((at, number));
        self.starts += 1;
        Ok(())
    }

    /// `bpf_timer_cancel`: whether it was started. It needs a new callback before it is started again.
    pub fn cancel(&mut self, value: Addr) -> Result<bool, Errno> {
        let running = self.running;
        let timer = self.get(value)?;
        if running == Some(value) {
            return Err(Errno::EDEADLK);
        }
        timer.callback = None;
        Ok(timer.due.take().is_some())
    }

    /// The timer that fires next, at `until` or before: when, and its value.
    fn next(&self, until: u64) -> Option<(u64, Addr)> {
        let due = self.by_value.iter().filter_map(|(&value, timer)| timer.due.map(|due| (due, value)));
        due.min().filter(|((at, _), _)| *at <= until).map(|((at, _), value)| (at, value))
    }
}

impl Kernel {
    /// Moves the clock `ns` nanoseconds on and fires the timers that come due meanwhile, each at its time.
    pub fn advance(&mut self, ns: u64) -> Result<(), Box<Fault>> {
        let until = self.env.clock_ns + ns;
        self.env.timers.forget_freed(&mut self.machine.maps);
        while let Some((at, value)) = self.env.timers.next(until) {
            self.env.clock_ns = self.env.clock_ns.max(at);
            self.fire(value)?;
            self.env.timers.forget_freed(&mut self.machine.maps);
        }
        self.env.clock_ns = until;
        Ok(())
    }

    /// `bpf_timer_cb`: the callback gets the map, the key and the value.
    fn fire(&mut self, value: Addr) -> Result<(), Box<Fault>> {
        let timer = self.env.timers.get(value).expect("it is due");
        timer.due = None;
        let Some((prog, callback)) = timer.callback else { return Ok(()) };
        let map = timer.map;
        let bytes = self.machine.maps.map(map).key_of_value(value).unwrap_or_default();
        let kind = ObjectKind::Helper("key of the timer's element");
        let key = self.machine.mem.alloc(kind, Access::Read, bytes.len() as u32).unwrap_or(0);
        if key != 0 {
            self.machine.mem.raw_mut(key, bytes.len()).copy_from_slice(&bytes);
        }
        self.env.timers.running = Some(value);
        let image = self.machine.programs[prog.0 as usize].image();
        let (prog_type, attach_type) = (image.prog_type, image.attach_type);
        // No context is handed to a callback; its packet is never seen.
        let packet = Packet::Skb(Box::new(SkBuff::new(&mut self.machine.mem, &[])));
        let mut run = Run::new(&mut self.env, packet, prog_type, attach_type);
        let args = [map.handle(), key, value, 0, 0];
        let ran = engine::run_function(&mut self.machine, &mut run, prog, callback, args, self.fuel);
        self.env.timers.running = None;
        if key != 0 {
            self.machine.mem.free(key);
        }
        self.machine.maps.synchronize_rcu(&mut self.machine.mem);
        ran.map(drop)
    }
}
