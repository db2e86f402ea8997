//! Virtual machines: the same binary gives the same answers, and whatever happens to a machine, nothing of it is left.
//! Needs QEMU and one of Debian's kernels, which is fetched at the first run; no privilege.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bpftwin_conformance::guest::{Ended, Pool};
use bpftwin_conformance::kernels::{Cache, Cached, fetch, sources};
use bpftwin_conformance::observation::Event;
use bpftwin_conformance::plane::Unavailable;

const BINARY: &str = env!("CARGO_BIN_EXE_bpftwin-kernel");
const KERNEL: &str = "6.12";

/// The machines of a test are told by their parent, so that tests take turns.
static TURN: Mutex<()> = Mutex::new(());

fn cache() -> (Cache, Cached) {
    let cache = Cache::at(Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels-for-tests"));
    let kernel = cache.kernel(KERNEL).unwrap_or_else(|_| {
        let source = sources().into_iter().find(|source| source.name == KERNEL).unwrap();
        fetch(&source, &cache).unwrap()
    });
    (cache, kernel)
}

/// The machines this process has started.
fn machines() -> Vec<u32> {
    let own = std::process::id().to_string();
    let is_ours = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let (name, rest) = stat.rsplit_once(')').unwrap_or_default();
        name.contains("qemu-system") && rest.split_whitespace().nth(1) == Some(&own)
    };
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).filter(is_ours).collect()
}

fn signal(signal: &str, pid: u32) {
    // It may have ended by itself.
    let _ = Command::new("kill").arg(signal).arg(pid.to_string()).status().unwrap();
}

/// Asks a machine who it is.
fn ask(pool: &Pool) -> Result<(Vec<String>, Ended), Unavailable> {
    pool.call(KERNEL, Path::new(BINARY), &["--check"], &[])
}

fn is_right(answer: &(Vec<String>, Ended), kernel: &Cached) {
    let (lines, ended) = answer;
    assert_eq!((lines.len(), ended.code), (1, Some(0)), "{answer:?}");
    let Event::Begin(begin) = serde_json::from_str(&lines[0]).unwrap() else { panic!("{lines:?}") };
    assert_eq!(begin.kernel, kernel.manifest.release);
}

/// What is beside the kernel: the last snapshot and what it was made with.
fn left(kernel: &Cached) -> BTreeSet<String> {
    let names = std::fs::read_dir(kernel.folder()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| name.split_once('-').map_or(name.clone(), |(start, _)| start.to_owned())).collect()
}

#[test]
fn a_command_ends_in_a_machine_as_it_does_here() {
    let _turn = TURN.lock().unwrap();
    let (cache, kernel) = cache();
    let pool = Pool::new(Ok(cache), Duration::from_mins(1));
    is_right(&ask(&pool).unwrap(), &kernel);
    for (arguments, input) in
        [(&["--help"][..], ""), (&["--nonsense"], ""), (&[], "no case"), (&["--guest"], "")]
    {
        let (lines, ended) = pool.call(KERNEL, Path::new(BINARY), arguments, input.as_bytes()).unwrap();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let file = folder.join("guests-input");
        std::fs::write(&file, input).unwrap();
        let here =
            Command::new(BINARY).args(arguments).stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
        assert_eq!(lines.join("\n"), String::from_utf8_lossy(&here.stdout).trim_end_matches('\n'));
        // Without privilege this one stops earlier here.
        if !(arguments.is_empty() && here.status.code() == Some(69)) {
            assert_eq!(
                (ended.code, ended.stderr),
                (here.status.code(), String::from_utf8(here.stderr).unwrap())
            );
        }
    }
    assert_eq!(machines().len(), 1);
}

#[test]
fn machines_killed_at_any_moment_leave_nothing_and_the_next_goes_on() {
    let _turn = TURN.lock().unwrap();
    let (cache, kernel) = cache();
    let pool = Pool::new(Ok(cache), Duration::from_mins(1));
    is_right(&ask(&pool).unwrap(), &kernel);
    let (mut killed, mut unavailable) = (0, 0);
    for round in 0..20_u64 {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                // While a machine starts, is asked, or does nothing.
                thread::sleep(Duration::from_millis(round * 7919 % 400));
                let machines = machines();
                killed += machines.len();
                for pid in machines {
                    signal("-KILL", pid);
                }
                done.store(true, Ordering::SeqCst);
            });
            while !done.load(Ordering::SeqCst) {
                match ask(&pool) {
                    Ok(answer) => is_right(&answer, &kernel),
                    Err(trouble) => {
                        unavailable += 1;
                        assert!(trouble.why.contains(KERNEL), "{trouble}");
                    }
                }
            }
        });
    }
    assert!(killed >= 15 && unavailable >= 1, "killed {killed}, unavailable {unavailable}");
    // One that was killed while nobody looked is found out now.
    let answer = (0..3).find_map(|_| ask(&pool).ok());
    is_right(&answer.expect("a machine"), &kernel);
    drop(pool);
    assert!(machines().is_empty());
    let expected = ["initramfs", "kernel.json", "lock", "modules", "snapshot", "vmlinuz"];
    assert_eq!(left(&kernel), expected.map(str::to_owned).into());
}

#[test]
fn a_machine_that_hangs_is_ended() {
    let _turn = TURN.lock().unwrap();
    let (cache, kernel) = cache();
    let pool = Pool::new(Ok(cache), Duration::from_secs(2));
    is_right(&(0..5).find_map(|_| ask(&pool).ok()).expect("a machine"), &kernel);
    for pid in machines() {
        signal("-STOP", pid);
    }
    let start = Instant::now();
    let trouble = ask(&pool).unwrap_err();
    assert!(trouble.why.contains("silent for 2 s"), "{trouble}");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(machines().is_empty());
}
