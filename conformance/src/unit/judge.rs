//! Results of tests from what a plane saw.

use bpftwin_sim::uapi::ProgType;

use super::packets::{self, Mismatch};
use super::plan::{Plan, Step, Test};
use super::result::{Part, SuiteResult, decode};
use super::{PACKETS, PARTS, RESULTS, Verdict, elements};
use crate::compare::describe;
use crate::observation::{Observation, Outcome, RunSeen};

/// How a test came out on a plane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tested {
    /// Its name.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// Why it did not pass.
    pub why: Vec<String>,
    /// Its parts, in their order.
    pub parts: Vec<Part>,
    /// What it said outside its parts.
    pub logs: Vec<String>,
    /// Packets that are not as expected.
    pub packets: Vec<Mismatch>,
    /// The last C lines of the run that decided, if a plane knows them.
    pub lines: Vec<String>,
    /// The index of the run that decided.
    pub decided: Option<usize>,
}

impl Tested {
    /// Whether another plane's test came out the same, apart from what only one plane can know.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let known = |test: &Self| Self { lines: Vec::new(), ..test.clone() };
        known(self) == known(other)
    }

    fn worse(&mut self, verdict: Verdict, why: String) {
        self.verdict = self.verdict.max(verdict);
        self.why.push(why);
    }
}

/// Every test of a plan.
pub fn judge(plan: &Plan, seen: &Observation) -> Vec<Tested> {
    plan.tests.iter().map(|test| judge_one(test, &seen.runs)).collect()
}

/// A test none of whose runs were seen.
pub fn unseen(test: &Test, why: &str) -> Tested {
    let mut tested = nothing(test);
    tested.worse(Verdict::Error, test.wrong.as_deref().unwrap_or(why).to_owned());
    tested
}

fn nothing(test: &Test) -> Tested {
    Tested {
        name: test.name.clone(),
        verdict: Verdict::Pass,
        why: Vec::new(),
        parts: Vec::new(),
        logs: Vec::new(),
        packets: Vec::new(),
        lines: Vec::new(),
        decided: None,
    }
}

fn judge_one(test: &Test, runs: &[RunSeen]) -> Tested {
    if test.wrong.is_some() || test.steps.is_empty() {
        return unseen(test, "it has no steps");
    }
    let mut tested = nothing(test);
    for (step, program, index) in &test.steps {
        let run = &runs[*index];
        let (step_name, outcome) = (step.name(), &run.outcome);
        tested.decided = Some(*index);
        match (step, outcome) {
            (Step::Check, Outcome::Done { retval, .. }) => {
                let (verdict, says) = match Verdict::of_code(*retval) {
                    Some(Verdict::Pass) => continue,
                    Some(verdict) => (verdict, verdict.word()),
                    None => (Verdict::Error, "neither 100 (error), 101 (pass), 102 (fail) nor 103 (skip)"),
                };
                tested.worse(verdict, format!("check {program} returned {} ({says})", *retval as i32));
            }
            (_, Outcome::Done { retval, .. }) => {
                if let Some(verdict @ (Verdict::Fail | Verdict::Error)) = Verdict::of_code(*retval) {
                    let word = verdict.word();
                    tested.worse(verdict, format!("{step_name} {program} returned {retval} ({word})"));
                    break;
                }
            }
            _ => {
                let what = describe(ProgType::Unspec, outcome);
                tested.worse(Verdict::Error, format!("{step_name} {program}: {what}"));
                break;
            }
        }
    }
    results(&mut tested, test, runs);
    mismatches(&mut tested, test, runs);
    if tested.verdict > Verdict::Skip {
        tested.lines = tested.decided.map(|run| runs[run].lines.clone()).unwrap_or_default();
    }
    tested
}

/// The test's changes to a map, the last one of each key, in the order of keys.
fn changes<'a>(test: &Test, runs: &'a [RunSeen], map: &str) -> Vec<(u32, &'a [u8])> {
    let mut last = std::collections::BTreeMap::new();
    for (.., index) in &test.steps {
        for change in runs[*index].maps.iter().filter(|change| change.map == map) {
            let key: Option<[u8; 4]> = change.key.0.as_slice().try_into().ok();
            if let (Some(key), Some(value)) = (key, &change.value) {
                last.insert(u32::from_le_bytes(key), value.0.as_slice());
            }
        }
    }
    last.into_iter().collect()
}

/// Adds what the test wrote about its parts.
fn results(tested: &mut Tested, test: &Test, runs: &[RunSeen]) {
    let mut wrong = Vec::new();
    let mut result = SuiteResult::default();
    if let Some((0, value)) = changes(test, runs, RESULTS).first().copied() {
        let (decoded, malformed) = decode(value);
        result = decoded;
        wrong.extend(malformed.map(|malformed| format!("{RESULTS}: {malformed}")));
    }
    for (key, value) in changes(test, runs, PARTS) {
        match elements::read(value) {
            Ok(part) => result.parts.extend(part),
            Err(what) => wrong.push(format!("{PARTS}[{key}]: {what}")),
        }
    }
    let SuiteResult { parts, logs } = result;
    for part in &parts {
        // A part that is skipped leaves the rest of the test as it is.
        if part.verdict > Verdict::Skip {
            tested.worse(part.verdict, part.says());
        }
    }
    (tested.parts, tested.logs) = (parts, logs);
    for wrong in wrong {
        tested.worse(Verdict::Error, wrong);
    }
}

fn mismatches(tested: &mut Tested, test: &Test, runs: &[RunSeen]) {
    for (key, value) in changes(test, runs, PACKETS) {
        match packets::read(value) {
            Ok(Some(mismatch)) => tested.packets.push(mismatch),
            Ok(None) => {}
            Err(what) => tested.worse(Verdict::Error, format!("{PACKETS}[{key}]: {what}")),
        }
    }
}
