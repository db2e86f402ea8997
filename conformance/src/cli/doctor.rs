//! `bpftwin doctor`: what this machine can do, and why not.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bpftwin_conformance::case::{Case, Device, Does, End, Link, Namespace, Network, Step, Topology};
use bpftwin_conformance::exit::Exit;
use bpftwin_conformance::guest::qemu;
use bpftwin_conformance::kernels::Cache;
use bpftwin_conformance::observation::{Event, Outcome, Report};
use bpftwin_conformance::plane::Plane;
use bpftwin_conformance::plane::kernel::{KernelPlane, Where};
use bpftwin_conformance::suite::PlaneName;
use bpftwin_sim::uapi::Release;

use super::args::Format;
use super::{Stop, Terminal};

/// One thing looked at.
struct Finding {
    what: &'static str,
    there: bool,
    says: String,
    /// What it is good for, or what to do.
    advice: &'static str,
}

/// Looks around. Always succeeds: an environment is not a test.
pub fn doctor(terminal: &Terminal) -> Result<Exit, Stop> {
    let findings = look();
    let text = match terminal.global.format {
        Format::Json => findings.iter().fold(String::new(), |mut out, f| {
            let line = serde_json::json!({
                "v": 1, "event": "doctor", "what": f.what, "there": f.there, "says": f.says, "advice": f.advice,
            });
            let _ = writeln!(out, "{line}");
            out
        }),
        _ => findings.iter().fold(String::new(), |mut out, f| {
            let mark = if f.there { "ok" } else { "--" };
            let _ = writeln!(out, "{mark:>4}  {:<18} {}", f.what, f.says);
            if !f.there && !f.advice.is_empty() {
                let _ = writeln!(out, "{:>4}  {:<18} {}", "", "", f.advice);
            }
            out
        }),
    };
    terminal.out(&text)?;
    Ok(Exit::Pass)
}

fn look() -> Vec<Finding> {
    let kernels = Release::ALL.iter().map(|release| release.name()).collect::<Vec<_>>().join(", ");
    let mut findings = vec![Finding {
        what: "plane sim",
        there: true,
        says: format!("always; speaks as {kernels}"),
        advice: "",
    }];
    findings.extend([plane_prog_run(), plane_netns()]);
    findings.extend([
        kernel(),
        capabilities(),
        sysctl(
            "unprivileged bpf",
            "/proc/sys/kernel/unprivileged_bpf_disabled",
            |value| value == "0",
            "bpf(2) needs CAP_BPF here",
        ),
        sysctl(
            "BPF JIT",
            "/proc/sys/net/core/bpf_jit_enable",
            |value| value != "0",
            "programs are interpreted",
        ),
        file("kernel BTF", "/sys/kernel/btf/vmlinux", "needed only by programs with CO-RE relocations"),
        tool(
            "clang",
            &["clang-19", "clang"],
            "needed only to rebuild the bundled objects: apt install clang-19",
        ),
        tool(
            "qemu",
            &[qemu::QEMU],
            "needed only for planes such as prog-run@6.12: apt install --no-install-recommends qemu-system-x86",
        ),
        kvm(),
        kernels_here(),
    ]);
    findings
}

fn plane_prog_run() -> Finding {
    let advice = "as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, after `cargo build -p bpftwin-kernel-tests`";
    let finding = |there, says| Finding { what: "plane prog-run", there, says, advice };
    let plane = match KernelPlane::find() {
        Ok(plane) => plane,
        Err(trouble) => return finding(false, trouble.why),
    };
    match Command::new(plane.binary()).arg("--check").output() {
        Err(error) => finding(false, format!("{}: {error}", plane.binary().display())),
        Ok(output) if output.status.success() => match serde_json::from_slice(&output.stdout) {
            Ok(Event::Begin(begin)) => {
                let says = format!(
                    "kernel {}, {} CPUs, by {}",
                    begin.kernel,
                    begin.nr_cpus,
                    plane.binary().display()
                );
                finding(true, says)
            }
            _ => finding(false, format!("{} does not speak our language", plane.binary().display())),
        },
        Ok(output) => finding(false, String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Sends a frame over a pair of devices between two namespaces.
fn plane_netns() -> Finding {
    let advice =
        "as plane prog-run and with CAP_SYS_ADMIN, on a kernel with veth, where /proc shows ksoftirqd";
    let finding = |there, says| Finding { what: "plane netns", there, says, advice };
    let asked = KernelPlane::find()
        .and_then(|plane| plane.of(PlaneName::Netns(Where::Host), Arc::default()).run(&one_frame()));
    match asked {
        Err(trouble) => finding(false, trouble.why),
        Ok(Report::Declined(decline)) => finding(false, decline.reason),
        Ok(Report::Seen(seen)) => match seen.runs.first().map(|run| &run.outcome) {
            Some(Outcome::Walked(walk)) if walk.frames.len() == 2 => {
                finding(true, "a frame went from one namespace to another".into())
            }
            outcome => finding(false, format!("a frame was lost between two namespaces: {outcome:?}")),
        },
    }
}

fn one_frame() -> Case {
    let end = |namespace: &str, ifindex: u8| End {
        namespace: namespace.into(),
        device: Device {
            name: "eth0".into(),
            ifindex: ifindex.into(),
            mac: vec![2, 0, 0, 0, 0, ifindex].into(),
            mtu: 1500,
            addresses: Vec::new(),
            forwarding: false,
        },
        up: true,
    };
    let namespace = |name: &str| Namespace {
        name: name.into(),
        forwarding: false,
        routes: Vec::new(),
        neighbours: Vec::new(),
    };
    // Of an EtherType for experiments (IEEE 802), with nothing in it.
    let frame = vec![2, 0, 0, 0, 0, 12, 2, 0, 0, 0, 0, 11, 0x88, 0xb5].into();
    Case {
        name: "doctor".into(),
        objects: Vec::new(),
        maps: Vec::new(),
        network: Network::default(),
        runs: Vec::new(),
        watch: None,
        topology: Some(Topology {
            namespaces: vec![namespace("a"), namespace("b")],
            links: vec![Link::Veth { a: end("a", 11), b: end("b", 12) }],
            attachments: Vec::new(),
            steps: vec![Step {
                name: "a frame".into(),
                does: Does::Send { namespace: "a".into(), device: "eth0".into(), frame },
            }],
        }),
    }
}

fn kvm() -> Finding {
    let advice = "virtual machines are emulated, which takes longer and gives the same results";
    let (there, says) = match qemu::may_use_kvm() {
        Err(why) => (false, why),
        Ok(()) if Cache::open().is_ok_and(|cache| cache.kvm_fails()) => {
            (false, "/dev/kvm is there; a machine on it did not start".into())
        }
        Ok(()) => (true, "/dev/kvm".into()),
    };
    Finding { what: "kvm", there, says, advice }
}

fn kernels_here() -> Finding {
    let kernels = Cache::open().map(|cache| cache.kernels()).unwrap_or_default();
    let says: Vec<_> =
        kernels.iter().map(|kernel| format!("{} ({})", kernel.name, kernel.manifest.release)).collect();
    let there = !kernels.is_empty();
    let says = if there { says.join(", ") } else { "none in the cache".to_owned() };
    Finding {
        what: "guest kernels",
        there,
        says,
        advice: "`bpftwin kernels fetch 6.12` gets one, without privilege",
    }
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(|error| format!("{path}: {error}"))
}

fn kernel() -> Finding {
    let (there, says) = match read("/proc/sys/kernel/osrelease") {
        Err(why) => (false, why),
        Ok(release) => match Release::of_uname(&release) {
            Some(described) => (true, format!("{release}, described as {described}")),
            None => (false, format!("{release}, older than every described kernel")),
        },
    };
    Finding { what: "kernel", there, says, advice: "the simulator describes 6.1 and newer" }
}

/// `CapEff` of this process: `include/uapi/linux/capability.h`.
fn capabilities() -> Finding {
    const WANTED: [(&str, u32); 4] =
        [("CAP_BPF", 39), ("CAP_NET_ADMIN", 12), ("CAP_PERFMON", 38), ("CAP_SYS_ADMIN", 21)];
    let effective = read("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?.trim().to_owned();
        u64::from_str_radix(&line, 16).ok()
    });
    let (there, says) = match effective {
        None => (false, "cannot be read".to_owned()),
        Some(effective) => {
            let missing: Vec<_> =
                WANTED.iter().filter(|(_, bit)| effective >> bit & 1 == 0).map(|(n, _)| *n).collect();
            match missing[..] {
                [] => (true, WANTED.map(|(name, _)| name).join(", ")),
                _ => (false, format!("missing {}", missing.join(", "))),
            }
        }
    };
    Finding { what: "capabilities", there, says, advice: "needed by planes prog-run and netns" }
}

fn sysctl(what: &'static str, path: &str, good: impl Fn(&str) -> bool, advice: &'static str) -> Finding {
    match read(path) {
        Ok(value) => Finding { what, there: good(&value), says: format!("{path} is {value}"), advice },
        Err(why) => Finding { what, there: false, says: why, advice },
    }
}

fn file(what: &'static str, path: &str, advice: &'static str) -> Finding {
    match std::fs::File::open(Path::new(path)) {
        Ok(_) => Finding { what, there: true, says: path.to_owned(), advice },
        Err(error) => Finding { what, there: false, says: format!("{path}: {error}"), advice },
    }
}

fn tool(what: &'static str, names: &[&str], advice: &'static str) -> Finding {
    for name in names {
        if let Ok(output) = Command::new(name).arg("--version").output()
            && output.status.success()
        {
            let text = String::from_utf8_lossy(&output.stdout);
            let says = format!("{name}: {}", text.lines().next().unwrap_or_default());
            return Finding { what, there: true, says, advice };
        }
    }
    Finding { what, there: false, says: format!("no {} in PATH", names.join(", no ")), advice }
}
