//! The topology form: namespaces of one kernel, devices and the programs at them, frames that are sent.

use serde::{Deserialize, Serialize};

use super::{Device, Neighbour, Route};
use crate::bytes::Bytes;

/// What frames walk through. One kernel, one CPU; its objects, maps and watched maps are the case's.
///
/// It is set up in this order: namespaces, links, what is up, addresses, forwarding, neighbours, routes; then objects are
/// loaded and maps written (in the first namespace, which is where a devmap looks its devices up), then attachments.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// At least one. Each has a loopback, which is up.
    pub namespaces: Vec<Namespace>,
    /// Devices, in this order.
    pub links: Vec<Link>,
    /// Programs, in the order they are attached: of several at one hook the first runs first.
    pub attachments: Vec<Attachment>,
    /// What happens, in order; each is over when no frame moves any more.
    pub steps: Vec<Step>,
}

/// A network namespace. IPv6 is on only in one that has an IPv6 address; no address is made up (`addr_gen_mode none`, no
/// duplicate address detection, no router solicitation), `icmp_ratelimit` is 0, `rp_filter` is 0.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// `node`, or `node/namespace`.
    pub name: String,
    /// `net.ipv4.conf.all.forwarding` and that of IPv6.
    pub forwarding: bool,
    /// Routes of the main table; devices are this namespace's.
    pub routes: Vec<Route>,
    /// Permanent neighbours; devices are this namespace's.
    pub neighbours: Vec<Neighbour>,
}

/// One device, or a pair.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Link {
    /// `a` and its peer `b`, offloads as the kernel makes them, GRO off.
    Veth {
        /// The first end.
        a: End,
        /// Its peer.
        b: End,
    },
    /// A device that swallows what it transmits.
    Dummy {
        /// The device.
        a: End,
    },
}

impl Link {
    /// Its devices.
    pub fn ends(&self) -> impl Iterator<Item = &End> + Clone {
        let (a, b) = match self {
            Self::Veth { a, b } => (a, Some(b)),
            Self::Dummy { a } => (a, None),
        };
        std::iter::once(a).chain(b)
    }
}

/// A device in its namespace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// The namespace's name.
    pub namespace: String,
    /// Name, ifindex, MAC, MTU and addresses. It forwards if its namespace does.
    pub device: Device,
    /// `IFF_UP`.
    pub up: bool,
}

/// A program at a hook of a device.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// The namespace's name.
    pub namespace: String,
    /// The device's name.
    pub device: String,
    /// Where at the device.
    pub hook: Hook,
    /// The object's name in this case.
    pub object: String,
    /// The program's C name.
    pub program: String,
}

/// Places at a device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// XDP in the driver: `XDP_FLAGS_DRV_MODE`.
    Xdp,
    /// XDP in the stack: `XDP_FLAGS_SKB_MODE`.
    XdpGeneric,
    /// `BPF_TCX_INGRESS`.
    TcxIngress,
    /// `BPF_TCX_EGRESS`.
    TcxEgress,
    /// clsact, a `cls_bpf` filter with `direct-action`; of several the first has the least `pref`.
    TcIngress,
    /// The same at egress.
    TcEgress,
}

impl Hook {
    /// Every place.
    pub const ALL: [Self; 6] =
        [Self::Xdp, Self::XdpGeneric, Self::TcxIngress, Self::TcxEgress, Self::TcIngress, Self::TcEgress];

    /// As scenarios and reports write it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::XdpGeneric => "xdp-generic",
            Self::TcxIngress => "tcx-ingress",
            Self::TcxEgress => "tcx-egress",
            Self::TcIngress => "tc-ingress",
            Self::TcEgress => "tc-egress",
        }
    }
}

/// One thing that happens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What the report calls it.
    pub name: String,
    /// What happens.
    pub does: Does,
}

/// What a step does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Does {
    /// A frame leaves a device: `sendto` on a `SOCK_RAW` packet socket in the device's namespace with the device's ifindex
    /// and protocol `ETH_P_ALL` (the kernel reads the protocol from the frame). It passes the device's egress hooks and
    /// taps, and its peer receives it.
    Send {
        /// The namespace's name.
        namespace: String,
        /// The device's name.
        device: String,
        /// From the Ethernet header on, without checksum.
        frame: Bytes,
    },
    /// Time passes, nanoseconds.
    Advance {
        /// How much.
        ns: u64,
    },
}
