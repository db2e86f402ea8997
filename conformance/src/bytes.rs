//! Bytes that read as hexadecimal in JSON.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A byte string; hexadecimal without separators in JSON.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// From hexadecimal digits without separators.
    pub fn from_hex(text: &str) -> Result<Self, String> {
        if !text.len().is_multiple_of(2) {
            return Err(format!("{} hexadecimal digits: an odd number", text.len()));
        }
        let digit = |at: usize, c: u8| match c {
            b'0'..=b'9' => Ok(c - b'0'),
            b'a'..=b'f' => Ok(c - b'a' + 10),
            b'A'..=b'F' => Ok(c - b'A' + 10),
            _ => Err(format!("not a hexadecimal digit at {at}")),
        };
        let (pairs, _) = text.as_bytes().as_chunks::<2>();
        let byte =
            |(at, [high, low]): (usize, &[u8; 2])| Ok(digit(2 * at, *high)? << 4 | digit(2 * at + 1, *low)?);
        pairs.iter().enumerate().map(byte).collect::<Result<_, String>>().map(Self)
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = Vec::with_capacity(2 * self.0.len());
        for byte in &self.0 {
            hex.extend([DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]);
        }
        serializer.serialize_str(std::str::from_utf8(&hex).expect("digits are ASCII"))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::from_hex(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_there_and_back() {
        let bytes = Bytes(vec![0, 0x1f, 0xff]);
        let json = serde_json::to_string(&bytes).unwrap();
        assert_eq!(json, "\"001fff\"");
        assert_eq!(serde_json::from_str::<Bytes>(&json).unwrap(), bytes);
        assert!(serde_json::from_str::<Bytes>("\"0\"").is_err());
        assert!(serde_json::from_str::<Bytes>("\"0é\"").is_err());
        assert!(serde_json::from_str::<Bytes>("\"zz\"").is_err());
    }
}
