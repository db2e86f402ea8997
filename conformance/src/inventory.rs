//! What an object file holds and needs.

use std::collections::{BTreeMap, BTreeSet};

use bpftwin_sim::bpf::load::LoadOptions;
use bpftwin_sim::bpf::object::{ExternKind, FunctionId, Object, ProgramSpec, Target};
use bpftwin_sim::net::{Config, Kernel, helper};
use bpftwin_sim::uapi::helper as uapi;
use serde::Serialize;

/// Everything about one object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Inventory {
    /// The object's name.
    pub name: String,
    /// Its licence.
    pub license: String,
    /// Entry points.
    pub programs: Vec<Program>,
    /// Maps, data sections included.
    pub maps: Vec<Map>,
    /// Helpers called, by name.
    pub helpers: Vec<Need>,
    /// What others must define.
    pub externs: Vec<Need>,
    /// What the simulator lacks, each with the program that needs it.
    pub missing: Vec<String>,
}

/// An entry point.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Program {
    /// Its C name.
    pub name: String,
    /// The kernel's name of its type.
    pub prog_type: &'static str,
    /// Its section.
    pub section: String,
    /// Whether it is loaded unless a caller says otherwise.
    pub autoload: bool,
    /// 8-byte instruction slots, subprograms included.
    pub insns: usize,
}

/// A map.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Map {
    /// Its C name, or the section's.
    pub name: String,
    /// The kernel's name of its type.
    pub map_type: &'static str,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value (of one CPU).
    pub value_size: u32,
    /// Elements at most; bytes of a ring buffer.
    pub max_entries: u32,
}

/// A helper or an extern.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Need {
    /// As C names it.
    pub name: String,
    /// Whether the simulator has it, for all that use it.
    pub there: bool,
    /// The programs that use it.
    pub used_by: Vec<String>,
}

/// `BPF_JMP | BPF_CALL`.
const CALL: u64 = 0x85;
/// `BPF_LD | BPF_IMM | BPF_DW`, which takes two slots.
const LD_IMM64: u64 = 0x18;

/// Looks through an object.
pub fn inventory(object: &Object) -> Inventory {
    let mut helpers: BTreeMap<u32, Need> = BTreeMap::new();
    let mut externs: BTreeMap<usize, Need> = BTreeMap::new();
    let mut programs = Vec::new();
    let mut missing = Vec::new();
    for program in &object.programs {
        let mut insns = 0;
        for id in reached(object, program) {
            let function = object.function(id);
            insns += function.slots.len();
            for id in helper_calls(&function.slots, &function.relocations) {
                let name =
                    uapi::name(id).map_or_else(|| format!("helper {id}"), |name| format!("bpf_{name}"));
                let need = helpers.entry(id).or_insert(Need { name, there: true, used_by: Vec::new() });
                if let Err(why) = helper::check(program.prog_type, id) {
                    need.there = false;
                    missing.push(format!("{}: {why}", program.name));
                }
                if need.used_by.last() != Some(&program.name) {
                    need.used_by.push(program.name.clone());
                }
            }
            for relocation in &function.relocations {
                if let Target::ExternVar(index) | Target::ExternCall(index) = relocation.target {
                    let wanted = &object.externs[index];
                    // A typed variable or a function of the kernel is what a simulator does not have.
                    let there = wanted.weak || matches!(wanted.kind, ExternKind::Kconfig { .. });
                    let name = wanted.name.clone();
                    let need = externs.entry(index).or_insert(Need { name, there, used_by: Vec::new() });
                    if need.used_by.last() != Some(&program.name) {
                        need.used_by.push(program.name.clone());
                    }
                }
            }
        }
        programs.push(Program {
            name: program.name.clone(),
            prog_type: program.prog_type.kernel_name(),
            section: program.section.clone(),
            autoload: program.autoload,
            insns,
        });
    }
    missing.dedup();
    if missing.is_empty()
        && let Err(error) = Kernel::new(&Config::default()).load(object, &LoadOptions::default())
    {
        missing.push(error.to_string());
    }
    let map = |map: &bpftwin_sim::bpf::object::ObjectMap| Map {
        name: map.spec.name.clone(),
        map_type: map.spec.map_type.kernel_name(),
        key_size: map.spec.key_size,
        value_size: map.spec.value_size,
        max_entries: map.spec.max_entries,
    };
    let mut helpers: Vec<Need> = helpers.into_values().collect();
    helpers.sort_by(|a, b| a.name.cmp(&b.name));
    Inventory {
        name: object.name.clone(),
        license: object.license.clone(),
        programs,
        maps: object.maps.iter().map(map).collect(),
        helpers,
        externs: externs.into_values().collect(),
        missing,
    }
}

/// The program's function and everything it calls or points at, once each.
fn reached(object: &Object, program: &ProgramSpec) -> BTreeSet<FunctionId> {
    let mut reached = BTreeSet::from([program.function]);
    let mut open = vec![program.function];
    while let Some(id) = open.pop() {
        for relocation in &object.function(id).relocations {
            if let Target::Call(next) | Target::Address(next) = relocation.target
                && reached.insert(next)
            {
                open.push(next);
            }
        }
    }
    reached
}

/// Helper numbers: calls with source register 0 that no relocation turns into something else.
fn helper_calls(slots: &[u64], relocations: &[bpftwin_sim::bpf::object::Relocation]) -> Vec<u32> {
    let mut out = Vec::new();
    let mut slot = 0;
    while let Some(&insn) = slots.get(slot) {
        let source = insn >> 12 & 0xf;
        let relocated = || relocations.iter().any(|r| r.slot as usize == slot);
        if insn & 0xff == CALL && source == 0 && !relocated() {
            out.push((insn >> 32) as u32);
        }
        slot += if insn & 0xff == LD_IMM64 { 2 } else { 1 };
    }
    out
}
