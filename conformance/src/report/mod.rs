//! What users read: for people, for programs, for CI systems. No report contains a time or a path the caller did not
//! give, except the human one, which shows how long things took.

mod details;
pub mod github;
pub mod hexdump;
pub mod human;
pub mod json;
pub mod junit;
pub mod pcapng;
mod runs;
pub mod unit;
pub mod unit_data;

use std::collections::BTreeMap;

use crate::compare::Tally;
use crate::scenario::mistake::Mistakes;
use crate::scenario::spanned::Span;
use crate::suite::{CaseReport, Status};

/// Counts over a suite.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Scenarios by outcome.
    pub outcomes: BTreeMap<&'static str, usize>,
    /// Packets run, counted once however many planes ran them.
    pub packets: usize,
    /// Expectations looked at.
    pub checks: u64,
    /// Fields compared between planes or with goldens.
    pub tally: Tally,
}

impl Summary {
    /// Of these scenarios.
    pub fn of(reports: &[CaseReport]) -> Self {
        let mut summary = Self::default();
        for report in reports {
            *summary.outcomes.entry(report.status.word()).or_default() += 1;
            summary.packets += report.packets();
            summary.checks += report.checks();
            summary.tally.add(&report.tally());
        }
        summary
    }

    /// Scenarios with this outcome.
    pub fn count(&self, word: &str) -> usize {
        self.outcomes.get(word).copied().unwrap_or(0)
    }
}

/// Line and column, from 1.
pub fn position(report: &CaseReport, span: &Span) -> (usize, usize) {
    Mistakes::position(&report.text, span.start)
}

/// A run's name, program and, on the first plane, what it returned.
pub fn run_name(report: &CaseReport, run: Option<usize>) -> String {
    let run = run.and_then(|index| report.resolved.as_ref()?.case.name_of(index));
    run.unwrap_or("after the last packet").to_owned()
}

/// The last C lines of a run, where a plane knows them.
pub fn c_lines(report: &CaseReport, run: usize) -> &[String] {
    let lines = report.planes.iter().filter_map(|plane| Some(&plane.seen.runs.get(run)?.lines[..]));
    lines.into_iter().find(|lines| !lines.is_empty()).unwrap_or_default()
}

/// Why a scenario did not pass, in one line; `None` if it did.
pub fn reason(report: &CaseReport) -> Option<String> {
    match &report.status {
        Status::Pass => None,
        Status::NotYet(why) | Status::Inapplicable(why) => Some(why.clone()),
        Status::Unavailable(why) => Some(why.to_string()),
        Status::Mistaken(mistakes) => Some(mistakes.to_string()),
        Status::Fail | Status::Diverged => {
            let failures: usize = report.planes.iter().map(|plane| plane.checked.failures.len()).sum();
            let differences = crate::suite::unexplained(report).count();
            let mut parts = Vec::new();
            if failures > 0 {
                parts.push(format!("{failures} expectations do not hold"));
            }
            if differences > 0 {
                parts.push(format!("{differences} fields differ"));
            }
            parts.extend(report.complaints.iter().cloned());
            Some(parts.join("; "))
        }
    }
}
