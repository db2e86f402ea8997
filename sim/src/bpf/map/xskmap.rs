//! `BPF_MAP_TYPE_XSKMAP`: `net/xdp/xskmap.c`, v6.12.

use std::collections::BTreeMap;

use super::array::next_index;
use super::socket::AF_XDP;
use super::{Map, MapCtx, MapSpec, Reference, SocketRef};
use crate::bpf::mem::{Addr, BadAccess};
use crate::uapi::Errno;
use crate::uapi::map::{BPF_EXIST, BPF_F_NUMA_NODE, BPF_F_RDONLY, BPF_F_WRONLY, BPF_NOEXIST};

/// `xsk_map_alloc`.
pub(super) fn check(spec: &MapSpec) -> Result<(), Errno> {
    if spec.max_entries == 0
        || spec.key_size != 4
        || spec.value_size != 4
        || spec.flags & !(BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY) != 0
    {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// `AF_XDP` sockets by number.
pub(super) struct XskMap {
    max_entries: u32,
    sockets: BTreeMap<u32, SocketRef>,
}

impl XskMap {
    pub fn create(spec: &MapSpec) -> Self {
        Self { max_entries: spec.max_entries, sockets: BTreeMap::new() }
    }
}

fn index_of(key: &[u8]) -> u32 {
    u32::from_le_bytes(key.try_into().expect("xskmap keys are 4 bytes"))
}

impl Map for XskMap {
    /// `xsk_map_lookup_elem`: the guest's `struct bpf_xdp_sock *`.
    fn lookup(&mut self, ctx: &mut MapCtx<'_>, key: Addr) -> Result<Addr, BadAccess> {
        let index = ctx.mem.load(key, 4)? as u32;
        Ok(self.sockets.get(&index).map_or(0, |socket| socket.guest))
    }

    fn has_target(&self, index: u32) -> bool {
        self.sockets.contains_key(&index)
    }

    fn sys_lookup(&mut self, _: &mut MapCtx<'_>, _: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn sys_update(&mut self, _: &mut MapCtx<'_>, key: &[u8], _: &[u8], flags: u64) -> Result<(), Errno> {
        self.sys_update_fd(key, Err(Errno::EBADF), flags)
    }

    /// `xsk_map_update_elem`.
    fn sys_update_fd(&mut self, key: &[u8], new: Result<Reference, Errno>, flags: u64) -> Result<(), Errno> {
        let index = index_of(key);
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        if index >= self.max_entries {
            return Err(Errno::E2BIG);
        }
        let Reference::Socket(new) = new? else { return Err(Errno::ENOTSOCK) };
        if new.family != AF_XDP {
            return Err(Errno::EOPNOTSUPP);
        }
        match self.sockets.get(&index) {
            Some(old) if old.cookie == new.cookie => return Ok(()),
            Some(_) if flags == BPF_NOEXIST => return Err(Errno::EEXIST),
            None if flags == BPF_EXIST => return Err(Errno::ENOENT),
            _ => {}
        }
        self.sockets.insert(index, new);
        Ok(())
    }

    fn sys_delete(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno> {
        let index = index_of(key);
        if index >= self.max_entries {
            return Err(Errno::EINVAL);
        }
        self.sockets.remove(&index);
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        next_index(key, self.max_entries)
    }

    fn forget_socket(&mut self, cookie: u64) {
        self.sockets.retain(|_, socket| socket.cookie != cookie);
    }
}
