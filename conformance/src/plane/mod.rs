//! Where a case runs.

pub mod kernel;
pub mod probe;
pub mod sim;
mod sim_compile;
mod sim_network;
mod sim_topology;
mod sim_when;

use crate::case::Case;
use crate::observation::Report;

/// Runs cases.
pub trait Plane: Sync {
    /// `sim`, `prog-run`, `netns` or, in a virtual machine, `prog-run@6.12`.
    fn name(&self) -> &str;

    /// Runs `case`. An error is trouble with the plane, never a result.
    fn run(&self, case: &Case) -> Result<Report, Unavailable>;
}

/// A plane that cannot be asked.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
#[error("{why}")]
pub struct Unavailable {
    /// What is missing or broken.
    pub why: String,
    /// What to do about it.
    pub advice: String,
}
