//! What [`Maps`] does with sockets, and with values that belong to a socket or a cgroup.

use super::local_storage::Account;
use super::{MapCtx, MapId, Maps, Reference, SocketRef};
use crate::bpf::mem::Addr;
use crate::uapi::map::BPF_F_LOCK;
use crate::uapi::{Errno, MapType};

impl Maps {
    /// The socket, with what has it already.
    pub(super) fn held(&self, socket: SocketRef) -> SocketRef {
        let held_by = self.slots.iter().find_map(|slot| slot.map.holds(socket.cookie));
        SocketRef { held_by, ..socket }
    }

    /// `bpf_map_update_elem` of a socket map or socket hash, `bpf_sock_map_update` and `bpf_sock_hash_update`, once the
    /// socket was found suitable.
    pub fn update_socket(
        &mut self,
        id: MapId,
        key: &[u8],
        socket: SocketRef,
        flags: u64,
    ) -> Result<(), Errno> {
        let socket = self.held(socket);
        self.map(id).update_socket(key, socket, flags)
    }

    /// A socket is no more: it leaves every map, and its storage goes with it.
    pub fn forget_socket(&mut self, cookie: u64) {
        for slot in &mut self.slots {
            slot.map.forget_socket(cookie);
        }
    }

    /// A socket that was in no map is no more: its storage goes with it.
    pub fn forget_storage(&mut self, cookie: u64) {
        if self.stores {
            self.forget_socket(cookie);
        }
    }

    /// `BPF_MAP_LOOKUP_ELEM` of a map of local storage, whose keys are descriptors: that of `owner`.
    pub fn sys_lookup_of(
        &mut self,
        ctx: &mut MapCtx<'_>,
        id: MapId,
        owner: Reference,
        flags: u64,
    ) -> Result<Vec<u8>, Errno> {
        if flags & !BPF_F_LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        let storage = self.readable(id)?.lockable(flags)?.storage();
        let owner = storage.owner(owner)?;
        storage.read(ctx.mem, owner)
    }

    /// `BPF_MAP_UPDATE_ELEM` of a map of local storage: see [`sys_lookup_of`](Self::sys_lookup_of).
    pub fn sys_update_of(
        &mut self,
        ctx: &mut MapCtx<'_>,
        id: MapId,
        owner: Reference,
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        let owner = self.writable(id)?.lockable(flags)?.storage().owner(owner)?;
        self.store_for(ctx, id, owner, value, flags).map(drop)
    }

    /// `BPF_MAP_DELETE_ELEM` of a map of local storage: see [`sys_lookup_of`](Self::sys_lookup_of).
    pub fn sys_delete_of(&mut self, id: MapId, owner: Reference) -> Result<(), Errno> {
        let storage = self.writable(id)?.storage();
        let owner = storage.owner(owner)?;
        storage.remove(owner)
    }

    /// `bpf_local_storage_update`: a value for `owner`, a socket's cookie or a cgroup's id, in a map of local storage; its
    /// address. A socket is charged with what all maps keep for it, up to the kernel's default `optmem_max`
    /// (`net/core/bpf_sk_storage.c: bpf_sk_storage_charge`, v6.12).
    pub fn store_for(
        &mut self,
        ctx: &mut MapCtx<'_>,
        id: MapId,
        owner: u64,
        value: &[u8],
        flags: u64,
    ) -> Result<Addr, Errno> {
        let map_type = self.spec(id).map_type;
        let same_kind = self.slots.iter_mut().filter(|slot| slot.spec.map_type == map_type);
        let storages = same_kind.filter_map(|slot| slot.map.storage());
        let charges = storages.filter(|storage| storage.get(owner).is_some()).map(|storage| storage.charge());
        let held: u64 = charges.sum();
        let is_first = held == 0;
        let storage = self.slots[id.0 as usize].storage();
        let total = held + ctx.release.local_storage_size() + storage.charge();
        let has_room = map_type != MapType::SkStorage || total < ctx.release.optmem_max();
        storage.put(ctx.mem, owner, value, flags, Account { is_first, has_room })
    }
}
