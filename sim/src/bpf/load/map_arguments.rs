//! Which map a call gets, as far as the instructions just before it say so.

use std::collections::{BTreeMap, BTreeSet};

use crate::bpf::link::Linked;
use crate::bpf::map::MapId;
use crate::uapi::insn::{
    BPF_ALU, BPF_ALU64, BPF_ATOMIC, BPF_CALL, BPF_EXIT, BPF_IMM, BPF_JA, BPF_JMP, BPF_JMP32, BPF_LD, BPF_LDX,
    BPF_MOV, BPF_STX, Slot,
};

/// Where maps' addresses are loaded, and where jumps go.
pub(super) struct MapArguments {
    loads: BTreeMap<u32, MapId>,
    targets: BTreeSet<u32>,
    /// Every instruction's slot, ascending.
    slots: Vec<u32>,
}

impl MapArguments {
    /// Of a program in which the `ld_imm64` at these slots load these maps.
    pub fn new(linked: &Linked, loads: BTreeMap<u32, MapId>) -> Self {
        let mut targets = BTreeSet::new();
        let mut slots = Vec::new();
        for (at, insn) in linked.instructions() {
            slots.push(at);
            let insn = Slot::from_u64(insn);
            if matches!(insn.class(), BPF_JMP | BPF_JMP32) && !matches!(insn.op(), BPF_CALL | BPF_EXIT) {
                let long = insn.class() == BPF_JMP32 && insn.op() == BPF_JA;
                let by = if long { i64::from(insn.imm) } else { i64::from(insn.off) };
                targets.insert((i64::from(at) + 1 + by) as u32);
            }
        }
        Self { loads, targets, slots }
    }

    /// The maps that are in `r1` to `r5` at `call` whichever way a program comes there.
    pub fn at(&self, linked: &Linked, call: u32) -> [Option<MapId>; 5] {
        let mut found = [None; 5];
        if self.loads.is_empty() {
            return found;
        }
        // For every argument, the register its value is in further up; `None`: it is settled.
        let mut sought: [Option<u8>; 5] = [Some(1), Some(2), Some(3), Some(4), Some(5)];
        let end = self.slots.partition_point(|&slot| slot < call);
        let mut next = call;
        for &slot in self.slots[..end].iter().rev() {
            if self.targets.contains(&next) || sought == [None; 5] {
                break;
            }
            next = slot;
            let insn = Slot::from_u64(linked.slots[slot as usize]);
            let atomic = insn.class() == BPF_STX && insn.mode() == BPF_ATOMIC;
            let writes = |register: u8| match insn.class() {
                BPF_LD | BPF_LDX | BPF_ALU | BPF_ALU64 => register == insn.dst,
                // What was there may be fetched.
                _ => atomic && (register == insn.src || register == 0),
            };
            let loads = insn.class() == BPF_LD;
            if matches!(insn.class(), BPF_JMP | BPF_JMP32) || (loads && insn.mode() != BPF_IMM) {
                break;
            }
            let copies =
                insn.class() == BPF_ALU64 && insn.op() == BPF_MOV && insn.by_register() && insn.off == 0;
            for (place, register) in found.iter_mut().zip(&mut sought) {
                if !register.is_some_and(writes) {
                    continue;
                }
                *register = copies.then_some(insn.src);
                if loads {
                    *place = self.loads.get(&slot).copied();
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::asm::assemble;

    /// The maps at the first call, with map 7 loaded by the `ld_imm64` at slot 0.
    fn at_call(text: &str) -> [Option<u32>; 5] {
        let code = assemble(text).unwrap();
        let linked = Linked {
            slots: code.slots,
            functions: code.functions,
            ids: Vec::new(),
            lines: Vec::new(),
            references: Vec::new(),
            core: Vec::new(),
        };
        let arguments = MapArguments::new(&linked, BTreeMap::from([(0, MapId(7))]));
        let is_call = |insn: u64| Slot::from_u64(insn).code == BPF_JMP | BPF_CALL;
        let (call, _) = linked.instructions().find(|&(_, insn)| is_call(insn)).unwrap();
        arguments.at(&linked, call).map(|map| map.map(|id| id.0))
    }

    #[test]
    fn a_map_is_followed_through_copies_and_lost_where_paths_meet() {
        let none = [None; 5];
        let first = [Some(7), None, None, None, None];
        assert_eq!(at_call("r1 = 1 ll; r2 = 0; call 1; exit"), first);
        assert_eq!(
            at_call("r6 = 1 ll; r3 = r6; r1 = r6; call 1; exit"),
            [Some(7), None, Some(7), None, None]
        );
        assert_eq!(at_call("r1 = 1 ll; r1 += 8; call 1; exit"), none);
        assert_eq!(at_call("r1 = 1 ll; w1 = w1; call 1; exit"), none);
        assert_eq!(at_call("r1 = 1 ll; if r2 == 0 goto +1; r1 = 0; call 1; exit"), none);
        assert_eq!(at_call("r1 = 1 ll; *(u64 *)(r10 -8) = r1; call 1; exit"), first);
        assert_eq!(at_call("r1 = 1 ll; r2 = 0; if r2 == 0 goto -2; call 1; exit"), none);
    }
}
