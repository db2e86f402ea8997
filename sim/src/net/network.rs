//! The devices, addresses, routes and neighbours around a kernel: what `bpf_fib_lookup` and an ifindex refer to.

use std::net::IpAddr;

/// The loopback's ifindex.
pub const LOOPBACK: u32 = 1;

/// A MAC address.
pub type Mac = [u8; 6];

/// Everything a scenario says of the network; all of it is permanent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Network {
    /// Devices besides the loopback.
    pub devices: Vec<Device>,
    /// Routes of the main table; routes that follow from addresses are not listed.
    pub routes: Vec<Route>,
    /// Permanent neighbours.
    pub neighbours: Vec<Neighbour>,
}

/// A device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its ifindex.
    pub ifindex: u32,
    /// `dev_addr`.
    pub mac: Mac,
    /// `broadcast`.
    pub broadcast: Mac,
    /// MTU: bytes of L3.
    pub mtu: u32,
    /// `IFF_UP`.
    pub up: bool,
    /// Whether there is someone at the other end; without, what is sent is dropped.
    pub carrier: bool,
    /// The longest frame its peer takes, where it has one.
    pub takes: Option<u32>,
    /// `IFF_LOOPBACK`.
    pub loopback: bool,
    /// Addresses, each with its prefix length.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Whether it forwards, in both families.
    pub forwarding: bool,
}

impl Device {
    /// The loopback: no MAC, MTU 65536, `127.0.0.1/8` and `::1/128`.
    pub fn loopback() -> Self {
        Self {
            name: "lo".into(),
            ifindex: LOOPBACK,
            mac: [0; 6],
            broadcast: [0; 6],
            mtu: 65536,
            up: true,
            carrier: true,
            takes: None,
            loopback: true,
            addresses: vec![
                (IpAddr::from([127, 0, 0, 1]), 8),
                (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]), 128),
            ],
            forwarding: false,
        }
    }

    /// An Ethernet device.
    pub fn ethernet(name: &str, ifindex: u32, mac: Mac) -> Self {
        Self {
            name: name.into(),
            ifindex,
            mac,
            broadcast: [0xff; 6],
            mtu: 1500,
            up: true,
            carrier: true,
            takes: None,
            loopback: false,
            addresses: Vec::new(),
            forwarding: false,
        }
    }
}

/// A route of the main table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// The prefix.
    pub to: (IpAddr, u8),
    /// What it does.
    pub kind: RouteKind,
    /// The gateway, if not on-link.
    pub via: Option<IpAddr>,
    /// The device's ifindex; 0 where there is none.
    pub ifindex: u32,
}

/// `RTN_*`, `include/uapi/linux/rtnetlink.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum RouteKind {
    Unicast,
    Local,
    Broadcast,
    Multicast,
    Anycast,
    Blackhole,
    Unreachable,
    Prohibit,
}

/// A permanent neighbour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// The address.
    pub address: IpAddr,
    /// Its MAC.
    pub mac: Mac,
    /// The device's ifindex.
    pub ifindex: u32,
}
