//! C unit tests: objects whose programs in sections `<type>/test/<name>/{pktgen,setup,check}` test programs of the same
//! object, as large datapath projects write them.
//!
//! The tests of an object run in the order of their names' bytes and share its maps. A test begins with 3,520 zero bytes,
//! and for tc with 256 of context; each step is one BPF_PROG_TEST_RUN whose output data and context the next gets. Behind
//! a setup its return value leads the data, 4 bytes, little-endian. A pktgen or setup that returns 100 or 102 ends the
//! test; the check returns 101 for pass, 102 for fail, 103 for skip, 100 for error, and tells more in
//! `suite_result_map` ([`result`]) or `suite_result_map2` ([`elements`]) and `scapy_assert_map` ([`packets`]).
//!
//! Programs in `<type>/tail` stand in the slots that their decl tags `tail:<map>/<slot>` name; others, in `<type>/entry`
//! or wherever libbpf knows them, where the object's `values` put them. Only what tests can reach is loaded.
//!
//! An object becomes a [`plan`]: a [`Case`](crate::case::Case) of chained runs, so that every plane runs it as it runs
//! any case, and comparison is that of any case. [`judge`] makes results of what a plane saw.

pub mod elements;
pub mod judge;
pub mod packets;
pub mod plan;
pub mod printf;
pub mod result;
mod run;

pub use run::{ObjectReport, Settings, Status, run};

/// The array with the results, at key 0.
pub const RESULTS: &str = "suite_result_map";
/// The array in which newer suites have them instead, a part in each element.
pub const PARTS: &str = "suite_result_map2";
/// The array with the packets that are not as expected.
pub const PACKETS: &str = "scapy_assert_map";
/// The map mocks keep a packet's metadata in, at key 0.
pub const SKB_META: &str = "mock_skb_meta_map";

const CODE_ERROR: u32 = 100;
const CODE_PASS: u32 = 101;
const CODE_FAIL: u32 = 102;
const CODE_SKIP: u32 = 103;

/// How a test or a part of one came out, from good to bad.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// It passed.
    Pass,
    /// It chose not to run.
    Skip,
    /// It failed.
    Fail,
    /// It could not be run, or not be understood.
    Error,
}

impl Verdict {
    /// What a return code or a status says.
    pub const fn of_code(code: u32) -> Option<Self> {
        match code {
            CODE_ERROR => Some(Self::Error),
            CODE_PASS => Some(Self::Pass),
            CODE_FAIL => Some(Self::Fail),
            CODE_SKIP => Some(Self::Skip),
            _ => None,
        }
    }

    /// One word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skip => "skip",
            Self::Fail => "fail",
            Self::Error => "error",
        }
    }
}
