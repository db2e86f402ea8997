//! What the kernel queues, one CPU: `net/core/dev.c: enqueue_to_backlog, net_rx_action, process_backlog`, v6.12.

use std::collections::{BTreeMap, VecDeque};

use super::xdp::Ringed;
use super::{At, Halt, World};
use crate::bpf::Memory;
use crate::net::Kernel;
use crate::net::redirect::Parked;
use crate::net::skb::SkBuff;

/// Who is polled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Napi {
    /// The CPU's backlog.
    Backlog,
    /// The ring of a veth device with XDP.
    Ring(At),
}

/// Queues, and the order in which they are polled.
#[derive(Debug, Default)]
pub(super) struct Queue {
    poll: VecDeque<Napi>,
    backlog: VecDeque<(At, Parked)>,
    rings: BTreeMap<At, VecDeque<Ringed>>,
    /// What XDP redirected in this poll, by the ring it goes into, and what it sent back.
    bulks: Vec<(At, Vec<Ringed>)>,
    returned: Vec<(At, Ringed)>,
}

/// `DEV_MAP_BULK_SIZE`.
const BULK: usize = 16;

impl Queue {
    /// `netif_rx`: behind everything that waits.
    pub fn backlog(&mut self, mem: &Memory, skb: SkBuff, at: At) {
        self.backlog.push_back((at, Parked::park(skb, mem)));
        self.schedule(Napi::Backlog);
    }

    /// `veth_xdp_rx`: into the ring of a device.
    pub fn ring(&mut self, at: At, ringed: Ringed) {
        self.rings.entry(at).or_default().push_back(ringed);
        self.schedule(Napi::Ring(at));
    }

    /// `net/core/filter.c: xdp_do_redirect`, `kernel/bpf/devmap.c: bq_enqueue`: goes into the ring when the poll ends.
    pub fn bulk(&mut self, ring: At, ringed: Ringed) {
        let full = match self.bulks.iter_mut().find(|(known, _)| *known == ring) {
            None => {
                self.bulks.push((ring, vec![ringed]));
                return;
            }
            Some((_, frames)) if frames.len() == BULK => std::mem::replace(frames, vec![ringed]),
            Some((_, frames)) => {
                frames.push(ringed);
                return;
            }
        };
        for ringed in full {
            self.ring(ring, ringed);
        }
    }

    /// `veth_xdp_tx`: likewise, behind what was redirected.
    pub fn send_back(&mut self, ring: At, ringed: Ringed) {
        self.returned.push((ring, ringed));
    }

    /// `xdp_do_flush`, which takes the device that came last first, and `veth_xdp_flush`.
    pub fn flush(&mut self) {
        for (ring, frames) in std::mem::take(&mut self.bulks).into_iter().rev() {
            for ringed in frames {
                self.ring(ring, ringed);
            }
        }
        for (ring, ringed) in std::mem::take(&mut self.returned) {
            self.ring(ring, ringed);
        }
    }

    /// The oldest in a ring.
    pub fn take_ringed(&mut self, at: At) -> Option<Ringed> {
        self.rings.get_mut(&at)?.pop_front()
    }

    fn schedule(&mut self, napi: Napi) {
        if !self.poll.contains(&napi) {
            self.poll.push_back(napi);
        }
    }
}

impl World {
    /// Polls until nothing waits.
    pub(super) fn settle(&mut self, kernel: &mut Kernel) -> Result<(), Halt> {
        while let Some(&napi) = self.queue.poll.front() {
            match napi {
                Napi::Backlog => {
                    while let Some((at, packet)) = self.queue.backlog.pop_front() {
                        let skb = packet.unpark(&mut kernel.machine.mem);
                        self.receive(kernel, skb, at)?;
                    }
                }
                Napi::Ring(at) => self.poll_ring(kernel, at)?,
            }
            self.queue.poll.pop_front();
        }
        Ok(())
    }
}
