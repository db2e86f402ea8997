//! The described kernel: which release the simulator speaks as.

use std::fmt;
use std::str::FromStr;

use super::ProgType;

/// A kernel series whose behaviour the simulator reproduces. Every rule that changed between kernels asks one of
/// the questions below, so that "what differs?" has one place to look.
///
/// Evidence for each: the scenarios that differ between kernels, and the probes cited beside each question.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Release {
    /// The long-term series 6.1 (measured: 6.1.192).
    V6_1,
    /// The long-term series 6.12 (measured: 6.12.117).
    V6_12,
    /// The long-term series 6.18 (measured: 6.18.44).
    #[default]
    V6_18,
}

impl Release {
    /// Every series, oldest first.
    pub const ALL: &'static [Self] = &[Self::V6_1, Self::V6_12, Self::V6_18];

    /// `6.1`, `6.12` or `6.18`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V6_18 => "6.18",
        }
    }

    /// `LINUX_VERSION_CODE` of the kernel measured, `KERNEL_VERSION(a, b, c)` of `include/uapi/linux/version.h`.
    pub const fn kernel_version(self) -> u32 {
        let (major, minor, patch) = match self {
            Self::V6_1 => (6, 1, 192),
            Self::V6_12 => (6, 12, 117),
            Self::V6_18 => (6, 18, 44),
        };
        (major << 16) + (minor << 8) + patch
    }

    /// The series that describes a running kernel best: the newest one not newer than `uname -r`'s first two
    /// numbers. `None` for a kernel older than all of them or an unreadable release.
    pub fn of_uname(release: &str) -> Option<Self> {
        let mut parts = release.split(|c: char| !c.is_ascii_digit());
        let major: u32 = parts.next()?.parse().ok()?;
        let minor: u32 = parts.next()?.parse().ok()?;
        let version = |r: Self| match r {
            Self::V6_1 => (6, 1),
            Self::V6_12 => (6, 12),
            Self::V6_18 => (6, 18),
        };
        Self::ALL.iter().copied().rfind(|&r| version(r) <= (major, minor))
    }

    /// Whether programs may set `TCP_BPF_SOCK_OPS_CB_FLAGS` as an option: from 6.12 on
    /// (`net/core/filter.c: bpf_sol_tcp_setsockopt`).
    pub const fn sockopt_has_cb_flags(self) -> bool {
        !matches!(self, Self::V6_1)
    }

    /// Whether programs may ask for `TCP_BPF_DELACK_MAX` and `TCP_BPF_RTO_MIN`, not only set them
    /// (`net/core/filter.c: sol_tcp_sockopt`, measured on 6.18.44; not so in v6.12).
    pub const fn sockopt_tells_timeouts(self) -> bool {
        matches!(self, Self::V6_18)
    }

    /// Whether `SO_TXREHASH` is `EOPNOTSUPP` to what is no TCP socket (`net/core/sock.c: sk_setsockopt`, measured on
    /// 6.18.44; not so in v6.12).
    pub const fn txrehash_is_for_tcp(self) -> bool {
        matches!(self, Self::V6_18)
    }

    /// Program types this series has not: netfilter came with 6.4.
    pub const fn lacks(self, prog_type: ProgType) -> bool {
        matches!((self, prog_type), (Self::V6_1, ProgType::Netfilter))
    }

    /// `bpf_csum_diff` folds its result to 16 bits and takes any size; before, sizes were multiples of 4 up to 512
    /// and the result an unfolded 32-bit sum.
    pub const fn csum_diff_folds(self) -> bool {
        matches!(self, Self::V6_18)
    }

    /// `bpf_map_{update,delete,push,pop,peek}_elem` and `bpf_for_each_map_elem` return `long`, so that a negative
    /// errno is sign-extended in `r0`; before, an `int`, zero-extended.
    pub const fn map_helpers_return_long(self) -> bool {
        !matches!(self, Self::V6_1)
    }

    /// A tail call into an empty slot uses up one of the 33.
    pub const fn tail_call_miss_counts(self) -> bool {
        matches!(self, Self::V6_1)
    }

    /// One count of tail calls for a program and the functions it calls; before, a function counted on from its
    /// caller's count and the caller did not see it (`arch/x86/net/bpf_jit_comp.c: do_jit`, v6.1 and v6.12:
    /// `tail_call_cnt` against `tail_call_cnt_ptr`).
    pub const fn tail_call_count_is_shared(self) -> bool {
        !matches!(self, Self::V6_1)
    }

    /// LRU eviction takes batches of `max_entries / cpus / 2` within 1..=128; before, always 128.
    pub const fn lru_batch_scales(self) -> bool {
        !matches!(self, Self::V6_1)
    }

    /// Replacing a map inside a hash of maps changes the element in place; before, a new element goes to the head of
    /// the bucket.
    pub const fn hash_of_maps_replaces_in_place(self) -> bool {
        matches!(self, Self::V6_18)
    }

    /// `net.core.optmem_max` as the kernel starts with it, bytes.
    pub const fn optmem_max(self) -> u64 {
        match self {
            Self::V6_1 => 20 << 10,
            Self::V6_12 | Self::V6_18 => 128 << 10,
        }
    }

    /// `sizeof(struct bpf_local_storage)`, bytes; it points to its map since 6.12.
    pub const fn local_storage_size(self) -> u64 {
        match self {
            Self::V6_1 => 168,
            Self::V6_12 | Self::V6_18 => 176,
        }
    }

    /// BPF_PROG_TEST_RUN of a cgroup_skb program computes `data` and `data_end`; before, `data_end` is 0.
    pub const fn cgroup_skb_test_run_has_data(self) -> bool {
        matches!(self, Self::V6_18)
    }

    /// The largest XDP metadata area in BPF_PROG_TEST_RUN, bytes.
    pub const fn xdp_metadata_max(self) -> u32 {
        match self {
            Self::V6_1 => 32,
            Self::V6_12 | Self::V6_18 => 216,
        }
    }

    /// `bpf_skb_adjust_room` knows `BPF_F_ADJ_ROOM_DECAP_L3_{IPV4,IPV6}`.
    pub const fn adjust_room_decap_l3(self) -> bool {
        !matches!(self, Self::V6_1)
    }

    /// `bpf_skb_set_tstamp` takes the TAI clock and a realtime stamp.
    pub const fn set_tstamp_tai(self) -> bool {
        !matches!(self, Self::V6_1)
    }

    /// `bpf_skb_change_tail` may not cut below the end of the checksum field of a CHECKSUM_PARTIAL packet.
    pub const fn change_tail_keeps_csum_field(self) -> bool {
        matches!(self, Self::V6_18)
    }

    /// `bpf_check_mtu` clears `*mtu_len` when it refuses its flags.
    pub const fn check_mtu_clears_on_error(self) -> bool {
        matches!(self, Self::V6_1)
    }

    /// The flags `bpf_timer_start` takes: `BPF_F_TIMER_ABS` since 6.4, `BPF_F_TIMER_CPU_PIN` since 6.7.
    pub const fn timer_start_flags(self) -> u64 {
        match self {
            Self::V6_1 => 0,
            Self::V6_12 | Self::V6_18 => 3,
        }
    }

    /// Whether XDP in the stack leaves out what a tc program redirected. `net/core/dev.c: netif_receive_generic_xdp`.
    pub const fn generic_xdp_skips_redirected(self) -> bool {
        !matches!(self, Self::V6_1)
    }

    /// `bpf_fib_lookup` knows `BPF_FIB_LOOKUP_TBID`, `_SRC` and `_MARK`.
    pub const fn fib_lookup_tbid_src_mark(self) -> bool {
        !matches!(self, Self::V6_1)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Release {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|r| r.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|r| r.name()).collect();
            format!("no described kernel \"{text}\"; there are {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_kernel_maps_to_the_series_at_or_below_it() {
        assert_eq!(Release::of_uname("6.1.0-56-cloud-amd64"), Some(Release::V6_1));
        assert_eq!(Release::of_uname("6.8.0"), Some(Release::V6_1));
        assert_eq!(Release::of_uname("6.12.117"), Some(Release::V6_12));
        assert_eq!(Release::of_uname("6.18.44-x"), Some(Release::V6_18));
        assert_eq!(Release::of_uname("7.2.12"), Some(Release::V6_18));
        assert_eq!(Release::of_uname("5.10.262"), None);
        assert_eq!(Release::of_uname("next"), None);
        assert!("6.2".parse::<Release>().unwrap_err().contains("6.1, 6.12, 6.18"));
    }
}
