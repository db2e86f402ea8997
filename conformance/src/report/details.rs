//! What went wrong in one scenario, packet by packet: the same text for people, JUnit and GitHub.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{c_lines, hexdump, position, run_name};
use crate::compare::describe;
use crate::suite::{CaseReport, PlaneResult, unexplained};

/// Packets shown unless everything is asked for.
const SHOWN: usize = 5;
/// Fields of a packet shown unless everything is asked for.
const FIELDS: usize = 8;

/// One thing that is not as it should be.
struct Finding {
    field: String,
    sides: [(String, String); 2],
    place: Option<(usize, usize)>,
    bytes: Option<(Vec<u8>, Vec<u8>)>,
}

/// The failures and differences of `report`, grouped by packet. `verbose`: all of them, with hexdumps.
pub(super) fn text(report: &CaseReport, verbose: bool) -> String {
    let mut by_run: BTreeMap<usize, Vec<Finding>> = BTreeMap::new();
    // What holds after the last packet comes last.
    let key = |run: Option<usize>| run.unwrap_or(usize::MAX);
    for plane in &report.planes {
        for failure in &plane.checked.failures {
            by_run.entry(key(failure.run)).or_default().push(Finding {
                field: named(&failure.field, &failure.place),
                sides: [
                    ("expected".into(), failure.expected.clone()),
                    (plane.plane.clone(), failure.seen.clone()),
                ],
                place: Some(position(report, &failure.span)),
                bytes: failure.bytes.clone().map(|(e, s)| (e.0, s.0)),
            });
        }
    }
    for (compared, difference) in unexplained(report) {
        by_run.entry(key(difference.run)).or_default().push(Finding {
            field: named(&difference.field, &difference.place),
            sides: [
                (compared.sides.0.clone(), difference.left.clone()),
                (compared.sides.1.clone(), difference.right.clone()),
            ],
            place: None,
            bytes: difference.bytes.clone().map(|(l, r)| (l.0, r.0)),
        });
    }
    let mut out = String::new();
    let total = by_run.len();
    for (run, findings) in by_run.into_iter().take(if verbose { usize::MAX } else { SHOWN }) {
        let run = (run != usize::MAX).then_some(run);
        let _ = writeln!(out, "{}", heading(report, run));
        write_findings(&mut out, report, &findings, verbose);
        let lines = run.map(|run| c_lines(report, run)).unwrap_or_default();
        if !lines.is_empty() {
            let _ = writeln!(out, "    the program's last lines");
            for line in lines {
                let _ = writeln!(out, "      {line}");
            }
        }
    }
    if !verbose && total > SHOWN {
        let _ = writeln!(out, "  … and {} more packets; -v shows all", total - SHOWN);
    }
    for complaint in &report.complaints {
        let _ = writeln!(out, "  {complaint}");
    }
    out
}

fn named(field: &str, place: &str) -> String {
    if place.is_empty() {
        return field.to_owned();
    }
    // `map:conntrack` or `record:events`, then the rest: the key belongs between them.
    let split = field.find('.').unwrap_or(field.len());
    format!("{}[{place}]{}", &field[..split], &field[split..])
}

fn heading(report: &CaseReport, run: Option<usize>) -> String {
    let mut out = format!("  {}", run_name(report, run));
    if let (Some(index), Some(resolved)) = (run, &report.resolved)
        && let Some(run) = resolved.case.runs.get(index)
    {
        let prog_type = resolved.shape.program(&run.object, &run.program);
        let says = |plane: &PlaneResult| {
            Some(format!("{} {}", plane.plane, describe(prog_type, &plane.seen.runs.get(index)?.outcome)))
        };
        let outcomes: Vec<_> = report.planes.iter().filter_map(says).collect();
        // A fault's registers are among the findings.
        let outcomes: Vec<_> = outcomes.iter().map(|o| o.lines().next().unwrap_or_default()).collect();
        let _ = write!(out, "  {}:{}  {}", run.object, run.program, outcomes.join(", "));
    }
    out
}

fn write_findings(out: &mut String, report: &CaseReport, findings: &[Finding], verbose: bool) {
    let mut dumped: Vec<&(Vec<u8>, Vec<u8>)> = Vec::new();
    let shown = if verbose { findings.len() } else { FIELDS.min(findings.len()) };
    for finding in &findings[..shown] {
        let [(left, left_text), (right, right_text)] = &finding.sides;
        let width = left.len().max(right.len());
        let _ = write!(out, "    {}", finding.field);
        if let Some((line, column)) = finding.place {
            let _ = write!(out, "   ({}:{line}:{column})", report.file);
        }
        let _ = writeln!(out);
        for (name, text) in [(left, left_text), (right, right_text)] {
            let text = if text.is_empty() { "(empty)" } else { text.as_str() };
            for (i, part) in text.lines().enumerate() {
                let name = if i == 0 { name.as_str() } else { "" };
                let _ = writeln!(out, "      {name:>width$}  {part}");
            }
        }
        if verbose
            && let Some(bytes) = &finding.bytes
            && !dumped.contains(&bytes)
        {
            for row in hexdump::differing((left, right), &bytes.0, &bytes.1).lines() {
                let _ = writeln!(out, "      {row}");
            }
            dumped.push(bytes);
        }
    }
    if shown < findings.len() {
        let _ = writeln!(out, "    … and {} more fields; -v shows all", findings.len() - shown);
    }
}
