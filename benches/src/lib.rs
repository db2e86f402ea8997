//! What the benches share: their programs, and each engine with the same maps and the same packet.
//!
//! README.md says what each number means.

pub mod ours;
pub mod programs;
pub mod rival;
