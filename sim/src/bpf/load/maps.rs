//! Maps of an object: creating them and filling them.

use std::collections::BTreeMap;

use super::{Global, LoadError, LoadOptions, kconfig};
use crate::bpf::link::Linked;
use crate::bpf::machine::{Machine, ProgId};
use crate::bpf::map::{CreateError, MapId, MapSpec, Reference, SpecialKind, TailCallee};
use crate::bpf::object::{ExternKind, MapContents, Object, ObjectMap, Target, ring_size};
use crate::uapi::MapType;
use crate::uapi::map::BPF_F_RDONLY_PROG;

/// A map of the object, or why there is none.
pub(super) type Created = Result<MapId, LoadError>;

/// Creates every map, in the object's order, and fills all but prog arrays. The error is a mistake of the caller's.
pub(super) fn create(
    machine: &mut Machine,
    object: &Object,
    options: &LoadOptions,
) -> Result<Vec<Created>, LoadError> {
    check_names(object, options)?;
    let contents = contents(object, options, machine)?;
    let mut created = Vec::with_capacity(object.maps.len());
    for map in &object.maps {
        let spec = asked(&map.spec, options, machine.nr_cpus);
        created.push(modelled(&spec).and_then(|()| {
            create_one(machine, &spec).map_err(|error| {
                let map = spec.name.clone();
                match error {
                    CreateError::Errno(errno) => {
                        let advice = if spec.max_entries == 0 {
                            "its max_entries is 0, as where an object leaves it to its loader to say how many"
                        } else {
                            "check its sizes, max_entries and flags"
                        };
                        LoadError::Map { map, map_type: spec.map_type, errno, advice }
                    }
                    CreateError::NotModelled(kind) => LoadError::NotModelled { map, what: kind.to_string() },
                }
            })
        }));
    }
    for ((index, map), bytes) in (0..).zip(&object.maps).zip(&contents) {
        let Ok(id) = created[index] else { continue };
        let filled = match (&map.contents, bytes) {
            (MapContents::Empty | MapContents::Programs(_), _) => Ok(()),
            (MapContents::Section(_), Ok(bytes)) => fill_section(machine, map, id, bytes),
            (MapContents::Section(_), Err(error)) => Err(error.clone()),
            (MapContents::Maps(slots), _) => fill_map_of_maps(machine, object, &created, map, id, slots),
        };
        if let Err(error) = filled {
            created[index] = Err(error);
        }
    }
    Ok(created)
}

/// What keeps a linked program from its maps.
pub(super) fn lacking(object: &Object, linked: &Linked, created: &[Created]) -> Vec<LoadError> {
    let kconfig = |index: usize| match object.externs[index].kind {
        ExternKind::Kconfig { .. } => object.maps.iter().position(|map| map.spec.name == ".kconfig"),
        _ => None,
    };
    let used = linked.references.iter().filter_map(|reference| match reference.target {
        Target::Map(map) | Target::Data { map, .. } => Some(map),
        Target::ExternVar(index) => kconfig(index),
        _ => None,
    });
    used.filter_map(|map| created[map].as_ref().err().cloned()).collect()
}

/// Creates a map; one the kernel refuses is tried without the types of key and value, and so without special fields
/// (`bpf_object__create_map`, libbpf.c).
fn create_one(machine: &mut Machine, spec: &MapSpec) -> Result<MapId, CreateError> {
    let (maps, mut ctx) = machine.maps();
    match maps.create(&mut ctx, spec) {
        Err(CreateError::Errno(_)) if spec.key_type != 0 || spec.value_type != 0 => {
            let untyped = MapSpec { key_type: 0, value_type: 0, fields: Vec::new(), ..spec.clone() };
            maps.create(&mut ctx, &untyped)
        }
        created => created,
    }
}

fn check_names(object: &Object, options: &LoadOptions) -> Result<(), LoadError> {
    let known = || object.maps.iter().map(|map| map.spec.name.as_str());
    match options.max_entries.iter().find(|(name, _)| object.map(name).is_none()) {
        Some((name, _)) => Err(LoadError::unknown(object, "map", name, known())),
        None => Ok(()),
    }
}

/// What is asked of the kernel for a map (`bpf_object__create_map`, libbpf.c).
fn asked(spec: &MapSpec, options: &LoadOptions, nr_cpus: u32) -> MapSpec {
    let mut spec = spec.clone();
    if let Some(&(_, max_entries)) = options.max_entries.iter().rfind(|(name, _)| *name == spec.name) {
        let ring = matches!(spec.map_type, MapType::Ringbuf | MapType::UserRingbuf);
        spec.max_entries = if ring { ring_size(max_entries) } else { max_entries };
    }
    spec.inner = spec.inner.map(|inner| Box::new(asked(&inner, options, nr_cpus)));
    match spec.map_type {
        MapType::PerfEventArray if spec.max_entries == 0 => spec.max_entries = nr_cpus,
        _ => {}
    }
    if takes_no_types(spec.map_type) {
        (spec.key_type, spec.value_type) = (0, 0);
        spec.fields.clear();
    }
    spec
}

/// Map types for which libbpf leaves the types of keys and values out, since kernels refuse them.
const fn takes_no_types(map_type: MapType) -> bool {
    matches!(
        map_type,
        MapType::PerfEventArray
            | MapType::CgroupArray
            | MapType::StackTrace
            | MapType::ArrayOfMaps
            | MapType::HashOfMaps
            | MapType::Devmap
            | MapType::DevmapHash
            | MapType::Cpumap
            | MapType::Xskmap
            | MapType::Sockmap
            | MapType::Sockhash
            | MapType::Queue
            | MapType::Stack
            | MapType::Arena
    )
}

fn modelled(spec: &MapSpec) -> Result<(), LoadError> {
    let other = spec.fields.iter().find(|field| field.kind == SpecialKind::Other);
    match other {
        Some(field) => Err(LoadError::NotModelled {
            map: spec.name.clone(),
            what: format!(
                "its value has a kernel pointer, list, tree or work queue at byte {}",
                field.offset
            ),
        }),
        None => Ok(()),
    }
}

/// The bytes of each data section, with the caller's variables and the kernel's configuration in them.
fn contents(
    object: &Object,
    options: &LoadOptions,
    machine: &Machine,
) -> Result<Vec<Result<Vec<u8>, LoadError>>, LoadError> {
    let mut contents = Vec::with_capacity(object.maps.len());
    for map in &object.maps {
        contents.push(match &map.contents {
            MapContents::Section(_) if map.spec.name == ".kconfig" => {
                kconfig::contents(object, options, machine.release, map.spec.value_size as usize)
            }
            MapContents::Section(bytes) => Ok(bytes.clone()),
            _ => Ok(Vec::new()),
        });
    }
    for Global { section, offset, value } in &options.globals {
        let is_data = |map: &ObjectMap| matches!(map.contents, MapContents::Section(_));
        let index = object.maps.iter().position(|map| is_data(map) && map.spec.name == *section);
        let index = index.ok_or_else(|| {
            let known = object.maps.iter().filter(|map| is_data(map)).map(|map| map.spec.name.as_str());
            LoadError::unknown(object, "data section", section, known)
        })?;
        let size = object.maps[index].spec.value_size as usize;
        let end = (*offset as usize).checked_add(value.len()).filter(|&end| end <= size);
        let end = end.ok_or_else(|| LoadError::Global {
            section: section.clone(),
            size,
            offset: *offset,
            len: value.len(),
        })?;
        let Ok(bytes) = &mut contents[index] else { continue };
        bytes.resize(bytes.len().max(end), 0);
        bytes[*offset as usize..end].copy_from_slice(value);
    }
    Ok(contents)
}

/// `bpf_object__populate_internal_map`, libbpf.c.
fn fill_section(machine: &mut Machine, map: &ObjectMap, id: MapId, bytes: &[u8]) -> Result<(), LoadError> {
    let (maps, mut ctx) = machine.maps();
    let filled = if bytes.is_empty() {
        Ok(())
    } else {
        let mut value = bytes.to_vec();
        value.resize(map.spec.value_size as usize, 0);
        maps.sys_update(&mut ctx, id, &[0; 4], &value, 0)
    };
    let read_only = map.spec.flags & BPF_F_RDONLY_PROG != 0;
    let frozen = filled.and_then(|()| if read_only { maps.sys_freeze(id) } else { Ok(()) });
    frozen.map_err(|errno| LoadError::Contents {
        map: map.spec.name.clone(),
        key: 0,
        what: errno.to_string(),
    })
}

fn fill_map_of_maps(
    machine: &mut Machine,
    object: &Object,
    created: &[Created],
    map: &ObjectMap,
    id: MapId,
    slots: &[(u32, String)],
) -> Result<(), LoadError> {
    for (key, name) in slots {
        let fail = |what: String| LoadError::Contents { map: map.spec.name.clone(), key: *key, what };
        let inner = object.maps.iter().position(|m| m.spec.name == *name);
        let inner = inner.ok_or_else(|| fail(format!("there is no map \"{name}\"")))?;
        let inner = created[inner].clone()?;
        machine
            .maps
            .sys_update_reference(id, &key.to_le_bytes(), Reference::Map(inner), 0)
            .map_err(|errno| fail(format!("storing map \"{name}\" fails with {errno}")))?;
    }
    Ok(())
}

/// `bpf_object_init_prog_arrays`, libbpf.c: gives what fails. Programs that were not loaded are told of when `all` were
/// to be there; else why they are not has been told.
pub(super) fn fill_prog_arrays(
    machine: &mut Machine,
    object: &Object,
    created: &[Created],
    programs: &BTreeMap<String, ProgId>,
    all: bool,
) -> Vec<LoadError> {
    let mut failed = Vec::new();
    let mut fail = |map: usize, key: u32, what: String| {
        failed.push(LoadError::Contents { map: object.maps[map].spec.name.clone(), key, what });
    };
    let initial =
        object.maps.iter().enumerate().filter_map(|(map, ObjectMap { contents, .. })| match contents {
            MapContents::Programs(slots) => {
                Some(slots.iter().map(move |(slot, name)| (map, *slot, name, all)))
            }
            _ => None,
        });
    // A tag says where the program goes if it is there.
    let tagged = object.tails.iter().map(|tail| (tail.map, tail.slot, &tail.program, false));
    for (map, slot, name, due) in initial.flatten().chain(tagged) {
        let Ok(id) = created[map] else { continue };
        if object.program(name).is_none() {
            fail(map, slot, format!("there is no program \"{name}\""));
            continue;
        }
        let Some(&prog) = programs.get(name) else {
            if due {
                fail(map, slot, format!("program \"{name}\" is not loaded; load it too"));
            }
            continue;
        };
        let program = Reference::Program(TailCallee::of(machine, prog));
        if let Err(errno) = machine.maps.sys_update_reference(id, &slot.to_le_bytes(), program, 0) {
            fail(map, slot, format!("storing program \"{name}\" fails with {errno}"));
        }
    }
    failed
}
