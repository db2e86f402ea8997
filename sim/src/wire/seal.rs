//! Lengths, header types and checksums of a frame that is being built or edited.

use std::ops::Range;

use super::checksum::{
    CSUM_MANGLED_0, csum_add, csum_fold, csum_ipv6_magic, csum_partial, csum_sub, csum_tcpudp_nofold,
    sctp_crc32c,
};
use super::dissect::Layer;
use super::layer::{self, Proto};

/// A header in a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Which.
    pub proto: Proto,
    /// Its bytes.
    pub header: Range<usize>,
    /// Where what it carries ends.
    pub end: usize,
}

impl From<&Layer> for Part {
    fn from(layer: &Layer) -> Self {
        Self { proto: layer.proto, header: layer.header.clone(), end: layer.end }
    }
}

/// Writes a field of a header; `false` if it has none of that name, `Err` if the number needs more bits.
pub fn set(frame: &mut [u8], part: &Part, name: &str, number: u128) -> Result<bool, String> {
    let header = &mut frame[part.header.clone()];
    let layout = part.proto.spec().layout(header);
    let Some((field, bits)) = layout.into_iter().find(|(field, _)| field.name == name) else {
        return Ok(false);
    };
    field.fit(number)?;
    layer::put(header, bits, number);
    Ok(true)
}

/// The number a computed field other than a checksum must hold, given what follows; `None` if there is none.
pub fn computed(parts: &[Part], at: usize, name: &str) -> Option<u128> {
    let part = &parts[at];
    let header = part.header.len();
    let carried = part.end - part.header.end;
    let number = match (part.proto, name) {
        (Proto::Ip, "ihl") | (Proto::Tcp, "dataofs") => header / 4,
        (Proto::Ip | Proto::Udp, "len") => header + carried,
        (Proto::Ip6, "plen") | (Proto::Dot3, "len") => carried,
        (Proto::HopByHop | Proto::DestOpt | Proto::Routing, "len") => header / 8 - 1,
        (Proto::NdOptSrc | Proto::NdOptDst | Proto::NdOpt, "len") => header / 8,
        (Proto::Ah, "payloadlen") | (Proto::Geneve, "optionlen") => header / 4 - 2,
        (Proto::Gue, "hlen") => header / 4 - 1,
        (_, "type" | "code" | "proto" | "nh") => {
            layer::code_for(part.proto, parts.get(at + 1)?.proto).map(usize::from)?
        }
        _ => return None,
    };
    Some(number as u128)
}

/// A checksum field in memory order, and the sum of all it covers except itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Covered {
    /// Where the field is.
    pub at: usize,
    /// The sum of what it covers.
    pub sum: u32,
    /// Whether 0 means "none", and a computed 0 is written as 0xffff.
    pub optional: bool,
}

impl Covered {
    /// What the field holds.
    pub fn field(&self, frame: &[u8]) -> u16 {
        u16::from_le_bytes([frame[self.at], frame[self.at + 1]])
    }

    /// Writes the field.
    pub fn write(&self, frame: &mut [u8], checksum: u16) {
        let mangled = if self.optional && checksum == 0 { CSUM_MANGLED_0 } else { checksum };
        frame[self.at..self.at + 2].copy_from_slice(&mangled.to_le_bytes());
    }

    /// The right checksum.
    pub fn right(&self) -> u16 {
        csum_fold(self.sum)
    }

    /// The checksum after the covered bytes changed, as right or as wrong as `old` was (RFC 1624).
    pub fn updated(&self, old: u16, before: &Self) -> u16 {
        csum_fold(csum_add(csum_sub(u32::from(!old), before.sum), self.sum))
    }
}

/// The checksum of a header and what it covers; `None` if the header has none, is cut before it, or has no network
/// header around it for a pseudo header.
pub fn covered(frame: &[u8], parts: &[Part], at: usize) -> Option<Covered> {
    let part = &parts[at];
    let (offset, pseudo) = match part.proto {
        Proto::Ip => (10, None),
        Proto::Icmp => (2, None),
        Proto::Gre if frame[part.header.clone()].first().is_some_and(|first| first & 0x80 != 0) => (4, None),
        Proto::Tcp => (16, Some(6)),
        Proto::Udp => (6, Some(17)),
        proto if proto.spec().field("cksum").is_some() => (2, Some(58)),
        _ => return None,
    };
    let end = if part.proto == Proto::Ip { part.header.end } else { part.end };
    if part.header.len() < offset + 2 {
        return None;
    }
    let mut bytes = frame[part.header.start..end].to_vec();
    bytes[offset..offset + 2].fill(0);
    let mut sum = csum_partial(&bytes, 0);
    if let Some(proto) = pseudo {
        sum = pseudo_header(frame, &parts[..at], proto, bytes.len() as u32, sum)?;
    }
    Some(Covered { at: part.header.start + offset, sum, optional: part.proto == Proto::Udp })
}

fn pseudo_header(frame: &[u8], outer: &[Part], proto: u8, len: u32, sum: u32) -> Option<u32> {
    let network = outer.iter().rev().find(|part| matches!(part.proto, Proto::Ip | Proto::Ip6))?;
    let header = &frame[network.header.clone()];
    if network.proto == Proto::Ip {
        let address = |at: usize| header.get(at..at + 4)?.try_into().ok();
        return Some(csum_tcpudp_nofold(address(12)?, address(16)?, len, proto, sum));
    }
    let address = |at: usize| header.get(at..at + 16)?.try_into().ok();
    Some(u32::from(!csum_ipv6_magic(address(8)?, address(24)?, len, proto, sum)))
}

/// The CRC32c of an SCTP packet as its field holds it, and where that is.
pub fn sctp_crc(frame: &[u8], part: &Part) -> Option<(usize, [u8; 4])> {
    if part.proto != Proto::Sctp || part.header.len() < 12 {
        return None;
    }
    let crc = sctp_crc32c(&frame[part.header.start..part.end]);
    Some((part.header.start + 8, crc.to_le_bytes()))
}
