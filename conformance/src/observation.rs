//! What a plane saw. The same type whichever plane it was: comparison looks at nothing else.

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;

/// One line of what a plane reports, in this order: one [`Begin`](Event::Begin), one [`Run`](Event::Run) per run,
/// one [`End`](Event::End). A report without its end is a plane that died: harness trouble, never a result.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// The plane is ready.
    Begin(Begin),
    /// One run is done.
    Run(RunSeen),
    /// All runs are done.
    End(End),
    /// The case cannot be run here, and why: a missing kernel feature, a program the verifier rejects. Ends the report.
    Decline(Decline),
}

/// The machine the case ran on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// `sim` or `prog-run`.
    pub plane: String,
    /// `uname -r`, or the described kernel's name.
    pub kernel: String,
    /// Possible CPUs.
    pub nr_cpus: u32,
    /// The CPU programs ran on.
    pub cpu: u32,
}

/// Why a plane cannot run a case.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decline {
    /// In words, naming what is missing.
    pub reason: String,
    /// The verifier's or loader's log, if there is one.
    pub log: String,
}

/// What one run did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSeen {
    /// The run's index in the case.
    pub index: usize,
    /// What the system call returned.
    pub outcome: Outcome,
    /// Elements that differ from before the run, sorted by object, map and key.
    pub maps: Vec<MapChange>,
    /// Records that came out of perf and ring buffers, in order per map.
    pub records: Vec<Record>,
}

/// How one run ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// The program ran.
    Done {
        /// `retval`.
        retval: u32,
        /// `data_out`, whole.
        data: Bytes,
        /// `ctx_out`, whole; empty where the program type gives none.
        ctx: Bytes,
    },
    /// The system call refused, with a positive errno.
    Errno(i32),
    /// Simulator only: the program did what the verifier should have prevented.
    Fault(String),
}

/// One changed map element.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapChange {
    /// The object's name in the case.
    pub object: String,
    /// The map's C name.
    pub map: String,
    /// The key.
    pub key: Bytes,
    /// The new value, as `BPF_MAP_LOOKUP_ELEM` gives it (per-CPU: every CPU's, each padded to 8 bytes);
    /// `None`: the element is gone.
    pub value: Option<Bytes>,
}

/// A record of a perf or ring buffer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The object's name in the case.
    pub object: String,
    /// The map's C name.
    pub map: String,
    /// The bytes a consumer gets.
    pub data: Bytes,
}

/// The state after the last run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// How many runs were done.
    pub runs: usize,
    /// Every element of every map that can be read, sorted; all-zero elements of arrays are left out.
    pub maps: Vec<MapChange>,
    /// Maps that cannot be read back, each with the reason.
    pub unread: Vec<Unread>,
}

/// A map whose contents a plane cannot see.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unread {
    /// The object's name in the case.
    pub object: String,
    /// The map's C name.
    pub map: String,
    /// Why.
    pub reason: String,
}
