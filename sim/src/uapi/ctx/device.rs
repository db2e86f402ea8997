//! `struct bpf_cgroup_dev_ctx`: `include/uapi/linux/bpf.h`, with the access rules of `kernel/bpf/cgroup.c:
//! cgroup_dev_is_valid_access`, v6.12.

use super::Width::{Exactly, Narrow4};
use super::given::{Context, GivenField, Part, Rows, always};
use crate::uapi::ProgType;

const ROWS: Rows = Rows(ProgType::CgroupDevice);
const WORD: Part = Part::Given(u32::MAX);

#[rustfmt::skip]
const FIELDS: &[GivenField] = &[
    ROWS.read("access_type", 0, 4, Narrow4,    WORD, (4, 15)),
    ROWS.read("major",       4, 4, Exactly(4), WORD, (4, 15)),
    ROWS.read("minor",       8, 4, Exactly(4), WORD, (4, 15)),
];

/// The struct.
pub const CONTEXT: Context =
    Context { name: "bpf_cgroup_dev_ctx", size: 12, fields: FIELDS, allowed: always };
