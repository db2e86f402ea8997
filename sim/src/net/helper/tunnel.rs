//! Tunnel keys and options: what a tunnel device shall put around the packet.

use super::{Arg, Call, Helper, Ret, TC};
use crate::net::skb::Dst;
use crate::net::tunnel::{TunnelInfo, flag};
use crate::uapi::ProgType::LwtXmit;
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes};

const USERS: ProgTypes = TC.or(ProgTypes::of(&[LwtXmit]));

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::skb_get_tunnel_key, USERS, &[Arg::Ctx, Arg::MemOut, Arg::Size, Arg::Any], get_key,
        "net/core/filter.c: bpf_skb_get_tunnel_key"),
    Helper::new(id::skb_set_tunnel_key, USERS, &[Arg::Ctx, Arg::Mem, Arg::Size, Arg::Any], set_key,
        "net/core/filter.c: bpf_skb_set_tunnel_key"),
    Helper::new(id::skb_get_tunnel_opt, USERS, &[Arg::Ctx, Arg::MemOut, Arg::Size], get_opt,
        "net/core/filter.c: bpf_skb_get_tunnel_opt"),
    Helper::new(id::skb_set_tunnel_opt, USERS, &[Arg::Ctx, Arg::Mem, Arg::Size], set_opt,
        "net/core/filter.c: bpf_skb_set_tunnel_opt"),
];

const BPF_F_TUNINFO_IPV6: u64 = 1 << 0;
const BPF_F_ZERO_CSUM_TX: u64 = 1 << 1;
const BPF_F_DONT_FRAGMENT: u64 = 1 << 2;
const BPF_F_SEQ_NUMBER: u64 = 1 << 3;
const BPF_F_NO_TUNNEL_KEY: u64 = 1 << 4;
const BPF_F_TUNINFO_FLAGS: u64 = 1 << 4;

/// `IP_TUNNEL_OPTS_MAX`.
const OPTIONS_MAX: u64 = 255;
/// `IPV6_FLOWLABEL_MASK`, as a host number.
const FLOWLABEL_MASK: u32 = 0x000f_ffff;

/// `struct bpf_tunnel_key`, and the shorter structs of old programs.
mod key {
    pub const SIZE: usize = 44;
    pub const REMOTE: usize = 4;
    pub const TOS: usize = 20;
    pub const TTL: usize = 21;
    pub const EXT: usize = 22;
    pub const LABEL: usize = 24;
    pub const LOCAL: usize = 28;
    /// Sizes of old, all of them prefixes.
    pub const COMPAT: [usize; 3] = [LOCAL, LABEL, EXT];
    /// The oldest: an id and an IPv4 address.
    pub const OLDEST: usize = 8;
}

fn get_key(call: &mut Call<'_, '_>) -> Ret {
    let [_, to, size, flags, _] = call.args;
    let size = size as usize;
    let answer = read_key(&call.skb().0.dst, size, flags);
    let bytes = answer.map_or_else(|_| vec![0; size], |key| key[..size].to_vec());
    call.mem_mut(to, size as u64)?.copy_from_slice(&bytes);
    answer?;
    Ok(0)
}

fn read_key(dst: &Dst, size: usize, flags: u64) -> Result<[u8; key::SIZE], Errno> {
    let Dst::Tunnel(info) = dst else { return Err(Errno::EINVAL) };
    if flags & !(BPF_F_TUNINFO_IPV6 | BPF_F_TUNINFO_FLAGS) != 0 {
        return Err(Errno::EINVAL);
    }
    let ipv6 = flags & BPF_F_TUNINFO_IPV6 != 0;
    if info.ipv6 != ipv6 {
        return Err(Errno::EPROTO);
    }
    let known = size == key::SIZE || key::COMPAT.contains(&size) || size == key::OLDEST && !info.ipv6;
    if !known {
        return Err(Errno::EINVAL);
    }
    let mut out = [0; key::SIZE];
    out[..4].copy_from_slice(&(info.id as u32).to_le_bytes());
    out[key::TOS] = info.tos;
    out[key::TTL] = info.ttl;
    if flags & BPF_F_TUNINFO_FLAGS != 0 {
        // `ip_tunnel_flags_to_be16`: the low 16 bits, in network byte order.
        out[key::EXT..key::EXT + 2].copy_from_slice(&(info.flags as u16).to_be_bytes());
    }
    // What a receiver calls remote is the sender's source: a key just set reads back swapped.
    if ipv6 {
        out[key::REMOTE..key::REMOTE + 16].copy_from_slice(&info.src);
        out[key::LOCAL..key::LOCAL + 16].copy_from_slice(&info.dst);
        out[key::LABEL..key::LABEL + 4].copy_from_slice(&info.label.to_le_bytes());
    } else {
        // Host byte order, unlike IPv6.
        let host = |addr: &[u8; 16]| [addr[3], addr[2], addr[1], addr[0]];
        out[key::REMOTE..key::REMOTE + 4].copy_from_slice(&host(&info.src));
        out[key::LOCAL..key::LOCAL + 4].copy_from_slice(&host(&info.dst));
    }
    Ok(out)
}

fn set_key(call: &mut Call<'_, '_>) -> Ret {
    let [_, from, size, flags, _] = call.args;
    let given = call.mem(from, size)?.to_vec();
    let (skb, _) = call.skb();
    let known = BPF_F_TUNINFO_IPV6
        | BPF_F_ZERO_CSUM_TX
        | BPF_F_DONT_FRAGMENT
        | BPF_F_SEQ_NUMBER
        | BPF_F_NO_TUNNEL_KEY;
    let size = given.len();
    let sized = size == key::SIZE || key::COMPAT.contains(&size) || size == key::OLDEST;
    if flags & !known != 0 || !sized {
        return Err(Errno::EINVAL.into());
    }
    let mut bytes = [0; key::SIZE];
    bytes[..size].copy_from_slice(&given);
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let has = |flag| flags & flag != 0;
    let ipv6 = has(BPF_F_TUNINFO_IPV6);
    let label = word(key::LABEL);
    if !ipv6 && label != 0 || bytes[key::EXT..key::EXT + 2] != [0, 0] {
        return Err(Errno::EINVAL.into());
    }
    let addr = |at: usize| {
        let mut addr = [0; 16];
        if ipv6 {
            addr.copy_from_slice(&bytes[at..at + 16]);
        } else {
            addr[..4].copy_from_slice(&word(at).to_be_bytes());
        }
        addr
    };
    let mut bits = flag::NOCACHE;
    for (bit, on) in [
        (flag::DONT_FRAGMENT, has(BPF_F_DONT_FRAGMENT)),
        (flag::CSUM, !has(BPF_F_ZERO_CSUM_TX)),
        (flag::SEQ, has(BPF_F_SEQ_NUMBER)),
        (flag::KEY, !has(BPF_F_NO_TUNNEL_KEY)),
    ] {
        bits |= if on { bit } else { 0 };
    }
    skb.dst = Dst::Tunnel(Box::new(TunnelInfo {
        tx: true,
        ipv6,
        id: word(0).into(),
        src: addr(key::LOCAL),
        dst: addr(key::REMOTE),
        flags: bits,
        tos: bytes[key::TOS],
        ttl: bytes[key::TTL],
        label: if ipv6 { label & FLOWLABEL_MASK } else { 0 },
        options: Vec::new(),
    }));
    Ok(0)
}

fn get_opt(call: &mut Call<'_, '_>) -> Ret {
    let [_, to, size, ..] = call.args;
    let answer =
        match &call.skb().0.dst {
            Dst::Tunnel(info) if info.flags & flag::OPTIONS_PRESENT != 0 => {
                if info.options.len() as u64 > size { Err(Errno::ENOMEM) } else { Ok(info.options.clone()) }
            }
            _ => Err(Errno::ENOENT),
        };
    let out = call.mem_mut(to, size)?;
    out.fill(0);
    let options = answer?;
    out[..options.len()].copy_from_slice(&options);
    Ok(options.len() as u64)
}

fn set_opt(call: &mut Call<'_, '_>) -> Ret {
    let [_, from, size, ..] = call.args;
    let options = call.mem(from, size)?.to_vec();
    let (skb, _) = call.skb();
    // Only the metadata of this CPU's last `bpf_skb_set_tunnel_key` take options, which is what is to be sent.
    let Dst::Tunnel(info) = &mut skb.dst else { return Err(Errno::EINVAL.into()) };
    if !info.tx || !size.is_multiple_of(4) {
        return Err(Errno::EINVAL.into());
    }
    if size > OPTIONS_MAX {
        return Err(Errno::ENOMEM.into());
    }
    info.options = options;
    info.flags |= flag::OPTIONS_PRESENT;
    Ok(0)
}
