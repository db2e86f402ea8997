//! ELF → Object: everything an object file says, without asking a kernel.

use std::fmt;

/// A C source position from `.BTF.ext` line info.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// As the compiler recorded it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1; 0 if unknown.
    pub column: u32,
    /// The source text of the line, without leading blanks; may be empty.
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        Ok(())
    }
}
