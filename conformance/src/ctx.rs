//! The contexts a BPF_PROG_TEST_RUN takes and gives, as layouts: `include/uapi/linux/bpf.h`, v6.12.

use bpftwin_sim::uapi::ProgType;
use bpftwin_sim::uapi::ctx::given::{self, Part};
use bpftwin_sim::uapi::ctx::{Field, Width, flow_keys, nf, sk_lookup, skb, xdp};

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

/// `struct nf_hook_state`: the members that may be given.
const HOOK_STATE: &[(&str, u32, u32, u32)] = &[("hook", nf::HOOK as u32, 1, 1), ("pf", nf::PF as u32, 1, 1)];

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
        | ProgType::LwtXmit
        | ProgType::LwtSeg6local
        | ProgType::SkSkb => table("__sk_buff", skb::SIZE, rows(skb::FIELDS)),
        ProgType::Netfilter => table("nf_hook_state", nf::STATE_SIZE, HOOK_STATE.to_vec()),
        _ => {
            let context = given::context(prog_type)?;
            let members = context.fields.iter().filter_map(given_member).collect();
            Layout::Struct { name: context.name.to_owned(), size: context.size, members }
        }
    })
}

/// A field of a context that is given whole; `None` for pointers, which nobody can give.
fn given_member(field: &Field<Part>) -> Option<Member> {
    field.key.bits()?;
    let address = field.name.ends_with("_ip4");
    let (skip, size) = match field.key {
        Part::PortHigh => (2, 2),
        Part::Port => (0, 2),
        _ if field.width == Width::Exactly(8) => (0, 8),
        _ => (0, 4),
    };
    if field.name.ends_with("_ip6") {
        let layout = Layout::Struct { name: "in6_addr".to_owned(), size: 16, members: Vec::new() };
        return Some(Member {
            name: field.name.to_owned(),
            bit_offset: field.offset * 8,
            bit_size: 0,
            layout,
        });
    }
    let network = address || matches!(field.key, Part::Port | Part::PortHigh);
    let item = Layout::Int { size, sense: if network { Sense::Network } else { Sense::Unsigned } };
    let layout = match field.size / 4 {
        len @ 2.. if size == 4 => Layout::Array { item: Box::new(item), len },
        _ => item,
    };
    let bit_offset = (field.offset + skip) * 8;
    Some(Member { name: field.name.to_owned(), bit_offset, bit_size: 0, layout })
}

/// Whether programs of this type can be run: their context has a layout, or is the caller's bytes.
pub fn runnable(prog_type: ProgType) -> bool {
    prog_type == ProgType::Syscall || layout(prog_type).is_some()
}

/// Whether a run of this type may go without a packet.
pub fn may_lack_packet(prog_type: ProgType) -> bool {
    matches!(prog_type, ProgType::Syscall | ProgType::SkLookup) || given::context(prog_type).is_some()
}

/// Name, offset, bytes of an item, items.
type Row = (&'static str, u32, u32, u32);

fn rows<K>(fields: &'static [Field<K>]) -> Vec<Row> {
    let row = |field: &Field<K>| {
        let item = match field.width {
            Width::Narrow2 => 2,
            Width::Exactly(bytes) => bytes,
            // An array of words, or one word.
            Width::Narrow4 | Width::First4 | Width::Narrow4Of2 | Width::Wide4 => 4,
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
