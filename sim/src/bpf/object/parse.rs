//! ELF bytes → [`Object`]: the order in which the parts are read.

use std::collections::BTreeMap;

use super::elf::{Elf, SectionKind};
use super::externs::{self, Externs};
use super::functions::{self, Functions, Targets};
use super::{
    FunctionId, Object, ObjectError, ObjectErrorKind, ObjectMap, ProgramSpec, SectionName, data, legacy,
    maps, struct_ops, tails,
};
use crate::bpf::btf::Btf;
use crate::bpf::btf::ext::Ext;
use crate::uapi::{MapType, ProgType};

impl Object {
    /// Reads an object file. `name` is its file name; what stands before the first dot of its last part becomes the
    /// object's name.
    ///
    /// Pure: the same bytes give the same object everywhere. Memory used is proportional to `bytes`.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, ObjectError> {
        let file = name.rsplit('/').next().unwrap_or(name);
        let name = file.split('.').next().unwrap_or(file);
        parse(name, bytes).map_err(|kind| ObjectError { object: name.to_owned(), kind })
    }
}

fn parse(name: &str, bytes: &[u8]) -> Result<Object, ObjectErrorKind> {
    let elf = Elf::parse(bytes)?;
    let named = |name: &str| elf.sections.iter().position(|s| s.name == name);
    let (btf, ext) = types(&elf)?;
    let types = btf.as_ref().unwrap_or(const { &Btf::EMPTY });

    let externs = externs::collect(&elf, types)?;
    let maps_section = named(".maps").filter(|&i| elf.sections[i].size > 0);
    let mut user_maps = match maps_section {
        Some(section) => maps::user_maps(&elf, types, section)?,
        None => Vec::new(),
    };
    user_maps.extend(legacy::legacy_maps(&elf)?);
    let mut functions = functions::collect(&elf)?;

    let by_offset: BTreeMap<(usize, u64), usize> =
        (0..).zip(&user_maps).map(|(i, m)| ((m.section, u64::from(m.offset)), i)).collect();
    let mut by_section = BTreeMap::new();
    let mut data_maps = Vec::new();
    for (section, map) in data::data_maps(&elf, types, name)? {
        by_section.insert(section, user_maps.len() + data_maps.len());
        data_maps.push(map);
    }
    // Variables of an arena are in the arena map (`ARENA_SEC`, libbpf.c).
    let arena = user_maps.iter().position(|m| m.map.spec.map_type == MapType::Arena);
    by_section.extend(named(".addr_space.1").zip(arena));

    let targets = Targets { maps: &by_offset, data: &by_section, externs: &externs.by_symbol };
    for index in relocating(&elf, |target| elf.sections[target].kind == SectionKind::Code) {
        functions.relocate(&elf, index, &targets)?;
    }
    functions.finish()?;
    functions.annotate(&elf, types, &ext)?;

    let programs = programs(&functions, named(".text"), &elf);
    if let Some(section) = maps_section {
        for index in relocating(&elf, |target| target == section) {
            maps::initialise(&elf, section, index, &mut user_maps, &programs)?;
        }
    }
    let mut all: Vec<ObjectMap> = user_maps.into_iter().map(|m| m.map).collect();
    all.extend(data_maps);
    all.extend(kconfig_map(name, types, &externs));
    all.extend(struct_ops::struct_ops_maps(&elf, types)?);
    let (mut tails, mut notes) = (Vec::new(), notes(&elf, &by_section));
    for (program, ..) in &programs {
        tails::of_tags(functions.tags(program.function), program, &all, &mut tails, &mut notes);
    }
    Ok(Object {
        name: name.to_owned(),
        license: license(&elf),
        version: version(&elf)?,
        maps: all,
        programs: programs.into_iter().map(|(program, ..)| program).collect(),
        tails,
        functions: functions.list,
        externs: externs.list,
        notes,
        btf,
    })
}

/// Sections of relocations whose target is `wanted`.
fn relocating<'a>(elf: &'a Elf<'_>, wanted: impl Fn(usize) -> bool + 'a) -> impl Iterator<Item = usize> + 'a {
    let rel = move |&i: &usize| matches!(elf.sections[i].kind, SectionKind::Rel { target } if wanted(target));
    (0..elf.sections.len()).filter(rel)
}

fn types(elf: &Elf<'_>) -> Result<(Option<Btf>, Ext), ObjectErrorKind> {
    let section = |name: &'static str| elf.sections.iter().find(|s| s.name == name && !s.data.is_empty());
    let failed = |section| move |error| ObjectErrorKind::Btf { section, error };
    let Some(types) = section(".BTF") else { return Ok((None, Ext::default())) };
    let mut btf = Btf::parse(types.data).map_err(failed(".BTF"))?;
    let ext = match section(".BTF.ext") {
        Some(ext) => Ext::parse(ext.data, &btf).map_err(failed(".BTF.ext"))?,
        None => Ext::default(),
    };
    data::place_variables(&mut btf, elf)?;
    Ok((Some(btf), ext))
}

/// Entry points: every function outside `.text` (`prog_is_subprog`, libbpf.c since 1.6), each with its section number and
/// byte offset there. Static functions outside `.text`, which libbpf refuses and ebpf-go takes, are entry points unless
/// another function uses them.
fn programs(functions: &Functions, text: Option<usize>, elf: &Elf<'_>) -> Vec<(ProgramSpec, usize, u64)> {
    let mut programs = Vec::new();
    let used = functions.used_static();
    for (i, function) in functions.list.iter().enumerate() {
        let id = FunctionId(i);
        let (section, slot) = functions.place(id);
        let tagged = || function.tags.iter().any(|tag| tag.starts_with(tails::TAIL));
        let entry = !functions.is_local(id) || !used.contains(&id) || tagged();
        if Some(section) == text || !entry {
            continue;
        }
        let full = elf.sections[section].name;
        let name = full.strip_prefix('?').unwrap_or(full);
        let known = SectionName::parse(name).or_else(|| SectionName::by_prefix(name));
        for name_of in functions.names(id) {
            let program = ProgramSpec {
                name: name_of.to_owned(),
                section: name.to_owned(),
                autoload: name == full,
                prog_type: known.map_or(ProgType::Unspec, |k| k.prog_type),
                attach_type: known.and_then(|k| k.attach_type),
                sleepable: known.is_some_and(|k| k.sleepable),
                xdp_frags: known.is_some_and(|k| k.xdp_frags),
                function: id,
            };
            programs.push((program, section, u64::from(slot) * 8));
        }
    }
    programs
}

fn kconfig_map(object: &str, btf: &Btf, externs: &Externs) -> Option<ObjectMap> {
    (externs.kconfig_size > 0).then(|| data::section_map(object, ".kconfig", externs.kconfig_size, btf, true))
}

/// The text up to the first NUL (`bpf_object__init_license`, libbpf.c: 63 bytes at most).
fn license(elf: &Elf<'_>) -> String {
    let data = elf.sections.iter().rfind(|s| s.name == "license").map_or(&[][..], |s| s.data);
    let text = data.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(&text[..text.len().min(63)]).into_owned()
}

fn version(elf: &Elf<'_>) -> Result<Option<u32>, ObjectErrorKind> {
    let Some(section) = elf.sections.iter().rfind(|s| s.name == "version") else { return Ok(None) };
    let bytes = <[u8; 4]>::try_from(section.data).map_err(|_| ObjectErrorKind::Section {
        section: "version".into(),
        what: format!("{} bytes; the kernel version takes 4", section.data.len()),
    })?;
    Ok(Some(u32::from_le_bytes(bytes)))
}

fn notes(elf: &Elf<'_>, data: &BTreeMap<usize, usize>) -> Vec<String> {
    let pointers = relocating(elf, |target| data.contains_key(&target)).map(|index| {
        let SectionKind::Rel { target } = elf.sections[index].kind else { unreachable!("only those were asked for") };
        format!(
            "section \"{}\" holds initialised pointers; BPF cannot fill them in, and following one is refused",
            elf.sections[target].name
        )
    });
    pointers.collect()
}
