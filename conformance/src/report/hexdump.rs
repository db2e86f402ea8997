//! Two byte strings, the rows that differ, the bytes that differ marked.

use std::fmt::Write as _;

/// Bytes in a row.
const ROW: usize = 16;

/// Rows where `left` and `right` differ, each twice, with a line of marks below.
pub fn differing(names: (&str, &str), left: &[u8], right: &[u8]) -> String {
    let width = names.0.len().max(names.1.len());
    let mut out = String::new();
    for start in (0..left.len().max(right.len())).step_by(ROW) {
        let row = |bytes: &[u8]| bytes.get(start..bytes.len().min(start + ROW)).unwrap_or_default().to_vec();
        let (l, r) = (row(left), row(right));
        if l == r {
            continue;
        }
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
        let marks: Vec<&str> =
            (0..l.len().max(r.len())).map(|i| if l.get(i) == r.get(i) { "  " } else { "^^" }).collect();
        let _ = writeln!(out, "{start:04x}  {:width$}  {}", names.0, hex(&l));
        let _ = writeln!(out, "      {:width$}  {}", names.1, hex(&r));
        let _ = writeln!(out, "      {:width$}  {}", "", marks.join(" ").trim_end());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_that_differ() {
        let left: Vec<u8> = (0..34).collect();
        let mut right = left.clone();
        right[17] = 0xff;
        right.pop();
        assert_eq!(
            differing(("expected", "seen"), &left, &right),
            "0010  expected  10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f\n\
             \x20     seen      10 ff 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f\n\
             \x20                  ^^\n\
             0020  expected  20 21\n\
             \x20     seen      20\n\
             \x20                  ^^\n"
        );
        assert_eq!(differing(("a", "b"), &left, &left), "");
    }
}
