//! Machine code: as bytes, and where it can be executed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use memmap2::{Mmap, MmapMut};

use super::cx::{Cx, Status};
use super::{Unavailable, emit};

/// What [`compile`](super::compile) makes: bytes that run at any address, and where functions begin in them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Compiled {
    /// The code of all functions.
    pub(super) bytes: Vec<u8>,
    /// By function, ascending: its first instruction's index and where its code begins.
    pub(super) entries: Vec<(usize, usize)>,
    /// By function: whether it neither writes memory nor calls anything.
    pub(super) only_reads: Vec<bool>,
}

impl Compiled {
    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is none, which no program compiles to.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Code ready to be entered.
#[derive(Debug)]
pub(in crate::bpf) struct Code {
    text: Mmap,
    entries: Vec<(usize, usize)>,
    only_reads: Vec<bool>,
}

impl Code {
    pub(super) fn new(compiled: Compiled) -> Result<Self, Unavailable> {
        let executable = || {
            let mut map = MmapMut::map_anon(compiled.bytes.len())?;
            map.copy_from_slice(&compiled.bytes);
            map.make_exec()
        };
        match executable() {
            Ok(text) => Ok(Self { text, entries: compiled.entries, only_reads: compiled.only_reads }),
            Err(error) => Err(Unavailable(format!("memory cannot be made executable: {error}"))),
        }
    }

    /// Where the first function begins.
    pub(super) fn first(&self) -> *const u8 {
        self.text.as_ptr()
    }

    /// The number of the function whose first instruction is `function`.
    pub(super) fn function(&self, function: usize) -> usize {
        if function == 0 {
            return 0;
        }
        let at = self.entries.binary_search_by_key(&function, |&(first, _)| first);
        at.expect("calls lead to functions only")
    }

    /// Whether the function with this number neither writes memory nor calls anything.
    pub(super) fn only_reads(&self, number: usize) -> bool {
        self.only_reads[number]
    }

    /// Enters the function with this number.
    pub(super) fn enter(&self, number: usize, cx: &mut Cx<'_>) -> Status {
        let (_, offset) = self.entries[number];
        let entry = self.text[offset..].as_ptr();
        // SAFETY: `text` is executable and holds, at each of `entries`, a function of this type in the platform's
        // calling convention: `emit` made it, `new` took it unchanged.
        let function: unsafe extern "C" fn(*mut Cx<'_>) -> Status = unsafe { std::mem::transmute(entry) };
        // SAFETY: the code uses nothing but `cx`, which is valid and has not moved; what it reads and writes beyond is
        // within the arena and the shadow that `cx` shows, which do not move.
        unsafe { function(cx) }
    }
}

/// [`emit::aside`], which all programs share.
pub(super) fn aside() -> &'static Result<Code, Unavailable> {
    static ASIDE: LazyLock<Result<Code, Unavailable>> = LazyLock::new(|| emit::aside().and_then(Code::new));
    &ASIDE
}

/// A program's place for its machine code, filled at the first use, and for what says whether it is worth having.
///
/// Two programs are equal whether compiled or not, and a copy begins without.
#[derive(Default, Debug)]
pub(in crate::bpf) struct Slot {
    code: OnceLock<Result<Arc<Code>, Unavailable>>,
    executed: AtomicU64,
}

impl Slot {
    pub(in crate::bpf) fn get(
        &self,
        compile: impl FnOnce() -> Result<Compiled, Unavailable>,
    ) -> Result<&Arc<Code>, &Unavailable> {
        self.code.get_or_init(|| compile().and_then(Code::new).map(Arc::new)).as_ref()
    }

    /// The place of a program that this machine has no machine code of.
    #[cfg(test)]
    pub(in crate::bpf) fn refused(why: &str) -> Self {
        Self { code: OnceLock::from(Err(Unavailable(why.to_owned()))), ..Self::default() }
    }

    /// Instructions executed, as far as they have been [counted](Self::count).
    pub(in crate::bpf) fn executed(&self) -> u64 {
        self.executed.load(Ordering::Relaxed)
    }

    /// Not exact where threads share a program, which changes nothing but when it is compiled.
    pub(in crate::bpf) fn count(&self, instructions: u64) {
        self.executed.store(self.executed().saturating_add(instructions), Ordering::Relaxed);
    }

    pub(in crate::bpf) fn is_filled(&self) -> bool {
        self.code.get().is_some()
    }
}

impl Clone for Slot {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Slot {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
