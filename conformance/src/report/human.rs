//! For people: a line per scenario while it runs, failures last.

use std::fmt::Write as _;
use std::time::Duration;

use bpftwin_sim::bpf::Engine;
use owo_colors::{OwoColorize, Style};

use super::{Summary, details, reason, runs};
use crate::suite::{CaseReport, PlaneName, Settings, Status};

/// How the report looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Look {
    /// With colours.
    pub color: bool,
    /// `-q` is negative, `-v` positive.
    pub verbosity: i8,
}

impl Look {
    pub(super) fn paint(self, text: &str, style: Style) -> String {
        if self.color { text.style(style).to_string() } else { text.to_owned() }
    }
}

fn badge(status: &Status) -> (&'static str, Style) {
    let plain = Style::new();
    match status {
        Status::Pass => ("PASS", plain.green().bold()),
        Status::Fail => ("FAIL", plain.red().bold()),
        Status::Diverged => ("DIVERGE", plain.red().bold()),
        Status::Mistaken(_) => ("ERROR", plain.red().bold()),
        Status::NotYet(_) => ("NOT YET", plain.yellow().bold()),
        Status::Inapplicable(_) => ("DECLINE", plain.yellow().bold()),
        Status::Unavailable(_) => ("UNAVAIL", plain.yellow().bold()),
    }
}

/// The first line.
pub fn banner(settings: &Settings, scenarios: usize, look: Look) -> String {
    let planes: Vec<_> = settings.planes.iter().map(PlaneName::text).collect();
    let speaks = match settings.as_kernel {
        Some(release) => format!(", as kernel {release}"),
        None => String::new(),
    };
    let engine = if settings.simulates() { format!(", engine {}", settings.engine) } else { String::new() };
    let plane = if planes.len() == 1 { "plane" } else { "planes" };
    format!(
        "{} {} scenarios on {plane} {}{speaks}{engine}\n",
        look.paint(&format!("{:>12}", "Running"), Style::new().green().bold()),
        scenarios,
        planes.join(", ")
    )
}

/// One scenario's line; with `-v`, every packet of one that passed as well: [`failure`] tells of the others.
pub fn line(report: &CaseReport, took: Duration, look: Look) -> String {
    let (word, style) = badge(&report.status);
    let mut out = format!(
        "{} [{:>8.3}s] {}",
        look.paint(&format!("{word:>12}"), style),
        took.as_secs_f64(),
        look.paint(&format!("{:<34}", report.name), Style::new().bold()),
    );
    let mut notes = Vec::new();
    if report.resolved.is_some() && !report.planes.is_empty() {
        notes.push(format!("{:>5} packets", report.packets()));
        notes.push(format!("{:>5} checks", report.checks()));
        let tally = report.tally();
        if tally.total() > 0 {
            notes.push(format!("{} of {} fields compared", tally.compared, tally.total()));
        }
    }
    match &report.status {
        Status::Pass if report.confirmed_by.is_empty() => notes.push("sim only".into()),
        Status::Pass => notes.push(format!("confirmed by {}", report.confirmed_by.join(", "))),
        _ => {}
    }
    if let Status::NotYet(_) | Status::Inapplicable(_) | Status::Unavailable(_) = &report.status
        && let Some(why) = reason(report)
    {
        notes.push(why.lines().next().unwrap_or_default().to_owned());
    }
    let _ = write!(out, " {}", notes.join(" · "));
    out.truncate(out.trim_end().len());
    out.push('\n');
    if look.verbosity > 0 && report.status == Status::Pass {
        out.push_str(&runs::text(report));
    }
    out
}

/// Everything about a scenario that did not pass; empty if it did. Mistakes are shown by the caller, who has the file.
pub fn failure(report: &CaseReport, settings: &Settings, look: Look) -> String {
    let (word, style) = badge(&report.status);
    let mut out = String::new();
    match &report.status {
        Status::Pass | Status::Mistaken(_) | Status::NotYet(_) => return out,
        // One line is said already.
        Status::Inapplicable(why) if !why.contains('\n') => return out,
        Status::Inapplicable(why) => {
            let _ =
                writeln!(out, "{} {}\n  {}", look.paint(word, style), report.name, why.replace('\n', "\n  "));
            return out;
        }
        Status::Unavailable(trouble) => {
            let _ = writeln!(
                out,
                "{} {}\n  {trouble}\n  {}",
                look.paint(word, style),
                report.name,
                trouble.advice
            );
            return out;
        }
        Status::Fail | Status::Diverged => {}
    }
    let _ = writeln!(
        out,
        "{} {}  {}",
        look.paint(&format!("──── {word}"), style),
        look.paint(&report.name, Style::new().bold()),
        look.paint(&report.file, Style::new().dimmed()),
    );
    let _ = writeln!(out, "  {}", report.title);
    out.push_str(&details::text(report, look.verbosity > 0));
    let _ = writeln!(out, "  reproduce: {}", look.paint(&reproduce(report, settings), Style::new().cyan()));
    out
}

/// A command that runs this scenario again.
pub fn reproduce(report: &CaseReport, settings: &Settings) -> String {
    format!("bpftwin run {} -v {}", flags(settings, &report.asked), quoted(&report.file))
}

/// The flags that ask for these settings on these planes.
pub(super) fn flags(settings: &Settings, planes: &[PlaneName]) -> String {
    let planes: Vec<_> = planes.iter().map(PlaneName::text).collect();
    let mut flags = format!("--plane {}", planes.join(","));
    if let Some(release) = settings.as_kernel {
        let _ = write!(flags, " --as-kernel {release}");
    }
    if settings.simulates() && settings.engine != Engine::default() {
        let _ = write!(flags, " --engine {}", settings.engine);
    }
    for flag in &settings.described.flags {
        let _ = write!(flags, " {}", quoted(flag));
    }
    flags
}

/// As a shell reads it.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:+=@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The last lines.
pub fn summary(reports: &[CaseReport], took: Duration, look: Look) -> String {
    let summary = Summary::of(reports);
    let (good, bad) = (Style::new().green().bold(), Style::new().red().bold());
    let mut parts = vec![look.paint(&format!("{} passed", summary.count("pass")), good)];
    for (word, says, style) in [
        ("fail", "failed", bad),
        ("diverged", "diverged", bad),
        ("mistaken", "wrong", bad),
        ("not-yet", "not yet", Style::new().yellow()),
        ("inapplicable", "declined", Style::new().yellow()),
        ("unavailable", "unavailable", Style::new().yellow()),
    ] {
        let count = summary.count(word);
        if count > 0 {
            parts.push(look.paint(&format!("{count} {says}"), style));
        }
    }
    let all_well = summary.count("pass") == reports.len() && !reports.is_empty();
    let head = look.paint(&format!("{:>12}", "Summary"), if all_well { good } else { bad });
    let mut out = format!("{}\n", "─".repeat(12));
    let _ = writeln!(
        out,
        "{head} [{:>8.3}s] {} scenarios: {}",
        took.as_secs_f64(),
        reports.len(),
        parts.join(", ")
    );
    let _ = writeln!(
        out,
        "{:>12} {} packets run, {} expectations checked, {} of {} fields compared",
        "",
        summary.packets,
        summary.checks,
        summary.tally.compared,
        summary.tally.total()
    );
    for (why, count) in &summary.tally.left_out {
        let _ = writeln!(out, "{:>12} {count} not compared: {why}", "");
    }
    if summary.count("pass") + summary.count("fail") + summary.count("diverged") == 0 {
        let _ = writeln!(out, "{:>12} nothing ran", "");
    }
    out
}
