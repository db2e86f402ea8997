//! Finding a member by its C path.

use super::{Btf, Kind, MAX_DEPTH, Member};

/// Where a member lies and what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its type.
    pub type_id: u32,
    /// Byte offset from the beginning of the outermost type; of a bit-field, the byte its first bit is in.
    pub offset: u32,
    /// Bytes; of a bit-field, the bytes its bits touch.
    pub size: u32,
    /// The bits of a bit-field.
    pub bits: Option<BitRange>,
}

/// Bits inside little-endian bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BitRange {
    /// First bit, from the least significant of byte [`Place::offset`]; below 8.
    pub shift: u32,
    /// How many bits.
    pub width: u32,
}

/// A path that leads nowhere.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{path}\": {what}")]
pub struct PathError {
    /// The path as given.
    pub path: String,
    /// Which step is wrong, and what there is instead.
    pub what: String,
}

impl Place {
    pub(super) fn of_member(btf: &Btf, base: u32, member: &Member) -> Option<Self> {
        let offset = base.checked_add(member.bit_offset / 8)?;
        let type_id = member.type_id;
        if member.bit_size == 0 {
            // A member whose integer type has spare bits is a bit-field of the old encoding.
            return match *btf.kind(type_id) {
                Kind::Int(int) if int.bits < 8 * int.size => {
                    Self::of_bits(type_id, base, member.bit_offset + int.offset, int.bits)
                }
                _ => Some(Self { type_id, offset, size: btf.size_of(type_id)?, bits: None }),
            };
        }
        Self::of_bits(type_id, base, member.bit_offset, member.bit_size)
    }

    fn of_bits(type_id: u32, base: u32, bit_offset: u32, width: u32) -> Option<Self> {
        let shift = bit_offset % 8;
        let size = (shift + width).div_ceil(8);
        let offset = base.checked_add(bit_offset / 8)?;
        Some(Self { type_id, offset, size, bits: Some(BitRange { shift, width }) })
    }
}

impl Btf {
    /// The member called `name` of struct or union `id`, looked for inside anonymous members too.
    pub fn member(&self, id: u32, name: &str) -> Option<Place> {
        self.member_within(id, name, 0, &mut 10_000, 0)
    }

    fn member_within(&self, id: u32, name: &str, base: u32, budget: &mut u32, depth: u32) -> Option<Place> {
        let composite = self.composite(id)?;
        for member in &composite.members {
            *budget = budget.checked_sub(1)?;
            let text = self.text(member.name);
            if text == name {
                return Place::of_member(self, base, member);
            }
            if text.is_empty() && depth < MAX_DEPTH {
                let inner = base.checked_add(member.bit_offset / 8)?;
                if let Some(found) = self.member_within(member.type_id, name, inner, budget, depth + 1) {
                    return Some(found);
                }
            }
        }
        None
    }

    /// The names a member of `id` may be asked by, in order of declaration.
    pub fn member_names(&self, id: u32) -> Vec<&str> {
        let mut names = Vec::new();
        self.collect_names(id, &mut names, &mut 10_000, 0);
        names
    }

    fn collect_names<'a>(&'a self, id: u32, names: &mut Vec<&'a str>, budget: &mut u32, depth: u32) {
        for member in self.composite(id).map_or(&[][..], |c| &c.members) {
            let Some(left) = budget.checked_sub(1) else { return };
            *budget = left;
            match self.text(member.name) {
                "" if depth < MAX_DEPTH => self.collect_names(member.type_id, names, budget, depth + 1),
                "" => {}
                name => names.push(name),
            }
        }
    }

    /// Follows a path such as `field.sub[3]` or `[2].x` from type `id`. The empty path is the type itself.
    pub fn resolve(&self, id: u32, path: &str) -> Result<Place, PathError> {
        let fail = |what: String| PathError { path: path.to_owned(), what };
        let size = self.size_of(id).ok_or_else(|| fail(format!("{} has no size", self.describe(id))))?;
        let mut place = Place { type_id: id, offset: 0, size, bits: None };
        let mut rest = path;
        while !rest.is_empty() {
            let next = if let Some(index) = rest.strip_prefix('[') {
                let (index, tail) =
                    index.split_once(']').ok_or_else(|| fail("\"[\" without \"]\"".into()))?;
                rest = tail;
                self.step_index(place, index).map_err(fail)?
            } else {
                let name = rest.strip_prefix('.').unwrap_or(rest);
                let end = name.find(['.', '[']).unwrap_or(name.len());
                let (name, tail) = name.split_at(end);
                rest = tail;
                self.step_member(place, name).map_err(fail)?
            };
            place = next;
        }
        Ok(place)
    }

    fn step_index(&self, place: Place, index: &str) -> Result<Place, String> {
        let Kind::Array { element, count, .. } = *self.kind(place.type_id) else {
            return Err(format!("{} is no array", self.describe(place.type_id)));
        };
        let number: u32 = index.parse().map_err(|_| format!("\"{index}\" is no index"))?;
        if number >= count {
            return Err(format!("index {number} is past the {count} elements"));
        }
        let size = self.size_of(element).ok_or("its elements have no size")?;
        let offset = number.checked_mul(size).and_then(|o| o.checked_add(place.offset));
        let offset = offset.ok_or("the array is larger than 4 GiB")?;
        Ok(Place { type_id: element, offset, size, bits: None })
    }

    fn step_member(&self, place: Place, name: &str) -> Result<Place, String> {
        if self.composite(place.type_id).is_none() {
            return Err(format!("{} has no members", self.describe(place.type_id)));
        }
        let mut found = self.member(place.type_id, name).ok_or_else(|| {
            let known = self.member_names(place.type_id).join(", ");
            format!("{} has no member \"{name}\"; it has {known}", self.describe(place.type_id))
        })?;
        found.offset = found.offset.checked_add(place.offset).ok_or("the struct is larger than 4 GiB")?;
        Ok(found)
    }

    /// The type as C writes it: `struct iphdr`, `__u32 *`, `char[16]`.
    pub fn describe(&self, id: u32) -> String {
        self.describe_within(id, 0)
    }

    fn describe_within(&self, id: u32, depth: u32) -> String {
        if depth > MAX_DEPTH {
            return "…".to_owned();
        }
        let name = self.name_of(id);
        let tagged =
            |tag: &str| if name.is_empty() { format!("anonymous {tag}") } else { format!("{tag} {name}") };
        let inner = |to: u32| self.describe_within(to, depth + 1);
        match &self.get(id).kind {
            Kind::Void => "void".to_owned(),
            Kind::Struct(_) => tagged("struct"),
            Kind::Union(_) => tagged("union"),
            Kind::Enum(_) => tagged("enum"),
            Kind::Fwd { union } => tagged(if *union { "union" } else { "struct" }),
            Kind::Ptr { to } => format!("{} *", inner(*to)),
            Kind::Array { element, count, .. } => format!("{}[{count}]", inner(*element)),
            Kind::Const { to } => format!("const {}", inner(*to)),
            Kind::Volatile { to } => format!("volatile {}", inner(*to)),
            Kind::Restrict { to } | Kind::TypeTag { to } => inner(*to),
            Kind::FuncProto { .. } => "function".to_owned(),
            _ => name.to_owned(),
        }
    }
}
