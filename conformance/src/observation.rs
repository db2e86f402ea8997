//! What a plane saw. The same type whichever plane it was: comparison looks at nothing else.

use std::fmt;

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
    /// `sim`, `prog-run` or `netns`.
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
    /// Simulator only, and only of runs that are not as they should be: the last C lines that ran, in their order, so
    /// that a wrong result points somewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
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
    /// Topology form: a step is over.
    Walked(Walk),
    /// The run was to follow the one before, which did not end as it must for that
    /// ([`Follows`](crate::case::Follows)).
    NotDone,
}

/// What became of the frames of one step.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Walk {
    /// What `sendto` failed with, positive; 0 if it did not. A frame it failed with may have been seen nevertheless.
    #[serde(default, skip_serializing_if = "sent")]
    pub errno: i32,
    /// What taps saw, sorted by tap; of one tap, in order.
    pub frames: Vec<Frame>,
    /// What was dropped, in order; `None` from a plane that cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drops: Option<Vec<Drop>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn sent(errno: &i32) -> bool {
    *errno == 0
}

/// A frame at a tap: what a packet socket for `ETH_P_ALL` at the device gets. At a device that receives it is what is
/// left after XDP (native or generic) and before tc ingress; at one that transmits, what left tc egress.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// Where.
    pub tap: Tap,
    /// The bytes, from the Ethernet header on; a VLAN tag beside the packet is written where it belongs.
    pub data: Bytes,
}

/// A device and a direction.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tap {
    /// The namespace's name.
    pub namespace: String,
    /// The device's name.
    pub device: String,
    /// Which way.
    pub direction: Direction,
}

impl fmt::Display for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::In => "in",
            Direction::Out => "out",
        };
        write!(f, "{}:{}/{direction}", self.namespace, self.device)
    }
}

/// Which way a frame passes a device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The device received it.
    In,
    /// The device transmits it: `PACKET_OUTGOING`.
    Out,
}

/// A frame that ended where it was not delivered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drop {
    /// The namespace's name.
    pub namespace: String,
    /// The device's name.
    pub device: String,
    /// `enum skb_drop_reason` without its prefix where the kernel has one, such as `TC_INGRESS`.
    pub reason: String,
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

/// Everything one plane saw of one case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observation {
    /// Where it ran.
    pub begin: Begin,
    /// One per run of the case, in order.
    pub runs: Vec<RunSeen>,
    /// The state afterwards.
    pub end: End,
}

/// What became of a case on a plane that was there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// It ran.
    Seen(Box<Observation>),
    /// It cannot run here.
    Declined(Decline),
}

/// A stream of events that is no report: the plane died or speaks another language.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum Garbled {
    /// No event at all.
    #[error("it reported nothing")]
    Empty,
    /// The first event is not the beginning.
    #[error("its report does not start with a beginning")]
    NoBegin,
    /// A run out of order.
    #[error("it reported run {got} where run {expected} was due")]
    Order {
        /// The index that was due.
        expected: usize,
        /// The index that came.
        got: usize,
    },
    /// No end: it died on the way.
    #[error("its report breaks off after {runs} runs")]
    NoEnd {
        /// Runs reported.
        runs: usize,
    },
    /// The end does not count what came.
    #[error("it reported {reported} runs and counted {counted}")]
    Count {
        /// Runs reported.
        reported: usize,
        /// What the end says.
        counted: usize,
    },
    /// Something after the end.
    #[error("its report goes on after its end")]
    Trailing,
}

impl Report {
    /// Puts a plane's events together. Every gap is an error: a report that is not whole is no result.
    pub fn collect(events: impl IntoIterator<Item = Event>) -> Result<Self, Garbled> {
        let mut events = events.into_iter();
        let begin = match events.next() {
            None => return Err(Garbled::Empty),
            Some(Event::Begin(begin)) => begin,
            Some(Event::Decline(decline)) => return trailing(&mut events, Self::Declined(decline)),
            Some(_) => return Err(Garbled::NoBegin),
        };
        let mut runs: Vec<RunSeen> = Vec::new();
        while let Some(event) = events.next() {
            match event {
                Event::Begin(_) => return Err(Garbled::Trailing),
                Event::Run(run) if run.index == runs.len() => runs.push(run),
                Event::Run(run) => return Err(Garbled::Order { expected: runs.len(), got: run.index }),
                Event::Decline(decline) => return trailing(&mut events, Self::Declined(decline)),
                Event::End(end) if end.runs == runs.len() => {
                    return trailing(&mut events, Self::Seen(Box::new(Observation { begin, runs, end })));
                }
                Event::End(end) => return Err(Garbled::Count { reported: runs.len(), counted: end.runs }),
            }
        }
        Err(Garbled::NoEnd { runs: runs.len() })
    }
}

fn trailing(rest: &mut impl Iterator<Item = Event>, report: Report) -> Result<Report, Garbled> {
    if rest.next().is_some() { Err(Garbled::Trailing) } else { Ok(report) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin() -> Event {
        Event::Begin(Begin { plane: "sim".into(), kernel: "6.18".into(), nr_cpus: 2, cpu: 0 })
    }

    fn run(index: usize) -> Event {
        Event::Run(RunSeen {
            index,
            outcome: Outcome::Errno(22),
            maps: Vec::new(),
            records: Vec::new(),
            lines: Vec::new(),
        })
    }

    fn end(runs: usize) -> Event {
        Event::End(End { runs, maps: Vec::new(), unread: Vec::new() })
    }

    #[test]
    fn a_report_is_whole_or_an_error() {
        assert!(
            matches!(Report::collect([begin(), run(0), run(1), end(2)]), Ok(Report::Seen(o)) if o.runs.len() == 2)
        );
        for (events, garbled) in [
            (vec![], Garbled::Empty),
            (vec![run(0)], Garbled::NoBegin),
            (vec![begin()], Garbled::NoEnd { runs: 0 }),
            (vec![begin(), run(0)], Garbled::NoEnd { runs: 1 }),
            (vec![begin(), run(1), end(1)], Garbled::Order { expected: 0, got: 1 }),
            (vec![begin(), run(0), run(0)], Garbled::Order { expected: 1, got: 0 }),
            (vec![begin(), run(0), end(2)], Garbled::Count { reported: 1, counted: 2 }),
            (vec![begin(), end(0), run(0)], Garbled::Trailing),
            (vec![begin(), begin()], Garbled::Trailing),
        ] {
            assert_eq!(Report::collect(events.clone()), Err(garbled), "{events:?}");
        }
    }
}
