//! A folder of its own for each test, the binary run in it, and a stand-in for `bpftwin-kernel` that answers what it is
//! told, so that divergence and trouble can be tested without a kernel. Each test file uses its own part of it.
#![allow(dead_code)]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use bpftwin_conformance::observation::{Event, Observation, Report};
use bpftwin_conformance::plane::Plane;
use bpftwin_conformance::plane::sim::SimPlane;
use bpftwin_conformance::resolve::{Library, Resolved, resolve};
use bpftwin_conformance::scenario::Scenario;

/// A folder that is gone when the test is over.
pub struct Rig {
    folder: PathBuf,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Rig {
    pub fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("bpftwin-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A script that stands in for `bpftwin-kernel`.
    pub fn kernel_script(&self, script: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.write("kernel", format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A stand-in that answers with these events.
    pub fn kernel(&self, events: &[Event]) {
        let lines: String = events.iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
        let file = self.write("events.jsonl", lines);
        self.kernel_script(&format!("cat > /dev/null\ncat {}", file.display()));
    }

    /// Runs the binary in the folder; `prog-run` is the stand-in, if there is one.
    pub fn bpftwin(&self, arguments: &[&str]) -> Ran {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_bpftwin"))
            .args(arguments)
            .current_dir(&self.folder)
            .env_remove("NO_COLOR")
            .env("BPFTWIN_KERNEL", self.path("kernel"))
            .output()
            .unwrap();
        Ran {
            code: status.code(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// What the binary said.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Three packets through both directions of the pod datapath: one passes, one is dropped with a notification, one is
/// too short for the kernel.
pub const SCENARIO: &str = r#"[scenario]
title = "a pod talks"
objects = { veth = "datapath:veth" }
program = "from_container"
records = { events_ring = "drop_record" }
config.veth = { config = { identity = 1000, ipv4 = "10.1.0.2" } }

[[packet]]
name = "udp"
hex = """02000000000a 020000000002 0800
4500001e00010000401166cb0a010002c0000209 1111003500
0ad01d 6869"""
ctx = { mark = 7, priority = 1 }
expect = { retval = "TC_ACT_OK", unchanged = true }

[[packet]]
name = "cut"
hex = "02000000000a 020000000002 0800 4500001e00010000401166cb0a010002c0000209 1111"
expect = { retval = "TC_ACT_SHOT", record = [{ map = "events_ring" }] }

[[packet]]
name = "short"
hex = "0200"
expect = { errno = "EINVAL" }

[[ignore]]
field = "map:conntrack.last_seen_ns"
reason = "a clock"

[[ignore]]
field = "map:conntrack.expires_ns"
reason = "a clock"
"#;

/// The case of a scenario's text.
pub fn resolved(text: &str) -> Resolved {
    let scenario = Scenario::parse("case.toml", text).unwrap();
    resolve(&scenario, &Library::bundled()).unwrap()
}

/// What the simulator sees of a case.
pub fn seen(resolved: &Resolved) -> Observation {
    match SimPlane::default().run(&resolved.case).unwrap() {
        Report::Seen(seen) => *seen,
        Report::Declined(decline) => panic!("{}", decline.reason),
    }
}

/// An observation as a kernel would report it.
pub fn events(seen: &Observation) -> Vec<Event> {
    let mut begin = seen.begin.clone();
    begin.plane = "prog-run".into();
    begin.kernel = "6.18.44".into();
    let runs = seen.runs.iter().cloned().map(|mut run| {
        run.lines.clear();
        Event::Run(run)
    });
    std::iter::once(Event::Begin(begin)).chain(runs).chain([Event::End(seen.end.clone())]).collect()
}

/// A golden of this case, as a kernel 6.18 would have made it.
pub fn golden(resolved: &Resolved, seen: &Observation) -> String {
    let mut seen = seen.clone();
    seen.begin.kernel = "6.18.44".into();
    bpftwin_conformance::golden::write(&resolved.case, &seen).unwrap()
}

/// Where the golden of `case.toml` is.
pub const GOLDEN: &str = "golden/6.18/case.jsonl";
