//! `struct bpf_sk_lookup`: `include/uapi/linux/bpf.h`, with the access rules of `net/core/filter.c:
//! sk_lookup_is_valid_access`, v6.12.

use super::{Field, Width};
use crate::uapi::{ProgType, ProgTypes};

/// Bytes in `struct bpf_sk_lookup`.
pub const SIZE: u32 = 72;

/// A field of `struct bpf_sk_lookup`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum SkLookupField {
    Sk,
    Family,
    Protocol,
    RemoteIp4,
    RemoteIp6,
    RemotePort,
    /// The two bytes after `remote_port`, which read as zero.
    Padding,
    LocalIp4,
    LocalIp6,
    LocalPort,
    IngressIfindex,
}

const fn field(
    key: SkLookupField,
    name: &'static str,
    offset: u32,
    size: u32,
    width: Width,
    since: (u8, u8),
) -> Field<SkLookupField> {
    let read = ProgTypes::of(&[ProgType::SkLookup]);
    Field { key, name, offset, size, width, read, write: ProgTypes::NONE, since }
}

use SkLookupField as F;
use Width::{Exactly, Narrow2, Narrow4};

/// Every field, in the struct's order.
#[rustfmt::skip]
pub const FIELDS: &[Field<SkLookupField>] = &[
    field(F::Sk,             "sk",              0,  8,  Exactly(8), (5, 9)),
    field(F::Family,         "family",          8,  4,  Narrow4,    (5, 9)),
    field(F::Protocol,       "protocol",        12, 4,  Narrow4,    (5, 9)),
    field(F::RemoteIp4,      "remote_ip4",      16, 4,  Narrow4,    (5, 9)),
    field(F::RemoteIp6,      "remote_ip6",      20, 16, Narrow4,    (5, 9)),
    field(F::RemotePort,     "remote_port",     36, 2,  Narrow2,    (5, 9)),
    field(F::Padding,        "(padding)",       38, 2,  Narrow2,    (5, 17)),
    field(F::LocalIp4,       "local_ip4",       40, 4,  Narrow4,    (5, 9)),
    field(F::LocalIp6,       "local_ip6",       44, 16, Narrow4,    (5, 9)),
    field(F::LocalPort,      "local_port",      60, 4,  Narrow4,    (5, 9)),
    field(F::IngressIfindex, "ingress_ifindex", 64, 4,  Narrow4,    (5, 17)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uapi::ctx::access;

    #[test]
    fn the_remote_port_is_two_bytes_readable_as_four() {
        let get = |offset, size| access(FIELDS, ProgType::SkLookup, offset, size, false).ok().map(|f| f.key);
        assert_eq!(get(36, 4), Some(F::RemotePort));
        assert_eq!(get(36, 2), Some(F::RemotePort));
        assert_eq!(get(37, 1), Some(F::RemotePort));
        assert_eq!(get(38, 2), Some(F::Padding));
        assert_eq!(get(0, 4), None);
        assert_eq!(get(0, 8), Some(F::Sk));
        assert_eq!(get(24, 4), Some(F::RemoteIp6));
        assert_eq!(get(24, 8), None);
        assert_eq!(get(68, 4), None);
    }
}
