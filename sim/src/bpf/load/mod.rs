//! Object → running: creates an object's maps in a [`Machine`], links and loads its programs.
//!
//! The order is that of `bpf_object__load` (`tools/lib/bpf/libbpf.c`, v6.12): maps with their contents, programs, then
//! prog arrays. A load that fails leaves behind what it had made.

mod error;
mod kconfig;
mod map_arguments;
mod maps;
mod program;

#[cfg(test)]
mod tests;

pub use error::LoadError;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bpf::btf::Btf;
use crate::bpf::core_relo::{Extent, Relocator};
use crate::bpf::link::link;
use crate::bpf::machine::{Machine, ProgId};
use crate::bpf::map::MapId;
use crate::bpf::object::{Line, Object, ProgramSpec};
use crate::uapi::{AttachType, MapType, ProgType, Release, TYPES};

/// How to load an object.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Entry points to load, by name; `None`: those whose section does not begin with `?` and whose type can be
    /// simulated.
    pub programs: Option<Vec<String>>,
    /// Global variables to overwrite before the maps are created, in this order.
    pub globals: Vec<Global>,
    /// Maps to give another `max_entries`, by name.
    pub max_entries: Vec<(String, u32)>,
    /// `CONFIG_*` options of the kernel spoken as, for `__kconfig` variables, with values as in `/boot/config`: `y`, `n`,
    /// `m`, a number, or a string in double quotes. What is not here is as in [`KCONFIG`](crate::uapi::KCONFIG).
    pub kconfig: Vec<(String, String)>,
    /// `LINUX_KERNEL_VERSION`, as `KERNEL_VERSION(a, b, c)`; `None`: [`Release::kernel_version`].
    ///
    /// [`Release::kernel_version`]: crate::uapi::Release::kernel_version
    pub kernel_version: Option<u32>,
    /// The types of the kernel spoken as, all of them, for CO-RE relocations. `None`: those of the user-space ABI
    /// ([`TYPES`]), and an object that asks for others in a program to load is refused.
    pub kernel_types: Option<Arc<Btf>>,
}

/// A global variable's new initial value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Global {
    /// The section: `.rodata`, `.data`, `.bss`, `.rodata.name`.
    pub section: String,
    /// Byte offset inside the section.
    pub offset: u32,
    /// The new bytes.
    pub value: Vec<u8>,
}

/// What loading an object made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Loaded {
    /// The object's maps, all but those that cannot be modelled and are not used, by the names of [`MapSpec`](crate::bpf::map::MapSpec).
    pub maps: BTreeMap<String, MapId>,
    /// Every program loaded, by its C name.
    pub programs: BTreeMap<String, ProgId>,
    /// Weak kernel symbols that programs use and the simulated kernel has not: programs see address 0.
    pub absent: Vec<String>,
}

/// A call to a helper in a program about to be loaded.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct HelperUse<'a> {
    /// The entry point's name.
    pub program: &'a str,
    /// Its type.
    pub prog_type: ProgType,
    /// `expected_attach_type`.
    pub attach_type: Option<AttachType>,
    /// The helper's number.
    pub helper: u32,
    /// The call, counted in slots of the linked program.
    pub slot: u32,
    /// The C line.
    pub line: Option<&'a Line>,
    /// The types of the maps in `r1` to `r5`, where the instructions just before the call say that there is one.
    pub maps: [Option<MapType>; 5],
}

/// Says whether a program may call a helper; the error says why not, in words.
pub type HelperCheck<'a> = dyn Fn(&HelperUse<'_>) -> Result<(), String> + 'a;

/// A kernel function (`__ksym`) that a program about to be loaded calls or takes the address of.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct KfuncUse<'a> {
    /// The entry point's name.
    pub program: &'a str,
    /// Its type.
    pub prog_type: ProgType,
    /// The function's name in the kernel: the extern's without a `___flavour`.
    pub kfunc: &'a str,
    /// Whether it is called; else only its address is taken, as to see whether it is there.
    pub called: bool,
}

/// What the kernel spoken as makes of a kernel function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kfunc {
    /// It is there and may be called; the number is what [`Host::kfunc`](crate::bpf::Host::kfunc) is given.
    Number(u32),
    /// It does not exist: what is weak sees address 0, what is strong is refused.
    Absent,
    /// It exists and cannot be used, in words: not modelled, or not for such programs.
    Refused(String),
}

/// Finds a kernel function by its name.
pub type KfuncLookup<'a> = dyn Fn(&KfuncUse<'_>) -> Kfunc + 'a;

/// What the kernel offers to the programs of an object.
#[derive(Clone, Copy)]
pub struct Offered<'a> {
    /// Helpers.
    pub helper: &'a HelperCheck<'a>,
    /// Kernel functions.
    pub kfunc: &'a KfuncLookup<'a>,
}

/// What an attempt at loading made, and all that went wrong.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Attempt {
    /// What is there.
    pub loaded: Loaded,
    /// Why maps and programs are not, each reason once, in the order of the object.
    pub failed: Vec<LoadError>,
}

/// Loads `object` into `machine`.
///
/// Programs that no simulator can run ([`ProgType::not_simulated`]) are left out unless they are asked for by name, and
/// so are maps that cannot be modelled and that no program to load uses.
pub fn load(
    machine: &mut Machine,
    object: &Object,
    options: &LoadOptions,
    offered: &Offered<'_>,
) -> Result<Loaded, LoadError> {
    let Attempt { loaded, failed } = load_each(machine, object, options, offered)?;
    failed.into_iter().next().map_or(Ok(loaded), Err)
}

/// Loads as much of `object` as can be: a map or program that fails does not keep the others from being tried. The
/// error is a mistake of the caller's.
pub fn load_each(
    machine: &mut Machine,
    object: &Object,
    options: &LoadOptions,
    offered: &Offered<'_>,
) -> Result<Attempt, LoadError> {
    let programs = selected(object, options)?;
    let mut failed = Vec::new();
    let created = maps::create(machine, object, options)?;
    failed.extend(created.iter().filter_map(|map| match map {
        // Whether that matters depends on the programs.
        Ok(_) | Err(LoadError::NotModelled { .. } | LoadError::Extern { .. }) => None,
        Err(error) => Some(error.clone()),
    }));
    let asks = object.functions.iter().any(|function| !function.core.is_empty());
    let abi = if asks { Btf::parse(TYPES).expect("the ABI's types are sound") } else { Btf::EMPTY };
    let (kernel, extent) = match &options.kernel_types {
        Some(kernel) => (&**kernel, Extent::Whole),
        None => (&abi, Extent::Abi { newest: machine.release == Release::V6_18 }),
    };
    let mut relocator = object.btf.as_ref().map(|local| Relocator::new(local, kernel, extent));
    let mut loaded = Loaded::default();
    for program in programs {
        let linked = link(object, program);
        let lacking = maps::lacking(object, &linked, &created);
        if !lacking.is_empty() {
            failed.extend(lacking);
            continue;
        }
        let linking = program::Linking {
            machine,
            object,
            offered,
            kernel_types: options.kernel_types.as_deref(),
            maps: &created,
            program,
            relocator: relocator.as_mut(),
        };
        let added = linking.resolve(linked).and_then(|(image, absent)| {
            loaded.absent.extend(absent);
            program::add(machine, program, image)
        });
        match added {
            Ok(id) => {
                loaded.programs.insert(program.name.clone(), id);
            }
            Err(error) => failed.push(error),
        }
    }
    loaded.absent.sort();
    loaded.absent.dedup();
    failed.extend(maps::fill_prog_arrays(machine, object, &created, &loaded.programs, failed.is_empty()));
    let names = object.maps.iter().map(|map| map.spec.name.clone());
    loaded.maps = names.zip(created).filter_map(|(name, id)| Some((name, id.ok()?))).collect();
    let mut seen: Vec<LoadError> = Vec::new();
    failed.retain(|error| {
        let new = !seen.contains(error);
        seen.extend(new.then(|| error.clone()));
        new
    });
    Ok(Attempt { loaded, failed })
}

/// The entry points to load, in the object's order.
fn selected<'a>(object: &'a Object, options: &LoadOptions) -> Result<Vec<&'a ProgramSpec>, LoadError> {
    let Some(names) = &options.programs else {
        let wanted = |program: &&ProgramSpec| program.autoload && program.prog_type.not_simulated().is_none();
        return Ok(object.programs.iter().filter(wanted).collect());
    };
    if let Some(name) = names.iter().find(|name| object.program(name).is_none()) {
        let known = object.programs.iter().map(|program| program.name.as_str());
        return Err(LoadError::unknown(object, "program", name, known));
    }
    Ok(object.programs.iter().filter(|program| names.contains(&program.name)).collect())
}
