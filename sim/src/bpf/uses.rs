//! What a program needs from a kernel, without loading it.

use std::collections::{BTreeMap, BTreeSet};

use crate::bpf::core_relo;
use crate::bpf::link::{Linked, link};
use crate::bpf::object::functions::{CALL, immediate, opcode, source};
use crate::bpf::object::{ExternKind, Line, Object, ProgramSpec, Target};

/// What an entry point and every function it can reach use.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Uses {
    /// Instructions, counted in 8-byte slots as the kernel does.
    pub insns: usize,
    /// Functions, main first, in the order they are linked.
    pub functions: Vec<String>,
    /// Calls to helpers by the helper's number.
    pub helpers: BTreeMap<u32, Calls>,
    /// Maps, by the names of [`MapSpec`](crate::bpf::map::MapSpec).
    pub maps: BTreeSet<String>,
    /// Kernel functions, and whether the program can do without.
    pub kfuncs: BTreeMap<String, Weak>,
    /// `__ksym` variables, and whether the program can do without.
    pub variables: BTreeMap<String, Weak>,
    /// `__kconfig` variables, and whether they default to zero.
    pub kconfig: BTreeMap<String, Weak>,
    /// What is asked about the kernel's types, in words, each once.
    pub core: BTreeSet<String>,
}

/// Calls to one helper.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Calls {
    /// How many instructions call it.
    pub count: u32,
    /// The first of them, by slot of the linked program.
    pub slot: u32,
    /// Its C line.
    pub line: Option<Line>,
}

/// Whether an extern may be missing.
pub type Weak = bool;

impl Uses {
    /// What `program` uses.
    pub fn of(object: &Object, program: &ProgramSpec) -> Self {
        let linked = link(object, program);
        let mut uses = Self {
            insns: linked.slots.len(),
            functions: linked.functions.iter().map(|function| function.name.clone()).collect(),
            ..Self::default()
        };
        uses.count_helpers(&linked);
        uses.name_references(object, &linked);
        if let Some(btf) = &object.btf {
            uses.core.extend(linked.core.iter().map(|core| core_relo::describe(btf, core)));
        }
        uses
    }

    fn count_helpers(&mut self, linked: &Linked) {
        for (slot, insn) in linked.instructions() {
            if opcode(insn) == CALL && source(insn) == 0 {
                let first = || Calls { count: 0, slot, line: linked.line_of(slot).cloned() };
                self.helpers.entry(immediate(insn) as u32).or_insert_with(first).count += 1;
            }
        }
    }

    fn name_references(&mut self, object: &Object, linked: &Linked) {
        for reference in &linked.references {
            match reference.target {
                Target::Map(map) | Target::Data { map, .. } => {
                    self.maps.insert(object.maps[map].spec.name.clone());
                }
                Target::ExternVar(index) | Target::ExternCall(index) => {
                    let declared = &object.externs[index];
                    let list = match declared.kind {
                        ExternKind::Kfunc => &mut self.kfuncs,
                        ExternKind::Variable { .. } => &mut self.variables,
                        ExternKind::Kconfig { .. } => &mut self.kconfig,
                    };
                    list.insert(declared.name.clone(), declared.weak);
                }
                Target::Call(_) | Target::Address(_) => {}
            }
        }
    }
}
