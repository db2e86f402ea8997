//! What can be wrong with a scenario, and where.

use std::fmt;
use std::sync::Arc;

use super::spanned::Span;

/// A kind of mistake.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// Not TOML, or a missing key.
    #[error("{0}")]
    Syntax(String),
    /// A key the scenario form does not have.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// As written.
        key: String,
    },
    /// A value of another type than its place takes.
    #[error("{0}")]
    WrongType(String),
    /// A name nothing has.
    #[error("there is no {what} `{name}`")]
    Unknown {
        /// The kind of thing.
        what: &'static str,
        /// As written.
        name: String,
    },
    /// A name that cannot be one.
    #[error("`{name}` does not name a {what}")]
    BadName {
        /// The kind of thing.
        what: &'static str,
        /// As written.
        name: String,
    },
    /// Two things of one name.
    #[error("a second {what} `{name}`")]
    Duplicate {
        /// The kind of thing.
        what: &'static str,
        /// As written.
        name: String,
    },
    /// A packet expression that cannot be read.
    #[error("this packet expression cannot be read: {0}")]
    Packet(String),
    /// A field of a packet that cannot be set.
    #[error("{0}")]
    Edit(String),
    /// A file that cannot be read.
    #[error("cannot read {path}: {why}")]
    File {
        /// As looked for.
        path: String,
        /// The system's words.
        why: String,
    },
    /// A capture that is not one.
    #[error("{path} is not a capture that can be read: {why}")]
    Capture {
        /// As looked for.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// An object file that cannot be used.
    #[error("{path} is not an object that can be used: {why}")]
    Object {
        /// As looked for.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A packet past the end of a capture.
    #[error("{path} has {count} packets, there is no packet {index}")]
    BeyondCapture {
        /// The capture.
        path: String,
        /// Asked for, from 1.
        index: u64,
        /// Packets in it.
        count: usize,
    },
    /// Hexadecimal that is not.
    #[error("bad hexadecimal: {0}")]
    Hex(String),
    /// A value its type cannot hold.
    #[error("{0}")]
    Value(String),
    /// Keys that exclude each other, or of which one is needed.
    #[error("{0}")]
    Choice(String),
    /// A part without effect.
    #[error("{0}")]
    Nothing(String),
}

/// A mistake and its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// What is wrong.
    pub what: What,
    /// Where.
    pub span: Span,
    /// What to do about it.
    pub help: Option<String>,
}

impl Mistake {
    /// A mistake at `span`.
    pub fn new(what: What, span: &Span) -> Self {
        Self { what, span: span.clone(), help: None }
    }

    /// With advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A name that nothing has, with the nearest one or the whole choice as advice.
    pub fn unknown<'a>(
        what: &'static str,
        name: &str,
        span: &Span,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mistake = Self::new(What::Unknown { what, name: name.to_owned() }, span);
        match suggest(name, known) {
            Some(help) => mistake.help(help),
            None => mistake,
        }
    }
}

/// "did you mean" for the nearest of `known`, or the list of all. `None` if there is nothing to choose from.
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let near = known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(&k.to_lowercase(), &name.to_lowercase()), *k))
        .min()
        .filter(|(distance, k)| *distance <= 1 + k.len().max(name.len()) / 4);
    if let Some((_, k)) = near {
        return Some(format!("did you mean `{k}`?"));
    }
    match known.len() {
        0 => None,
        1..=24 => Some(format!("there are: {}", known.join(", "))),
        n => Some(format!("there are {n}, such as: {}", known[..12].join(", "))),
    }
}

/// Every mistake of one file, with its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistakes {
    /// The file's name, as given.
    pub file: String,
    /// Its text.
    pub text: Arc<str>,
    /// At least one.
    pub list: Vec<Mistake>,
}

impl Mistakes {
    /// Line and column of a byte offset, both from 1; columns count characters.
    pub fn position(text: &str, at: usize) -> (usize, usize) {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &text[..at];
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.list.iter().enumerate() {
            let (line, column) = Self::position(&self.text, mistake.span.start);
            write!(f, "{}{}:{line}:{column}: {}", if i == 0 { "" } else { "\n" }, self.file, mistake.what)?;
            if let Some(help) = &mistake.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        for (at, expect) in [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (6, (2, 3)), (99, (2, 3))] {
            assert_eq!(Mistakes::position("ab\né!", at), expect, "at {at}");
        }
        // In the middle of a character: its start.
        assert_eq!(Mistakes::position("é", 1), (1, 1));
    }

    #[test]
    fn suggestions() {
        assert_eq!(suggest("pcket", ["packet", "map"]).unwrap(), "did you mean `packet`?");
        assert_eq!(suggest("zzz", ["packet", "map"]).unwrap(), "there are: map, packet");
        assert_eq!(suggest("zzz", []), None);
    }
}
