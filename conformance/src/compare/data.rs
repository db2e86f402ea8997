//! Packets, layer by layer.

use super::{IgnoreRule, Tally};
use crate::bytes::Bytes;

/// Differences of two packets: field, left, right.
pub fn data_differences(
    left: &[u8],
    right: &[u8],
    ignores: &[IgnoreRule],
    tally: &mut Tally,
) -> Vec<(String, String, String)> {
    let _ = ignores;
    tally.compared += 1;
    if left == right {
        return Vec::new();
    }
    let hex = |bytes: &[u8]| Bytes(bytes.to_vec()).to_string();
    vec![("data".into(), hex(left), hex(right))]
}
