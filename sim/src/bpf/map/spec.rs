//! What a map is asked to be: the arguments of `BPF_MAP_CREATE`.

use crate::uapi::MapType;

/// The description of a map, from an object file or a caller. Pure data: creating it may still fail with an errno.
#[derive(Clone, PartialEq, Debug)]
pub struct MapSpec {
    /// The C name of the variable, or the section's for global data.
    pub name: String,
    /// `BPF_MAP_TYPE_*`.
    pub map_type: MapType,
    /// Bytes in a key.
    pub key_size: u32,
    /// Bytes in a value (of one CPU).
    pub value_size: u32,
    /// Elements at most; bytes for a ring buffer.
    pub max_entries: u32,
    /// `BPF_F_*` creation flags.
    pub flags: u32,
    /// `map_extra`, as of bloom filters.
    pub extra: u64,
    /// For maps of maps, what the inner maps look like.
    pub inner: Option<Box<MapSpec>>,
    /// `LIBBPF_PIN_*` or any other number the object carries.
    pub pinning: u32,
    /// BTF type ids of key and value in the object's BTF; 0 where unknown.
    pub key_type: u32,
    /// See [`key_type`](Self::key_type).
    pub value_type: u32,
    /// Special fields inside the value, found by BTF.
    pub fields: Vec<SpecialField>,
}

impl MapSpec {
    /// Bytes of a value in the system call (`kernel/bpf/syscall.c: bpf_map_value_size`, v6.12).
    pub fn sys_value_size(&self, nr_cpus: u32) -> usize {
        match self.map_type {
            MapType::PercpuArray
            | MapType::PercpuHash
            | MapType::LruPercpuHash
            | MapType::PercpuCgroupStorage => {
                (self.value_size as usize).next_multiple_of(8) * nr_cpus as usize
            }
            _ => self.value_size as usize,
        }
    }

    /// `key` itself, which must have the size of the map's keys.
    ///
    /// # Panics
    /// When it has not: the caller read a key of some other map.
    pub(super) fn whole_key<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        assert_eq!(key.len(), self.key_size as usize, "key of map {}", self.name);
        key
    }
}

/// A field inside a map value that only helpers may touch (`struct btf_record` of `include/linux/bpf.h`, v6.12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpecialField {
    /// Byte offset inside the value.
    pub offset: u32,
    /// What it is.
    pub kind: SpecialKind,
}

/// Kinds of special fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpecialKind {
    /// `struct bpf_spin_lock`, 4 bytes.
    SpinLock,
    /// `struct bpf_timer`, 16 bytes.
    Timer,
    /// Anything newer (kptr, list, tree, workqueue): named when something needs it.
    Other,
}

impl SpecialKind {
    /// Bytes the field takes; they read as zero from user space.
    pub const fn size(self) -> u32 {
        match self {
            Self::SpinLock => 4,
            Self::Timer => 16,
            Self::Other => 8,
        }
    }
}
