//! From the description of a network to netlink messages.

use bpftwin_conformance::case::{Device, Network, Route};

use super::rtnl::{End, LOOPBACK, Rtnl, sysctl};
use crate::failure::{Failure, Stop};

/// Both ends of a pair must differ in ifindex: with equal ones some kernels report the link up only after a second.
const PEER_INDEX: u32 = 1 << 20;

/// Turns off what makes namespaces differ from run to run: addresses and packets of IPv6's own.
pub fn quiet() -> Result<(), Failure> {
    for (name, value) in
        [("accept_dad", "0"), ("dad_transmits", "0"), ("accept_ra", "0"), ("addr_gen_mode", "1")]
    {
        sysctl(&format!("ipv6/conf/default/{name}"), value)?;
    }
    Ok(())
}

/// Builds one network in one namespace.
pub struct Builder<'a> {
    here: Rtnl,
    network: &'a Network,
}

impl<'a> Builder<'a> {
    /// In the namespace of `here`.
    pub fn new(here: Rtnl, network: &'a Network) -> Self {
        Self { here, network }
    }

    /// Makes everything, and returns when every device is operational. `peers` is the namespace for the other ends, by
    /// its descriptor and as something to ask.
    pub fn build(mut self, mut peers: Option<(u32, Rtnl)>) -> Result<(), Stop> {
        quiet()?;
        self.here.up("the loopback", LOOPBACK)?;
        for device in &self.network.devices {
            let Device { name, ifindex, .. } = device;
            if let Some((namespace, there)) = &mut peers {
                self.pair(device, *namespace)?;
                there.up(&format!("the other end of {name}"), PEER_INDEX + ifindex)?;
            }
            let forwarding = if device.forwarding { "1" } else { "0" };
            sysctl(&format!("ipv4/conf/{name}/forwarding"), forwarding)?;
            sysctl(&format!("ipv6/conf/{name}/forwarding"), forwarding)?;
            self.here.up(name, *ifindex)?;
        }
        for Device { name, ifindex, addresses, .. } in &self.network.devices {
            self.here.wait(name, *ifindex)?;
            addresses.iter().try_for_each(|address| self.here.address(name, *ifindex, address))?;
        }
        let addresses = self.network.devices.iter().flat_map(|device| &device.addresses);
        addresses.into_iter().try_for_each(|address| self.here.settle(address))?;
        for Route { to, kind, via, dev } in &self.network.routes {
            let oif = dev.as_ref().map(|dev| self.ifindex(&format!("route to {to}"), dev)).transpose()?;
            self.here.route(to, *kind, via.as_deref(), oif)?;
        }
        for neighbour in &self.network.neighbours {
            let ifindex = self.ifindex(&format!("neighbour {}", neighbour.address), &neighbour.dev)?;
            self.here.neighbour(&neighbour.address, &neighbour.mac, ifindex)?;
        }
        Ok(())
    }

    fn pair(&mut self, device: &Device, namespace: u32) -> Result<(), Stop> {
        let Device { name, ifindex, mac, mtu, .. } = device;
        if !(LOOPBACK + 1..PEER_INDEX).contains(ifindex) {
            return Err(Stop::case(format!("device {name}: ifindex {ifindex} is not in 2..{PEER_INDEX}")));
        }
        let peer_mac = [[0x02, 0xfe].as_slice(), &ifindex.to_be_bytes()].concat();
        let peer_name = format!("peer{ifindex}");
        let here = End { name, ifindex: *ifindex, mac, mtu: *mtu };
        let there = End { name: &peer_name, ifindex: PEER_INDEX + ifindex, mac: &peer_mac, mtu: *mtu };
        self.here.veth(&here, &there, namespace)
    }

    fn ifindex(&self, what: &str, name: &str) -> Result<u32, Stop> {
        let device = self.network.devices.iter().find(|device| device.name == name);
        match device {
            Some(device) => Ok(device.ifindex),
            None if name == "lo" => Ok(LOOPBACK),
            None => Err(Stop::case(format!("{what}: there is no device {name}"))),
        }
    }
}
