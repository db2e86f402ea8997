//! Packets, layer by layer.

use bpftwin_sim::wire::diff::diff;
use bpftwin_sim::wire::dissect::dissect;

use super::{IgnoreRule, Tally};

/// What one side says of a field the other side does not have.
const NOT_THERE: &str = "(not there)";

/// Differences of two packets: field, left, right. Every field of the left packet's layers counts, those of the right
/// one where it has layers of its own.
pub fn data_differences(
    left: &[u8],
    right: &[u8],
    ignores: &[IgnoreRule],
    tally: &mut Tally,
) -> Vec<(String, String, String)> {
    let mut fields = 0;
    for layer in &dissect(left).layers {
        if ignores.is_empty() {
            fields += layer.fields.len() as u64;
            continue;
        }
        let label = layer.label();
        for shown in &layer.fields {
            let path = format!("{label}.{}", shown.field.name);
            match ignores.iter().find(|rule| rule.covers(&path)) {
                Some(rule) => tally.leave_out(&rule.reason, 1),
                None => fields += 1,
            }
        }
    }
    tally.compared += fields;
    if left == right {
        return Vec::new();
    }
    diff(left, right)
        .into_iter()
        .filter(|difference| !ignores.iter().any(|rule| rule.covers(&difference.path)))
        .map(|difference| {
            let side = |text: Option<String>| text.unwrap_or_else(|| NOT_THERE.into());
            (difference.path, side(difference.a), side(difference.b))
        })
        .collect()
}
