//! One object of tests: opened, run on the planes asked for, judged, compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bpftwin_sim::bpf::object::Object;
use bpftwin_sim::uapi::Release;

use super::Verdict;
use super::judge::{Tested, judge, unseen};
use super::plan::{Plan, plan};
use crate::case::Case;
use crate::compare::{IgnoreRule, compare};
use crate::observation::{Observation, Report};
use crate::plane::kernel::KernelPlane;
use crate::plane::sim::{SimPlane, set_types};
use crate::plane::{Plane, Unavailable};
use crate::resolve::objects::{file_name, shape};
use crate::suite::{self, Compared, PlaneName};

/// What suites are run with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What scenarios are run with, too.
    pub run: suite::Settings,
    /// How the kernel is asked; `None`: as found when it is to be.
    pub kernel: Option<KernelPlane>,
    /// Parts of `object/test` names; a test with any of them runs. Empty: all.
    pub filter: Vec<String>,
    /// Fields that are not compared.
    pub ignores: Vec<IgnoreRule>,
}

impl Settings {
    fn kernel_plane(&self, case: &Case) -> Option<Result<KernelPlane, Unavailable>> {
        Some(self.kernel.clone().map_or(self.run.kernel(case)?, Ok))
    }
}

/// How an object came out, apart from its tests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Status {
    /// Its tests ran.
    Ran,
    /// Planes saw different things.
    Diverged,
    /// It is no suite, or it cannot be loaded: in words, with a log where there is one.
    Broken(String),
    /// A plane cannot be asked.
    Unavailable(Unavailable),
}

/// What became of an object.
#[derive(Clone, Debug)]
pub struct ObjectReport {
    /// The file as given.
    pub file: String,
    /// Its name: the file's, up to the first dot.
    pub name: String,
    /// How it came out.
    pub status: Status,
    /// Each test on each plane that ran, the simulator first.
    pub planes: Vec<(String, Vec<Tested>)>,
    /// Planes against each other.
    pub compared: Vec<Compared>,
    /// Names of the runs, for differences.
    pub runs: Vec<String>,
    /// What of the object is left out, and why.
    pub notes: Vec<String>,
    /// Further reasons to fail, in words.
    pub complaints: Vec<String>,
}

impl ObjectReport {
    /// The tests' names with how each came out: on the worst plane.
    pub fn tests(&self) -> impl Iterator<Item = (&str, Verdict)> {
        let first = self.planes.first().map(|(_, tests)| &tests[..]).unwrap_or_default();
        first.iter().enumerate().map(|(index, test)| {
            let verdicts = self.planes.iter().map(|(_, tests)| tests[index].verdict);
            (test.name.as_str(), verdicts.max().unwrap_or(Verdict::Error))
        })
    }
}

/// Runs the tests of an object file.
pub fn run(file: &str, elf: &[u8], settings: &Settings) -> ObjectReport {
    let name = file_name(file);
    let mut report = ObjectReport {
        file: file.to_owned(),
        status: Status::Ran,
        planes: Vec::new(),
        compared: Vec::new(),
        runs: Vec::new(),
        notes: Vec::new(),
        complaints: Vec::new(),
        name,
    };
    attempt(elf, settings, &BTreeMap::new(), &mut report);
    if matches!(report.status, Status::Broken(_)) {
        // One program that cannot be loaded is no reason to leave out tests that do without it.
        let unloadable = unloadable(elf, settings, &report);
        if !unloadable.is_empty() && report.tests().any(|(test, _)| !unloadable.contains_key(test)) {
            (report.status, report.planes, report.compared) = (Status::Ran, Vec::new(), Vec::new());
            attempt(elf, settings, &unloadable, &mut report);
        }
    }
    report
}

/// The tests wanted of an object, without those that `unloadable` gives reasons for.
fn plan_of(
    object: &Object,
    elf: &[u8],
    settings: &Settings,
    unloadable: &BTreeMap<String, String>,
) -> Result<Plan, String> {
    let wanted = |test: &str| {
        let label = format!("{}/{test}", object.name);
        settings.filter.is_empty() || settings.filter.iter().any(|part| label.contains(part))
    };
    let mut plan = plan(object, elf.to_vec().into(), settings.run.planes.len() > 1, wanted, unloadable)?;
    plan.case.objects.iter_mut().for_each(|image| settings.run.described.describe(image));
    Ok(plan)
}

fn attempt(
    elf: &[u8],
    settings: &Settings,
    unloadable: &BTreeMap<String, String>,
    report: &mut ObjectReport,
) {
    let opened = Object::parse(&report.name, elf).map_err(|error| error.to_string());
    let planned = opened.and_then(|mut object| {
        let given = settings.run.described.set_types(&mut object);
        let mut plan = plan_of(&object, elf, settings, unloadable)?;
        let image = &mut plan.case.objects[0];
        image.types.extend(given.into_iter().filter(|typed| image.programs.contains(&typed.program)));
        set_types(&mut object, &plan.case.objects[0])?;
        Ok((Arc::new(object), plan))
    });
    let (object, plan) = match planned {
        Ok(planned) => planned,
        Err(why) => {
            report.status = Status::Broken(why);
            return;
        }
    };
    report.runs = plan.case.runs.iter().map(|run| run.name.clone()).collect();
    report.notes.clone_from(&plan.notes);
    if let Err(status) = observe(&object, &plan, settings, report) {
        let why = match &status {
            Status::Unavailable(why) => why.to_string(),
            Status::Broken(why) => why.lines().next().unwrap_or_default().to_owned(),
            Status::Ran | Status::Diverged => String::new(),
        };
        let tests = plan.tests.iter().map(|test| unseen(test, &why)).collect();
        report.planes = vec![(settings.run.planes[0].text().into_owned(), tests)];
        report.status = status;
    }
}

/// The tests that cannot be loaded on every plane even alone, and why.
fn unloadable(elf: &[u8], settings: &Settings, report: &ObjectReport) -> BTreeMap<String, String> {
    let release = settings.run.as_kernel.unwrap_or_default();
    let sim = SimPlane { release, engine: settings.run.engine, ..SimPlane::default() };
    let sim = settings.run.simulates().then_some(sim);
    let mut found = BTreeMap::new();
    let Ok(object) = Object::parse(&report.name, elf) else { return found };
    for (test, _) in report.tests() {
        let alone = |name: &str| name == test;
        let Ok(Plan { mut case, .. }) = plan(&object, elf.to_vec().into(), false, alone, &found) else {
            continue;
        };
        if case.runs.is_empty() {
            continue;
        }
        // Loading is all that is asked.
        (case.runs, case.watch) = (Vec::new(), Some(Vec::new()));
        let kernel = settings.kernel_plane(&case).and_then(Result::ok);
        let kernel = kernel.as_ref().map(|plane| plane as &dyn Plane);
        for plane in sim.iter().map(|plane| plane as &dyn Plane).chain(kernel) {
            if let Ok(Report::Declined(decline)) = plane.run(&case) {
                let log = decline.log.trim();
                let log = if log.is_empty() { String::new() } else { format!("\n{log}") };
                found.insert(test.to_owned(), format!("{}: {}{log}", plane.name(), decline.reason));
                break;
            }
        }
    }
    found
}

fn observe(
    object: &Arc<Object>,
    plan: &Plan,
    settings: &Settings,
    report: &mut ObjectReport,
) -> Result<(), Status> {
    let release = settings.run.as_kernel.unwrap_or_default();
    let mut sim = SimPlane { release, engine: settings.run.engine, ..SimPlane::default() };
    if plan.case.runs.is_empty() {
        let tests = plan.tests.iter().map(|test| unseen(test, "")).collect();
        report.planes.push((settings.run.planes[0].text().into_owned(), tests));
        return Ok(());
    }
    let mut kernel = None;
    if let Some(plane) = settings.kernel_plane(&plan.case) {
        let plane = plane.map_err(Status::Unavailable)?;
        let seen = ask(&plane, plan, plane.run(&plan.case))?;
        if settings.run.as_kernel.is_none() {
            sim.release = Release::of_uname(&seen.begin.kernel).ok_or_else(|| {
                Status::Broken(format!("kernel {} is none the simulator describes", seen.begin.kernel))
            })?;
        }
        (sim.nr_cpus, sim.cpu) = (seen.begin.nr_cpus, seen.begin.cpu);
        report.planes.push((plane.name().to_owned(), judge(plan, &seen)));
        kernel = Some(seen);
    }
    if settings.run.planes.contains(&PlaneName::Sim) {
        let mut seen = ask(&sim, plan, sim.run_opened(&plan.case, std::slice::from_ref(object)))?;
        let differs =
            kernel.as_ref().map(|kernel| differences(object, plan, settings, report, &seen, kernel));
        let tests = judge(plan, &seen);
        explain(&sim, plan, &tests, &differs.unwrap_or_default(), &mut seen);
        report.planes.insert(0, (sim.name().to_owned(), judge(plan, &seen)));
    }
    Ok(())
}

fn ask(plane: &dyn Plane, plan: &Plan, said: Result<Report, Unavailable>) -> Result<Observation, Status> {
    match said.map_err(Status::Unavailable)? {
        Report::Declined(decline) => {
            let log = decline.log.trim();
            let log = if log.is_empty() { String::new() } else { format!("\n{log}") };
            Err(Status::Broken(format!("{}: {}{log}", plane.name(), decline.reason)))
        }
        Report::Seen(seen) if seen.runs.len() == plan.case.runs.len() => Ok(*seen),
        Report::Seen(seen) => Err(Status::Unavailable(Unavailable {
            why: format!("{} did {} of {} runs", plane.name(), seen.runs.len(), plan.case.runs.len()),
            advice: "this is a bug of the plane; please report it".into(),
        })),
    }
}

/// Compares the planes; the runs in which they differ.
fn differences(
    object: &Object,
    plan: &Plan,
    settings: &Settings,
    report: &mut ObjectReport,
    sim: &Observation,
    kernel: &Observation,
) -> BTreeSet<usize> {
    let mut shapes = crate::shape::Shape::default();
    shapes.objects.insert(object.name.clone(), shape(object));
    let comparison = compare(&plan.case, &shapes, &settings.ignores, sim, kernel);
    let judgement = settings.run.ledger.judge(&plan.case.name, comparison.differences, settings.run.today);
    let runs = judgement.unexplained.iter().filter_map(|difference| difference.run).collect();
    report.complaints.extend(judgement.stale.iter().cloned());
    if !judgement.unexplained.is_empty() {
        report.status = Status::Diverged;
    }
    let sides = ("sim".to_owned(), format!("prog-run {}", kernel.begin.kernel));
    report.compared.push(Compared { sides, tally: comparison.tally, judgement });
    runs
}

/// Tests whose last C lines are looked for: running an object again has to stay cheap.
const EXPLAINED: usize = 20;

/// Finds the last C lines of tests that failed and of runs that differ.
fn explain(sim: &SimPlane, plan: &Plan, tests: &[Tested], differ: &BTreeSet<usize>, seen: &mut Observation) {
    let failed = tests.iter().filter(|test| test.verdict > Verdict::Skip).filter_map(|test| test.decided);
    let runs: BTreeSet<usize> = failed.chain(differ.iter().copied()).take(EXPLAINED).collect();
    if runs.is_empty() {
        return;
    }
    for (run, lines) in sim.last_lines(&plan.case, &runs) {
        seen.runs[run].lines = lines;
    }
}
