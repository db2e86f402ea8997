//! What a check writes into `scapy_assert_map`: packets that are not as expected.

use bpftwin_sim::wire::diff::{diff, diff_from};
use bpftwin_sim::wire::layer::Proto;

use crate::bytes::Bytes;

/// The length of an entry.
pub const ENTRY: usize = 4 * TEXT + 2 * (2 + BYTES) + 2;
/// The length of an entry of older suites, which has one length for both packets.
pub const SHORT_ENTRY: usize = 4 * TEXT + 2 + 2 * BYTES + 2;
/// The length of each text.
const TEXT: usize = 128;
/// Room for each packet.
const BYTES: usize = 1518;

/// A packet that is not as expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// The assertion's name.
    pub name: String,
    /// `file:line` of the C source, as far as the entry says.
    pub place: String,
    /// The layer the bytes begin with.
    pub first_layer: String,
    /// Each field that differs: name, expected, got.
    pub fields: Vec<(String, String, String)>,
    /// The packet expected.
    pub expected: Bytes,
    /// The packet there was.
    pub got: Bytes,
    /// What is odd about the entry.
    pub odd: Vec<String>,
}

/// Reads an entry; `None` for one that holds nothing. The error says why it cannot be read.
pub fn read(entry: &[u8]) -> Result<Option<Mismatch>, String> {
    if entry.len() != ENTRY && entry.len() != SHORT_ENTRY {
        return Err(format!("an entry of {} bytes, where {ENTRY} are due", entry.len()));
    }
    if entry.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let text = |nth: usize| {
        let bytes = &entry[nth * TEXT..(nth + 1) * TEXT];
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(TEXT);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    let mut odd = Vec::new();
    let mut packet = |what: &str, at: usize| {
        let len = u16::from_le_bytes([entry[at], entry[at + 1]]);
        if usize::from(len) > BYTES {
            odd.push(format!("{what} packet has {len} bytes, of which the entry holds {BYTES}"));
        }
        (at + 2, usize::from(len).min(BYTES))
    };
    let (at, len) = packet("the expected", 4 * TEXT);
    let expected = entry[at..at + len].to_vec();
    let got = if entry.len() == SHORT_ENTRY {
        entry[at + BYTES..at + BYTES + len].to_vec()
    } else {
        let (at, len) = packet("the", 4 * TEXT + 2 + BYTES);
        entry[at..at + len].to_vec()
    };
    if got.len() < expected.len() {
        odd.push(format!(
            "there were only {} bytes where {} are expected; the macros may not have copied them",
            got.len(),
            expected.len()
        ));
    }
    let first_layer = text(3);
    let found = match Proto::ALL.iter().find(|proto| proto.spec().name == first_layer) {
        None | Some(Proto::Ether | Proto::Dot3) => {
            if !first_layer.is_empty() && !matches!(&*first_layer, "Ether" | "Dot3") {
                odd.push(format!("layer {first_layer} is not known; read as Ether"));
            }
            diff(&expected, &got)
        }
        Some(proto) => diff_from(&expected, &got, *proto),
    };
    let side = |text: Option<String>| text.unwrap_or_else(|| "(not there)".into());
    let fields = found.into_iter().map(|field| (field.path, side(field.a), side(field.b))).collect();
    let (file, line) = (text(1), text(2));
    let place = if line.is_empty() { file } else { format!("{file}:{line}") };
    Ok(Some(Mismatch {
        name: text(0),
        place,
        first_layer,
        fields,
        expected: expected.into(),
        got: got.into(),
        odd,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(texts: [&str; 4], expected: &[u8], got: &[u8]) -> Vec<u8> {
        let mut entry = vec![0; ENTRY];
        for (nth, text) in texts.iter().enumerate() {
            entry[nth * TEXT..nth * TEXT + text.len()].copy_from_slice(text.as_bytes());
        }
        for (at, packet) in [(512, expected), (2032, got)] {
            entry[at..at + 2].copy_from_slice(&(packet.len() as u16).to_le_bytes());
            entry[at + 2..at + 2 + packet.len()].copy_from_slice(packet);
        }
        entry
    }

    #[test]
    fn packets_differ_by_layer_and_field() {
        assert_eq!(ENTRY, 3554);
        let mut udp = vec![0x12, 0x34, 0, 53, 0, 10, 0, 0, 1, 2];
        let expected = udp.clone();
        udp[3] = 80;
        let read = read(&entry(["reply", "lb.c", "12", "UDP"], &expected, &udp)).unwrap().unwrap();
        assert_eq!(read.fields, [("UDP.dport".into(), "53".into(), "80".into())]);
        assert_eq!((read.name.as_str(), read.place.as_str()), ("reply", "lb.c:12"));
        assert!(read.odd.is_empty());
        assert_eq!(super::read(&[0; ENTRY]), Ok(None));
        assert!(super::read(&[0; 4]).is_err());
    }

    #[test]
    fn odd_entries_say_so() {
        let short = read(&entry(["a", "b.c", "", "Foo"], &[1; 20], &[])).unwrap().unwrap();
        assert_eq!(short.place, "b.c");
        assert!(short.odd[0].contains("only 0 bytes where 20"), "{:?}", short.odd);
        assert!(short.odd[1].contains("layer Foo"), "{:?}", short.odd);
        let mut long = entry(["a", "", "", "Ether"], &[1; 20], &[2; 20]);
        long[512..514].copy_from_slice(&u16::MAX.to_le_bytes());
        let long = read(&long).unwrap().unwrap();
        assert_eq!(long.expected.len(), BYTES);
        assert!(long.odd[0].contains("65535 bytes"), "{:?}", long.odd);
    }
}
