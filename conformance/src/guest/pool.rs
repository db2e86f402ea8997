//! The machines of one run of `bpftwin`: started when they are first needed, reused for whatever comes next, ended with
//! the pool. One that failed is not used again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::qemu::{self, Accelerator, Machine};
use super::{Ended, initramfs};
use crate::kernels::{Cache, Cached};
use crate::plane::Unavailable;

/// What to do where machines cannot be had.
const ADVICE: &str = "`bpftwin doctor` says what this machine can do; virtual machines need no privilege";

/// How long a machine may take to boot on a `/dev/kvm` that works.
const KVM_BOOT: Duration = Duration::from_secs(15);

/// How long a machine that has work may say nothing.
const SILENCE: Duration = Duration::from_mins(1);

/// How often a kernel may fail to start in a row until it is not tried again.
const STARTS: usize = 3;

/// Machines nobody uses just now, and kernels that do not start.
#[derive(Debug)]
pub struct Pool {
    cache: Result<Cache, String>,
    silence: Duration,
    state: Mutex<State>,
}

impl Default for Pool {
    /// With this user's cache.
    fn default() -> Self {
        Self::new(Cache::open(), SILENCE)
    }
}

#[derive(Default)]
struct State {
    idle: BTreeMap<String, Vec<Machine>>,
    failed: BTreeMap<String, Vec<Unavailable>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let idle: BTreeMap<_, _> = self.idle.iter().map(|(name, machines)| (name, machines.len())).collect();
        f.debug_struct("State").field("idle", &idle).field("failed", &self.failed).finish()
    }
}

impl Pool {
    /// With a certain cache, and machines that may say nothing so long.
    pub fn new(cache: Result<Cache, String>, silence: Duration) -> Self {
        Self { cache, silence, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a machine with this kernel and this binary do a command.
    pub fn call(
        &self,
        kernel: &str,
        binary: &Path,
        arguments: &[&str],
        input: &[u8],
    ) -> Result<(Vec<String>, Ended), Unavailable> {
        let idle = {
            let mut state = self.state();
            if let Some([.., last]) =
                state.failed.get(kernel).map(|failed| &failed[..]).filter(|f| f.len() >= STARTS)
            {
                return Err(last.clone());
            }
            state.idle.get_mut(kernel).and_then(Vec::pop)
        };
        let mut machine = match idle {
            Some(machine) => machine,
            None => self.start(kernel, binary).inspect_err(|trouble| {
                self.state().failed.entry(kernel.to_owned()).or_default().push(trouble.clone());
            })?,
        };
        let answer = machine
            .call(arguments, input, self.silence)
            .map_err(|why| Unavailable { why: format!("kernel {kernel}: {why}"), advice: ADVICE.into() })?;
        let mut state = self.state();
        state.failed.remove(kernel);
        state.idle.entry(kernel.to_owned()).or_default().push(machine);
        Ok(answer)
    }

    /// A machine with this kernel, from its snapshot if there is one.
    fn start(&self, name: &str, binary: &Path) -> Result<Machine, Unavailable> {
        let cache = self.cache.as_ref();
        let cache = cache.map_err(|why| Unavailable { why: why.clone(), advice: ADVICE.into() })?;
        let kernel = cache.kernel(name)?;
        Starter { kernel: &kernel, cache, binary }
            .start()
            .map_err(|why| Unavailable { why: format!("kernel {name}: {why}"), advice: ADVICE.into() })
    }
}

struct Starter<'a> {
    kernel: &'a Cached,
    cache: &'a Cache,
    binary: &'a Path,
}

impl Starter<'_> {
    fn start(&self) -> Result<Machine, String> {
        let initramfs = initramfs::build(self.binary, &self.kernel.modules())?;
        let digest = self.digest(&initramfs)?;
        let snapshot = format!("snapshot-{digest}");
        let folder = self.kernel.folder();
        let lock =
            File::create(folder.join("lock")).map_err(|error| format!("{}: {error}", folder.display()))?;
        let busy = |error| format!("cannot lock {}: {error}", folder.display());
        // Whoever replaces a snapshot waits until those who read it have read it.
        lock.lock_shared().map_err(busy)?;
        if let Some(machine) = self.restore(&snapshot) {
            return Ok(machine);
        }
        lock.unlock().map_err(busy)?;
        lock.lock().map_err(busy)?;
        if let Some(machine) = self.restore(&snapshot) {
            return Ok(machine);
        }
        for old in files(folder, "snapshot-")? {
            fs::remove_file(&old).map_err(|error| format!("{}: {error}", old.display()))?;
        }
        let image = folder.join("initramfs");
        fs::write(&image, &initramfs).map_err(|error| format!("{}: {error}", image.display()))?;
        if let Some(machine) = self.with_kvm(&image)? {
            return Ok(machine);
        }
        let mut machine = Machine::boot(Accelerator::Emulation, &self.kernel.vmlinuz(), &image, None)?;
        let unfinished = format!("{snapshot}.part");
        machine.save(folder, &unfinished)?;
        let (from, to) = (folder.join(unfinished), folder.join(&snapshot));
        fs::rename(&from, &to).map_err(|error| format!("{}: {error}", from.display()))?;
        Ok(machine)
    }

    /// Of everything a snapshot depends on.
    fn digest(&self, initramfs: &[u8]) -> Result<String, String> {
        let mut hash = Sha256::new();
        hash.update(qemu::version()?);
        hash.update(qemu::arguments(Accelerator::Emulation).join(" "));
        hash.update(self.kernel.sha256());
        hash.update(initramfs);
        Ok(hash.finalize().iter().take(8).fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
    }

    /// `None`: there is no snapshot, or none that works.
    fn restore(&self, snapshot: &str) -> Option<Machine> {
        let folder = self.kernel.folder();
        if !folder.join(snapshot).is_file() {
            return None;
        }
        Machine::restore(Accelerator::Emulation, folder, snapshot).ok()
    }

    /// `None`: `/dev/kvm` is not there for this user, or does not work, which is remembered until the machine restarts.
    fn with_kvm(&self, image: &Path) -> Result<Option<Machine>, String> {
        if qemu::may_use_kvm().is_err() || self.cache.kvm_fails() {
            return Ok(None);
        }
        match Machine::boot(Accelerator::Kvm, &self.kernel.vmlinuz(), image, Some(KVM_BOOT)) {
            Ok(machine) => Ok(Some(machine)),
            Err(_) => self.cache.remember_kvm_fails().map(|()| None),
        }
    }
}

/// The files of a folder whose names start so.
fn files(folder: &Path, start: &str) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(paths
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start)))
        .collect())
}
