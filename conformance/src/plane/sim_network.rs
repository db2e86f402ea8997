//! A case's network as the simulator's.

use std::net::IpAddr;

use bpftwin_sim::net::network;

use crate::bytes::Bytes;
use crate::case::{Network, RouteKind};

/// The devices, routes and neighbours of a case; the error names what cannot be read.
pub fn network_of(network: &Network) -> Result<network::Network, String> {
    let mut out = network::Network::default();
    for device in &network.devices {
        let mut made = network::Device::ethernet(&device.name, device.ifindex, mac(&device.mac)?);
        made.mtu = device.mtu;
        made.forwarding = device.forwarding;
        made.addresses = device.addresses.iter().map(|a| prefix(a)).collect::<Result<_, _>>()?;
        out.devices.push(made);
    }
    let ifindex = |name: &str| match out.devices.iter().find(|d| d.name == name) {
        Some(device) => Ok(device.ifindex),
        None if name == "lo" => Ok(network::LOOPBACK),
        None => Err(format!("there is no device {name}")),
    };
    let mut routes = Vec::new();
    for route in &network.routes {
        routes.push(network::Route {
            to: prefix(&route.to)?,
            kind: match route.kind {
                RouteKind::Unicast => network::RouteKind::Unicast,
                RouteKind::Blackhole => network::RouteKind::Blackhole,
                RouteKind::Unreachable => network::RouteKind::Unreachable,
                RouteKind::Prohibit => network::RouteKind::Prohibit,
            },
            via: route.via.as_deref().map(address).transpose()?,
            ifindex: route.dev.as_deref().map_or(Ok(0), ifindex)?,
        });
    }
    let mut neighbours = Vec::new();
    for neighbour in &network.neighbours {
        neighbours.push(network::Neighbour {
            address: address(&neighbour.address)?,
            mac: mac(&neighbour.mac)?,
            ifindex: ifindex(&neighbour.dev)?,
        });
    }
    (out.routes, out.neighbours) = (routes, neighbours);
    Ok(out)
}

fn mac(bytes: &Bytes) -> Result<[u8; 6], String> {
    bytes.0.as_slice().try_into().map_err(|_| format!("{bytes} is not a MAC address"))
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text} is not an address"))
}

fn prefix(text: &str) -> Result<(IpAddr, u8), String> {
    let (to, length) = text.split_once('/').ok_or_else(|| format!("{text} has no prefix length"))?;
    Ok((address(to)?, length.parse().map_err(|_| format!("{text} has no prefix length"))?))
}
