//! `struct sk_msg_md`: `include/uapi/linux/bpf.h`, with the access rules of `net/core/filter.c: sk_msg_is_valid_access`,
//! v6.12.

use super::Width::Exactly;
use super::given::{Context, GivenField, Part, Rows, always};
use crate::uapi::ProgType;

const ROWS: Rows = Rows(ProgType::SkMsg);
const WORD: Part = Part::Given(u32::MAX);

#[rustfmt::skip]
const FIELDS: &[GivenField] = &[
    ROWS.read("data",        0,  8,  Exactly(8), Part::Data, (4, 17)),
    ROWS.read("data_end",    8,  8,  Exactly(8), Part::DataEnd, (4, 17)),
    ROWS.read("family",      16, 4,  Exactly(4), Part::Given(0xffff), (4, 18)),
    ROWS.read("remote_ip4",  20, 4,  Exactly(4), WORD, (4, 18)),
    ROWS.read("local_ip4",   24, 4,  Exactly(4), WORD, (4, 18)),
    ROWS.read("remote_ip6",  28, 16, Exactly(4), WORD, (4, 18)),
    ROWS.read("local_ip6",   44, 16, Exactly(4), WORD, (4, 18)),
    ROWS.read("remote_port", 60, 4,  Exactly(4), Part::PortHigh, (4, 18)),
    ROWS.read("local_port",  64, 4,  Exactly(4), Part::Given(0xffff), (4, 18)),
    ROWS.read("size",        68, 4,  Exactly(4), Part::Len, (4, 20)),
    ROWS.read("sk",          72, 8,  Exactly(8), Part::Sk, (5, 8)),
];

/// The struct.
pub const CONTEXT: Context = Context { name: "sk_msg_md", size: 80, fields: FIELDS, allowed: always };
