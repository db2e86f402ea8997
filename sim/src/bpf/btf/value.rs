//! Values ↔ bytes, by type.
//!
//! Integers are in the machine's order, little-endian: a member that holds network order reads as the number its bytes
//! give, and turning it round is a matter for whoever knows it does.

use super::{Btf, Composite, Enum, Int, Kind, MAX_DEPTH, Name, Place};

/// A value a person can write and read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Integers, booleans (0 and 1), pointers.
    Int(i128),
    /// An enumerator, by name.
    Enum(String),
    /// Arrays of bytes and characters; floating-point numbers. Accepted for any type of that size.
    Bytes(Vec<u8>),
    /// Any other array.
    Array(Vec<Value>),
    /// Structs and unions: members by name, those of anonymous members among their parent's.
    Struct(Vec<(String, Value)>),
}

/// A value that does not fit its type.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}{what}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct ValueError {
    /// The member, such as `key.addr[2]`; empty for the whole value.
    pub path: String,
    /// What is wrong.
    pub what: String,
}

/// How many values one call reads or writes at most: an array of empty structs has no other bound.
const BUDGET: u32 = 1 << 20;

/// Bytes in the largest value encoded.
const MAX_SIZE: u32 = 1 << 26;

impl Btf {
    /// Bytes → value. `bytes` has exactly the size of type `id`.
    ///
    /// All members of a union are given, each reading the same bytes.
    pub fn decode(&self, id: u32, bytes: &[u8]) -> Result<Value, ValueError> {
        let mut walk = Walk::new(self);
        let size = walk.size_of(id)?;
        if bytes.len() != size as usize {
            return Err(walk.error(format!(
                "{} bytes given for {size} of {}",
                bytes.len(),
                self.describe(id)
            )));
        }
        walk.decode(id, bytes)
    }

    /// Value → bytes of the size of type `id`.
    ///
    /// As in a C initialiser, members and elements not given are zero. Members of a union that are given must agree
    /// on the bytes they share.
    pub fn encode(&self, id: u32, value: &Value) -> Result<Vec<u8>, ValueError> {
        let mut walk = Walk::new(self);
        let size = walk.size_of(id)?;
        if size > MAX_SIZE {
            return Err(walk.error(format!("{} has {size} bytes; no map value has", self.describe(id))));
        }
        let mut out = Output { bytes: vec![0; size as usize], written: vec![0; size as usize] };
        walk.encode(Place { type_id: id, offset: 0, size, bits: None }, value, &mut out)?;
        Ok(out.bytes)
    }
}

struct Walk<'a> {
    btf: &'a Btf,
    path: String,
    depth: u32,
    budget: u32,
}

/// Bytes being written, and a mask of the bits that already are.
struct Output {
    bytes: Vec<u8>,
    written: Vec<u8>,
}

impl Output {
    /// Writes the bits of `value` that `mask` selects; says whether they agree with what was written before.
    fn put(&mut self, at: usize, value: u8, mask: u8) -> bool {
        let shared = self.written[at] & mask;
        let agree = (self.bytes[at] ^ value) & shared == 0;
        self.bytes[at] = self.bytes[at] & !mask | value & mask;
        self.written[at] |= mask;
        agree
    }
}

impl<'a> Walk<'a> {
    fn new(btf: &'a Btf) -> Self {
        Self { btf, path: String::new(), depth: 0, budget: BUDGET }
    }

    fn error(&self, what: impl Into<String>) -> ValueError {
        ValueError { path: self.path.clone(), what: what.into() }
    }

    fn size_of(&self, id: u32) -> Result<u32, ValueError> {
        let size = self.btf.size_of(id);
        size.ok_or_else(|| self.error(format!("{} has no size", self.btf.describe(id))))
    }

    /// Runs `inside` with `step` appended to the path.
    fn within<T>(
        &mut self,
        step: &str,
        inside: impl FnOnce(&mut Self) -> Result<T, ValueError>,
    ) -> Result<T, ValueError> {
        let len = self.path.len();
        if len > 0 && !step.is_empty() && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(step);
        self.depth += 1;
        self.budget = self.budget.checked_sub(1).ok_or_else(|| self.error("the type has too many parts"))?;
        if self.depth > MAX_DEPTH {
            return Err(self.error("the type is nested too deeply"));
        }
        let result = inside(self)?;
        self.depth -= 1;
        self.path.truncate(len);
        Ok(result)
    }

    fn decode(&mut self, id: u32, bytes: &[u8]) -> Result<Value, ValueError> {
        let btf = self.btf;
        match btf.kind(id) {
            Kind::Int(Int { signed, .. }) => Ok(Value::Int(int_of(bytes, *signed))),
            Kind::Ptr { .. } => Ok(Value::Int(int_of(bytes, false))),
            Kind::Enum(enumeration) => Ok(self.decode_enum(enumeration, int_of(bytes, enumeration.signed))),
            Kind::Float { .. } => Ok(Value::Bytes(bytes.to_vec())),
            Kind::Struct(composite) | Kind::Union(composite) => {
                let mut members = Vec::new();
                self.decode_members(composite, bytes, &mut members)?;
                Ok(Value::Struct(members))
            }
            Kind::Array { element, count, .. } => {
                if is_byte(btf.kind(*element)) {
                    return Ok(Value::Bytes(bytes.to_vec()));
                }
                let size = self.size_of(*element)? as usize;
                let mut values = Vec::new();
                for i in 0..*count as usize {
                    let part = &bytes[i * size..][..size];
                    values.push(self.within(&format!("[{i}]"), |walk| walk.decode(*element, part))?);
                }
                Ok(Value::Array(values))
            }
            Kind::Var { to, .. } => self.within("", |walk| walk.decode(*to, bytes)),
            Kind::DataSec { vars, .. } => {
                let mut members = Vec::new();
                for var in vars {
                    let name = btf.name_of(var.type_id);
                    let part = part_of(bytes, var.offset, btf.size_of(var.type_id));
                    let part = part.ok_or_else(|| self.error(format!("{name} lies outside the section")))?;
                    let value = self.within(name, |walk| walk.decode(var.type_id, part))?;
                    members.push((name.to_owned(), value));
                }
                Ok(Value::Struct(members))
            }
            _ => Err(self.error(format!("{} has no value", btf.describe(id)))),
        }
    }

    fn decode_enum(&self, enumeration: &Enum, number: i128) -> Value {
        let found = enumeration.values.iter().find(|(_, value)| enumeration.number(*value) == number);
        found.map_or(Value::Int(number), |(name, _)| Value::Enum(self.btf.text(*name).to_owned()))
    }

    fn decode_members(
        &mut self,
        composite: &Composite,
        bytes: &[u8],
        out: &mut Vec<(String, Value)>,
    ) -> Result<(), ValueError> {
        let btf = self.btf;
        for member in &composite.members {
            let name = btf.text(member.name);
            let place = Place::of_member(btf, 0, member).ok_or_else(|| self.error("a member has no size"))?;
            let part = part_of(bytes, place.offset, Some(place.size));
            let part =
                part.ok_or_else(|| self.error(format!("member \"{name}\" lies outside its struct")))?;
            match btf.kind(place.type_id) {
                Kind::Struct(inner) | Kind::Union(inner) if name.is_empty() => {
                    self.within("", |walk| walk.decode_members(inner, part, out))?;
                }
                // An unnamed bit-field is padding.
                _ if name.is_empty() => {}
                kind => {
                    let value = self.within(name, |walk| match place.bits {
                        Some(range) => {
                            let signed = matches!(kind, Kind::Int(int) if int.signed)
                                || matches!(kind, Kind::Enum(e) if e.signed);
                            let number = bits_of(part, range.shift, range.width, signed);
                            Ok(match kind {
                                Kind::Enum(enumeration) => walk.decode_enum(enumeration, number),
                                _ => Value::Int(number),
                            })
                        }
                        None => walk.decode(place.type_id, part),
                    })?;
                    out.push((name.to_owned(), value));
                }
            }
        }
        Ok(())
    }

    fn encode(&mut self, place: Place, value: &Value, out: &mut Output) -> Result<(), ValueError> {
        let btf = self.btf;
        let kind = btf.kind(place.type_id);
        match (kind, value) {
            (_, Value::Bytes(bytes)) if place.bits.is_none() => {
                let fits = bytes.len() == place.size as usize
                    || bytes.len() < place.size as usize && matches!(kind, Kind::Array { .. });
                if !fits {
                    let described = btf.describe(place.type_id);
                    return Err(self.error(format!(
                        "{} bytes given for {} of {described}",
                        bytes.len(),
                        place.size
                    )));
                }
                self.put_bytes(place.offset, bytes, out)
            }
            (Kind::Int(int), Value::Int(number)) => self.put_int(place, *number, int.signed, out),
            (Kind::Ptr { .. }, Value::Int(number)) => self.put_int(place, *number, false, out),
            (Kind::Enum(e), Value::Int(number)) => self.put_int(place, *number, e.signed, out),
            (Kind::Enum(e), Value::Enum(name)) => {
                let found = e.values.iter().find(|(known, _)| btf.text(*known) == name);
                let Some((_, number)) = found else {
                    let known = known_names(btf, e);
                    let described = btf.describe(place.type_id);
                    return Err(self.error(format!("{described} has no \"{name}\"; it has {known}")));
                };
                self.put_int(place, e.number(*number), e.signed, out)
            }
            (Kind::Array { element, count, .. }, Value::Array(values)) => {
                if values.len() > *count as usize {
                    return Err(self.error(format!("{} elements given for {count}", values.len())));
                }
                let size = self.size_of(*element)?;
                for (i, value) in (0..).zip(values) {
                    let offset = place.offset.saturating_add(i * size);
                    let place = Place { type_id: *element, offset, size, bits: None };
                    self.within(&format!("[{i}]"), |walk| walk.encode(place, value, out))?;
                }
                Ok(())
            }
            (Kind::Struct(_) | Kind::Union(_), Value::Struct(members)) => {
                for (name, value) in members {
                    let Some(mut member) = btf.member(place.type_id, name) else {
                        let known = btf.member_names(place.type_id).join(", ");
                        let described = btf.describe(place.type_id);
                        return Err(
                            self.error(format!("{described} has no member \"{name}\"; it has {known}"))
                        );
                    };
                    member.offset = member.offset.saturating_add(place.offset);
                    self.within(name, |walk| walk.encode(member, value, out))?;
                }
                Ok(())
            }
            (_, value) => {
                let described = btf.describe(place.type_id);
                Err(self.error(format!("{} given for {described}", value.describe())))
            }
        }
    }

    fn put_int(&self, place: Place, number: i128, signed: bool, out: &mut Output) -> Result<(), ValueError> {
        let (shift, width) = place.bits.map_or((0, 8 * place.size), |bits| (bits.shift, bits.width));
        // A signed 128-bit number is the widest there is; an unsigned one beyond it is given as bytes.
        let (low, high) = match (signed, width) {
            (_, 0) => (0, 0),
            (true, 1..=127) => (-1 << (width - 1), (1 << (width - 1)) - 1),
            (false, 1..=126) => (0, (1 << width) - 1),
            (true, _) => (i128::MIN, i128::MAX),
            (false, _) => (0, i128::MAX),
        };
        if !(low..=high).contains(&number) {
            return Err(self.error(format!("{number} does not fit; the type holds {low} to {high}")));
        }
        let mask = if width < 128 { (1_u128 << width) - 1 } else { u128::MAX };
        // At most 7 bits of a bit-field of at most 128 can be shifted out, and BTF bit-fields have at most 64.
        let (value, mask) = ((number as u128 & mask) << shift, mask << shift);
        let bytes = value.to_le_bytes().into_iter().zip(mask.to_le_bytes());
        let mut agree = true;
        for (i, (byte, mask)) in bytes.take(place.size as usize).enumerate() {
            agree &= self.checked_put(place.offset as usize + i, byte, mask, out)?;
        }
        self.agreed(agree)
    }

    fn put_bytes(&self, offset: u32, bytes: &[u8], out: &mut Output) -> Result<(), ValueError> {
        let mut agree = true;
        for (i, &byte) in bytes.iter().enumerate() {
            agree &= self.checked_put(offset as usize + i, byte, 0xff, out)?;
        }
        self.agreed(agree)
    }

    fn checked_put(&self, at: usize, byte: u8, mask: u8, out: &mut Output) -> Result<bool, ValueError> {
        if at >= out.bytes.len() {
            return Err(self.error("the member lies outside its struct"));
        }
        Ok(out.put(at, byte, mask))
    }

    fn agreed(&self, agree: bool) -> Result<(), ValueError> {
        if agree {
            return Ok(());
        }
        Err(self.error("shares bytes with another member given, and they disagree"))
    }
}

impl Value {
    fn describe(&self) -> &'static str {
        match self {
            Self::Int(_) => "an integer",
            Self::Enum(_) => "a name",
            Self::Bytes(_) => "bytes",
            Self::Array(_) => "an array",
            Self::Struct(_) => "members",
        }
    }
}

fn is_byte(kind: &Kind) -> bool {
    matches!(kind, Kind::Int(Int { size: 1, bits: 8, bool: false, .. }))
}

fn known_names(btf: &Btf, enumeration: &Enum) -> String {
    const SHOWN: usize = 12;
    let name = |&(name, _): &(Name, u64)| btf.text(name);
    let mut known: Vec<_> = enumeration.values.iter().take(SHOWN).map(name).collect();
    if enumeration.values.len() > SHOWN {
        known.push("…");
    }
    known.join(", ")
}

fn part_of(bytes: &[u8], offset: u32, size: Option<u32>) -> Option<&[u8]> {
    bytes.get(offset as usize..)?.get(..size? as usize)
}

fn int_of(bytes: &[u8], signed: bool) -> i128 {
    bits_of(bytes, 0, 8 * bytes.len() as u32, signed)
}

/// Bits `shift..shift + width` of little-endian `bytes`, of which the low 128 are looked at.
fn bits_of(bytes: &[u8], shift: u32, width: u32, signed: bool) -> i128 {
    if width == 0 {
        return 0;
    }
    let mut all = [0; 16];
    let len = bytes.len().min(16);
    all[..len].copy_from_slice(&bytes[..len]);
    let value = u128::from_le_bytes(all) >> shift.min(127);
    let unused = 128 - width.min(128);
    if signed { (value << unused) as i128 >> unused } else { (value << unused >> unused) as i128 }
}
