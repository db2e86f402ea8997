//! What happens without privilege, and with no more than is needed. The test itself must be started as root, because
//! only root can give a child exactly these capabilities.

mod rig;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::RwLock;

use bpftwin_conformance::case::Device;
use bpftwin_conformance::observation::Report;
use bpftwin_kernel_tests::sys::{Capability, confine};
use rig::{Answer, PROBE, case, feed, plain, retval};

const NOBODY: u32 = 65534;

/// Held for writing while a copy is made: a child forked meanwhile would inherit the file open for writing, and nobody
/// could execute it.
static COPYING: RwLock<()> = RwLock::new(());

/// A copy of the binary that any user can reach, gone at the end.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str) -> Self {
        let _alone = COPYING.write();
        let directory = std::env::temp_dir().join(format!("bpftwin-{name}-{}", std::process::id()));
        std::fs::create_dir(&directory).expect("a directory");
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)).expect("open to all");
        std::fs::copy(env!("CARGO_BIN_EXE_bpftwin-kernel"), directory.join("bpftwin-kernel"))
            .expect("copies");
        Self(directory)
    }

    /// Runs it with these arguments, as nobody with these capabilities.
    fn feed(&self, arguments: &[&str], capabilities: &[Capability], input: &str) -> Answer {
        let _together = COPYING.read();
        let mut command = Command::new(self.0.join("bpftwin-kernel"));
        confine(command.args(arguments), NOBODY, capabilities);
        feed(&mut command, input)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn a_missing_capability_is_named() {
    let copy = Copy::new("missing");
    for (held, named) in [
        (&[][..], "missing CAP_BPF and CAP_NET_ADMIN:"),
        (&[Capability::NetAdmin], "missing CAP_BPF:"),
        (&[Capability::Bpf], "missing CAP_NET_ADMIN:"),
    ] {
        let answer = copy.feed(&[], held, "not even JSON");
        assert_eq!((answer.code, answer.out.as_str()), (Some(69), ""), "{held:?}: {}", answer.err);
        assert!(answer.err.contains(named), "{held:?}: {}", answer.err);
    }
}

#[test]
fn two_capabilities_are_enough() {
    let copy = Copy::new("enough");
    let held = [Capability::Bpf, Capability::NetAdmin];
    let mut one = case(
        PROBE,
        &["dispatch", "prefilter"],
        vec![plain("dispatch", &[0; 64]), plain("prefilter", &[0; 64])],
    );
    let answer = copy.feed(&[], &held, &serde_json::to_string(&one).expect("serialises"));
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    let Report::Declined(decline) = Report::collect(answer.events()).expect("whole") else {
        panic!("no CAP_PERFMON")
    };
    assert!(decline.reason.contains("perf event array events needs CAP_PERFMON"), "{}", decline.reason);

    let all = [Capability::Bpf, Capability::NetAdmin, Capability::Perfmon];
    let answer = copy.feed(&[], &all, &serde_json::to_string(&one).expect("serialises"));
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    let Report::Seen(seen) = Report::collect(answer.events()).expect("whole") else {
        panic!("{}", answer.out)
    };
    assert_eq!(seen.runs.iter().map(|run| retval(&run.outcome)).collect::<Vec<_>>(), [99, 2]);

    one.network.devices.push(Device {
        name: "eth0".into(),
        ifindex: 2,
        mac: vec![2, 0, 0, 0, 0, 1].into(),
        mtu: 1500,
        addresses: Vec::new(),
        forwarding: false,
    });
    let answer = copy.feed(&[], &all, &serde_json::to_string(&one).expect("serialises"));
    let Report::Declined(decline) = Report::collect(answer.events()).expect("whole") else {
        panic!("{}", answer.out)
    };
    assert!(decline.reason.contains("CAP_SYS_ADMIN is missing"), "{}", decline.reason);
}

#[test]
fn the_check_says_what_this_machine_is() {
    let copy = Copy::new("check");
    let held = [Capability::Bpf, Capability::NetAdmin];
    let answer = copy.feed(&["--check"], &held, "");
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    assert!(answer.out.starts_with("{\"event\":\"begin\",\"plane\":\"prog-run\""), "{}", answer.out);
    assert_eq!(copy.feed(&["--check"], &[], "").code, Some(69));
    assert_eq!(copy.feed(&["--chek"], &held, "").code, Some(2));
}
