//! What `bpftwin-kernel --verify` is asked and answers: JSON lines both ways, so that any pipe can carry them.

use serde::{Deserialize, Serialize};

use crate::case::ObjectImage;

/// The option of `bpftwin-kernel` that makes it speak so.
pub const OPTION: &str = "--verify";

/// One object under one configuration: every program asked for is loaded alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// The object. Its `programs` are those to load; empty: every one.
    pub image: ObjectImage,
    /// Whether to say how often the verifier visited each C line, which costs a second load with the whole log.
    pub lines: bool,
}

/// One line of the answer: one [`Begin`](Answer::Begin) for the process; for each [`Ask`] one
/// [`Program`](Answer::Program) for each program, then [`End`](Answer::End), or [`Refused`](Answer::Refused) alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// The kernel is ready to be asked.
    Begin {
        /// `uname -r`.
        kernel: String,
    },
    /// What came of one program.
    Program(Box<Seen>),
    /// Every program was tried.
    End {
        /// How many there were.
        programs: usize,
    },
    /// libbpf does not open the object as it was asked for.
    Refused {
        /// Why, in words.
        reason: String,
    },
}

/// How loading a program ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The verifier accepts it.
    Success,
    /// The verifier rejects it.
    Failure,
    /// It did not get as far as being verified: no attach target, a map or a type this kernel does not have.
    Unloadable,
}

impl Verdict {
    /// As in the JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Unloadable => "unloadable",
        }
    }
}

/// One program, loaded or not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The C function's name.
    pub program: String,
    /// libbpf's name of the program type, such as `sched_cls`.
    pub prog_type: String,
    /// libbpf's name of the expected attach type.
    pub attach_type: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Why it is not a success, in one line; empty if it is.
    pub reason: String,
    /// What the verifier counted; zeros if it did not run.
    pub counts: Counts,
    /// Bytes of stack of each function, in the order of their instructions.
    pub stack: Vec<u32>,
    /// Bytes of stack of the deepest chain of calls, each frame rounded up as the kernel does.
    pub deepest: u32,
    /// How many maps it uses.
    pub maps: u32,
    /// Instructions, those of its subprograms included, as they were given to the kernel.
    pub size: u32,
    /// Bytes of machine code; 0 if there is none.
    pub jited: u32,
    /// Bytes the kernel charges for the program.
    pub memory: u64,
    /// Every C line that was visited, in the program's order; empty unless asked for.
    pub lines: Vec<LineSeen>,
    /// What the verifier said, if it rejects the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Rejection>,
}

/// The verifier's statistics (`print_verification_stats`, kernel/bpf/verifier.c).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Instructions processed.
    pub insns: u64,
    /// States made.
    pub states: u64,
    /// The most states at a time.
    pub peak_states: u64,
    /// The most states kept for one instruction.
    pub max_states_per_insn: u64,
    /// The longest chain of states liveness was propagated through; 0 where the kernel does not say.
    pub mark_read: u64,
    /// Microseconds.
    pub time: u64,
}

/// A C line, as BTF line information has it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The file, as the compiler recorded it; empty: the instruction has no line.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// The source text, without leading blanks; may be empty.
    pub text: String,
}

/// What the verifier did at one C line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineSeen {
    /// Which.
    pub place: Place,
    /// Instructions of this line processed; over all lines they sum to [`Counts::insns`].
    pub visits: u64,
    /// States that a branch of this line put aside and that were taken up again.
    pub states: u64,
}

/// What the verifier said about a program it rejects.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// The end of its log.
    pub log: String,
    /// The C line of every instruction the log's end shows, by instruction.
    pub places: Vec<(u32, Place)>,
}
