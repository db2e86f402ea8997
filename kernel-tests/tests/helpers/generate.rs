//! Random trials: valid to the verifier, at the edges for the helpers.

use bpftwin_sim::uapi::ProgType;

use super::calls::{Arg, Call, Packet, Trial};
use super::planes::BUFFER;

/// A seeded sequence (SplitMix64).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }

    /// Whether this is the one time in so many.
    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

use Arg::{Buf, Ctx, Imm, Sk};

/// A call of a helper.
pub fn call(name: &'static str, args: Vec<Arg>) -> Call {
    Call::Helper { name, args }
}

/// A place in a packet of `len` bytes, usually inside.
fn offset(r: &mut Random, len: u32) -> i64 {
    let len = i64::from(len);
    match r.below(8) {
        0 => r.of(&[0x7fff_ffff, 0xffff_ffff, 0x8000_0000, 0xffff, 0x1_0000, 0xffff_fffe]),
        1 | 2 => len + r.of(&[-20, -9, -8, -4, -2, -1, 0, 1]),
        3 => r.below(len as u64 + 1) as i64,
        _ => r.of(&[0, 2, 6, 12, 13, 14, 16, 20, 23, 24, 26, 30, 34, 38, 40, 50, 54, 70]),
    }
}

/// A buffer and its size, at least `min`.
fn buffer(r: &mut Random, min: u64) -> (Arg, Arg) {
    let size = r.of(&[1, 2, 3, 4, 6, 8, 14, 16, 20, 40, 64, 255, 256]).max(min);
    let at = r.below(u64::from(BUFFER) - size);
    (Buf(at as u32), Imm(size as i64))
}

fn word(r: &mut Random) -> i64 {
    let random = r.next() as i64;
    r.of(&[
        0,
        1,
        2,
        -1,
        0xffff,
        0x1234,
        0x8000_0000,
        0xffff_ffff,
        random & 0xffff,
        random & 0xffff_ffff,
        random,
    ])
}

fn skb_bytes(r: &mut Random, len: u32) -> Call {
    let (buf, size) = buffer(r, 1);
    let at = Imm(offset(r, len));
    match r.below(4) {
        0 => call("skb_load_bytes", vec![Ctx, at, buf, size]),
        1 => call("skb_load_bytes_relative", vec![Ctx, at, buf, size, Imm(r.of(&[0, 0, 1, 1, 1, 2, -1]))]),
        2 => call("skb_store_bytes", vec![Ctx, at, buf, size, Imm(r.of(&[0, 0, 1, 1, 1, 2, 3, 4, 1 << 40]))]),
        _ => call("skb_pull_data", vec![Ctx, at]),
    }
}

fn checksum(r: &mut Random, len: u32) -> Call {
    let at = Imm(offset(r, len));
    match r.below(6) {
        0 => {
            let (from, from_size) = diffed(r);
            let (to, to_size) = diffed(r);
            call("csum_diff", vec![from, from_size, to, to_size, Imm(word(r))])
        }
        1 => {
            let size = r.of(&[0, 2, 2, 4, 4, 3, 8, 0x10, 0x12]);
            call(
                "l3_csum_replace",
                vec![Ctx, at, Imm(if size == 0 { 0 } else { word(r) }), Imm(word(r)), Imm(size)],
            )
        }
        2 | 3 => {
            let flags = r.of(&[0, 2, 2, 4, 4, 3]) | r.of(&[0, 0x10, 0x10, 0x20, 0x60, 0x80, 0x90, 0x100]);
            let whole_diff = flags % 16 == 0;
            let from = if whole_diff && !r.chance(8) { 0 } else { word(r) };
            call("l4_csum_replace", vec![Ctx, at, Imm(from), Imm(word(r)), Imm(flags)])
        }
        4 => call("csum_update", vec![Ctx, Imm(r.of(&[0, 0, 1, 0xffff_ffff, 0x1234_5678]))]),
        _ => call("csum_level", vec![Ctx, Imm(r.of(&[0, 1, 2, 3, 4, -1]))]),
    }
}

/// Memory for a difference; NULL goes with 0.
fn diffed(r: &mut Random) -> (Arg, Arg) {
    if r.chance(4) { (Imm(0), Imm(0)) } else { buffer(r, 1) }
}

/// Whether a trial moves the head or the tail. Never both: making headroom gives an skb a transport header of no meaning
/// (`skb_headers_offset_update`), by which `bpf_skb_change_tail` then lets the network header be cut off, and kernels up
/// to 6.18 at least stop at `BUG_ON` in `skb_checksum`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Head,
    Tail,
}

fn geometry(r: &mut Random, len: u32, ends: Ends) -> Call {
    let which = match (r.below(9), ends) {
        (1 | 2, Ends::Tail) => 1,
        (1 | 2, Ends::Head) => 2,
        (other, _) => other,
    };
    match which {
        0 => call(
            "skb_change_proto",
            vec![
                Ctx,
                Imm(r.of(&[0xdd86, 0xdd86, 0x0008, 0x0008, 0x0608, 0x1_0008])),
                Imm(i64::from(r.chance(8))),
            ],
        ),
        1 => {
            let new = match r.below(3) {
                0 => r.of(&[0, 13, 14, 20, 33, 34, 200, 3712, 4000, 16064, 16065, 70000]),
                _ => i64::from(len) + r.of(&[-30, -5, -1, 0, 1, 5, 100]),
            };
            call("skb_change_tail", vec![Ctx, Imm(new), Imm(i64::from(r.chance(10)))])
        }
        2 => call(
            "skb_change_head",
            vec![
                Ctx,
                Imm(r.of(&[0, 1, 4, 14, 20, 64, 65, 300, 1000, 0xffff_ffff])),
                Imm(i64::from(r.chance(10))),
            ],
        ),
        3 => call(
            "skb_vlan_push",
            vec![Ctx, Imm(r.of(&[0x81, 0xa888, 0x0008, 0])), Imm(r.of(&[0, 1, 5, 0x2005, 0xffff]))],
        ),
        4 => call("skb_vlan_pop", vec![Ctx]),
        5 => call("skb_change_type", vec![Ctx, Imm(r.of(&[0, 1, 2, 3, 4, 7, 255, 256, -1]))]),
        _ => adjust_room(r, len, ends),
    }
}

/// Room behind the L3 header is asked for only where the packet stays longer than any header: behind its end, a kernel
/// moves whatever its buffer last held.
fn adjust_room(r: &mut Random, len: u32, ends: Ends) -> Call {
    let modes = if ends == Ends::Head { [0, 0, 1, 2, -1] } else { [1, 1, 1, 2, -1] };
    let diff = match r.below(3) {
        _ if ends == Ends::Head => r.of(&[0, 4, 8, 14, 20, 28, 40, 50, 4095, 4096, -4, -8, -14, -20, -4096]),
        0 => r.of(&[0, 4095, 4096, -4095, -4096, 0x7fff_ffff, -0x8000_0000, 3000, -3000]),
        1 => 14 - i64::from(len) + r.of(&[19, 20, 21, 39, 40, 41, 60]),
        _ => r.of(&[4, 8, 14, 20, 28, 36, 40, 50, -4, -8, -20, -20, -28, -40, -50]),
    };
    let flags = match r.below(4) {
        0 => 0,
        1 => r.of(&[0x80, 0x100, 0x180, 0x20, 1, 1 << 9, 1 << 40]),
        2 => r.of(&[2, 4, 2 | 8, 2 | 0x10, 4 | 0x10, 6, 2 | 0x18, 2 | 0x80, 8, 0x10]),
        _ => r.of(&[2, 4]) | r.of(&[0, 0x10, 0x40, 0x20]) | r.of(&[0, 4, 14, 20, 255]) << 56,
    };
    call("skb_adjust_room", vec![Ctx, Imm(diff), Imm(r.of(&modes)), Imm(flags)])
}

fn tunnel(r: &mut Random) -> Call {
    let size = r.of(&[44, 44, 44, 28, 24, 22, 8, 9, 43, 45, 4]);
    let at = Buf(r.below(u64::from(BUFFER) - 256) as u32 / 4 * 4);
    match r.below(5) {
        // A key of mostly zeroes, so that it is taken.
        0 => call("skb_load_bytes", vec![Ctx, Imm(-1), Buf(512), Imm(44)]),
        1 => call(
            "skb_set_tunnel_key",
            vec![Ctx, r.of(&[Buf(512), Buf(512), at]), Imm(size), Imm(r.of(&[0, 0, 1, 2, 4, 8, 16, 31, 32]))],
        ),
        2 => call("skb_get_tunnel_key", vec![Ctx, at, Imm(size), Imm(r.of(&[0, 0, 1, 16, 17, 2]))]),
        3 => call("skb_set_tunnel_opt", vec![Ctx, at, Imm(r.of(&[4, 8, 7, 16, 252, 256, 1]))]),
        _ => call("skb_get_tunnel_opt", vec![Ctx, at, Imm(r.of(&[4, 8, 7, 16, 252, 256, 1]))]),
    }
}

fn redirect(r: &mut Random) -> Call {
    let ifindex = Imm(r.of(&[1, 1, 0, 99, -1]));
    let flags = Imm(r.of(&[0, 0, 1, 2, 1 << 32]));
    match r.below(6) {
        0 => call("redirect", vec![ifindex, flags]),
        1 => call("redirect_peer", vec![ifindex, flags]),
        2 => {
            let (params, len) = r.of(&[(Imm(0), 0), (Buf(0), 4), (Buf(0), 20), (Buf(0), 24)]);
            call("redirect_neigh", vec![ifindex, params, Imm(len), flags])
        }
        3 => call("clone_redirect", vec![Ctx, ifindex, flags]),
        _ => check_mtu(r),
    }
}

fn check_mtu(r: &mut Random) -> Call {
    let ifindex = Imm(r.of(&[0, 0, 1, 99]));
    let diff = Imm(r.of(&[0, 0, 1, -1, 70000, -70000, 0x7fff_ffff, -0x8000_0000]));
    call("check_mtu", vec![Ctx, ifindex, Buf(r.below(64) as u32 * 4), diff, Imm(r.of(&[0, 0, 0, 1, 2]))])
}

fn metadata(r: &mut Random) -> Call {
    match r.below(13) {
        0 => call("get_hash_recalc", vec![Ctx]),
        1 => call("set_hash", vec![Ctx, Imm(word(r))]),
        2 => call("set_hash_invalid", vec![Ctx]),
        3 => call("skb_set_tstamp", vec![Ctx, Imm(r.of(&[0, 5, -1])), Imm(r.of(&[0, 1, 2, 3, -1]))]),
        4 => call("get_route_realm", vec![Ctx]),
        5 => call("get_cgroup_classid", vec![Ctx]),
        6 => call("skb_ecn_set_ce", vec![Ctx]),
        7 => call("get_socket_uid", vec![Ctx]),
        8 => call("get_socket_cookie", vec![Ctx]),
        9 => call("sk_fullsock", vec![Sk]),
        10 => lookup(r),
        11 => call("skb_ancestor_cgroup_id", vec![Ctx, Imm(r.of(&[1, -1, 255]))]),
        _ => store(
            r,
            &[(8, 4), (32, 4), (44, 4), (72, 4), (12, 4), (48, 8), (64, 4), (49, 1), (52, 2), (152, 8)],
        ),
    }
}

/// A write to one of these fields of the context.
fn store(r: &mut Random, fields: &[(i16, u8)]) -> Call {
    let (offset, size) = r.of(fields);
    Call::Store { offset, size, value: word(r) as i32 }
}

/// A lookup of a socket; the namespace has none.
fn lookup(r: &mut Random) -> Call {
    let name = r.of(&["sk_lookup_tcp", "sk_lookup_udp", "skc_lookup_tcp"]);
    let len = r.of(&[0, 4, 12, 36, 40]);
    call(name, vec![Ctx, Buf(4), Imm(len), Imm(r.of(&[-1, 0, 77, 1 << 40])), Imm(r.of(&[0, 1]))])
}

fn packet(r: &mut Random) -> Call {
    Call::Packet { offset: r.of(&[0, 1, 10, 12, 14, 30, 40, 70, 3000]), value: word(r) as i32 }
}

fn length(r: &mut Random, packet: Packet) -> u32 {
    let min = match packet {
        Packet::Udp4 => 34,
        Packet::Tcp6 => 54,
        // Room for the header behind the tags, which a kernel does not look for.
        Packet::Vlan | Packet::Qinq => 60,
        Packet::Arp | Packet::Llc => 14,
    };
    match r.below(6) {
        0 => min + r.below(8) as u32,
        1 => 3712 - r.below(3) as u32,
        _ => 60 + r.below(60) as u32,
    }
}

fn skb_context(r: &mut Random) -> Vec<(u32, u32)> {
    let mut ctx = vec![(8, 7)];
    if r.chance(3) {
        ctx.push((48, 0x1122_3344));
        ctx.push((32, r.of(&[1, 0xffff_ffff])));
    }
    if r.chance(8) {
        ctx.push((176, r.of(&[1, 100, 1400])));
        ctx.push((164, r.of(&[0, 3])));
    }
    ctx
}

/// A sched_cls program.
pub fn tc(r: &mut Random) -> Trial {
    let packet_kind = r.of(&[
        Packet::Udp4,
        Packet::Udp4,
        Packet::Tcp6,
        Packet::Tcp6,
        Packet::Arp,
        Packet::Vlan,
        Packet::Qinq,
        Packet::Llc,
    ]);
    let ends = r.of(&[Ends::Head, Ends::Tail]);
    let len = if ends == Ends::Head { 600 + r.below(3113) as u32 } else { length(r, packet_kind) };
    let calls = (0..3 + r.below(20))
        .map(|_| match r.below(12) {
            0 | 1 => skb_bytes(r, len),
            2 | 3 => checksum(r, len),
            4..=6 => geometry(r, len, ends),
            7 => tunnel(r),
            8 => redirect(r),
            9 => packet(r),
            _ => metadata(r),
        })
        .chain(last_look())
        .collect();
    let ctx = if r.chance(4) { Vec::new() } else { skb_context(r) };
    Trial {
        prog_type: r.of(&[ProgType::SchedCls, ProgType::SchedCls, ProgType::SchedAct]),
        packet: packet_kind,
        len,
        flags: if r.chance(3) { 4 } else { 0 },
        repeat: r.of(&[0, 1, 1, 1, 2]),
        ctx,
        calls,
    }
}

/// What stands at the headers in the end.
fn last_look() -> [Call; 2] {
    [
        call("skb_load_bytes_relative", vec![Ctx, Imm(0), Buf(1900), Imm(16), Imm(0)]),
        call("skb_load_bytes_relative", vec![Ctx, Imm(0), Buf(1920), Imm(16), Imm(1)]),
    ]
}

/// A program over an skb that begins at L3.
pub fn other_skb(r: &mut Random) -> Trial {
    use ProgType::{CgroupSkb, LwtIn, LwtOut, LwtXmit, SocketFilter};
    let packet_kind = r.of(&Packet::ALL);
    let len = length(r, packet_kind);
    let prog_type = r.of(&[CgroupSkb, SocketFilter, LwtIn, LwtOut, LwtXmit, LwtXmit]);
    let inside = len - 14;
    let ends = r.of(&[Ends::Head, Ends::Tail]);
    let calls = (0..2 + r.below(12))
        .map(|_| {
            let (buf, size) = buffer(r, 1);
            let at = Imm(offset(r, inside));
            match (r.below(6), prog_type) {
                (0, LwtIn | LwtOut | LwtXmit) => call("skb_pull_data", vec![Ctx, at]),
                (1 | 2, CgroupSkb | SocketFilter) => {
                    call("skb_load_bytes_relative", vec![Ctx, at, buf, size, Imm(r.of(&[0, 1, 2]))])
                }
                (1, LwtXmit) => call("skb_store_bytes", vec![Ctx, at, buf, size, Imm(r.of(&[0, 1, 2, 3]))]),
                (2, LwtXmit) => loop {
                    let made = geometry(r, inside, ends);
                    if matches!(&made, Call::Helper { name: "skb_change_tail" | "skb_change_head", .. }) {
                        break made;
                    }
                },
                (3, LwtXmit) => tunnel(r),
                (4, LwtXmit) => loop {
                    let made = checksum(r, inside);
                    if !matches!(&made, Call::Helper { name: "csum_diff", .. }) {
                        break made;
                    }
                },
                (3, CgroupSkb) => {
                    call(r.of(&["skb_ecn_set_ce", "get_socket_uid", "get_socket_cookie"]), vec![Ctx])
                }
                (4, CgroupSkb) => store(r, &[(8, 4), (32, 4), (48, 8), (50, 2), (152, 8)]),
                (4, LwtIn | LwtOut) => store(r, &[(8, 4), (32, 4), (48, 8), (50, 2)]),
                (3 | 4, SocketFilter) => store(r, &[(48, 4), (60, 4), (51, 1)]),
                (5, CgroupSkb | LwtIn | LwtOut | LwtXmit) => packet(r),
                _ => call("skb_load_bytes", vec![Ctx, at, buf, size]),
            }
        })
        .collect();
    let ctx = if r.chance(3) { Vec::new() } else { skb_context(r) };
    Trial {
        prog_type,
        packet: packet_kind,
        len,
        flags: if r.chance(4) { 4 } else { 0 },
        repeat: r.of(&[1, 1, 2]),
        ctx,
        calls,
    }
}

/// An XDP program.
pub fn xdp(r: &mut Random) -> Trial {
    let packet_kind = r.of(&Packet::ALL);
    let len = match r.below(5) {
        0 => r.of(&[14, 15, 60, 3519, 3520, 3521, 3600, 7616, 9000, 20000, 73152]),
        _ => 60 + r.below(100) as u32,
    };
    let calls = (0..2 + r.below(16))
        .map(|_| {
            let (buf, size) = buffer(r, 1);
            match r.below(9) {
                0 => call("xdp_adjust_head", vec![Ctx, Imm(edge(r, len))]),
                1 => call("xdp_adjust_tail", vec![Ctx, Imm(edge(r, len))]),
                2 => call("xdp_adjust_meta", vec![Ctx, Imm(edge(r, len))]),
                3 => call("xdp_get_buff_len", vec![Ctx]),
                4 => call("xdp_load_bytes", vec![Ctx, Imm(offset(r, len)), buf, size]),
                5 => call("xdp_store_bytes", vec![Ctx, Imm(offset(r, len)), buf, size]),
                6 => check_mtu(r),
                7 => call("redirect", vec![Imm(1), Imm(r.of(&[0, 1, 2]))]),
                _ => packet(r),
            }
        })
        .collect();
    let ctx = match r.below(4) {
        0 | 1 => Vec::new(),
        2 => vec![(4, len), (0, r.of(&[0, 4, 8, 32, 36, 216, 220, 7]))],
        _ => vec![(4, len - r.below(14) as u32), (12, r.of(&[0, 1, 99])), (16, r.of(&[0, 0, 1]))],
    };
    Trial {
        prog_type: ProgType::Xdp,
        packet: packet_kind,
        len,
        flags: 0,
        repeat: r.of(&[1, 1, 3]),
        ctx,
        calls,
    }
}

/// A distance to move an edge of a frame by.
fn edge(r: &mut Random, len: u32) -> i64 {
    match r.below(4) {
        0 => r.of(&[-216, -217, -208, -256, 0x7fff_ffff, -0x8000_0000, 3446, 4096, -4096]),
        1 => r.of(&[1, -1]) * (i64::from(len) + r.of(&[-13, -14, -15, 0])),
        _ => r.of(&[0, 1, -1, 4, -4, 8, -8, 14, -14, 20, -20, -32, -36, 100, -100]),
    }
}

/// Headers in front of packets of lightweight tunnels. Never `BPF_LWT_ENCAP_SEG6`, which needs a route.
pub fn encap(r: &mut Random) -> Trial {
    let packet_kind = r.of(&Packet::ALL);
    let len = length(r, packet_kind);
    let prog_type = r.of(&[ProgType::LwtIn, ProgType::LwtXmit]);
    let mut calls = Vec::new();
    for _ in 0..=r.below(2) {
        // What an IP or a segment routing header has first, the length that goes with it, and where.
        let at = 64 * r.below(4) as u32;
        let fill = |at, bytes: [u8; 4]| Call::Fill { at, value: u32::from_le_bytes(bytes) };
        let (kind, size) = match r.below(4) {
            0 | 1 => {
                let version = r.of(&[0x45, 0x45, 0x46, 0x44, 0x40, 0x4f, 0x60, 0x60, 0x55]);
                let protocol = r.of(&[17, 17, 4, 41, 47]);
                calls.push(fill(at, [version, 0, 0, 60]));
                calls.push(fill(at + 8, [64, if version == 0x60 { 1 } else { protocol }, 0, 0]));
                calls.push(fill(at + 4, [0, 60, protocol, 64]));
                (2, r.of(&[19, 20, 20, 24, 27, 28, 40, 47, 48, 56, 60, 256, 257]))
            }
            2 => (r.of(&[2, 3, -1]), r.of(&[20, 40])),
            _ => {
                let segments = r.of(&[1u8, 1, 2, 3]);
                let tlv = r.chance(4);
                let hdrlen = segments * 2 + u8::from(tlv);
                let first = segments - 1 + u8::from(r.chance(6));
                let flags = if r.chance(6) { 8 } else { 0 };
                calls.push(fill(
                    at,
                    [59, hdrlen, if r.chance(8) { 3 } else { 4 }, r.of(&[first, first, 0, first + 1])],
                ));
                calls.push(fill(at + 4, [first, flags, 0, 0]));
                calls.push(fill(at + 8 + u32::from(segments) * 16, [4, r.of(&[6, 6, 5, 7]), 0, 0]));
                calls.push(fill(at + u32::from(segments) * 16 - 8, [0xfd, r.of(&[0, 0, 1, 2]), 0, 0]));
                let len = (i64::from(hdrlen) + 1) * 8;
                (1, len + if r.chance(8) { 8 } else { 0 })
            }
        };
        calls.push(call("lwt_push_encap", vec![Ctx, Imm(kind), Buf(at), Imm(size)]));
        calls.push(match prog_type {
            ProgType::LwtXmit => call("skb_change_tail", vec![Ctx, Imm(offset(r, len)), Imm(0)]),
            _ => call("skb_load_bytes", vec![Ctx, Imm(offset(r, len)), Buf(1024), Imm(40)]),
        });
        calls.push(call("get_hash_recalc", vec![Ctx]));
    }
    let ctx = if r.chance(3) { Vec::new() } else { skb_context(r) };
    let flags = if r.chance(4) { 4 } else { 0 };
    Trial { prog_type, packet: packet_kind, len, flags, repeat: r.of(&[1, 1, 2]), ctx, calls }
}
