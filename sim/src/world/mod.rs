//! Floor 4: network namespaces of one kernel, the devices between them, and the frames that walk through.
//!
//! | module | what it is |
//! |---|---|
//! | `space` | [`Space`]s and their devices, and where programs sit |
//! | `queue` | what the kernel queues: the backlog and the rings of veth devices with XDP |
//! | `hook` | running programs and what their verdicts mean |
//! | `rx`, `tx` | the way of a frame into the stack and out of it |
//! | `redirect`, `xdp` | the redirect family, and XDP at a device |
//! | `deliver`, `ip`, `neighbour`, `icmp` | what becomes of a frame that the hooks let pass |
//!
//! What the kernel queues is queued, what it calls directly happens at once. There is one CPU. What is not modelled is
//! [`Halt::NotModelled`], never a guess.

mod deliver;
mod hook;
mod icmp;
mod ip;
mod neighbour;
mod queue;
mod redirect;
mod rx;
mod space;
#[cfg(test)]
mod tests;
mod tx;
mod xdp;

use crate::bpf::Fault;
use crate::bpf::machine::ProgId;
use crate::net::Kernel;
use crate::net::skb::{ETH_HLEN, SkBuff, VLAN_HLEN, eth_p};
use crate::uapi::Errno;

use neighbour::Waiting;
use queue::Queue;
pub use space::{At, Hook, Space};

/// Packets that may move in one step: more are a loop that has no end.
const PACKETS: u32 = 10_000;

/// Why a step has no result.
#[derive(Debug)]
pub enum Halt {
    /// A program did what the verifier should have prevented.
    Fault(Box<Fault>),
    /// The frame came where the simulator does not go: what, and where.
    NotModelled(String),
}

impl From<Box<Fault>> for Halt {
    fn from(fault: Box<Fault>) -> Self {
        Self::Fault(fault)
    }
}

/// A frame that a tap saw: a packet socket for `ETH_P_ALL` at a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The device.
    pub at: At,
    /// Whether the device received it; else it transmits it.
    pub received: bool,
    /// The bytes from the Ethernet header on.
    pub data: Vec<u8>,
}

/// A frame that was dropped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// The device.
    pub at: At,
    /// `enum skb_drop_reason` without its prefix.
    pub reason: &'static str,
}

/// What became of the frames of one step, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Walk {
    /// What taps saw.
    pub seen: Vec<Seen>,
    /// What was dropped.
    pub dropped: Vec<Dropped>,
    /// What `sendto` failed with.
    pub errno: Option<Errno>,
}

/// A frame that was not even sent.
fn refused(errno: Errno) -> Walk {
    Walk { errno: Some(errno), ..Walk::default() }
}

/// Namespaces of one kernel.
#[derive(Debug)]
pub struct World {
    spaces: Vec<Space>,
    queue: Queue,
    waiting: Vec<Waiting>,
    walk: Walk,
    clock_ns: u64,
    moved: u32,
}

impl World {
    /// These namespaces, with pairs of veth devices between them.
    pub fn new(mut spaces: Vec<Space>, pairs: &[(At, At)]) -> Self {
        space::plug(&mut spaces, pairs);
        let clock_ns = spaces.first().map_or(0, |space| space.env.clock_ns);
        Self {
            spaces,
            queue: Queue::default(),
            waiting: Vec::new(),
            walk: Walk::default(),
            clock_ns,
            moved: 0,
        }
    }

    /// Puts a program at a hook, behind those that are there. The error is why it cannot be there.
    pub fn attach(&mut self, at: At, hook: Hook, prog: ProgId) -> Result<(), String> {
        let port = self.spaces[at.space].port(at.ifindex);
        let xdp = [Hook::Xdp, Hook::XdpGeneric];
        if xdp.contains(&hook) && xdp.iter().any(|&hook| !port.at(hook).is_empty()) {
            return Err(format!("{}: a device takes one XDP program", self.spaces[at.space].name));
        }
        self.spaces[at.space].port_mut(at.ifindex).attach(hook, prog);
        Ok(())
    }

    /// `sendto` on a packet socket (`SOCK_RAW`): the frame leaves the device, and everything that follows from it happens.
    /// `net/packet/af_packet.c: packet_snd`, v6.12.
    pub fn send(&mut self, kernel: &mut Kernel, at: At, frame: &[u8]) -> Result<Walk, Halt> {
        self.begin();
        let dev = self.spaces[at.space].device(at.ifindex);
        if !dev.up {
            return Ok(refused(Errno::ENETDOWN));
        }
        let (len, max) = (frame.len() as u32, dev.mtu + ETH_HLEN);
        if len < ETH_HLEN {
            return Ok(refused(Errno::EINVAL));
        }
        let protocol = u16::from_be_bytes([frame[12], frame[13]]);
        let tagged = protocol == eth_p::VLAN_8021Q;
        if len > max && !(tagged && len <= max + VLAN_HLEN) {
            return Ok(refused(Errno::EMSGSIZE));
        }
        let mut skb = SkBuff::with_headroom(&mut kernel.machine.mem, tx::SENT_HEADROOM, frame);
        skb.dev = at.ifindex;
        skb.protocol = protocol;
        skb.reset_mac_header();
        skb.network_header = skb.linear.data() + ETH_HLEN;
        if let Some(offset) = tx::transport_offset(frame) {
            skb.transport_header = (skb.linear.data() + offset) as u16;
        }
        let result = self.transmit(kernel, skb, at, 0)?;
        self.settle(kernel)?;
        // `net_xmit_errno`.
        self.walk.errno = match result {
            tx::NET_XMIT_SUCCESS | tx::NET_XMIT_CN => None,
            negative @ ..0 => Some(Errno::from_raw(-negative)),
            _ => Some(Errno::ENOBUFS),
        };
        Ok(std::mem::take(&mut self.walk))
    }

    /// Lets time pass, with the timers of programs.
    pub fn advance(&mut self, kernel: &mut Kernel, ns: u64) -> Result<Walk, Halt> {
        if self.spaces.iter().any(|space| space.env.fib.has_learned()) || !self.waiting.is_empty() {
            let what = "time that passes while a neighbour entry is not permanent";
            return Err(Halt::NotModelled(format!("not modelled: {what}")));
        }
        self.begin();
        for space in &mut self.spaces {
            std::mem::swap(&mut kernel.env, &mut space.env);
            let done = kernel.advance(ns);
            std::mem::swap(&mut kernel.env, &mut space.env);
            done?;
        }
        self.clock_ns += ns;
        self.settle(kernel)?;
        Ok(std::mem::take(&mut self.walk))
    }

    fn begin(&mut self) {
        self.walk = Walk::default();
        self.moved = 0;
        self.clock_ns += crate::net::Env::RUN_NS;
        for space in &mut self.spaces {
            space.env.clock_ns = self.clock_ns;
        }
    }

    /// Counts a packet that moves.
    fn moves(&mut self, at: At) -> Result<(), Halt> {
        self.moved += 1;
        if self.moved > PACKETS {
            let what = format!("frames that never come to rest: {PACKETS} have moved in this step");
            return Err(self.not_modelled(at, &what));
        }
        Ok(())
    }

    fn dropped(&mut self, at: At, reason: &'static str) {
        self.walk.dropped.push(Dropped { at, reason });
    }

    /// What is not modelled, and where.
    fn not_modelled(&self, at: At, what: &str) -> Halt {
        let space = &self.spaces[at.space];
        Halt::NotModelled(format!("{}:{}: not modelled: {what}", space.name, space.device(at.ifindex).name))
    }
}
