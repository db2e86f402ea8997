//! Map definitions before BTF: `struct bpf_map_def` in section `maps`, and the longer `struct bpf_elf_map` of iproute2
//! (`include/bpf_elf.h` there). libbpf refuses them since 1.0; tc and ebpf-go (`elfCode.loadMaps`) take them.

use super::data::kernel_name;
use super::elf::{Elf, SectionKind, Symbol, SymbolPlace};
use super::maps::UserMap;
use super::{MapContents, ObjectErrorKind, ObjectMap, ring_size};
use crate::bpf::map::MapSpec;
use crate::uapi::MapType;

/// Bytes of `struct bpf_map_def`: type, sizes of key and value, elements, flags.
const SHORT: usize = 20;
/// Bytes of `struct bpf_elf_map` as it was first: the same, then id and pinning.
const PINNED: usize = 28;
/// Bytes of `struct bpf_elf_map`: then inner id and inner index, too.
const LONG: usize = 36;

/// The definitions of every section `maps` and `maps/…`, in the order of sections and places.
pub(super) fn legacy_maps(elf: &Elf<'_>) -> Result<Vec<UserMap>, ObjectErrorKind> {
    let mut maps = Vec::new();
    for (index, section) in elf.sections.iter().enumerate() {
        let named = section.name == "maps" || section.name.starts_with("maps/");
        if !named || section.kind != SectionKind::Data || section.data.is_empty() {
            continue;
        }
        // Labels of the compiler's, which mark blocks, are no maps.
        let there = |s: &&Symbol<'_>| {
            s.place == SymbolPlace::Section(index)
                && !s.name.is_empty()
                && s.name != section.name
                && !s.name.starts_with("LBB")
        };
        let mut symbols: Vec<&Symbol<'_>> = elf.symbols.iter().filter(there).collect();
        symbols.sort_by_key(|s| s.value);
        let fail =
            |what: &str| ObjectErrorKind::Section { section: section.name.to_owned(), what: what.to_owned() };
        if symbols.is_empty() {
            return Err(fail("defines maps that no symbol names"));
        }
        // Nothing says how long one is but that they are all alike.
        let size = section.data.len() / symbols.len();
        if !section.data.len().is_multiple_of(symbols.len()) {
            return Err(fail("map definitions are not of equal size"));
        }
        for (i, symbol) in symbols.into_iter().enumerate() {
            if symbol.value != (i * size) as u64 {
                return Err(fail("map definitions and symbols do not lie alike"));
            }
            let definition = &section.data[i * size..][..size];
            maps.push(
                map(symbol, definition, index)
                    .map_err(|what| ObjectErrorKind::Map { map: symbol.name.to_owned(), what })?,
            );
        }
    }
    Ok(maps)
}

fn map(symbol: &Symbol<'_>, definition: &[u8], section: usize) -> Result<UserMap, String> {
    if symbol.local {
        return Err("is static; map definitions must be global variables".into());
    }
    if definition.len() < SHORT {
        return Err(format!("is defined in {} bytes; struct bpf_map_def has {SHORT}", definition.len()));
    }
    let (fields, _) = definition[..definition.len().min(LONG)].as_chunks::<4>();
    let field = |i: usize| fields.get(i).copied().map_or(0, u32::from_le_bytes);
    // What follows the struct is some other loader's, and must ask nothing.
    let known = [LONG, PINNED, SHORT].into_iter().find(|&bytes| bytes <= definition.len()).unwrap_or(SHORT);
    if let Some(at) = definition[known..].iter().position(|&byte| byte != 0) {
        return Err(format!(
            "has a value at byte {} of its definition, where no known struct has a member",
            known + at
        ));
    }
    let number = field(0);
    let map_type = MapType::from_u32(number).filter(|&known| known != MapType::Unspec);
    let map_type = map_type.ok_or_else(|| format!("has type {number}, which no kernel up to 6.18 knows"))?;
    let pinning = if known >= PINNED { field(6) } else { 0 };
    if known == LONG && (field(7) != 0 || field(8) != 0) {
        return Err("names an inner map as iproute2 does, by inner_id and inner_idx; define it with __array(values, …) in SEC(\".maps\")".into());
    }
    let name = symbol.name.to_owned();
    let ring = matches!(map_type, MapType::Ringbuf | MapType::UserRingbuf);
    let kernel_name = kernel_name(&name);
    let spec = MapSpec {
        name,
        map_type,
        key_size: field(1),
        value_size: field(2),
        max_entries: if ring { ring_size(field(3)) } else { field(3) },
        flags: field(4),
        extra: 0,
        inner: None,
        pinning,
        key_type: 0,
        value_type: 0,
        fields: Vec::new(),
    };
    let map = ObjectMap { spec, kernel_name, numa_node: 0, contents: MapContents::Empty, tags: Vec::new() };
    Ok(UserMap { map, section, offset: symbol.value as u32, size: definition.len() as u32, values: None })
}
