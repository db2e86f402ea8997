//! Packet expressions: a subset of Scapy's, `Ether(dst='02:00:00:00:00:01')/IP(dst='198.51.100.20')/TCP(dport=80)`.
//!
//! A layer is a name with fields in parentheses; layers are joined by `/`. Bytes stand as `Raw(load=…)`, or bare:
//! `'text'`, `b'\x00\xff'`, `hex'00ff'`, each also with `*` and a count, in parentheses when bare.
//! `#` starts a comment that runs to the end of the line. Names of layers and fields are in [`layer`](super::layer).
//!
//! As in Scapy, lengths, checksums, and types of the next header are computed unless set, and what is set stays, however
//! wrong. Also as in Scapy, IPv4 has `id=1`, TCP has the flag `S`, UDP over VXLAN has port 4789, neighbour discovery has
//! hop limit 255. Where Scapy asks the machine it runs on, the value here is fixed: source and destination are
//! 127.0.0.1 and ::1, MAC addresses are 00:00:00:00:00:00 to ff:ff:ff:ff:ff:ff. VXLAN's flags are 8 (RFC 7348), always.

mod build;
mod lex;
mod parse;

#[cfg(test)]
mod tests;

use std::fmt;

pub use build::{Literal, build};
pub(super) use parse::literal;
pub use parse::{Argument, Call, parse};

/// Why an expression makes no packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExprError {
    /// The character where it goes wrong, counted from 1.
    pub column: usize,
    /// What is wrong and what was expected.
    pub what: String,
    /// How to put it right, if there is a good guess.
    pub help: Option<String>,
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.what)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

impl std::error::Error for ExprError {}

/// The frame that an expression describes.
pub fn packet(text: &str) -> Result<Vec<u8>, ExprError> {
    build(&parse(text)?)
}

/// `did you mean …?` with the nearest of the known words; `None` if none is near.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let nearest = known.into_iter().map(|known| (distance(word, known), known)).min()?;
    (nearest.0 <= (word.chars().count() / 3).max(1)).then(|| format!("did you mean `{}`?", nearest.1))
}

/// Insertions, deletions, substitutions and swaps of neighbours between two words, letters of either case being equal.
fn distance(a: &str, b: &str) -> usize {
    let lower = |word: &str| -> Vec<char> { word.chars().map(|c| c.to_ascii_lowercase()).collect() };
    let (a, b) = (lower(a), lower(b));
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let substituted = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substituted.min(row[j - 1] + 1).min(rows[i - 1][j] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
