//! GitHub workflow commands: an annotation on the scenario's line for everything that is wrong.

use std::fmt::Write as _;

use super::{position, reason, run_name};
use crate::suite::{CaseReport, Status, unexplained};

/// The annotations of one scenario; empty if it passed.
pub fn annotations(report: &CaseReport) -> String {
    let mut out = String::new();
    let mut say = |level: &str, (line, column): (usize, usize), message: &str| {
        let file = property(&report.file);
        let title = property(&report.name);
        let _ =
            writeln!(out, "::{level} file={file},line={line},col={column},title={title}::{}", data(message));
    };
    match &report.status {
        Status::Pass => {}
        Status::Mistaken(mistakes) => {
            for mistake in &mistakes.list {
                let help = mistake.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
                say("error", position(report, &mistake.span), &format!("{}{help}", mistake.what));
            }
        }
        Status::NotYet(_) | Status::Inapplicable(_) | Status::Unavailable(_) => {
            say("warning", (1, 1), &reason(report).unwrap_or_default());
        }
        Status::Fail | Status::Diverged => {
            for plane in &report.planes {
                for failure in &plane.checked.failures {
                    let message = format!(
                        "{}: {} on {}: expected {}, saw {}",
                        run_name(report, failure.run),
                        failure.field,
                        plane.plane,
                        failure.expected,
                        failure.seen
                    );
                    say("error", position(report, &failure.span), &message);
                }
            }
            for (compared, difference) in unexplained(report) {
                let expects = report.resolved.as_ref().zip(difference.run);
                let span =
                    expects.and_then(|(resolved, run)| resolved.expects.get(run)).map(|e| e.span.clone());
                let message = format!(
                    "{}: {}: {} says {}, {} says {}",
                    run_name(report, difference.run),
                    difference.field,
                    compared.sides.0,
                    difference.left,
                    compared.sides.1,
                    difference.right
                );
                say("error", span.map_or((1, 1), |span| position(report, &span)), &message);
            }
            for complaint in &report.complaints {
                say("error", (1, 1), complaint);
            }
        }
    }
    out
}

/// Escapes a message.
pub(super) fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property.
pub(super) fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
