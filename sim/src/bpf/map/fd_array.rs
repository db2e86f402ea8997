//! What arrays of kernel objects have in common: `kernel/bpf/arraymap.c: *fd_array*`, v6.12.

use super::array::next_index;
use super::paged::Paged;
use crate::uapi::Errno;
use crate::uapi::map::BPF_ANY;

/// Slots, each empty or holding the number of an object.
pub(super) struct FdArray {
    max_entries: u32,
    /// The number plus one; 0: empty.
    slots: Paged,
}

impl FdArray {
    pub fn new(max_entries: u32) -> Self {
        Self { max_entries, slots: Paged::default() }
    }

    /// The object in slot `index`, which may be out of range.
    #[inline]
    pub fn get(&self, index: u32) -> Option<u32> {
        if index >= self.max_entries {
            return None;
        }
        self.slots.get(u64::from(index)).checked_sub(1)
    }

    pub fn max_entries(&self) -> u32 {
        self.max_entries
    }

    /// `bpf_fd_array_map_lookup_elem`.
    pub fn lookup(&self, key: &[u8]) -> Result<u32, Errno> {
        self.get(index_of(key)).ok_or(Errno::ENOENT)
    }

    /// `bpf_fd_array_map_update_elem`; `new` is asked for only when flags and index are right.
    pub fn update(
        &mut self,
        key: &[u8],
        flags: u64,
        new: impl FnOnce() -> Result<u32, Errno>,
    ) -> Result<u32, Errno> {
        if flags != BPF_ANY {
            return Err(Errno::EINVAL);
        }
        let index = index_of(key);
        if index >= self.max_entries {
            return Err(Errno::E2BIG);
        }
        self.slots.set(u64::from(index), new()? + 1);
        Ok(index)
    }

    /// `fd_array_map_delete_elem`: gives the slot that was emptied.
    pub fn delete(&mut self, key: &[u8]) -> Result<u32, Errno> {
        let index = index_of(key);
        if index >= self.max_entries {
            return Err(Errno::E2BIG);
        }
        self.get(index).ok_or(Errno::ENOENT)?;
        self.slots.set(u64::from(index), 0);
        Ok(index)
    }

    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        next_index(key, self.max_entries)
    }

    /// The keys of slots in use.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        let mut from = 0;
        while let Some((index, _)) = self.slots.first_set(from) {
            keys.push((index as u32).to_le_bytes().to_vec());
            from = index + 1;
        }
        keys
    }
}

fn index_of(key: &[u8]) -> u32 {
    u32::from_le_bytes(key.try_into().expect("array keys are 4 bytes"))
}
