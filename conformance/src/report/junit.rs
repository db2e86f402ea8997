//! JUnit XML: one suite per file and plane, one per comparison. No times, so that the same input gives the same bytes.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{details, reason};
use crate::suite::{CaseReport, Status};

/// The whole suite as XML.
pub fn xml(reports: &[CaseReport]) -> String {
    let mut out = Report::new("bpftwin");
    for report in reports {
        let planes = report.asked.iter().map(|plane| plane.text().into_owned());
        let compared = (report.asked.len() > 1).then(|| "compare".to_owned());
        for part in planes.chain(compared) {
            let mut suite = TestSuite::new(format!("{} {part}", report.file));
            let mut case = TestCase::new(report.name.clone(), status(report, &part));
            case.set_classname(part);
            suite.add_test_case(case);
            out.add_test_suite(suite);
        }
    }
    out.to_string().expect("writing to memory does not fail")
}

/// A plane's suite holds its own failures, the comparison's what differs.
fn status(report: &CaseReport, part: &str) -> TestCaseStatus {
    let failed = |kind, word: &str| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_type(word).set_message(reason(report).unwrap_or_default());
        status.set_description(details::text(report, false));
        status
    };
    let holds = report
        .planes
        .iter()
        .filter(|plane| plane.plane == part)
        .all(|plane| plane.checked.failures.is_empty());
    match &report.status {
        Status::Pass => TestCaseStatus::success(),
        Status::Mistaken(_) | Status::Unavailable(_) => failed(NonSuccessKind::Error, report.status.word()),
        Status::NotYet(why) | Status::Inapplicable(why) => {
            let mut status = TestCaseStatus::skipped();
            status.set_type(report.status.word()).set_message(why.clone());
            status
        }
        Status::Fail if part == "compare" && report.complaints.is_empty() => TestCaseStatus::success(),
        Status::Diverged if part != "compare" && holds => TestCaseStatus::success(),
        Status::Fail | Status::Diverged => failed(NonSuccessKind::Failure, report.status.word()),
    }
}
