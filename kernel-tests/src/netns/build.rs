//! From a topology to namespaces with devices in them.
//!
//! A namespace lives as long as a descriptor of it, a socket in it or a thread in it does, all of which are this
//! process's: when it ends, however it ends, the kernel takes down every namespace, its devices and what is attached to
//! them. No namespace gets a name in the file system, and no device is ever in the namespace the process was started in.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use bpftwin_conformance::case::{End, Link, Namespace, Neighbour, Route, Topology};

use super::multicast;
use super::tap::Taps;
use crate::failure::{Failure, Stop};
use crate::network::fresh;
use crate::network::rtnl::{self, LOOPBACK, Rtnl, sysctl};
use crate::sys::{PacketSocket, enter_network, network_namespace};

/// A namespace that this process made.
pub struct Room<'a> {
    description: &'a Namespace,
    fd: OwnedFd,
    /// To ask in it.
    pub rtnl: Rtnl,
    /// To send out of its devices.
    pub packets: PacketSocket,
}

impl Room<'_> {
    /// Moves this thread into it.
    pub fn enter(&self) -> Result<(), Failure> {
        let name = &self.description.name;
        enter_network(self.fd.as_fd())
            .map_err(|errno| Failure::Harness(format!("cannot enter namespace {name}: {errno}")))
    }
}

/// The namespaces of a topology, in its order.
pub struct Rooms<'a> {
    topology: &'a Topology,
    rooms: Vec<Room<'a>>,
}

/// What a fresh namespace may have from the one the machine started with, which differs from machine to machine
/// (`net/ipv4/devinet.c: devinet_init_net`, v6.12), set to what kernels start with, but for `rp_filter`, where the
/// topology's own rule is 0 too.
const INHERITED: [(&str, &str); 16] = [
    ("accept_local", "0"),
    ("accept_redirects", "1"),
    ("accept_source_route", "0"),
    ("arp_accept", "0"),
    ("arp_announce", "0"),
    ("arp_filter", "0"),
    ("arp_ignore", "0"),
    ("arp_notify", "0"),
    ("log_martians", "0"),
    ("promote_secondaries", "0"),
    ("proxy_arp", "0"),
    ("route_localnet", "0"),
    ("rp_filter", "0"),
    ("secure_redirects", "1"),
    ("send_redirects", "1"),
    ("src_valid_mark", "0"),
];

impl<'a> Rooms<'a> {
    /// Makes namespaces and what is in them; returns when every device is as it will stay.
    pub fn build(topology: &'a Topology, taps: &mut Taps) -> Result<Self, Stop> {
        let mut rooms = Self { topology, rooms: Vec::new() };
        for (number, description) in topology.namespaces.iter().enumerate() {
            let rtnl = fresh()?;
            let failed = |what: &str, why: String| {
                Failure::Harness(format!("namespace {}: cannot {what}: {why}", description.name))
            };
            let fd = network_namespace().map_err(|error| failed("open it", error.to_string()))?;
            let packets =
                PacketSocket::open().map_err(|errno| failed("open a packet socket", errno.to_string()))?;
            taps.add(number as u32)?;
            rooms.rooms.push(Room { description, fd, rtnl, packets });
            rooms.settings(description)?;
            rooms.rooms[number].rtnl.up("the loopback", LOOPBACK)?;
        }
        rooms.links()?;
        rooms.addresses()?;
        for number in 0..rooms.rooms.len() {
            rooms.forwarding(number)?;
            rooms.tables(number)?;
        }
        multicast::settle(&mut rooms, taps)?;
        Ok(rooms)
    }

    /// One by its name.
    pub fn get(&mut self, name: &str) -> Result<&mut Room<'a>, Stop> {
        let number = self.number(name)?;
        Ok(&mut self.rooms[number])
    }

    /// The first.
    pub fn first(&self) -> Result<&Room<'a>, Stop> {
        self.rooms.first().ok_or_else(|| Stop::case("a topology without a namespace"))
    }

    /// The device of a namespace, by name.
    pub fn device(&self, namespace: &str, device: &str) -> Result<u32, Stop> {
        let ends = self.topology.links.iter().flat_map(Link::ends);
        let found = ends.into_iter().find(|end| end.namespace == namespace && end.device.name == device);
        match found {
            Some(end) => Ok(end.device.ifindex),
            None if device == "lo" => Ok(LOOPBACK),
            None => Err(Stop::case(format!("there is no device {namespace}:{device}"))),
        }
    }

    /// The names of a namespace and a device of it.
    pub fn names(&self, namespace: u32, ifindex: u32) -> Result<(&'a str, &'a str), Failure> {
        let unknown = || Failure::Harness(format!("a frame at device {ifindex} of namespace {namespace}"));
        let name = self.topology.namespaces.get(namespace as usize).ok_or_else(unknown)?.name.as_str();
        let mut ends = self.topology.links.iter().flat_map(Link::ends);
        let end = ends.find(|end| end.namespace == name && end.device.ifindex == ifindex);
        end.map(|end| (name, end.device.name.as_str())).ok_or_else(unknown)
    }

    /// The devices of a namespace that are up, without the loopback, where IPv6 is on.
    pub fn ipv6_devices(&self, number: usize) -> impl Iterator<Item = &'a str> {
        let name = &self.topology.namespaces[number].name;
        let on = self.has_ipv6(name);
        let ends = self.topology.links.iter().flat_map(Link::ends);
        ends.filter(move |end| on && end.namespace == *name && self.runs(end))
            .map(|end| end.device.name.as_str())
    }

    /// Every namespace.
    pub fn iter(&self) -> impl Iterator<Item = &Room<'a>> {
        self.rooms.iter()
    }

    /// Hands over the sockets that are slow to close.
    pub fn into_sockets(self) -> impl Iterator<Item = PacketSocket> {
        self.rooms.into_iter().map(|room| room.packets)
    }

    fn number(&self, name: &str) -> Result<usize, Stop> {
        let found = self.topology.namespaces.iter().position(|namespace| namespace.name == name);
        found.ok_or_else(|| Stop::case(format!("there is no namespace {name}")))
    }

    fn has_ipv6(&self, namespace: &str) -> bool {
        let ends = self.topology.links.iter().flat_map(Link::ends);
        let mut ends = ends.filter(|end| end.namespace == namespace);
        ends.any(|end| end.device.addresses.iter().any(|address| address.contains(':')))
    }

    /// Whether a device has a carrier: both ends of a pair are up.
    fn runs(&self, end: &End) -> bool {
        self.topology.links.iter().any(|link| match link {
            Link::Veth { a, b } => (a == end || b == end) && a.up && b.up,
            Link::Dummy { a } => a == end && a.up,
        })
    }

    /// Settings of the namespace this thread is in, before any device is there.
    fn settings(&self, namespace: &Namespace) -> Result<(), Failure> {
        for (name, value) in INHERITED {
            sysctl(&format!("ipv4/conf/all/{name}"), value)?;
            sysctl(&format!("ipv4/conf/default/{name}"), value)?;
        }
        // No type of message is limited, which leaves out the bucket that all namespaces share too.
        sysctl("ipv4/icmp_ratemask", "0")?;
        sysctl("ipv6/icmp/ratelimit", "0")?;
        let off = if self.has_ipv6(&namespace.name) { "0" } else { "1" };
        for which in ["all", "default"] {
            for (name, value) in [
                ("disable_ipv6", off),
                ("accept_dad", "0"),
                ("dad_transmits", "0"),
                ("accept_ra", "0"),
                ("addr_gen_mode", "1"),
                ("router_solicitations", "0"),
                ("mldv2_unsolicited_report_interval", "1"),
            ] {
                sysctl(&format!("ipv6/conf/{which}/{name}"), value)?;
            }
        }
        Ok(())
    }

    fn links(&mut self) -> Result<(), Stop> {
        let topology = self.topology;
        for link in &topology.links {
            match link {
                Link::Veth { a, b } => {
                    let there = self.get(&b.namespace)?.fd.as_raw_fd() as u32;
                    self.get(&a.namespace)?.rtnl.veth(&end(a), &end(b), there)?;
                }
                Link::Dummy { a } => self.get(&a.namespace)?.rtnl.dummy(&end(a))?,
            }
        }
        let ends = || topology.links.iter().flat_map(Link::ends);
        for end in ends().filter(|end| end.up) {
            self.get(&end.namespace)?.rtnl.up(&end.device.name, end.device.ifindex)?;
        }
        for end in ends() {
            if self.runs(end) {
                self.get(&end.namespace)?.rtnl.wait(&end.device.name, end.device.ifindex)?;
            }
        }
        Ok(())
    }

    fn addresses(&mut self) -> Result<(), Stop> {
        let topology = self.topology;
        let ends = || topology.links.iter().flat_map(Link::ends);
        for end in ends() {
            let room = self.get(&end.namespace)?;
            for address in &end.device.addresses {
                room.rtnl.address(&end.device.name, end.device.ifindex, address)?;
            }
        }
        for end in ends() {
            if self.runs(end) {
                let room = self.get(&end.namespace)?;
                end.device.addresses.iter().try_for_each(|address| room.rtnl.settle(address))?;
            }
        }
        Ok(())
    }

    fn forwarding(&self, number: usize) -> Result<(), Stop> {
        let room = &self.rooms[number];
        room.enter()?;
        let value = if room.description.forwarding { "1" } else { "0" };
        sysctl("ipv4/conf/all/forwarding", value)?;
        sysctl("ipv6/conf/all/forwarding", value)?;
        Ok(())
    }

    fn tables(&mut self, number: usize) -> Result<(), Stop> {
        let Namespace { name, routes, neighbours, .. } = self.rooms[number].description;
        for Neighbour { address, mac, dev } in neighbours {
            let ifindex = self.device(name, dev)?;
            self.rooms[number].rtnl.neighbour(address, mac, ifindex)?;
        }
        for Route { to, kind, via, dev } in routes {
            let oif = dev.as_ref().map(|dev| self.device(name, dev)).transpose()?;
            self.rooms[number].rtnl.route(to, *kind, via.as_deref(), oif)?;
        }
        Ok(())
    }
}

fn end(end: &End) -> rtnl::End<'_> {
    let device = &end.device;
    rtnl::End { name: &device.name, ifindex: device.ifindex, mac: &device.mac, mtu: device.mtu }
}
