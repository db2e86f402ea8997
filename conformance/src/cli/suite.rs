//! `bpftwin suite`, and `bpftwin compare` of object files.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bpftwin_conformance::compare::IgnoreRule;
use bpftwin_conformance::exit::Exit;
use bpftwin_conformance::plane::kernel::Where;
use bpftwin_conformance::report::human::Look;
use bpftwin_conformance::report::{unit, unit_data};
use bpftwin_conformance::suite::PlaneName;
use bpftwin_conformance::unit::{ObjectReport, Settings, run as run_one};

use super::args::{Format, How, Selection, Suite};
use super::in_order::in_order;
use super::{Stop, Terminal, run};

/// Whether `compare` is asked about object files.
pub fn are_objects(what: &[String]) -> bool {
    !what.is_empty() && what.iter().all(|text| is_object(Path::new(text)))
}

fn is_object(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "o" || extension == "elf")
}

/// Runs the tests of objects on both planes.
pub fn compare(terminal: &Terminal, selection: &Selection) -> Result<Exit, Stop> {
    if selection.pcapng.is_some() {
        return Err(Stop::usage("--pcapng is for scenarios"));
    }
    let both = vec![PlaneName::Sim, PlaneName::ProgRun(Where::Host)];
    let suite = Suite {
        objects: selection.what.iter().map(PathBuf::from).collect(),
        filter: Vec::new(),
        ignore: Vec::new(),
        how: How {
            plane: if selection.how.plane.is_empty() { both } else { selection.how.plane.clone() },
            ..selection.how.clone()
        },
    };
    self::suite(terminal, &suite)
}

/// Runs the tests of objects.
pub fn suite(terminal: &Terminal, suite: &Suite) -> Result<Exit, Stop> {
    let objects = objects(&suite.objects)?;
    let settings = settings(suite)?;
    let look = Look {
        color: terminal.color,
        verbosity: i8::try_from(terminal.global.verbose).unwrap_or(i8::MAX)
            - i8::try_from(terminal.global.quiet).unwrap_or(i8::MAX),
    };
    let start = Instant::now();
    match terminal.global.format {
        Format::Human if look.verbosity >= 0 => {
            terminal.out(&unit::banner(&settings, objects.len(), look))?;
        }
        Format::Json => terminal.out(&unit_data::json_begin(&settings, objects.len()))?,
        _ => {}
    }
    let work = |path: &PathBuf| one(path, &settings);
    let reports = in_order(&objects, suite.how.jobs, work, |report, took| match report {
        Ok(report) => say(terminal, report, took, look),
        Err(why) => Err(Stop::usage(why.as_str())),
    })?;
    let reports: Vec<ObjectReport> = reports.into_iter().flatten().collect();
    let exit = unit::Summary::of(&reports).exit(&reports);
    match terminal.global.format {
        Format::Human if look.verbosity >= -1 => {
            let mut out = String::new();
            for report in &reports {
                let part = unit::failure(report, &settings, look);
                if !part.is_empty() {
                    out.push('\n');
                    out.push_str(&part);
                }
            }
            terminal.out(&(out + &unit::summary(&reports, start.elapsed(), look)))?;
        }
        Format::Json => terminal.out(&unit_data::json_end(&reports, exit))?,
        Format::Junit => terminal.out(&unit_data::junit(&reports))?,
        Format::Human | Format::Github => {}
    }
    Ok(exit)
}

fn settings(suite: &Suite) -> Result<Settings, Stop> {
    let run = run::settings(&suite.how, &[PlaneName::Sim])?;
    if run.planes.iter().filter_map(PlaneName::kernel).count() > 1 {
        return Err(Stop::usage("suites are compared with one kernel at a time"));
    }
    Ok(Settings {
        run,
        kernel: None,
        filter: suite.filter.clone(),
        ignores: suite.ignore.iter().map(|field| IgnoreRule::asked(field)).collect(),
    })
}

/// The files meant: those named, and every `*.o` below the folders named.
pub fn objects(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Stop> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = files.len();
            walk(path, &mut files).map_err(|error| Stop::usage(format!("{}: {error}", path.display())))?;
            if files.len() == before {
                return Err(Stop::usage(format!("{}: no *.o in this folder", path.display())));
            }
        } else {
            // Said before anything runs.
            std::fs::File::open(path)
                .map_err(|error| Stop::usage(format!("cannot read {}: {error}", path.display())))?;
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            walk(&entry, files)?;
        } else if is_object(&entry) {
            files.push(entry);
        }
    }
    Ok(())
}

fn one(path: &Path, settings: &Settings) -> Result<ObjectReport, String> {
    let elf = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(run_one(&path.to_string_lossy(), &elf, settings))
}

fn say(terminal: &Terminal, report: &ObjectReport, took: Duration, look: Look) -> Result<(), Stop> {
    match terminal.global.format {
        Format::Human if look.verbosity >= 0 => terminal.out(&unit::lines(report, took, look)),
        Format::Json => terminal.out(&unit_data::json(report)),
        Format::Github => terminal.out(&unit_data::github(report)),
        Format::Human | Format::Junit => Ok(()),
    }
}
