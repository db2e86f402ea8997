//! Segment routing headers: finding one, whether it is valid, inserting it, and where its packet goes next.

use std::net::{IpAddr, Ipv6Addr};

use crate::bpf::Memory;
use crate::net::env::Env;
use crate::net::network::RouteKind;
use crate::net::skb::{Dst, SkBuff};
use crate::uapi::Errno;

/// `sizeof(struct ipv6hdr)`.
pub const IPV6HDR: u32 = 40;
/// `sizeof(struct ipv6_sr_hdr)`.
pub const SRHDR: u32 = 8;
/// `NEXTHDR_ROUTING`.
pub const NEXTHDR_ROUTING: u8 = 43;
/// `NEXTHDR_FRAGMENT`.
const NEXTHDR_FRAGMENT: u8 = 44;
/// `NEXTHDR_AUTH`.
const NEXTHDR_AUTH: u8 = 51;
/// `NEXTHDR_NONE`.
const NEXTHDR_NONE: u8 = 59;
/// `IPV6_SRCRT_TYPE_4`: the routing type of segment routing.
const IPV6_SRCRT_TYPE_4: u8 = 4;
/// `SR6_FLAG1_HMAC`.
const SR6_FLAG1_HMAC: u8 = 1 << 3;
/// `SR6_TLV_HMAC`.
const SR6_TLV_HMAC: u8 = 5;

/// `struct seg6_bpf_srh_state`, `include/net/seg6_local.h`, v6.12.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SrhState {
    /// Where the header lies, from the first byte of the buffer; `None`: there is none.
    pub at: Option<u32>,
    /// Bytes behind its first eight.
    pub hdrlen: u32,
    /// Whether it is known to be valid.
    pub valid: bool,
}

/// `ipv6_ext_hdr`: `NEXTHDR_HOP`, `_ROUTING`, `_FRAGMENT`, `_AUTH`, `_NONE`, `_DEST`.
const fn is_extension(nexthdr: u8) -> bool {
    matches!(nexthdr, 0 | NEXTHDR_ROUTING | NEXTHDR_FRAGMENT | NEXTHDR_AUTH | NEXTHDR_NONE | 60)
}

/// `net/ipv6/exthdrs_core.c: ipv6_find_hdr`, v6.12, from the network header on: where the header `target` lies, from the
/// packet's first byte. `skip_used` passes over routing headers with no segment left (`IP6_FH_F_SKIP_RH`).
pub fn find_header(skb: &SkBuff, mem: &Memory, target: u8, skip_used: bool) -> Result<u32, Errno> {
    let network = skb.network_offset();
    let byte = |at: i32| {
        let mut byte = [0];
        skb.copy_bits(mem, at, &mut byte).then_some(byte[0])
    };
    let mut nexthdr = byte(network + 6).ok_or(Errno::EBADMSG)?;
    let mut start = network + IPV6HDR as i32;
    loop {
        let mut found = nexthdr == target;
        if !is_extension(nexthdr) || nexthdr == NEXTHDR_NONE {
            return if found { Ok(start as u32) } else { Err(Errno::ENOENT) };
        }
        let (Some(next), Some(len)) = (byte(start), byte(start + 1)) else { return Err(Errno::EBADMSG) };
        if nexthdr == NEXTHDR_ROUTING {
            let left = byte(start + 3).ok_or(Errno::EBADMSG)?;
            found &= !(skip_used && left == 0);
        }
        let mut hdrlen = (i32::from(len) + 1) << 3;
        if nexthdr == NEXTHDR_FRAGMENT {
            let (Some(high), Some(low)) = (byte(start + 2), byte(start + 3)) else {
                return Err(Errno::EBADMSG);
            };
            if u16::from_be_bytes([high, low]) & !7 != 0 {
                return if found { Ok(start as u32) } else { Err(Errno::ENOENT) };
            }
            hdrlen = 8;
        } else if nexthdr == NEXTHDR_AUTH {
            hdrlen = (i32::from(len) + 2) << 2;
        }
        if found {
            return Ok(start as u32);
        }
        if (skb.len() as i32 - start) < hdrlen {
            return Err(Errno::EBADMSG);
        }
        nexthdr = next;
        start += hdrlen;
    }
}

/// `net/ipv6/seg6.c: seg6_validate_srh`, v6.12. `reduced` lets `segments_left` be one more than the segments there are.
pub fn is_valid(srh: &[u8], reduced: bool) -> bool {
    if srh.len() < SRHDR as usize
        || srh[2] != IPV6_SRCRT_TYPE_4
        || (usize::from(srh[1]) + 1) << 3 != srh.len()
    {
        return false;
    }
    let (left, first) = (i32::from(srh[3]), i32::from(srh[4]));
    if !reduced && left > first || first > i32::from(srh[1]) / 2 - 1 || left > first + 1 {
        return false;
    }
    let Some(mut tlvs) = srh.get(SRHDR as usize + ((first as usize + 1) << 4)..) else { return false };
    while !tlvs.is_empty() {
        let Some(&len) = tlvs.get(1) else { return false };
        let Some(rest) = tlvs.get(2 + usize::from(len)..) else { return false };
        tlvs = rest;
    }
    true
}

/// `net/ipv6/seg6_iptunnel.c: __seg6_do_srh_inline`, v6.12: puts `srh` behind the IPv6 header, which goes to its last
/// segment from now on. No key is there to sign it with.
pub fn insert(skb: &mut SkBuff, mem: &mut Memory, srh: &[u8]) -> Result<(), Errno> {
    let len = srh.len() as u32;
    skb.cow(mem, len + u32::from(skb.mac_len));
    let mut ip = mem.raw(skb.linear.data_addr(), IPV6HDR as usize).to_vec();
    let old = skb.linear.bytes(mem)[..IPV6HDR as usize].to_vec();
    skb.pull(IPV6HDR);
    skb.postpull_rcsum(&old);
    skb.push(mem, IPV6HDR + len);
    skb.reset_network_header();
    rebuild_mac_header(skb, mem);
    let mut inserted = srh.to_vec();
    inserted[0] = std::mem::replace(&mut ip[6], NEXTHDR_ROUTING);
    inserted[8..24].copy_from_slice(&ip[24..40]);
    let last = SRHDR as usize + (usize::from(srh[4]) << 4);
    ip[24..40].copy_from_slice(&inserted[last..last + 16]);
    let unsigned = missing_key(&inserted);
    if unsigned.is_none() {
        ip[4..6].copy_from_slice(&((skb.len() - IPV6HDR) as u16).to_be_bytes());
    }
    let bytes = skb.linear.bytes_mut(mem);
    bytes[..IPV6HDR as usize].copy_from_slice(&ip);
    bytes[IPV6HDR as usize..][..srh.len()].copy_from_slice(&inserted);
    if let Some(errno) = unsigned {
        return Err(errno);
    }
    skb.postpush_rcsum(mem, 0, IPV6HDR + len, 0);
    Ok(())
}

/// `net/ipv6/seg6_local.c: get_and_validate_srh, advance_nextseg`, v6.12: a packet that came to the end of a segment goes
/// on to the next one; `None`: it is dropped, for want of a valid header with a segment left.
pub fn advance(skb: &mut SkBuff, mem: &mut Memory) -> Option<()> {
    let at = find_header(skb, mem, NEXTHDR_ROUTING, true).ok()? as usize;
    let bytes = skb.linear.bytes_mut(mem);
    let len = (usize::from(*bytes.get(at + 1)?) + 1) << 3;
    let srh = bytes.get(at..at + len).filter(|srh| is_valid(srh, true))?;
    if missing_key(srh) == Some(Errno::ENOENT) {
        return None;
    }
    bytes[at + 3] -= 1;
    let next = at + SRHDR as usize + (usize::from(bytes[at + 3]) << 4);
    // A reduced header's segment behind the last lies in what follows it.
    let next = bytes.get(next..next + 16)?.to_vec();
    bytes[24..40].copy_from_slice(&next);
    let hdrlen = len as u32 - SRHDR;
    skb.srh = Some(SrhState { at: Some(skb.linear.data() + at as u32), hdrlen, valid: true });
    Some(())
}

/// `net/ipv6/seg6_hmac.c: seg6_push_hmac`, v6.12, of a kernel that was given no key.
fn missing_key(srh: &[u8]) -> Option<Errno> {
    if srh[5] & SR6_FLAG1_HMAC == 0 {
        return None;
    }
    let room = usize::from(srh[1]) >= (usize::from(srh[4]) + 1) * 2 + 5;
    let tlv = room.then(|| &srh[srh.len() - 40..]);
    let signed = tlv.is_some_and(|tlv| tlv[0] == SR6_TLV_HMAC && tlv[1] == 38);
    Some(if signed { Errno::ENOENT } else { Errno::EINVAL })
}

/// `skb_mac_header_rebuild`: the MAC header moves to before the first byte.
fn rebuild_mac_header(skb: &mut SkBuff, mem: &mut Memory) {
    let Some(old) = skb.mac_header else { return };
    let (data, len) = (skb.linear.data(), u32::from(skb.mac_len));
    let addr = |at: u32| skb.linear.data_addr() - u64::from(data) + u64::from(at);
    let bytes = mem.raw(addr(old), len as usize).to_vec();
    mem.raw_mut(addr(data - len), len as usize).copy_from_slice(&bytes);
    skb.mac_header = Some(data - len);
}

/// Where a packet goes next, or why that is not known.
pub enum NextHop {
    /// A route out of a device.
    Found,
    /// A route of no use, with its error; so is every route to this host.
    Useless(Errno),
    /// Addresses that are only for one link, whose routes are not modelled.
    OfOneLink,
}

/// `net/ipv6/seg6_local.c: seg6_lookup_nexthop`, v6.12: the route to `to`, else to the packet's destination, in `table` or
/// by the rules if that is 0; the packet has it from now on.
pub fn next_hop(skb: &mut SkBuff, mem: &Memory, env: &Env, to: Option<Ipv6Addr>, table: u32) -> NextHop {
    let mut dst = [0; 16];
    let offset = skb.network_offset() + 24;
    assert!(skb.copy_bits(mem, offset, &mut dst), "there is an IPv6 header");
    let to = to.unwrap_or(Ipv6Addr::from(dst));
    if to.is_multicast() || to.is_loopback() || to.segments()[0] & 0xffc0 == 0xfe80 {
        return NextHop::OfOneLink;
    }
    skb.dst = Dst::Null;
    let of_table = |table| matches!(table, 254 | 255);
    if table != 0 && !of_table(table) {
        return NextHop::Useless(Errno::EINVAL);
    }
    let entry = env.fib.lookup(IpAddr::V6(to), (table != 0).then_some(table), None);
    match entry.map(|entry| entry.route.kind) {
        Some(RouteKind::Unicast) => NextHop::Found,
        Some(RouteKind::Unreachable) => NextHop::Useless(Errno::EHOSTUNREACH),
        Some(RouteKind::Prohibit) => NextHop::Useless(Errno::EACCES),
        Some(_) => NextHop::Useless(Errno::EINVAL),
        None => NextHop::Useless(Errno::ENETUNREACH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_valid_as_the_kernel_says() {
        let mut srh = vec![59, 4, 4, 1, 1, 0, 0, 0];
        srh.resize(40, 0);
        assert!(is_valid(&srh, false));
        srh[3] = 2;
        assert!(!is_valid(&srh, false) && is_valid(&srh, true));
        srh[3] = 3;
        assert!(!is_valid(&srh, true));
        (srh[3], srh[4]) = (0, 2);
        assert!(!is_valid(&srh, true));
        // With a TLV of 8 bytes, and with one that is cut off.
        srh[4] = 1;
        srh[1] = 5;
        srh.extend([4, 6, 0, 0, 0, 0, 0, 0]);
        assert!(is_valid(&srh, false));
        srh[41] = 7;
        assert!(!is_valid(&srh, false));
        assert!(!is_valid(&srh[..8], false));
    }
}
