//! Reads and writes of context fields: `net/core/filter.c: *_convert_ctx_access`, v6.12.

pub mod flow;
pub mod given;
pub mod nf;
pub mod sk_lookup;
pub mod skb;
pub mod xdp;
