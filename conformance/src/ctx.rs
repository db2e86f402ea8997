//! The contexts a BPF_PROG_TEST_RUN takes and gives, as layouts: `include/uapi/linux/bpf.h`, v6.12.

use bpftwin_sim::uapi::ProgType;
use bpftwin_sim::uapi::ctx::{Field, Width, flow_keys, sk_lookup, skb, xdp};

use crate::layout::{Layout, Member, Sense};

/// `struct bpf_flow_keys`: name, offset, bytes of an item, items; addresses as one run of words, since which family holds is in `addr_proto`.
const FLOW_KEYS: &[(&str, u32, u32, u32)] = &[
    ("nhoff", 0, 2, 1),
    ("thoff", 2, 2, 1),
    ("addr_proto", 4, 2, 1),
    ("is_frag", 6, 1, 1),
    ("is_first_frag", 7, 1, 1),
    ("is_encap", 8, 1, 1),
    ("ip_proto", 9, 1, 1),
    ("n_proto", 10, 2, 1),
    ("sport", 12, 2, 1),
    ("dport", 14, 2, 1),
    ("src", 16, 4, 4),
    ("dst", 32, 4, 4),
    ("flags", 48, 4, 1),
    ("flow_label", 52, 4, 1),
];

/// Fields that hold an ifindex, which a scenario may give as a device's name.
pub const IFINDEXES: &[&str] = &["ifindex", "ingress_ifindex", "egress_ifindex"];

/// The layout of `ctx_in` and `ctx_out`; `None` for a program type without one.
pub fn layout(prog_type: ProgType) -> Option<Layout> {
    Some(match prog_type {
        ProgType::Xdp => table("xdp_md", xdp::SIZE, rows(xdp::FIELDS)),
        ProgType::SkLookup => table("bpf_sk_lookup", sk_lookup::SIZE, rows(sk_lookup::FIELDS)),
        ProgType::FlowDissector => table("bpf_flow_keys", flow_keys::SIZE, FLOW_KEYS.to_vec()),
        ProgType::SchedCls
        | ProgType::SchedAct
        | ProgType::SocketFilter
        | ProgType::CgroupSkb
        | ProgType::LwtIn
        | ProgType::LwtOut
        | ProgType::LwtXmit => table("__sk_buff", skb::SIZE, rows(skb::FIELDS)),
        _ => return None,
    })
}

/// Name, offset, bytes of an item, items.
type Row = (&'static str, u32, u32, u32);

fn rows<K>(fields: &'static [Field<K>]) -> Vec<Row> {
    let row = |field: &Field<K>| {
        let item = match field.width {
            Width::Narrow2 => 2,
            Width::Exactly(bytes) => bytes,
            // An array of words, or one word.
            Width::Narrow4 => 4,
            Width::Bytes if field.size == 20 => 4,
            Width::Bytes => field.size,
        };
        (field.name, field.offset, item, field.size / item)
    };
    fields.iter().map(row).collect()
}

fn table(name: &str, size: u32, rows: Vec<Row>) -> Layout {
    let member = |(name, offset, size, items): Row| {
        let ports = matches!(name, "n_proto" | "sport" | "dport" | "flow_label")
            || (name, size) == ("remote_port", 2);
        let item = Layout::Int { size, sense: if ports { Sense::Network } else { Sense::Unsigned } };
        let layout = if items == 1 { item } else { Layout::Array { item: Box::new(item), len: items } };
        Member { name: name.to_owned(), bit_offset: offset * 8, bit_size: 0, layout }
    };
    Layout::Struct { name: name.to_owned(), size, members: rows.into_iter().map(member).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stay_inside_and_apart() {
        for prog_type in ProgType::ALL {
            let Some(layout) = layout(*prog_type) else { continue };
            let mut end = 0;
            for leaf in layout.leaves() {
                assert!(leaf.offset >= end, "{prog_type}: {} overlaps", leaf.path);
                end = leaf.offset + leaf.size;
            }
            assert!(end <= layout.size(), "{prog_type}");
        }
    }
}
