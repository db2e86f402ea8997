//! `struct xdp_md`: `include/uapi/linux/bpf.h`, with the access rules of `net/core/filter.c: xdp_is_valid_access`, v6.12.

use super::{Field, Width};
use crate::uapi::{ProgType, ProgTypes};

/// Bytes in `struct xdp_md`.
pub const SIZE: u32 = 24;

/// A field of `struct xdp_md`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum XdpField {
    Data,
    DataEnd,
    DataMeta,
    IngressIfindex,
    RxQueueIndex,
    /// Only for programs whose expected attach type is `BPF_XDP_DEVMAP`.
    EgressIfindex,
}

const fn field(key: XdpField, name: &'static str, offset: u32, since: (u8, u8)) -> Field<XdpField> {
    let read = ProgTypes::of(&[ProgType::Xdp]);
    Field { key, name, offset, size: 4, width: Width::Exactly(4), read, write: ProgTypes::NONE, since }
}

/// Every field, in the struct's order.
#[rustfmt::skip]
pub const FIELDS: &[Field<XdpField>] = &[
    field(XdpField::Data,           "data",            0,  (4, 8)),
    field(XdpField::DataEnd,        "data_end",        4,  (4, 8)),
    field(XdpField::DataMeta,       "data_meta",       8,  (4, 15)),
    field(XdpField::IngressIfindex, "ingress_ifindex", 12, (4, 16)),
    field(XdpField::RxQueueIndex,   "rx_queue_index",  16, (4, 16)),
    field(XdpField::EgressIfindex,  "egress_ifindex",  20, (5, 8)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uapi::ctx::access;

    #[test]
    fn only_whole_words_are_read_and_nothing_is_written() {
        for offset in 0..SIZE + 4 {
            for size in [1, 2, 4, 8] {
                let read = access(FIELDS, ProgType::Xdp, offset, size, false).is_ok();
                assert_eq!(read, size == 4 && offset % 4 == 0 && offset < SIZE, "{size} at {offset}");
                assert!(access(FIELDS, ProgType::Xdp, offset, size, true).is_err());
            }
        }
    }
}
