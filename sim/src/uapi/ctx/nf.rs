//! `struct bpf_nf_ctx`, what netfilter programs get, and `struct nf_hook_state`, what they find there:
//! `include/linux/netfilter.h`, `net/netfilter/nf_bpf_link.c: nf_is_valid_access`, v6.12.

use super::{Field, Width};
use crate::uapi::{ProgType, ProgTypes};

/// Bytes in `struct bpf_nf_ctx`.
pub const SIZE: u32 = 16;

/// A field of `struct bpf_nf_ctx`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum NfField {
    State,
    Skb,
}

const fn pointer(key: NfField, name: &'static str, offset: u32) -> Field<NfField> {
    let (read, write) = (ProgTypes::of(&[ProgType::Netfilter]), ProgTypes::NONE);
    Field { key, name, offset, size: 8, width: Width::Exactly(8), read, write, since: (6, 4) }
}

/// Every field.
pub const FIELDS: &[Field<NfField>] = &[pointer(NfField::State, "state", 0), pointer(NfField::Skb, "skb", 8)];

/// Bytes in `struct nf_hook_state` on 64-bit machines.
pub const STATE_SIZE: u32 = 48;
/// Offset of `hook`, u8.
pub const HOOK: usize = 0;
/// Offset of `pf`, u8.
pub const PF: usize = 1;
/// Offset of `in`, a pointer.
pub const IN: usize = 8;
/// Offset of `out`, a pointer.
pub const OUT: usize = 16;
/// Offset of `sk`, a pointer; `net` and `okfn` follow.
pub const SK: usize = 24;

/// `NF_INET_LOCAL_OUT`.
pub const NF_INET_LOCAL_OUT: u8 = 3;
/// `NFPROTO_IPV4`.
pub const NFPROTO_IPV4: u8 = 2;
/// `NFPROTO_IPV6`.
pub const NFPROTO_IPV6: u8 = 10;
