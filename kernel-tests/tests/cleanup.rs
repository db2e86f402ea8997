//! Nothing outlives the process. Needs root.
//!
//! Other tests make maps, programs and namespaces at the same time, so this one notes what belongs to its own child, and
//! asks the kernel's lists for that afterwards.

mod rig;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bpftwin_conformance::case::{Case, Device};
use bpftwin_conformance::resolve::{Library, resolve};
use bpftwin_conformance::scenario::Scenario;
use bpftwin_kernel_tests::sys::{Errno, Kind, Netlink, ids, unshare_network};
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

/// The process `pid`'s links, maps and programs, as its descriptors tell.
fn held(pid: u32) -> BTreeSet<(Kind, u32)> {
    let directory = format!("/proc/{pid}/fdinfo");
    let infos = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory}: {error}"));
    infos
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok())
        .filter_map(|text| {
            let field =
                |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            // A link's shows its program too.
            let kinds = [("link_id:", Kind::Link), ("prog_id:", Kind::Program), ("map_id:", Kind::Map)];
            kinds.into_iter().find_map(|(name, kind)| field(name).map(|id| (kind, id)))
        })
        .collect()
}

/// Namespaces of another process, watched without keeping them alive: in a namespace of this thread's own, the kernel
/// knows each by a number until it is gone (`net/core/net_namespace.c: rtnl_net_newid, rtnl_net_getid`, v6.12).
struct Rooms {
    socket: Netlink,
    count: u32,
}

impl Rooms {
    /// Those that `pid` has descriptors of.
    fn of(pid: u32) -> Self {
        const RTM_NEWNSID: u16 = 88;
        const NETNSA_FD: u16 = 3;
        unshare_network().expect("a namespace");
        let mut rooms = Self { socket: Netlink::open().expect("a socket"), count: 0 };
        let directory = format!("/proc/{pid}/fd");
        for entry in std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory}: {error}")) {
            let path = entry.expect("a descriptor").path();
            if std::fs::read_link(&path).is_ok_and(|to| to.to_string_lossy().starts_with("net:")) {
                let room = std::fs::File::open(path).expect("still there");
                let fd = room.as_raw_fd().to_ne_bytes();
                let request = [Self::number(rooms.count), attribute(NETNSA_FD, fd)].concat();
                rooms.socket.request(RTM_NEWNSID, 0, &request).expect("a number for it");
                rooms.count += 1;
            }
        }
        rooms
    }

    /// How many there are still.
    fn left(&mut self) -> u32 {
        const RTM_GETNSID: u16 = 90;
        let mut left = 0;
        for number in 0..self.count {
            let request = Self::number(number);
            match self.socket.request(RTM_GETNSID, 0, &request) {
                Ok(_) => left += 1,
                Err(error) => assert_eq!(error.errno, Errno::ENOENT, "{error}"),
            }
        }
        left
    }

    /// `struct rtgenmsg`, and the attribute `NETNSA_NSID`.
    fn number(number: u32) -> Vec<u8> {
        const NETNSA_NSID: u16 = 1;
        [vec![0; 4], attribute(NETNSA_NSID, number.to_ne_bytes())].concat()
    }
}

fn attribute(kind: u16, value: [u8; 4]) -> Vec<u8> {
    [&8_u16.to_ne_bytes()[..], &kind.to_ne_bytes(), &value].concat()
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
fn eventually(what: &str, mut gone: impl FnMut() -> bool) {
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

/// A topology with every way to attach, and steps for as long as this test needs.
fn topology() -> Case {
    let text = r#"
[scenario]
title = "every hook"
objects.o = "datapath:steer"
[[node]]
name = "n"
[[link]]
a = "n/a:bpftwin1"
b = "n/b:bpftwin2"
[[attach]]
at = "n/a:bpftwin1/tcx-egress"
prog = "o:steer"
[[attach]]
at = "n/b:bpftwin2/tcx-ingress"
prog = "o:steer"
[[attach]]
at = "n/b:bpftwin2/tc-ingress"
prog = "o:steer"
[[attach]]
at = "n/b:bpftwin2/xdp"
prog = "o:steer_xdp"
[[step]]
send = { at = "n/a:bpftwin1", pkt = "Ether(type=0x88b5)/Raw('a frame')" }
"#;
    let scenario = Scenario::parse("every-hook.toml", text).expect("parses");
    let mut case = resolve(&scenario, &Library::bundled()).expect("resolves").case;
    let steps = &mut case.topology.as_mut().expect("a topology").steps;
    *steps = vec![steps[0].clone(); 100_000];
    case
}

/// Stops a rig in the midst of its frames with `SIGKILL`, or lets it finish: links, maps, programs and namespaces are
/// gone, and its devices with them.
fn check_rig(kill: bool) {
    let mut child =
        binary().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bpftwin-kernel starts");
    let json = serde_json::to_string(&topology()).expect("serialises");
    child.stdin.take().expect("a pipe").write_all(json.as_bytes()).expect("reads");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(lines.next().expect("a line").expect("UTF-8").contains("\"begin\""));
    assert!(lines.next().expect("a line").expect("UTF-8").contains("\"run\""), "frames are on their way");

    let pid = child.id();
    let (objects, mut rooms) = (held(pid), Rooms::of(pid));
    assert!(objects.is_subset(&alive()), "what it holds is what bpf(2) lists");
    for (kind, least) in [(Kind::Link, 2), (Kind::Program, 2), (Kind::Map, 3)] {
        let count = objects.iter().filter(|(held, _)| *held == kind).count();
        assert!(count >= least, "{count} of {kind:?}");
    }
    assert_eq!(rooms.left(), 3);
    if kill {
        child.kill().expect("SIGKILL");
    } else {
        lines.for_each(drop);
    }
    assert_eq!(child.wait().expect("ends").success(), !kill);
    eventually("a link, map or program", || objects.is_disjoint(&alive()));
    eventually("a namespace", || rooms.left() == 0);
    for device in ["bpftwin1", "bpftwin2"] {
        assert!(!std::path::Path::new("/sys/class/net").join(device).exists(), "{device} has come here");
    }
}

#[test]
fn nothing_is_left_of_a_rig() {
    check_rig(false);
    check_rig(true);
}
