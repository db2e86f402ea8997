//! `struct bpf_flow_keys`: `include/uapi/linux/bpf.h`, v6.12. What a flow dissector fills in, and what it answers.

/// Bytes in `struct bpf_flow_keys`.
pub const SIZE: u32 = 56;

/// Offset of `nhoff`, u16, host byte order.
pub const NHOFF: usize = 0;
/// Offset of `thoff`, u16, host byte order.
pub const THOFF: usize = 2;
/// Offset of `n_proto`, network byte order.
pub const N_PROTO: usize = 10;
/// Offset of `flags`, u32, host byte order.
pub const FLAGS: usize = 48;
