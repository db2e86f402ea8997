//! Every frame of every device of some namespaces, in the order in which the kernel handles them.
//!
//! One packet socket per namespace sees all its devices in both directions. Its filter is a program that hands the
//! frame to a perf buffer, with what the kernel knows about it, and then has the socket keep nothing. So the order holds
//! across namespaces, no socket's queue can overflow, and no clone of a frame stays in being: with a clone that waits to
//! be read, the kernel would copy the frame before a program may write to it. Time stamps are not asked for, because
//! that would set `skb->tstamp` of every frame.
//!
//! Where taps are: `net/core/dev.c: __netif_receive_skb_core` (after generic XDP, before tcx) and `xmit_one`
//! (`dev_queue_xmit_nit`, after tcx and clsact), v6.12.

use libbpf_sys as kernel;

use super::stream::{Stream, insn, word};
use crate::failure::Failure;
use crate::sys::{PacketSocket, Prog, ProgLoad};

/// A frame at a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The namespace's number, as given to [`Taps::add`].
    pub namespace: u32,
    /// The device.
    pub ifindex: u32,
    /// `skb->pkt_type`, `PACKET_*`; `PACKET_OUTGOING` when the device sends it.
    pub pkt_type: u32,
    /// The accelerated VLAN tag, which is not in the bytes: protocol and `skb->vlan_tci`, host order.
    pub vlan: Option<(u16, u16)>,
    /// From the MAC header on.
    pub data: Vec<u8>,
}

impl Frame {
    /// Whether the device sends it.
    pub fn is_outgoing(&self) -> bool {
        self.pkt_type == u32::from(libc::PACKET_OUTGOING)
    }

    /// The bytes, with the tag in its place behind the addresses.
    pub fn tagged(&self) -> Vec<u8> {
        let mut data = self.data.clone();
        if let Some((proto, tci)) = self.vlan {
            data.splice(12..12, [proto.to_be_bytes(), tci.to_be_bytes()].concat());
        }
        data
    }
}

/// Words that the filter reports in front of a frame's bytes: time and namespace, two each, then [`FIELDS`].
const WORDS: usize = 10;
/// Fields of `struct __sk_buff`, in `include/uapi/linux/bpf.h`, v6.12.
const FIELDS: [i16; WORDS - 4] = [
    40, // ifindex
    4,  // pkt_type
    0,  // len
    20, // vlan_present
    28, // vlan_proto
    24, // vlan_tci
];
/// Bytes of the longest frame whose bytes are reported: a record of a perf buffer has a length of 16 bits.
const LONGEST: i32 = 65_000;

/// The taps of one case.
pub struct Taps {
    stream: Stream,
    sockets: Vec<PacketSocket>,
}

impl Taps {
    /// None yet.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self { stream: Stream::new()?, sockets: Vec::new() })
    }

    /// Taps every device of this thread's network namespace, now and later, and calls it `namespace`.
    pub fn add(&mut self, namespace: u32) -> Result<(), Failure> {
        let insns = filter(&self.stream, namespace);
        let prog = Prog::load(&ProgLoad {
            prog_type: kernel::BPF_PROG_TYPE_SOCKET_FILTER,
            insns: &insns,
            ..ProgLoad::default()
        })
        .map_err(|error| Failure::Harness(format!("the filter of a tap: {error}")))?;
        let failed = |errno| Failure::Harness(format!("cannot tap a namespace: {errno}"));
        let socket = PacketSocket::open().map_err(failed)?;
        socket.tap(&prog).map_err(failed)?;
        self.sockets.push(socket);
        Ok(())
    }

    /// Takes every frame since the last time.
    pub fn drain(&mut self) -> Result<Vec<Frame>, Failure> {
        self.stream.drain()?.iter().map(|record| frame(record)).collect()
    }

    /// Hands over the sockets, which take a while to close: `net/packet/af_packet.c: packet_release` waits for every
    /// CPU to have let go of them.
    pub fn into_sockets(self) -> Vec<PacketSocket> {
        self.sockets
    }
}

fn frame(record: &[u8]) -> Result<Frame, Failure> {
    let word = |at| word(record, at);
    let len = word(6) as usize;
    let data = record.get(4 * WORDS..4 * WORDS + len).ok_or_else(|| {
        Failure::Harness(format!("a frame of {len} bytes: a tap reports no more than {LONGEST}"))
    })?;
    Ok(Frame {
        namespace: word(2),
        ifindex: word(4),
        pkt_type: word(5),
        vlan: (word(7) != 0).then(|| ((word(8) as u16).to_be(), word(9) as u16)),
        data: data.to_vec(),
    })
}

/// Reports time, namespace, [`FIELDS`] and bytes of a frame; returns 0, so that the socket keeps nothing of it.
fn filter(stream: &Stream, namespace: u32) -> Vec<u64> {
    let size = 4 * WORDS as i32;
    let slot = |word: usize| (4 * word as i32 - size) as i16;
    let mut insns = vec![
        insn(0xbf, 6, 1, 0, 0), // r6 = ctx
        insn(0x85, 0, 0, 0, kernel::BPF_FUNC_ktime_get_ns as i32),
        insn(0x7b, 10, 0, slot(0), 0), // *(u64 *)(r10 + slot) = r0
        insn(0x7a, 10, 0, slot(2), namespace.cast_signed()), // *(u64 *)(r10 + slot) = namespace
    ];
    for (word, field) in (4..).zip(FIELDS) {
        insns.push(insn(0x61, 2, 6, field, 0)); // r2 = *(u32 *)(r6 + field)
        insns.push(insn(0x63, 10, 2, slot(word), 0)); // *(u32 *)(r10 + slot) = r2
    }
    insns.extend([
        insn(0x61, 3, 6, 0, 0),                          // r3 = len
        insn(0xb5, 3, 0, 1, LONGEST),                    // if r3 <= LONGEST skip one
        insn(0xb7, 3, 0, 0, 0),                          // r3 = 0
        insn(0x67, 3, 0, 0, 32),                         // r3 <<= 32
        insn(0xb4, 4, 0, 0, -1),                         // w4 = BPF_F_CURRENT_CPU
        insn(0x4f, 3, 4, 0, 0),                          // r3 |= r4
        insn(0xbf, 1, 6, 0, 0),                          // r1 = ctx
        insn(0x18, 2, 1, 0, stream.raw().cast_signed()), // r2 = map
        0,
        insn(0xbf, 4, 10, 0, 0),    // r4 = r10
        insn(0x07, 4, 0, 0, -size), // r4 -= size
        insn(0xb7, 5, 0, 0, size),  // r5 = size
        insn(0x85, 0, 0, 0, kernel::BPF_FUNC_perf_event_output as i32),
        insn(0xb7, 0, 0, 0, 0), // r0 = 0
        insn(0x95, 0, 0, 0, 0), // exit
    ]);
    insns
}
