//! The fields of a type that hold one value each, with names as C writes them.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Layout, Sense};
use crate::bytes::Bytes;

/// Arrays longer than this are one field: naming each item would say less, not more.
const LONGEST_ARRAY: u32 = 128;

/// A field that holds one value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// Its name from the root: `.tuple.port`, `[2].packets`; empty for a bare integer.
    pub path: String,
    /// Bytes from the start.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// For a bit field: first bit inside these bytes (from the least significant) and width.
    pub bits: Option<(u32, u32)>,
    /// How it reads.
    pub show: Show,
}

/// How a value reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Show {
    /// A number in the machine's order.
    Unsigned,
    /// A signed number in the machine's order.
    Signed,
    /// A number in network order.
    Network,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A MAC address.
    Mac,
    /// `true` or `false`.
    Bool,
    /// Text up to the first zero byte.
    Text,
    /// Hexadecimal.
    Hex,
    /// A constant's name.
    Enum(Vec<(String, i64)>),
}

impl Layout {
    /// Every field, in order of offset within its parent.
    pub fn leaves(&self) -> Vec<Leaf> {
        let mut out = Vec::new();
        self.gather("", 0, &mut out);
        out
    }

    fn gather(&self, path: &str, offset: u32, out: &mut Vec<Leaf>) {
        let leaf = |show| Leaf { path: path.to_owned(), offset, size: self.size(), bits: None, show };
        match self {
            _ if self.in6_addr() => out.push(leaf(Show::Ipv6)),
            Self::Int { size, sense } => out.push(leaf(show_int(*size, *sense))),
            Self::Enum { names, .. } => out.push(leaf(Show::Enum(names.clone()))),
            Self::Array { .. } if self.text() => out.push(leaf(Show::Text)),
            Self::Array { len: 6, .. } if self.byte_array() => out.push(leaf(Show::Mac)),
            Self::Array { len, .. } if self.byte_array() || *len > LONGEST_ARRAY => out.push(leaf(Show::Hex)),
            Self::Array { item, len } => {
                for i in 0..*len {
                    item.gather(&format!("{path}[{i}]"), offset + i * item.size(), out);
                }
            }
            Self::Struct { members, .. } => {
                for member in members {
                    let mut path = path.to_owned();
                    if !member.name.is_empty() {
                        let _ = write!(path, ".{}", member.name);
                    }
                    if member.bit_size > 0 {
                        let first = offset * 8 + member.bit_offset;
                        let start = first / 8;
                        let size = (first + member.bit_size).div_ceil(8) - start;
                        let bits = Some((first % 8, member.bit_size));
                        out.push(Leaf { path, offset: start, size, bits, show: Show::Unsigned });
                    } else {
                        member.layout.gather(&path, offset + member.bit_offset / 8, out);
                    }
                }
            }
            // Which member holds is the program's secret.
            Self::Union { .. } | Self::Opaque { .. } => out.push(leaf(Show::Hex)),
        }
    }
}

const fn show_int(size: u32, sense: Sense) -> Show {
    match sense {
        Sense::Network if size == 4 => Show::Ipv4,
        Sense::Network => Show::Network,
        Sense::Signed => Show::Signed,
        Sense::Bool => Show::Bool,
        Sense::Unsigned | Sense::Char => Show::Unsigned,
    }
}

/// A little-endian number of up to 16 bytes.
fn number(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |n, byte| n << 8 | u128::from(*byte))
}

fn sign_extend(value: u128, bits: u32) -> i128 {
    let unused = 128 - bits;
    (value << unused) as i128 >> unused
}

impl Leaf {
    /// The field's bytes in `data`; `None` if `data` is too short.
    pub fn slice<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        data.get(self.offset as usize..(self.offset + self.size) as usize)
    }

    /// The field's own bits in `data`, as bytes for comparison.
    pub fn value(&self, data: &[u8]) -> Option<Vec<u8>> {
        let bytes = self.slice(data)?;
        Some(match self.bits {
            None => bytes.to_vec(),
            Some((shift, width)) => (number(bytes) >> shift & ((1 << width) - 1)).to_le_bytes().to_vec(),
        })
    }

    /// The value as text.
    pub fn text(&self, data: &[u8]) -> String {
        let Some(bytes) = self.slice(data) else { return "(beyond the end)".into() };
        if let Some((shift, width)) = self.bits {
            return (number(bytes) >> shift & ((1 << width) - 1)).to_string();
        }
        match &self.show {
            Show::Unsigned if bytes.len() <= 16 => number(bytes).to_string(),
            Show::Signed if bytes.len() <= 16 => sign_extend(number(bytes), 8 * self.size).to_string(),
            Show::Network => bytes.iter().fold(0u128, |n, b| n << 8 | u128::from(*b)).to_string(),
            Show::Ipv4 => match <[u8; 4]>::try_from(bytes) {
                Ok(octets) => Ipv4Addr::from(octets).to_string(),
                Err(_) => Bytes(bytes.to_vec()).to_string(),
            },
            Show::Ipv6 => match <[u8; 16]>::try_from(bytes) {
                Ok(octets) => Ipv6Addr::from(octets).to_string(),
                Err(_) => Bytes(bytes.to_vec()).to_string(),
            },
            Show::Mac => bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":"),
            Show::Bool if number(bytes) <= 1 => (number(bytes) == 1).to_string(),
            Show::Text => {
                let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
                format!("{:?}", String::from_utf8_lossy(&bytes[..end]))
            }
            Show::Enum(names) => {
                let value = number(bytes);
                let signed = sign_extend(value, 8 * self.size);
                match names.iter().find(|(_, n)| i128::from(*n) == signed || *n as u64 as u128 == value) {
                    Some((name, _)) => format!("{name} ({signed})"),
                    None => signed.to_string(),
                }
            }
            Show::Hex | Show::Unsigned | Show::Signed | Show::Bool => Bytes(bytes.to_vec()).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{array, network, service, structure, uint};
    use super::*;

    #[test]
    fn fields_read_as_their_types() {
        let mut data = vec![10, 0, 0, 1, 0, 80, 6, 0xee, 2, 0, 0, 0, 0, 1];
        data.extend(b"web\0\xff\xff");
        data.extend([0b0000_1101, 0, 0, 0]);
        let read: Vec<_> =
            service().leaves().iter().map(|l| format!("{}={}", l.path, l.text(&data))).collect();
        assert_eq!(
            read.join(" "),
            ".addr=10.0.0.1 .port=80 .proto=6 .mac=02:00:00:00:00:01 .name=\"web\" .low=5 .high=1"
        );
    }

    #[test]
    fn nesting_names_the_way() {
        let inner = structure(
            "pair",
            4,
            vec![("a", 0, uint(2)), ("", 2, structure("", 2, vec![("b", 0, network(2))]))],
        );
        let paths: Vec<_> = array(inner, 2).leaves().iter().map(|l| (l.path.clone(), l.offset)).collect();
        assert_eq!(
            paths,
            [("[0].a".into(), 0), ("[0].b".into(), 2), ("[1].a".into(), 4), ("[1].b".into(), 6)]
        );
    }

    #[test]
    fn signs_and_short_data() {
        let leaf = &Layout::Int { size: 2, sense: Sense::Signed }.leaves()[0];
        assert_eq!(leaf.text(&[0xfe, 0xff]), "-2");
        assert_eq!(leaf.text(&[0xfe]), "(beyond the end)");
        let verdict = Layout::Enum { size: 4, names: vec![("DENY".into(), -1), ("ALLOW".into(), 1)] };
        assert_eq!(verdict.leaves()[0].text(&[0xff; 4]), "DENY (-1)");
        assert_eq!(verdict.leaves()[0].text(&[7, 0, 0, 0]), "7");
    }
}
