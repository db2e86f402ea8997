//! For programs: one JSON object per line. The version grows when a field changes its meaning or goes away. Nothing in
//! it depends on time or machine: the same input gives the same bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::{Summary, c_lines, position, reason, run_name};
use crate::exit::Exit;
use crate::suite::{CaseReport, PlaneName, Settings, unexplained};

/// The version of the format.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
    Suite {
        v: u32,
        scenarios: usize,
        planes: Vec<Cow<'static, str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        as_kernel: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        engine: Option<&'static str>,
    },
    Scenario {
        v: u32,
        scenario: &'a str,
        file: &'a str,
        title: &'a str,
        status: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        planes: Vec<PlaneLine<'a>>,
        packets: usize,
        checks: u64,
        compared: u64,
        fields: u64,
        not_compared: BTreeMap<String, u64>,
        confirmed_by: &'a [String],
    },
    Mistake {
        v: u32,
        scenario: &'a str,
        file: &'a str,
        line: usize,
        column: usize,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        help: &'a Option<String>,
    },
    Failure {
        v: u32,
        scenario: &'a str,
        plane: &'a str,
        packet: String,
        field: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        place: &'a str,
        expected: &'a str,
        seen: &'a str,
        file: &'a str,
        line: usize,
        column: usize,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        c_lines: &'a [String],
    },
    Difference {
        v: u32,
        scenario: &'a str,
        packet: String,
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
    Summary {
        v: u32,
        outcomes: BTreeMap<&'static str, usize>,
        packets: usize,
        checks: u64,
        compared: u64,
        fields: u64,
        not_compared: BTreeMap<String, u64>,
        exit_code: u8,
    },
}

#[derive(Serialize)]
struct PlaneLine<'a> {
    plane: &'a str,
    kernel: &'a str,
    nr_cpus: u32,
}

fn write(line: &Line<'_>) -> String {
    let mut json = serde_json::to_string(line).expect("every key is a string");
    json.push('\n');
    json
}

/// The first line.
pub fn begin(settings: &Settings, scenarios: usize) -> String {
    let planes = settings.planes.iter().map(PlaneName::text).collect();
    let as_kernel = settings.as_kernel.map(bpftwin_sim::uapi::Release::name);
    let engine = settings.simulates().then(|| settings.engine.name());
    write(&Line::Suite { v: VERSION, scenarios, planes, as_kernel, engine })
}

/// A scenario: its mistakes, failures and differences, then itself.
pub fn scenario(report: &CaseReport) -> String {
    let v = VERSION;
    let (scenario, file) = (report.name.as_str(), report.file.as_str());
    let mut out = String::new();
    if let crate::suite::Status::Mistaken(mistakes) = &report.status {
        for mistake in &mistakes.list {
            let (line, column) = position(report, &mistake.span);
            let message = mistake.what.to_string();
            out += &write(&Line::Mistake { v, scenario, file, line, column, message, help: &mistake.help });
        }
    }
    for plane in &report.planes {
        for failure in &plane.checked.failures {
            let (line, column) = position(report, &failure.span);
            out += &write(&Line::Failure {
                v,
                scenario,
                plane: &plane.plane,
                packet: run_name(report, failure.run),
                field: &failure.field,
                place: &failure.place,
                expected: &failure.expected,
                seen: &failure.seen,
                file,
                line,
                column,
                c_lines: failure.run.map(|run| c_lines(report, run)).unwrap_or_default(),
            });
        }
    }
    let explained = report.compared.iter().flat_map(|compared| {
        compared.judgement.explained.iter().map(move |(d, reason)| (compared, d, Some(reason.as_str())))
    });
    for (compared, difference, known) in unexplained(report).map(|(c, d)| (c, d, None)).chain(explained) {
        out += &write(&Line::Difference {
            v,
            scenario,
            packet: run_name(report, difference.run),
            field: &difference.field,
            place: &difference.place,
            left_side: &compared.sides.0,
            left: &difference.left,
            right_side: &compared.sides.1,
            right: &difference.right,
            known,
        });
    }
    let tally = report.tally();
    let planes = report.planes.iter().map(|plane| PlaneLine {
        plane: &plane.plane,
        kernel: &plane.seen.begin.kernel,
        nr_cpus: plane.seen.begin.nr_cpus,
    });
    out + &write(&Line::Scenario {
        v,
        scenario,
        file,
        title: &report.title,
        status: report.status.word(),
        reason: reason(report),
        planes: planes.collect(),
        packets: report.packets(),
        checks: report.checks(),
        compared: tally.compared,
        fields: tally.total(),
        not_compared: tally.left_out,
        confirmed_by: &report.confirmed_by,
    })
}

/// The last line.
pub fn end(reports: &[CaseReport], exit: Exit) -> String {
    let Summary { outcomes, packets, checks, tally } = Summary::of(reports);
    let (compared, fields) = (tally.compared, tally.total());
    write(&Line::Summary {
        v: VERSION,
        outcomes,
        packets,
        checks,
        compared,
        fields,
        not_compared: tally.left_out,
        exit_code: exit as u8,
    })
}
