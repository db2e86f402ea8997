//! An object file as libbpf sees it, before and after it has resolved its references.

use std::ffi::{CStr, CString, c_char};
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};

use libbpf_sys as libbpf;

use super::Errno;

/// An object that libbpf has opened.
#[derive(Debug)]
pub struct Opened {
    object: NonNull<libbpf::bpf_object>,
}

/// A map as libbpf would create it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LibbpfMap {
    /// `bpf_map__name`.
    pub name: String,
    /// `enum bpf_map_type`.
    pub map_type: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Capacity.
    pub max_entries: u32,
    /// `map_flags`.
    pub flags: u32,
    /// `map_extra`.
    pub extra: u64,
    /// Whether it is global data or `.kconfig`.
    pub internal: bool,
    /// Whether loading would pin it.
    pub pinned: bool,
    /// What `__array(values, …)` describes.
    pub inner: Option<Box<LibbpfMap>>,
    /// The bytes of a data section.
    pub initial: Option<Vec<u8>>,
    /// Its descriptor once it was created.
    pub fd: Option<RawFd>,
}

/// A program as libbpf has it at the moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LibbpfProgram {
    /// The C function's name.
    pub name: String,
    /// `bpf_program__section_name`.
    pub section: String,
    /// `enum bpf_prog_type`.
    pub prog_type: u32,
    /// `enum bpf_attach_type`; 0 without one.
    pub attach_type: u32,
    /// Whether loading the object loads it.
    pub autoload: bool,
    /// `struct bpf_insn`, subprograms once they are appended.
    pub slots: Vec<u64>,
}

impl Opened {
    /// Opens an object from memory. Its name has no dot.
    pub fn open(name: &str, bytes: &[u8]) -> Result<Self, Errno> {
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let options = libbpf::bpf_object_open_opts {
            sz: size_of::<libbpf::bpf_object_open_opts>() as libbpf::size_t,
            object_name: name.as_ptr(),
            ..Default::default()
        };
        // SAFETY: the bytes and the options live through the call, which copies what it keeps of them.
        let object = unsafe {
            libbpf::bpf_object__open_mem(
                bytes.as_ptr().cast(),
                bytes.len() as libbpf::size_t,
                &raw const options,
            )
        };
        NonNull::new(object).map(|object| Self { object }).ok_or_else(super::last_errno)
    }

    /// Chooses which programs the object's loading is about; a program's name and type, and what libbpf would do.
    pub fn choose(&mut self, wanted: impl Fn(&LibbpfProgram) -> bool) {
        for (raw, program) in self.raw_programs().into_iter().zip(self.programs()) {
            // SAFETY: a program of this object, which is not loaded yet.
            unsafe { libbpf::bpf_program__set_autoload(raw, wanted(&program)) };
        }
    }

    /// Leaves out the struct_ops maps, which register their programs with a part of the kernel.
    pub fn leave_out_struct_ops(&mut self) {
        for map in self.raw_maps() {
            // SAFETY: a map of this object, which is not created yet.
            unsafe {
                if libbpf::bpf_map__type(map) == libbpf::BPF_MAP_TYPE_STRUCT_OPS {
                    libbpf::bpf_map__set_autocreate(map, false);
                }
            }
        }
    }

    /// Creates the maps and resolves every reference of the programs chosen, without loading them. Nothing is pinned.
    pub fn prepare(&mut self) -> Result<(), Errno> {
        self.unpin();
        // SAFETY: the object is open, and neither prepared nor loaded.
        done(unsafe { libbpf::bpf_object__prepare(self.object.as_ptr()) })
    }

    /// Loads the object, as far as programs are chosen. Nothing is pinned.
    pub fn load(&mut self) -> Result<(), Errno> {
        self.unpin();
        // SAFETY: the object is open and not loaded.
        done(unsafe { libbpf::bpf_object__load(self.object.as_ptr()) })
    }

    /// Its maps, in libbpf's order.
    pub fn maps(&self) -> Vec<LibbpfMap> {
        // SAFETY: a map of this object, which lives as long as `self`.
        let map = |map: *mut libbpf::bpf_map| unsafe {
            let fd = libbpf::bpf_map__fd(map);
            LibbpfMap { fd: (fd >= 0).then_some(fd), ..describe(map) }
        };
        self.raw_maps().into_iter().map(map).collect()
    }

    /// Its programs, in libbpf's order.
    pub fn programs(&self) -> Vec<LibbpfProgram> {
        // SAFETY: a program of this object, which lives as long as `self`; its instructions are copied before libbpf
        // can change them.
        let program = |program: *mut libbpf::bpf_program| unsafe {
            let (insns, count) =
                (libbpf::bpf_program__insns(program), libbpf::bpf_program__insn_cnt(program));
            let slots = if insns.is_null() {
                Vec::new()
            } else {
                let bytes = std::slice::from_raw_parts(insns.cast::<[u8; 8]>(), count as usize);
                bytes.iter().map(|slot| u64::from_le_bytes(*slot)).collect()
            };
            LibbpfProgram {
                name: text(libbpf::bpf_program__name(program)),
                section: text(libbpf::bpf_program__section_name(program)),
                prog_type: libbpf::bpf_program__type(program),
                attach_type: libbpf::bpf_program__expected_attach_type(program),
                autoload: libbpf::bpf_program__autoload(program),
                slots,
            }
        };
        self.raw_programs().into_iter().map(program).collect()
    }

    fn unpin(&mut self) {
        for map in self.raw_maps() {
            // SAFETY: the map is open and not yet created; a null path means "not pinned".
            unsafe { libbpf::bpf_map__set_pin_path(map, ptr::null()) };
        }
    }

    fn raw_maps(&self) -> Vec<*mut libbpf::bpf_map> {
        let mut maps = Vec::new();
        // SAFETY: the object is open; libbpf gives null after the last map.
        let mut next = unsafe { libbpf::bpf_object__next_map(self.object.as_ptr(), ptr::null()) };
        while !next.is_null() {
            maps.push(next);
            // SAFETY: as above.
            next = unsafe { libbpf::bpf_object__next_map(self.object.as_ptr(), next) };
        }
        maps
    }

    fn raw_programs(&self) -> Vec<*mut libbpf::bpf_program> {
        let mut programs = Vec::new();
        // SAFETY: the object is open; libbpf gives null after the last program.
        let mut next = unsafe { libbpf::bpf_object__next_program(self.object.as_ptr(), ptr::null_mut()) };
        while !next.is_null() {
            programs.push(next);
            // SAFETY: as above.
            next = unsafe { libbpf::bpf_object__next_program(self.object.as_ptr(), next) };
        }
        programs
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, closed once.
        unsafe { libbpf::bpf_object__close(self.object.as_ptr()) };
    }
}

fn done(ret: i32) -> Result<(), Errno> {
    if ret == 0 { Ok(()) } else { Err(Errno::from_raw(-ret)) }
}

/// # Safety
/// A NUL-terminated text that lives through the call, or null.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller vouches for it.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// # Safety
/// A map of an object that lives through the call.
unsafe fn describe(map: *mut libbpf::bpf_map) -> LibbpfMap {
    // SAFETY: these calls only read the map, and what they give lives as long as it does.
    unsafe {
        let inner = libbpf::bpf_map__inner_map(map);
        let mut size = 0;
        let initial = libbpf::bpf_map__initial_value(map, &raw mut size);
        LibbpfMap {
            name: text(libbpf::bpf_map__name(map)),
            map_type: libbpf::bpf_map__type(map),
            key_size: libbpf::bpf_map__key_size(map),
            value_size: libbpf::bpf_map__value_size(map),
            max_entries: libbpf::bpf_map__max_entries(map),
            flags: libbpf::bpf_map__map_flags(map),
            extra: libbpf::bpf_map__map_extra(map),
            internal: libbpf::bpf_map__is_internal(map),
            pinned: !libbpf::bpf_map__pin_path(map).is_null(),
            inner: (!inner.is_null()).then(|| Box::new(describe(inner))),
            initial: (!initial.is_null())
                .then(|| std::slice::from_raw_parts(initial.cast::<u8>(), size as usize).to_vec()),
            // The description of an inner map belongs to no object, which asking for its descriptor takes for granted.
            fd: None,
        }
    }
}
