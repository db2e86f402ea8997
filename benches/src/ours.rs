//! Our interpreter, with the smallest host that can run the programs.

use bpftwin_sim::bpf::fault::FaultKind;
use bpftwin_sim::bpf::interp::{self, Ran};
use bpftwin_sim::bpf::machine::{Host, Machine, ProgId};
use bpftwin_sim::bpf::map::{MapId, MapSpec};
use bpftwin_sim::bpf::mem::{Access, Addr, Object, ObjectKind, PACKET_BASE};
use bpftwin_sim::bpf::program::{Image, Program};
use bpftwin_sim::uapi::{MapType, ProgType, Release};

use crate::programs::{self, MARK};

const PACKET_AT: Addr = PACKET_BASE + 256;

struct Skb {
    len: u64,
}

impl Host for Skb {
    fn helper(&mut self, machine: &mut Machine, id: u32, args: [u64; 5]) -> Result<u64, FaultKind> {
        if id != 1 {
            return Err(FaultKind::Instruction(format!("no helper {id}")));
        }
        let (maps, mut ctx) = machine.maps();
        let map = maps.by_handle(args[0]).ok_or_else(|| FaultKind::Instruction("no map".to_owned()))?;
        Ok(maps.map(map).lookup(&mut ctx, args[1])?)
    }

    fn ctx_load(&mut self, _: &mut Machine, offset: u32, size: u32) -> Result<u64, FaultKind> {
        match (offset, size) {
            (0, 4) => Ok(self.len),
            (8, 4) => Ok(u64::from(MARK)),
            (76, 4) => Ok(PACKET_AT),
            (80, 4) => Ok(PACKET_AT + self.len),
            _ => Err(FaultKind::Context { offset, size, write: false, why: "no such field" }),
        }
    }

    fn ctx_store(&mut self, _: &mut Machine, offset: u32, size: u32, _: u64) -> Result<(), FaultKind> {
        Err(FaultKind::Context { offset, size, write: true, why: "no such field" })
    }
}

/// One program, ready to run again and again.
pub struct Runner {
    machine: Machine,
    host: Skb,
}

impl Runner {
    /// Prepares the program `name`.
    ///
    /// # Panics
    /// If it does not load.
    pub fn new(name: &str) -> Self {
        let mut machine = Machine::new(Release::default(), 1);
        let ids: Vec<MapId> = programs::MAPS.iter().map(|&map| create(&mut machine, map)).collect();
        let handle = |symbol: &str| {
            let at = programs::MAPS.iter().position(|map| map.0 == symbol).expect("one of the maps");
            ids[at].handle()
        };
        let slots = programs::link(programs::KERNEL_CONTEXT, handle).remove(name).expect("a program");
        let image = Image {
            name: name.to_owned(),
            prog_type: ProgType::SchedCls,
            attach_type: None,
            license_gpl: true,
            xdp_has_frags: false,
            slots,
            functions: Vec::new(),
            lines: Vec::new(),
            maps: ids.clone(),
        };
        machine.add_program(Program::new(image).expect("decodes"));
        let packet = programs::packet();
        let (base, len) = (PACKET_AT, packet.len() as u32);
        machine.mem.map(Object { base, len, access: Access::ReadWrite, kind: ObjectKind::Packet });
        machine.mem.raw_mut(PACKET_AT, packet.len()).copy_from_slice(&packet);
        Self { machine, host: Skb { len: packet.len() as u64 } }
    }

    /// Puts the packet's headers back and runs.
    ///
    /// # Panics
    /// On a fault.
    pub fn run(&mut self, headers: &[u8]) -> Ran {
        self.machine.mem.raw_mut(PACKET_AT, headers.len()).copy_from_slice(headers);
        interp::run(&mut self.machine, &mut self.host, ProgId(0), u64::MAX).expect("no fault")
    }
}

fn create(machine: &mut Machine, (name, key_size, value_size): (&str, u32, u32)) -> MapId {
    let spec = MapSpec {
        name: name.to_owned(),
        map_type: MapType::Hash,
        key_size,
        value_size,
        max_entries: 1024,
        flags: 0,
        extra: 0,
        inner: None,
        pinning: 0,
        key_type: 0,
        value_type: 0,
        fields: Vec::new(),
    };
    let (maps, mut ctx) = machine.maps();
    let id = maps.create(&mut ctx, &spec).expect("creates");
    for (key, value) in programs::elements(name) {
        maps.sys_update(&mut ctx, id, &key, &value, 0).expect("inserts");
    }
    id
}
