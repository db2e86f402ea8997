//! What a map type has to do: `include/linux/bpf.h: struct bpf_map_ops`, v6.12.

use super::{
    CgroupId, Change, Element, Holder, LocalStorage, MapCtx, Reference, Ringbuf, SocketRef, TailCallee,
    UserRingbuf, Walk,
};
use crate::bpf::machine::ProgId;
use crate::bpf::mem::{Addr, BadAccess, Memory};
use crate::uapi::Errno;

/// One map. The first group is what helpers do, the second what bpf(2) does; the defaults are what the kernel answers
/// where a type has no such operation.
///
/// Keys and values have exactly the sizes of the [`MapSpec`](super::MapSpec); the syscall side of a per-CPU map takes and gives
/// `nr_cpus × round_up(value_size, 8)` bytes.
pub trait Map {
    /// `bpf_map_lookup_elem`: the address of the (this CPU's) value, 0 for none.
    fn lookup(&mut self, ctx: &mut MapCtx<'_>, key: Addr) -> Result<Addr, BadAccess> {
        let _ = (ctx, key);
        Ok(0)
    }
    /// What [`lookup`](Self::lookup) would give, where a glance shows it: nothing to allocate or to note, and a key that
    /// may be read. The quick way in front of it.
    fn glance(&self, mem: &Memory, key: Addr, cpu: u32) -> Option<Addr> {
        let _ = (mem, key, cpu);
        None
    }
    /// `bpf_map_lookup_percpu_elem`: the address of another CPU's value, 0 for none.
    fn lookup_percpu(&mut self, ctx: &mut MapCtx<'_>, key: Addr, cpu: u32) -> Result<Addr, BadAccess> {
        let _ = (ctx, key, cpu);
        Ok(0)
    }
    /// `bpf_map_update_elem`.
    fn update(&mut self, ctx: &mut MapCtx<'_>, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let _ = (ctx, key, value, flags);
        Err(Errno::ENOTSUPP)
    }
    /// `bpf_map_delete_elem`.
    fn delete(&mut self, ctx: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno> {
        let _ = (ctx, key);
        Err(Errno::ENOTSUPP)
    }
    /// `bpf_map_push_elem`.
    fn push(&mut self, ctx: &mut MapCtx<'_>, value: &[u8], flags: u64) -> Result<(), Errno> {
        let _ = (ctx, value, flags);
        Err(Errno::ENOTSUPP)
    }
    /// `bpf_map_peek_elem`: the bytes, also on an error that hands out zeroes.
    fn peek(&mut self, ctx: &mut MapCtx<'_>) -> (Vec<u8>, Result<(), Errno>) {
        let _ = ctx;
        (Vec::new(), Err(Errno::ENOTSUPP))
    }
    /// `bpf_map_pop_elem`: see [`peek`](Self::peek).
    fn pop(&mut self, ctx: &mut MapCtx<'_>) -> (Vec<u8>, Result<(), Errno>) {
        let _ = ctx;
        (Vec::new(), Err(Errno::ENOTSUPP))
    }
    /// `bpf_map_peek_elem` of a bloom filter: whether it may have this value; `ENOENT` if not.
    fn contains(&mut self, value: &[u8]) -> Result<(), Errno> {
        let _ = value;
        Err(Errno::ENOTSUPP)
    }
    /// One step of `bpf_for_each_map_elem`; `None` at the end.
    fn walk(&mut self, ctx: &mut MapCtx<'_>, walk: &mut Walk) -> Option<Element> {
        let _ = (ctx, walk);
        None
    }

    /// `BPF_MAP_LOOKUP_ELEM`.
    fn sys_lookup(&mut self, ctx: &mut MapCtx<'_>, key: &[u8]) -> Result<Vec<u8>, Errno>;
    /// `BPF_MAP_UPDATE_ELEM`.
    fn sys_update(
        &mut self,
        ctx: &mut MapCtx<'_>,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        self.update(ctx, key, value, flags)
    }
    /// `BPF_MAP_UPDATE_ELEM` of a map that holds kernel objects: `new` is what looking the descriptor up gave.
    fn sys_update_fd(&mut self, key: &[u8], new: Result<Reference, Errno>, flags: u64) -> Result<(), Errno> {
        let _ = (key, new, flags);
        Err(Errno::EINVAL)
    }
    /// `BPF_MAP_DELETE_ELEM`.
    fn sys_delete(&mut self, ctx: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno> {
        self.delete(ctx, key)
    }
    /// `BPF_MAP_LOOKUP_AND_DELETE_ELEM`.
    fn sys_lookup_and_delete(&mut self, ctx: &mut MapCtx<'_>, key: &[u8]) -> Result<Vec<u8>, Errno> {
        let _ = (ctx, key);
        Err(Errno::ENOTSUPP)
    }
    /// `BPF_MAP_GET_NEXT_KEY`; `None` asks for the first key. Ends with `ENOENT`.
    fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno>;

    /// The value a program addresses by `ld_imm64` (`map_direct_value_addr`).
    fn value_addr(&mut self, ctx: &mut MapCtx<'_>) -> Result<Addr, Errno> {
        let _ = ctx;
        Err(Errno::ENOTSUPP)
    }
    /// The program in this slot of a prog array.
    fn program(&self, index: u32) -> Option<ProgId> {
        let _ = index;
        None
    }
    /// Whether `bpf_redirect_map` finds something under this number.
    fn has_target(&self, index: u32) -> bool {
        let _ = index;
        false
    }
    /// The socket under this key of a map of sockets.
    fn socket(&self, key: &[u8]) -> Option<SocketRef> {
        let _ = key;
        None
    }
    /// Puts a suitable socket into a socket map or socket hash.
    fn update_socket(&mut self, key: &[u8], new: SocketRef, flags: u64) -> Result<(), Errno> {
        let _ = (key, new, flags);
        Err(Errno::EINVAL)
    }
    /// What this map uses the socket's `sk_user_data` for.
    fn holds(&self, cookie: u64) -> Option<Holder> {
        let _ = cookie;
        None
    }
    /// The socket is no more.
    fn forget_socket(&mut self, cookie: u64) {
        let _ = cookie;
    }
    /// The cgroup in this slot of a cgroup array: `E2BIG` outside of it, `EAGAIN` if the slot is empty.
    fn cgroup(&self, index: u32) -> Result<CgroupId, Errno> {
        let _ = index;
        Err(Errno::EINVAL)
    }
    /// The values by owner, if this is local storage.
    fn storage(&mut self) -> Option<&mut LocalStorage> {
        None
    }
    /// A zero value as a test run gives it to a program that uses this cgroup storage; `None` when guest memory is used
    /// up.
    fn temporary_value(&mut self, mem: &mut Memory) -> Option<Addr> {
        let _ = mem;
        None
    }
    /// A program that makes tail calls through this prog array, or is put into it, settles what may be in it: programs
    /// like itself. `EINVAL` if something else did before.
    fn claim(&mut self, callee: TailCallee) -> Result<(), Errno> {
        let _ = callee;
        Ok(())
    }
    /// Hands `data` to the event in slot `index` of a perf event array (`kernel/trace/bpf_trace.c:
    /// __bpf_perf_event_output`, v6.12).
    fn perf_output(&mut self, cpu: u32, index: u32, data: Vec<u8>) -> Result<(), Errno> {
        let _ = (cpu, index, data);
        Err(Errno::EINVAL)
    }
    /// The ring, if this is a ring buffer.
    fn ringbuf(&mut self) -> Option<&mut Ringbuf> {
        None
    }
    /// The ring, if user space produces into it.
    fn user_ringbuf(&mut self) -> Option<&mut UserRingbuf> {
        None
    }
    /// Takes the records a consumer would get now.
    fn drain(&mut self) -> Vec<Vec<u8>> {
        Vec::new()
    }
    /// Every key in use, in the order of [`next_key`](Self::next_key); arrays leave out elements never written.
    fn keys(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }
    /// Starts or stops remembering values before they change.
    fn track(&mut self, on: bool) {
        let _ = on;
    }
    /// The elements that changed since tracking began or since the last call, by key.
    fn changes(&mut self, ctx: &mut MapCtx<'_>) -> Vec<Change> {
        let _ = ctx;
        Vec::new()
    }
    /// The values whose special fields the map has freed since the last call: their timers are no more.
    fn take_freed(&mut self) -> Vec<Addr> {
        Vec::new()
    }
    /// The key of the element whose value is at this address; for types whose values may hold a timer.
    fn key_of_value(&self, value: Addr) -> Option<Vec<u8>> {
        let _ = value;
        None
    }
    /// A grace period has passed: no program holds a pointer any more.
    fn synchronize_rcu(&mut self, mem: &mut Memory) {
        let _ = mem;
    }
}
