//! Bytes written as an edit of other bytes: empty for the same, `12:0a000001,30:ff` for a few places of equal length,
//! `=0a0b…` for everything else. Short to read, and a reviewer sees what changed.

use std::fmt::Write as _;

use crate::bytes::Bytes;

/// Equal bytes that are cheaper to repeat than to start a new place for.
const GAP: usize = 3;

/// `to` as an edit of `from`.
pub fn write(from: &[u8], to: &[u8]) -> String {
    if from == to {
        return String::new();
    }
    let whole = format!("={}", Bytes(to.to_vec()));
    if from.len() != to.len() {
        return whole;
    }
    let mut text = String::new();
    let mut at = 0;
    while at < to.len() {
        if from[at] == to[at] {
            at += 1;
            continue;
        }
        let (start, mut end) = (at, at + 1);
        while at < to.len() && at < end + GAP {
            if from[at] != to[at] {
                end = at + 1;
            }
            at += 1;
        }
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{start}:{}", Bytes(to[start..end].to_vec()));
        at = end;
    }
    if text.len() < whole.len() { text } else { whole }
}

/// `from` after the edit `text`.
pub fn apply(from: &[u8], text: &str) -> Result<Vec<u8>, String> {
    if let Some(hex) = text.strip_prefix('=') {
        return Bytes::from_hex(hex).map(|bytes| bytes.0);
    }
    let mut out = from.to_vec();
    for place in text.split(',').filter(|place| !place.is_empty()) {
        let (at, hex) = place.split_once(':').ok_or_else(|| format!("\"{place}\" is no edit"))?;
        let at: usize = at.parse().map_err(|_| format!("\"{at}\" is no offset"))?;
        let bytes = Bytes::from_hex(hex)?;
        let end = at.checked_add(bytes.len()).filter(|end| *end <= out.len());
        let end = end.ok_or_else(|| format!("\"{place}\" goes past {} bytes", out.len()))?;
        out[at..end].copy_from_slice(&bytes);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edits_are_short() {
        let from = [0; 16];
        let mut to = from;
        assert_eq!(write(&from, &to), "");
        to[3] = 1;
        to[5] = 2;
        to[15] = 3;
        assert_eq!(write(&from, &to), "3:010002,15:03");
        assert_eq!(write(&from, &to[..1]), "=00");
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in ["x", "1", "1:0", "15:0000", "=0", "99999999999999999999:00", "18446744073709551615:00"] {
            assert!(apply(&[0; 16], text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(from: Vec<u8>, to: Vec<u8>, flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..9)) {
            prop_assert_eq!(apply(&from, &write(&from, &to)).unwrap(), to);
            let mut near = from.clone();
            for (at, value) in flips {
                if !near.is_empty() {
                    let at = at % near.len();
                    near[at] = value;
                }
            }
            prop_assert_eq!(apply(&from, &write(&from, &near)).unwrap(), near);
        }
    }
}
