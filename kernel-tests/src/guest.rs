//! `bpftwin-kernel --guest`: the first process of a virtual machine.
//!
//! The machine's only line to the outside is a virtio serial port. What comes in are commands of this very program
//! ([`Request`]): each runs as a process of its own, exactly as `bpftwin` starts one on the host, and what it prints goes
//! out as it comes, followed by how it ended ([`Ended`]). When nobody listens any more the machine ends.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bpftwin_conformance::guest::{Ended, MODULES, PORT, Request};
use bpftwin_conformance::observation::Event;

use crate::failure::Failure;
use crate::plane::Plane;
use crate::sys::{self, Errno};

/// What is mounted where. Programs may pin to the BPF file system and attach to control groups.
const MOUNTS: [(&str, &str); 6] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/tmp"),
    ("bpf", "/sys/fs/bpf"),
    ("cgroup2", "/sys/fs/cgroup"),
];

/// How long the port may take to appear and to have somebody at its other end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves until nobody listens, then ends the machine. Returns only with what went wrong.
pub fn serve() -> Result<(), Failure> {
    if std::process::id() != 1 {
        return Err(Failure::Harness("--guest is for the first process of a virtual machine".into()));
    }
    let result = boot().and_then(|port| answer(&port));
    if let Err(failure) = &result {
        eprintln!("bpftwin-kernel: {failure}");
    }
    let errno = sys::restart();
    Err(Failure::Harness(format!("cannot end this machine: {errno}")))
}

fn harness(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| Failure::Harness(format!("{what}: {error}"))
}

/// File systems, modules, the port.
fn boot() -> Result<File, Failure> {
    for (fs_type, target) in MOUNTS {
        sys::mount(fs_type, target)
            .map_err(|errno| Failure::Harness(format!("cannot mount {fs_type} on {target}: {errno}")))?;
    }
    let mut modules = fs::read_dir(MODULES)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>())
        .map_err(harness(MODULES))?;
    modules.sort();
    for module in modules {
        let file = File::open(&module).map_err(harness(module.display()))?;
        match sys::load_module(&file) {
            Ok(()) | Err(Errno::EEXIST) => {}
            // A case that needs it will say so; the console says why.
            Err(errno) => eprintln!("bpftwin-kernel: module {}: {errno}", module.display()),
        }
    }
    let path = wait_for(|| port().ok().flatten())
        .ok_or_else(|| Failure::Harness(format!("no virtio serial port is named {PORT}")))?;
    File::options().read(true).write(true).open(&path).map_err(harness(path.display()))
}

/// The device whose name in sysfs is [`PORT`].
fn port() -> std::io::Result<Option<PathBuf>> {
    for entry in fs::read_dir("/sys/class/virtio-ports")? {
        let entry = entry?;
        if fs::read_to_string(entry.path().join("name"))?.trim_end() == PORT {
            return Ok(Some(PathBuf::from("/dev").join(entry.file_name())));
        }
    }
    Ok(None)
}

fn wait_for<T>(mut what: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = what() {
            return Some(found);
        }
        if start.elapsed() > PATIENCE {
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Says who this is, then answers request by request.
fn answer(mut port: &File) -> Result<(), Failure> {
    let begin = Event::Begin(Plane::new()?.begin().clone());
    let line = serde_json::to_string(&begin).map_err(|e| Failure::Harness(e.to_string()))?;
    port.write_all((line + "\n").as_bytes()).map_err(harness(PORT))?;
    let mut input = BufReader::new(port);
    // The port reads as ended until the other side has connected
    // (`drivers/char/virtio_console.c: port_fops_read`, v6.12).
    wait_for(|| match input.fill_buf() {
        Ok([]) => None,
        other => Some(other.map(drop)),
    })
    .ok_or_else(|| Failure::Harness("nobody listens".into()))?
    .map_err(harness(PORT))?;
    let mut header = String::new();
    while input.read_line(&mut header).map_err(harness(PORT))? > 0 {
        let request: Request =
            serde_json::from_str(&header).map_err(|error| Failure::Harness(format!("{header}: {error}")))?;
        let mut bytes = vec![0; request.input];
        input.read_exact(&mut bytes).map_err(harness(PORT))?;
        let ended = run(&request.arguments, bytes, port)?;
        port.write_all(ended.to_line().as_bytes()).map_err(harness(PORT))?;
        header.clear();
    }
    Ok(())
}

/// One command, its output straight to the port.
fn run(arguments: &[String], bytes: Vec<u8>, port: &File) -> Result<Ended, Failure> {
    let output = port.try_clone().map_err(harness(PORT))?;
    let mut child = Command::new("/proc/self/exe")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(harness("cannot start a process"))?;
    let mut stdin = child.stdin.take().expect("piped above");
    // It may end before it has read everything: its exit code tells why.
    let writer = thread::spawn(move || drop(stdin.write_all(&bytes)));
    let mut stderr = Vec::new();
    child.stderr.take().expect("piped above").read_to_end(&mut stderr).map_err(harness("standard error"))?;
    let status = child.wait().map_err(harness("cannot wait for a process"))?;
    writer.join().expect("the thread does not panic");
    Ok(Ended {
        code: status.code(),
        signal: status.signal(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}
