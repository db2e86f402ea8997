//! `bpftwin run` and `bpftwin compare`.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bpftwin_conformance::bundled;
use bpftwin_conformance::exit::{Exit, exit};
use bpftwin_conformance::ledger::{Date, Ledger};
use bpftwin_conformance::plane::kernel::Where;
use bpftwin_conformance::report::human::Look;
use bpftwin_conformance::report::{github, human, json, junit, pcapng};
use bpftwin_conformance::suite::{CaseReport, Item, PlaneName, Settings, Status, run as run_one};
use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Format, How, Selection};
use super::in_order::in_order;
use super::{Stop, Terminal, mistakes, select};

/// Runs the selection; `planes` if none are named.
pub fn run(terminal: &Terminal, selection: &Selection, planes: &[PlaneName]) -> Result<Exit, Stop> {
    let items = select::select(&selection.what)?;
    let settings = settings(&selection.how, planes)?;
    let matrix = matrix(&settings);
    let cells: Vec<(&Item, &Settings)> =
        items.iter().flat_map(|item| matrix.iter().map(move |settings| (item, settings))).collect();
    let look = Look {
        color: terminal.color,
        verbosity: i8::try_from(terminal.global.verbose).unwrap_or(i8::MAX)
            - i8::try_from(terminal.global.quiet).unwrap_or(i8::MAX),
    };
    let start = Instant::now();
    match terminal.global.format {
        Format::Human if look.verbosity >= 0 => terminal.out(&human::banner(&settings, items.len(), look))?,
        Format::Json => terminal.out(&json::begin(&settings, cells.len()))?,
        _ => {}
    }
    let progress = progress(terminal, cells.len());
    let work = |(item, settings): &(&Item, &Settings)| {
        let mut report = run_one(item, settings);
        if let ([_, _, ..], Some(kernel)) = (&matrix[..], settings.planes.iter().find_map(PlaneName::kernel))
        {
            report.name = match kernel {
                Where::Host => report.name,
                Where::Guest(kernel) => format!("{}@{kernel}", report.name),
            };
        }
        report
    };
    let reports = in_order(&cells, selection.how.jobs, work, |report, took| {
        progress.inc(1);
        progress.suspend(|| say(terminal, report, took, look))
    });
    progress.finish_and_clear();
    let reports = reports?;
    let exit = exit(&reports);
    match terminal.global.format {
        Format::Human => terminal.out(&conclusion(&reports, &settings, start.elapsed(), look))?,
        Format::Json => terminal.out(&json::end(&reports, exit))?,
        Format::Junit => terminal.out(&junit::xml(&reports))?,
        Format::Github => {}
    }
    if let Some(file) = &selection.pcapng {
        std::fs::write(file, pcapng::capture(&reports))
            .map_err(|error| Stop::unavailable(format!("cannot write {}: {error}", file.display())))?;
    }
    Ok(exit)
}

/// Each kernel with what else was asked for, since the simulator speaks as one kernel at a time.
fn matrix(settings: &Settings) -> Vec<Settings> {
    let kernels: BTreeSet<_> = settings.planes.iter().filter_map(PlaneName::kernel).collect();
    if kernels.is_empty() {
        return vec![settings.clone()];
    }
    let asks = |plane: &PlaneName, kernel| plane.kernel().is_none_or(|of| of == kernel);
    let with = |kernel| {
        let planes = settings.planes.iter().filter(|plane| asks(plane, kernel)).cloned().collect();
        Settings { planes, ..settings.clone() }
    };
    kernels.into_iter().map(with).collect()
}

/// What was asked for; `default` if no planes are named.
pub fn settings(how: &How, default: &[PlaneName]) -> Result<Settings, Stop> {
    let mut planes: Vec<PlaneName> = if how.plane.is_empty() { default.to_vec() } else { how.plane.clone() };
    planes.sort_unstable();
    planes.dedup();
    Ok(Settings {
        planes,
        guests: Arc::default(),
        as_kernel: how.as_kernel,
        engine: how.engine,
        described: how.described.read().map_err(Stop::usage)?,
        ledger: ledger(how.ledger.as_deref())?,
        today: today(how.date),
    })
}

/// The ledger in `file`, or the bundled one.
fn ledger(file: Option<&Path>) -> Result<Ledger, Stop> {
    let (name, text) = match file {
        None => (bundled::LEDGER_FILE.to_owned(), bundled::LEDGER.to_owned()),
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Stop::usage(format!("cannot read {}: {error}", file.display())))?;
            (file.to_string_lossy().into_owned(), text)
        }
    };
    Ledger::parse(&name, &text).map_err(|wrong| Stop::usage(wrong.to_string()))
}

/// The day given, or today.
fn today(date: Option<Date>) -> Date {
    date.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Date::from_unix_days(since.as_secs() / 86_400)
    })
}

/// One scenario's part of the report.
fn say(terminal: &Terminal, report: &CaseReport, took: Duration, look: Look) -> Result<(), Stop> {
    match terminal.global.format {
        Format::Human if look.verbosity >= 0 => terminal.out(&human::line(report, took, look)),
        Format::Json => terminal.out(&json::scenario(report)),
        Format::Github => terminal.out(&github::annotations(report)),
        Format::Human | Format::Junit => Ok(()),
    }
}

fn conclusion(reports: &[CaseReport], settings: &Settings, took: Duration, look: Look) -> String {
    if look.verbosity < -1 {
        return String::new();
    }
    let mut out = String::new();
    for report in reports {
        let part = match &report.status {
            Status::Mistaken(wrong) => mistakes::render(wrong, look.color),
            _ => human::failure(report, settings, look),
        };
        if !part.is_empty() {
            out.push('\n');
            out.push_str(&part);
        }
    }
    out + &human::summary(reports, took, look)
}

/// A bar on standard error, if that is a terminal and nobody asked for quiet.
fn progress(terminal: &Terminal, len: usize) -> ProgressBar {
    let wanted = terminal.global.format == Format::Human && terminal.global.quiet == 0;
    if !wanted || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{spinner} {bar:30} {pos}/{len}").expect("the template is fixed");
    ProgressBar::new(len as u64).with_style(style)
}
