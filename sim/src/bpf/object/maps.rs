//! Map definitions: variables of section `.maps`, whose types say what to create (`parse_btf_map_def`, libbpf.c).

use super::data::kernel_name;
use super::elf::{Elf, SymbolPlace};
use super::special::special_fields;
use super::{MapContents, ObjectErrorKind, ObjectMap, ProgramSpec};
use crate::bpf::btf::{Btf, Kind, Linkage, Member};
use crate::bpf::map::MapSpec;
use crate::uapi::MapType;

/// A map and the place of its variable.
pub(super) struct UserMap {
    pub map: ObjectMap,
    /// The section's number.
    pub section: usize,
    /// Byte offset of the variable in it.
    pub offset: u32,
    /// Bytes of the variable.
    pub size: u32,
    /// Byte offset of the initialised elements inside the variable.
    pub values: Option<u32>,
}

/// The definitions in section `number`, in the order of their places.
pub(super) fn user_maps(elf: &Elf<'_>, btf: &Btf, number: usize) -> Result<Vec<UserMap>, ObjectErrorKind> {
    let section = elf.sections[number];
    let no_types = || ObjectErrorKind::NoBtf { what: "section \".maps\"".into() };
    let (_, vars) = btf.data_section(section.name).ok_or_else(no_types)?;
    let mut maps = Vec::with_capacity(vars.len());
    for var in vars {
        let name = btf.name_of(var.type_id).to_owned();
        let fail = |what: &str| ObjectErrorKind::Map { map: name.clone(), what: what.to_owned() };
        let Kind::Var { to, linkage } = btf.get(var.type_id).kind else {
            return Err(fail("is no variable"));
        };
        if linkage != Linkage::Global {
            return Err(fail("is static or hidden; map definitions must be global variables"));
        }
        if u64::from(var.offset) + u64::from(var.size) > section.size {
            return Err(fail("reaches past the end of section \".maps\""));
        }
        if name.is_empty() {
            return Err(fail("has no name"));
        }
        let mut definition = Definition::parse(btf, &name, to, false)?;
        if definition.size > var.size {
            return Err(fail("is smaller than its type"));
        }
        let values = definition.values;
        let inner = definition.inner.take().map(|inner| Box::new(inner.spec(btf, format!("{name}.inner"))));
        let numa_node = definition.numa_node;
        let spec = MapSpec { inner, ..definition.spec(btf, name.clone()) };
        let tags = btf.decl_tags(var.type_id, None);
        let kernel_name = kernel_name(&name);
        let map = ObjectMap { spec, kernel_name, numa_node, contents: MapContents::Empty, tags };
        maps.push(UserMap { map, section: number, offset: var.offset, size: var.size, values });
    }
    Ok(maps)
}

/// The attributes of one definition.
#[derive(Default)]
struct Definition {
    size: u32,
    map_type: u32,
    key: Sized,
    value: Sized,
    max_entries: u32,
    flags: u32,
    numa_node: u32,
    pinning: u32,
    extra: u64,
    inner: Option<Box<Definition>>,
    values: Option<u32>,
}

/// What is known about keys or values.
#[derive(Default)]
struct Sized {
    size: u32,
    type_id: u32,
}

impl Definition {
    fn parse(btf: &Btf, map: &str, id: u32, is_inner: bool) -> Result<Self, ObjectErrorKind> {
        let fail = |what: String| ObjectErrorKind::Map { map: map.to_owned(), what };
        let Kind::Struct(composite) = btf.kind(id) else {
            return Err(fail(format!("is a {}, not a struct of attributes", btf.describe(id))));
        };
        let mut this = Self { size: composite.size, ..Self::default() };
        for (i, member) in composite.members.iter().enumerate() {
            let name = btf.text(member.name);
            let last = i + 1 == composite.members.len();
            this.attribute(btf, map, member, name, last, is_inner)
                .map_err(|what| fail(format!("{name}: {what}")))?;
        }
        if this.map_type == 0 {
            return Err(fail("has no type; add __uint(type, BPF_MAP_TYPE_…)".into()));
        }
        if MapType::from_u32(this.map_type).is_none() {
            return Err(fail(format!("has type {}, which no kernel up to 6.18 knows", this.map_type)));
        }
        Ok(this)
    }

    fn attribute(
        &mut self,
        btf: &Btf,
        map: &str,
        member: &Member,
        name: &str,
        last: bool,
        is_inner: bool,
    ) -> Result<(), String> {
        match name {
            "type" => self.map_type = number(btf, member)?,
            "max_entries" => self.max_entries = number(btf, member)?,
            "map_flags" => self.flags = number(btf, member)?,
            "numa_node" => self.numa_node = number(btf, member)?,
            "key_size" => self.key.set_size(number(btf, member)?)?,
            "value_size" => self.value.set_size(number(btf, member)?)?,
            "key" => self.key.set_type(btf, member)?,
            "value" => self.value.set_type(btf, member)?,
            "map_extra" => self.extra = long_number(btf, member)?,
            "pinning" if is_inner => return Err("an inner map cannot be pinned".into()),
            // libbpf knows 0 and 1 only; other loaders give other numbers meanings of their own.
            "pinning" => self.pinning = number(btf, member)?,
            "values" if is_inner => return Err("maps of maps of maps do not exist".into()),
            "values" if !last => return Err("must be the last attribute".into()),
            "values" => self.values(btf, map, member)?,
            _ => return Err("no such attribute".into()),
        }
        Ok(())
    }

    fn values(&mut self, btf: &Btf, map: &str, member: &Member) -> Result<(), String> {
        let of_maps = is_map_of_maps(self.map_type);
        if !of_maps && self.map_type != MapType::ProgArray as u32 {
            return Err("only maps of maps and prog arrays have values".into());
        }
        self.value.set_size(4)?;
        let &Kind::Array { element, count: 0, .. } = btf.kind(member.type_id) else {
            return Err("must be declared with __array(values, …)".into());
        };
        let &Kind::Ptr { to } = btf.kind(element) else {
            return Err("must be an array of pointers".into());
        };
        self.values = Some(member.bit_offset / 8);
        match btf.kind(to) {
            Kind::Struct(_) if of_maps => {
                let inner = Self::parse(btf, &format!("{map}.inner"), to, true).map_err(|e| e.to_string())?;
                self.inner = Some(Box::new(inner));
                Ok(())
            }
            Kind::FuncProto { .. } if !of_maps => Ok(()),
            _ if of_maps => Err(format!("must point to map definitions, not to {}", btf.describe(to))),
            _ => Err(format!("must point to functions, not to {}", btf.describe(to))),
        }
    }

    fn spec(&self, btf: &Btf, name: String) -> MapSpec {
        let map_type = MapType::from_u32(self.map_type).unwrap_or(MapType::Unspec);
        let ring = matches!(map_type, MapType::Ringbuf | MapType::UserRingbuf);
        MapSpec {
            name,
            map_type,
            key_size: self.key.size,
            value_size: self.value.size,
            max_entries: if ring { ring_size(self.max_entries) } else { self.max_entries },
            flags: self.flags,
            extra: self.extra,
            inner: None,
            pinning: self.pinning,
            key_type: self.key.type_id,
            value_type: self.value.type_id,
            fields: special_fields(btf, self.value.type_id),
        }
    }
}

impl Sized {
    fn set_size(&mut self, size: u32) -> Result<(), String> {
        if self.size != 0 && self.size != size {
            return Err(format!("{size} bytes contradict the {} given before", self.size));
        }
        self.size = size;
        Ok(())
    }

    fn set_type(&mut self, btf: &Btf, member: &Member) -> Result<(), String> {
        let Kind::Ptr { to } = btf.get(member.type_id).kind else {
            return Err(format!("{} is no pointer to a type; use __type", btf.describe(member.type_id)));
        };
        let size = btf.size_of(to).ok_or_else(|| format!("{} has no size", btf.describe(to)))?;
        self.set_size(size)?;
        self.type_id = to;
        Ok(())
    }
}

fn is_map_of_maps(map_type: u32) -> bool {
    map_type == MapType::ArrayOfMaps as u32 || map_type == MapType::HashOfMaps as u32
}

/// `__uint(name, value)`: a pointer to an array of that many elements.
fn number(btf: &Btf, member: &Member) -> Result<u32, String> {
    if let &Kind::Ptr { to } = btf.kind(member.type_id)
        && let Kind::Array { count, .. } = btf.get(to).kind
    {
        return Ok(count);
    }
    Err(format!("{} encodes no number; use __uint", btf.describe(member.type_id)))
}

/// `__ulong(name, value)`: an enumeration of one value. `__uint` will do too.
fn long_number(btf: &Btf, member: &Member) -> Result<u64, String> {
    match btf.kind(member.type_id) {
        Kind::Enum(e) if e.values.len() == 1 => Ok(e.values[0].1),
        Kind::Enum(_) => Err("encodes no number; use __ulong".into()),
        _ => number(btf, member).map(u64::from),
    }
}

/// Ring sizes are rounded up to a page times a power of two (`adjust_ringbuf_sz`, libbpf.c), with pages of 4096 bytes.
pub(crate) fn ring_size(size: u32) -> u32 {
    const PAGE: u32 = 4096;
    if size == 0 || size.is_multiple_of(PAGE) && (size / PAGE).is_power_of_two() {
        return size;
    }
    (0..20).map(|shift| PAGE << shift).find(|&fitting| fitting > size).unwrap_or(size)
}

/// Reads the initialised elements of prog arrays and maps of maps out of the relocations of `.maps`
/// (`bpf_object__collect_map_relos`, libbpf.c).
pub(super) fn initialise(
    elf: &Elf<'_>,
    maps_section: usize,
    relocations: usize,
    maps: &mut [UserMap],
    programs: &[(ProgramSpec, usize, u64)],
) -> Result<(), ObjectErrorKind> {
    for rel in elf.relocations(relocations) {
        let rel = rel?;
        let symbol = elf.symbols[rel.symbol];
        let fail = |what: String| ObjectErrorKind::Relocation {
            section: elf.sections[maps_section].name.to_owned(),
            offset: rel.offset,
            what,
        };
        let covers = |m: &UserMap| {
            let start = u64::from(m.offset);
            m.section == maps_section
                && start <= rel.offset
                && rel.offset.saturating_add(8) <= start + u64::from(m.size)
        };
        let index = maps.iter().position(covers).ok_or_else(|| fail("lies in no map's variable".into()))?;
        let of_maps = is_map_of_maps(maps[index].map.spec.map_type as u32);
        let name = symbol.name;
        if of_maps {
            let target = |m: &UserMap| {
                symbol.place == SymbolPlace::Section(m.section) && u64::from(m.offset) == symbol.value
            };
            if !maps.iter().any(|m| target(m) && m.map.spec.name == name) {
                return Err(fail(format!("\"{name}\" is no map")));
            }
        } else {
            let target = |(program, section, offset): &(ProgramSpec, usize, u64)| {
                program.name == name
                    && symbol.place == SymbolPlace::Section(*section)
                    && symbol.value == *offset
            };
            if !programs.iter().any(target) {
                return Err(fail(format!(
                    "\"{name}\" is no entry-point program; tail calls reach nothing else"
                )));
            }
        }
        let UserMap { map, offset, values, .. } = &mut maps[index];
        if map.spec.map_type == MapType::HashOfMaps && map.spec.key_size != 4 {
            return Err(fail(format!("map \"{}\": only keys of 4 bytes can be initialised", map.spec.name)));
        }
        let values = values.ok_or_else(|| fail(format!("map \"{}\" has no values", map.spec.name)))?;
        let place = rel.offset.checked_sub(u64::from(*offset) + u64::from(values));
        let slot = place.filter(|place| place % 8 == 0).and_then(|place| u32::try_from(place / 8).ok());
        let slot =
            slot.ok_or_else(|| fail(format!("lies between the values of map \"{}\"", map.spec.name)))?;
        if matches!(map.contents, MapContents::Empty) {
            let new = if of_maps { MapContents::Maps } else { MapContents::Programs };
            map.contents = new(Vec::new());
        }
        if let MapContents::Maps(slots) | MapContents::Programs(slots) = &mut map.contents {
            slots.retain(|(other, _)| *other != slot);
            slots.push((slot, name.to_owned()));
            slots.sort();
        }
    }
    Ok(())
}
