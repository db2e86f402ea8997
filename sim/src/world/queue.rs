//! What the kernel queues, one CPU: `net/core/dev.c: enqueue_to_backlog, net_rx_action, process_backlog`, v6.12.

use std::collections::VecDeque;

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
}

/// Queues, and the order in which they are polled.
#[derive(Debug, Default)]
pub(super) struct Queue {
    poll: VecDeque<Napi>,
    backlog: VecDeque<(At, Parked)>,
}

impl Queue {
    /// `netif_rx`: behind everything that waits.
    pub fn backlog(&mut self, mem: &Memory, skb: SkBuff, at: At) {
        self.backlog.push_back((at, Parked::park(skb, mem)));
        self.schedule(Napi::Backlog);
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
            }
            self.queue.poll.pop_front();
        }
        Ok(())
    }
}
