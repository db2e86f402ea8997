//! `[network]`: checked and turned into the case's devices, routes and neighbours.

use std::net::IpAddr;

use crate::bytes::Bytes;
use crate::case;
use crate::layout::parse_mac;
use crate::scenario::mistake::{Mistake, What};
use crate::scenario::model::{Device, Neighbour, Network, Route};
use crate::scenario::spanned::Spanned;

/// The longest name of a device, `IFNAMSIZ - 1` bytes.
pub(super) const NAME_MAX: usize = 15;

/// The network of a scenario.
pub fn network(network: &Network, mistakes: &mut Vec<Mistake>) -> case::Network {
    let mut out = case::Network::default();
    for device in &network.device {
        let repeated = |d: &case::Device| d.name == device.name.value || d.ifindex == device.ifindex.value;
        if out.devices.iter().any(repeated) {
            let name = format!("{} (ifindex {})", device.name.value, device.ifindex.value);
            mistakes.push(
                Mistake::new(What::Duplicate { what: "device", name }, &device.name.span)
                    .help("names and ifindexes are unique"),
            );
        }
        match self::device(device) {
            Ok(device) => out.devices.push(device),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    let names: Vec<&str> = network.device.iter().map(|d| d.name.as_str()).collect();
    for route in &network.route {
        match self::route(route, &names) {
            Ok(route) => out.routes.push(route),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    for neighbour in &network.neighbour {
        match self::neighbour(neighbour, &names) {
            Ok(neighbour) => out.neighbours.push(neighbour),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    out
}

/// The MAC address of a device that is given none: its ifindex behind `02:00`.
pub(super) fn default_mac(ifindex: u32) -> Bytes {
    let [.., hi, lo] = ifindex.to_be_bytes();
    Bytes(vec![0x02, 0, 0, 0, hi, lo])
}

fn device(device: &Device) -> Result<case::Device, Mistake> {
    let name = &device.name;
    if name.is_empty() || name.len() > NAME_MAX || name.contains(['/', ' ', ':']) || name.value == "lo" {
        return Err(Mistake::new(What::BadName { what: "device", name: name.value.clone() }, &name.span)
            .help("1 to 15 characters without blanks, '/' and ':'; lo is always there"));
    }
    let ifindex = device.ifindex.value;
    if ifindex < 2 {
        let what = format!("ifindex {ifindex}: 1 is the loopback's, devices start at 2");
        return Err(Mistake::new(What::Value(what), &device.ifindex.span));
    }
    let mac = if let Some(text) = &device.mac { mac(text)? } else { default_mac(ifindex) };
    for address in &device.addresses {
        prefix(address)?;
    }
    Ok(case::Device {
        name: name.value.clone(),
        ifindex,
        mac,
        mtu: device.mtu,
        addresses: device.addresses.iter().map(|a| a.value.clone()).collect(),
        forwarding: device.forwarding,
    })
}

pub(super) fn mac(text: &Spanned<String>) -> Result<Bytes, Mistake> {
    let mac = parse_mac(text).ok_or_else(|| {
        let what = format!("\"{}\" is not a MAC address such as 02:00:00:00:00:01", text.value);
        Mistake::new(What::Value(what), &text.span)
    })?;
    Ok(Bytes(mac.to_vec()))
}

pub(super) fn prefix(text: &Spanned<String>) -> Result<(IpAddr, u8), Mistake> {
    let parsed = text.split_once('/').and_then(|(address, length)| {
        let address: IpAddr = address.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        (length <= max).then_some((address, length))
    });
    parsed.ok_or_else(|| {
        let what = format!("\"{}\" is not an address with prefix length such as 10.0.0.1/24", text.value);
        Mistake::new(What::Value(what), &text.span)
    })
}

fn address(text: &Spanned<String>) -> Result<IpAddr, Mistake> {
    text.parse().map_err(|_| {
        Mistake::new(What::Value(format!("\"{}\" is not an IP address", text.value)), &text.span)
    })
}

fn known(dev: &Spanned<String>, names: &[&str]) -> Result<(), Mistake> {
    if names.contains(&dev.as_str()) {
        return Ok(());
    }
    Err(Mistake::unknown("device", dev, &dev.span, names.iter().copied()))
}

/// Kinds of routes by name.
const KINDS: [(&str, case::RouteKind); 4] = [
    ("unicast", case::RouteKind::Unicast),
    ("blackhole", case::RouteKind::Blackhole),
    ("unreachable", case::RouteKind::Unreachable),
    ("prohibit", case::RouteKind::Prohibit),
];

pub(super) fn route(route: &Route, names: &[&str]) -> Result<case::Route, Mistake> {
    let (to, length) = prefix(&route.to)?;
    let bits = match to {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => v6.into(),
    };
    if length < 128 && bits << length != 0 {
        let what = format!("\"{}\" has bits beyond its prefix length", route.to.value);
        return Err(Mistake::new(What::Value(what), &route.to.span));
    }
    let kind = match &route.kind {
        None => case::RouteKind::Unicast,
        Some(text) => match KINDS.iter().find(|(name, _)| *name == text.value) {
            Some((_, kind)) => *kind,
            None => {
                return Err(Mistake::unknown("kind of route", text, &text.span, KINDS.map(|(name, _)| name)));
            }
        },
    };
    if kind == case::RouteKind::Unicast && route.dev.is_none() {
        let what = format!("the route to {} names no device", route.to.value);
        return Err(Mistake::new(What::Choice(what), &route.to.span).help("add `dev = \"NAME\"`"));
    }
    if let Some(dev) = &route.dev {
        known(dev, names)?;
    }
    if let Some(via) = &route.via
        && address(via)?.is_ipv4() != to.is_ipv4()
    {
        let what = format!("{} and {} are of different families", route.to.value, via.value);
        return Err(Mistake::new(What::Value(what), &via.span));
    }
    Ok(case::Route {
        to: route.to.value.clone(),
        kind,
        via: route.via.as_ref().map(|via| via.value.clone()),
        dev: route.dev.as_ref().map(|dev| dev.value.clone()),
    })
}

pub(super) fn neighbour(neighbour: &Neighbour, names: &[&str]) -> Result<case::Neighbour, Mistake> {
    address(&neighbour.address)?;
    known(&neighbour.dev, names)?;
    Ok(case::Neighbour {
        address: neighbour.address.value.clone(),
        mac: mac(&neighbour.mac)?,
        dev: neighbour.dev.value.clone(),
    })
}
