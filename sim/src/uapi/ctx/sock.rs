//! `struct bpf_sock` as the context of cgroup/sock programs: `include/uapi/linux/bpf.h`, with the access rules of
//! `net/core/filter.c: bpf_sock_is_valid_access, __sock_filter_check_attach_type`, v6.12.

use super::Width::{Exactly, First4, Narrow2, Narrow4};
use super::bpf_sock;
use super::given::{Context, GivenField, Part, Rows};
use crate::uapi::{AttachType as A, ProgType};

const ROWS: Rows = Rows(ProgType::CgroupSock);
const WORD: Part = Part::Given(u32::MAX);

#[rustfmt::skip]
const FIELDS: &[GivenField] = &[
    ROWS.both("bound_dev_if",     0,  4,  Exactly(4), WORD, (4, 10)),
    ROWS.read("family",           4,  4,  First4,     Part::Given(0xffff), (4, 10)),
    ROWS.read("type",             8,  4,  First4,     Part::Given(0xffff), (4, 10)),
    ROWS.read("protocol",         12, 4,  First4,     Part::Given(0xffff), (4, 10)),
    ROWS.both("mark",             16, 4,  Exactly(4), WORD, (4, 14)),
    ROWS.both("priority",         20, 4,  Exactly(4), WORD, (4, 14)),
    ROWS.read("src_ip4",          24, 4,  Narrow4,    WORD, (4, 17)),
    ROWS.read("src_ip6",          28, 16, Narrow4,    WORD, (4, 17)),
    ROWS.read("src_port",         44, 4,  First4,     Part::Given(0xffff), (4, 17)),
    ROWS.read("dst_port",         48, 2,  Narrow2,    Part::Port, (5, 1)),
    ROWS.read("dst_ip4",          52, 4,  Narrow4,    WORD, (5, 1)),
    ROWS.read("dst_ip6",          56, 16, Narrow4,    WORD, (5, 1)),
    ROWS.read("state",            72, 4,  First4,     Part::Given(0xff), (5, 1)),
    ROWS.read("rx_queue_mapping", 76, 4,  First4,     WORD, (5, 8)),
];

/// The struct.
pub const CONTEXT: Context = Context { name: "bpf_sock", size: bpf_sock::SIZE, fields: FIELDS, allowed };

fn allowed(name: &str, attach_type: A, _: bool) -> bool {
    match name {
        "bound_dev_if" | "mark" | "priority" => {
            matches!(attach_type, A::CgroupInetSockCreate | A::CgroupInetSockRelease)
        }
        "src_ip4" => attach_type == A::CgroupInet4PostBind,
        "src_ip6" => attach_type == A::CgroupInet6PostBind,
        "src_port" => matches!(attach_type, A::CgroupInet4PostBind | A::CgroupInet6PostBind),
        _ => true,
    }
}
