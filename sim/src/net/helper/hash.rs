//! The flow hash.
//!
//! The kernel keys it anew at every boot, so its value has no ground truth. What holds is modelled: the same flow gives
//! the same hash in both directions, never 0, and it is computed once.

use super::{Arg, Call, Helper, LWT, Ret, TC};
use crate::bpf::Memory;
use crate::net::skb::{SkBuff, eth_p};
use crate::uapi::ProgType::LwtXmit;
use crate::uapi::ProgTypes;
use crate::uapi::helper::id;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::get_hash_recalc, TC.or(LWT), &[Arg::Ctx], recalc, "net/core/filter.c: bpf_get_hash_recalc"),
    Helper::new(id::set_hash_invalid, TC.or(ProgTypes::of(&[LwtXmit])), &[Arg::Ctx], invalidate,
        "net/core/filter.c: bpf_set_hash_invalid"),
    Helper::new(id::set_hash, TC, &[Arg::Ctx, Arg::Any], set, "net/core/filter.c: bpf_set_hash"),
];

fn recalc(call: &mut Call<'_, '_>) -> Ret {
    let (skb, mem) = call.skb();
    if !skb.l4_hash && !skb.sw_hash {
        (skb.hash, skb.l4_hash) = flow_hash(skb, mem);
        skb.sw_hash = true;
    }
    Ok(skb.hash.into())
}

fn invalidate(call: &mut Call<'_, '_>) -> Ret {
    call.skb().0.clear_hash();
    Ok(0)
}

fn set(call: &mut Call<'_, '_>) -> Ret {
    let hash = call.args[1] as u32;
    let (skb, _) = call.skb();
    (skb.hash, skb.l4_hash, skb.sw_hash) = (hash, true, true);
    Ok(0)
}

/// A hash of addresses, protocol and ports, and whether it has ports.
fn flow_hash(skb: &SkBuff, mem: &Memory) -> (u32, bool) {
    const FRAGMENT: u16 = 0x3fff;
    let at = skb.network_offset();
    let mut header = [0; 40];
    let (addr_len, addrs, l4, proto) = match skb.protocol {
        eth_p::IP if skb.copy_bits(mem, at, &mut header[..20]) => {
            let len = i32::from(header[0] & 0xf) * 4;
            let fragment = u16::from_be_bytes([header[6], header[7]]) & FRAGMENT != 0;
            (4, 12, (!fragment).then_some(at + len), header[9])
        }
        eth_p::IPV6 if skb.copy_bits(mem, at, &mut header) => (16, 8, Some(at + 40), header[6]),
        _ => (0, 0, None, 0),
    };
    let mut ports = [0; 4];
    let has_ports = matches!(proto, 6 | 17 | 132) && l4.is_some_and(|l4| skb.copy_bits(mem, l4, &mut ports));
    if !has_ports {
        ports = [0; 4];
    }
    let end = |from: usize, port: &[u8]| [&header[from..from + addr_len], port].concat();
    let (a, b) = (end(addrs, &ports[..2]), end(addrs + addr_len, &ports[2..]));
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    // FNV-1a, 32 bits.
    let bytes = skb.protocol.to_be_bytes().into_iter().chain([proto]).chain(low).chain(high);
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash.max(1), has_ports)
}
