//! Growing and shrinking an skb: protocol, head, tail.

use super::{Arg, Call, Helper, Ret, TC};
use crate::bpf::Memory;
use crate::net::skb::{Dst, HEADER_UNSET, IpSummed, SKB_MAX_ALLOC, SkBuff, eth_p, gso_type};
use crate::uapi::ProgType::{LwtXmit, SkSkb};
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes, Release};

const SIZERS: ProgTypes = TC.or(ProgTypes::of(&[LwtXmit, SkSkb]));

/// The family's rows. `bpf_skb_adjust_room` has its own file.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::skb_change_proto, TC, &[Arg::Ctx, Arg::Any, Arg::Any], change_proto,
        "net/core/filter.c: bpf_skb_change_proto").moving(),
    Helper::new(id::skb_change_tail, SIZERS, &[Arg::Ctx, Arg::Any, Arg::Any], change_tail,
        "net/core/filter.c: bpf_skb_change_tail").moving(),
    Helper::new(id::skb_change_head, SIZERS, &[Arg::Ctx, Arg::Any, Arg::Any], change_head,
        "net/core/filter.c: bpf_skb_change_head").moving(),
];

/// `sizeof(struct iphdr)`.
pub(super) const IPHDR: u32 = 20;
/// `sizeof(struct ipv6hdr)`.
pub(super) const IPV6HDR: u32 = 40;

fn change_proto(call: &mut Call<'_, '_>) -> Ret {
    let to = u16::from_be(call.args[1] as u16);
    let flags = call.args[2];
    let (skb, mem) = call.skb();
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (at, grow) = (skb.mac_header_len(), IPV6HDR - IPHDR);
    let (old_type, new_type) = match (skb.protocol, to) {
        (eth_p::IP, eth_p::IPV6) => {
            skb.net_hdr_push(mem, at, grow);
            (gso_type::TCPV4, gso_type::TCPV6)
        }
        (eth_p::IPV6, eth_p::IP) => {
            skb.net_hdr_pop(mem, at, grow)?;
            (gso_type::TCPV6, gso_type::TCPV4)
        }
        _ => return Err(Errno::ENOTSUPP.into()),
    };
    if skb.is_gso() {
        if skb.gso_type & old_type != 0 {
            skb.gso_type = skb.gso_type & !old_type | new_type;
        }
        skb.gso_type |= gso_type::DODGY;
    }
    skb.change_protocol(to);
    skb.clear_hash();
    Ok(0)
}

fn change_tail(call: &mut Call<'_, '_>) -> Ret {
    let (new_len, flags) = (call.args[1] as u32, call.args[2]);
    let release = call.machine.release;
    let (skb, mem) = call.skb();
    if flags != 0 || new_len > SKB_MAX_ALLOC || new_len < min_len(skb, release) {
        return Err(Errno::EINVAL.into());
    }
    if skb.encapsulation {
        return Err(Errno::ENOTSUPP.into());
    }
    let old_len = skb.len();
    assert!(skb.may_pull(mem, old_len), "a packet has as many bytes as it has");
    if new_len > old_len {
        // `bpf_skb_grow_rcsum`.
        if skb.ip_summed == IpSummed::Complete {
            skb.ip_summed = IpSummed::None;
        }
        let missing = (new_len - old_len).saturating_sub(skb.linear.tailroom());
        if missing > 0 {
            skb.expand_head(mem, 0, missing);
        }
        skb.linear.set_len(new_len);
        skb.linear.bytes_mut(mem)[old_len as usize..].fill(0);
    } else if new_len < old_len {
        // `bpf_skb_trim_rcsum`.
        match skb.ip_summed {
            IpSummed::Complete => skb.ip_summed = IpSummed::None,
            IpSummed::Partial if (new_len as i32) < csum_field_end(skb) => skb.ip_summed = IpSummed::None,
            _ => {}
        }
        skb.linear.set_len(new_len);
    }
    if skb.is_gso() {
        skb.gso_reset();
    }
    Ok(0)
}

/// Where the checksum field of a partial checksum ends, from the first byte.
fn csum_field_end(skb: &SkBuff) -> i32 {
    skb.csum_start as i32 - skb.linear.data() as i32 + i32::from(skb.csum_offset) + 2
}

/// `net/core/filter.c: __bpf_skb_min_len`, v6.12.
fn min_len(skb: &SkBuff, release: Release) -> u32 {
    let mut min = skb.network_offset().max(0);
    if skb.transport_header != HEADER_UNSET && skb.transport_offset() > 0 {
        min = skb.transport_offset();
    }
    if skb.ip_summed == IpSummed::Partial && release.change_tail_keeps_csum_field() {
        min = csum_field_end(skb).max(min);
    }
    min as u32
}

fn change_head(call: &mut Call<'_, '_>) -> Ret {
    let (room, flags) = (call.args[1] as u32, call.args[2]);
    let (skb, mem) = call.skb();
    let too_long = |len: u32| !skb.is_gso() && len > SKB_MAX_ALLOC;
    if flags != 0 || skb.len().checked_add(room).is_none_or(too_long) {
        return Err(Errno::EINVAL.into());
    }
    skb.push(mem, room);
    skb.linear.bytes_mut(mem)[..room as usize].fill(0);
    skb.reset_mac_header();
    skb.reset_mac_len();
    Ok(0)
}

impl SkBuff {
    /// `skb_mac_header_len`: from the MAC header to the network header.
    pub(super) fn mac_header_len(&self) -> u32 {
        self.network_header.wrapping_sub(self.mac_header.unwrap_or(0xffff))
    }

    /// `net/core/filter.c: bpf_skb_change_protocol`, v6.12: a route that holds no longer goes.
    pub(super) fn change_protocol(&mut self, proto: u16) {
        self.protocol = proto;
        // `skb_valid_dst`: metadata are no route.
        if self.dst == Dst::Null {
            self.dst = Dst::None;
        }
    }

    /// `bpf_skb_net_hdr_push`: `len` zeroed bytes at `at`; what was before them moves, MAC and network header along.
    pub(super) fn net_hdr_push(&mut self, mem: &mut Memory, at: u32, len: u32) {
        let transport_same = u32::from(self.transport_header) == self.network_header;
        self.push(mem, len);
        // A packet cut off inside its header has `at` behind its end: what lies there moves all the same.
        let bytes = mem.raw_mut(self.linear.data_addr(), (at + len) as usize);
        bytes.copy_within(len as usize.., 0);
        bytes[at as usize..].fill(0);
        self.mac_header = self.mac_header.map(|h| h - len);
        self.network_header -= len;
        if transport_same {
            self.transport_header = self.network_header as u16;
        }
    }

    /// `bpf_skb_net_hdr_pop`: takes `len` bytes out at `at`; what was before them moves, MAC and network header along.
    pub(super) fn net_hdr_pop(&mut self, mem: &mut Memory, at: u32, len: u32) -> Result<(), Errno> {
        let transport_same = u32::from(self.transport_header) == self.network_header;
        if !self.may_pull(mem, at + len) {
            return Err(Errno::ENOMEM);
        }
        let bytes = self.linear.bytes_mut(mem);
        let gone = bytes[at as usize..(at + len) as usize].to_vec();
        bytes.copy_within(..at as usize, len as usize);
        self.pull(len);
        self.postpull_rcsum(&gone);
        self.mac_header = self.mac_header.map(|h| h + len);
        self.network_header += len;
        if transport_same {
            self.transport_header = self.network_header as u16;
        }
        Ok(())
    }
}
