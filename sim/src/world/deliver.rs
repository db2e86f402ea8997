//! What the protocols make of a frame that the hooks let pass.

use super::{At, Halt, World};
use crate::net::Kernel;
use crate::net::skb::{SkBuff, eth_p, pkt_type};

impl World {
    /// The handler of the frame's protocol, if there is one.
    pub(super) fn deliver(&mut self, kernel: &mut Kernel, skb: SkBuff, at: At) -> Result<(), Halt> {
        match skb.protocol {
            eth_p::IP => self.ip_rcv(kernel, skb, at),
            eth_p::IPV6 if !self.spaces[at.space].has_ipv6() => {
                self.dropped(at, "IPV6DISABLED");
                Ok(())
            }
            eth_p::IPV6 if skb.pkt_type == pkt_type::OTHERHOST => {
                self.dropped(at, "OTHERHOST");
                Ok(())
            }
            eth_p::IPV6 => Err(self.not_modelled(at, "IPv6 in the stack")),
            eth_p::ARP => self.arp_rcv(kernel, &skb, at),
            _ => {
                self.dropped(at, "UNHANDLED_PROTO");
                Ok(())
            }
        }
    }
}
