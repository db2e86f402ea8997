//! An object file in the kernel: opened from memory by libbpf, changed as the case asks, loaded.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use bpftwin_conformance::case::ObjectImage;
use bpftwin_conformance::observation::Decline;
use libbpf_rs::{MapType, ObjectBuilder, OpenObject, PrintLevel, ProgramType, set_print};
use libbpf_sys::{BPF_F_MMAPABLE, BPF_MAP_TYPE_ARRAY};

use crate::failure::{Failure, Stop};
use crate::sys::{Errno, Map, Prog, inner_array, unpin};

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

/// How plain arrays are created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Arrays {
    /// With `BPF_F_MMAPABLE`, which no program can notice (`kernel/bpf/arraymap.c: array_map_alloc`, v6.12: the same
    /// elements at the same distance), so that reading a large one after each run needs no system call per element.
    Mappable,
    /// With the object's own flags.
    AsWritten,
}

/// Sets `BPF_F_MMAPABLE` on plain arrays, and on what maps of maps expect of the plain arrays they hold. The maps given
/// back show libbpf what is expected, and must live until the object is loaded.
fn make_mappable(open: &mut OpenObject) -> Result<Vec<Map>, libbpf_rs::Error> {
    let mut templates = Vec::new();
    for mut map in open.maps_mut() {
        if map.map_type() == MapType::Array {
            map.set_map_flags(map.map_flags() | BPF_F_MMAPABLE)?;
        } else if let Some([key_size, value_size, max_entries, flags]) = inner_array(&map) {
            let flags = flags | BPF_F_MMAPABLE;
            let template = Map::new(BPF_MAP_TYPE_ARRAY, key_size, value_size, max_entries, flags)
                .map_err(|errno: Errno| libbpf_rs::Error::from_raw_os_error(errno.raw()))?;
            map.set_inner_map_fd(template.as_fd())?;
            templates.push(template);
        }
    }
    Ok(templates)
}

/// libbpf's own name for the object; it prefixes the names of data maps, so it must have no dot.
const OBJECT_NAME: &str = "case";

/// What libbpf said since [`begin_log`].
static LOG: Mutex<String> = Mutex::new(String::new());

fn begin_log() {
    LOG.lock().unwrap_or_else(PoisonError::into_inner).clear();
    set_print(Some((PrintLevel::Info, |_, text| {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
    })));
}

fn take_log() -> String {
    std::mem::take(&mut *LOG.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Object {
    /// Opens, changes and loads `image`. Declines what libbpf or the verifier refuses, with their log.
    pub fn load(image: &ObjectImage) -> Result<Self, Stop> {
        // Arrays with special fields cannot be made mappable, nor can the maps that hold them.
        Self::load_with(image, Arrays::Mappable).or_else(|stop| match stop {
            Stop::Decline(_) => Self::load_with(image, Arrays::AsWritten),
            stop @ Stop::Failure(_) => Err(stop),
        })
    }

    fn load_with(image: &ObjectImage, arrays: Arrays) -> Result<Self, Stop> {
        begin_log();
        let refused = |what: &str, error: libbpf_rs::Error| {
            let log = take_log();
            let first = log.lines().next().map_or(String::new(), |l| format!(": {l}"));
            Stop::Decline(Decline { reason: format!("object {}: {what}: {error}{first}", image.name), log })
        };
        let mut open = ObjectBuilder::default()
            .name(OBJECT_NAME)
            .and_then(|builder| builder.open_memory(&image.elf))
            .map_err(|error| refused("cannot be opened", error))?;
        choose_programs(&mut open, image)?;
        set_globals(&mut open, image)?;
        open.maps_mut().for_each(|mut map| unpin(&mut map));
        let templates = match arrays {
            Arrays::Mappable => {
                make_mappable(&mut open).map_err(|error| refused("cannot be changed", error))?
            }
            Arrays::AsWritten => Vec::new(),
        };
        let loaded = open.load().map_err(|error| refused("is not loaded", error))?;
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

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// A data map's section name, or the map's own name: libbpf calls a section's map after the object and the section,
/// and a C name has no dot.
fn map_name(libbpf: &str) -> String {
    libbpf.find('.').map_or(libbpf, |dot| &libbpf[dot..]).to_owned()
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
