//! The `.BTF` section → [`Btf`].

use super::cursor::Cursor;
use super::{Btf, BtfError, Composite, Enum, Int, Kind, Linkage, Member, Name, Param, SecVar, Type};

impl Btf {
    /// Reads a `.BTF` section or `/sys/kernel/btf/vmlinux`.
    ///
    /// Every type id and name offset in the result exists, as `btf_validate_type` of `tools/lib/bpf/btf.c` (v6.12)
    /// wants it. Memory used is proportional to `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self, BtfError> {
        let section = Cursor::new(bytes);
        let mut head = section;
        let header_len = head.header()?;
        let [types_at, types_len, strings_at, strings_len] = head.words()?;
        if (header_len as usize) < head.offset() {
            return Err(head.error(format!("header length {header_len} is below {}", head.offset())));
        }
        let place = |offset: u32| header_len as usize + offset as usize;
        let strings = strings(section.part(place(strings_at), strings_len, "the string part")?)?;
        let mut types = section.part(place(types_at), types_len, "the type part")?;
        let mut btf = Self { types: Vec::new(), strings };
        let mut offsets = Vec::new();
        while !types.is_empty() {
            offsets.push(types.offset());
            let parsed = parse_type(&mut types)?;
            btf.types.push(parsed);
        }
        for (t, &offset) in btf.types.iter().zip(&offsets) {
            btf.validate(t).map_err(|what| BtfError { offset, what })?;
        }
        Ok(btf)
    }

    fn validate(&self, t: &Type) -> Result<(), String> {
        let name = |name: Name| {
            let size = self.strings.len();
            let known = (name.0 as usize) < size;
            known
                .then_some(())
                .ok_or_else(|| format!("name offset {:#x} is past the {size} bytes of strings", name.0))
        };
        let id = |id: u32| {
            let known = id < self.len();
            known.then_some(()).ok_or_else(|| format!("refers to type {id}; there are {}", self.types.len()))
        };
        name(t.name)?;
        match &t.kind {
            Kind::Void | Kind::Int(_) | Kind::Fwd { .. } | Kind::Float { .. } => Ok(()),
            Kind::Ptr { to }
            | Kind::Typedef { to }
            | Kind::Volatile { to }
            | Kind::Const { to }
            | Kind::Restrict { to }
            | Kind::TypeTag { to }
            | Kind::Var { to, .. }
            | Kind::DeclTag { target: to, .. }
            | Kind::Func { proto: to, .. } => id(*to),
            Kind::Array { element, index, .. } => id(*element).and_then(|()| id(*index)),
            Kind::Struct(composite) | Kind::Union(composite) => {
                composite.members.iter().try_for_each(|m| name(m.name).and_then(|()| id(m.type_id)))
            }
            Kind::Enum(enumeration) => enumeration.values.iter().try_for_each(|&(n, _)| name(n)),
            Kind::FuncProto { result, params } => {
                id(*result)?;
                params.iter().try_for_each(|p| name(p.name).and_then(|()| id(p.type_id)))
            }
            Kind::DataSec { vars, .. } => vars.iter().try_for_each(|v| id(v.type_id)),
        }
    }
}

/// The strings as text of the same length: bytes that are no UTF-8 (a Latin-1 comment in a source line) become `?`.
fn strings(part: Cursor<'_>) -> Result<String, BtfError> {
    let bytes = part.rest();
    if bytes.first() != Some(&0) || bytes.last() != Some(&0) {
        return Err(part.error("the string part does not begin and end with a NUL"));
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    Ok(text)
}

fn parse_type(at: &mut Cursor<'_>) -> Result<Type, BtfError> {
    let start = *at;
    let [name, info, size_or_type] = at.words()?;
    let (count, kind, flag) = (info & 0xffff, info >> 24 & 0x1f, info >> 31 == 1);
    let (size, to) = (size_or_type, size_or_type);
    let kind = match kind {
        1 => int(at, size)?,
        2 => Kind::Ptr { to },
        3 => {
            let [element, index, count] = at.words()?;
            Kind::Array { element, index, count }
        }
        4 => Kind::Struct(composite(at, size, count, flag)?),
        5 => Kind::Union(composite(at, size, count, flag)?),
        6 => Kind::Enum(enumeration(at, size, count, flag)?),
        7 => Kind::Fwd { union: flag },
        8 => Kind::Typedef { to },
        9 => Kind::Volatile { to },
        10 => Kind::Const { to },
        11 => Kind::Restrict { to },
        12 => Kind::Func { proto: to, linkage: linkage(start, count)? },
        13 => {
            let param = |words: [u32; 2]| Param { name: Name(words[0]), type_id: words[1] };
            Kind::FuncProto { result: to, params: list(at, count, param)? }
        }
        14 => {
            let place = *at;
            let linkage_word = at.u32()?;
            Kind::Var { to, linkage: linkage(place, linkage_word)? }
        }
        15 => {
            let var = |words: [u32; 3]| SecVar { type_id: words[0], offset: words[1], size: words[2] };
            Kind::DataSec { size, vars: list(at, count, var)? }
        }
        16 => Kind::Float { size },
        17 => {
            let component = at.u32()?;
            Kind::DeclTag { target: to, component: (component != u32::MAX).then_some(component) }
        }
        18 => Kind::TypeTag { to },
        19 => Kind::Enum(enumeration64(at, size, count, flag)?),
        other => return Err(start.error(format!("unknown kind {other}"))),
    };
    Ok(Type { name: Name(name), kind })
}

/// `count` records of `N` words. The vector grows as words are found, so a wrong count costs nothing.
fn list<const N: usize, T>(
    at: &mut Cursor<'_>,
    count: u32,
    record: impl Fn([u32; N]) -> T,
) -> Result<Vec<T>, BtfError> {
    (0..count).map(|_| at.words().map(&record)).collect()
}

fn int(at: &mut Cursor<'_>, size: u32) -> Result<Kind, BtfError> {
    let start = *at;
    let word = at.u32()?;
    let (encoding, offset, bits) = (word >> 24 & 0xf, word >> 16 & 0xff, word & 0xff);
    if size > 16 || offset + bits > 8 * size {
        return Err(start.error(format!("integer of {bits} bits at bit {offset} in {size} bytes")));
    }
    let [signed, char, bool] = [1, 2, 4].map(|bit| encoding & bit != 0);
    Ok(Kind::Int(Int { size, bits, offset, signed, char, bool }))
}

fn composite(at: &mut Cursor<'_>, size: u32, count: u32, bit_fields: bool) -> Result<Composite, BtfError> {
    let member = |[name, type_id, offset]: [u32; 3]| {
        let (bit_offset, bit_size) =
            if bit_fields { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
        Member { name: Name(name), type_id, bit_offset, bit_size }
    };
    Ok(Composite { size, members: list(at, count, member)? })
}

fn enumeration(at: &mut Cursor<'_>, size: u32, count: u32, signed: bool) -> Result<Enum, BtfError> {
    let extend = |value: u32| if signed { value as i32 as u64 } else { u64::from(value) };
    let size = enum_size(*at, size)?;
    Ok(Enum { size, signed, values: list(at, count, |[name, value]: [u32; 2]| (Name(name), extend(value)))? })
}

fn enumeration64(at: &mut Cursor<'_>, size: u32, count: u32, signed: bool) -> Result<Enum, BtfError> {
    let size = enum_size(*at, size)?;
    let value = |[name, low, high]: [u32; 3]| (Name(name), u64::from(high) << 32 | u64::from(low));
    Ok(Enum { size, signed, values: list(at, count, value)? })
}

fn enum_size(at: Cursor<'_>, size: u32) -> Result<u32, BtfError> {
    match size {
        // A declaration without definition has 0.
        0 | 1 | 2 | 4 | 8 => Ok(size),
        _ => Err(at.error(format!("enumeration of {size} bytes"))),
    }
}

fn linkage(at: Cursor<'_>, value: u32) -> Result<Linkage, BtfError> {
    match value {
        0 => Ok(Linkage::Static),
        1 => Ok(Linkage::Global),
        2 => Ok(Linkage::Extern),
        _ => Err(at.error(format!("unknown linkage {value}"))),
    }
}
