//! C unit tests for programs and CI systems: JSON lines, JUnit XML, GitHub annotations. Nothing in them depends on time or
//! machine.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;

use super::github::{data, property};
use super::json::VERSION;
use super::unit::{Summary, details};
use crate::exit::Exit;
use crate::suite::PlaneName;
use crate::unit::judge::Tested;
use crate::unit::packets::Mismatch;
use crate::unit::{ObjectReport, Settings, Status, Verdict};

#[derive(Serialize)]
#[serde(tag = "event")]
enum Line<'a> {
    #[serde(rename = "unit-suite")]
    Suite { v: u32, objects: usize, planes: Vec<Cow<'static, str>> },
    #[serde(rename = "unit-test")]
    Test {
        v: u32,
        object: &'a str,
        file: &'a str,
        test: &'a str,
        plane: &'a str,
        status: &'static str,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        why: &'a [String],
        #[serde(skip_serializing_if = "Vec::is_empty")]
        parts: Vec<PartLine<'a>>,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        logs: &'a [String],
        #[serde(skip_serializing_if = "Vec::is_empty")]
        packets: Vec<PacketLine<'a>>,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        c_lines: &'a [String],
    },
    #[serde(rename = "unit-difference")]
    Difference {
        v: u32,
        object: &'a str,
        file: &'a str,
        run: &'a str,
        field: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        place: &'a str,
        left_side: &'a str,
        left: &'a str,
        right_side: &'a str,
        right: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        known: Option<&'a str>,
    },
    #[serde(rename = "unit-object")]
    Object {
        v: u32,
        object: &'a str,
        file: &'a str,
        status: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        tests: BTreeMap<&'static str, usize>,
        notes: &'a [String],
        compared: u64,
        fields: u64,
        not_compared: BTreeMap<&'a str, u64>,
    },
    #[serde(rename = "unit-summary")]
    Summary {
        v: u32,
        tests: BTreeMap<&'static str, usize>,
        diverged: usize,
        broken: usize,
        unavailable: usize,
        compared: u64,
        fields: u64,
        exit_code: u8,
    },
}

#[derive(Serialize)]
struct PartLine<'a> {
    name: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    logs: &'a [String],
}

#[derive(Serialize)]
struct PacketLine<'a> {
    name: &'a str,
    place: &'a str,
    first_layer: &'a str,
    /// Field, expected, got.
    fields: &'a [(String, String, String)],
    expected: String,
    got: String,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    odd: &'a [String],
}

impl<'a> From<&'a Mismatch> for PacketLine<'a> {
    fn from(packet: &'a Mismatch) -> Self {
        Self {
            name: &packet.name,
            place: &packet.place,
            first_layer: &packet.first_layer,
            fields: &packet.fields,
            expected: packet.expected.to_string(),
            got: packet.got.to_string(),
            odd: &packet.odd,
        }
    }
}

fn write(line: &Line<'_>) -> String {
    let mut json = serde_json::to_string(line).expect("every key is a string");
    json.push('\n');
    json
}

fn status(report: &ObjectReport) -> (&'static str, Option<String>) {
    match &report.status {
        Status::Ran if report.complaints.is_empty() => ("ran", None),
        Status::Ran => ("fail", Some(report.complaints.join("; "))),
        Status::Diverged => ("diverged", Some("planes saw different things".into())),
        Status::Broken(why) => ("broken", Some(why.clone())),
        Status::Unavailable(why) => ("unavailable", Some(why.to_string())),
    }
}

fn counts(tests: impl Iterator<Item = Verdict>) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    tests.for_each(|verdict| *counts.entry(verdict.word()).or_default() += 1);
    counts
}

/// The first line of JSON.
pub fn json_begin(settings: &Settings, objects: usize) -> String {
    let planes = settings.run.planes.iter().map(PlaneName::text).collect();
    write(&Line::Suite { v: VERSION, objects, planes })
}

/// An object in JSON: its tests on each plane, what differs, then itself.
pub fn json(report: &ObjectReport) -> String {
    let (v, object, file) = (VERSION, report.name.as_str(), report.file.as_str());
    let mut out = String::new();
    for (plane, tests) in &report.planes {
        for test in tests {
            let parts = test.parts.iter().map(|part| PartLine {
                name: &part.name,
                status: part.verdict.word(),
                logs: &part.logs,
            });
            out += &write(&Line::Test {
                v,
                object,
                file,
                test: &test.name,
                plane,
                status: test.verdict.word(),
                why: &test.why,
                parts: parts.collect(),
                logs: &test.logs,
                packets: test.packets.iter().map(PacketLine::from).collect(),
                c_lines: &test.lines,
            });
        }
    }
    let (mut compared, mut fields, mut not_compared) = (0, 0, BTreeMap::new());
    for sides in &report.compared {
        compared += sides.tally.compared;
        fields += sides.tally.total();
        not_compared.extend(sides.tally.left_out.iter().map(|(why, count)| (why.as_str(), *count)));
        let judgement = &sides.judgement;
        let open = judgement.unexplained.iter().map(|difference| (difference, None));
        let known = judgement.explained.iter().map(|(difference, why)| (difference, Some(why.as_str())));
        for (difference, known) in open.chain(known) {
            let run = difference.run.and_then(|run| report.runs.get(run));
            out += &write(&Line::Difference {
                v,
                object,
                file,
                run: run.map_or("after the last test", String::as_str),
                field: &difference.field,
                place: &difference.place,
                left_side: &sides.sides.0,
                left: &difference.left,
                right_side: &sides.sides.1,
                right: &difference.right,
                known,
            });
        }
    }
    let (status, reason) = status(report);
    let tests = counts(report.tests().map(|(_, verdict)| verdict));
    let notes = &report.notes;
    out + &write(&Line::Object {
        v,
        object,
        file,
        status,
        reason,
        tests,
        notes,
        compared,
        fields,
        not_compared,
    })
}

/// The last line of JSON.
pub fn json_end(reports: &[ObjectReport], exit: Exit) -> String {
    let summary = Summary::of(reports);
    let tests = [Verdict::Pass, Verdict::Skip, Verdict::Fail, Verdict::Error]
        .into_iter()
        .map(|verdict| (verdict.word(), summary.count(verdict)))
        .collect();
    write(&Line::Summary {
        v: VERSION,
        tests,
        diverged: summary.diverged,
        broken: summary.broken,
        unavailable: summary.unavailable,
        compared: summary.tally.compared,
        fields: summary.tally.total(),
        exit_code: exit as u8,
    })
}

/// JUnit XML: one suite per object and plane, a case per test and per part of it; what differs between planes, or keeps an
/// object from running, is a case of its own.
pub fn junit(reports: &[ObjectReport]) -> String {
    let mut out = Report::new("bpftwin");
    for report in reports {
        for (plane, tests) in &report.planes {
            let mut suite = TestSuite::new(format!("{} {plane}", report.file));
            for test in tests {
                let class = format!("{} {plane}", report.name);
                let mut case = TestCase::new(test.name.clone(), outcome(test.verdict, test));
                case.set_classname(class.clone());
                suite.add_test_case(case);
                for part in &test.parts {
                    let mut status = simple(part.verdict, part.verdict.word());
                    if part.verdict > Verdict::Skip {
                        status.set_description(part.logs.join("\n"));
                    }
                    let mut case = TestCase::new(format!("{}/{}", test.name, part.name), status);
                    case.set_classname(class.clone());
                    suite.add_test_case(case);
                }
            }
            out.add_test_suite(suite);
        }
        let (word, reason) = status(report);
        if let Some(reason) = reason {
            let kind = match &report.status {
                Status::Ran | Status::Diverged => NonSuccessKind::Failure,
                Status::Broken(_) | Status::Unavailable(_) => NonSuccessKind::Error,
            };
            let mut status = TestCaseStatus::non_success(kind);
            status.set_type(word).set_message(reason);
            let mut suite = TestSuite::new(format!("{} object", report.file));
            suite.add_test_case(TestCase::new(report.name.clone(), status));
            out.add_test_suite(suite);
        }
    }
    out.to_string().expect("writing to memory does not fail")
}

fn simple(verdict: Verdict, message: &str) -> TestCaseStatus {
    let kind = match verdict {
        Verdict::Pass => return TestCaseStatus::success(),
        Verdict::Skip => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(message);
            return status;
        }
        Verdict::Fail => NonSuccessKind::Failure,
        Verdict::Error => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(verdict.word()).set_message(message);
    status
}

fn outcome(verdict: Verdict, test: &Tested) -> TestCaseStatus {
    let mut status = simple(verdict, &test.why.join("; "));
    if verdict > Verdict::Skip {
        status.set_description(details(test, 0));
    }
    status
}

/// GitHub annotations of an object; empty if all is well.
pub fn github(report: &ObjectReport) -> String {
    let mut out = String::new();
    let mut say = |level: &str, title: &str, message: &str| {
        let (file, title) = (property(&report.file), property(title));
        let _ = writeln!(out, "::{level} file={file},title={title}::{}", data(message));
    };
    match status(report) {
        (word @ ("broken" | "fail" | "diverged"), Some(why)) => say("error", word, &why),
        (word, Some(why)) => say("warning", word, &why),
        (_, None) => {}
    }
    if matches!(report.status, Status::Broken(_) | Status::Unavailable(_)) {
        return out;
    }
    for (plane, tests) in &report.planes {
        for test in tests.iter().filter(|test| test.verdict > Verdict::Skip) {
            let title = format!("{}/{} on {plane}", report.name, test.name);
            say("error", &title, details(test, 0).trim_end());
        }
    }
    for compared in &report.compared {
        for difference in &compared.judgement.unexplained {
            let run = difference.run.and_then(|run| report.runs.get(run));
            let run = run.map_or("after the last test", String::as_str);
            let (left, right) = &compared.sides;
            let message = format!(
                "{}: {left} says {}, {right} says {}",
                difference.field, difference.left, difference.right
            );
            say("error", &format!("{}/{run}", report.name), &message);
        }
    }
    out
}
