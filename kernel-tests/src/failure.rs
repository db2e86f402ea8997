//! Why a case has no answer, and with which exit code the process says so.

use bpftwin_conformance::observation::Decline;

/// Ends the process: nothing it could report would be a result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The case itself is wrong: not JSON, or it names something its objects do not have.
    #[error("{0}")]
    Case(String),
    /// This machine cannot be asked: a capability is missing, a buffer overflowed, the reader went away.
    #[error("{0}")]
    Harness(String),
}

impl Failure {
    /// 2 for a wrong case, 69 (`EX_UNAVAILABLE`) for everything else.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Case(_) => 2,
            Self::Harness(_) => 69,
        }
    }
}

/// Why a case stops before its end.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The kernel cannot run it: an answer, and the process goes on.
    #[error("{}", .0.reason)]
    Decline(Decline),
    /// No answer.
    #[error("{0}")]
    Failure(Failure),
}

impl Stop {
    /// A decline without a log.
    pub fn decline(reason: impl Into<String>) -> Self {
        Self::Decline(Decline { reason: reason.into(), log: String::new() })
    }

    /// A case that is wrong.
    pub fn case(what: impl Into<String>) -> Self {
        Self::Failure(Failure::Case(what.into()))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}
