//! `struct bpf_flow_dissector`: a packet under a flow dissector, and what it finds.

use crate::bpf::Addr;
use crate::net::linear::Linear;

/// `include/linux/skbuff.h: struct bpf_flow_dissector`, v6.12, without an skb behind it.
#[derive(Debug)]
pub struct Flow {
    /// The packet.
    pub linear: Linear,
    /// The guest's `struct bpf_flow_keys *`.
    pub keys: Addr,
}
