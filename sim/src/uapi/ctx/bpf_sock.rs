//! `struct bpf_sock`: `include/uapi/linux/bpf.h`, v6.12. What a program sees of a socket.

/// Bytes in `struct bpf_sock`.
pub const SIZE: u32 = 80;

/// Offset of `bound_dev_if`, u32.
pub const BOUND_DEV_IF: usize = 0;
/// Offset of `family`, u32.
pub const FAMILY: usize = 4;
/// Offset of `type`, u32.
pub const TYPE: usize = 8;
/// Offset of `protocol`, u32.
pub const PROTOCOL: usize = 12;
/// Offset of `mark`, u32.
pub const MARK: usize = 16;
/// Offset of `priority`, u32.
pub const PRIORITY: usize = 20;
/// Offset of `src_ip4`, network byte order.
pub const SRC_IP4: usize = 24;
/// Offset of `src_ip6`, network byte order.
pub const SRC_IP6: usize = 28;
/// Offset of `src_port`, u32, host byte order.
pub const SRC_PORT: usize = 44;
/// Offset of `dst_port`, u16, network byte order; two bytes of padding follow.
pub const DST_PORT: usize = 48;
/// Offset of `dst_ip4`, network byte order.
pub const DST_IP4: usize = 52;
/// Offset of `dst_ip6`, network byte order.
pub const DST_IP6: usize = 56;
/// Offset of `state`, u32.
pub const STATE: usize = 72;
/// Offset of `rx_queue_mapping`, s32; -1 where the socket has none.
pub const RX_QUEUE_MAPPING: usize = 76;
