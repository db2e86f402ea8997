//! `struct bpf_sock_addr`: `include/uapi/linux/bpf.h`, with the access rules of `net/core/filter.c:
//! sock_addr_is_valid_access`, v6.12.

use super::Width::{Exactly, Narrow4, Wide4};
use super::given::{Context, GivenField, Part, Rows};
use crate::uapi::{AttachType as A, ProgType};

const ROWS: Rows = Rows(ProgType::CgroupSockAddr);
const WORD: Part = Part::Given(u32::MAX);

#[rustfmt::skip]
const FIELDS: &[GivenField] = &[
    ROWS.read("user_family", 0,  4,  Exactly(4), Part::Given(0xffff), (4, 17)),
    ROWS.both("user_ip4",    4,  4,  Narrow4,    WORD, (4, 17)),
    ROWS.both("user_ip6",    8,  16, Wide4,      WORD, (4, 17)),
    ROWS.both("user_port",   24, 4,  Narrow4,    Part::Port, (4, 17)),
    ROWS.read("family",      28, 4,  Exactly(4), Part::Given(0xffff), (4, 17)),
    ROWS.read("type",        32, 4,  Exactly(4), Part::Given(0xffff), (4, 17)),
    ROWS.read("protocol",    36, 4,  Exactly(4), Part::Given(0xffff), (4, 17)),
    ROWS.both("msg_src_ip4", 40, 4,  Narrow4,    WORD, (4, 18)),
    ROWS.both("msg_src_ip6", 44, 16, Wide4,      WORD, (4, 18)),
    ROWS.read("sk",          64, 8,  Exactly(8), Part::Sk, (5, 3)),
];

/// The struct.
pub const CONTEXT: Context = Context { name: "bpf_sock_addr", size: 72, fields: FIELDS, allowed };

fn allowed(name: &str, attach_type: A, _: bool) -> bool {
    match name {
        "user_ip4" => matches!(
            attach_type,
            A::CgroupInet4Bind
                | A::CgroupInet4Connect
                | A::CgroupInet4Getpeername
                | A::CgroupInet4Getsockname
                | A::CgroupUdp4Sendmsg
                | A::CgroupUdp4Recvmsg
        ),
        "user_ip6" => matches!(
            attach_type,
            A::CgroupInet6Bind
                | A::CgroupInet6Connect
                | A::CgroupInet6Getpeername
                | A::CgroupInet6Getsockname
                | A::CgroupUdp6Sendmsg
                | A::CgroupUdp6Recvmsg
        ),
        "msg_src_ip4" => attach_type == A::CgroupUdp4Sendmsg,
        "msg_src_ip6" => attach_type == A::CgroupUdp6Sendmsg,
        _ => true,
    }
}
