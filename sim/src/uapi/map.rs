//! Map types and the flags of map commands: `include/uapi/linux/bpf.h`, v6.12.

use super::kernel_enum::kernel_enum;

kernel_enum! {
    /// `enum bpf_map_type`.
    MapType {
        Unspec = 0 "BPF_MAP_TYPE_UNSPEC";
        Hash = 1 "BPF_MAP_TYPE_HASH";
        Array = 2 "BPF_MAP_TYPE_ARRAY";
        ProgArray = 3 "BPF_MAP_TYPE_PROG_ARRAY";
        PerfEventArray = 4 "BPF_MAP_TYPE_PERF_EVENT_ARRAY";
        PercpuHash = 5 "BPF_MAP_TYPE_PERCPU_HASH";
        PercpuArray = 6 "BPF_MAP_TYPE_PERCPU_ARRAY";
        StackTrace = 7 "BPF_MAP_TYPE_STACK_TRACE";
        CgroupArray = 8 "BPF_MAP_TYPE_CGROUP_ARRAY";
        LruHash = 9 "BPF_MAP_TYPE_LRU_HASH";
        LruPercpuHash = 10 "BPF_MAP_TYPE_LRU_PERCPU_HASH";
        LpmTrie = 11 "BPF_MAP_TYPE_LPM_TRIE";
        ArrayOfMaps = 12 "BPF_MAP_TYPE_ARRAY_OF_MAPS";
        HashOfMaps = 13 "BPF_MAP_TYPE_HASH_OF_MAPS";
        Devmap = 14 "BPF_MAP_TYPE_DEVMAP";
        Sockmap = 15 "BPF_MAP_TYPE_SOCKMAP";
        Cpumap = 16 "BPF_MAP_TYPE_CPUMAP";
        Xskmap = 17 "BPF_MAP_TYPE_XSKMAP";
        Sockhash = 18 "BPF_MAP_TYPE_SOCKHASH";
        CgroupStorage = 19 "BPF_MAP_TYPE_CGROUP_STORAGE";
        ReuseportSockarray = 20 "BPF_MAP_TYPE_REUSEPORT_SOCKARRAY";
        PercpuCgroupStorage = 21 "BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE";
        Queue = 22 "BPF_MAP_TYPE_QUEUE";
        Stack = 23 "BPF_MAP_TYPE_STACK";
        SkStorage = 24 "BPF_MAP_TYPE_SK_STORAGE";
        DevmapHash = 25 "BPF_MAP_TYPE_DEVMAP_HASH";
        StructOps = 26 "BPF_MAP_TYPE_STRUCT_OPS";
        Ringbuf = 27 "BPF_MAP_TYPE_RINGBUF";
        InodeStorage = 28 "BPF_MAP_TYPE_INODE_STORAGE";
        TaskStorage = 29 "BPF_MAP_TYPE_TASK_STORAGE";
        BloomFilter = 30 "BPF_MAP_TYPE_BLOOM_FILTER";
        UserRingbuf = 31 "BPF_MAP_TYPE_USER_RINGBUF";
        CgrpStorage = 32 "BPF_MAP_TYPE_CGRP_STORAGE";
        Arena = 33 "BPF_MAP_TYPE_ARENA";
    }
}

macro_rules! constants {
    ($($name:ident: $type:ty = $value:expr;)*) => {
        $(#[allow(missing_docs)] pub const $name: $type = $value;)*
    };
}

constants! {
    BPF_ANY: u64 = 0;
    BPF_NOEXIST: u64 = 1;
    BPF_EXIST: u64 = 2;
    BPF_F_LOCK: u64 = 4;

    BPF_F_NO_PREALLOC: u32 = 1 << 0;
    BPF_F_NO_COMMON_LRU: u32 = 1 << 1;
    BPF_F_NUMA_NODE: u32 = 1 << 2;
    BPF_F_RDONLY: u32 = 1 << 3;
    BPF_F_WRONLY: u32 = 1 << 4;
    BPF_F_STACK_BUILD_ID: u32 = 1 << 5;
    BPF_F_ZERO_SEED: u32 = 1 << 6;
    BPF_F_RDONLY_PROG: u32 = 1 << 7;
    BPF_F_WRONLY_PROG: u32 = 1 << 8;
    BPF_F_CLONE: u32 = 1 << 9;
    BPF_F_MMAPABLE: u32 = 1 << 10;
    BPF_F_PRESERVE_ELEMS: u32 = 1 << 11;
    BPF_F_INNER_MAP: u32 = 1 << 12;
    BPF_F_LINK: u32 = 1 << 13;
    BPF_F_PATH_FD: u32 = 1 << 14;
    BPF_F_VTYPE_BTF_OBJ_FD: u32 = 1 << 15;
    BPF_F_TOKEN_FD: u32 = 1 << 16;
    BPF_F_SEGV_ON_FAULT: u32 = 1 << 17;
    BPF_F_NO_USER_CONV: u32 = 1 << 18;
}
