//! Trials on which simulator and kernel once differed, in the text form of [`Trial`](super::calls::Trial).

/// All of them.
pub const ALL: &[&str] = &[
    // A BPF_ST of a negative queue_mapping is stored: the comparison is signed.
    "3 Llc 76 4 1; store 12 4 -1",
    "4 Vlan 80 0 1 8=7; store 12 4 -866083794",
    // Making headroom sets a transport header that was unset, and that bounds bpf_skb_change_tail.
    "3 Udp4 65 0 0 8=7; skb_adjust_room ctx 4095 1 0; skb_change_tail ctx 70 0",
    // -INT_MIN is negative.
    "6 Tcp6 20000 0 1 4=20000 0=36; xdp_adjust_tail ctx -2147483648; xdp_get_buff_len ctx",
    "6 Vlan 97 0 1 4=96 12=0 16=0; xdp_adjust_tail ctx -2147483648",
    // Table 0 is the main table. Without the network of the fib trials, this asks the loopback.
    "3 Udp4 60 0 1; fill 0 2; fill 8 1; fill 48 0; fib_lookup ctx buf+0 64 9",
];
