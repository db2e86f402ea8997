//! A kernel as small as it can be: a packet, a context of a few fields, memory to hand out.
#![allow(dead_code)] // each test uses a part

use bpftwin_sim::bpf::asm;
use bpftwin_sim::bpf::fault::{Fault, FaultKind};
use bpftwin_sim::bpf::interp::{self, Ran};
use bpftwin_sim::bpf::jit;
use bpftwin_sim::bpf::machine::{Host, Machine, ProgId};
use bpftwin_sim::bpf::map::{MapId, MapSpec, Reference, TailCallee};
use bpftwin_sim::bpf::mem::{Access, Addr, Object, ObjectKind, PACKET_BASE};
use bpftwin_sim::bpf::program::{DecodeError, Function, Image, Program};
use bpftwin_sim::bpf::vectors::PACKET;
use bpftwin_sim::uapi::{MapType, ProgType, Release};

/// Offsets of `len`, `cb`, `data` and `data_end` in `struct __sk_buff`.
pub const CTX_LEN: u32 = 0;
pub const CTX_CB: u32 = 48;
pub const CTX_DATA: u32 = 76;
pub const CTX_DATA_END: u32 = 80;

/// Where the packet lies.
pub const PACKET_AT: Addr = PACKET_BASE + 258;

/// Helpers are what a test makes them.
pub type Helper = fn(&mut TestHost, &mut Machine, u32, [u64; 5]) -> Result<u64, FaultKind>;

pub struct TestHost {
    pub helper: Helper,
    /// What the program has to do with it is the helper's business.
    pub note: Vec<u64>,
    /// `cb[0]` and `cb[1]`.
    pub cb: [u64; 2],
}

impl Default for TestHost {
    fn default() -> Self {
        Self {
            helper: |_, _, id, _| Err(FaultKind::Instruction(format!("no helper {id}"))),
            note: Vec::new(),
            cb: [0; 2],
        }
    }
}

impl Host for TestHost {
    fn helper(&mut self, machine: &mut Machine, id: u32, args: [u64; 5]) -> Result<u64, FaultKind> {
        (self.helper)(self, machine, id, args)
    }

    fn ctx_load(&mut self, _: &mut Machine, offset: u32, size: u32) -> Result<u64, FaultKind> {
        match (offset, size) {
            (CTX_LEN, 4) => Ok(PACKET.len() as u64),
            (CTX_CB..56, 4) if offset.is_multiple_of(4) => Ok(self.cb[(offset - CTX_CB) as usize / 4]),
            (CTX_DATA, 4) => Ok(PACKET_AT),
            (CTX_DATA_END, 4) => Ok(PACKET_AT + PACKET.len() as u64),
            _ => Err(FaultKind::Context { offset, size, write: false, why: "no such field" }),
        }
    }

    fn ctx_store(&mut self, _: &mut Machine, offset: u32, size: u32, value: u64) -> Result<(), FaultKind> {
        if (CTX_CB..56).contains(&offset) && offset.is_multiple_of(4) && size == 4 {
            self.cb[(offset - CTX_CB) as usize / 4] = u64::from(value as u32);
            return Ok(());
        }
        Err(FaultKind::Context { offset, size, write: true, why: "no such field" })
    }

    fn packet_load(&mut self, _: &mut Machine, offset: i32, size: u32) -> Result<Option<u64>, FaultKind> {
        let bytes = usize::try_from(offset).ok().and_then(|at| PACKET.get(at..at + size as usize));
        Ok(bytes.map(|bytes| bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))))
    }
}

/// A machine with the packet in place.
pub fn machine(release: Release) -> Machine {
    let mut machine = Machine::new(release, 1);
    machine.mem.map(Object {
        base: PACKET_AT,
        len: PACKET.len() as u32,
        access: Access::ReadWrite,
        kind: ObjectKind::Packet,
    });
    machine.mem.raw_mut(PACKET_AT, PACKET.len()).copy_from_slice(&PACKET);
    machine
}

pub fn program(slots: Vec<u64>, functions: Vec<Function>) -> Result<Program, DecodeError> {
    Program::new(Image {
        name: "main".to_owned(),
        prog_type: ProgType::SchedCls,
        attach_type: None,
        xdp_has_frags: false,
        license_gpl: true,
        slots,
        functions,
        lines: Vec::new(),
        maps: Vec::new(),
    })
}

/// Loads assembly that is known to be right.
pub fn load(machine: &mut Machine, text: &str) -> ProgId {
    let code = asm::assemble(text).unwrap_or_else(|e| panic!("{e}"));
    machine.add_program(program(code.slots, code.functions).unwrap_or_else(|e| panic!("{text}: {e}")))
}

pub const FUEL: u64 = 1_000_000;

pub fn run(machine: &mut Machine, prog: ProgId) -> Result<Ran, Box<Fault>> {
    run_with(machine, prog, FUEL, TestHost::default).1
}

/// As [`run`], of a program that finds other values when it runs again: the engines must agree on counts and faults.
pub fn run_changing(machine: &mut Machine, prog: ProgId) -> Result<Ran, Box<Fault>> {
    let ran = interp::run(machine, &mut TestHost::default(), prog, FUEL);
    if jit::available().is_ok() {
        let compiled = jit::run(machine, &mut TestHost::default(), prog, FUEL);
        assert_eq!(compiled.map(|ran| ran.insns), ran.clone().map(|ran| ran.insns), "jit and interp");
    }
    ran
}

/// Runs on every engine; they must agree on all that can be seen.
pub fn run_with(
    machine: &mut Machine,
    prog: ProgId,
    fuel: u64,
    host: impl Fn() -> TestHost,
) -> (TestHost, Result<Ran, Box<Fault>>) {
    let mut first = host();
    let ran = interp::run(machine, &mut first, prog, fuel);
    if jit::available().is_ok() {
        let packet = machine.mem.raw(PACKET_AT, PACKET.len()).to_vec();
        let mut second = host();
        assert_eq!(jit::run(machine, &mut second, prog, fuel), ran, "jit and interp");
        assert_eq!((&second.note, second.cb), (&first.note, first.cb), "jit and interp");
        assert_eq!(machine.mem.raw(PACKET_AT, PACKET.len()), packet, "jit and interp");
        assert_eq!(machine.mem.frames(), 0);
    }
    (first, ran)
}

/// A map of one element with values of this size, or an array of so many programs.
pub fn map_spec(map_type: MapType, value_size: u32, max_entries: u32, flags: u32) -> MapSpec {
    MapSpec {
        name: "map".to_owned(),
        map_type,
        key_size: 4,
        value_size,
        max_entries,
        flags,
        extra: 0,
        inner: None,
        pinning: 0,
        key_type: 0,
        value_type: 0,
        fields: Vec::new(),
    }
}

pub fn prog_array(machine: &mut Machine, entries: u32) -> MapId {
    let (maps, mut ctx) = machine.maps();
    maps.create(&mut ctx, &map_spec(MapType::ProgArray, 4, entries, 0)).unwrap()
}

pub fn set_program(machine: &mut Machine, array: MapId, index: u32, prog: ProgId) {
    let callee = TailCallee::of(machine, prog);
    let (maps, _) = machine.maps();
    maps.sys_update_reference(array, &index.to_le_bytes(), Reference::Program(callee), 0).unwrap();
}
