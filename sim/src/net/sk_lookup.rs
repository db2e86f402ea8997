//! `struct bpf_sk_lookup_kern`: a connection that looks for its socket.

use crate::net::sockets::Known;

/// `include/linux/filter.h: struct bpf_sk_lookup_kern`, v6.12. Of the addresses, those of the other family are 0.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SkLookup {
    /// `family`.
    pub family: u16,
    /// `protocol`.
    pub protocol: u16,
    /// `sport`, as it lies in memory: network byte order.
    pub remote_port: u16,
    /// `dport`, host byte order.
    pub local_port: u16,
    /// `v4.saddr`, as it lies in memory.
    pub remote_ip4: u32,
    /// `v4.daddr`, likewise.
    pub local_ip4: u32,
    /// `v6.saddr`, likewise, by words.
    pub remote_ip6: [u32; 4],
    /// `v6.daddr`, likewise.
    pub local_ip6: [u32; 4],
    /// `selected_sk`.
    pub selected: Option<Known>,
    /// `no_reuseport`: the socket's group is not asked.
    pub no_reuseport: bool,
}
