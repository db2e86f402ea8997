//! What the benches share: their programs, and each engine with the same maps and the same packet.
//!
//! README.md says what each number means.

pub mod large;
pub mod ours;
pub mod programs;
pub mod real;
pub mod rival;
pub mod subject;
