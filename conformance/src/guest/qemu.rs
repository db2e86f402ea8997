//! One virtual machine: QEMU's arguments, its two sockets, its console, its end.
//!
//! QEMU gets no file it may write and no network. Its standard input and output are socket pairs, one for the guest's
//! port and one for the monitor (QMP); its standard error is the console. Nothing of it has a name in the file system, so
//! nothing is left behind, and when this process goes away, however it does, the guest reads the end of its port and ends
//! the machine.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Ended, PORT, Request};

/// The program.
pub const QEMU: &str = "qemu-system-x86_64";

/// Megabytes of memory.
const MEMORY: u32 = 512;

/// How long the monitor may take to answer, and a machine to boot.
const SILENCE: Duration = Duration::from_mins(1);
const BOOT: Duration = Duration::from_mins(2);

/// The end of what the console said that is kept.
const CONSOLE: usize = 4096;

/// What a kernel is told: no output but warnings; on a panic or when nothing moves, end; our binary is init.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet rdinit=/init panic=-1 softlockup_panic=1 mitigations=off \
                                cryptomgr.notests=1 random.trust_cpu=on -- --guest";

/// What executes a machine's instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accelerator {
    /// The processor, through `/dev/kvm`.
    Kvm,
    /// QEMU.
    Emulation,
}

impl Accelerator {
    const fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Emulation => ["-accel", "tcg", "-cpu", "max"],
        }
    }
}

/// A running machine.
pub struct Machine {
    child: Child,
    port: BufReader<UnixStream>,
    monitor: BufReader<UnixStream>,
    console: Arc<Mutex<Vec<u8>>>,
}

/// QEMU with what every machine has: the arguments that decide whether a snapshot fits.
pub fn arguments(accelerator: Accelerator) -> Vec<String> {
    let memory = MEMORY.to_string();
    let port = format!("virtserialport,chardev=port,name={PORT}");
    let fixed = [
        "-machine",
        "pc",
        "-smp",
        "1",
        "-m",
        &memory,
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-chardev",
        "socket,id=port,fd=0",
        "-device",
        "virtio-serial-pci",
        "-device",
        &port,
        "-chardev",
        "socket,id=monitor,fd=1",
        "-mon",
        "chardev=monitor,mode=control",
        "-chardev",
        "file,id=console,path=/dev/stderr",
        "-serial",
        "chardev:console",
    ];
    accelerator.arguments().into_iter().chain(fixed).map(str::to_owned).collect()
}

impl Machine {
    /// Boots a kernel and waits until its first process is ready.
    pub fn boot(
        accelerator: Accelerator,
        kernel: &Path,
        initramfs: &Path,
        limit: Option<Duration>,
    ) -> Result<Self, String> {
        let mut command = Command::new(QEMU);
        command.args(arguments(accelerator)).arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
        command.args(["-append", KERNEL_ARGUMENTS]);
        let mut machine = Self::spawn(command)?;
        machine.line(limit.unwrap_or(BOOT))?;
        Ok(machine)
    }

    /// Goes on from a snapshot, which must be a file in `folder`.
    pub fn restore(accelerator: Accelerator, folder: &Path, snapshot: &str) -> Result<Self, String> {
        let mut command = Command::new(QEMU);
        command.args(arguments(accelerator)).arg("-incoming").arg(format!("exec:cat {snapshot}"));
        command.current_dir(folder);
        let mut machine = Self::spawn(command)?;
        machine.wait_for("query-status", |status| match status["status"].as_str() {
            Some("running") => Some(Ok(())),
            Some("inmigrate") => None,
            _ => Some(Err(status.to_string())),
        })?;
        Ok(machine)
    }

    fn spawn(mut command: Command) -> Result<Self, String> {
        let pair = || UnixStream::pair().map_err(|error| format!("cannot make a socket pair: {error}"));
        let ((port, port_there), (monitor, monitor_there)) = (pair()?, pair()?);
        let mut child = command
            .stdin(Stdio::from(OwnedFd::from(port_there)))
            .stdout(Stdio::from(OwnedFd::from(monitor_there)))
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{QEMU} cannot be started: {error}"))?;
        // Its ends of the sockets are closed here with the command, so that it alone holds them.
        drop(command);
        let console = Arc::new(Mutex::new(Vec::new()));
        let (mut stderr, kept) = (child.stderr.take().expect("piped above"), console.clone());
        thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(n @ 1..) = stderr.read(&mut bytes) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&bytes[..n]);
                let surplus = kept.len().saturating_sub(CONSOLE);
                kept.drain(..surplus);
            }
        });
        let mut machine =
            Self { child, port: BufReader::new(port), monitor: BufReader::new(monitor), console };
        machine.read_monitor()?;
        machine.execute("qmp_capabilities", &json!({}))?;
        Ok(machine)
    }

    /// Writes the machine's state to a file in `folder`, and goes on.
    pub fn save(&mut self, folder: &Path, file: &str) -> Result<(), String> {
        let path = folder.join(file);
        let path = path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))?;
        // Not the default of 128 MB a second, which is for networks.
        self.execute("migrate-set-parameters", &json!({ "max-bandwidth": 1_u64 << 40 }))?;
        let quoted = path.replace('\'', r"'\''");
        self.execute("migrate", &json!({ "uri": format!("exec:cat >'{quoted}'") }))?;
        self.wait_for("query-migrate", |status| match status["status"].as_str() {
            Some("completed") => Some(Ok(())),
            Some("failed" | "cancelled") => Some(Err(status.to_string())),
            _ => None,
        })?;
        self.execute("cont", &json!({}))?;
        Ok(())
    }

    /// Has the guest do a command, during which it may say nothing for so long. Every line of output, and how the command
    /// ended.
    pub fn call(
        &mut self,
        arguments: &[&str],
        input: &[u8],
        silence: Duration,
    ) -> Result<(Vec<String>, Ended), String> {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let request = Request { arguments, input: input.len() };
        let mut bytes = serde_json::to_vec(&request).expect("every key is a string");
        bytes.push(b'\n');
        bytes.extend_from_slice(input);
        let port = self.port.get_mut();
        let sent = port.set_write_timeout(Some(silence)).and_then(|()| port.write_all(&bytes));
        sent.map_err(|error| self.trouble(&error, silence))?;
        let mut lines = Vec::new();
        loop {
            let line = self.line(silence)?;
            match Ended::of_line(&line) {
                None => lines.push(line),
                Some(Ok(ended)) => return Ok((lines, ended)),
                Some(Err(error)) => return Err(format!("the guest says {line:?}: {error}")),
            }
        }
    }

    /// One line from the guest's port.
    fn line(&mut self, limit: Duration) -> Result<String, String> {
        let mut line = String::new();
        let read =
            self.port.get_ref().set_read_timeout(Some(limit)).and_then(|()| self.port.read_line(&mut line));
        match read {
            Ok(_) if line.ends_with('\n') => {
                line.pop();
                Ok(line)
            }
            Ok(_) => Err(self.ended()),
            Err(error) => Err(self.trouble(&error, limit)),
        }
    }

    fn read_monitor(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        let read = self
            .monitor
            .get_ref()
            .set_read_timeout(Some(SILENCE))
            .and_then(|()| self.monitor.read_line(&mut line));
        match read {
            Ok(0) => Err(self.ended()),
            Ok(_) => {
                serde_json::from_str(&line).map_err(|error| format!("QEMU's monitor says {line:?}: {error}"))
            }
            Err(error) => Err(self.trouble(&error, SILENCE)),
        }
    }

    /// A command of `docs/interop/qmp-spec`; what it returns.
    fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, String> {
        let line = json!({ "execute": command, "arguments": arguments }).to_string() + "\n";
        let sent = self.monitor.get_mut().write_all(line.as_bytes());
        sent.map_err(|error| self.trouble(&error, SILENCE))?;
        loop {
            let mut said = self.read_monitor()?;
            if said.get("return").is_some() {
                return Ok(said["return"].take());
            }
            if let Some(error) = said.get("error") {
                return Err(format!("QEMU refuses {command}: {error}"));
            }
        }
    }

    fn wait_for(
        &mut self,
        query: &str,
        done: impl Fn(&Value) -> Option<Result<(), String>>,
    ) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < SILENCE {
            let status = self.execute(query, &json!({}))?;
            if let Some(done) = done(&status) {
                return done.map_err(|status| format!("{query}: {status}\n{}", self.console()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(format!("{query}: nothing after {} s", SILENCE.as_secs()))
    }

    fn trouble(&mut self, error: &std::io::Error, limit: Duration) -> String {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!("the virtual machine was silent for {} s\n{}", limit.as_secs(), self.console())
            }
            // It went away while it was written to or read.
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => self.ended(),
            _ => format!("the virtual machine's socket: {error}"),
        }
    }

    fn ended(&mut self) -> String {
        // The port closes before the process is gone.
        let start = Instant::now();
        let how = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break format!("{QEMU} ended ({status})"),
                Ok(None) if start.elapsed() < Duration::from_secs(1) => {
                    thread::sleep(Duration::from_millis(5));
                }
                _ => break "the guest closed its port".to_owned(),
            }
        };
        format!("{how}\n{}", self.console())
    }

    /// The end of what the console and QEMU said.
    fn console(&self) -> String {
        let console = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&console).replace('\r', "").trim().to_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may be gone already, which is as good; either way it is waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `qemu-system-x86_64 --version` says.
pub fn version() -> Result<String, String> {
    let output = Command::new(QEMU)
        .arg("--version")
        .output()
        .map_err(|error| format!("{QEMU} cannot be started: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Whether this user may use `/dev/kvm`, which says nothing about whether it works.
pub fn may_use_kvm() -> Result<(), String> {
    let path = "/dev/kvm";
    let opened = File::options().read(true).write(true).open(path);
    opened.map(drop).map_err(|error| format!("{path}: {error}"))
}
