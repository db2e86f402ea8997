//! What a running program may ask for that is neither packet nor map.

use crate::net::conntrack::Conntrack;
use crate::net::fib::Fib;
use crate::net::network::{Device, Network};
use crate::net::redirect::{CloneSent, Redirect};
use crate::net::sockets::Sockets;
use crate::net::timer::Timers;

/// The state of one kernel outside its [`Machine`](crate::bpf::Machine).
#[derive(Debug)]
pub struct Env {
    /// `CLOCK_MONOTONIC`, nanoseconds. Only explicit steps advance it.
    pub clock_ns: u64,
    /// The state of [`Env::prandom_u32`].
    pub seed: u64,
    /// What programs printed with `bpf_trace_printk`.
    pub trace_pipe: Vec<String>,
    /// Timers inside map values.
    pub timers: Timers,
    /// Socket cookies handed out.
    pub cookies: u64,
    /// Sockets that belong to no packet.
    pub sockets: Sockets,
    /// Every device, the loopback first.
    pub devices: Vec<Device>,
    /// Routes and neighbours.
    pub fib: Fib,
    /// Connections.
    pub conntrack: Conntrack,
    /// Where the last helper of the redirect family sends the packet.
    pub redirect: Redirect,
    /// Copies that `bpf_clone_redirect` made, in order, for whoever moves frames; `None` where nobody does.
    pub clones: Option<Vec<CloneSent>>,
}

impl Env {
    /// `ktime_get_ns` when a kernel starts.
    pub const START_NS: u64 = 1_000_000_000_000;
    /// How much time each test run takes.
    pub const RUN_NS: u64 = 1_000;

    /// The environment of a kernel just started.
    pub fn new(network: &Network, seed: u64) -> Self {
        let devices: Vec<_> =
            std::iter::once(Device::loopback()).chain(network.devices.iter().cloned()).collect();
        Self {
            clock_ns: Self::START_NS,
            seed,
            trace_pipe: Vec::new(),
            timers: Timers::default(),
            cookies: 0,
            sockets: Sockets::default(),
            conntrack: Conntrack::default(),
            redirect: Redirect::default(),
            clones: None,
            fib: Fib::new(network, &devices),
            devices,
        }
    }

    /// The device with this ifindex.
    pub fn device(&self, ifindex: u32) -> Option<&Device> {
        self.devices.iter().find(|dev| dev.ifindex == ifindex)
    }

    /// `sock_gen_cookie` of a new socket: never 0.
    pub fn next_cookie(&mut self) -> u64 {
        self.cookies += 1;
        self.cookies
    }

    /// The next number of a seeded sequence (SplitMix64).
    pub fn prandom_u32(&mut self) -> u32 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u32
    }
}
