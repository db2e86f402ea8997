//! What libbpf prints, kept instead.

use std::sync::{Mutex, PoisonError};

use libbpf_rs::{PrintLevel, set_print};

static LOG: Mutex<String> = Mutex::new(String::new());

/// Keeps what libbpf says from here on; what it said before is forgotten.
pub fn begin() {
    LOG.lock().unwrap_or_else(PoisonError::into_inner).clear();
    set_print(Some((PrintLevel::Info, |_, text| {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
    })));
}

/// What libbpf said since [`begin`].
pub fn take() -> String {
    std::mem::take(&mut *LOG.lock().unwrap_or_else(PoisonError::into_inner))
}
