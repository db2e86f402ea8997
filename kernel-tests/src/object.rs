//! An object file in the kernel: opened from memory by libbpf, changed as the case asks, loaded.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt::Write as _;
use std::os::fd::{AsFd, OwnedFd};

use bpftwin_conformance::case::{ObjectImage, Resized, Typed};
use bpftwin_conformance::observation::Decline;
use bpftwin_sim::bpf::object::SectionName;
use bpftwin_sim::uapi::ProgType;
use libbpf_rs::{ObjectBuilder, OpenObject, ProgramAttachType, ProgramType};
use libbpf_sys::{BPF_F_MMAPABLE, BPF_F_XDP_HAS_FRAGS};

use crate::failure::{Failure, Stop};
use crate::log;
use crate::observable::{hold_still, make_observable};
use crate::sys::{Map, Prog, open_with, unpin};

/// A loaded object: what of it stays alive is what is here.
pub struct Object {
    /// The case's name for it.
    pub name: String,
    /// Its maps by C name; global data by section name.
    pub maps: BTreeMap<String, Map>,
    /// Its programs by C name.
    pub programs: BTreeMap<String, Program>,
}

/// A loaded program.
pub struct Program {
    /// To run it.
    pub prog: Prog,
    /// What it is.
    pub kind: ProgramType,
}

/// How maps are created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Maps {
    /// By [`make_observable`], and large maps by [`hold_still`].
    Still,
    /// By [`make_observable`].
    Observable,
    /// With the object's own flags.
    AsWritten,
}

/// libbpf's own name for the object; it prefixes the names of data maps, so it must have no dot.
const OBJECT_NAME: &str = "case";

impl Object {
    /// Opens, changes and loads `image`. Declines what libbpf or the verifier refuses, with their log.
    pub fn load(image: &ObjectImage) -> Result<Self, Stop> {
        let mut held = false;
        let mut loaded = Self::load_with(image, Maps::Still, &mut held);
        if held && matches!(loaded, Err(Stop::Decline(_))) {
            // Some program may write to a large map.
            loaded = Self::load_with(image, Maps::Observable, &mut held);
        }
        if matches!(loaded, Err(Stop::Decline(_))) {
            // Some inner maps cannot be changed so, such as those with special fields.
            loaded = Self::load_with(image, Maps::AsWritten, &mut held);
        }
        loaded
    }

    /// `held`: whether some map is not to be changed by programs.
    fn load_with(image: &ObjectImage, how: Maps, held: &mut bool) -> Result<Self, Stop> {
        let mut open = open(image)?;
        let changed = |error| refused(image, "cannot be changed", &error);
        if how == Maps::Still {
            *held = hold_still(&mut open).map_err(changed)?;
        }
        let templates = match how {
            Maps::Still | Maps::Observable => make_observable(&mut open).map_err(changed)?,
            Maps::AsWritten => Vec::new(),
        };
        let kinds: Vec<_> =
            open.progs().map(|prog| (prog.name().to_string_lossy().into_owned(), prog.prog_type())).collect();
        let loaded = open.load().map_err(|error| {
            let wanted = |name: &String| image.programs.is_empty() || image.programs.contains(name);
            // Of a type that this kernel has not, it says no more than EINVAL.
            let absent =
                kinds.iter().find(|(name, kind)| wanted(name) && matches!(kind.is_supported(), Ok(false)));
            match absent {
                Some((name, kind)) => {
                    Stop::decline(format!("object {}: {}", image.name, no_such_type(name, *kind)))
                }
                None => refused(image, "is not loaded", &error),
            }
        })?;
        drop(templates);

        let own = |fd: std::io::Result<OwnedFd>| {
            fd.map_err(|error| {
                Failure::Harness(format!("cannot keep a descriptor of {}: {error}", image.name))
            })
        };
        let mut maps = BTreeMap::new();
        for map in loaded.maps() {
            let fd = own(map.as_fd().try_clone_to_owned())?;
            let map_name = map_name(&libbpf_rs::MapCore::name(&map).to_string_lossy());
            let mut map = Map::from_fd(fd)
                .map_err(|errno| Failure::Harness(format!("cannot ask about map {map_name}: {errno}")))?;
            if map.info().map_flags & BPF_F_MMAPABLE != 0 {
                // An array that cannot be shared is read by system calls.
                map.share().unwrap_or_default();
            }
            maps.insert(map_name, map);
        }
        let mut programs = BTreeMap::new();
        for prog in loaded.progs().filter(libbpf_rs::Program::autoload) {
            let fd = own(prog.as_fd().try_clone_to_owned())?;
            let program = Program { prog: Prog::from_fd(fd), kind: prog.prog_type() };
            programs.insert(prog.name().to_string_lossy().into_owned(), program);
        }
        Ok(Self { name: image.name.clone(), maps, programs })
    }

    /// The map a case names.
    pub fn map(&self, name: &str) -> Result<&Map, Stop> {
        self.maps.get(name).ok_or_else(|| {
            Stop::case(format!("object {} has no map {name}; it has {}", self.name, list(self.maps.keys())))
        })
    }

    /// The program a case names.
    pub fn program(&self, name: &str) -> Result<&Program, Stop> {
        self.programs.get(name).ok_or_else(|| {
            let there = list(self.programs.keys());
            Stop::case(format!("object {} has no loaded program {name}; it has {there}", self.name))
        })
    }
}

/// Opens `image` and changes it as the case asks; nothing of it will be pinned. What libbpf says is kept from here on.
pub fn open(image: &ObjectImage) -> Result<OpenObject, Stop> {
    log::begin();
    let kconfig = kconfig(image)?;
    let mut open = ObjectBuilder::default()
        .name(OBJECT_NAME)
        .and_then(|builder| open_with(builder, &image.elf, &kconfig))
        .map_err(|error| refused(image, "cannot be opened", &error))?;
    choose_programs(&mut open, image)?;
    tell_types(&mut open);
    set_types(&mut open, image)?;
    set_sizes(&mut open, image)?;
    set_globals(&mut open, image)?;
    open.maps_mut().for_each(|mut map| unpin(&mut map));
    Ok(open)
}

fn refused(image: &ObjectImage, what: &str, error: &libbpf_rs::Error) -> Stop {
    let log = log::take();
    let first = log.lines().next().map_or(String::new(), |l| format!(": {l}"));
    Stop::Decline(Decline { reason: format!("object {}: {what}: {error}{first}", image.name), log })
}

fn no_such_type(name: &str, kind: ProgramType) -> String {
    match ProgType::from_u32(kind as u32) {
        Some(kind) => format!("program {name} is a {kind}: this kernel has no such programs"),
        None => format!("program {name} is of type {}: this kernel has no such programs", kind as u32),
    }
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// A data map's section name, or the map's own name: libbpf calls a section's map after the object and the section,
/// and a C name has no dot.
fn map_name(libbpf: &str) -> String {
    libbpf.find('.').map_or(libbpf, |dot| &libbpf[dot..]).to_owned()
}

/// The options of the case as text of a kernel's configuration; of two with one name the later one.
fn kconfig(image: &ObjectImage) -> Result<CString, Stop> {
    let mut text = String::new();
    for (index, (name, value)) in image.kconfig.iter().enumerate() {
        if !image.kconfig[index + 1..].iter().any(|(later, _)| later == name) {
            let _ = writeln!(text, "{name}={value}");
        }
    }
    CString::new(text).map_err(|_| Stop::case(format!("object {}: an option holds a NUL", image.name)))
}

fn choose_programs(open: &mut OpenObject, image: &ObjectImage) -> Result<(), Stop> {
    if image.programs.is_empty() {
        return Ok(());
    }
    let there: Vec<String> = open.progs().map(|prog| prog.name().to_string_lossy().into_owned()).collect();
    if let Some(absent) = image.programs.iter().find(|name| !there.contains(name)) {
        let there = list(there.iter());
        return Err(Stop::case(format!("object {} has no program {absent}; it has {there}", image.name)));
    }
    for mut prog in open.progs_mut() {
        let wanted = image.programs.iter().any(|name| prog.name().to_string_lossy() == name.as_str());
        prog.set_autoload(wanted);
    }
    Ok(())
}

/// Types for programs whose section libbpf does not know and others, by its beginning, do: the simulator's reading.
fn tell_types(open: &mut OpenObject) {
    for mut prog in open.progs_mut().filter(|prog| prog.prog_type() == ProgramType::Unspec) {
        let Some(told) = SectionName::by_prefix(&prog.section().to_string_lossy()) else { continue };
        prog.set_prog_type(ProgramType::from(told.prog_type as u32));
        if let Some(attach) = told.attach_type {
            prog.set_attach_type(ProgramAttachType::from(attach as u32));
        }
        if told.xdp_frags {
            prog.set_flags(BPF_F_XDP_HAS_FRAGS);
        }
    }
}

fn set_types(open: &mut OpenObject, image: &ObjectImage) -> Result<(), Stop> {
    for Typed { program, prog_type } in &image.types {
        let mut prog =
            open.progs_mut().find(|prog| prog.name().to_string_lossy() == program.as_str()).ok_or_else(
                || Stop::case(format!("object {} has no program {program} to give a type", image.name)),
            )?;
        prog.set_prog_type(ProgramType::from(*prog_type));
    }
    Ok(())
}

fn set_sizes(open: &mut OpenObject, image: &ObjectImage) -> Result<(), Stop> {
    for Resized { map, max_entries } in &image.sizes {
        let found = open.maps_mut().find(|known| map_name(&known.name().to_string_lossy()) == *map);
        let absent = || Stop::case(format!("object {} has no map {map} to give a size", image.name));
        found.ok_or_else(absent)?.set_max_entries(*max_entries).map_err(|error| {
            Stop::case(format!("object {}: map {map}: max_entries = {max_entries}: {error}", image.name))
        })?;
    }
    Ok(())
}

fn set_globals(open: &mut OpenObject, image: &ObjectImage) -> Result<(), Stop> {
    for global in &image.globals {
        let mut map = open
            .maps_mut()
            .find(|map| map_name(&map.name().to_string_lossy()) == global.section)
            .ok_or_else(|| {
            Stop::case(format!("object {} has no section {} to set", image.name, global.section))
        })?;
        let size = map.initial_value().map_or(0, <[u8]>::len);
        let range = global.offset as usize..global.offset as usize + global.value.len();
        let target =
            map.initial_value_mut().and_then(|bytes| bytes.get_mut(range.clone())).ok_or_else(|| {
                Stop::case(format!(
                    "object {}: bytes {range:?} are outside {} of {size} bytes",
                    image.name, global.section
                ))
            })?;
        target.copy_from_slice(&global.value);
    }
    Ok(())
}
