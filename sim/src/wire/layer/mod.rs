//! Protocol headers as tables of fields, named as Scapy names them.
//!
//! One table serves reading, showing, comparing, editing and building: [`dissect`](super::dissect) walks it over bytes,
//! [`expr`](super::expr) fills it from an expression. A field lies directly behind the one before it; some are there only
//! if earlier ones say so; the last of a layer may take all that the header has left.

mod names;
mod next;
mod tables;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

pub use next::{Carries, carried_by, code_for, defaults_for, first, header_len};
pub use tables::Proto;

/// How a field's number is written.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A decimal number, or one of the names.
    Number(&'static [(u64, &'static str)]),
    /// A hexadecimal number: checksums, types, identifications.
    Hex(&'static [(u64, &'static str)]),
    /// Bits by name, lowest first, joined by a separator: `SA`, `MF+DF`.
    Flags(&'static [&'static str], &'static str),
    /// `02:00:00:00:00:01`.
    Mac,
    /// `192.0.2.1`.
    Ip4,
    /// `2001:db8::1`.
    Ip6,
    /// Bytes up to the end of the header.
    Bytes,
}

/// A field of a header.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Scapy's name.
    pub name: &'static str,
    /// Bits; 0 for [`Kind::Bytes`].
    pub bits: usize,
    /// How it reads.
    pub kind: Kind,
    /// Its value in an expression that does not set it.
    pub default: u128,
    /// Whether it is computed in an expression that does not set it: lengths, checksums, types of the next header.
    pub computed: bool,
    /// Whether it is there, given the header's bytes so far; bytes that are missing read as 0.
    pub when: Option<fn(&[u8]) -> bool>,
}

/// A header's name and fields.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Scapy's name.
    pub name: &'static str,
    /// The fields in the order of the wire.
    pub fields: &'static [Field],
}

/// What a field holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// The bits as a number in network order; addresses are numbers too.
    Number(u128),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Spec {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The fields that are there in a header of exactly these bytes, with the bits each takes. Fields that are not
    /// complete are left out; a [`Kind::Bytes`] field takes what is left, be it nothing.
    pub fn layout(&self, header: &[u8]) -> Vec<(&'static Field, Range<usize>)> {
        let mut found = Vec::new();
        let mut at = 0;
        for field in self.fields {
            if field.when.is_some_and(|when| !when(header)) {
                continue;
            }
            let end = match field.kind {
                Kind::Bytes => header.len() * 8,
                _ => at + field.bits,
            };
            if end > header.len() * 8 {
                break;
            }
            found.push((field, at..end));
            at = end;
        }
        found
    }
}

/// The number in the bits `range` of `bytes`, most significant first.
pub fn get(bytes: &[u8], range: Range<usize>) -> u128 {
    range.fold(0, |number, bit| number << 1 | u128::from(bytes[bit / 8] >> (7 - bit % 8) & 1))
}

/// Writes the low bits of `number` into the bits `range` of `bytes`.
pub fn put(bytes: &mut [u8], range: Range<usize>, number: u128) {
    for (place, bit) in range.rev().enumerate() {
        let mask = 1 << (7 - bit % 8);
        bytes[bit / 8] = bytes[bit / 8] & !mask | if number >> place & 1 == 1 { mask } else { 0 };
    }
}

impl Field {
    /// The value in the bits `range` of a header.
    pub fn value(&self, header: &[u8], range: Range<usize>) -> Value {
        match self.kind {
            Kind::Bytes => Value::Bytes(header[range.start / 8..range.end / 8].to_vec()),
            _ => Value::Number(get(header, range)),
        }
    }

    /// The value as text, in the form an expression takes.
    pub fn show(&self, value: &Value) -> String {
        let number = match value {
            Value::Bytes(bytes) => return show_bytes(bytes),
            Value::Number(number) => *number,
        };
        match self.kind {
            Kind::Number(names) => named(names, number).map_or_else(|| number.to_string(), ToOwned::to_owned),
            Kind::Hex(names) => {
                named(names, number).map_or_else(|| format!("{number:#x}"), ToOwned::to_owned)
            }
            Kind::Flags(names, separator) => {
                let set = (0..self.bits).filter(|bit| number >> bit & 1 == 1);
                match set.map(|bit| names.get(bit).copied()).collect::<Option<Vec<_>>>() {
                    Some(names) => names.join(separator),
                    None => format!("{number:#x}"),
                }
            }
            Kind::Mac => {
                let bytes = &number.to_be_bytes()[10..];
                bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
            }
            Kind::Ip4 => Ipv4Addr::from(number as u32).to_string(),
            Kind::Ip6 => Ipv6Addr::from(number).to_string(),
            Kind::Bytes => format!("{number:#x}"),
        }
    }

    /// The number that a text such as an address, flags or a name stands for; what was expected if none.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let number = match self.kind {
            Kind::Number(names) | Kind::Hex(names) => number(text, names)?,
            Kind::Flags(names, separator) => flags(text, names, separator)?,
            Kind::Mac => mac(text).ok_or("expected a MAC address such as 02:00:00:00:00:01")?,
            Kind::Ip4 => {
                let address: Ipv4Addr =
                    text.parse().map_err(|_| "expected an IPv4 address such as 192.0.2.1".to_owned())?;
                u32::from(address).into()
            }
            Kind::Ip6 => {
                let address: Ipv6Addr =
                    text.parse().map_err(|_| "expected an IPv6 address such as 2001:db8::1".to_owned())?;
                address.into()
            }
            Kind::Bytes => return Ok(Value::Bytes(text.as_bytes().to_vec())),
        };
        self.fit(number)
    }

    /// The number as a value of this field, if it has the bits for it.
    pub fn fit(&self, number: u128) -> Result<Value, String> {
        match self.kind {
            Kind::Bytes => Err("expected text or bytes, such as 'abc' or hex'616263'".to_owned()),
            _ if self.bits < 128 && number >> self.bits != 0 => Err(format!(
                "expected at most {}: the field has {} bits",
                (1u128 << self.bits) - 1,
                self.bits
            )),
            _ => Ok(Value::Number(number)),
        }
    }
}

fn named(names: &'static [(u64, &'static str)], number: u128) -> Option<&'static str> {
    names.iter().find(|(known, _)| u128::from(*known) == number).map(|(_, name)| *name)
}

fn number(text: &str, names: &'static [(u64, &'static str)]) -> Result<u128, String> {
    if let Some((known, _)) = names.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)) {
        return Ok(u128::from(*known));
    }
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| match names {
        [] => "expected a number".to_owned(),
        names => {
            let known: Vec<_> = names.iter().map(|(_, name)| *name).collect();
            format!("expected a number or one of: {}", known.join(", "))
        }
    })
}

fn flags(text: &str, names: &[&str], separator: &str) -> Result<u128, String> {
    let parts: Vec<String> = match separator {
        "" => text.chars().map(String::from).collect(),
        separator => text.split(separator).filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect(),
    };
    parts.iter().try_fold(0, |sum, part| match names.iter().position(|name| name == part) {
        Some(bit) => Ok(sum | 1 << bit),
        None => Err(format!(
            "expected flags out of {}",
            names.join(if separator.is_empty() { " " } else { separator })
        )),
    })
}

fn mac(text: &str) -> Option<u128> {
    let parts: Vec<&str> = text.split(':').collect();
    let digits = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if parts.len() != 6 || !parts.iter().all(digits) {
        return None;
    }
    u128::from_str_radix(&parts.concat(), 16).ok()
}

/// Bytes as text if they are printable, in hexadecimal otherwise.
pub fn show_bytes(bytes: &[u8]) -> String {
    let printable = |byte: &u8| (b' '..=b'~').contains(byte) && !b"'\\".contains(byte);
    if bytes.iter().all(printable) {
        format!("'{}'", String::from_utf8_lossy(bytes))
    } else {
        format!("hex'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat())
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec().name)
    }
}
