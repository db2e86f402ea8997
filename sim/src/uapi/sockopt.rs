//! Levels and names of socket options, without the prefix of their level: `include/uapi/asm-generic/socket.h`,
//! `include/linux/socket.h`, `include/uapi/linux/{in,in6,tcp,bpf}.h`, v6.12. Those programs may use.

#[allow(missing_docs)]
pub mod level {
    pub const SOL_IP: i32 = 0;
    pub const SOL_SOCKET: i32 = 1;
    pub const SOL_TCP: i32 = 6;
    pub const SOL_IPV6: i32 = 41;
}

/// `SO_*`.
#[allow(missing_docs)]
pub mod so {
    pub const REUSEADDR: i32 = 2;
    pub const SNDBUF: i32 = 7;
    pub const RCVBUF: i32 = 8;
    pub const KEEPALIVE: i32 = 9;
    pub const PRIORITY: i32 = 12;
    pub const REUSEPORT: i32 = 15;
    pub const RCVLOWAT: i32 = 18;
    pub const BINDTODEVICE: i32 = 25;
    pub const MARK: i32 = 36;
    pub const MAX_PACING_RATE: i32 = 47;
    pub const BINDTOIFINDEX: i32 = 62;
    pub const TXREHASH: i32 = 74;
}

/// `IP_*`.
#[allow(missing_docs)]
pub mod ip {
    pub const TOS: i32 = 1;
}

/// `IPV6_*`.
#[allow(missing_docs)]
pub mod ipv6 {
    pub const TCLASS: i32 = 67;
    pub const AUTOFLOWLABEL: i32 = 70;
}

/// `TCP_*`.
#[allow(missing_docs)]
pub mod tcp {
    pub const NODELAY: i32 = 1;
    pub const MAXSEG: i32 = 2;
    pub const KEEPIDLE: i32 = 4;
    pub const KEEPINTVL: i32 = 5;
    pub const KEEPCNT: i32 = 6;
    pub const SYNCNT: i32 = 7;
    pub const WINDOW_CLAMP: i32 = 10;
    pub const CONGESTION: i32 = 13;
    pub const THIN_LINEAR_TIMEOUTS: i32 = 16;
    pub const USER_TIMEOUT: i32 = 18;
    pub const NOTSENT_LOWAT: i32 = 25;
    pub const SAVE_SYN: i32 = 27;
    pub const SAVED_SYN: i32 = 28;
    pub const BPF_IW: i32 = 1001;
    pub const BPF_SNDCWND_CLAMP: i32 = 1002;
    pub const BPF_DELACK_MAX: i32 = 1003;
    pub const BPF_RTO_MIN: i32 = 1004;
    pub const BPF_SYN: i32 = 1005;
    pub const BPF_SYN_MAC: i32 = 1007;
    pub const BPF_SOCK_OPS_CB_FLAGS: i32 = 1008;
}
