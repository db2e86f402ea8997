//! `BPF_MAP_TYPE_SOCKMAP`: `net/core/sock_map.c`, v6.12. Of the programs that can be attached to one, none are.

use std::collections::BTreeMap;

use super::array::next_index;
use super::reuseport_array::descriptor;
use super::{Holder, Map, MapCtx, MapSpec, Reference, SocketRef};
use crate::bpf::mem::{Addr, BadAccess};
use crate::uapi::Errno;
use crate::uapi::map::{BPF_EXIST, BPF_F_NUMA_NODE, BPF_F_RDONLY, BPF_F_WRONLY, BPF_NOEXIST};

/// `SOCK_CREATE_FLAG_MASK`.
pub(super) const FLAGS: u32 = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY;

/// `sock_map_alloc`.
pub(super) fn check(spec: &MapSpec) -> Result<(), Errno> {
    if spec.max_entries == 0
        || spec.max_entries > i32::MAX as u32
        || spec.key_size != 4
        || !matches!(spec.value_size, 4 | 8)
        || spec.flags & !FLAGS != 0
    {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// `sock_map_update_elem_sys` up to the map's own type: the socket, if one of its kind and state may be in a map.
pub(super) fn suitable(new: Result<Reference, Errno>) -> Result<SocketRef, Errno> {
    let Reference::Socket(socket) = new? else { return Err(Errno::ENOTSOCK) };
    if socket.suits_sock_maps() && socket.state_suits_sock_maps() {
        Ok(socket)
    } else {
        Err(Errno::EOPNOTSUPP)
    }
}

/// `sock_map_link` without programs: a socket is in any number of these maps, or used otherwise.
pub(super) fn link(socket: &SocketRef) -> Result<(), Errno> {
    if socket.held_by == Some(Holder::ReuseportArray) {
        return Err(Errno::EBUSY);
    }
    if socket.takes_psock() { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

/// What `flags` say about an element that is there or not.
pub(super) fn check_flags(there: bool, flags: u64) -> Result<(), Errno> {
    match flags {
        BPF_NOEXIST if there => Err(Errno::EEXIST),
        BPF_EXIST if !there => Err(Errno::ENOENT),
        _ => Ok(()),
    }
}

/// Sockets by number.
pub(super) struct SockMap {
    max_entries: u32,
    /// Whether values are 8 bytes: only then can user space read them.
    wide: bool,
    sockets: BTreeMap<u32, SocketRef>,
}

impl SockMap {
    pub fn create(spec: &MapSpec) -> Self {
        Self { max_entries: spec.max_entries, wide: spec.value_size == 8, sockets: BTreeMap::new() }
    }
}

fn index_of(key: &[u8]) -> u32 {
    u32::from_le_bytes(key.try_into().expect("sockmap keys are 4 bytes"))
}

impl Map for SockMap {
    /// `sock_map_lookup`: the guest's `struct bpf_sock *`.
    fn lookup(&mut self, ctx: &mut MapCtx<'_>, key: Addr) -> Result<Addr, BadAccess> {
        let index = ctx.mem.load(key, 4)? as u32;
        Ok(self.sockets.get(&index).map_or(0, |socket| socket.guest))
    }

    /// `sock_map_delete_elem`.
    fn delete(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno> {
        self.sockets.remove(&index_of(key)).map(drop).ok_or(Errno::EINVAL)
    }

    /// `sock_map_lookup_sys`: the socket's cookie.
    fn sys_lookup(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<Vec<u8>, Errno> {
        if !self.wide {
            return Err(Errno::ENOSPC);
        }
        let socket = self.sockets.get(&index_of(key)).ok_or(Errno::ENOENT)?;
        Ok(socket.cookie.to_le_bytes().to_vec())
    }

    fn sys_update(&mut self, _: &mut MapCtx<'_>, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.sys_update_fd(key, descriptor(value, Errno::EINVAL), flags)
    }

    fn sys_update_fd(&mut self, key: &[u8], new: Result<Reference, Errno>, flags: u64) -> Result<(), Errno> {
        self.update_socket(key, suitable(new)?, flags)
    }

    /// `sock_map_update_common`.
    fn update_socket(&mut self, key: &[u8], new: SocketRef, flags: u64) -> Result<(), Errno> {
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let index = index_of(key);
        if index >= self.max_entries {
            return Err(Errno::E2BIG);
        }
        link(&new)?;
        check_flags(self.sockets.contains_key(&index), flags)?;
        self.sockets.insert(index, new);
        Ok(())
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
        self.sockets.values().any(|socket| socket.cookie == cookie).then_some(Holder::Psock)
    }

    fn forget_socket(&mut self, cookie: u64) {
        self.sockets.retain(|_, socket| socket.cookie != cookie);
    }
}
