//! How the bytes of a C type are named, shown and written: what BTF says, ready for use.

mod btf;
mod encode;
mod leaf;

pub use encode::{Encoder, parse_mac};
pub use leaf::{Leaf, Show};

/// A C type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Layout {
    /// An integer of 1, 2, 4, 8 or 16 bytes.
    Int {
        /// Bytes.
        size: u32,
        /// What the number means.
        sense: Sense,
    },
    /// An enumeration.
    Enum {
        /// Bytes.
        size: u32,
        /// The constants.
        names: Vec<(String, i64)>,
    },
    /// An array.
    Array {
        /// One item.
        item: Box<Layout>,
        /// How many.
        len: u32,
    },
    /// A struct.
    Struct {
        /// Its tag or typedef; may be empty.
        name: String,
        /// Bytes.
        size: u32,
        /// In the order of the C source.
        members: Vec<Member>,
    },
    /// A union.
    Union {
        /// Bytes.
        size: u32,
        /// In the order of the C source.
        members: Vec<Member>,
    },
    /// Bytes without a meaning here: pointers, and everything where BTF says nothing.
    Opaque {
        /// Bytes.
        size: u32,
    },
}

/// What an integer means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sense {
    /// Unsigned, in the machine's order.
    Unsigned,
    /// Signed, in the machine's order.
    Signed,
    /// `__be16`, `__be32`, `__be64`: in network order; 32 bits are shown as an IPv4 address.
    Network,
    /// `_Bool`.
    Bool,
    /// `char`.
    Char,
}

/// A member of a struct or union.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its name; empty for an anonymous struct or union, whose members count as the parent's.
    pub name: String,
    /// Bits from the start of the parent.
    pub bit_offset: u32,
    /// Bits of a bit field; 0 for a whole member.
    pub bit_size: u32,
    /// Its type.
    pub layout: Layout,
}

impl Layout {
    /// Bytes.
    pub fn size(&self) -> u32 {
        match self {
            Self::Int { size, .. }
            | Self::Enum { size, .. }
            | Self::Struct { size, .. }
            | Self::Union { size, .. }
            | Self::Opaque { size } => *size,
            Self::Array { item, len } => item.size() * len,
        }
    }

    /// Whether it is an array of single bytes, which reads as one value.
    fn byte_array(&self) -> bool {
        matches!(self, Self::Array { item, .. } if matches!(**item, Self::Int { size: 1, .. }))
    }

    /// Whether it is text: an array of `char`.
    fn text(&self) -> bool {
        matches!(self, Self::Array { item, .. } if matches!(**item, Self::Int { size: 1, sense: Sense::Char }))
    }

    /// Whether it is `struct in6_addr`.
    fn in6_addr(&self) -> bool {
        matches!(self, Self::Struct { name, size: 16, .. } if name == "in6_addr")
    }
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    pub(crate) const fn uint(size: u32) -> Layout {
        Layout::Int { size, sense: Sense::Unsigned }
    }

    pub(crate) const fn network(size: u32) -> Layout {
        Layout::Int { size, sense: Sense::Network }
    }

    pub(crate) fn array(item: Layout, len: u32) -> Layout {
        Layout::Array { item: Box::new(item), len }
    }

    pub(crate) fn structure(name: &str, size: u32, members: Vec<(&str, u32, Layout)>) -> Layout {
        let members = members
            .into_iter()
            .map(|(name, offset, layout)| Member {
                name: name.into(),
                bit_offset: offset * 8,
                bit_size: 0,
                layout,
            })
            .collect();
        Layout::Struct { name: name.into(), size, members }
    }

    /// A service: address, port and protocol, one byte of padding, a text, a MAC and a pair of bit fields.
    pub(crate) fn service() -> Layout {
        let mut layout = structure(
            "service",
            24,
            vec![
                ("addr", 0, network(4)),
                ("port", 4, network(2)),
                ("proto", 6, uint(1)),
                ("mac", 8, array(uint(1), 6)),
                ("name", 14, array(Layout::Int { size: 1, sense: Sense::Char }, 6)),
            ],
        );
        let Layout::Struct { members, .. } = &mut layout else { unreachable!() };
        for (name, bit_offset, bit_size) in [("low", 160, 3), ("high", 163, 13)] {
            members.push(Member { name: name.into(), bit_offset, bit_size, layout: uint(4) });
        }
        layout
    }
}
