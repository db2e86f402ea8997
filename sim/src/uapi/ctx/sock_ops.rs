//! `struct bpf_sock_ops`: `include/uapi/linux/bpf.h`, with the access rules of `net/core/filter.c:
//! sock_ops_is_valid_access` and the widths of `sock_ops_convert_ctx_access`, v6.12.

use super::Width::{Exactly, First4};
use super::given::{Context, GivenField, Part, Rows, always};
use crate::uapi::ProgType;

const ROWS: Rows = Rows(ProgType::SockOps);
const WORD: Part = Part::Given(u32::MAX);
/// A word of `struct tcp_sock` or `struct sock`.
const TCP: Part = Part::FullSock(u32::MAX);

/// Offset of `op`, u32.
pub const OP: usize = 0;
/// Offset of `is_fullsock`, u32.
pub const IS_FULLSOCK: usize = 72;
/// Offset of `bpf_sock_ops_cb_flags`, u32.
pub const CB_FLAGS: usize = 84;
/// Offset of `state`, u32.
pub const STATE: usize = 88;
/// Offset of `snd_cwnd`, u32.
pub const SND_CWND: usize = 76;
/// Offset of `snd_ssthresh`, u32.
pub const SND_SSTHRESH: usize = 96;
/// Offset of `mss_cache`, u32.
pub const MSS_CACHE: usize = 112;
/// Offset of `data_segs_out`, u32.
pub const DATA_SEGS_OUT: usize = 152;

/// The words of `struct bpf_tcp_sock` that the context has too: where there, where here. What is only there,
/// `dsack_dups`, `delivered`, `delivered_ce` and `icsk_retransmits`, is 0 of a socket a context is given for.
pub const TCP_SOCK: [(usize, usize); 24] = {
    let mut words = [(0, 76); 24];
    let mut index = 1;
    while index < 24 {
        // `snd_cwnd` and `srtt_us`, then `rtt_min` to `sacked_out`, then the two words of either count of bytes.
        let from = match index {
            1 => 80,
            2..20 => 92 + 4 * (index - 2),
            _ => 168 + 4 * (index - 20),
        };
        words[index] = (4 * index, from);
        index += 1;
    }
    words
};

#[rustfmt::skip]
const FIELDS: &[GivenField] = &[
    ROWS.read("op",                    0,   4,  Exactly(4), WORD, (4, 13)),
    // One union with `args` and `replylong`, whose other words a program reads only.
    ROWS.both("reply",                 4,   4,  Exactly(4), WORD, (4, 13)),
    ROWS.read("args",                  8,   12, Exactly(4), WORD, (4, 13)),
    ROWS.read("family",                20,  4,  Exactly(4), Part::Given(0xffff), (4, 13)),
    ROWS.read("remote_ip4",            24,  4,  Exactly(4), WORD, (4, 13)),
    ROWS.read("local_ip4",             28,  4,  Exactly(4), WORD, (4, 13)),
    ROWS.read("remote_ip6",            32,  16, Exactly(4), WORD, (4, 13)),
    ROWS.read("local_ip6",             48,  16, Exactly(4), WORD, (4, 13)),
    ROWS.read("remote_port",           64,  4,  Exactly(4), Part::PortHigh, (4, 13)),
    ROWS.read("local_port",            68,  4,  Exactly(4), Part::Given(0xffff), (4, 13)),
    ROWS.read("is_fullsock",           72,  4,  Exactly(4), Part::Given(1), (4, 16)),
    ROWS.read("snd_cwnd",              76,  4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("srtt_us",               80,  4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("bpf_sock_ops_cb_flags", 84,  4,  Exactly(4), Part::FullSock(0x7f), (4, 16)),
    ROWS.read("state",                 88,  4,  Exactly(4), Part::Given(0xff), (4, 16)),
    ROWS.read("rtt_min",               92,  4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("snd_ssthresh",          96,  4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("rcv_nxt",               100, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("snd_nxt",               104, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("snd_una",               108, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("mss_cache",             112, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("ecn_flags",             116, 4,  Exactly(4), Part::FullSock(0xff), (4, 16)),
    ROWS.read("rate_delivered",        120, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("rate_interval_us",      124, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("packets_out",           128, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("retrans_out",           132, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("total_retrans",         136, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("segs_in",               140, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("data_segs_in",          144, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("segs_out",              148, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("data_segs_out",         152, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("lost_out",              156, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("sacked_out",            160, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.both("sk_txhash",             164, 4,  Exactly(4), TCP, (4, 16)),
    ROWS.read("bytes_received",        168, 8,  Exactly(8), TCP, (4, 16)),
    ROWS.read("bytes_acked",           176, 8,  Exactly(8), TCP, (4, 16)),
    ROWS.read("sk",                    184, 8,  Exactly(8), Part::FullSk, (5, 3)),
    ROWS.read("skb_data",              192, 8,  Exactly(8), Part::Data, (5, 10)),
    ROWS.read("skb_data_end",          200, 8,  Exactly(8), Part::DataEnd, (5, 10)),
    ROWS.read("skb_len",               208, 4,  Exactly(4), Part::Len, (5, 10)),
    ROWS.read("skb_tcp_flags",         212, 4,  First4,     Part::Given(0xff), (5, 10)),
    ROWS.read("skb_hwtstamp",          216, 8,  Exactly(8), WORD, (6, 2)),
];

/// The struct.
pub const CONTEXT: Context = Context { name: "bpf_sock_ops", size: 224, fields: FIELDS, allowed: always };
