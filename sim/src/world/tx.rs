//! Transmitting: `net/core/dev.c: __dev_queue_xmit`, `drivers/net/veth.c: veth_xmit`, v6.12.

use super::hook::Verdict;
use super::redirect::Next;
use super::xdp::Ringed;
use super::{At, Halt, Hook, World};
use crate::net::Kernel;
use crate::net::eth_type_trans;
use crate::net::redirect::Parked;
use crate::net::skb::{ETH_HLEN, SkBuff, VLAN_HLEN};
use crate::uapi::Errno;

/// `LL_RESERVED_SPACE` without the Ethernet header: the headroom of what a packet socket sends.
pub(super) const SENT_HEADROOM: u32 = 2;
/// What `dev_queue_xmit` answers: `include/linux/netdevice.h`.
pub(super) const NET_XMIT_SUCCESS: i32 = 0;
/// Dropped.
pub(super) const NET_XMIT_DROP: i32 = 1;
/// Dropped for congestion, which is no failure.
pub(super) const NET_XMIT_CN: i32 = 2;
/// `XMIT_RECURSION_LIMIT`.
pub(super) const XMIT_RECURSION_LIMIT: u32 = 8;

/// `skb_probe_transport_header`: from the first byte to the transport header of an IP packet.
pub(super) fn transport_offset(frame: &[u8]) -> Option<u32> {
    let dissected = crate::wire::dissect::dissect(frame);
    let mut layers =
        dissected.layers.iter().skip_while(|layer| !matches!(layer.label().as_str(), "IP" | "IPv6"));
    layers.next()?;
    layers.next().map(|layer| layer.header.start as u32)
}

impl World {
    /// A frame leaves a device, `depth` transmissions deep. Returns what `dev_queue_xmit` does: `NET_XMIT_*`, or a negative
    /// errno.
    pub(super) fn transmit(
        &mut self,
        kernel: &mut Kernel,
        skb: SkBuff,
        at: At,
        depth: u32,
    ) -> Result<i32, Halt> {
        let (mut skb, mut at, mut depth) = (skb, at, depth);
        // Whoever sends is not told what becomes of a frame that was redirected.
        let mut redirected = false;
        let result = loop {
            skb.dev = at.ifindex;
            skb.reset_mac_header();
            skb.wire_len = skb.len();
            skb.at_ingress = false;
            let verdict;
            (skb, verdict) = self.tc(kernel, skb, at, false)?;
            match verdict {
                Verdict::Pass => break self.xmit(kernel, skb, at, depth),
                Verdict::Drop => {
                    self.dropped(at, "TC_EGRESS");
                    break NET_XMIT_DROP;
                }
                Verdict::Consumed => break NET_XMIT_SUCCESS,
                Verdict::Redirect(redirect) => {
                    redirected = true;
                    match self.redirect(kernel, skb, at, &redirect, depth)? {
                        Next::Done => break NET_XMIT_SUCCESS,
                        Next::Again(..) => unreachable!("a peer is for packets that come in"),
                        Next::Transmit(next, to) => (skb, at, depth) = (next, to, depth + 1),
                    }
                }
            }
        };
        Ok(if redirected { NET_XMIT_SUCCESS } else { result })
    }

    /// What comes behind the egress hooks: the queueing discipline, of which there is none, taps, the driver.
    fn xmit(&mut self, kernel: &mut Kernel, mut skb: SkBuff, at: At, depth: u32) -> i32 {
        skb.queue_mapping = 0;
        let device = self.spaces[at.space].device(at.ifindex);
        if !device.up || !device.carrier {
            // The no-op queueing discipline.
            self.dropped(at, "QDISC_DROP");
            return NET_XMIT_CN;
        }
        if depth > XMIT_RECURSION_LIMIT {
            self.dropped(at, "NOT_SPECIFIED");
            return -Errno::ENETDOWN.raw();
        }
        self.tap(&kernel.machine.mem, &skb, at, false);
        self.start_xmit(kernel, skb, at)
    }

    /// `ndo_start_xmit`.
    pub(super) fn start_xmit(&mut self, kernel: &mut Kernel, skb: SkBuff, at: At) -> i32 {
        match self.spaces[at.space].port(at.ifindex).peer {
            // A dummy swallows it.
            None => NET_XMIT_SUCCESS,
            Some(peer) => self.forward_to(kernel, skb, at, peer, true),
        }
    }

    /// `dev_forward_skb`: the frame is received by another device. `check_mtu` is `dev_forward_skb_nomtu`'s difference.
    pub(super) fn forward_to(
        &mut self,
        kernel: &mut Kernel,
        mut skb: SkBuff,
        from: At,
        to: At,
        check_mtu: bool,
    ) -> i32 {
        let device = self.spaces[to.space].device(to.ifindex);
        let longest = device.mtu + ETH_HLEN + VLAN_HLEN;
        if !device.up || check_mtu && skb.len() > longest && !skb.is_gso() {
            // `____dev_forward_skb` gives up before the frame is the other device's.
            self.dropped(from, "NOT_SPECIFIED");
            return NET_XMIT_DROP;
        }
        skb.scrub(from.space != to.space);
        skb.priority = 0;
        eth_type_trans(&mut skb, &kernel.machine.mem, device);
        // A pair's other end with XDP has a ring; `dev_forward_skb` of a redirect goes to the backlog.
        if check_mtu && !self.spaces[to.space].port(to.ifindex).at(Hook::Xdp).is_empty() {
            let packet = Parked::park(skb, &kernel.machine.mem);
            self.queue.ring(to, Ringed { packet, bare: false });
        } else {
            self.queue.backlog(&kernel.machine.mem, skb, to);
        }
        NET_XMIT_SUCCESS
    }
}
