//! `struct bpf_nf_ctx` over an [`Nf`]: the two pointers as they are (`net/netfilter/nf_bpf_link.c` converts nothing,
//! v6.12).

use crate::net::nf::Nf;
use crate::uapi::ProgType;
use crate::uapi::ctx::access;
use crate::uapi::ctx::nf::{FIELDS, NfField};

/// Reads `size` bytes at `offset`; an error says why the program may not.
pub fn load(nf: &Nf, offset: u32, size: u32) -> Result<u64, &'static str> {
    Ok(match access(FIELDS, ProgType::Netfilter, offset, size, false)?.key {
        NfField::State => nf.state,
        NfField::Skb => nf.skb_addr,
    })
}

/// Refuses: no netfilter program writes its context.
pub fn store(offset: u32, size: u32) -> Result<(), &'static str> {
    access(FIELDS, ProgType::Netfilter, offset, size, true).map(|_| ())
}
