//! Two frames, compared field by field.

use std::ops::Range;

use super::dissect::{Dissection, Layer, dissect, dissect_from};
use super::layer::{self, Proto};

/// A difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldDiff {
    /// `IP.dst`; a layer's name alone (`Dot1Q`, `IP:2`) if only one frame has it; `len` for the length of the frames.
    pub path: String,
    /// The first frame's value as text; `None` if it has no such field.
    pub a: Option<String>,
    /// The second frame's.
    pub b: Option<String>,
    /// The bytes, in the first frame if it has the field, else in the second.
    pub range: Range<usize>,
}

/// Longer byte strings are shown around their first difference.
const SHOWN_BYTES: usize = 16;

/// All differences, in the order of the first frame's bytes; empty if and only if the frames are equal.
pub fn diff(a: &[u8], b: &[u8]) -> Vec<FieldDiff> {
    diff_of((a, dissect(a)), (b, dissect(b)))
}

/// All differences of bytes that begin with headers of this kind.
pub fn diff_from(a: &[u8], b: &[u8], first: Proto) -> Vec<FieldDiff> {
    diff_of((a, dissect_from(a, first)), (b, dissect_from(b, first)))
}

fn diff_of((a, left): (&[u8], Dissection), (b, right): (&[u8], Dissection)) -> Vec<FieldDiff> {
    if a == b {
        return Vec::new();
    }
    let mut found = Vec::new();
    if a.len() != b.len() {
        let len = |frame: &[u8]| Some(frame.len().to_string());
        found.push(FieldDiff { path: "len".to_owned(), a: len(a), b: len(b), range: 0..a.len() });
    }
    for pair in align(&left, &right) {
        match pair {
            (Some(l), Some(r)) => fields(&mut found, l, r),
            (Some(l), None) => found.push(FieldDiff {
                path: l.label(),
                a: Some(summary(l)),
                b: None,
                range: l.header.clone(),
            }),
            (None, Some(r)) => found.push(FieldDiff {
                path: r.label(),
                a: None,
                b: Some(summary(r)),
                range: r.header.clone(),
            }),
            (None, None) => {}
        }
    }
    found
}

/// Pairs equal headers in order, leaving as few alone as possible (longest common subsequence).
fn align<'a>(a: &'a Dissection, b: &'a Dissection) -> Vec<(Option<&'a Layer>, Option<&'a Layer>)> {
    let (a, b) = (&a.layers, &b.layers);
    let mut common = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if a[i].proto == b[j].proto {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i].proto == b[j].proto {
            pairs.push((Some(&a[i]), Some(&b[j])));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || i < a.len() && common[i + 1][j] >= common[i][j + 1] {
            pairs.push((Some(&a[i]), None));
            i += 1;
        } else {
            pairs.push((None, Some(&b[j])));
            j += 1;
        }
    }
    pairs
}

fn fields(found: &mut Vec<FieldDiff>, a: &Layer, b: &Layer) {
    for left in &a.fields {
        let right = b.fields.iter().find(|right| same_field(left.field, right.field));
        if right.is_some_and(|right| right.value == left.value) {
            continue;
        }
        let (shown_a, shown_b) = match (&left.value, right.map(|right| &right.value)) {
            (layer::Value::Bytes(x), Some(layer::Value::Bytes(y))) => show_around(x, y),
            _ => (left.to_string(), right.map(ToString::to_string)),
        };
        found.push(FieldDiff {
            path: format!("{}.{}", a.label(), left.field.name),
            a: Some(shown_a),
            b: shown_b,
            range: left.bytes(),
        });
    }
    for right in &b.fields {
        if !a.fields.iter().any(|left| same_field(left.field, right.field)) {
            found.push(FieldDiff {
                path: format!("{}.{}", b.label(), right.field.name),
                a: None,
                b: Some(right.to_string()),
                range: right.bytes(),
            });
        }
    }
}

fn same_field(a: &layer::Field, b: &layer::Field) -> bool {
    a.name == b.name && a.bits == b.bits
}

fn summary(layer: &Layer) -> String {
    let fields = layer.fields.iter().map(|shown| format!("{}={shown}", shown.field.name));
    match layer.proto {
        Proto::Raw | Proto::Padding => format!("{} bytes", layer.header.len()),
        proto => format!("{proto}({})", fields.collect::<Vec<_>>().join(",")),
    }
}

/// Two byte strings as text, the common beginning left out if they are long.
fn show_around(a: &[u8], b: &[u8]) -> (String, Option<String>) {
    let first = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let from = if a.len().max(b.len()) <= SHOWN_BYTES { 0 } else { first };
    let show = |bytes: &[u8]| {
        let to = bytes.len().min(from + SHOWN_BYTES);
        let at = if from > 0 { format!("[{from}..] ") } else { String::new() };
        let more = if to < bytes.len() { format!(" and {} more", bytes.len() - to) } else { String::new() };
        format!("{at}{}{more}", layer::show_bytes(&bytes[from.min(to)..to]))
    };
    (show(a), Some(show(b)))
}

#[cfg(test)]
mod tests;
