//! `struct __sk_buff`: `include/uapi/linux/bpf.h`, with the access rules of `net/core/filter.c:
//! {sk_filter,cg_skb,lwt,tc_cls_act,sk_skb,flow_dissector}_is_valid_access` over `bpf_skb_is_valid_access`, v6.12.

use super::{Field, Width};
use crate::uapi::ProgType::{
    CgroupSkb, FlowDissector, LwtIn, LwtOut, LwtSeg6local, LwtXmit, SchedAct, SchedCls, SkSkb, SocketFilter,
};
use crate::uapi::ProgTypes;

/// Bytes in `struct __sk_buff`.
pub const SIZE: u32 = 192;
/// Bytes in `cb`, `QDISC_CB_PRIV_LEN`.
pub const CB_LEN: usize = 20;
/// A `queue_mapping` from here on is not stored: `include/linux/skbuff.h: NO_QUEUE_MAPPING`.
pub const NO_QUEUE_MAPPING: u64 = u16::MAX as u64;

/// A field of `struct __sk_buff`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum SkbField {
    Len,
    PktType,
    Mark,
    QueueMapping,
    Protocol,
    VlanPresent,
    VlanTci,
    VlanProto,
    Priority,
    IngressIfindex,
    Ifindex,
    TcIndex,
    Cb,
    Hash,
    TcClassid,
    Data,
    DataEnd,
    NapiId,
    Family,
    RemoteIp4,
    LocalIp4,
    RemoteIp6,
    LocalIp6,
    RemotePort,
    LocalPort,
    DataMeta,
    FlowKeys,
    Tstamp,
    WireLen,
    GsoSegs,
    Sk,
    GsoSize,
    TstampType,
    Hwtstamp,
}

const TC: ProgTypes = ProgTypes::of(&[SchedCls, SchedAct]);
const LWT: ProgTypes = ProgTypes::of(&[LwtIn, LwtOut, LwtXmit, LwtSeg6local]);
const CGROUP: ProgTypes = ProgTypes::of(&[CgroupSkb]);
const FILTER: ProgTypes = ProgTypes::of(&[SocketFilter]);
const FLOW: ProgTypes = ProgTypes::of(&[FlowDissector]);
const STREAM: ProgTypes = ProgTypes::of(&[SkSkb]);
/// Whoever may write its `cb`.
const SKB: ProgTypes = TC.or(LWT).or(CGROUP).or(FILTER);
/// Everything whose context is a real `sk_buff`.
const ALL: ProgTypes = SKB.or(STREAM);
const NONE: ProgTypes = ProgTypes::NONE;

const fn field(
    key: SkbField,
    name: &'static str,
    offset: u32,
    size: u32,
    width: Width,
    (read, write): (ProgTypes, ProgTypes),
    since: (u8, u8),
) -> Field<SkbField> {
    Field { key, name, offset, size, width, read, write, since }
}

use SkbField as F;
use Width::{Bytes, Exactly, Narrow4};

/// Every field, in the struct's order. What lies between is padding no program may touch.
#[rustfmt::skip]
pub const FIELDS: &[Field<SkbField>] = &[
    field(F::Len,            "len",             0,   4,  Narrow4,    (ALL, NONE), (4, 1)),
    field(F::PktType,        "pkt_type",        4,   4,  Narrow4,    (ALL, NONE), (4, 1)),
    field(F::Mark,           "mark",            8,   4,  Narrow4,    (SKB, TC.or(LWT).or(CGROUP)), (4, 1)),
    field(F::QueueMapping,   "queue_mapping",   12,  4,  Narrow4,    (ALL, TC), (4, 1)),
    field(F::Protocol,       "protocol",        16,  4,  Narrow4,    (ALL, NONE), (4, 1)),
    field(F::VlanPresent,    "vlan_present",    20,  4,  Narrow4,    (ALL, NONE), (4, 1)),
    field(F::VlanTci,        "vlan_tci",        24,  4,  Narrow4,    (ALL, NONE), (4, 1)),
    field(F::VlanProto,      "vlan_proto",      28,  4,  Narrow4,    (ALL, NONE), (4, 1)),
    field(F::Priority,       "priority",        32,  4,  Narrow4,    (ALL, TC.or(LWT).or(CGROUP).or(STREAM)), (4, 1)),
    field(F::IngressIfindex, "ingress_ifindex", 36,  4,  Narrow4,    (ALL, NONE), (4, 2)),
    field(F::Ifindex,        "ifindex",         40,  4,  Narrow4,    (ALL, NONE), (4, 2)),
    field(F::TcIndex,        "tc_index",        44,  4,  Narrow4,    (ALL, TC.or(STREAM)), (4, 2)),
    field(F::Cb,             "cb",              48,  20, Bytes,      (ALL, SKB), (4, 2)),
    field(F::Hash,           "hash",            68,  4,  Narrow4,    (ALL, NONE), (4, 3)),
    field(F::TcClassid,      "tc_classid",      72,  4,  Narrow4,    (TC, TC), (4, 4)),
    field(F::Data,           "data",            76,  4,  Exactly(4), (TC.or(LWT).or(CGROUP).or(FLOW).or(STREAM), NONE), (4, 7)),
    field(F::DataEnd,        "data_end",        80,  4,  Exactly(4), (TC.or(LWT).or(CGROUP).or(FLOW).or(STREAM), NONE), (4, 7)),
    field(F::NapiId,         "napi_id",         84,  4,  Narrow4,    (ALL, NONE), (4, 12)),
    field(F::Family,         "family",          88,  4,  Narrow4,    (CGROUP.or(STREAM), NONE), (4, 14)),
    field(F::RemoteIp4,      "remote_ip4",      92,  4,  Exactly(4), (CGROUP.or(STREAM), NONE), (4, 14)),
    field(F::LocalIp4,       "local_ip4",       96,  4,  Exactly(4), (CGROUP.or(STREAM), NONE), (4, 14)),
    field(F::RemoteIp6,      "remote_ip6",      100, 16, Exactly(4), (CGROUP.or(STREAM), NONE), (4, 14)),
    field(F::LocalIp6,       "local_ip6",       116, 16, Exactly(4), (CGROUP.or(STREAM), NONE), (4, 14)),
    field(F::RemotePort,     "remote_port",     132, 4,  Narrow4,    (CGROUP.or(STREAM), NONE), (4, 14)),
    field(F::LocalPort,      "local_port",      136, 4,  Narrow4,    (CGROUP.or(STREAM), NONE), (4, 14)),
    field(F::DataMeta,       "data_meta",       140, 4,  Exactly(4), (TC, NONE), (4, 15)),
    field(F::FlowKeys,       "flow_keys",       144, 8,  Exactly(8), (FLOW, NONE), (4, 20)),
    field(F::Tstamp,         "tstamp",          152, 8,  Exactly(8), (TC.or(CGROUP), TC.or(CGROUP)), (5, 0)),
    field(F::WireLen,        "wire_len",        160, 4,  Narrow4,    (TC, NONE), (5, 0)),
    field(F::GsoSegs,        "gso_segs",        164, 4,  Narrow4,    (ALL, NONE), (5, 1)),
    field(F::Sk,             "sk",              168, 8,  Exactly(8), (ALL, NONE), (5, 1)),
    field(F::GsoSize,        "gso_size",        176, 4,  Narrow4,    (ALL, NONE), (5, 7)),
    field(F::TstampType,     "tstamp_type",     180, 1,  Exactly(1), (TC, NONE), (5, 18)),
    field(F::Hwtstamp,       "hwtstamp",        184, 8,  Exactly(8), (TC.or(CGROUP), NONE), (5, 16)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uapi::ProgType;
    use crate::uapi::ctx::access;

    fn check(prog_type: ProgType, offset: u32, size: u32, write: bool, want: Option<SkbField>) {
        let got = access(FIELDS, prog_type, offset, size, write).ok().map(|f| f.key);
        assert_eq!(got, want, "{prog_type} {size} bytes at {offset}, write {write}");
    }

    #[test]
    fn fields_do_not_overlap_and_stay_inside() {
        for pair in FIELDS.windows(2) {
            assert!(pair[0].offset + pair[0].size <= pair[1].offset, "{} {}", pair[0].name, pair[1].name);
        }
        let last = FIELDS.last().unwrap();
        assert_eq!(last.offset + last.size, SIZE);
    }

    #[test]
    fn access_rules_are_those_of_the_verifier() {
        for (prog_type, offset, size, write, want) in [
            (SchedCls, 0, 4, false, Some(F::Len)),
            (SchedCls, 0, 8, false, None),
            (SchedCls, 0, 4, true, None),
            (SchedCls, 8, 4, true, Some(F::Mark)),
            (SchedCls, 8, 2, true, None),
            (SchedCls, 10, 2, false, Some(F::Mark)),
            (SchedCls, 9, 2, false, None),
            (SchedCls, 11, 1, false, Some(F::Mark)),
            (SchedCls, 48, 8, true, Some(F::Cb)),
            (SchedCls, 64, 8, true, None),
            (SchedCls, 64, 4, true, Some(F::Cb)),
            (SchedCls, 67, 1, true, Some(F::Cb)),
            (SchedCls, 76, 4, false, Some(F::Data)),
            (SchedCls, 76, 2, false, None),
            (SchedCls, 88, 4, false, None),
            (CgroupSkb, 88, 4, false, Some(F::Family)),
            (CgroupSkb, 104, 4, false, Some(F::RemoteIp6)),
            (CgroupSkb, 104, 2, false, None),
            (CgroupSkb, 152, 8, true, Some(F::Tstamp)),
            (CgroupSkb, 140, 4, false, None),
            (SocketFilter, 76, 4, false, None),
            (SocketFilter, 8, 4, true, None),
            (SocketFilter, 52, 1, true, Some(F::Cb)),
            (LwtXmit, 152, 8, false, None),
            (LwtXmit, 32, 4, true, Some(F::Priority)),
            (SchedCls, 168, 8, false, Some(F::Sk)),
            (SchedCls, 168, 4, false, None),
            (SchedCls, 180, 1, false, Some(F::TstampType)),
            (SchedCls, 180, 1, true, None),
            (SchedCls, 180, 4, false, None),
            (SchedCls, 181, 1, false, None),
            (SchedCls, 184, 8, false, Some(F::Hwtstamp)),
            (SchedCls, 184, 8, true, None),
            (SchedCls, 192, 4, false, None),
            (SchedCls, 144, 8, false, None),
            (FlowDissector, 144, 8, false, Some(F::FlowKeys)),
            (FlowDissector, 0, 4, false, None),
            (SkSkb, 8, 4, false, None),
            (SkSkb, 32, 4, true, Some(F::Priority)),
            (SkSkb, 44, 4, true, Some(F::TcIndex)),
            (SkSkb, 48, 4, true, None),
            (SkSkb, 48, 4, false, Some(F::Cb)),
            (SkSkb, 72, 4, false, None),
            (SkSkb, 80, 4, false, Some(F::DataEnd)),
            (SkSkb, 132, 2, false, Some(F::RemotePort)),
            (SkSkb, 152, 8, false, None),
            (LwtSeg6local, 8, 4, true, Some(F::Mark)),
            (LwtSeg6local, 76, 4, false, Some(F::Data)),
            (LwtSeg6local, 88, 4, false, None),
        ] {
            check(prog_type, offset, size, write, want);
        }
    }
}
