//! `struct ip_tunnel_info`: what a tunnel device shall put around a packet, or took off it.

/// `TUNNEL_*` bits of `tun_flags`, numbered as `IP_TUNNEL_*_BIT` of `include/uapi/linux/if_tunnel.h`, v6.12.
#[allow(missing_docs)]
pub mod flag {
    pub const CSUM: u32 = 1 << 0;
    pub const KEY: u32 = 1 << 2;
    pub const SEQ: u32 = 1 << 3;
    pub const DONT_FRAGMENT: u32 = 1 << 8;
    pub const GENEVE_OPT: u32 = 1 << 11;
    pub const VXLAN_OPT: u32 = 1 << 12;
    pub const NOCACHE: u32 = 1 << 13;
    pub const ERSPAN_OPT: u32 = 1 << 14;
    pub const GTP_OPT: u32 = 1 << 15;
    /// Any of the option kinds.
    pub const OPTIONS_PRESENT: u32 = GENEVE_OPT | VXLAN_OPT | ERSPAN_OPT | GTP_OPT;
}

/// `include/net/ip_tunnels.h: struct ip_tunnel_info`, v6.12.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TunnelInfo {
    /// `IP_TUNNEL_INFO_TX`: to be sent, not received.
    pub tx: bool,
    /// `IP_TUNNEL_INFO_IPV6`.
    pub ipv6: bool,
    /// `tun_id` as a host number.
    pub id: u64,
    /// `u.ipv4.src` or `u.ipv6.src`, network byte order; IPv4 in the first 4 bytes.
    pub src: [u8; 16],
    /// `u.ipv4.dst` or `u.ipv6.dst`, likewise.
    pub dst: [u8; 16],
    /// [`flag`] bits.
    pub flags: u32,
    /// `tos`.
    pub tos: u8,
    /// `ttl`.
    pub ttl: u8,
    /// `label`, network byte order.
    pub label: u32,
    /// Options.
    pub options: Vec<u8>,
}
