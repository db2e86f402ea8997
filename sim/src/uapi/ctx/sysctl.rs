//! `struct bpf_sysctl`: `include/uapi/linux/bpf.h`, with the access rules of `kernel/bpf/cgroup.c:
//! sysctl_is_valid_access`, v6.12.

use super::Width::Narrow4;
use super::given::{Context, GivenField, Part, Rows, always};
use crate::uapi::ProgType;

const ROWS: Rows = Rows(ProgType::CgroupSysctl);

#[rustfmt::skip]
const FIELDS: &[GivenField] = &[
    ROWS.read("write",    0, 4, Narrow4, Part::Given(1), (5, 2)),
    ROWS.both("file_pos", 4, 4, Narrow4, Part::Given(u32::MAX), (5, 2)),
];

/// The struct.
pub const CONTEXT: Context = Context { name: "bpf_sysctl", size: 8, fields: FIELDS, allowed: always };
