//! Kernel functions, and the helpers around dynptrs: the same object on the simulator and on the kernel; everything both
//! see must be equal. Needs what `bpftwin-kernel` needs.

mod rig;

use rig::{agreed, case, marked, plain};

const DYNPTRS: &[u8] = include_bytes!("objects/dynptrs.o");
const CONNTRACK: &[u8] = include_bytes!("objects/conntrack.o");

/// `len` bytes, all different as far as bytes go.
fn frame(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

#[test]
fn dynptrs_and_iterators() {
    for program in ["from_memory", "from_skb", "records", "iterators", "read_only"] {
        let runs = (0..7).map(|mark| marked(program, &frame(64), mark)).collect();
        agreed(&case(DYNPTRS, &[program], runs));
    }
}

#[test]
fn dynptrs_over_fragments() {
    let runs = [60, 3520, 5010, 5020, 9000].map(|len| plain("from_xdp", &frame(len))).into();
    agreed(&case(DYNPTRS, &["from_xdp"], runs));
}

#[test]
fn dynptrs_over_the_skb_of_a_netfilter_hook() {
    let packet = |len: usize| [&[0x45, 0, 0, 99, 0, 0, 0, 0, 64, 17][..], &frame(len - 10)].concat();
    agreed(&case(DYNPTRS, &["from_nf"], [20, 60, 1500].map(|len| plain("from_nf", &packet(len))).into()));
}

#[test]
fn connections_and_xfrm_states() {
    for program in ["entries", "zones", "mistakes"] {
        let runs = (0..6).map(|mark| marked(program, &frame(64), mark)).collect();
        agreed(&case(CONNTRACK, &[program], runs));
    }
    agreed(&case(CONNTRACK, &["on_xdp"], vec![plain("on_xdp", &frame(64))]));
}
