//! A type with the fields that are left out, worked out once and used for every value.

use super::{IgnoreRule, Tally};
use crate::bytes::Bytes;
use crate::layout::Leaf;
use crate::shape::Typed;

/// See the module.
pub(super) struct Masked {
    prefix: String,
    leaves: Vec<(Leaf, bool)>,
    /// One bits where bytes count, padding included; bytes past the end count.
    mask: Vec<u8>,
    compared: u64,
    left_out: Vec<(String, u64)>,
}

impl Masked {
    pub(super) fn new(prefix: &str, typed: &Typed, ignores: &[IgnoreRule]) -> Self {
        let mut masked = Self {
            prefix: prefix.to_owned(),
            leaves: Vec::with_capacity(typed.leaves.len()),
            mask: vec![0xff; typed.layout.size() as usize],
            compared: 0,
            left_out: Vec::new(),
        };
        for leaf in &typed.leaves {
            let rule = ignores.iter().find(|rule| rule.covers(&format!("{prefix}{}", leaf.path)));
            match rule {
                None => masked.compared += 1,
                Some(rule) => {
                    masked.leave_out(leaf);
                    match masked.left_out.iter_mut().find(|(reason, _)| *reason == rule.reason) {
                        Some((_, count)) => *count += 1,
                        None => masked.left_out.push((rule.reason.clone(), 1)),
                    }
                }
            }
            masked.leaves.push((leaf.clone(), rule.is_some()));
        }
        masked
    }

    fn leave_out(&mut self, leaf: &Leaf) {
        let (shift, width) = leaf.bits.unwrap_or((0, leaf.size * 8));
        for bit in shift..shift + width {
            let byte = leaf.offset as usize + bit as usize / 8;
            if let Some(mask) = self.mask.get_mut(byte) {
                *mask &= !(1 << (bit % 8));
            }
        }
    }

    /// Zeroes the fields left out.
    pub(super) fn blank(&self, bytes: &mut [u8]) {
        for (byte, mask) in bytes.iter_mut().zip(&self.mask) {
            *byte &= mask;
        }
    }

    /// Counts the fields and gives those that differ: name, left, right.
    pub(super) fn differences(
        &self,
        left: &[u8],
        right: &[u8],
        tally: &mut Tally,
    ) -> Vec<(String, String, String)> {
        tally.compared += self.compared;
        for (reason, count) in &self.left_out {
            tally.leave_out(reason, *count);
        }
        let masks = self.mask.iter().chain(std::iter::repeat(&0xff));
        if left.len() == right.len()
            && left.iter().zip(right).zip(masks).all(|((l, r), mask)| (l ^ r) & mask == 0)
        {
            return Vec::new();
        }
        let mut found: Vec<_> = self
            .leaves
            .iter()
            .filter(|(leaf, skip)| !skip && leaf.value(left) != leaf.value(right))
            .map(|(leaf, _)| (format!("{}{}", self.prefix, leaf.path), leaf.text(left), leaf.text(right)))
            .collect();
        if found.is_empty() {
            // Only bytes no field covers differ: padding, or what follows the type.
            let hex = |bytes: &[u8]| Bytes(bytes.to_vec()).to_string();
            found.push((format!("{}.(padding)", self.prefix), hex(left), hex(right)));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::layout::samples::{structure, uint};

    fn stamped() -> Layout {
        structure("entry", 16, vec![("packets", 0, uint(4)), ("kind", 4, uint(1)), ("last_seen", 8, uint(8))])
    }

    #[test]
    fn every_byte_counts_unless_left_out() {
        let typed = Typed::from(stamped());
        let rule = IgnoreRule { field: "map:ct.last_seen".into(), reason: "a clock".into() };
        let masked = Masked::new("map:ct", &typed, &[rule]);
        for (at, expect) in [
            (0, Some("map:ct.packets")),
            (4, Some("map:ct.kind")),
            (5, Some("map:ct.(padding)")),
            (8, None),
            (15, None),
        ] {
            let (left, mut right) = ([0; 16], [0; 16]);
            right[at] = 1;
            let mut tally = Tally::default();
            let found = masked.differences(&left, &right, &mut tally);
            assert_eq!(found.first().map(|(field, ..)| field.as_str()), expect, "byte {at}");
            assert_eq!((tally.compared, tally.total()), (2, 3));
        }
        let mut tally = Tally::default();
        assert!(!masked.differences(&[0; 16], &[0; 17], &mut tally).is_empty(), "a longer value");
    }
}
