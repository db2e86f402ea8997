//! `BPF_MAP_TYPE_PROG_ARRAY`: `kernel/bpf/arraymap.c: prog_array_map_ops`, v6.12.

use super::fd_array::FdArray;
use super::{Map, MapCtx, MapSpec, Reference, TailCallee};
use crate::bpf::machine::ProgId;
use crate::uapi::Errno;

/// Programs to tail-call. User space reads a program's number where the kernel gives its id.
pub(super) struct ProgArray {
    slots: FdArray,
    /// What the first program in it, or calling through it, was like.
    owner: Option<TailCallee>,
}

impl ProgArray {
    pub fn create(spec: &MapSpec) -> Self {
        Self { slots: FdArray::new(spec.max_entries), owner: None }
    }
}

impl Map for ProgArray {
    fn sys_lookup(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<Vec<u8>, Errno> {
        self.slots.lookup(key).map(|prog| prog.to_le_bytes().to_vec())
    }

    fn sys_update(&mut self, _: &mut MapCtx<'_>, key: &[u8], _: &[u8], flags: u64) -> Result<(), Errno> {
        self.sys_update_fd(key, Err(Errno::EBADF), flags)
    }

    fn sys_update_fd(&mut self, key: &[u8], new: Result<Reference, Errno>, flags: u64) -> Result<(), Errno> {
        let owner = &mut self.owner;
        self.slots.update(key, flags, || match new? {
            Reference::Program(callee) => claim(owner, callee).map(|()| callee.prog.0),
            _ => Err(Errno::EINVAL),
        })?;
        Ok(())
    }

    fn sys_delete(&mut self, _: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno> {
        self.slots.delete(key).map(drop)
    }

    fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        self.slots.next_key(key)
    }

    fn program(&self, index: u32) -> Option<ProgId> {
        self.slots.get(index).map(ProgId)
    }

    fn claim(&mut self, callee: TailCallee) -> Result<(), Errno> {
        claim(&mut self.owner, callee)
    }

    fn keys(&self) -> Vec<Vec<u8>> {
        self.slots.keys()
    }
}

/// `kernel/bpf/core.c: __bpf_prog_map_compatible`, v6.12.
fn claim(owner: &mut Option<TailCallee>, callee: TailCallee) -> Result<(), Errno> {
    let owner = owner.get_or_insert(callee);
    let alike = |of: &TailCallee| (of.prog_type, of.xdp_has_frags, of.attach_type);
    let stores = owner.storage.iter().zip(callee.storage);
    let mut fits = stores.map(|(had, has)| *had == has || (has.is_none() && !callee.calls_on));
    if alike(owner) == alike(&callee) && fits.all(|fits| fits) { Ok(()) } else { Err(Errno::EINVAL) }
}
