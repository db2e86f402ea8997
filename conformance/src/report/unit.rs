//! C unit tests for people: a line per test while they run, failures last.

use std::fmt::Write as _;
use std::time::Duration;

use owo_colors::Style;

use super::hexdump;
use super::human::{Look, flags, quoted};
use crate::compare::Tally;
use crate::exit::Exit;
use crate::suite::{Compared, PlaneName};
use crate::unit::judge::Tested;
use crate::unit::{ObjectReport, Settings, Status, Verdict};

/// Notes an object shows unless asked for all.
const NOTES: usize = 3;
/// Differences shown unless asked for all.
const DIFFERENCES: usize = 10;

/// Counts over objects.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Tests that passed, were skipped, failed, were in error.
    pub verdicts: [usize; 4],
    /// Objects on which planes differ.
    pub diverged: usize,
    /// Objects that are no suite or cannot be loaded.
    pub broken: usize,
    /// Objects no plane could be asked about.
    pub unavailable: usize,
    /// Fields compared between planes.
    pub tally: Tally,
}

impl Summary {
    /// Of these objects.
    pub fn of(reports: &[ObjectReport]) -> Self {
        let mut summary = Self::default();
        for report in reports {
            match report.status {
                Status::Ran => {}
                Status::Diverged => summary.diverged += 1,
                Status::Broken(_) => summary.broken += 1,
                Status::Unavailable(_) => {
                    // What was not asked is no result.
                    summary.unavailable += 1;
                    continue;
                }
            }
            report.tests().for_each(|(_, verdict)| summary.verdicts[verdict as usize] += 1);
            report.compared.iter().for_each(|compared| summary.tally.add(&compared.tally));
        }
        summary
    }

    /// Tests with this verdict.
    pub const fn count(&self, verdict: Verdict) -> usize {
        self.verdicts[verdict as usize]
    }

    /// The exit code: what is worst.
    pub fn exit(&self, reports: &[ObjectReport]) -> Exit {
        let complaints = reports.iter().any(|report| !report.complaints.is_empty());
        if self.diverged > 0 {
            Exit::Diverged
        } else if self.broken + self.count(Verdict::Fail) + self.count(Verdict::Error) > 0 || complaints {
            Exit::Failed
        } else if self.unavailable > 0 {
            Exit::Unavailable
        } else if self.count(Verdict::Pass) > 0 {
            Exit::Pass
        } else {
            Exit::NothingRan
        }
    }
}

fn badge(verdict: Verdict) -> (&'static str, Style) {
    let plain = Style::new();
    match verdict {
        Verdict::Pass => ("PASS", plain.green().bold()),
        Verdict::Skip => ("SKIP", plain.yellow().bold()),
        Verdict::Fail => ("FAIL", plain.red().bold()),
        Verdict::Error => ("ERROR", plain.red().bold()),
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The first line.
pub fn banner(settings: &Settings, objects: usize, look: Look) -> String {
    let planes: Vec<_> = settings.run.planes.iter().map(PlaneName::text).collect();
    let plane = if planes.len() == 1 { "plane" } else { "planes" };
    let head = look.paint(&format!("{:>12}", "Running"), Style::new().green().bold());
    format!("{head} the tests of {} on {plane} {}\n", counted(objects, "object"), planes.join(", "))
}

/// An object's lines.
pub fn lines(report: &ObjectReport, took: Duration, look: Look) -> String {
    let mut out = String::new();
    let (word, style) = match report.status {
        Status::Ran => ("Object", Style::new().bold()),
        Status::Diverged => ("DIVERGE", Style::new().red().bold()),
        Status::Broken(_) => ("BROKEN", Style::new().red().bold()),
        Status::Unavailable(_) => ("UNAVAIL", Style::new().yellow().bold()),
    };
    let head = look.paint(&format!("{word:>12}"), style);
    let _ = write!(out, "{head} [{:>8.3}s] {}", took.as_secs_f64(), report.file);
    for Compared { tally, .. } in &report.compared {
        let _ = write!(out, " · {} of {} fields compared", tally.compared, tally.total());
    }
    out.push('\n');
    let shown = if look.verbosity > 0 { report.notes.len() } else { NOTES };
    for note in report.notes.iter().take(shown) {
        let _ = writeln!(out, "{:>12} {note}", "note:");
    }
    if let more @ 1.. = report.notes.len().saturating_sub(shown) {
        let _ = writeln!(out, "{:>12} and {more} more; -v shows them", "note:");
    }
    if !matches!(report.status, Status::Ran | Status::Diverged) {
        return out;
    }
    if report.tests().next().is_none() {
        let _ = writeln!(out, "{:>12} no test of this object is to run", "note:");
    }
    for (index, (test, verdict)) in report.tests().enumerate() {
        let (word, style) = badge(verdict);
        let _ = write!(out, "{} {}/{test}", look.paint(&format!("{word:>12}"), style), report.name);
        let parts = report.planes[0].1[index].parts.len();
        if parts > 0 {
            let _ = write!(out, " · {}", counted(parts, "part"));
        }
        out.push('\n');
    }
    out
}

/// Everything about an object that is not as it should be; empty if all is well.
pub fn failure(report: &ObjectReport, settings: &Settings, look: Look) -> String {
    let mut out = String::new();
    let red = Style::new().red().bold();
    match &report.status {
        Status::Ran => {}
        Status::Diverged => diverged(report, look, &mut out),
        Status::Broken(why) => {
            let _ = writeln!(out, "{} {}", look.paint("──── BROKEN", red), report.file);
            let _ = writeln!(out, "  {}", why.trim_end().replace('\n', "\n  "));
            return out;
        }
        Status::Unavailable(trouble) => {
            let _ = writeln!(out, "{} {}", look.paint("UNAVAIL", Style::new().yellow().bold()), report.file);
            let _ = writeln!(out, "  {trouble}\n  {}", trouble.advice);
            return out;
        }
    }
    for complaint in &report.complaints {
        let _ = writeln!(out, "{} {}\n  {complaint}", look.paint("──── FAIL", red), report.file);
    }
    for (nth, (plane, tests)) in report.planes.iter().enumerate() {
        for (index, test) in tests.iter().enumerate() {
            let said = |plane: &&(String, Vec<Tested>)| plane.1[index].says_the_same(test);
            if test.verdict <= Verdict::Skip && look.verbosity <= 0
                || report.planes[..nth].iter().any(|plane| said(&plane))
            {
                continue;
            }
            let (word, style) = badge(test.verdict);
            let alone = report.planes.iter().filter(said).count() < report.planes.len();
            let on = if alone { format!(" on {plane}") } else { String::new() };
            let head = look.paint(&format!("──── {word}"), style);
            let name = look.paint(&format!("{}/{}", report.name, test.name), Style::new().bold());
            let _ = writeln!(out, "{head} {name}{on}  {}", look.paint(&report.file, Style::new().dimmed()));
            out.push_str(&details(test, look.verbosity));
            if test.verdict > Verdict::Skip {
                let again = look.paint(&reproduce(report, test, settings), Style::new().cyan());
                let _ = writeln!(out, "  reproduce: {again}");
            }
        }
    }
    out
}

/// Everything a test said.
pub fn details(test: &Tested, verbosity: i8) -> String {
    let mut out = String::new();
    // What is wrong with parts is said with them.
    let of_part = |why: &str| test.parts.iter().any(|part| why == part.says());
    for why in test.why.iter().filter(|why| !of_part(why)) {
        let _ = writeln!(out, "  {}", why.replace('\n', "\n    "));
    }
    for log in &test.logs {
        let _ = writeln!(out, "  log: {log}");
    }
    for part in &test.parts {
        if part.verdict == Verdict::Pass && part.logs.is_empty() && verbosity <= 0 {
            continue;
        }
        let _ = writeln!(out, "  {}", part.says());
        for log in &part.logs {
            let _ = writeln!(out, "    log: {log}");
        }
    }
    for packet in &test.packets {
        let place = if packet.place.is_empty() { String::new() } else { format!(" at {}", packet.place) };
        let _ = writeln!(out, "  packet \"{}\"{place} is not as expected:", packet.name);
        for odd in &packet.odd {
            let _ = writeln!(out, "    {odd}");
        }
        let width = packet.fields.iter().map(|(field, ..)| field.len()).max().unwrap_or(0);
        for (field, expected, got) in &packet.fields {
            let _ = writeln!(out, "    {field:<width$}  expected {expected}, got {got}");
        }
        if packet.fields.is_empty() {
            let _ = writeln!(out, "    the bytes are equal");
        }
        if verbosity > 0 {
            let dump = hexdump::differing(("expected", "got"), &packet.expected, &packet.got);
            dump.lines().for_each(|line| {
                let _ = writeln!(out, "    {line}");
            });
        }
    }
    if !test.lines.is_empty() {
        let _ = writeln!(out, "  the last C lines that ran:");
        for line in &test.lines {
            let _ = writeln!(out, "    {line}");
        }
    }
    out
}

fn diverged(report: &ObjectReport, look: Look, out: &mut String) {
    for compared in &report.compared {
        let (left, right) = &compared.sides;
        let found = &compared.judgement.unexplained;
        let head = look.paint("──── DIVERGE", Style::new().red().bold());
        let _ = writeln!(out, "{head} {}: {} fields differ", report.file, found.len());
        let shown = if look.verbosity > 0 { found.len() } else { DIFFERENCES };
        for difference in found.iter().take(shown) {
            let run = difference.run.and_then(|run| report.runs.get(run));
            let run = run.map_or("after the last test", String::as_str);
            let place =
                if difference.place.is_empty() { String::new() } else { format!("[{}]", difference.place) };
            let _ = writeln!(
                out,
                "  {run}: {}{place}: {left} says {}, {right} says {}",
                difference.field, difference.left, difference.right
            );
        }
        if let more @ 1.. = found.len().saturating_sub(shown) {
            let _ = writeln!(out, "  and {more} more; -v shows them");
        }
    }
}

/// A command that runs this test again. Tests before it may have left something in the maps it reads.
fn reproduce(report: &ObjectReport, test: &Tested, settings: &Settings) -> String {
    let label = quoted(&format!("{}/{}", report.name, test.name));
    let file = quoted(&report.file);
    format!("bpftwin suite {} -v --filter {label} {file}", flags(&settings.run, &settings.run.planes))
}

/// The last lines.
pub fn summary(reports: &[ObjectReport], took: Duration, look: Look) -> String {
    let summary = Summary::of(reports);
    let (good, bad) = (Style::new().green().bold(), Style::new().red().bold());
    let yellow = Style::new().yellow();
    let mut parts = vec![look.paint(&format!("{} passed", summary.count(Verdict::Pass)), good)];
    for (count, says, style) in [
        (summary.count(Verdict::Fail), "failed", bad),
        (summary.count(Verdict::Error), "in error", bad),
        (summary.count(Verdict::Skip), "skipped", yellow),
    ] {
        if count > 0 {
            parts.push(look.paint(&format!("{count} {says}"), style));
        }
    }
    for (count, says) in
        [(summary.diverged, "diverged"), (summary.broken, "broken"), (summary.unavailable, "unavailable")]
    {
        if count > 0 {
            parts.push(look.paint(&format!("{} {says}", counted(count, "object")), bad));
        }
    }
    let exit = summary.exit(reports);
    let head = look.paint(&format!("{:>12}", "Summary"), if exit == Exit::Pass { good } else { bad });
    let tests: usize = summary.verdicts.iter().sum();
    let mut out = format!("{}\n", "─".repeat(12));
    let _ = writeln!(
        out,
        "{head} [{:>8.3}s] {} of {}: {}",
        took.as_secs_f64(),
        counted(tests, "test"),
        counted(reports.len(), "object"),
        parts.join(", ")
    );
    if summary.tally.total() > 0 {
        let (compared, total) = (summary.tally.compared, summary.tally.total());
        let _ = writeln!(out, "{:>12} {compared} of {total} fields compared", "");
        for (why, count) in &summary.tally.left_out {
            let _ = writeln!(out, "{:>12} {count} not compared: {why}", "");
        }
    }
    if exit == Exit::NothingRan {
        let _ = writeln!(out, "{:>12} nothing ran", "");
    }
    out
}
