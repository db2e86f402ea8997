//! Planes `prog-run` and `netns`: BPF_PROG_TEST_RUN, or devices in network namespaces, on a real kernel, asked through the
//! program `bpftwin-kernel`, which is spawned and never linked: privilege and C libraries stay in that one binary. It runs
//! here, or as the same file in a virtual machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{Plane, Unavailable};
use crate::case::Case;
use crate::guest::Pool;
use crate::observation::Report;
use crate::suite::PlaneName;

/// The binary's name.
pub const BINARY: &str = "bpftwin-kernel";
/// The environment variable that names another one.
pub const VARIABLE: &str = "BPFTWIN_KERNEL";
/// How long it may say nothing.
const SILENCE: Duration = Duration::from_mins(1);

/// Which kernel a plane asks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Where {
    /// This machine's.
    Host,
    /// One of the cache, in a virtual machine, by its name.
    Guest(String),
}

/// A kernel, and the way to it.
#[derive(Clone, Debug)]
pub struct KernelPlane {
    name: String,
    binary: PathBuf,
    plane: PlaneName,
    guests: Arc<Pool>,
}

impl KernelPlane {
    /// Finds `bpftwin-kernel`: `$BPFTWIN_KERNEL`, beside this program, or in `PATH`.
    pub fn find() -> Result<Self, Unavailable> {
        if let Some(binary) = std::env::var_os(VARIABLE) {
            let binary = PathBuf::from(binary);
            if binary.is_file() {
                return Ok(Self::at(binary));
            }
            return Err(Unavailable {
                why: format!("${VARIABLE} names {}, which is not a file", binary.display()),
                advice: format!("build it with `cargo build -p bpftwin-kernel-tests` or unset {VARIABLE}"),
            });
        }
        let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned()));
        let path = std::env::var_os("PATH").unwrap_or_default();
        beside
            .into_iter()
            .chain(std::env::split_paths(&path))
            .map(|folder| folder.join(BINARY))
            .find(|binary| binary.is_file())
            .map(Self::at)
            .ok_or_else(|| Unavailable {
                why: format!("{BINARY} is neither beside this program nor in PATH"),
                advice: "build it with `cargo build -p bpftwin-kernel-tests`".into(),
            })
    }

    /// A certain binary.
    pub fn at(binary: impl Into<PathBuf>) -> Self {
        let plane = PlaneName::ProgRun(Where::Host);
        Self { name: plane.text().into_owned(), binary: binary.into(), plane, guests: Arc::default() }
    }

    /// The same as another plane, with the machines it may run in. The binary looks at the case.
    #[must_use]
    pub fn of(self, plane: PlaneName, guests: Arc<Pool>) -> Self {
        Self { name: plane.text().into_owned(), plane, guests, ..self }
    }

    /// The binary.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    pub(crate) fn broken(&self, why: &str, stderr: &str) -> Unavailable {
        let stderr = stderr.trim();
        let why = if stderr.is_empty() {
            format!("{}: {why}", self.binary.display())
        } else {
            format!("{}: {why}: {stderr}", self.binary.display())
        };
        let advice =
            "`bpftwin doctor` says what this machine can do; as root, or with CAP_BPF and CAP_NET_ADMIN, \
                      the kernel can be asked"
                .to_owned();
        Unavailable { why, advice }
    }
}

impl Plane for KernelPlane {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, case: &Case) -> Result<Report, Unavailable> {
        let json = serde_json::to_vec(case).expect("a case has only string keys");
        let Said { events, stderr } = self.talk(&[], json)?;
        Report::collect(events).map_err(|garbled| self.broken(&garbled.to_string(), &stderr))
    }
}

/// What the binary said: every line of its answer, and what it complained of.
pub(crate) struct Said<T> {
    /// Its standard output, read.
    pub events: Vec<T>,
    /// Its standard error.
    pub stderr: String,
}

impl KernelPlane {
    /// Starts the binary with `arguments`, here or in a virtual machine, gives it `input` and reads its answer to the end.
    pub(crate) fn talk<T: DeserializeOwned>(
        &self,
        arguments: &[&str],
        input: Vec<u8>,
    ) -> Result<Said<T>, Unavailable> {
        let (events, how, stderr) = match self.plane.kernel() {
            None | Some(Where::Host) => self.on_host(arguments, input)?,
            Some(Where::Guest(kernel)) => {
                let (lines, ended) = self.guests.call(kernel, &self.binary, arguments, &input)?;
                let events = lines.iter().map(|line| event(line)).collect::<Result<_, _>>();
                let how = (ended.code != Some(0)).then(|| {
                    ended.code.map_or_else(|| format!("it was killed ({:?})", ended.signal), exit_code)
                });
                (events.map_err(|why| self.broken(&why, &ended.stderr))?, how, ended.stderr)
            }
        };
        match how {
            None => Ok(Said { events, stderr }),
            Some(how) => Err(self.broken(&how, &stderr)),
        }
    }

    /// Has a process of this machine answer: the events, how it ended if not well, what it wrote to standard error.
    fn on_host<T: DeserializeOwned>(
        &self,
        arguments: &[&str],
        input: Vec<u8>,
    ) -> Result<(Vec<T>, Option<String>, String), Unavailable> {
        let mut child = Command::new(&self.binary)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.broken(&format!("cannot be started: {error}"), ""))?;
        let mut stdin = child.stdin.take().expect("piped above");
        // It may die before it has read everything: its exit status tells that better than a broken pipe.
        let writer = thread::spawn(move || stdin.write_all(&input).is_ok());
        let lines = lines_of(child.stdout.take().expect("piped above"));
        let mut errors = child.stderr.take().expect("piped above");
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            errors
                .read_to_end(&mut text)
                .map(|_| String::from_utf8_lossy(&text).into_owned())
                .unwrap_or_default()
        });
        let events = self.events(&lines, &mut child);
        let status = child.wait();
        let _ = writer.join();
        let stderr = stderr.join().unwrap_or_default();
        let status = status.map_err(|error| self.broken(&error.to_string(), &stderr))?;
        Ok((events?, (!status.success()).then(|| ended(status)), stderr))
    }

    fn events<T: DeserializeOwned>(
        &self,
        lines: &Receiver<std::io::Result<String>>,
        child: &mut Child,
    ) -> Result<Vec<T>, Unavailable> {
        let mut events = Vec::new();
        loop {
            let line = match lines.recv_timeout(SILENCE) {
                Ok(Ok(line)) => line,
                Ok(Err(error)) => return Err(self.give_up(child, &error.to_string())),
                Err(RecvTimeoutError::Disconnected) => return Ok(events),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.give_up(child, &format!("silent for {} s", SILENCE.as_secs())));
                }
            };
            match event(&line) {
                Ok(event) => events.push(event),
                Err(why) => return Err(self.give_up(child, &why)),
            }
        }
    }

    fn give_up(&self, child: &mut Child, why: &str) -> Unavailable {
        // It may be gone already, which is as good.
        let _ = child.kill();
        self.broken(why, "")
    }
}

fn lines_of(stdout: impl Read + Send + 'static) -> Receiver<std::io::Result<String>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn event<T: DeserializeOwned>(line: &str) -> Result<T, String> {
    serde_json::from_str(line).map_err(|error| {
        let start: String = line.chars().take(80).collect();
        format!("not an event ({error}): {start}")
    })
}

fn ended(status: ExitStatus) -> String {
    status.code().map_or_else(|| format!("it was killed ({status})"), exit_code)
}

fn exit_code(code: i32) -> String {
    match code {
        69 => "the kernel cannot be asked here".into(),
        2 => "it refuses the case".into(),
        code => format!("it ended with exit code {code}"),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::case::Network;
    use std::os::unix::fs::PermissionsExt;

    fn case() -> Case {
        Case {
            name: "none".into(),
            objects: Vec::new(),
            maps: Vec::new(),
            network: Network::default(),
            runs: Vec::new(),
            watch: None,
            topology: None,
        }
    }

    const BEGIN: &str = r#"{"event":"begin","plane":"prog-run","kernel":"6.18.0","nr_cpus":1,"cpu":0}"#;
    const END: &str = r#"{"event":"end","runs":0,"maps":[],"unread":[]}"#;

    #[test]
    fn a_broken_kernel_binary_is_no_result() {
        let folder = std::env::temp_dir().join(format!("bpftwin-plane-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (i, (script, expect)) in [
            ("exit 69".to_owned(), "the kernel cannot be asked here"),
            ("echo no cap >&2; exit 69".to_owned(), "cannot be asked here: no cap"),
            ("exit 3".to_owned(), "it ended with exit code 3"),
            ("kill -9 $$".to_owned(), "it was killed"),
            ("echo nonsense".to_owned(), "not an event"),
            (String::new(), "it reported nothing"),
            (format!("echo '{BEGIN}'"), "breaks off after 0 runs"),
        ]
        .into_iter()
        .enumerate()
        {
            let binary = folder.join(format!("kernel{i}"));
            std::fs::write(&binary, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
            let why = KernelPlane::at(&binary).run(&case()).unwrap_err().why;
            assert!(why.contains(expect), "{script}: {why}");
        }
        let binary = folder.join("whole");
        std::fs::write(&binary, format!("#!/bin/sh\ncat >/dev/null\necho '{BEGIN}'\necho '{END}'\n"))
            .unwrap();
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(KernelPlane::at(&binary).run(&case()), Ok(Report::Seen(_))));
        let missing = KernelPlane::at(folder.join("missing")).run(&case()).unwrap_err();
        assert!(missing.why.contains("cannot be started"), "{missing}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
