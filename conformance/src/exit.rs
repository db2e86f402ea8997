//! Exit codes: infrastructure trouble never looks like a red test, and nothing ran never looks like green.

use crate::suite::{CaseReport, Status};

/// `sysexits.h` and our own exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Exit {
    Pass = 0,
    Failed = 1,
    Usage = 2,
    Diverged = 3,
    Budget = 5,
    Unavailable = 69,
    Bug = 70,
    NothingRan = 77,
}

/// The exit code of a suite: what is worst. A wrong scenario hides what it would have shown, so it comes first; a
/// divergence means that no result can be trusted, so it comes before a failed check.
pub fn exit(reports: &[CaseReport]) -> Exit {
    let any = |wanted: fn(&Status) -> bool| reports.iter().any(|report| wanted(&report.status));
    if any(|s| matches!(s, Status::Mistaken(_))) {
        Exit::Usage
    } else if any(|s| matches!(s, Status::Diverged)) {
        Exit::Diverged
    } else if any(|s| matches!(s, Status::Fail)) {
        Exit::Failed
    } else if any(|s| matches!(s, Status::Unavailable(_))) {
        Exit::Unavailable
    } else if any(|s| matches!(s, Status::Pass)) {
        Exit::Pass
    } else {
        Exit::NothingRan
    }
}
