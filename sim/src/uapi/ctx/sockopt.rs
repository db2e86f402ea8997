//! `struct bpf_sockopt`: `include/uapi/linux/bpf.h`, with the access rules of `kernel/bpf/cgroup.c:
//! cg_sockopt_is_valid_access`, v6.12.

use super::Width::Exactly;
use super::given::{Context, GivenField, Part, Rows};
use crate::uapi::{AttachType as A, ProgType};

const ROWS: Rows = Rows(ProgType::CgroupSockopt);
const WORD: Part = Part::Given(u32::MAX);

/// Offset of `optlen`, s32.
pub const OPTLEN: usize = 32;
/// Offset of `retval`, s32.
pub const RETVAL: usize = 36;

#[rustfmt::skip]
const FIELDS: &[GivenField] = &[
    ROWS.read("sk",         0,  8, Exactly(8), Part::Sk, (5, 3)),
    ROWS.read("optval",     8,  8, Exactly(8), Part::Data, (5, 3)),
    ROWS.read("optval_end", 16, 8, Exactly(8), Part::DataEnd, (5, 3)),
    ROWS.both("level",      24, 4, Exactly(4), WORD, (5, 3)),
    ROWS.both("optname",    28, 4, Exactly(4), WORD, (5, 3)),
    ROWS.both("optlen",     32, 4, Exactly(4), WORD, (5, 3)),
    ROWS.both("retval",     36, 4, Exactly(4), WORD, (5, 3)),
];

/// The struct.
pub const CONTEXT: Context = Context { name: "bpf_sockopt", size: 40, fields: FIELDS, allowed };

fn allowed(name: &str, attach_type: A, write: bool) -> bool {
    match name {
        "retval" => attach_type == A::CgroupGetsockopt,
        "level" | "optname" if write => attach_type == A::CgroupSetsockopt,
        _ => true,
    }
}
