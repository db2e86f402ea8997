//! One scenario from file to verdict: resolve, run on the planes asked for, check, compare, confirm by goldens.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use bpftwin_sim::bpf::Engine;
use bpftwin_sim::uapi::Release;

use crate::case::Case;
use crate::check::{Checked, check};
use crate::compare::{Comparison, Difference, Tally, compare};
use crate::described::Described;
use crate::golden;
use crate::guest::Pool;
use crate::ledger::{Date, Judgement, Ledger};
use crate::observation::{Observation, Report};
use crate::plane::kernel::{KernelPlane, Where};
use crate::plane::sim::SimPlane;
use crate::plane::{Plane, Unavailable};
use crate::resolve::{Library, Refusal, Resolved, resolve_for};
use crate::scenario::Scenario;
use crate::scenario::mistake::Mistakes;

/// A plane by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PlaneName {
    /// The simulator, in this process.
    Sim,
    /// BPF_PROG_TEST_RUN on a kernel.
    ProgRun(Where),
    /// Real devices in network namespaces of a kernel.
    Netns(Where),
}

impl PlaneName {
    /// As on the command line.
    pub fn text(&self) -> Cow<'static, str> {
        let at = |plane: &'static str, kernel: &Where| match kernel {
            Where::Host => plane.into(),
            Where::Guest(name) => format!("{plane}@{name}").into(),
        };
        match self {
            Self::Sim => "sim".into(),
            Self::ProgRun(kernel) => at("prog-run", kernel),
            Self::Netns(kernel) => at("netns", kernel),
        }
    }

    /// The plane of a kernel that takes a case: topologies need devices.
    pub const fn of_kernel(kernel: Where, case: &Case) -> Self {
        if case.topology.is_some() { Self::Netns(kernel) } else { Self::ProgRun(kernel) }
    }

    /// The kernel this plane asks.
    pub const fn kernel(&self) -> Option<&Where> {
        match self {
            Self::Sim => None,
            Self::ProgRun(kernel) | Self::Netns(kernel) => Some(kernel),
        }
    }

    /// Whether this is the plane of its kernel that takes a case.
    fn takes(&self, case: &Case) -> bool {
        self.kernel().is_some_and(|kernel| *self == Self::of_kernel(kernel.clone(), case))
    }
}

/// What a suite is run with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The planes, at least one, each once, and of one kernel at most.
    pub planes: Vec<PlaneName>,
    /// Virtual machines, for the kernels that need them.
    pub guests: Arc<Pool>,
    /// The kernel the simulator speaks as; `None`: the one compared with, or the newest.
    pub as_kernel: Option<Release>,
    /// What runs programs in the simulator.
    pub engine: Engine,
    /// The kernel objects are loaded for.
    pub described: Described,
    /// Known differences.
    pub ledger: Ledger,
    /// For the ledger's dates.
    pub today: Date,
}

impl Settings {
    /// Whether the simulator is one of the planes.
    pub fn simulates(&self) -> bool {
        self.planes.contains(&PlaneName::Sim)
    }

    /// The plane that has a kernel run a case, if there is one.
    pub fn kernel(&self, case: &Case) -> Option<Result<KernelPlane, Unavailable>> {
        let plane = self.planes.iter().find(|plane| plane.takes(case))?;
        Some(KernelPlane::find().map(|found| found.of(plane.clone(), self.guests.clone())))
    }
}

/// A scenario to run.
#[derive(Clone, Debug)]
pub struct Item {
    /// The scenario's name.
    pub name: String,
    /// The file as given, for messages.
    pub file: String,
    /// The file's text.
    pub text: String,
    /// Where its files are.
    pub library: Library,
    /// Goldens: kernel series and text.
    pub goldens: Vec<(Release, String)>,
}

/// How a scenario came out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Status {
    /// Everything holds.
    Pass,
    /// An expectation does not hold, a golden is stale or contradicts, the ledger is out of date.
    Fail,
    /// Two planes saw different things.
    Diverged,
    /// The scenario is wrong.
    Mistaken(Mistakes),
    /// Nothing here can run it yet.
    NotYet(String),
    /// A plane cannot run it, by its nature or its age.
    Inapplicable(String),
    /// A plane cannot be asked.
    Unavailable(Unavailable),
}

impl Status {
    /// One word for reports.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Diverged => "diverged",
            Self::Mistaken(_) => "mistaken",
            Self::NotYet(_) => "not-yet",
            Self::Inapplicable(_) => "inapplicable",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// One plane's part in a scenario.
#[derive(Clone, Debug)]
pub struct PlaneResult {
    /// The plane.
    pub plane: String,
    /// What it saw.
    pub seen: Observation,
    /// The scenario's expectations against it.
    pub checked: Checked,
}

/// Two sides compared.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The names of the sides, such as `sim` and `prog-run 6.18.44`.
    pub sides: (String, String),
    /// Fields looked at.
    pub tally: Tally,
    /// What the ledger makes of the differences.
    pub judgement: Judgement,
}

/// Everything about one scenario's run.
#[derive(Clone, Debug)]
pub struct CaseReport {
    /// The scenario's name.
    pub name: String,
    /// The file as given.
    pub file: String,
    /// Its text, for lines.
    pub text: String,
    /// What it says it is about; empty if it cannot be read.
    pub title: String,
    /// The planes it was to run on.
    pub asked: Vec<PlaneName>,
    /// How it came out.
    pub status: Status,
    /// The case, if it is one.
    pub resolved: Option<Resolved>,
    /// Per plane that ran.
    pub planes: Vec<PlaneResult>,
    /// Planes against each other, or the simulator against goldens.
    pub compared: Vec<Compared>,
    /// Kernels whose golden agrees, as `uname -r` says.
    pub confirmed_by: Vec<String>,
    /// Further reasons to fail, in words.
    pub complaints: Vec<String>,
}

impl CaseReport {
    /// Runs on the first plane.
    pub fn packets(&self) -> usize {
        self.planes.first().map_or(0, |plane| plane.seen.runs.len())
    }

    /// Expectations looked at, over all planes.
    pub fn checks(&self) -> u64 {
        self.planes.iter().map(|plane| plane.checked.count).sum()
    }

    /// Fields compared, over all comparisons.
    pub fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        self.compared.iter().for_each(|compared| sum.add(&compared.tally));
        sum
    }
}

/// Runs one scenario.
pub fn run(item: &Item, settings: &Settings) -> CaseReport {
    let mut report = CaseReport {
        name: item.name.clone(),
        file: item.file.clone(),
        text: item.text.clone(),
        title: String::new(),
        asked: settings.planes.clone(),
        status: Status::Pass,
        resolved: None,
        planes: Vec::new(),
        compared: Vec::new(),
        confirmed_by: Vec::new(),
        complaints: Vec::new(),
    };
    let scenario = match Scenario::parse(&item.file, &item.text) {
        Ok(scenario) => scenario,
        Err(mistakes) => {
            report.status = Status::Mistaken(mistakes);
            return report;
        }
    };
    scenario.title().clone_into(&mut report.title);
    let resolved = match resolve_for(&scenario, &item.library, &settings.described) {
        Ok(resolved) => resolved,
        Err(refusal) => {
            report.status = match refusal {
                Refusal::Mistakes(mistakes) => Status::Mistaken(mistakes),
                Refusal::NotYet(what) => Status::NotYet(what),
            };
            return report;
        }
    };
    if let Err(status) = observe(&resolved, settings, &mut report) {
        report.status = status;
        report.resolved = Some(resolved);
        return report;
    }
    compare_planes(&resolved, settings, &mut report);
    if !report.planes.iter().any(|plane| plane.plane != PlaneName::Sim.text()) {
        confirm(&resolved, item, settings, &mut report);
    }
    conclude(&resolved, &mut report);
    explain(&resolved, &mut report);
    report.resolved = Some(resolved);
    report
}

/// Runs the planes: the kernel first, since it says what the simulator is to describe.
fn observe(resolved: &Resolved, settings: &Settings, report: &mut CaseReport) -> Result<(), Status> {
    let mut sim = SimPlane {
        release: settings.as_kernel.unwrap_or_default(),
        engine: settings.engine,
        ..SimPlane::default()
    };
    if settings.planes.iter().all(|plane| plane.kernel().is_some() && !plane.takes(&resolved.case)) {
        let forms = "prog-run takes packets, netns takes topologies".to_owned();
        return Err(Status::Inapplicable(forms));
    }
    if let Some(kernel) = settings.kernel(&resolved.case) {
        let kernel = kernel.map_err(Status::Unavailable)?;
        let seen = ask(&kernel, resolved)?;
        if settings.as_kernel.is_none() {
            sim.release = Release::of_uname(&seen.begin.kernel).ok_or_else(|| {
                let oldest = Release::ALL[0];
                Status::Inapplicable(format!(
                    "kernel {} is older than {oldest}, the oldest the simulator describes",
                    seen.begin.kernel
                ))
            })?;
        }
        (sim.nr_cpus, sim.cpu) = (seen.begin.nr_cpus, seen.begin.cpu);
        report.planes.push(PlaneResult {
            plane: kernel.name().to_owned(),
            checked: check(resolved, &seen),
            seen,
        });
    }
    if settings.simulates() {
        let seen = ask(&sim, resolved)?;
        let result = PlaneResult { plane: sim.name().to_owned(), checked: check(resolved, &seen), seen };
        report.planes.insert(0, result);
    }
    Ok(())
}

/// What a plane saw of every run of the case; fewer or more runs than asked are no observation.
pub fn ask(plane: &dyn Plane, resolved: &Resolved) -> Result<Observation, Status> {
    match plane.run(&resolved.case).map_err(Status::Unavailable)? {
        Report::Declined(decline) => {
            let log = decline.log.trim();
            let log = if log.is_empty() { String::new() } else { format!("\n{log}") };
            Err(Status::Inapplicable(format!("{}: {}{log}", plane.name(), decline.reason)))
        }
        Report::Seen(seen) if seen.runs.len() == resolved.case.count() => Ok(*seen),
        Report::Seen(seen) => Err(Status::Unavailable(Unavailable {
            why: format!("{} did {} of {} runs", plane.name(), seen.runs.len(), resolved.case.count()),
            advice: "this is a bug of the plane; please report it".into(),
        })),
    }
}

fn judged(
    resolved: &Resolved,
    settings: &Settings,
    comparison: Comparison,
    sides: (String, String),
) -> Compared {
    let Comparison { tally, differences } = comparison;
    let judgement = settings.ledger.judge(&resolved.case.name, differences, settings.today);
    Compared { sides, tally, judgement }
}

fn compare_planes(resolved: &Resolved, settings: &Settings, report: &mut CaseReport) {
    let [left, right] = &report.planes[..] else { return };
    let comparison = compare(&resolved.case, &resolved.shape, &resolved.ignores, &left.seen, &right.seen);
    let sides = (left.plane.clone(), format!("{} {}", right.plane, right.seen.begin.kernel));
    let compared = judged(resolved, settings, comparison, sides);
    if compared.judgement.unexplained.is_empty() {
        report.confirmed_by.push(right.seen.begin.kernel.clone());
    }
    report.compared.push(compared);
}

/// Compares the simulator with every golden, speaking as the kernel that was recorded.
fn confirm(resolved: &Resolved, item: &Item, settings: &Settings, report: &mut CaseReport) {
    for (release, text) in &item.goldens {
        if settings.as_kernel.is_some_and(|asked| asked != *release) {
            continue;
        }
        let golden = match golden::read(&resolved.case, text) {
            Ok(golden) => golden,
            Err(error) => {
                report.complaints.push(format!("golden of {release}: {error}"));
                continue;
            }
        };
        let sim = SimPlane {
            release: *release,
            nr_cpus: golden.begin.nr_cpus,
            cpu: golden.begin.cpu,
            engine: settings.engine,
        };
        // What ran already as this kernel need not run again.
        let ran = report.planes.first().map(|plane| &plane.seen).filter(|seen| sim.describes(seen)).cloned();
        let seen = match ran.map_or_else(|| ask(&sim, resolved), Ok) {
            Ok(seen) => seen,
            Err(Status::Inapplicable(why)) => {
                report.complaints.push(format!("golden of {release}: the simulator declines: {why}"));
                continue;
            }
            Err(status) => {
                report.complaints.push(format!("golden of {release}: {}", status.word()));
                continue;
            }
        };
        let comparison = compare(&resolved.case, &resolved.shape, &resolved.ignores, &seen, &golden);
        let sides = (format!("sim as {release}"), format!("golden {}", golden.begin.kernel));
        let compared = judged(resolved, settings, comparison, sides);
        if compared.judgement.unexplained.is_empty() {
            report.confirmed_by.push(golden.begin.kernel.clone());
        }
        report.compared.push(compared);
    }
}

/// Runs that are explained by the C lines they ended with: running them again has to stay cheap.
const EXPLAINED: usize = 20;

/// Finds the last C lines of the first runs that are not as they should be.
fn explain(resolved: &Resolved, report: &mut CaseReport) {
    let failed = report.planes.iter().flat_map(|plane| plane.checked.failures.iter().filter_map(|f| f.run));
    let differing = unexplained(report).filter_map(|(_, difference)| difference.run);
    let runs: BTreeSet<usize> = failed.chain(differing).collect();
    let runs: BTreeSet<usize> = runs.into_iter().take(EXPLAINED).collect();
    let Some(plane) = report.planes.iter_mut().find(|plane| plane.plane == PlaneName::Sim.text()) else {
        return;
    };
    if runs.is_empty() {
        return;
    }
    let begin = &plane.seen.begin;
    let sim = SimPlane {
        release: begin.kernel.parse().unwrap_or_default(),
        nr_cpus: begin.nr_cpus,
        cpu: begin.cpu,
        ..SimPlane::default()
    };
    for (run, lines) in sim.last_lines(&resolved.case, &runs) {
        if let Some(seen) = plane.seen.runs.get_mut(run) {
            seen.lines = lines;
        }
    }
}

fn conclude(resolved: &Resolved, report: &mut CaseReport) {
    for compared in &report.compared {
        report.complaints.extend(compared.judgement.stale.iter().cloned());
        if compared.tally.compared < resolved.require {
            report.complaints.push(format!(
                "{} fields compared, the scenario requires {}",
                compared.tally.compared, resolved.require
            ));
        }
    }
    let failed = report.planes.iter().any(|plane| !plane.checked.failures.is_empty());
    let differs = report.compared.iter().any(|compared| !compared.judgement.unexplained.is_empty());
    report.status = match (differs, failed || !report.complaints.is_empty()) {
        // A golden is an expectation; only two planes that ran can diverge.
        (true, _) if report.planes.len() > 1 => Status::Diverged,
        (false, false) => Status::Pass,
        _ => Status::Fail,
    };
}

/// Differences nothing explains, with the sides.
pub fn unexplained(report: &CaseReport) -> impl Iterator<Item = (&Compared, &Difference)> {
    report.compared.iter().flat_map(|c| c.judgement.unexplained.iter().map(move |d| (c, d)))
}
