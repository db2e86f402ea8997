//! A probe: raw instructions and one map, run a few times. What random testing asks of both planes.
//!
//! `bpftwin-kernel --probe` reads [`Probe`]s as JSON lines on standard input and answers each with one line, a
//! [`ProbeSeen`]. The simulator's side is [`crate::plane::probe`].

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::case::Network;
use crate::observation::Outcome;

/// One program of raw instructions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// `BPF_PROG_TYPE_*`.
    pub prog_type: u32,
    /// `BPF_*` of `enum bpf_attach_type`; 0 where the type needs none.
    pub attach_type: u32,
    /// Instruction slots of 8 bytes, little endian, main function first. A call between functions has its distance.
    pub slots: Bytes,
    /// Slots of `ld_imm64` that get the address of the map's value: of the only element of an array.
    pub value_at: Vec<u32>,
    /// What is around. Empty: only a loopback.
    pub network: Network,
    /// The runs, in order. Every run begins with the value it names; all values are of one size.
    pub runs: Vec<ProbeRun>,
}

/// One BPF_PROG_TEST_RUN of a probe.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeRun {
    /// What the map's value is before the run.
    pub value: Bytes,
    /// `data_in`.
    pub data: Bytes,
    /// `ctx_in`; empty: none is given.
    pub ctx: Bytes,
    /// `repeat`; 0 means 1.
    pub repeat: u32,
    /// `flags`, `BPF_F_TEST_*`.
    pub flags: u32,
}

/// What a plane saw of a probe.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProbeSeen {
    /// The program was not accepted: the verifier's log, or what the decoder says.
    Refused(String),
    /// What every run did.
    Ran(Vec<ProbeRunSeen>),
}

/// What one run of a probe did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeRunSeen {
    /// What the system call returned.
    pub outcome: Outcome,
    /// The map's value after it.
    pub value: Bytes,
}
