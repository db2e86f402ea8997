//! Namespaces, their devices and the programs at them.

use std::collections::BTreeMap;

use crate::bpf::machine::ProgId;
use crate::net::Env;
use crate::net::network::{Device, LOOPBACK, Network};
use crate::net::skb::{ETH_HLEN, VLAN_HLEN};

/// A device: its namespace, by number, and its ifindex there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct At {
    /// The namespace.
    pub space: usize,
    /// The ifindex.
    pub ifindex: u32,
}

/// A network namespace.
#[derive(Debug)]
pub struct Space {
    /// What messages call it.
    pub name: String,
    pub(super) env: Env,
    /// Whether it was told that a path is narrower than its device.
    pub(super) shrunk: bool,
    ports: BTreeMap<u32, Port>,
}

impl Space {
    /// A namespace with these devices, which are dummies until they are plugged together.
    pub fn new(name: &str, network: &Network, seed: u64) -> Self {
        let mut env = Env::new(network, seed);
        env.clones = Some(Vec::new());
        let ports = network.devices.iter().map(|device| (device.ifindex, Port::default())).collect();
        Self { name: name.to_owned(), env, shrunk: false, ports }
    }

    pub(super) fn device(&self, ifindex: u32) -> &Device {
        self.env.device(ifindex).expect("a frame is at a device that exists")
    }

    pub(super) fn port(&self, ifindex: u32) -> &Port {
        &self.ports[&ifindex]
    }

    pub(super) fn port_mut(&mut self, ifindex: u32) -> &mut Port {
        self.ports.get_mut(&ifindex).expect("the device exists")
    }

    /// Whether there is such a device, and not the loopback.
    pub(super) fn has_port(&self, ifindex: u32) -> bool {
        self.ports.contains_key(&ifindex)
    }

    /// Whether this namespace has an IPv6 address; without, IPv6 is off.
    pub(super) fn has_ipv6(&self) -> bool {
        let devices = self.env.devices.iter().filter(|device| device.ifindex != LOOPBACK);
        devices.flat_map(|device| &device.addresses).any(|(address, _)| address.is_ipv6())
    }
}

/// Tells both devices of every pair of each other. `drivers/net/veth.c: veth_open`, v6.12: the carrier is there when both
/// are up.
pub(super) fn plug(spaces: &mut [Space], pairs: &[(At, At)]) {
    for &(a, b) in pairs {
        for (own, other) in [(a, b), (b, a)] {
            let peer = spaces[other.space].device(other.ifindex);
            let (up, takes) = (peer.up, peer.mtu + ETH_HLEN + VLAN_HLEN);
            let space = &mut spaces[own.space];
            space.port_mut(own.ifindex).peer = Some(other);
            let device = space.env.devices.iter_mut().find(|device| device.ifindex == own.ifindex);
            let device = device.expect("the device exists");
            (device.carrier, device.takes) = (device.up && up, Some(takes));
        }
    }
}

/// Places of programs at a device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Hook {
    Xdp,
    XdpGeneric,
    TcxIngress,
    TcxEgress,
    TcIngress,
    TcEgress,
}

/// What is plugged into a device, and the programs there.
#[derive(Debug, Default)]
pub(super) struct Port {
    /// The other end of a veth pair; `None`: a dummy.
    pub peer: Option<At>,
    hooks: BTreeMap<Hook, Vec<ProgId>>,
}

impl Port {
    pub fn attach(&mut self, hook: Hook, prog: ProgId) {
        self.hooks.entry(hook).or_default().push(prog);
    }

    /// The programs at a hook, in the order they run.
    pub fn at(&self, hook: Hook) -> &[ProgId] {
        self.hooks.get(&hook).map_or(&[], Vec::as_slice)
    }
}
