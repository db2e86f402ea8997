//! `BPF_MAP_CREATE`: which attributes each type takes.

use super::array::Array;
use super::bloom_filter::{self, BloomFilter};
use super::cgroup_array::CgroupArray;
use super::cgroup_storage::{self, CgroupStorage};
use super::hash::Hash;
use super::local_storage::{self, LocalStorage};
use super::lpm_trie::LpmTrie;
use super::lru::LruHash;
use super::map_in_map::{ArrayOfMaps, HashOfMaps, check_inner};
use super::perf_event_array::PerfEventArray;
use super::prog_array::ProgArray;
use super::queue_stack::QueueStack;
use super::redirect::RedirectMap;
use super::reuseport_array::{self, ReuseportArray};
use super::ringbuf::Ringbuf;
use super::sock_hash::{self, SockHash};
use super::sock_map::{self, SockMap};
use super::user_ringbuf::UserRingbuf;
use super::xskmap::{self, XskMap};
use super::{Map, MapCtx, MapId, MapSpec, SpecialKind};
use crate::uapi::map::{
    BPF_F_INNER_MAP, BPF_F_MMAPABLE, BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC, BPF_F_NUMA_NODE,
    BPF_F_PRESERVE_ELEMS, BPF_F_RDONLY, BPF_F_RDONLY_PROG, BPF_F_WRONLY, BPF_F_WRONLY_PROG, BPF_F_ZERO_SEED,
};
use crate::uapi::{Errno, MapType};

/// Why a map cannot be created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CreateError {
    /// The kernel would refuse it too.
    Errno(Errno),
    /// The kernel has this type, the simulator does not.
    NotModelled(MapType),
}

impl From<Errno> for CreateError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl std::fmt::Display for CreateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Errno(errno) => write!(f, "{errno}"),
            Self::NotModelled(map_type) => match reason(*map_type) {
                Some(reason) => write!(f, "{map_type} is not modelled: {reason}"),
                None => write!(f, "{map_type} is not modelled"),
            },
        }
    }
}

impl std::error::Error for CreateError {}

/// Why a type is left out, where that is more than that it has not been done.
const fn reason(map_type: MapType) -> Option<&'static str> {
    match map_type {
        MapType::StackTrace => Some("its elements are addresses inside a running kernel"),
        MapType::InodeStorage => Some("there are no inodes"),
        MapType::TaskStorage => Some("there are no tasks"),
        MapType::StructOps => Some("there is no kernel code to call its programs"),
        MapType::Arena => Some("programs and user space share its memory"),
        _ => None,
    }
}

pub(super) const ACCESS_MASK: u32 = BPF_F_RDONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY | BPF_F_WRONLY_PROG;
/// `KMALLOC_MAX_SIZE`, bytes: 2^(MAX_PAGE_ORDER + PAGE_SHIFT).
pub(super) const KMALLOC_MAX_SIZE: u64 = 1 << 22;
/// `sizeof(struct htab_elem)`, bytes.
const HTAB_ELEM_SIZE: u64 = 48;
/// `sizeof(struct bucket)`, bytes.
const BUCKET_SIZE: u64 = 16;
/// `sizeof(struct lpm_trie_node)`, bytes.
const LPM_NODE_SIZE: u64 = 40;
/// Bytes of an LPM key before its data: the prefix length.
const LPM_KEY_HEADER: u64 = 4;
/// `LPM_DATA_SIZE_MAX`, bytes.
const LPM_DATA_SIZE_MAX: u64 = 256;
/// `NR_CPUS`, as distributions configure it.
const NR_CPUS: u32 = 8192;
/// `PCPU_MIN_UNIT_SIZE`, bytes (`include/linux/percpu.h`, v6.12).
pub(super) const PCPU_MIN_UNIT_SIZE: u64 = 32 << 10;

/// `kernel/bpf/syscall.c: map_create`, v6.12. Gives the map and its spec as the kernel keeps it.
///
/// The inner map of a map of maps is described, not created, so its own errors come first, as they would for whoever
/// has to create it.
pub(super) fn create(
    ctx: &MapCtx<'_>,
    id: MapId,
    asked: &MapSpec,
) -> Result<(Box<dyn Map>, MapSpec), CreateError> {
    let mut spec = asked.clone();
    if let Some(inner) = &asked.inner {
        spec.inner = Some(Box::new(create(ctx, id, inner)?.1));
    }
    check_common(&spec)?;
    let map: Box<dyn Map> = match spec.map_type {
        MapType::Unspec => return Err(Errno::EINVAL.into()),
        MapType::Array | MapType::PercpuArray => {
            check_array(&spec)?;
            Box::new(Array::create(ctx, id, &spec))
        }
        MapType::ProgArray => {
            check_fd_array(&spec)?;
            Box::new(ProgArray::create(&spec))
        }
        MapType::PerfEventArray => {
            check_fd_array(&spec)?;
            Box::new(PerfEventArray::create(&spec))
        }
        MapType::ArrayOfMaps => {
            check_fd_array(&spec)?;
            check_inner(spec.inner.as_deref().ok_or(Errno::EBADF)?)?;
            Box::new(ArrayOfMaps::create(&spec))
        }
        MapType::Hash | MapType::PercpuHash => {
            check_hash(&spec)?;
            check_buckets(&spec)?;
            Box::new(Hash::create(ctx, id, &spec))
        }
        MapType::LruHash | MapType::LruPercpuHash => {
            check_hash(&spec)?;
            if spec.flags & BPF_F_NO_COMMON_LRU != 0 {
                spec.max_entries = share_equally(spec.max_entries, ctx.nr_cpus);
            }
            check_buckets(&spec)?;
            Box::new(LruHash::create(ctx, id, &spec))
        }
        MapType::HashOfMaps => {
            if spec.value_size != 4 {
                return Err(Errno::EINVAL.into());
            }
            check_hash(&spec)?;
            check_inner(spec.inner.as_deref().ok_or(Errno::EBADF)?)?;
            check_buckets(&spec)?;
            Box::new(HashOfMaps::create(ctx, &spec))
        }
        MapType::LpmTrie => {
            check_lpm_trie(&spec)?;
            Box::new(LpmTrie::create(id, &spec))
        }
        MapType::Queue | MapType::Stack => {
            check_queue_stack(&spec)?;
            Box::new(QueueStack::create(&spec))
        }
        MapType::Devmap | MapType::DevmapHash => {
            check_devmap(&spec)?;
            spec.flags |= BPF_F_RDONLY_PROG;
            Box::new(RedirectMap::create(id, &spec))
        }
        MapType::Cpumap => {
            check_cpumap(&spec)?;
            Box::new(RedirectMap::create(id, &spec))
        }
        MapType::Ringbuf => {
            check_ringbuf(&spec)?;
            Box::new(Ringbuf::create(id, &spec))
        }
        MapType::UserRingbuf => {
            check_ringbuf(&spec)?;
            Box::new(UserRingbuf::create(&spec))
        }
        MapType::BloomFilter => {
            bloom_filter::check(&spec)?;
            Box::new(BloomFilter::create(&spec))
        }
        MapType::CgroupArray => {
            check_fd_array(&spec)?;
            Box::new(CgroupArray::create(&spec))
        }
        MapType::CgroupStorage | MapType::PercpuCgroupStorage => {
            cgroup_storage::check(&spec)?;
            Box::new(CgroupStorage::create(id, &spec))
        }
        MapType::SkStorage | MapType::CgrpStorage => {
            local_storage::check(&spec)?;
            Box::new(LocalStorage::create(id, &spec))
        }
        MapType::Sockmap => {
            sock_map::check(&spec)?;
            Box::new(SockMap::create(&spec))
        }
        MapType::Sockhash => {
            sock_hash::check(&spec)?;
            Box::new(SockHash::create(&spec))
        }
        MapType::ReuseportSockarray => {
            reuseport_array::check(&spec)?;
            Box::new(ReuseportArray::create(&spec))
        }
        MapType::Xskmap => {
            xskmap::check(&spec)?;
            Box::new(XskMap::create(&spec))
        }
        MapType::StackTrace
        | MapType::InodeStorage
        | MapType::TaskStorage
        | MapType::StructOps
        | MapType::Arena => return Err(CreateError::NotModelled(spec.map_type)),
    };
    check_fields(&spec)?;
    Ok((map, spec))
}

/// What `map_create` checks before it asks the type.
fn check_common(spec: &MapSpec) -> Result<(), Errno> {
    let extra = matches!(spec.map_type, MapType::BloomFilter | MapType::Arena);
    if (spec.key_type != 0 && spec.value_type == 0)
        || (spec.extra != 0 && !extra)
        || (spec.flags & BPF_F_RDONLY != 0 && spec.flags & BPF_F_WRONLY != 0)
    {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// `kernel/bpf/arraymap.c: fd_array_map_alloc_check`, v6.12.
fn check_fd_array(spec: &MapSpec) -> Result<(), Errno> {
    if spec.value_size != 4 || spec.flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG) != 0 {
        return Err(Errno::EINVAL);
    }
    check_array(spec)
}

/// `kernel/bpf/hashtab.c: htab_map_alloc_check`, v6.12.
fn check_hash(spec: &MapSpec) -> Result<(), Errno> {
    let allowed = BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | ACCESS_MASK | BPF_F_ZERO_SEED;
    let percpu = matches!(spec.map_type, MapType::PercpuHash | MapType::LruPercpuHash);
    let lru = matches!(spec.map_type, MapType::LruHash | MapType::LruPercpuHash);
    let flags = spec.flags;
    let percpu_lru = flags & BPF_F_NO_COMMON_LRU != 0;
    if flags & !allowed != 0 || !access_ok(flags) || (!lru && percpu_lru) {
        return Err(Errno::EINVAL);
    }
    if lru && flags & BPF_F_NO_PREALLOC != 0 {
        return Err(Errno::ENOTSUPP);
    }
    if (flags & BPF_F_NUMA_NODE != 0 && (percpu || percpu_lru))
        || spec.max_entries == 0
        || spec.key_size == 0
        || spec.value_size == 0
    {
        return Err(Errno::EINVAL);
    }
    if u64::from(spec.key_size) + u64::from(spec.value_size) >= KMALLOC_MAX_SIZE - HTAB_ELEM_SIZE
        || (percpu && long(spec.value_size) > PCPU_MIN_UNIT_SIZE)
    {
        return Err(Errno::E2BIG);
    }
    Ok(())
}

/// `kernel/bpf/hashtab.c: htab_map_alloc`, v6.12: the bytes of all buckets are counted in 32 bits.
fn check_buckets(spec: &MapSpec) -> Result<(), Errno> {
    let buckets = u64::from(spec.max_entries).next_power_of_two();
    if buckets > u64::from(u32::MAX) / BUCKET_SIZE { Err(Errno::E2BIG) } else { Ok(()) }
}

/// `roundup`, or if that overflows `rounddown`, to a multiple of `nr_cpus`.
fn share_equally(max_entries: u32, nr_cpus: u32) -> u32 {
    max_entries.checked_next_multiple_of(nr_cpus).unwrap_or(max_entries - max_entries % nr_cpus)
}

/// `kernel/bpf/lpm_trie.c: trie_alloc`, v6.12.
fn check_lpm_trie(spec: &MapSpec) -> Result<(), Errno> {
    let allowed = BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | ACCESS_MASK;
    if spec.max_entries == 0
        || spec.flags & BPF_F_NO_PREALLOC == 0
        || spec.flags & !allowed != 0
        || !access_ok(spec.flags)
        || !(LPM_KEY_HEADER + 1..=LPM_KEY_HEADER + LPM_DATA_SIZE_MAX).contains(&u64::from(spec.key_size))
        || spec.value_size == 0
        || u64::from(spec.value_size) > KMALLOC_MAX_SIZE - LPM_DATA_SIZE_MAX - LPM_NODE_SIZE
    {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// `kernel/bpf/queue_stack_maps.c: queue_stack_map_alloc_check`, v6.12.
fn check_queue_stack(spec: &MapSpec) -> Result<(), Errno> {
    if spec.max_entries == 0
        || spec.key_size != 0
        || spec.value_size == 0
        || spec.flags & !(BPF_F_NUMA_NODE | ACCESS_MASK) != 0
        || !access_ok(spec.flags)
    {
        return Err(Errno::EINVAL);
    }
    if u64::from(spec.value_size) > KMALLOC_MAX_SIZE || spec.max_entries >= u32::MAX / spec.value_size {
        return Err(Errno::E2BIG);
    }
    Ok(())
}

/// `kernel/bpf/devmap.c: dev_map_alloc_check`, v6.12.
fn check_devmap(spec: &MapSpec) -> Result<(), Errno> {
    let too_many = spec.map_type == MapType::DevmapHash && spec.max_entries > 1 << 31;
    if spec.max_entries == 0
        || spec.key_size != 4
        || !matches!(spec.value_size, 4 | 8)
        || spec.flags & !(BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY) != 0
        || too_many
    {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// `kernel/bpf/cpumap.c: cpu_map_alloc`, v6.12.
fn check_cpumap(spec: &MapSpec) -> Result<(), Errno> {
    if spec.max_entries == 0
        || spec.key_size != 4
        || !matches!(spec.value_size, 4 | 8)
        || spec.flags & !BPF_F_NUMA_NODE != 0
    {
        return Err(Errno::EINVAL);
    }
    if spec.max_entries > NR_CPUS { Err(Errno::E2BIG) } else { Ok(()) }
}

/// `kernel/bpf/ringbuf.c: ringbuf_map_alloc`, v6.12.
fn check_ringbuf(spec: &MapSpec) -> Result<(), Errno> {
    if spec.flags & !BPF_F_NUMA_NODE != 0
        || spec.key_size != 0
        || spec.value_size != 0
        || !spec.max_entries.is_power_of_two()
        || !spec.max_entries.is_multiple_of(4096)
    {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// `kernel/bpf/arraymap.c: array_map_alloc_check`, v6.12.
pub(super) fn check_array(spec: &MapSpec) -> Result<(), Errno> {
    let allowed = BPF_F_NUMA_NODE | BPF_F_MMAPABLE | ACCESS_MASK | BPF_F_PRESERVE_ELEMS | BPF_F_INNER_MAP;
    let percpu = spec.map_type == MapType::PercpuArray;
    let flags = spec.flags;
    if spec.max_entries == 0
        || spec.key_size != 4
        || spec.value_size == 0
        || flags & !allowed != 0
        || !access_ok(flags)
        || (percpu && flags & BPF_F_NUMA_NODE != 0)
    {
        return Err(Errno::EINVAL);
    }
    if spec.map_type != MapType::Array && flags & (BPF_F_MMAPABLE | BPF_F_INNER_MAP) != 0 {
        return Err(Errno::EINVAL);
    }
    if spec.map_type != MapType::PerfEventArray && flags & BPF_F_PRESERVE_ELEMS != 0 {
        return Err(Errno::EINVAL);
    }
    if spec.value_size > i32::MAX as u32 || (percpu && long(spec.value_size) > PCPU_MIN_UNIT_SIZE) {
        return Err(Errno::E2BIG);
    }
    Ok(())
}

/// `include/linux/bpf.h: bpf_map_flags_access_ok`, v6.12.
pub(super) fn access_ok(flags: u32) -> bool {
    flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG) != BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG
}

fn long(value_size: u32) -> u64 {
    u64::from(value_size).next_multiple_of(8)
}

/// `kernel/bpf/syscall.c: map_check_btf`, v6.12: which types may hold which special fields.
fn check_fields(spec: &MapSpec) -> Result<(), Errno> {
    use MapType::{Array, CgroupStorage, CgrpStorage, Hash, LruHash, SkStorage};
    if !spec.fields.is_empty() && spec.flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG) != 0 {
        return Err(Errno::EACCES);
    }
    let allowed = |kind| match kind {
        SpecialKind::SpinLock => {
            matches!(spec.map_type, Hash | Array | CgroupStorage | SkStorage | CgrpStorage)
        }
        SpecialKind::Timer => matches!(spec.map_type, Hash | LruHash | Array),
        SpecialKind::Other => true,
    };
    if spec.fields.iter().all(|field| allowed(field.kind)) { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}
