//! `BPF_MAP_TYPE_REUSEPORT_SOCKARRAY`: `kernel/bpf/reuseport_array.c`, v6.12.

use std::collections::BTreeMap;

use super::array::next_index;
use super::create::check_array;
use super::{Holder, Map, MapCtx, MapSpec, Reference, SocketRef};
use crate::uapi::Errno;
use crate::uapi::map::{BPF_EXIST, BPF_NOEXIST};

/// `reuseport_array_alloc_check`.
pub(super) fn check(spec: &MapSpec) -> Result<(), Errno> {
    if !matches!(spec.value_size, 4 | 8) {
        return Err(Errno::EINVAL);
    }
    check_array(spec)
}

/// Sockets bound to one port with `SO_REUSEPORT`, by number.
pub(super) struct ReuseportArray {
    max_entries: u32,
    /// Whether values are 8 bytes: only then can user space read them.
    wide: bool,
    sockets: BTreeMap<u32, SocketRef>,
}

impl ReuseportArray {
    pub fn create(spec: &MapSpec) -> Self {
        Self { max_entries: spec.max_entries, wide: spec.value_size == 8, sockets: BTreeMap::new() }
    }
}

fn index_of(key: &[u8]) -> u32 {
    u32::from_le_bytes(key.try_into().expect("array keys are 4 bytes"))
}

/// What looking up the descriptor in `value` gives: there are none here, but not every number can be one.
/// `negative` is what 4 bytes with the top bit set get.
pub(super) fn descriptor(value: &[u8], negative: Errno) -> Result<Reference, Errno> {
    let is_wide = value.len() == 8;
    let mut bytes = [0; 8];
    bytes[..value.len()].copy_from_slice(value);
    match u64::from_le_bytes(bytes) {
        0..=0x7fff_ffff => Err(Errno::EBADF),
        _ if is_wide => Err(Errno::EINVAL),
        _ => Err(negative),
    }
}

impl Map for ReuseportArray {
    /// `bpf_fd_reuseport_array_lookup_elem`: the socket's cookie.
    fn sys_lookup(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<Vec<u8>, Errno> {
        if !self.wide {
            return Err(Errno::ENOSPC);
        }
        let socket = self.sockets.get(&index_of(key)).ok_or(Errno::ENOENT)?;
        Ok(socket.cookie.to_le_bytes().to_vec())
    }

    fn sys_update(&mut self, _: &mut MapCtx<'_>, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.sys_update_fd(key, descriptor(value, Errno::EBADF), flags)
    }

    /// `bpf_fd_reuseport_array_update_elem` and `reuseport_array_update_check`.
    fn sys_update_fd(&mut self, key: &[u8], new: Result<Reference, Errno>, flags: u64) -> Result<(), Errno> {
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let index = index_of(key);
        if index >= self.max_entries {
            return Err(Errno::E2BIG);
        }
        let Reference::Socket(new) = new? else { return Err(Errno::ENOTSOCK) };
        let there = self.sockets.contains_key(&index);
        if there && flags == BPF_NOEXIST {
            return Err(Errno::EEXIST);
        }
        if !there && flags == BPF_EXIST {
            return Err(Errno::ENOENT);
        }
        if !new.suits_reuseport_arrays() {
            return Err(Errno::ENOTSUPP);
        }
        if !new.hashed || !new.in_reuseport_group {
            return Err(Errno::EINVAL);
        }
        if new.held_by.is_some() {
            return Err(Errno::EBUSY);
        }
        self.sockets.insert(index, new);
        Ok(())
    }

    fn sys_delete(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno> {
        let index = index_of(key);
        if index >= self.max_entries {
            return Err(Errno::E2BIG);
        }
        self.sockets.remove(&index).map(drop).ok_or(Errno::ENOENT)
    }

    fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        next_index(key, self.max_entries)
    }

    fn keys(&self) -> Vec<Vec<u8>> {
        self.sockets.keys().map(|index| index.to_le_bytes().to_vec()).collect()
    }

    fn socket(&self, key: &[u8]) -> Option<SocketRef> {
        self.sockets.get(&index_of(key)).copied()
    }

    fn holds(&self, cookie: u64) -> Option<Holder> {
        self.sockets.values().any(|socket| socket.cookie == cookie).then_some(Holder::ReuseportArray)
    }

    fn forget_socket(&mut self, cookie: u64) {
        self.sockets.retain(|_, socket| socket.cookie != cookie);
    }
}
