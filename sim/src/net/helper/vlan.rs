//! VLAN tags: the one beside the packet and those in it.

use super::{Arg, Call, Helper, Ret, TC};
use crate::bpf::Memory;
use crate::net::skb::{ETH_HLEN, SkBuff, VLAN_HLEN, VlanTag, eth_p};
use crate::uapi::Errno;
use crate::uapi::helper::id;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::skb_vlan_push, TC, &[Arg::Ctx, Arg::Any, Arg::Any], push,
        "net/core/filter.c: bpf_skb_vlan_push").moving(),
    Helper::new(id::skb_vlan_pop, TC, &[Arg::Ctx], pop, "net/core/filter.c: bpf_skb_vlan_pop").moving(),
];

/// Both MAC addresses.
const MACS: usize = 12;

/// `eth_type_vlan`.
fn is_vlan(proto: u16) -> bool {
    matches!(proto, eth_p::VLAN_8021Q | eth_p::VLAN_8021AD)
}

fn push(call: &mut Call<'_, '_>) -> Ret {
    let proto = u16::from_be(call.args[1] as u16);
    let proto = if is_vlan(proto) { proto } else { eth_p::VLAN_8021Q };
    let tci = call.args[2] as u16;
    let (skb, mem) = call.skb();
    let done = skb_vlan_push(skb, mem, VlanTag { proto, tci });
    skb.reset_mac_len();
    done?;
    Ok(0)
}

fn pop(call: &mut Call<'_, '_>) -> Ret {
    let (skb, mem) = call.skb();
    skb_vlan_pop(skb, mem)?;
    Ok(0)
}

/// Helpers for tags need the data to begin at the MAC header.
fn at_mac_header(skb: &SkBuff) -> Result<(), Errno> {
    if skb.mac_header == Some(skb.linear.data()) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// `net/core/skbuff.c: skb_vlan_push`, v6.12: a tag that is already there goes into the packet.
fn skb_vlan_push(skb: &mut SkBuff, mem: &mut Memory, tag: VlanTag) -> Result<(), Errno> {
    if let Some(old) = skb.vlan {
        at_mac_header(skb)?;
        // `__vlan_insert_tag`.
        if !skb.may_pull(mem, ETH_HLEN) {
            return Err(Errno::EINVAL);
        }
        skb.push(mem, VLAN_HLEN);
        skb.mac_header = skb.mac_header.map(|h| h - VLAN_HLEN);
        let bytes = skb.linear.bytes_mut(mem);
        bytes.copy_within(4..4 + MACS, 0);
        bytes[MACS..MACS + 2].copy_from_slice(&old.proto.to_be_bytes());
        bytes[MACS + 2..MACS + 4].copy_from_slice(&old.tci.to_be_bytes());
        skb.protocol = old.proto;
        skb.network_header -= VLAN_HLEN;
        skb.postpush_rcsum(mem, MACS as u32, VLAN_HLEN, 0);
    }
    skb.vlan = Some(tag);
    Ok(())
}

/// `net/core/skbuff.c: skb_vlan_pop`, v6.12: the next tag of the packet takes the place of the one gone.
fn skb_vlan_pop(skb: &mut SkBuff, mem: &mut Memory) -> Result<(), Errno> {
    if skb.vlan.take().is_none() {
        if !is_vlan(skb.protocol) {
            return Ok(());
        }
        remove_tag(skb, mem)?;
    }
    if !is_vlan(skb.protocol) {
        return Ok(());
    }
    let proto = skb.protocol;
    let tci = remove_tag(skb, mem)?;
    skb.vlan = Some(VlanTag { proto, tci });
    Ok(())
}

/// `net/core/skbuff.c: __skb_vlan_pop`, v6.12: takes the outermost tag out of the packet.
fn remove_tag(skb: &mut SkBuff, mem: &mut Memory) -> Result<u16, Errno> {
    at_mac_header(skb)?;
    if !skb.ensure_writable(mem, ETH_HLEN + VLAN_HLEN) {
        return Err(Errno::ENOMEM);
    }
    let tag = skb.linear.bytes(mem)[MACS..MACS + 4].to_vec();
    // Looked at even where the packet ends before it.
    let raw = mem.raw(skb.linear.data_addr() + MACS as u64 + 6, 2) == [0xff, 0xff];
    skb.postpull_rcsum(&tag);
    // `vlan_remove_tag`, then `vlan_set_encap_proto` of what follows the tag.
    let bytes = skb.linear.bytes_mut(mem);
    let inner = u16::from_be_bytes([bytes[MACS + 4], bytes[MACS + 5]]);
    bytes.copy_within(..MACS, 4);
    skb.protocol = eth_p::encapsulated(inner, raw);
    skb.pull(VLAN_HLEN);
    skb.mac_header = skb.mac_header.map(|h| h + VLAN_HLEN);
    if skb.network_offset() < ETH_HLEN as i32 {
        skb.network_header = skb.linear.data() + ETH_HLEN;
    }
    skb.reset_mac_len();
    Ok(u16::from_be_bytes([tag[2], tag[3]]))
}
