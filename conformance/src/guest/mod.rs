//! Kernels in virtual machines, without privilege: QEMU runs the binary `bpftwin-kernel` as the first process of a kernel
//! from the [cache](crate::kernels), with no file system but the initial one and no network.
//!
//! A machine is a transport: what goes in and comes out is what goes in and comes out of a `bpftwin-kernel` on the host.
//! One [`Request`] names arguments and the length of the standard input that follows it; standard output comes back as it
//! is printed, followed by a line that says how the process [`Ended`].
//!
//! [`initramfs`] makes the initial file system, [`qemu`] runs one machine, [`Pool`] keeps those of a run of `bpftwin`.

pub mod initramfs;
mod pool;
pub mod qemu;

pub use pool::Pool;

use serde::{Deserialize, Serialize};

/// The virtio serial port's name.
pub const PORT: &str = "bpftwin";
/// Where the modules are in a machine, to be loaded in the order of their names.
pub const MODULES: &str = "/modules";

/// One command: a line of JSON, then the bytes of standard input.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Arguments of `bpftwin-kernel`.
    pub arguments: Vec<String>,
    /// Bytes of standard input that follow.
    pub input: usize,
}

/// How a command ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Its exit code; `None`: it was killed.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Ended {
    /// What tells this line from output, which is text: EOT.
    const MARK: char = '\x04';

    /// As a machine says it.
    pub fn to_line(&self) -> String {
        let json = serde_json::to_string(self).expect("every key is a string");
        format!("{}{json}\n", Self::MARK)
    }

    /// What a line of a machine says; `None` if it is a line of output.
    pub fn of_line(line: &str) -> Option<Result<Self, serde_json::Error>> {
        line.strip_prefix(Self::MARK).map(serde_json::from_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_from_output() {
        let ended = Ended { code: Some(69), signal: None, stderr: "two\nlines".into() };
        let line = ended.to_line();
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(Ended::of_line(line.trim_end()).unwrap().unwrap(), ended);
        assert!(Ended::of_line(r#"{"event":"begin"}"#).is_none());
        assert!(Ended::of_line("\x04{").unwrap().is_err());
    }
}
