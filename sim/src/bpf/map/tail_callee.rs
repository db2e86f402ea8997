//! What a prog array knows of programs.

use super::MapId;
use crate::bpf::machine::{Machine, ProgId};
use crate::uapi::helper::id;
use crate::uapi::insn::{BPF_CALL, BPF_JMP, Slot};
use crate::uapi::{MapType, ProgType};

/// What makes programs exchangeable by a tail call (`kernel/bpf/core.c: __bpf_prog_map_compatible`, v6.12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TailCallee {
    /// The program.
    pub prog: ProgId,
    /// Its type.
    pub prog_type: ProgType,
    /// Whether it takes XDP frames in several buffers.
    pub xdp_has_frags: bool,
    /// `expected_attach_type`.
    pub attach_type: u32,
    /// Its cgroup storage, shared and per CPU.
    pub storage: [Option<MapId>; 2],
    /// Whether it makes tail calls itself.
    pub calls_on: bool,
}

impl TailCallee {
    /// What a loaded program is like.
    pub fn of(machine: &Machine, prog: ProgId) -> Self {
        let image = machine.programs[prog.0 as usize].image();
        let storage = [MapType::CgroupStorage, MapType::PercpuCgroupStorage].map(|map_type| {
            image.maps.iter().copied().find(|&map| machine.maps.spec(map).map_type == map_type)
        });
        let tail_call = Slot { code: BPF_JMP | BPF_CALL, imm: id::tail_call as i32, ..Slot::default() };
        Self {
            prog,
            prog_type: image.prog_type,
            xdp_has_frags: image.xdp_has_frags,
            attach_type: image.attach_type.map_or(0, |attach_type| attach_type as u32),
            storage,
            calls_on: image.slots.contains(&tail_call.to_u64()),
        }
    }
}
