//! Flags that make maps quick to read and the same on every run, and that no program can notice.

use std::os::fd::AsFd;

use libbpf_rs::OpenObject;
use libbpf_sys as kernel;

use crate::sys::{Capability, Errno, Map, inner_map};

/// Sets the flags on every map, and on what maps of maps expect of the maps they hold. The maps given back show libbpf
/// what is expected, and must live until the object is loaded.
pub fn make_observable(open: &mut OpenObject) -> Result<Vec<Map>, libbpf_rs::Error> {
    let mut templates = Vec::new();
    for mut map in open.maps_mut() {
        let extra = flags(map.map_type().into());
        if extra != 0 {
            map.set_map_flags(map.map_flags() | extra)?;
        }
        let Some([map_type, key_size, value_size, max_entries, inner_flags]) = inner_map(&map) else {
            continue;
        };
        let extra = flags(map_type);
        if extra != 0 {
            let template = Map::new(map_type, key_size, value_size, max_entries, inner_flags | extra)
                .map_err(|errno: Errno| libbpf_rs::Error::from_raw_os_error(errno.raw()))?;
            map.set_inner_map_fd(template.as_fd())?;
            templates.push(template);
        }
    }
    Ok(templates)
}

/// Bytes of an array, and elements of a hash, from which on it is worth knowing that no program changes it.
const LARGE: u64 = 1 << 20;

/// Has the verifier say that no program of the object changes its large maps, by `BPF_F_RDONLY_PROG`
/// (`kernel/bpf/verifier.c: check_map_access_type, record_func_map`, v6.12): such a map need not be read after every run.
/// Programs cannot notice, except that one which does write is refused. Whether there is any such map.
pub fn hold_still(open: &mut OpenObject) -> Result<bool, libbpf_rs::Error> {
    let mut any = false;
    for mut map in open.maps_mut() {
        let large = match u32::from(map.map_type()) {
            kernel::BPF_MAP_TYPE_ARRAY => {
                u64::from(map.value_size()).next_multiple_of(8) * u64::from(map.max_entries()) >= LARGE
            }
            // Read bucket by bucket.
            kernel::BPF_MAP_TYPE_HASH => u64::from(map.max_entries()) >= LARGE,
            _ => false,
        };
        let said = map.map_flags() & (kernel::BPF_F_RDONLY_PROG | kernel::BPF_F_WRONLY_PROG);
        if large && said == 0 {
            map.set_map_flags(map.map_flags() | kernel::BPF_F_RDONLY_PROG)?;
            any = true;
        }
    }
    Ok(any)
}

/// What to add for a map of this type.
fn flags(map_type: u32) -> u32 {
    match map_type {
        // The same elements at the same distance (`kernel/bpf/arraymap.c: array_map_alloc`, v6.12), read without a system
        // call per element.
        kernel::BPF_MAP_TYPE_ARRAY => kernel::BPF_F_MMAPABLE,
        // Without a secret seed, buckets come in the same order each time, and so does `bpf_for_each_map_elem`
        // (`kernel/bpf/hashtab.c: htab_map_alloc`, v6.12, which wants CAP_SYS_ADMIN for it).
        kernel::BPF_MAP_TYPE_HASH
        | kernel::BPF_MAP_TYPE_PERCPU_HASH
        | kernel::BPF_MAP_TYPE_LRU_HASH
        | kernel::BPF_MAP_TYPE_LRU_PERCPU_HASH
            if Capability::SysAdmin.held() =>
        {
            kernel::BPF_F_ZERO_SEED
        }
        // Without a secret seed, a bloom filter is wrong about the same values each time.
        kernel::BPF_MAP_TYPE_BLOOM_FILTER => kernel::BPF_F_ZERO_SEED,
        _ => 0,
    }
}
