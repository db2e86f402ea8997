//! One call of a helper: its arguments, checked, and what it may reach.

use super::Arg;
use crate::bpf::engine;
use crate::bpf::map::{Map, MapCtx, MapId};
use crate::bpf::mem::{CTX_BASE, CTX_SIZE};
use crate::bpf::{Addr, FaultKind, Machine, Memory};
use crate::net::held::Reference;
use crate::net::run::{Packet, Run};
use crate::net::skb::SkBuff;
use crate::net::sockets::Known;
use crate::net::xdp::XdpBuff;
use crate::uapi::MapType;

/// `kernel/bpf/verifier.c: BPF_MAX_VAR_SIZ`, v6.12.
const BPF_MAX_VAR_SIZ: u64 = 1 << 29;

/// One call of a helper or kernel function.
pub struct Call<'a, 'k> {
    /// The running program.
    pub run: &'a mut Run<'k>,
    /// Memory, maps and programs.
    pub machine: &'a mut Machine,
    /// Its name without `bpf_`.
    pub name: &'static str,
    /// What its arguments are.
    pub params: &'static [Arg],
    /// `r1` to `r5`.
    pub args: [u64; 5],
}

impl Call<'_, '_> {
    /// A fault of argument `number`, from 1.
    pub fn bad_arg(&self, number: usize, why: impl Into<String>) -> FaultKind {
        FaultKind::Argument { helper: self.name, number: number as u8, why: why.into() }
    }

    /// What the verifier would check of the arguments.
    pub fn check_args(&mut self) -> Result<(), FaultKind> {
        let mut sizes = (0, 0);
        let params = self.params;
        for (index, &arg) in params.iter().enumerate() {
            let value = self.args[index];
            let number = index + 1;
            match arg {
                Arg::Ctx if value != CTX_BASE => return Err(self.bad_arg(number, "not the context")),
                Arg::CtxOrNull if value != 0 && value != CTX_BASE => {
                    return Err(self.bad_arg(number, "neither the context nor NULL"));
                }
                Arg::Map(types) => sizes = self.check_map(number, value, types)?,
                Arg::Key => self.check_mem(value, sizes.0, false)?,
                Arg::Value if self.is_socket_map(params) => {
                    self.sock(number)?;
                }
                Arg::ValueOrNull | Arg::SockOrNull if value == 0 => {}
                Arg::Sock | Arg::SockOrNull => {
                    self.sock(number)?;
                }
                Arg::Value | Arg::ValueOrNull => self.check_mem(value, sizes.1, false)?,
                Arg::ValueOut => self.check_mem(value, sizes.1, true)?,
                Arg::Mem => self.check_mem(value, self.args[index + 1], false)?,
                Arg::MemOrNull if value != 0 => self.check_mem(value, self.args[index + 1], false)?,
                Arg::MemOut => self.check_mem(value, self.args[index + 1], true)?,
                Arg::MemOutOrNull if value != 0 => self.check_mem(value, self.args[index + 1], true)?,
                Arg::Size if value == 0 => return Err(self.bad_arg(number, "a size of 0")),
                Arg::Size | Arg::SizeOrZero if value >= BPF_MAX_VAR_SIZ => {
                    return Err(self.bad_arg(number, format!("a size of {}", value as i64)));
                }
                Arg::DynptrOut => self.check_dynptr_out(number)?,
                Arg::FixedIn(len) => self.check_mem(value, len.into(), false)?,
                Arg::Fixed(len) => self.check_mem(value, len.into(), true)?,
                // What holds, and what the helper itself looks at.
                _ => {}
            }
        }
        Ok(())
    }

    fn check_mem(&self, addr: Addr, len: u64, write: bool) -> Result<(), FaultKind> {
        // Not even where the context is plain memory: `kernel/bpf/verifier.c: mem_types`, v6.12.
        if (CTX_BASE..CTX_BASE + CTX_SIZE).contains(&addr) {
            return Err(self.machine.mem.bad_access(addr, len, write).into());
        }
        if len > 0 {
            self.machine.mem.check(addr, len, write)?;
        }
        Ok(())
    }

    /// Key and value size of the map argument `number` stands for.
    fn check_map(&self, number: usize, handle: Addr, types: &[MapType]) -> Result<(u64, u64), FaultKind> {
        let Some(id) = self.machine.maps.by_handle(handle) else {
            return Err(self.bad_arg(number, "not a map"));
        };
        let spec = self.machine.maps.spec(id);
        let (map_type, sizes) = (spec.map_type, (spec.key_size.into(), spec.value_size.into()));
        if !types.is_empty() && !types.contains(&map_type) {
            return Err(self.bad_arg(number, format!("a map of type {map_type}")));
        }
        Ok(sizes)
    }

    /// Whether the first map among the arguments, which was checked, takes pointers to sockets for values.
    fn is_socket_map(&self, params: &[Arg]) -> bool {
        let map = params.iter().position(|arg| matches!(arg, Arg::Map(_)));
        map.is_some_and(|index| {
            let spec = self.machine.maps.spec(self.map_id(index + 1));
            matches!(spec.map_type, MapType::Sockmap | MapType::Sockhash)
        })
    }

    /// The socket argument `number` (from 1) points at.
    pub fn sock(&self, number: usize) -> Result<Known, FaultKind> {
        let known = self.run.socket(self.machine, self.args[number - 1]);
        known.ok_or_else(|| self.bad_arg(number, "not a socket"))
    }

    /// Calls back into the program, which has to give back whatever it acquires before it returns
    /// (`kernel/bpf/verifier.c: check_reference_leak`, v6.12).
    pub fn call_back(&mut self, function: Addr, args: [u64; 5]) -> Result<u64, FaultKind> {
        let mark = self.run.held.mark();
        let r0 = engine::call(self.machine, self.run, function, args)?;
        self.run.take_stored(self.machine);
        match self.run.held.leaked_since(mark) {
            Some(Reference { kind, addr }) => {
                let what = format!("a callback returned without giving back the {kind} at {addr:#x}");
                Err(FaultKind::Unreleased(what))
            }
            // `set_loop_callback_state` and its like: `callback_ret_range`.
            None if r0 > 1 => {
                let what = format!("a callback returned {}, and may return 0 or 1 only", r0 as i64);
                Err(FaultKind::Instruction(what))
            }
            None => Ok(r0),
        }
    }

    /// Bytes the program lets the helper read.
    pub fn mem(&self, addr: Addr, len: u64) -> Result<&[u8], FaultKind> {
        Ok(self.machine.mem.guest(addr, len)?)
    }

    /// Bytes the program lets the helper write.
    pub fn mem_mut(&mut self, addr: Addr, len: u64) -> Result<&mut [u8], FaultKind> {
        Ok(self.machine.mem.guest_mut(addr, len)?)
    }

    /// The packet of a program whose context is an skb, and guest memory.
    ///
    /// # Panics
    /// If the row lets other program types in.
    pub fn skb(&mut self) -> (&mut SkBuff, &mut Memory) {
        match &mut self.run.packet {
            Packet::Skb(skb) => (skb, &mut self.machine.mem),
            _ => panic!("{} is for skb programs", self.name),
        }
    }

    /// The packet of an XDP program, and guest memory.
    ///
    /// # Panics
    /// If the row lets other program types in.
    pub fn xdp(&mut self) -> (&mut XdpBuff, &mut Memory) {
        match &mut self.run.packet {
            Packet::Xdp(xdp) => (xdp, &mut self.machine.mem),
            _ => panic!("{} is for XDP programs", self.name),
        }
    }

    /// The map whose handle is argument `number` (from 1).
    ///
    /// # Panics
    /// If the row does not say that the argument is a map.
    pub fn map_id(&self, number: usize) -> MapId {
        self.machine.maps.by_handle(self.args[number - 1]).expect("the arguments were checked")
    }

    /// The map whose handle is argument `number` (from 1), and what its operations need.
    pub fn map(&mut self, number: usize) -> (&mut dyn Map, MapCtx<'_>) {
        let id = self.map_id(number);
        let machine = &mut *self.machine;
        let ctx = MapCtx {
            mem: &mut machine.mem,
            cpu: machine.cpu,
            nr_cpus: machine.nr_cpus,
            release: machine.release,
            devices: &machine.devices,
        };
        (machine.maps.map(id), ctx)
    }
}
