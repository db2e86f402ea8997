//! BTF: the types of an object or a kernel (`Documentation/bpf/btf.rst`, `include/uapi/linux/btf.h`, v6.12).
//!
//! | file | what |
//! |---|---|
//! | `parse` | bytes → [`Btf`], every reference checked |
//! | `ext` | `.BTF.ext`: functions, C lines and CO-RE relocations by instruction |
//! | `describe` | types as C writes them |
//!
//! A [`Btf`] in hand is sound: every type id and every name in it exists. Chains of types may still be endless (an
//! array of itself); queries follow at most [`MAX_DEPTH`] steps and answer `None` then.

mod cursor;
mod describe;
pub mod ext;
mod parse;

#[cfg(test)]
mod tests;

/// How many types a query follows before it gives up (`MAX_RESOLVE_DEPTH`, `tools/lib/bpf/btf.c`, v6.12).
pub const MAX_DEPTH: u32 = 32;

/// Why bytes are no BTF.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("offset {offset:#x}: {what}")]
pub struct BtfError {
    /// Byte offset in the section.
    pub offset: usize,
    /// What is wrong there.
    pub what: String,
}

/// A type graph. Types are known by number, from 1; 0 is `void`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Btf {
    types: Vec<Type>,
    strings: String,
}

/// An offset into the strings of a [`Btf`]; [`Btf::text`] reads it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Name(pub u32);

/// One type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Type {
    /// Its C name; empty for anonymous types.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
}

/// What a type is: `BTF_KIND_*`. Numbers called `to`, `proto`, `element`, … are type ids.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    Void,
    Int(Int),
    Ptr {
        to: u32,
    },
    Array {
        element: u32,
        index: u32,
        count: u32,
    },
    Struct(Composite),
    Union(Composite),
    /// `BTF_KIND_ENUM` and `BTF_KIND_ENUM64`.
    Enum(Enum),
    Fwd {
        union: bool,
    },
    Typedef {
        to: u32,
    },
    Volatile {
        to: u32,
    },
    Const {
        to: u32,
    },
    Restrict {
        to: u32,
    },
    Func {
        proto: u32,
        linkage: Linkage,
    },
    FuncProto {
        result: u32,
        params: Vec<Param>,
    },
    Var {
        to: u32,
        linkage: Linkage,
    },
    DataSec {
        size: u32,
        vars: Vec<SecVar>,
    },
    Float {
        size: u32,
    },
    /// A `btf_decl_tag` on a type, or on its member or parameter number `component`.
    DeclTag {
        target: u32,
        component: Option<u32>,
    },
    TypeTag {
        to: u32,
    },
}

/// An integer type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Int {
    /// Bytes.
    pub size: u32,
    /// Bits in use; fewer than `8 * size` only in old bit-fields.
    pub bits: u32,
    /// First bit in use.
    pub offset: u32,
    /// Two's complement.
    pub signed: bool,
    /// Declared `char`.
    pub char: bool,
    /// Declared `bool`.
    pub bool: bool,
}

/// A struct or union.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Composite {
    /// Bytes.
    pub size: u32,
    /// In order of declaration.
    pub members: Vec<Member>,
}

/// A member of a struct or union.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Empty for an anonymous struct or union.
    pub name: Name,
    /// Its type.
    pub type_id: u32,
    /// From the beginning of the struct.
    pub bit_offset: u32,
    /// Bits of a bit-field; 0 for any other member.
    pub bit_size: u32,
}

/// An enumeration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Enum {
    /// Bytes: 1, 2, 4 or 8.
    pub size: u32,
    /// Whether values are signed.
    pub signed: bool,
    /// Enumerators, in order; values sign- or zero-extended to 64 bits.
    pub values: Vec<(Name, u64)>,
}

impl Enum {
    /// An enumerator's value as a number.
    pub fn number(&self, value: u64) -> i128 {
        if self.signed { i128::from(value as i64) } else { i128::from(value) }
    }
}

/// A parameter of a function prototype; a last one without name and type means `...`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Param {
    /// May be empty.
    pub name: Name,
    /// Its type.
    pub type_id: u32,
}

/// A variable's place in a section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SecVar {
    /// A [`Kind::Var`]; in `.ksyms`, a [`Kind::Func`] too.
    pub type_id: u32,
    /// Byte offset; compilers leave 0 for globals, and the ELF symbol knows.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// Where a function or variable is visible and defined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Linkage {
    /// In this object only.
    Static,
    /// Everywhere, defined here.
    Global,
    /// Defined elsewhere.
    Extern,
}

const VOID: Type = Type { name: Name(0), kind: Kind::Void };

impl Btf {
    /// No types.
    pub const EMPTY: Self = Self { types: Vec::new(), strings: String::new() };

    /// How many types there are, `void` included: ids are below this.
    pub fn len(&self) -> u32 {
        self.types.len() as u32 + 1
    }

    /// Whether there is nothing but `void`.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// Type `id`; `void` for 0 and for a number that does not exist.
    pub fn get(&self, id: u32) -> &Type {
        (id as usize).checked_sub(1).and_then(|index| self.types.get(index)).unwrap_or(&VOID)
    }

    /// Every type with its id, from 1.
    pub fn types(&self) -> impl Iterator<Item = (u32, &Type)> {
        (1..).zip(&self.types)
    }

    /// A name as text.
    pub fn text(&self, name: Name) -> &str {
        let tail = self.strings.get(name.0 as usize..).unwrap_or_default();
        tail.find('\0').map_or(tail, |end| &tail[..end])
    }

    /// The C name of type `id`; empty for anonymous types.
    pub fn name_of(&self, id: u32) -> &str {
        self.text(self.get(id).name)
    }

    /// The first type with this name that `wanted` accepts.
    pub fn find(&self, name: &str, wanted: impl Fn(&Kind) -> bool) -> Option<u32> {
        self.types().find(|(_, t)| wanted(&t.kind) && self.text(t.name) == name).map(|(id, _)| id)
    }

    /// The variables of data section `name`.
    pub fn data_section(&self, name: &str) -> Option<(u32, &[SecVar])> {
        self.types().find_map(|(id, t)| match &t.kind {
            Kind::DataSec { vars, .. } if self.text(t.name) == name => Some((id, &vars[..])),
            _ => None,
        })
    }

    /// Follows typedefs, qualifiers and type tags to the type they stand for. Gives up at [`MAX_DEPTH`], at the type
    /// reached.
    pub fn strip(&self, mut id: u32) -> u32 {
        for _ in 0..MAX_DEPTH {
            match self.get(id).kind {
                Kind::Typedef { to }
                | Kind::Volatile { to }
                | Kind::Const { to }
                | Kind::Restrict { to }
                | Kind::TypeTag { to } => id = to,
                _ => break,
            }
        }
        id
    }

    /// The kind of the type `id` stands for.
    pub fn kind(&self, id: u32) -> &Kind {
        &self.get(self.strip(id)).kind
    }

    /// The struct or union type `id` stands for.
    pub fn composite(&self, id: u32) -> Option<&Composite> {
        match self.kind(id) {
            Kind::Struct(composite) | Kind::Union(composite) => Some(composite),
            _ => None,
        }
    }

    /// Bytes a value of type `id` takes; `None` for `void`, functions, endless chains and sizes beyond 4 GiB
    /// (`btf__resolve_size`, `tools/lib/bpf/btf.c`, v6.12).
    pub fn size_of(&self, mut id: u32) -> Option<u32> {
        let mut count = 1_u32;
        for _ in 0..MAX_DEPTH {
            let size = match &self.get(id).kind {
                Kind::Int(int) => int.size,
                Kind::Struct(composite) | Kind::Union(composite) => composite.size,
                Kind::Enum(enumeration) => enumeration.size,
                Kind::Float { size } | Kind::DataSec { size, .. } => *size,
                Kind::Ptr { .. } => 8,
                Kind::Array { element, count: more, .. } => {
                    count = count.checked_mul(*more)?;
                    id = *element;
                    continue;
                }
                Kind::Typedef { to }
                | Kind::Volatile { to }
                | Kind::Const { to }
                | Kind::Restrict { to }
                | Kind::TypeTag { to }
                | Kind::Var { to, .. } => {
                    id = *to;
                    continue;
                }
                Kind::Void
                | Kind::Fwd { .. }
                | Kind::Func { .. }
                | Kind::FuncProto { .. }
                | Kind::DeclTag { .. } => return None,
            };
            return count.checked_mul(size);
        }
        None
    }

    /// The alignment of type `id` in bytes; `None` where it has none (`btf__align_of`, `tools/lib/bpf/btf.c`, v6.12).
    pub fn align_of(&self, id: u32) -> Option<u32> {
        self.align_within(id, &mut 10_000, 0)
    }

    fn align_within(&self, id: u32, budget: &mut u32, depth: u32) -> Option<u32> {
        *budget = budget.checked_sub(1)?;
        if depth > MAX_DEPTH {
            return None;
        }
        match self.kind(id) {
            Kind::Int(Int { size, .. }) | Kind::Enum(Enum { size, .. }) | Kind::Float { size } => {
                Some((*size).min(8))
            }
            Kind::Ptr { .. } => Some(8),
            Kind::Array { element, .. } => self.align_within(*element, budget, depth + 1),
            Kind::Struct(composite) | Kind::Union(composite) => {
                let mut most = 1;
                for member in &composite.members {
                    let align = self.align_within(member.type_id, budget, depth + 1)?;
                    most = most.max(align);
                    if member.bit_size == 0 && align != 0 && member.bit_offset % (8 * align) != 0 {
                        return Some(1);
                    }
                }
                Some(if most != 0 && composite.size % most != 0 { 1 } else { most })
            }
            _ => None,
        }
    }

    /// Completes data section `id`.
    pub(super) fn set_data_section(&mut self, id: u32, size: u32, vars: Vec<SecVar>) {
        self.types[id as usize - 1].kind = Kind::DataSec { size, vars };
    }

    /// Makes variable `id` invisible outside the object.
    pub(super) fn hide(&mut self, id: u32) {
        if let Kind::Var { linkage, .. } = &mut self.types[id as usize - 1].kind {
            *linkage = Linkage::Static;
        }
    }

    /// The tags on type `id` itself (`component` is `None`) or on one of its members or parameters.
    pub fn decl_tags(&self, id: u32, component: Option<u32>) -> Vec<String> {
        let wanted = Kind::DeclTag { target: id, component };
        self.types().filter(|(_, t)| t.kind == wanted).map(|(_, t)| self.text(t.name).to_owned()).collect()
    }
}

impl std::fmt::Debug for Btf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Btf({} types)", self.types.len())
    }
}
