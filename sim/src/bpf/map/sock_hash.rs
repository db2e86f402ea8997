//! `BPF_MAP_TYPE_SOCKHASH`: `net/core/sock_map.c`, v6.12. Of the programs that can be attached to one, none are.

use super::reuseport_array::descriptor;
use super::sock_map::{FLAGS, check_flags, link, suitable};
use super::table::{NONE, Table};
use super::{Holder, Map, MapCtx, MapSpec, Reference, SocketRef};
use crate::bpf::mem::{Addr, BadAccess};
use crate::uapi::Errno;
use crate::uapi::map::BPF_EXIST;

/// `MAX_BPF_STACK`, bytes.
const MAX_BPF_STACK: u32 = 512;
/// `sizeof(struct bpf_shtab_bucket)`, bytes.
const BUCKET_SIZE: u64 = 16;

/// `sock_hash_alloc`.
pub(super) fn check(spec: &MapSpec) -> Result<(), Errno> {
    if spec.max_entries == 0
        || spec.key_size == 0
        || !matches!(spec.value_size, 4 | 8)
        || spec.flags & !FLAGS != 0
    {
        return Err(Errno::EINVAL);
    }
    if spec.key_size > MAX_BPF_STACK {
        return Err(Errno::E2BIG);
    }
    let buckets = u64::from(spec.max_entries).next_power_of_two();
    if buckets > u64::from(u32::MAX) / BUCKET_SIZE { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Sockets by key.
pub(super) struct SockHash {
    /// In place of values' addresses, places in `sockets`.
    table: Table,
    max_entries: u32,
    /// Whether values are 8 bytes: only then can user space read them.
    wide: bool,
    /// By element; those in no bucket are stale.
    sockets: Vec<SocketRef>,
    free: Vec<u32>,
    len: u32,
}

impl SockHash {
    pub fn create(spec: &MapSpec) -> Self {
        Self {
            table: Table::new(spec.key_size, spec.max_entries, 1),
            max_entries: spec.max_entries,
            wide: spec.value_size == 8,
            sockets: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    fn remove(&mut self, slot: u32) {
        self.table.unlink(slot);
        self.free.push(slot);
        self.len -= 1;
    }

    fn of_slot(&self, slot: u32) -> &SocketRef {
        &self.sockets[self.table.addrs(slot)[0] as usize]
    }

    /// The elements that are this socket.
    fn slots_of(&self, cookie: u64) -> Vec<u32> {
        let slots = self.table.keys().into_iter().map(|key| self.table.find(&key));
        slots.filter(|&slot| self.of_slot(slot).cookie == cookie).collect()
    }
}

impl Map for SockHash {
    /// `sock_hash_lookup`: the guest's `struct bpf_sock *`.
    fn lookup(&mut self, ctx: &mut MapCtx<'_>, key: Addr) -> Result<Addr, BadAccess> {
        let key = ctx.mem.guest(key, self.table.key(NONE).len() as u64)?;
        Ok(self.socket(key).map_or(0, |socket| socket.guest))
    }

    /// `sock_hash_delete_elem`.
    fn delete(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno> {
        match self.table.find(key) {
            NONE => Err(Errno::ENOENT),
            slot => {
                self.remove(slot);
                Ok(())
            }
        }
    }

    /// `sock_hash_lookup_sys`: the socket's cookie.
    fn sys_lookup(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<Vec<u8>, Errno> {
        if !self.wide {
            return Err(Errno::ENOSPC);
        }
        let socket = self.socket(key).ok_or(Errno::ENOENT)?;
        Ok(socket.cookie.to_le_bytes().to_vec())
    }

    fn sys_update(&mut self, _: &mut MapCtx<'_>, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.sys_update_fd(key, descriptor(value, Errno::EINVAL), flags)
    }

    fn sys_update_fd(&mut self, key: &[u8], new: Result<Reference, Errno>, flags: u64) -> Result<(), Errno> {
        self.update_socket(key, suitable(new)?, flags)
    }

    /// `sock_hash_update_common`: the new element comes to the head of its bucket before the old one goes.
    fn update_socket(&mut self, key: &[u8], new: SocketRef, flags: u64) -> Result<(), Errno> {
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        link(&new)?;
        let old = self.table.find(key);
        check_flags(old != NONE, flags)?;
        if old == NONE && self.len == self.max_entries {
            return Err(Errno::E2BIG);
        }
        let slot = if let Some(slot) = self.free.pop() {
            self.sockets[self.table.addrs(slot)[0] as usize] = new;
            slot
        } else {
            self.sockets.push(new);
            self.table.add(std::iter::once(self.sockets.len() as u32 - 1))
        };
        self.table.link(slot, key);
        self.len += 1;
        if old != NONE {
            self.remove(old);
        }
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        self.table.next_key(key)
    }

    fn keys(&self) -> Vec<Vec<u8>> {
        self.table.keys()
    }

    fn socket(&self, key: &[u8]) -> Option<SocketRef> {
        match self.table.find(key) {
            NONE => None,
            slot => Some(*self.of_slot(slot)),
        }
    }

    fn holds(&self, cookie: u64) -> Option<Holder> {
        (!self.slots_of(cookie).is_empty()).then_some(Holder::Psock)
    }

    fn forget_socket(&mut self, cookie: u64) {
        for slot in self.slots_of(cookie) {
            self.remove(slot);
        }
    }
}
