//! The configuration of the kernel described, as far as what is simulated goes by it: what `__kconfig` variables hold
//! unless the caller says otherwise.

/// Options by name, ascending, with values as in `/boot/config`. All that is not here is not set.
#[rustfmt::skip]
pub const KCONFIG: &[(&str, &str)] = &[
    ("CONFIG_64BIT", "y"),
    ("CONFIG_BPF", "y"),
    ("CONFIG_BPF_JIT", "y"),
    ("CONFIG_BPF_SYSCALL", "y"),
    ("CONFIG_CGROUPS", "y"),
    ("CONFIG_CGROUP_BPF", "y"),
    ("CONFIG_DEBUG_INFO_BTF", "y"),
    // One tick of `bpf_jiffies64` is 4 ms.
    ("CONFIG_HZ", "250"),
    ("CONFIG_HZ_250", "y"),
    ("CONFIG_INET", "y"),
    ("CONFIG_IPV6", "y"),
    ("CONFIG_IPV6_MULTIPLE_TABLES", "y"),
    ("CONFIG_IP_MULTIPLE_TABLES", "y"),
    ("CONFIG_LWTUNNEL", "y"),
    ("CONFIG_LWTUNNEL_BPF", "y"),
    ("CONFIG_NET", "y"),
    ("CONFIG_NETFILTER", "y"),
    ("CONFIG_NET_NS", "y"),
    ("CONFIG_SMP", "y"),
    ("CONFIG_X86", "y"),
    ("CONFIG_X86_64", "y"),
    ("CONFIG_XDP_SOCKETS", "y"),
];

/// What the kernel described says for `option`.
pub fn kconfig(option: &str) -> Option<&'static str> {
    let index = KCONFIG.binary_search_by_key(&option, |(name, _)| name).ok()?;
    Some(KCONFIG[index].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found() {
        assert!(KCONFIG.is_sorted_by_key(|(name, _)| *name));
        assert_eq!(kconfig("CONFIG_HZ"), Some("250"));
        assert_eq!(kconfig("CONFIG_HZ_1000"), None);
    }
}
