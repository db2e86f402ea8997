//! When everything that a frame causes has happened.
//!
//! A thread that stays on one CPU and sends a frame causes work on that CPU only: a device hands it to the CPU's backlog
//! or to a NAPI instance on the CPU's poll list (`net/core/dev.c: enqueue_to_backlog, __napi_schedule`), and both mean a
//! pending NET_RX softirq of that CPU. Pending softirqs of a CPU run in three places only (`kernel/softirq.c`, v6.12):
//! when the section that raised them enables bottom halves, when an interrupt returns, and, when those two have done
//! enough or must not, in the thread `ksoftirqd` of that CPU, which is woken for it. So while this thread runs in user
//! space on its CPU, none is under way there; and if `ksoftirqd` sleeps then, none is pending: what was sent, and all that
//! came of it, has arrived. While `ksoftirqd` is awake this thread lets it run.
//!
//! Not covered, because it is no softirq of this CPU: kernel threads of a cpumap, work queues, and timers.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// How long softirqs may go on without a pause. Frames in a loop without end go on forever.
const PATIENCE: Duration = Duration::from_secs(10);

/// The thread `ksoftirqd` of a CPU.
pub struct Quiet {
    stat: File,
}

impl Quiet {
    /// Finds the thread, which is among the first of the machine's processes.
    pub fn of_cpu(cpu: u32) -> Result<Self, Failure> {
        let name = format!("ksoftirqd/{cpu}");
        let absent = || {
            Failure::Harness(format!(
                "there is no process {name} in /proc: in a PID namespace of its own this process cannot know when \
                 frames have arrived"
            ))
        };
        let entries = std::fs::read_dir("/proc").map_err(|_| absent())?.flatten();
        let mut pids: Vec<u32> = entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
        pids.sort_unstable();
        for pid in pids {
            let comm = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            if comm.is_ok_and(|comm| comm.trim_end() == name) {
                return File::open(format!("/proc/{pid}/stat"))
                    .map(|stat| Self { stat })
                    .map_err(|_| absent());
            }
        }
        Err(absent())
    }

    /// Returns once no softirq is pending on the CPU this thread is pinned to. False: they do not come to an end.
    pub fn wait(&self) -> Result<bool, Failure> {
        let start = Instant::now();
        while !self.sleeps()? {
            if start.elapsed() > PATIENCE {
                return Ok(false);
            }
            std::thread::yield_now();
        }
        Ok(true)
    }

    /// Whether the thread sleeps: the state after its name in parentheses, `proc_pid_stat(5)`.
    fn sleeps(&self) -> Result<bool, Failure> {
        let mut stat = [0; 64];
        let got = self
            .stat
            .read_at(&mut stat, 0)
            .map_err(|error| Failure::Harness(format!("cannot read the state of ksoftirqd: {error}")))?;
        let name_ends = stat[..got].iter().position(|&byte| byte == b')');
        match name_ends.and_then(|end| stat.get(end + 2)) {
            Some(b'S') => Ok(true),
            Some(_) => Ok(false),
            None => Err(Failure::Harness("the state of ksoftirqd is not readable".into())),
        }
    }
}
