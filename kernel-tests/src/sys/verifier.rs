//! Loading one program of an object while its verifier log is read.

use std::ffi::CStr;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use bpftwin_conformance::verify::protocol::Place;
use libbpf_rs::{AsRawLibbpf, OpenObject};
use libbpf_sys as libbpf;

use super::{Errno, last_errno, mapping};

/// The largest log the kernel takes (`bpf_verifier_log_attr_valid`, kernel/bpf/log.c, v6.12).
pub const LARGEST_LOG: usize = (u32::MAX >> 2) as usize;

/// What is left unread behind the place the kernel writes at, of which it may take bytes back (`bpf_vlog_reset`).
const LAG: usize = 64 << 10;
/// Bytes read at a time.
const PIECE: usize = 1 << 20;

/// `r0 = 0; exit`.
const NOTHING: [u64; 2] = [0xb7, 0x95];

/// Memory the verifier writes its log to. It takes no room before it is written, nor after it was read.
#[derive(Debug)]
pub struct LogBuffer {
    base: NonNull<AtomicU8>,
    len: usize,
}

impl LogBuffer {
    /// Room for `len` bytes, rounded up to pages.
    pub fn new(len: usize) -> Result<Self, Errno> {
        let len = len.next_multiple_of(mapping::page());
        let (prot, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
        );
        // SAFETY: the kernel picks the address, so no other memory is touched.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(last_errno());
        }
        Ok(Self { base: NonNull::new(base.cast()).expect("a mapping is not at 0"), len })
    }

    /// The bytes the kernel is told of.
    fn room(&self) -> usize {
        self.len.min(LARGEST_LOG)
    }

    fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: inside the mapping, which lives as long as `self`; the kernel writes it while we read it atomically.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.room()) }
    }

    /// The log, once loading is over.
    pub fn text(&self) -> String {
        let bytes = self.bytes().iter().map(|byte| byte.load(Ordering::Relaxed));
        let bytes: Vec<u8> = bytes.take_while(|&byte| byte != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Gives `each` every line while the kernel writes, until `done` is set and the rest is read. `false`: the log did not
    /// fit, so that lines are missing.
    pub fn follow(&self, done: &AtomicBool, mut each: impl FnMut(&[u8])) -> bool {
        let (mut position, mut freed) = (0, 0);
        let mut pending = Vec::new();
        loop {
            let last = done.load(Ordering::Acquire);
            let piece = &self.bytes()[position..(position + PIECE).min(self.room())];
            let written = piece.iter().take_while(|byte| byte.load(Ordering::Relaxed) != 0).count();
            let ready = if last { written } else { written.saturating_sub(LAG) };
            if ready == 0 {
                if last {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            pending.extend(piece[..ready].iter().map(|byte| byte.load(Ordering::Relaxed)));
            position += ready;
            let whole = pending.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            for line in pending[..whole].split(|&byte| byte == b'\n') {
                each(line);
            }
            pending.drain(..whole);
            let read = position / mapping::page() * mapping::page();
            // SAFETY: whole pages of this mapping that lie before what is still to be read; they read as zero afterwards.
            unsafe { libc::madvise(self.base.as_ptr().add(freed).cast(), read - freed, libc::MADV_DONTNEED) };
            freed = read;
        }
        each(&pending);
        position + 1 < self.room()
    }
}

impl Drop for LogBuffer {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and no reference into it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

// SAFETY: the memory belongs to the process, not to a thread, and is read through atomics only.
unsafe impl Send for LogBuffer {}
// SAFETY: as above.
unsafe impl Sync for LogBuffer {}

/// An object of which one program is to be loaded: maps are made and references resolved.
#[derive(Debug)]
pub struct Prepared {
    object: OpenObject,
    program: NonNull<libbpf::bpf_program>,
}

/// What the kernel says of a loaded program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Loaded {
    /// `nr_map_ids`.
    pub maps: u32,
    /// `jited_prog_len`.
    pub jited: u32,
    /// `memlock` of its `fdinfo`.
    pub memory: u64,
}

impl Prepared {
    /// Prepares `program` of an opened object alone, which must be there. Any other error is libbpf's. With `stand_ins`
    /// the other programs of its type are there too and do nothing: libbpf puts them into prog arrays, where the object
    /// says so, and takes it for an error of loading if it cannot.
    pub fn new(mut object: OpenObject, program: &str, stand_ins: bool) -> Result<Self, Errno> {
        let (mut found, mut others) = (None, Vec::new());
        for mut each in object.progs_mut() {
            let wanted = each.name().to_string_lossy() == program;
            each.set_autoload(wanted);
            if wanted {
                found = Some(each.as_libbpf_object());
            } else {
                others.push(each.as_libbpf_object());
            }
        }
        let mut prepared = Self { object, program: found.ok_or(Errno::ENOENT)? };
        // SAFETY: the object is open, and neither prepared nor loaded.
        done(unsafe { libbpf::bpf_object__prepare(prepared.raw()) })?;
        for other in others.into_iter().filter(|_| stand_ins) {
            let (other, program) = (other.as_ptr(), prepared.program.as_ptr());
            // SAFETY: programs of this object, which is not loaded; the instructions are copied.
            unsafe {
                if libbpf::bpf_program__type(other) == libbpf::bpf_program__type(program) {
                    let mut nothing = NOTHING;
                    done(libbpf::bpf_program__set_insns(other, nothing.as_mut_ptr().cast(), 2))?;
                    done(libbpf::bpf_program__set_autoload(other, true))?;
                }
            }
        }
        Ok(prepared)
    }

    fn raw(&mut self) -> *mut libbpf::bpf_object {
        self.object.as_libbpf_object().as_ptr()
    }

    /// Names of its type and of its expected attach type, as libbpf has them.
    pub fn types(&self) -> (String, String) {
        let program = self.program.as_ptr();
        // SAFETY: the program lives as long as the object, and the names are static.
        unsafe {
            (
                known(libbpf::libbpf_bpf_prog_type_str(libbpf::bpf_program__type(program))),
                known(libbpf::libbpf_bpf_attach_type_str(libbpf::bpf_program__expected_attach_type(program))),
            )
        }
    }

    /// `struct bpf_insn`, subprograms behind the program itself.
    pub fn slots(&self) -> Vec<u64> {
        let program = self.program.as_ptr();
        // SAFETY: the instructions are the program's own and live as long as it does.
        let bytes = unsafe {
            let insns = libbpf::bpf_program__insns(program);
            let count = libbpf::bpf_program__insn_cnt(program);
            if insns.is_null() { &[] } else { std::slice::from_raw_parts(insns.cast(), count as usize) }
        };
        bytes.iter().map(|slot: &[u8; 8]| u64::from_le_bytes(*slot)).collect()
    }

    /// C lines by their first slot, in order. They are gone once loading fails.
    pub fn lines(&mut self) -> Vec<(u32, Place)> {
        // SAFETY: the records belong to the program and their names to the object's types; both live as long as `self`.
        unsafe {
            let btf = libbpf::bpf_object__btf(self.raw());
            let records = libbpf::bpf_program__line_info(self.program.as_ptr());
            let count = libbpf::bpf_program__line_info_cnt(self.program.as_ptr());
            if btf.is_null() || records.is_null() {
                return Vec::new();
            }
            let place = |record: &libbpf::bpf_line_info| Place {
                file: text(libbpf::btf__name_by_offset(btf, record.file_name_off)),
                line: record.line_col >> 10,
                text: text(libbpf::btf__name_by_offset(btf, record.line_off)).trim().to_owned(),
            };
            let records = std::slice::from_raw_parts(records, count as usize);
            records.iter().map(|record| (record.insn_off, place(record))).collect()
        }
    }

    /// Loads the program with the verifier's log of `level` in `log`. `Ok(None)`: libbpf decided not to load it.
    pub fn load(mut self, level: u32, log: &LogBuffer) -> Result<Option<Loaded>, Errno> {
        let program = self.program.as_ptr();
        // SAFETY: the object is prepared and not loaded, and the buffer outlives the only call that writes to it.
        unsafe {
            libbpf::bpf_program__set_log_level(program, level);
            done(libbpf::bpf_program__set_log_buf(
                program,
                log.base.as_ptr().cast(),
                log.room() as libbpf::size_t,
            ))?;
            done(libbpf::bpf_object__load(self.raw()))?;
            let fd = libbpf::bpf_program__fd(program);
            if fd < 0 { Ok(None) } else { loaded(fd).map(Some) }
        }
    }
}

fn loaded(fd: RawFd) -> Result<Loaded, Errno> {
    let mut info = libbpf::bpf_prog_info::default();
    let mut len = size_of::<libbpf::bpf_prog_info>() as u32;
    // SAFETY: the structure is live and of the length given, and asks for no array.
    done(unsafe { libbpf::bpf_prog_get_info_by_fd(fd, &raw mut info, &raw mut len) })?;
    let fdinfo = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
    let memory = fdinfo.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok());
    Ok(Loaded { maps: info.nr_map_ids, jited: info.jited_prog_len, memory: memory.unwrap_or(0) })
}

fn done(ret: i32) -> Result<(), Errno> {
    if ret == 0 { Ok(()) } else { Err(Errno::from_raw(-ret)) }
}

/// # Safety
/// As [`text`].
unsafe fn known(name: *const std::ffi::c_char) -> String {
    // SAFETY: the caller vouches for it.
    let name = unsafe { text(name) };
    if name.is_empty() { "?".into() } else { name }
}

/// # Safety
/// A NUL-terminated text that lives through the call, or null.
unsafe fn text(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller vouches for it.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
