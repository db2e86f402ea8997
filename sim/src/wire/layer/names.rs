//! Names for numbers, as Scapy and IANA have them.

/// Names of a field's values.
pub type Names = &'static [(u64, &'static str)];

/// EtherTypes. IEEE 802, `include/uapi/linux/if_ether.h`, v6.12.
pub const ETHERTYPE: Names = &[
    (0x0800, "IPv4"),
    (0x0806, "ARP"),
    (0x6558, "TEB"),
    (0x8100, "VLAN"),
    (0x86dd, "IPv6"),
    (0x88a8, "8021AD"),
];

/// IP protocols and IPv6 next headers. `include/uapi/linux/in.h`, v6.12.
pub const IP_PROTO: Names = &[
    (1, "icmp"),
    (2, "igmp"),
    (4, "ipencap"),
    (6, "tcp"),
    (17, "udp"),
    (41, "ipv6"),
    (43, "ipv6-route"),
    (44, "ipv6-frag"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "ipv6-icmp"),
    (59, "ipv6-nonxt"),
    (60, "ipv6-opts"),
    (132, "sctp"),
    (136, "udplite"),
];

/// ARP operations, RFC 826 and 903.
pub const ARP_OP: Names = &[(1, "who-has"), (2, "is-at"), (3, "RARP-req"), (4, "RARP-rep")];

/// ICMP types, RFC 792.
pub const ICMP_TYPE: Names = &[
    (0, "echo-reply"),
    (3, "dest-unreach"),
    (4, "source-quench"),
    (5, "redirect"),
    (8, "echo-request"),
    (11, "time-exceeded"),
    (12, "parameter-problem"),
    (13, "timestamp-request"),
    (14, "timestamp-reply"),
];

/// Bits of the IPv4 flags field, lowest first.
pub const IP_FLAGS: &[&str] = &["MF", "DF", "evil"];

/// Bits of the TCP flags field, lowest first.
pub const TCP_FLAGS: &[&str] = &["F", "S", "R", "P", "A", "U", "E", "C", "N"];
