//! A linked program: what an engine runs.

/// A program ready to run.
pub struct Program {
    /// The C function's name.
    pub name: String,
}
