//! What libbpf-rs has no safe call for.

use std::ffi::CStr;

use libbpf_rs::{AsRawLibbpf, ObjectBuilder, OpenMapMut, OpenObject};

/// Opens an object from memory, with `kconfig` going before the running kernel's configuration.
pub fn open_with(
    builder: &mut ObjectBuilder,
    elf: &[u8],
    kconfig: &CStr,
) -> Result<OpenObject, libbpf_rs::Error> {
    // SAFETY: the options are the builder's own, which nothing else uses meanwhile, and the text outlives the call that
    // reads it; afterwards they do not point to it any more.
    unsafe { (*builder.as_libbpf_object().as_ptr()).kconfig = kconfig.as_ptr() };
    let opened = builder.open_memory(elf);
    // SAFETY: as above.
    unsafe { (*builder.as_libbpf_object().as_ptr()).kconfig = std::ptr::null() };
    opened
}

/// Forgets where the object wants a map pinned, so that loading it leaves nothing behind.
pub fn unpin(map: &mut OpenMapMut<'_>) {
    // SAFETY: the map is open and not yet loaded; a null path means "not pinned".
    let ret = unsafe { libbpf_sys::bpf_map__set_pin_path(map.as_libbpf_object().as_ptr(), std::ptr::null()) };
    assert_eq!(ret, 0, "bpf_map__set_pin_path(NULL) only frees a string");
}

/// What a map of maps holds: type, key size, value size, capacity and flags, for [`Map::new`](super::Map::new). `None`
/// for any other map.
pub fn inner_map(map: &OpenMapMut<'_>) -> Option<[u32; 5]> {
    // SAFETY: the map is open; null unless it is a map of maps whose inner maps are described.
    let inner = unsafe { libbpf_sys::bpf_map__inner_map(map.as_libbpf_object().as_ptr()) };
    if inner.is_null() {
        return None;
    }
    // SAFETY: the description lives as long as the object, and these calls only read it.
    unsafe {
        Some([
            libbpf_sys::bpf_map__type(inner),
            libbpf_sys::bpf_map__key_size(inner),
            libbpf_sys::bpf_map__value_size(inner),
            libbpf_sys::bpf_map__max_entries(inner),
            libbpf_sys::bpf_map__map_flags(inner),
        ])
    }
}
