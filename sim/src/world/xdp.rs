//! XDP at a device: in the stack (`net/core/dev.c: bpf_prog_run_generic_xdp`) and in the driver of veth
//! (`drivers/net/veth.c: veth_xdp_rcv_skb, veth_xdp_rcv_one, veth_xdp_xmit`), v6.12.

use super::{At, Halt, Hook, World};
use crate::bpf::machine::ProgId;
use crate::bpf::map::MapId;
use crate::net::network::LOOPBACK;
use crate::net::redirect::{Parked, Redirect};
use crate::net::skb::{ETH_HLEN, SkBuff, VLAN_HLEN, pkt_type};
use crate::net::xdp::{XDP_PACKET_HEADROOM, XdpBuff};
use crate::net::{Kernel, Packet, eth_type_trans, run_program};
use crate::uapi::MapType;
use crate::uapi::action::xdp;

/// `BPF_F_BROADCAST`.
const BPF_F_BROADCAST: u64 = 1 << 3;
/// `BPF_F_EXCLUDE_INGRESS`.
const BPF_F_EXCLUDE_INGRESS: u64 = 1 << 4;
/// `gro_normal_batch`: so many packets go up together.
const BATCH: usize = 8;

/// What waits in the ring of a device.
#[derive(Debug)]
pub(super) struct Ringed {
    pub packet: Parked,
    /// An `xdp_frame`, of which nothing is known but its bytes; else an skb whose Ethernet header was taken off.
    pub bare: bool,
}

impl World {
    /// `do_xdp_generic`: the frame if it passes.
    pub(super) fn generic_xdp(
        &mut self,
        kernel: &mut Kernel,
        mut skb: SkBuff,
        at: At,
    ) -> Result<Option<SkBuff>, Halt> {
        let Some(&prog) = self.spaces[at.space].port(at.ifindex).at(Hook::XdpGeneric).first() else {
            return Ok(Some(skb));
        };
        if skb.redirected && kernel.machine.release.generic_xdp_skips_redirected() {
            return Ok(Some(skb));
        }
        skb.cow(&mut kernel.machine.mem, XDP_PACKET_HEADROOM);
        let mac_len = skb.linear.data() - skb.mac_header.expect("a frame that was received has a MAC header");
        skb.linear.move_data(-(mac_len as i32));
        let before = skb.linear.data();
        let own = self.spaces[at.space].device(at.ifindex).mac;
        // What `eth_type_trans` would say.
        let kind = |bytes: &[u8]| ([bytes[12], bytes[13]], bytes[..6] == own, bytes[0] & 1);
        let was = kind(skb.linear.bytes(&kernel.machine.mem));
        let action = self.run_xdp(kernel, &mut skb, at, prog)?;
        let changed = kind(skb.linear.bytes(&kernel.machine.mem)) != was;
        let moved = skb.linear.data() as i32 - before as i32;
        skb.mac_header = skb.mac_header.map(|mac| mac.wrapping_add_signed(moved));
        skb.pull(mac_len);
        if moved != 0 {
            skb.reset_network_header();
        }
        if changed {
            skb.push(&mut kernel.machine.mem, ETH_HLEN);
            skb.pkt_type = pkt_type::HOST;
            let device = self.spaces[at.space].device(at.ifindex);
            eth_type_trans(&mut skb, &kernel.machine.mem, device);
        }
        if action == xdp::PASS {
            return Ok(Some(skb));
        }
        if matches!(action, xdp::TX | xdp::REDIRECT) {
            skb.push(&mut kernel.machine.mem, mac_len);
        }
        match action {
            xdp::TX => {
                self.start_xmit(kernel, skb, at);
            }
            xdp::REDIRECT => {
                let targets = self.targets(kernel, at, false, skb.len())?;
                if targets.is_empty() {
                    self.dropped(at, "XDP");
                }
                // `generic_xdp_tx`: past the egress hooks and taps.
                let original = Parked::park(skb, &kernel.machine.mem);
                self.each(kernel, original, &targets, |world, kernel, mut skb, to| {
                    skb.dev = to.ifindex;
                    world.start_xmit(kernel, skb, to);
                });
            }
            _ => self.dropped(at, "XDP"),
        }
        Ok(None)
    }

    /// Runs the program over a frame that begins with its MAC header; the frame's bounds are those the program left.
    fn run_xdp(&mut self, kernel: &mut Kernel, skb: &mut SkBuff, at: At, prog: ProgId) -> Result<u32, Halt> {
        self.moves(at)?;
        let mut linear = skb.linear.clone();
        linear.set_meta_len(0);
        let xdp = XdpBuff {
            linear,
            frags: Vec::new(),
            ingress_ifindex: at.ifindex,
            rx_queue_index: 0,
            frag_size: 0,
            has_frags: false,
            windows: Vec::new(),
        };
        let env = &mut self.spaces[at.space].env;
        env.redirect = Redirect::Nowhere;
        let packet = Packet::Xdp(Box::new(xdp));
        let (action, packet) = run_program(&mut kernel.machine, env, kernel.fuel, (prog, 1), packet)?;
        let Packet::Xdp(xdp) = packet else { unreachable!("a packet stays what it is") };
        skb.linear = xdp.linear;
        Ok(action)
    }

    /// The devices that the last redirect names and that take a frame so long, in order. In the driver the other end has
    /// to have a ring (`NETDEV_XDP_ACT_NDO_XMIT`).
    fn targets(&mut self, kernel: &mut Kernel, at: At, native: bool, len: u32) -> Result<Vec<At>, Halt> {
        let redirect = std::mem::take(&mut self.spaces[at.space].env.redirect);
        let named = match redirect {
            Redirect::Device { ifindex, .. } => vec![At { space: at.space, ifindex }],
            Redirect::Map { map, index, flags } => {
                let kind = kernel.machine.maps.spec(map).map_type;
                if !matches!(kind, MapType::Devmap | MapType::DevmapHash) {
                    return Err(self.not_modelled(at, &format!("a redirect through {kind}")));
                }
                // The devices of a map are those of the namespace it was written in, the first one.
                let mut all = devices(kernel, map, (flags & BPF_F_BROADCAST == 0).then_some(index));
                if flags & BPF_F_EXCLUDE_INGRESS != 0 {
                    all.retain(|&ifindex| ifindex != at.ifindex);
                }
                all.into_iter().map(|ifindex| At { space: 0, ifindex }).collect()
            }
            _ => Vec::new(),
        };
        let mut targets = Vec::new();
        for to in named {
            if to.ifindex == LOOPBACK {
                return Err(self.not_modelled(at, "a redirect to the loopback"));
            }
            let space = &self.spaces[to.space];
            if !space.has_port(to.ifindex) {
                continue;
            }
            // `xdp_ok_fwd_dev`.
            let device = space.device(to.ifindex);
            let fits = device.up && len <= device.mtu + ETH_HLEN + VLAN_HLEN;
            if fits && (!native || self.has_ring_behind(to)) {
                targets.push(to);
            }
        }
        Ok(targets)
    }

    /// Whether what a device transmits by `ndo_xdp_xmit` comes into a ring.
    fn has_ring_behind(&self, at: At) -> bool {
        let peer = self.spaces[at.space].port(at.ifindex).peer;
        peer.is_some_and(|peer| {
            let space = &self.spaces[peer.space];
            !space.port(peer.ifindex).at(Hook::Xdp).is_empty() && space.device(peer.ifindex).up
        })
    }

    /// Does something with a frame, or a copy of it, for each target.
    fn each(
        &mut self,
        kernel: &mut Kernel,
        packet: Parked,
        targets: &[At],
        mut send: impl FnMut(&mut Self, &mut Kernel, SkBuff, At),
    ) {
        let mut packet = Some(packet);
        for (number, &to) in targets.iter().enumerate() {
            let last = number + 1 == targets.len();
            let original =
                packet.take().expect("taken by the last target only").unpark(&mut kernel.machine.mem);
            let copy = original.clone();
            if !last {
                packet = Some(Parked::park(original, &kernel.machine.mem));
            }
            send(self, kernel, copy, to);
        }
    }

    /// `veth_poll`: everything in the ring goes through the program; what passes goes up in batches.
    pub(super) fn poll_ring(&mut self, kernel: &mut Kernel, at: At) -> Result<(), Halt> {
        let mut passed = Vec::new();
        while let Some(ringed) = self.queue.take_ringed(at) {
            let skb = ringed.packet.unpark(&mut kernel.machine.mem);
            if let Some(skb) = self.native_xdp(kernel, skb, at, ringed.bare)? {
                passed.push(Parked::park(skb, &kernel.machine.mem));
            }
            if passed.len() == BATCH {
                self.receive_all(kernel, at, &mut passed)?;
            }
        }
        self.queue.flush();
        self.receive_all(kernel, at, &mut passed)
    }

    fn receive_all(&mut self, kernel: &mut Kernel, at: At, passed: &mut Vec<Parked>) -> Result<(), Halt> {
        for packet in passed.drain(..) {
            let skb = packet.unpark(&mut kernel.machine.mem);
            self.receive(kernel, skb, at)?;
        }
        Ok(())
    }

    fn native_xdp(
        &mut self,
        kernel: &mut Kernel,
        mut skb: SkBuff,
        at: At,
        bare: bool,
    ) -> Result<Option<SkBuff>, Halt> {
        if !bare {
            skb.sk = None;
            skb.push(&mut kernel.machine.mem, ETH_HLEN);
        }
        if skb.linear.data() < XDP_PACKET_HEADROOM {
            let more = XDP_PACKET_HEADROOM - skb.linear.data();
            skb.expand_head(&mut kernel.machine.mem, more, 0);
        }
        let Some(&prog) = self.spaces[at.space].port(at.ifindex).at(Hook::Xdp).first() else {
            unreachable!("a device without a program has no ring");
        };
        match self.run_xdp(kernel, &mut skb, at, prog)? {
            xdp::PASS => {
                skb.pkt_type = pkt_type::HOST;
                let device = self.spaces[at.space].device(at.ifindex);
                eth_type_trans(&mut skb, &kernel.machine.mem, device);
                return Ok(Some(skb));
            }
            xdp::TX => match self.xdp_frame(kernel, &skb, at) {
                Some((ring, frame)) if self.has_ring_behind(at) => self.queue.send_back(ring, frame),
                _ => self.dropped(at, "XDP"),
            },
            xdp::REDIRECT => {
                let targets = self.targets(kernel, at, true, skb.len())?;
                if targets.is_empty() {
                    self.dropped(at, "XDP");
                }
                let frame = Parked::park(skb, &kernel.machine.mem);
                self.each(kernel, frame, &targets, |world, kernel, skb, to| {
                    match world.xdp_frame(kernel, &skb, to) {
                        Some((ring, frame)) => world.queue.bulk(ring, frame),
                        None => world.dropped(to, "XDP"),
                    }
                });
            }
            _ => self.dropped(at, "XDP"),
        }
        Ok(None)
    }

    /// `veth_xdp_xmit`: the bytes alone, for the ring of the other end, if it takes so many.
    fn xdp_frame(&self, kernel: &mut Kernel, skb: &SkBuff, at: At) -> Option<(At, Ringed)> {
        let peer = self.spaces[at.space].port(at.ifindex).peer?;
        let device = self.spaces[peer.space].device(peer.ifindex);
        if skb.len() > device.mtu + ETH_HLEN + VLAN_HLEN {
            return None;
        }
        let bytes = skb.linear.bytes(&kernel.machine.mem).to_vec();
        let mut frame = SkBuff::with_headroom(&mut kernel.machine.mem, skb.linear.data(), &bytes);
        frame.reset_mac_header();
        Some((peer, Ringed { packet: Parked::park(frame, &kernel.machine.mem), bare: true }))
    }
}

/// The devices in a map, at one index or all of them in the map's order.
fn devices(kernel: &mut Kernel, map: MapId, index: Option<u32>) -> Vec<u32> {
    let (maps, mut ctx) = kernel.machine.maps();
    let keys = if let Some(index) = index {
        vec![index.to_le_bytes().to_vec()]
    } else {
        let mut keys = Vec::new();
        while let Ok(next) = maps.sys_next_key(map, keys.last().map(Vec::as_slice)) {
            keys.push(next);
        }
        keys
    };
    let values = keys.iter().filter_map(|key| maps.sys_lookup(&mut ctx, map, key, 0).ok());
    values.map(|value| u32::from_le_bytes(value[..4].try_into().expect("4 bytes"))).collect()
}
