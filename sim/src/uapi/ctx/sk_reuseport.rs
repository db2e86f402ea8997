//! `struct sk_reuseport_md`: `include/uapi/linux/bpf.h`, with the access rules of `net/core/filter.c:
//! sk_reuseport_is_valid_access`, v6.12.

use super::Width::{Exactly, Narrow4, Narrow4Of2};
use super::given::{Context, GivenField, Part, Rows, always};
use crate::uapi::ProgType;

const ROWS: Rows = Rows(ProgType::SkReuseport);

/// Offset of `eth_protocol`, network byte order.
pub const ETH_PROTOCOL: usize = 20;
/// Offset of `ip_protocol`, u32.
pub const IP_PROTOCOL: usize = 24;

#[rustfmt::skip]
const FIELDS: &[GivenField] = &[
    ROWS.read("data",         0,  8, Exactly(8), Part::Data, (4, 19)),
    ROWS.read("data_end",     8,  8, Exactly(8), Part::DataEnd, (4, 19)),
    ROWS.read("len",          16, 4, Narrow4,    Part::Len, (4, 19)),
    ROWS.read("eth_protocol", 20, 4, Narrow4Of2, Part::Port, (4, 19)),
    ROWS.read("ip_protocol",  24, 4, Narrow4,    Part::Given(0xffff), (4, 19)),
    ROWS.read("bind_inany",   28, 4, Narrow4,    Part::Given(1), (4, 19)),
    ROWS.read("hash",         32, 4, Exactly(4), Part::Given(u32::MAX), (4, 19)),
    ROWS.read("sk",           40, 8, Exactly(8), Part::Sk, (5, 14)),
    ROWS.read("migrating_sk", 48, 8, Exactly(8), Part::NoSk, (5, 14)),
];

/// The struct.
pub const CONTEXT: Context = Context { name: "sk_reuseport_md", size: 56, fields: FIELDS, allowed: always };
