//! One program under one configuration on one kernel.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::protocol::Seen;

/// What a row is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The object's file name.
    pub object: String,
    /// The program's C name.
    pub program: String,
    /// The configuration's name.
    pub config: String,
    /// The kernel's series, such as `6.18`.
    pub kernel: String,
    /// The version of clang, or `-`.
    pub llvm: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ({}, kernel {}", self.object, self.program, self.config, self.kernel)?;
        if self.llvm != "-" {
            write!(f, ", clang {}", self.llvm)?;
        }
        f.write_str(")")
    }
}

/// A key and what was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// What it is about.
    pub key: Key,
    /// What the kernel said.
    pub seen: Seen,
}

/// The first two numbers of `uname -r`, within which a verifier changes little.
pub fn series(release: &str) -> String {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if !minor.is_empty() => format!("{major}.{minor}"),
        _ => release.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::series;

    #[test]
    fn a_series_is_two_numbers() {
        let table = [("6.18.44-x", "6.18"), ("6.1.0-28-amd64", "6.1"), ("7.0-rc1", "7.0"), ("next", "next")];
        for (release, expected) in table {
            assert_eq!(series(release), expected);
        }
    }
}
