//! `BPF_MAP_CREATE`: which attributes each type takes.

use super::array::Array;
use super::map_in_map::{ArrayOfMaps, check_inner};
use super::perf_event_array::PerfEventArray;
use super::prog_array::ProgArray;
use super::ringbuf::Ringbuf;
use super::{Map, MapCtx, MapId, MapSpec, SpecialKind};
use crate::uapi::map::{
    BPF_F_INNER_MAP, BPF_F_MMAPABLE, BPF_F_NUMA_NODE, BPF_F_PRESERVE_ELEMS, BPF_F_RDONLY, BPF_F_RDONLY_PROG,
    BPF_F_WRONLY, BPF_F_WRONLY_PROG,
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
            Self::NotModelled(map_type) => write!(f, "{map_type} is not modelled"),
        }
    }
}

impl std::error::Error for CreateError {}

const ACCESS_MASK: u32 = BPF_F_RDONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY | BPF_F_WRONLY_PROG;
/// `PCPU_MIN_UNIT_SIZE`, bytes (`include/linux/percpu.h`, v6.12).
const PCPU_MIN_UNIT_SIZE: u64 = 32 << 10;

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
        MapType::Ringbuf => {
            check_ringbuf(&spec)?;
            Box::new(Ringbuf::create(id, &spec))
        }
        other => return Err(CreateError::NotModelled(other)),
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
fn check_array(spec: &MapSpec) -> Result<(), Errno> {
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
fn access_ok(flags: u32) -> bool {
    flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG) != BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG
}

fn long(value_size: u32) -> u64 {
    u64::from(value_size).next_multiple_of(8)
}

/// `kernel/bpf/syscall.c: map_check_btf`, v6.12: which types may hold which special fields.
fn check_fields(spec: &MapSpec) -> Result<(), Errno> {
    use MapType::{Array, Hash, LruHash};
    if !spec.fields.is_empty() && spec.flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG) != 0 {
        return Err(Errno::EACCES);
    }
    let allowed = |kind| match kind {
        SpecialKind::SpinLock => matches!(spec.map_type, Hash | Array),
        SpecialKind::Timer => matches!(spec.map_type, Hash | LruHash | Array),
        SpecialKind::Other => true,
    };
    if spec.fields.iter().all(|field| allowed(field.kind)) { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}
