//! Global variables: data sections as maps, and what their types do not say before the symbols are looked at.

use std::collections::BTreeMap;

use super::elf::{Elf, SectionKind, Symbol, SymbolKind};
use super::special::special_fields;
use super::{MapContents, ObjectErrorKind, ObjectMap};
use crate::bpf::btf::{Btf, Kind, Linkage};
use crate::bpf::map::MapSpec;
use crate::uapi::MapType;
use crate::uapi::map::{BPF_F_MMAPABLE, BPF_F_RDONLY_PROG};

/// Kinds of global data.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Data {
    Writable,
    ReadOnly,
    Zero,
}

/// What sections libbpf makes maps of (`bpf_object__elf_collect`, libbpf.c).
fn data_of(name: &str, kind: SectionKind) -> Option<Data> {
    let is =
        |base: &str| name.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    match kind {
        SectionKind::Data if is(".data") => Some(Data::Writable),
        SectionKind::Data if is(".rodata") => Some(Data::ReadOnly),
        SectionKind::NoBits if is(".bss") => Some(Data::Zero),
        _ => None,
    }
}

/// The maps of an object's data sections, each with its section's number (`bpf_object__init_global_data_maps`).
pub(super) fn data_maps(
    elf: &Elf<'_>,
    btf: &Btf,
    object: &str,
) -> Result<Vec<(usize, ObjectMap)>, ObjectErrorKind> {
    let mut maps = Vec::new();
    for (index, section) in elf.sections.iter().enumerate() {
        let Some(data) = data_of(section.name, section.kind) else { continue };
        if section.size == 0 {
            continue;
        }
        let size = u32::try_from(section.size).map_err(|_| ObjectErrorKind::Section {
            section: section.name.to_owned(),
            what: format!("{} bytes; a map value has at most 2147483647", section.size),
        })?;
        let mut map = section_map(object, section.name, size, btf, data == Data::ReadOnly);
        map.contents = MapContents::Section(section.data.to_vec());
        maps.push((index, map));
    }
    Ok(maps)
}

/// The map of section `name` (`bpf_object__init_internal_map`, libbpf.c): one element, filled with zeroes.
pub(super) fn section_map(object: &str, name: &str, size: u32, btf: &Btf, read_only: bool) -> ObjectMap {
    let (value_type, vars) = btf.data_section(name).unwrap_or_default();
    let visible = vars
        .iter()
        .any(|v| matches!(btf.get(v.type_id).kind, Kind::Var { linkage, .. } if linkage != Linkage::Static));
    let read_only = if read_only { BPF_F_RDONLY_PROG } else { 0 };
    ObjectMap {
        spec: MapSpec {
            name: name.to_owned(),
            map_type: MapType::Array,
            key_size: 4,
            value_size: size,
            max_entries: 1,
            flags: read_only | if visible { BPF_F_MMAPABLE } else { 0 },
            extra: 0,
            inner: None,
            pinning: 0,
            key_type: 0,
            value_type,
            fields: special_fields(btf, value_type),
        },
        kernel_name: section_kernel_name(object, name),
        numa_node: 0,
        contents: MapContents::Section(Vec::new()),
        tags: Vec::new(),
    }
}

/// Bytes in a name the kernel keeps, its NUL not counted (`BPF_OBJ_NAME_LEN - 1`).
const NAME_LEN: usize = 15;

/// The kernel's name of a map that is a C variable.
pub(super) fn kernel_name(name: &str) -> String {
    name.chars().take(NAME_LEN).collect()
}

/// The kernel's name of a data section's map: 7 bytes or more for the section, the rest for the object; sections with
/// a second dot stand alone (`internal_map_name`, libbpf.c).
fn section_kernel_name(object: &str, section: &str) -> String {
    let suffix = section.len().clamp(7, NAME_LEN);
    let prefix = if section.get(1..).is_some_and(|rest| rest.contains('.')) { 0 } else { NAME_LEN - suffix };
    let clean = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.') { c } else { '_' };
    object.chars().take(prefix).chain(section.chars().take(suffix)).map(clean).collect()
}

/// Completes the data sections in an object's types: clang leaves their sizes and the places of global variables to the
/// ELF file (`btf_fixup_datasec`, libbpf.c).
pub(super) fn place_variables(btf: &mut Btf, elf: &Elf<'_>) -> Result<(), ObjectErrorKind> {
    let wanted = |s: &&Symbol<'_>| s.kind == SymbolKind::Variable && !s.local;
    let symbols: BTreeMap<&str, &Symbol<'_>> =
        elf.symbols.iter().filter(wanted).map(|s| (s.name, s)).collect();
    let sections: Vec<u32> =
        btf.types().filter(|(_, t)| matches!(t.kind, Kind::DataSec { .. })).map(|(id, _)| id).collect();
    for id in sections {
        let name = btf.name_of(id).to_owned();
        if matches!(name.as_str(), ".kconfig" | ".ksyms") {
            continue;
        }
        let Kind::DataSec { size, vars } = &btf.get(id).kind else { continue };
        let (mut size, mut vars, place) = (*size, vars.clone(), *size == 0);
        let fail = |what: String| ObjectErrorKind::Section { section: name.clone(), what };
        if place {
            let found = elf.sections.iter().find(|s| s.name == name).map(|s| s.size);
            let found = found.and_then(|size| u32::try_from(size).ok()).filter(|&size| size > 0);
            size = found.ok_or_else(|| fail("has variables in BTF, but no bytes in the file".into()))?;
        }
        for var in &mut vars {
            let Kind::Var { linkage, .. } = btf.get(var.type_id).kind else {
                return Err(fail(format!("type {} in BTF is no variable", var.type_id)));
            };
            if linkage != Linkage::Global {
                continue;
            }
            let text = btf.name_of(var.type_id);
            let symbol =
                symbols.get(text).ok_or_else(|| fail(format!("variable \"{text}\" has no symbol")))?;
            if place {
                var.offset = symbol.value as u32;
            }
            if symbol.hidden {
                btf.hide(var.type_id);
            }
        }
        vars.sort_by_key(|var| var.offset);
        btf.set_data_section(id, size, vars);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_names_are_libbpfs() {
        let table = [
            ("my_object_name", ".rodata", "my_objec.rodata"),
            ("my_object_name", ".bss", "my_objec.bss"),
            ("my_object_name", ".kconfig", "my_obje.kconfig"),
            ("my_object_name", ".rodata.abracadabra", ".rodata.abracad"),
            ("my_object_name", ".data.x", ".data.x"),
            ("a-b", ".data", "a_b.data"),
        ];
        for (object, section, expected) in table {
            assert_eq!(section_kernel_name(object, section), expected);
        }
        assert_eq!(kernel_name("a_map_with_a_long_name"), "a_map_with_a_lo");
    }
}
