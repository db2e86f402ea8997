//! Nothing outlives the process. Needs root.
//!
//! Other tests make maps, programs and namespaces at the same time, so this one notes what belongs to its own child, and
//! asks the kernel's lists for that afterwards.

mod rig;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bpftwin_conformance::case::{Case, Device};
use bpftwin_kernel_tests::sys::{Kind, ids};
use rig::{PROBE, binary, case, marked};

fn sample() -> Case {
    let mut case = case(PROBE, &["classify"], vec![marked("classify", &[0; 60], 1)]);
    case.network.devices.push(Device {
        name: "bpftwin0".into(),
        ifindex: 7,
        mac: vec![2, 0, 0, 0, 0, 7].into(),
        mtu: 1500,
        addresses: vec!["10.0.0.1/24".into()],
        forwarding: true,
    });
    case
}

/// The process `pid`'s maps and programs, as its descriptors tell.
fn held(pid: u32) -> BTreeSet<(Kind, u32)> {
    let directory = format!("/proc/{pid}/fdinfo");
    let infos = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory}: {error}"));
    infos
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok())
        .filter_map(|text| {
            let field =
                |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            field("prog_id:").map(|id| (Kind::Program, id)).or(field("map_id:").map(|id| (Kind::Map, id)))
        })
        .collect()
}

fn alive() -> BTreeSet<(Kind, u32)> {
    Kind::ALL
        .iter()
        .flat_map(|&kind| ids(kind).expect("walks").into_iter().map(move |id| (kind, id)))
        .collect()
}

/// The network namespace of `pid`, as a number.
fn namespace(pid: u32) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/net")).expect("a namespace").to_string_lossy().into_owned()
}

/// Waits until `gone` holds: the kernel frees maps, programs and namespaces a moment after the last descriptor.
fn eventually(what: &str, gone: impl Fn() -> bool) {
    let start = Instant::now();
    while !gone() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nothing_is_left_after_kill_9() {
    let here = namespace(std::process::id());
    let mut child =
        binary().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bpftwin-kernel starts");
    let mut case = sample();
    // Many long runs, so that the process is inside one for as long as this test needs.
    let mut run = case.runs[0].clone();
    run.program = "stage".into();
    run.repeat = 5_000_000;
    case.objects[0].programs.push("stage".into());
    case.runs.extend(std::iter::repeat_n(run, 1000));
    let json = serde_json::to_string(&case).expect("serialises");
    child.stdin.as_mut().expect("a pipe").write_all(json.as_bytes()).expect("reads");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(lines.next().expect("a line").expect("UTF-8").contains("\"begin\""));

    let pid = child.id();
    let start = Instant::now();
    while held(pid).len() < 12 {
        assert!(start.elapsed() < Duration::from_secs(20), "it holds {:?}", held(pid));
        std::thread::sleep(Duration::from_millis(1));
    }
    let (objects, inside) = (held(pid), namespace(pid));
    assert!(objects.is_subset(&alive()), "what it holds is what bpf(2) lists");
    assert_ne!(inside, here, "it runs in a namespace of its own");
    assert!(!std::path::Path::new("/sys/fs/bpf/seen").exists(), "the object's pin is ignored");

    child.kill().expect("SIGKILL");
    let status = child.wait().expect("ends");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    eventually("a map or program", || objects.is_disjoint(&alive()));
    let in_it = || {
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        let links = processes.filter_map(|entry| std::fs::read_link(entry.path().join("ns/net")).ok());
        links.filter(|link| link.to_string_lossy() == inside).count()
    };
    assert_eq!(in_it(), 0, "nobody is left in its namespace");
    assert!(!std::path::Path::new("/sys/class/net/bpftwin0").exists(), "no device has come here");
    assert!(!std::path::Path::new("/sys/fs/bpf/seen").exists(), "no pin is left");
}
