//! Functions → program: an entry point and every function it can reach, in one array of instructions.
//!
//! The order is libbpf's (`bpf_object__reloc_code`, `tools/lib/bpf/libbpf.c`, v6.12): a function is appended where it is
//! first mentioned, and what it mentions follows before the mentioning function goes on. So instruction numbers are the
//! ones the kernel's verifier and `bpftool prog dump` show.

use std::collections::BTreeMap;

use crate::bpf::object::functions::{LD_IMM64, opcode};
use crate::bpf::object::{CoreRelocation, FunctionId, Line, Object, ProgramSpec, Relocation, Target};
use crate::bpf::program::{Function, function_addr};

/// A program whose functions know each other; maps and externs are still to be filled in.
#[derive(Clone, PartialEq, Debug)]
pub struct Linked {
    /// Instructions; calls between functions have their distances, and addresses of functions are filled in.
    pub slots: Vec<u64>,
    /// Where functions begin, main first.
    pub functions: Vec<Function>,
    /// The same functions in the object.
    pub ids: Vec<FunctionId>,
    /// C lines by the slot they begin at, ascending.
    pub lines: Vec<(u32, Line)>,
    /// References to maps and externs, by slot of the linked program, ascending.
    pub references: Vec<Relocation>,
    /// CO-RE relocations, by slot of the linked program, ascending.
    pub core: Vec<CoreRelocation>,
}

impl Linked {
    /// The C line `slot` was compiled from.
    pub fn line_of(&self, slot: u32) -> Option<&Line> {
        let after = self.lines.partition_point(|&(start, _)| start <= slot);
        Some(&self.lines[after.checked_sub(1)?].1)
    }

    /// Every instruction with its slot; second halves of `ld_imm64` are passed over.
    pub fn instructions(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let slot = next;
            let &insn = self.slots.get(slot)?;
            next += if opcode(insn) == LD_IMM64 { 2 } else { 1 };
            Some((slot as u32, insn))
        })
    }

    /// Makes the `ld_imm64` at `slot` load a plain 64-bit number.
    pub(super) fn set_address(&mut self, slot: u32, value: u64) {
        const REGISTERS_WITHOUT_SOURCE: u64 = 0x0fff;
        let slot = slot as usize;
        self.slots[slot] = self.slots[slot] & REGISTERS_WITHOUT_SOURCE | value << 32;
        if let Some(high) = self.slots.get_mut(slot + 1) {
            *high = value >> 32 << 32;
        }
    }

    /// Sets the constant of the instruction at `slot`.
    pub(super) fn set_immediate(&mut self, slot: u32, value: i32) {
        let slot = &mut self.slots[slot as usize];
        *slot = *slot & 0xffff_ffff | u64::from(value as u32) << 32;
    }
}

/// Links `program`.
pub fn link(object: &Object, program: &ProgramSpec) -> Linked {
    let mut linker = Linker {
        object,
        starts: BTreeMap::new(),
        linked: Linked {
            slots: Vec::new(),
            functions: Vec::new(),
            ids: Vec::new(),
            lines: Vec::new(),
            references: Vec::new(),
            core: Vec::new(),
        },
    };
    linker.run(program.function);
    linker.linked.references.sort_by_key(|r| r.slot);
    linker.linked
}

struct Linker<'a> {
    object: &'a Object,
    /// First slots of the functions appended so far.
    starts: BTreeMap<FunctionId, u32>,
    linked: Linked,
}

impl Linker<'_> {
    fn run(&mut self, main: FunctionId) {
        self.append(main);
        // Functions being gone through, and how many of their relocations are done.
        let mut stack = vec![(main, 0)];
        while let Some((id, done)) = stack.last_mut() {
            let id = *id;
            let Some(&Relocation { slot, target }) = self.object.function(id).relocations.get(*done) else {
                stack.pop();
                continue;
            };
            *done += 1;
            let slot = self.starts[&id] + slot;
            match target {
                Target::Call(callee) | Target::Address(callee) => {
                    if !self.starts.contains_key(&callee) {
                        self.append(callee);
                        stack.push((callee, 0));
                    }
                    let start = self.starts[&callee];
                    if matches!(target, Target::Call(_)) {
                        self.linked.set_immediate(slot, start as i32 - slot as i32 - 1);
                    } else {
                        self.linked.set_address(slot, function_addr(start));
                    }
                }
                target => self.linked.references.push(Relocation { slot, target }),
            }
        }
    }

    fn append(&mut self, id: FunctionId) {
        let function = self.object.function(id);
        let start = self.linked.slots.len() as u32;
        self.starts.insert(id, start);
        self.linked.ids.push(id);
        self.linked.functions.push(Function { name: function.name.clone(), start_slot: start });
        self.linked.slots.extend(&function.slots);
        self.linked.lines.extend(function.lines.iter().map(|(slot, line)| (start + slot, line.clone())));
        let core = function.core.iter().map(|c| CoreRelocation { slot: start + c.slot, ..c.clone() });
        self.linked.core.extend(core);
    }
}
