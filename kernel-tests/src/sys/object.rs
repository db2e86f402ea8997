//! What libbpf-rs has no safe call for.

use libbpf_rs::{AsRawLibbpf, OpenMapMut};

/// Forgets where the object wants a map pinned, so that loading it leaves nothing behind.
pub fn unpin(map: &mut OpenMapMut<'_>) {
    // SAFETY: the map is open and not yet loaded; a null path means "not pinned".
    let ret = unsafe { libbpf_sys::bpf_map__set_pin_path(map.as_libbpf_object().as_ptr(), std::ptr::null()) };
    assert_eq!(ret, 0, "bpf_map__set_pin_path(NULL) only frees a string");
}
