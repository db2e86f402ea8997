//! `bpftwin fuzz`: random cases on both planes until they differ, time is up, or all are done.

mod packets;
mod programs;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use bpftwin_conformance::exit::Exit;
use bpftwin_conformance::plane::Unavailable;
use bpftwin_conformance::plane::kernel::KernelPlane;
use bpftwin_conformance::plane::probe::KernelProber;
use bpftwin_sim::uapi::Release;
use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Format, Fuzz, FuzzMode, Limits};
use super::{Stop, Terminal};

/// Runs random cases; exit 3 if any differed.
pub fn fuzz(terminal: &Terminal, fuzz: &Fuzz) -> Result<Exit, Stop> {
    match &fuzz.mode {
        FuzzMode::Packets { objects, described, max_entries, ignore } => {
            let loading = packets::Loading {
                described: described.read().map_err(Stop::usage)?,
                max_entries,
                ignores: ignore,
            };
            packets::packets(terminal, &fuzz.limits, objects, &loading)
        }
        FuzzMode::Programs { level, engine } => programs::programs(terminal, &fuzz.limits, *level, *engine),
    }
}

fn unavailable(trouble: &Unavailable) -> Stop {
    Stop::unavailable(format!("{trouble}\n  {}", trouble.advice))
}

/// A kernel that answers probes, and the series the simulator speaks as.
fn prober() -> Result<(KernelProber, Release), Stop> {
    let plane = KernelPlane::find().map_err(|trouble| unavailable(&trouble))?;
    let prober = KernelProber::start(&plane).map_err(|trouble| unavailable(&trouble))?;
    let kernel = &prober.begin().kernel;
    let release = Release::of_uname(kernel)
        .ok_or_else(|| Stop::unavailable(format!("kernel {kernel} is none the simulator describes")))?;
    Ok((prober, release))
}

/// How far a run has come.
struct Course<'a> {
    terminal: &'a Terminal,
    limits: &'a Limits,
    mode: String,
    start: Instant,
    bar: ProgressBar,
    done: u64,
    different: u64,
    refused: u64,
}

impl<'a> Course<'a> {
    fn begin(terminal: &'a Terminal, limits: &'a Limits, mode: &str) -> Self {
        let wanted = terminal.global.format == Format::Human
            && terminal.global.quiet == 0
            && std::io::stderr().is_terminal();
        let bar = if wanted {
            let template = "{spinner} {bar:30} {pos}/{len}, {per_sec}, {eta} to go";
            let style = ProgressStyle::with_template(template).expect("the template is fixed");
            ProgressBar::new(limits.count).with_style(style)
        } else {
            ProgressBar::hidden()
        };
        let mode = mode.to_owned();
        Self { terminal, limits, mode, start: Instant::now(), bar, done: 0, different: 0, refused: 0 }
    }

    /// Whether to stop.
    fn over(&self) -> bool {
        let late =
            self.limits.time.is_some_and(|seconds| self.start.elapsed() >= Duration::from_secs(seconds));
        late || self.different >= self.limits.differences
    }

    fn advance(&mut self, cases: u64) {
        self.done += cases;
        self.bar.inc(cases);
    }

    /// Reports a difference, and how to see it again.
    fn differs(&mut self, index: u64, what: &str, files: &[(&str, &[u8])]) -> Result<(), Stop> {
        self.different += 1;
        let again =
            format!("bpftwin fuzz {} --seed {} --first {index} --count 1", self.mode, self.limits.seed);
        let text = match self.terminal.global.format {
            Format::Json => {
                let line = serde_json::json!({
                    "v": 1, "event": "difference", "index": index, "again": again, "what": what
                });
                format!("{line}\n")
            }
            _ => format!("differs: {again}\n{}\n\n", what.trim_end()),
        };
        self.bar.suspend(|| self.terminal.out(&text))?;
        for (name, bytes) in files.iter().filter(|_| self.limits.out.is_some()) {
            let folder = self.limits.out.as_deref().expect("filtered");
            let path = folder.join(name);
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(&path, bytes))
                .map_err(|error| Stop::unavailable(format!("cannot write {}: {error}", path.display())))?;
            self.bar.suspend(|| self.terminal.out(&format!("written: {}\n", path.display())))?;
        }
        Ok(())
    }

    fn end(self, unit: &str) -> Result<Exit, Stop> {
        self.bar.finish_and_clear();
        let took = self.start.elapsed();
        let rate = u128::from(self.done) * 1000 / took.as_millis().max(1);
        let exit = match (self.different, self.done) {
            (1.., _) => Exit::Diverged,
            (0, 0) => Exit::NothingRan,
            (0, _) => Exit::Pass,
        };
        let text = match self.terminal.global.format {
            Format::Json => {
                let line = serde_json::json!({
                    "v": 1, "event": "end", "mode": self.mode, "seed": self.limits.seed, "cases": self.done,
                    "differences": self.different, "refused": self.refused, "exit": exit as u8
                });
                format!("{line}\n")
            }
            _ => format!(
                "{} {unit}, seed {}: {} differ, {} refused by the verifier; {:.1} s, {rate}/s\n",
                self.done,
                self.limits.seed,
                self.different,
                self.refused,
                took.as_secs_f64()
            ),
        };
        if self.terminal.global.quiet < 2 {
            self.terminal.out(&text)?;
        }
        Ok(exit)
    }
}
