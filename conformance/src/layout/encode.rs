//! A scenario's value into the bytes of a C type.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Layout, Sense};
use crate::bytes::Bytes;
use crate::scenario::mistake::{Mistake, What};
use crate::scenario::node::{Kind, Node};
use crate::scenario::spanned::{Span, Spanned};

/// Bytes being filled, with a mask of the bits that were named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encoder {
    /// The value; what was not named is zero.
    pub bytes: Vec<u8>,
    /// One bits where a value was named.
    pub mask: Vec<u8>,
}

impl Encoder {
    /// The bytes of `node` as a `layout`.
    pub fn encode(layout: &Layout, node: &Node) -> Result<Self, Mistake> {
        let size = layout.size() as usize;
        let mut encoder = Self { bytes: vec![0; size], mask: vec![0; size] };
        encoder.put(layout, node, 0)?;
        Ok(encoder)
    }

    /// Whether `data` holds every value that was named.
    pub fn holds_in(&self, data: &[u8]) -> bool {
        data.len() >= self.bytes.len()
            && self
                .bytes
                .iter()
                .zip(&self.mask)
                .zip(data)
                .all(|((want, mask), got)| want & mask == got & mask)
    }

    fn write(&mut self, at: u32, bytes: &[u8]) {
        let at = at as usize;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.mask[at..at + bytes.len()].fill(0xff);
    }

    fn put(&mut self, layout: &Layout, node: &Node, at: u32) -> Result<(), Mistake> {
        if let Kind::Str(text) = &node.kind
            && let Some(hex) = text.strip_prefix("hex:")
        {
            return self.put_hex(layout.size(), hex, &node.span, at);
        }
        match (layout, &node.kind) {
            (_, Kind::Str(text)) if layout.in6_addr() => {
                let octets: Ipv6Addr = text.parse().map_err(|_| {
                    let mistake = wrong("an IPv6 address", node);
                    match text.parse::<Ipv4Addr>() {
                        Ok(v4) => mistake.help(format!("in its mapped form, {v4} is ::ffff:{v4}")),
                        Err(_) => mistake,
                    }
                })?;
                self.write(at, &octets.octets());
            }
            (Layout::Int { size, sense }, _) => {
                let bytes = int(*size, *sense, node)?;
                self.write(at, &bytes);
            }
            (Layout::Enum { size, names }, Kind::Str(text)) => {
                let Some((_, value)) = names.iter().find(|(name, _)| name == text) else {
                    let names = names.iter().map(|(name, _)| name.as_str());
                    return Err(Mistake::unknown("constant", text, &node.span, names));
                };
                self.write(at, &value.to_le_bytes()[..*size as usize]);
            }
            (Layout::Enum { size, .. }, _) => {
                let bytes = int(*size, Sense::Signed, node)?;
                self.write(at, &bytes);
            }
            (Layout::Array { len, .. }, Kind::Str(text)) if layout.byte_array() => {
                let bytes = byte_array(*len as usize, layout.text(), text, node)?;
                self.write(at, &bytes);
            }
            (Layout::Array { item, len }, Kind::List(list)) => {
                if list.len() > *len as usize {
                    let what = format!("{} items, the array has {len}", list.len());
                    return Err(Mistake::new(What::Value(what), &node.span));
                }
                for (i, node) in (0u32..).zip(list) {
                    self.put(item, node, at + i * item.size())?;
                }
            }
            (Layout::Struct { .. } | Layout::Union { .. }, Kind::Table(table)) => {
                for (key, value) in table {
                    self.put_member(layout, key, value, at)?;
                }
            }
            (Layout::Struct { members, .. }, Kind::Str(text)) if members.len() == 2 && text.contains('/') => {
                self.put_prefix(layout, text, node, at)?;
            }
            _ => return Err(wrong(&described(layout), node)),
        }
        Ok(())
    }

    fn put_hex(&mut self, size: u32, hex: &str, span: &Span, at: u32) -> Result<(), Mistake> {
        let digits: String = hex.chars().filter(|c| !c.is_whitespace()).collect();
        let bytes = Bytes::from_hex(&digits).map_err(|why| Mistake::new(What::Hex(why), span))?;
        if bytes.len() != size as usize {
            let what = format!("{} bytes where the type has {size}", bytes.len());
            return Err(Mistake::new(What::Value(what), span));
        }
        self.write(at, &bytes);
        Ok(())
    }

    fn put_member(
        &mut self,
        layout: &Layout,
        key: &Spanned<String>,
        value: &Node,
        at: u32,
    ) -> Result<(), Mistake> {
        let mut names = Vec::new();
        let Some((bit_offset, bit_size, member)) = find(layout, key, 0, &mut names) else {
            return Err(Mistake::unknown("member", key, &key.span, names));
        };
        if bit_size == 0 {
            return self.put(member, value, at + bit_offset / 8);
        }
        let Kind::Int(number) = value.kind else { return Err(wrong("an integer", value)) };
        if number < 0 || number >> bit_size != 0 {
            let what = format!("{number} does not fit {bit_size} bits");
            return Err(Mistake::new(What::Value(what), &value.span));
        }
        for bit in 0..bit_size {
            let place = at * 8 + bit_offset + bit;
            let (byte, bit_mask) = (place as usize / 8, 1 << (place % 8));
            self.mask[byte] |= bit_mask;
            self.bytes[byte] &= !bit_mask;
            if number >> bit & 1 == 1 {
                self.bytes[byte] |= bit_mask;
            }
        }
        Ok(())
    }

    /// `10.0.0.0/8` into the key of an LPM trie: prefix length, then the address in network order.
    fn put_prefix(&mut self, layout: &Layout, text: &str, node: &Node, at: u32) -> Result<(), Mistake> {
        let expected = || wrong("a prefix such as 10.0.0.0/8", node);
        let (address, length) = text.split_once('/').ok_or_else(expected)?;
        let octets = match address.parse::<IpAddr>().map_err(|_| expected())? {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let length: u32 = length.parse().map_err(|_| expected())?;
        let room = layout.size().saturating_sub(4) as usize;
        if length as usize > octets.len() * 8 {
            return Err(expected());
        }
        if octets.len() != room {
            let what = format!("an address of {} bytes where the key has {room}", octets.len());
            return Err(Mistake::new(What::Value(what), &node.span));
        }
        self.write(at, &length.to_le_bytes());
        self.write(at + 4, &octets);
        Ok(())
    }
}

/// A member by name, looking through anonymous members: bits from the start, bits of a bit field, its type.
fn find<'a>(
    layout: &'a Layout,
    name: &str,
    base: u32,
    names: &mut Vec<&'a str>,
) -> Option<(u32, u32, &'a Layout)> {
    let (Layout::Struct { members, .. } | Layout::Union { members, .. }) = layout else { return None };
    for member in members {
        let bit_offset = base + member.bit_offset;
        if member.name.is_empty() {
            if let Some(found) = find(&member.layout, name, bit_offset, names) {
                return Some(found);
            }
        } else if member.name == name {
            return Some((bit_offset, member.bit_size, &member.layout));
        } else {
            names.push(&member.name);
        }
    }
    None
}

fn wrong(expected: &str, node: &Node) -> Mistake {
    let what = match &node.kind {
        Kind::Str(text) => format!("expected {expected}, found the string \"{text}\""),
        Kind::Int(n) => format!("expected {expected}, found {n}"),
        kind => format!("expected {expected}, found {}", kind.word()),
    };
    Mistake::new(What::WrongType(what), &node.span)
}

fn described(layout: &Layout) -> String {
    match layout {
        Layout::Int { size, .. } => format!("an integer of {size} bytes"),
        Layout::Enum { .. } => "a constant's name or an integer".into(),
        Layout::Array { len, .. } => format!("an array of {len}"),
        Layout::Struct { name, .. } if name.is_empty() => "a table of members".into(),
        Layout::Struct { name, .. } => format!("a table with members of struct {name}"),
        Layout::Union { .. } => "a table with one member of the union".into(),
        Layout::Opaque { size } => format!("\"hex:…\" with {size} bytes"),
    }
}

fn int(size: u32, sense: Sense, node: &Node) -> Result<Vec<u8>, Mistake> {
    let value = match &node.kind {
        Kind::Int(n) => *n,
        Kind::Bool(b) => i128::from(*b),
        Kind::Str(text) => {
            if let Some(bytes) = network_literal(size, text) {
                return Ok(bytes);
            }
            parse_number(text).ok_or_else(|| {
                let advice = if size == 4 {
                    "an integer, an IPv4 address or htonl(…)"
                } else {
                    "an integer or htons(…)"
                };
                wrong(advice, node)
            })?
        }
        _ => return Err(wrong(&format!("an integer of {size} bytes"), node)),
    };
    let bits = size * 8;
    let fits = match sense {
        _ if bits >= 128 => true,
        Sense::Bool => (0..=1).contains(&value),
        // As C does, a negative number may be given for an unsigned type.
        _ => value >= -(1 << (bits - 1)) && value < 1 << bits,
    };
    if !fits {
        return Err(Mistake::new(What::Value(format!("{value} does not fit {size} bytes")), &node.span));
    }
    let mut bytes = value.to_le_bytes()[..size.min(16) as usize].to_vec();
    if sense == Sense::Network {
        bytes.reverse();
    }
    Ok(bytes)
}

/// `htons(80)`, `htonl(…)`, `10.0.0.1`: bytes in network order whatever the type says.
fn network_literal(size: u32, text: &str) -> Option<Vec<u8>> {
    if size == 4
        && let Ok(address) = text.parse::<Ipv4Addr>()
    {
        return Some(address.octets().to_vec());
    }
    let (name, rest) = text.split_once('(')?;
    let value = parse_number(rest.strip_suffix(')')?)?;
    match (name.trim(), size) {
        ("htons", 2) => u16::try_from(value).ok().map(|v| v.to_be_bytes().to_vec()),
        ("htonl", 4) => u32::try_from(value).ok().map(|v| v.to_be_bytes().to_vec()),
        ("htonll" | "cpu_to_be64", 8) => u64::try_from(value).ok().map(|v| v.to_be_bytes().to_vec()),
        _ => None,
    }
}

/// Decimal, or hexadecimal with `0x`.
fn parse_number(text: &str) -> Option<i128> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(hex) => i128::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn byte_array(len: usize, is_text: bool, text: &str, node: &Node) -> Result<Vec<u8>, Mistake> {
    if is_text {
        if text.len() > len {
            let what = format!("{} bytes of text, the array has {len}", text.len());
            return Err(Mistake::new(What::Value(what), &node.span));
        }
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(len, 0);
        return Ok(bytes);
    }
    let (bytes, expected) = match len {
        4 => (text.parse().ok().map(|a: Ipv4Addr| a.octets().to_vec()), "an IPv4 address or hex:…"),
        6 => (parse_mac(text).map(|mac| mac.to_vec()), "a MAC address or hex:…"),
        16 => (text.parse().ok().map(|a: Ipv6Addr| a.octets().to_vec()), "an IPv6 address or hex:…"),
        _ => (None, "hex:…"),
    };
    bytes.ok_or_else(|| wrong(expected, node))
}

/// `02:00:00:00:00:01`.
pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut parts = text.split(':');
    let mut mac = [0; 6];
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{array, network, service, structure, uint};
    use super::*;

    fn node(text: &str) -> Node {
        #[derive(serde::Deserialize)]
        struct Doc {
            v: Node,
        }
        toml::from_str::<Doc>(&format!("v = {text}")).unwrap().v
    }

    fn encoded(layout: &Layout, text: &str) -> Result<String, String> {
        Encoder::encode(layout, &node(text))
            .map(|e| Bytes(e.bytes).to_string())
            .map_err(|m| format!("{}{}", m.what, m.help.map(|h| format!(" ({h})")).unwrap_or_default()))
    }

    #[test]
    fn values_by_type() {
        let lpm = structure("lpm", 8, vec![("prefixlen", 0, uint(4)), ("addr", 4, array(uint(1), 4))]);
        let in6 = structure("in6_addr", 16, vec![("u", 0, array(uint(1), 16))]);
        for (layout, text, expect) in [
            (uint(4), "1", "01000000"),
            (uint(4), "-1", "ffffffff"),
            (uint(8), "\"0xffffffffffffffff\"", "ffffffffffffffff"),
            (uint(4), "\"10.0.0.1\"", "0a000001"),
            (uint(2), "\"htons(80)\"", "0050"),
            (uint(1), "true", "01"),
            (network(2), "80", "0050"),
            (network(4), "\"10.0.0.1\"", "0a000001"),
            (network(4), "0x0a000001", "0a000001"),
            (array(uint(1), 6), "\"02:00:00:00:00:0a\"", "02000000000a"),
            (array(uint(2), 3), "[1, 2]", "010002000000"),
            (array(uint(2), 2), "\"hex:0102 0304\"", "01020304"),
            (in6, "\"fd00::1\"", "fd000000000000000000000000000001"),
            (lpm.clone(), "\"10.0.0.0/8\"", "080000000a000000"),
            (lpm, "{ prefixlen = 8, addr = \"10.0.0.0\" }", "080000000a000000"),
            (
                service(),
                "{ addr = \"10.0.0.1\", port = 80, proto = 6, name = \"web\", low = 5, high = 1 }",
                "0a000001005006000000000000007765620000000d000000",
            ),
        ] {
            assert_eq!(encoded(&layout, text).as_deref(), Ok(expect), "{text}");
        }
    }

    #[test]
    fn mistakes_say_what_was_expected() {
        for (layout, text, expect) in [
            (uint(1), "256", "256 does not fit 1 bytes"),
            (
                uint(4),
                "\"ten\"",
                "expected an integer, an IPv4 address or htonl(…), found the string \"ten\"",
            ),
            (uint(4), "[1]", "expected an integer of 4 bytes, found an array"),
            (service(), "{ prot = 1 }", "there is no member `prot` (did you mean `port`?)"),
            (service(), "{ low = 8 }", "8 does not fit 3 bits"),
            (service(), "{ mac = \"02:00\" }", "expected a MAC address or hex:…, found the string \"02:00\""),
            (service(), "{ name = \"toolong\" }", "7 bytes of text, the array has 6"),
            (service(), "7", "expected a table with members of struct service, found 7"),
            (array(uint(1), 2), "[1, 2, 3]", "3 items, the array has 2"),
            (uint(4), "\"hex:01\"", "1 bytes where the type has 4"),
            (uint(4), "\"hex:0g\"", "bad hexadecimal: not a hexadecimal digit at 1"),
        ] {
            assert_eq!(encoded(&layout, text).unwrap_err(), expect, "{text}");
        }
    }

    #[test]
    fn a_partial_value_checks_only_what_it_names() {
        let want = Encoder::encode(&service(), &node("{ port = 80, low = 5 }")).unwrap();
        let mut data = vec![0xff; 24];
        data[4..6].copy_from_slice(&[0, 80]);
        data[20] = 0xfd;
        assert!(want.holds_in(&data));
        data[20] = 0xfc;
        assert!(!want.holds_in(&data));
        assert!(!want.holds_in(&data[..20]));
    }
}
