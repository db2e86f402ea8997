//! When the elements of a simulated map are looked at.

use bpftwin_sim::uapi::MapType;
use bpftwin_sim::uapi::map::{BPF_F_RDONLY_PROG, BPF_F_WRONLY};

/// When a map's elements are looked at: the same answer as a kernel's system calls allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// After every run, and at the end.
    EachRun,
    /// At the end only.
    End,
    /// Never, and why.
    Never(&'static str),
}

/// When a map of this type and flags is looked at.
pub const fn when(map_type: MapType, flags: u32) -> When {
    if flags & BPF_F_WRONLY != 0 {
        return When::Never("BPF_F_WRONLY: user space may not read it");
    }
    match map_type {
        MapType::Array
        | MapType::PercpuArray
        | MapType::Hash
        | MapType::PercpuHash
        | MapType::LruHash
        | MapType::LruPercpuHash
        | MapType::LpmTrie => {
            if flags & BPF_F_RDONLY_PROG == 0 {
                When::EachRun
            } else {
                When::End
            }
        }
        MapType::Devmap
        | MapType::DevmapHash
        | MapType::Cpumap
        | MapType::CgroupStorage
        | MapType::PercpuCgroupStorage => When::End,
        MapType::Ringbuf | MapType::PerfEventArray => When::Never("its records are reported run by run"),
        MapType::ProgArray => When::Never("it gives program ids, which differ on every load"),
        MapType::ArrayOfMaps | MapType::HashOfMaps => {
            When::Never("it gives map ids, which differ on every load")
        }
        MapType::Queue | MapType::Stack => When::Never("only its next element can be read"),
        MapType::BloomFilter => When::Never("a bloom filter only answers whether a value is in it"),
        MapType::UserRingbuf => When::Never("only programs read it"),
        MapType::CgroupArray | MapType::Xskmap => When::Never("user space cannot read it"),
        MapType::Sockmap | MapType::Sockhash | MapType::ReuseportSockarray => {
            When::Never("it gives socket cookies, which differ on every run")
        }
        MapType::SkStorage | MapType::CgrpStorage => {
            When::Never("its keys are descriptors and cannot be listed")
        }
        _ => When::Never("its elements are kernel objects or have no order to read them in"),
    }
}
