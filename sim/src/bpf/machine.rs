//! The machine one kernel's programs run on, and what it asks of the floor above.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::bpf::engine::Engine;
use crate::bpf::fault::FaultKind;
use crate::bpf::map::{MapCtx, Maps};
use crate::bpf::mem::{Addr, CTX_BASE, CTX_SIZE, Memory};
use crate::bpf::remembered::Remembered;
use crate::uapi::Release;

/// What a running program asks of the kernel around it. Implemented on floor 3; the engines know only this.
pub trait Host {
    /// Calls helper `id` with `r1..r5`; the result goes to `r0`.
    ///
    /// `bpf_tail_call` never comes here: the engine does it. A helper that calls back into the program
    /// (`bpf_loop`, `bpf_for_each_map_elem`) uses [`engine::call`](super::engine::call) with itself as the host.
    fn helper(&mut self, machine: &mut Machine, id: u32, args: [u64; 5]) -> Result<u64, FaultKind>;

    /// Calls the kernel function with this number in the host's table: the number that the loader was given for its
    /// name. Arguments, result and callbacks are as for [`helper`](Self::helper).
    fn kfunc(&mut self, machine: &mut Machine, id: u32, args: [u64; 5]) -> Result<u64, FaultKind> {
        let _ = (machine, args);
        Err(FaultKind::Instruction(format!("kernel function {id} does not exist")))
    }

    /// Whether `bpf_map_lookup_elem` does now what a kernel's does, so that an engine may do it without asking.
    fn looks_up(&self) -> bool {
        false
    }

    /// Whether it tells [`Machine::remembered`] when a field of the context may read otherwise than before, and takes from
    /// there what was stored before it looks at it.
    fn remembers(&self) -> bool {
        false
    }

    /// Reads `size` bytes at `offset` of the context, zero-extended.
    fn ctx_load(&mut self, machine: &mut Machine, offset: u32, size: u32) -> Result<u64, FaultKind>;

    /// Writes the low `size` bytes of `value` at `offset` of the context. `value` is the whole register: what the kernel
    /// makes of a store may look at all of it.
    fn ctx_store(
        &mut self,
        machine: &mut Machine,
        offset: u32,
        size: u32,
        value: u64,
    ) -> Result<(), FaultKind>;

    /// The program is about to end: whatever it had to give back before must be back.
    fn exit(&mut self, machine: &mut Machine) -> Result<(), FaultKind> {
        let _ = machine;
        Ok(())
    }

    /// Writes the number of a `BPF_ST` instruction, which the kernel may treat unlike a register's.
    fn ctx_store_imm(
        &mut self,
        machine: &mut Machine,
        offset: u32,
        size: u32,
        imm: i32,
    ) -> Result<(), FaultKind> {
        self.ctx_store(machine, offset, size, i64::from(imm) as u64)
    }

    /// `LD_ABS` and `LD_IND`: `size` bytes at `offset` of the packet, big-endian; `None` when they are not all there,
    /// which ends the function with 0. Negative offsets are `SKF_NET_OFF` and `SKF_LL_OFF` of
    /// `include/uapi/linux/filter.h`. Only programs over an skb have these instructions.
    fn packet_load(
        &mut self,
        machine: &mut Machine,
        offset: i32,
        size: u32,
    ) -> Result<Option<u64>, FaultKind> {
        let _ = (machine, offset, size);
        Err(FaultKind::Instruction("LD_ABS and LD_IND need an skb".to_owned()))
    }
}

/// Identifies a program loaded into a [`Machine`]; also what a prog array's syscall side shows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProgId(pub u32);

/// Guest memory, maps and programs of one kernel.
pub struct Machine {
    /// The guest's address space.
    pub mem: Memory,
    /// Every map, by id.
    pub maps: Maps,
    /// Every program, by [`ProgId`].
    pub programs: Vec<Rc<super::program::Program>>,
    /// The kernel spoken as.
    pub release: Release,
    /// The CPU programs run on, below [`nr_cpus`](Self::nr_cpus).
    pub cpu: u32,
    /// Possible CPUs: how many values a per-CPU element has.
    pub nr_cpus: u32,
    /// The ifindex of every device, for maps that hold devices.
    pub devices: Vec<u32>,
    /// Called before every instruction. Whether there is one is looked at when a program or callback begins, so that
    /// none costs nothing.
    pub trace: Option<Tracer>,
    /// What runs programs.
    pub engine: Engine,
    /// What is known of the context.
    pub remembered: Remembered,
    /// Instructions executed by runs that have ended without a fault, whichever engine it was.
    pub executed: u64,
    pub(super) run: super::interp::Run,
    pub(super) lowered: BTreeMap<ProgId, Rc<super::rbpf::Lowered>>,
}

/// See [`Machine::trace`].
pub type Tracer = Box<dyn FnMut(&super::interp::Step<'_>)>;

impl Machine {
    /// A machine with neither maps nor programs, at CPU 0.
    pub fn new(release: Release, nr_cpus: u32) -> Self {
        Self {
            mem: Memory::new(),
            maps: Maps::default(),
            programs: Vec::new(),
            release,
            cpu: 0,
            nr_cpus,
            devices: Vec::new(),
            trace: None,
            engine: Engine::default(),
            remembered: Remembered::default(),
            executed: 0,
            run: super::interp::Run::default(),
            lowered: BTreeMap::new(),
        }
    }

    /// The maps, and where their operations happen.
    pub fn maps(&mut self) -> (&mut Maps, MapCtx<'_>) {
        let ctx = MapCtx {
            mem: &mut self.mem,
            cpu: self.cpu,
            nr_cpus: self.nr_cpus,
            release: self.release,
            devices: &self.devices,
        };
        (&mut self.maps, ctx)
    }

    /// `bpf_map_lookup_elem` where nothing is wrong with the arguments. `None`: the host has to look at them.
    #[inline]
    pub(super) fn look_up(&mut self, handle: Addr, key: Addr) -> Option<Addr> {
        let map = self.maps.by_handle(handle)?;
        if !self.maps.looks_up(map) || key < CTX_BASE + CTX_SIZE {
            return None;
        }
        if let Some(addr) = self.maps.map(map).glance(&self.mem, key, self.cpu) {
            return Some(addr);
        }
        let (maps, mut ctx) = self.maps();
        maps.map(map).lookup(&mut ctx, key).ok()
    }

    /// Adds a program.
    pub fn add_program(&mut self, program: super::program::Program) -> ProgId {
        self.programs.push(Rc::new(program));
        ProgId(self.programs.len() as u32 - 1)
    }
}
