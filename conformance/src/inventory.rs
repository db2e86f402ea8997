//! What an object file holds and needs.

use std::collections::BTreeMap;

use bpftwin_sim::bpf::core_relo::essential;
use bpftwin_sim::bpf::load::{Kfunc, KfuncUse, LoadOptions};
use bpftwin_sim::bpf::object::{Object, ObjectMap, ProgramSpec};
use bpftwin_sim::bpf::uses::Uses;
use bpftwin_sim::net::{Config, Kernel, helper, kfunc};
use bpftwin_sim::uapi::{helper as uapi, kconfig};
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
    /// Kernel functions called.
    pub kfuncs: Vec<Need>,
    /// Kernel variables and `__kconfig` variables.
    pub externs: Vec<Need>,
    /// What the object holds and loading leaves out.
    pub notes: Vec<String>,
    /// What the simulator lacks, each with the program or map that needs it.
    pub missing: Vec<String>,
    /// The same for programs that are loaded only when they are asked for.
    pub optional: Vec<String>,
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
    /// Why programs of this type are left out; `None` if they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declined: Option<&'static str>,
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
    /// The `pinning` attribute: 1 is `LIBBPF_PIN_BY_NAME`.
    pub pinning: u32,
}

/// A helper or an extern.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Need {
    /// As C names it.
    pub name: String,
    /// Whether the simulator has it, for all programs that use it and are of a type that is simulated.
    pub there: bool,
    /// The programs that use it.
    pub used_by: Vec<String>,
}

/// Looks through an object, and tries to load it as `options` say.
pub fn inventory(object: &Object, options: &LoadOptions) -> Inventory {
    let mut needs = Needs::default();
    let mut programs = Vec::new();
    for program in &object.programs {
        let uses = Uses::of(object, program);
        let declined = program.prog_type.not_simulated();
        needs.add(object, program, &uses, options);
        programs.push(Program {
            name: program.name.clone(),
            prog_type: program.prog_type.kernel_name(),
            section: program.section.clone(),
            autoload: program.autoload,
            insns: uses.insns,
            declined,
        });
    }
    let (missing, optional) = missing(object, options);
    let map = |map: &ObjectMap| Map {
        name: map.spec.name.clone(),
        map_type: map.spec.map_type.kernel_name(),
        key_size: map.spec.key_size,
        value_size: map.spec.value_size,
        max_entries: map.spec.max_entries,
        pinning: map.spec.pinning,
    };
    let sorted = |needs: BTreeMap<String, Need>| needs.into_values().collect();
    Inventory {
        name: object.name.clone(),
        license: object.license.clone(),
        programs,
        maps: object.maps.iter().map(map).collect(),
        helpers: sorted(needs.helpers),
        kfuncs: sorted(needs.kfuncs),
        externs: sorted(needs.externs),
        notes: object.notes.clone(),
        missing,
        optional,
    }
}

/// What keeps programs from being loaded: those that are loaded by themselves, and those that have to be asked for.
fn missing(object: &Object, options: &LoadOptions) -> (Vec<String>, Vec<String>) {
    let attempt = |programs: Option<Vec<String>>| {
        let mut kernel = Kernel::new(&Config::default());
        match kernel.load_each(object, &LoadOptions { programs, ..options.clone() }) {
            Ok(attempt) => attempt.failed.iter().map(ToString::to_string).collect(),
            Err(mistake) => vec![mistake.to_string()],
        }
    };
    let asked = |p: &&ProgramSpec| !p.autoload && p.prog_type.not_simulated().is_none();
    let asked: Vec<String> = object.programs.iter().filter(asked).map(|p| p.name.clone()).collect();
    let missing: Vec<String> = attempt(None);
    let mut optional = if asked.is_empty() { Vec::new() } else { attempt(Some(asked)) };
    optional.retain(|what| !missing.contains(what));
    (missing, optional)
}

#[derive(Default)]
struct Needs {
    helpers: BTreeMap<String, Need>,
    kfuncs: BTreeMap<String, Need>,
    externs: BTreeMap<String, Need>,
}

impl Needs {
    fn add(&mut self, object: &Object, program: &ProgramSpec, uses: &Uses, options: &LoadOptions) {
        let counts = program.prog_type.not_simulated().is_none();
        let (release, gpl) = (Config::default().release, object.license_is_gpl_compatible());
        let add = |list: &mut BTreeMap<String, Need>, name: &str, there: bool| {
            let need = list.entry(name.to_owned()).or_insert_with(|| Need {
                name: name.to_owned(),
                there: true,
                used_by: Vec::new(),
            });
            need.there &= there || !counts;
            need.used_by.push(program.name.clone());
        };
        for &id in uses.helpers.keys() {
            let name = uapi::name(id).map_or_else(|| format!("helper {id}"), |name| format!("bpf_{name}"));
            add(&mut self.helpers, &name, helper::check(program.prog_type, program.attach_type, id).is_ok());
        }
        for (name, &weak) in &uses.kfuncs {
            let kfunc = essential(name);
            let used = KfuncUse { program: &program.name, prog_type: program.prog_type, kfunc, called: true };
            let there = match kfunc::resolve(release, gpl, &used) {
                Kfunc::Number(_) => true,
                Kfunc::Absent => weak,
                Kfunc::Refused(_) => false,
            };
            add(&mut self.kfuncs, name, there);
        }
        for (name, &weak) in &uses.variables {
            add(&mut self.externs, name, weak);
        }
        for (name, &weak) in &uses.kconfig {
            let given = || options.kconfig.iter().any(|(option, _)| option == name);
            let set = name.starts_with("LINUX_") || given() || kconfig(name).is_some();
            add(&mut self.externs, name, weak || set);
        }
    }
}
