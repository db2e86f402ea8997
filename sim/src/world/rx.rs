//! Receiving: `net/core/dev.c: __netif_receive_skb_core`, v6.12.

use super::hook::Verdict;
use super::redirect::Next;
use super::{At, Halt, Seen, World};
use crate::bpf::Memory;
use crate::net::Kernel;
use crate::net::skb::{ETH_HLEN, HEADER_UNSET, SkBuff, VLAN_HLEN, VlanTag, eth_p, pkt_type};

impl World {
    /// A frame whose Ethernet header was taken off (`eth_type_trans`) goes through the hooks of its device and beyond.
    pub(super) fn receive(&mut self, kernel: &mut Kernel, mut skb: SkBuff, mut at: At) -> Result<(), Halt> {
        self.moves(at)?;
        skb.reset_network_header();
        if skb.transport_header == HEADER_UNSET {
            skb.reset_transport_header();
        }
        skb.reset_mac_len();
        loop {
            skb.skb_iif = at.ifindex;
            match self.generic_xdp(kernel, skb, at)? {
                Some(passed) => skb = passed,
                None => return Ok(()),
            }
            if is_vlan(skb.protocol) && !untag(&mut skb, &mut kernel.machine.mem) {
                self.dropped(at, "NOT_SPECIFIED");
                return Ok(());
            }
            self.tap(&kernel.machine.mem, &skb, at, true);
            let verdict;
            (skb, verdict) = self.tc(kernel, skb, at, true)?;
            match verdict {
                Verdict::Pass => break,
                Verdict::Drop => {
                    self.dropped(at, "TC_INGRESS");
                    return Ok(());
                }
                Verdict::Consumed => return Ok(()),
                Verdict::Redirect(redirect) => {
                    skb.push(&mut kernel.machine.mem, skb.mac_len.into());
                    match self.redirect(kernel, skb, at, &redirect, 0)? {
                        Next::Done => return Ok(()),
                        Next::Transmit(skb, to) => return self.transmit(kernel, skb, to, 1).map(drop),
                        Next::Again(peer, to) => {
                            (skb, at) = (peer, to);
                            skb.pull(skb.mac_len.into());
                        }
                    }
                }
            }
        }
        skb.redirected = false;
        if let Some(tag) = skb.vlan {
            if tag.tci & 0x0fff != 0 {
                // No VLAN device takes it.
                skb.pkt_type = pkt_type::OTHERHOST;
            } else if is_vlan(skb.protocol) {
                return Err(self.not_modelled(at, "a second VLAN tag behind one of VLAN 0"));
            }
            skb.vlan = None;
        }
        self.deliver(kernel, skb, at)
    }

    /// What a packet socket sees: from the MAC header on, a tag beside the packet in its place.
    pub(super) fn tap(&mut self, mem: &Memory, skb: &SkBuff, at: At, received: bool) {
        let offset =
            if received { skb.mac_header.map_or(0, |mac| mac as i32 - skb.linear.data() as i32) } else { 0 };
        let mut data = vec![0; (skb.len() as i32 - offset) as usize];
        assert!(skb.copy_bits(mem, offset, &mut data), "the MAC header is in front of the packet");
        if let Some(VlanTag { proto, tci }) = skb.vlan {
            let [p, q] = proto.to_be_bytes();
            let [t, u] = tci.to_be_bytes();
            data.splice(12..12, [p, q, t, u]);
        }
        self.walk.seen.push(Seen { at, received, data });
    }
}

fn is_vlan(protocol: u16) -> bool {
    matches!(protocol, eth_p::VLAN_8021Q | eth_p::VLAN_8021AD)
}

/// `net/core/skbuff.c: skb_vlan_untag`, v6.12: the tag goes beside the packet. `false`: the packet ends in it.
fn untag(skb: &mut SkBuff, mem: &mut Memory) -> bool {
    if skb.vlan.is_some() {
        return true;
    }
    if !skb.may_pull(mem, VLAN_HLEN + 2) {
        return false;
    }
    let bytes = skb.linear.bytes(mem);
    let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let (tci, inner) = (word(0), word(2));
    let raw = bytes[4..6] == [0xff, 0xff];
    skb.vlan = Some(VlanTag { proto: skb.protocol, tci });
    skb.protocol = eth_p::encapsulated(inner, raw);
    // `skb_reorder_vlan_header`: the addresses move next to the rest.
    skb.linear.move_data(-(ETH_HLEN as i32));
    let bytes = skb.linear.bytes_mut(mem);
    bytes.copy_within(..12, VLAN_HLEN as usize);
    skb.pull(ETH_HLEN + VLAN_HLEN);
    skb.mac_header = skb.mac_header.map(|mac| mac + VLAN_HLEN);
    skb.reset_network_header();
    skb.reset_transport_header();
    skb.reset_mac_len();
    true
}
