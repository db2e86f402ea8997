//! Routing: what the tables of a network say. `net/ipv4/fib_trie.c: fib_table_lookup`, `net/ipv6/route.c:
//! fib6_table_lookup`, v6.12, with one path per route, no rules, and the routes addresses bring along.

use std::net::IpAddr;

use crate::net::network::{Device, Mac, Network, Route, RouteKind};

/// `RT_TABLE_MAIN`.
pub const TABLE_MAIN: u32 = 254;
/// `RT_TABLE_LOCAL`.
pub const TABLE_LOCAL: u32 = 255;
/// `IP6_RT_PRIO_USER`: the metric of an IPv6 route that gives none.
const IP6_RT_PRIO_USER: u32 = 1024;
/// `IP6_RT_PRIO_ADDRCONF`: the metric of a connected IPv6 route.
const IP6_RT_PRIO_ADDRCONF: u32 = 256;

/// A route as a table holds it.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// Prefix, kind, gateway and device.
    pub route: Route,
    /// The table it is in.
    pub table: u32,
    /// Its metric.
    pub metric: u32,
    /// `prefsrc`, of routes that follow from an address.
    pub source: Option<IpAddr>,
}

/// The routing tables and neighbours of one namespace.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Fib {
    entries: Vec<Entry>,
    neighbours: Vec<(IpAddr, u32, Mac)>,
    /// Neighbours that were asked for or asked themselves.
    learned: Vec<(IpAddr, u32, Mac)>,
}

impl Fib {
    /// The tables of `network`, whose devices, the loopback included, are `devices`.
    pub fn new(network: &Network, devices: &[Device]) -> Self {
        let mut fib = Self::default();
        for device in devices.iter().filter(|dev| dev.up) {
            for &(address, len) in &device.addresses {
                fib.add_address(device, address, len);
            }
        }
        for route in &network.routes {
            let metric = if route.to.0.is_ipv6() { IP6_RT_PRIO_USER } else { 0 };
            fib.entries.push(Entry { route: route.clone(), table: TABLE_MAIN, metric, source: None });
        }
        fib.neighbours = network.neighbours.iter().map(|n| (n.address, n.ifindex, n.mac)).collect();
        fib
    }

    /// `net/ipv4/fib_frontend.c: fib_add_ifaddr`, `net/ipv6/addrconf.c: addrconf_prefix_route`, v6.12.
    fn add_address(&mut self, device: &Device, address: IpAddr, len: u8) {
        let full = width(address);
        // What this host takes the address for, before and after: the oldest of equal entries.
        let taken_for = self.entries.iter().find(|e| e.table == TABLE_LOCAL && e.route.to == (address, full));
        let is_local = taken_for.is_none_or(|entry| entry.route.kind == RouteKind::Local);
        let mut add = |to, kind, table, metric| {
            let route = Route { to, kind, via: None, ifindex: device.ifindex };
            self.entries.push(Entry { route, table, metric, source: Some(address) });
        };
        add((address, full), RouteKind::Local, TABLE_LOCAL, 0);
        if address.is_ipv4() {
            // `fib_valid_prefsrc`: a route cannot prefer an address that is another network's broadcast.
            if !is_local {
                return;
            }
            if len < 32 {
                let (kind, table) = if device.loopback {
                    (RouteKind::Local, TABLE_LOCAL)
                } else {
                    (RouteKind::Unicast, TABLE_MAIN)
                };
                add((address, len), kind, table, 0);
            }
            if len < 31 {
                let broadcast = bits(address) | u128::from(u32::MAX) & !mask(full, len);
                add((from_bits(address, broadcast), 32), RouteKind::Broadcast, TABLE_LOCAL, 0);
            }
        } else if !device.loopback {
            add((address, len), RouteKind::Unicast, TABLE_MAIN, IP6_RT_PRIO_ADDRCONF);
            // The subnet-router anycast address, of a device that forwards.
            if device.forwarding && len < 127 {
                let anycast = bits(address) & mask(full, len);
                add((from_bits(address, anycast), full), RouteKind::Anycast, TABLE_LOCAL, 0);
            }
        }
    }

    /// The entry for `to`; `table` asks one table alone. With `oif`, an IPv4 route has to leave there, and of equal IPv6
    /// routes one that does is better (`net/ipv6/route.c: rt6_score_route`, v6.12).
    pub fn lookup(&self, to: IpAddr, table: Option<u32>, oif: Option<u32>) -> Option<&Entry> {
        // While there is no rule, the two IPv4 tables are one; the local IPv6 table is asked before the main one.
        let order: &[&[u32]] = match (to.is_ipv4(), table) {
            (true, None | Some(TABLE_MAIN | TABLE_LOCAL)) => &[&[TABLE_MAIN, TABLE_LOCAL]],
            (false, None) => &[&[TABLE_LOCAL], &[TABLE_MAIN]],
            (false, Some(TABLE_MAIN)) => &[&[TABLE_MAIN]],
            (false, Some(TABLE_LOCAL)) => &[&[TABLE_LOCAL]],
            _ => &[],
        };
        order.iter().find_map(|tables| {
            let usable = |entry: &&Entry| {
                let route = &entry.route;
                let has_path = route.ifindex != 0 && !is_refusal(route.kind);
                tables.contains(&entry.table)
                    && covers(route.to, to)
                    && (!has_path || to.is_ipv6() || oif.is_none_or(|oif| oif == route.ifindex))
            };
            // The longest prefix; of equal ones the least metric, then the oldest.
            let best = self.entries.iter().filter(usable);
            let elsewhere = |entry: &Entry| to.is_ipv6() && oif.is_some_and(|oif| oif != entry.route.ifindex);
            best.min_by_key(|entry| (u8::MAX - entry.route.to.1, entry.metric, elsewhere(entry)))
        })
    }

    /// What the local table says of an IPv4 address (`net/ipv4/fib_frontend.c: inet_addr_type_table`, v6.12).
    pub fn local_kind(&self, address: IpAddr) -> Option<RouteKind> {
        let local = self.entries.iter().filter(|entry| entry.table == TABLE_LOCAL);
        let covering = local.filter(|entry| covers(entry.route.to, address));
        covering.max_by_key(|entry| entry.route.to.1).map(|entry| entry.route.kind)
    }

    /// Whether the neighbour's entry is permanent.
    pub fn is_permanent(&self, address: IpAddr, ifindex: u32) -> bool {
        self.neighbours.iter().any(|&(known, dev, _)| known == address && dev == ifindex)
    }

    /// Whether there are entries that are not.
    pub fn has_learned(&self) -> bool {
        !self.learned.is_empty()
    }

    /// Enters a neighbour that is valid for now, unless its entry is permanent.
    pub fn learn(&mut self, address: IpAddr, ifindex: u32, mac: Mac) {
        if !self.is_permanent(address, ifindex) {
            self.learned.retain(|&(known, dev, _)| known != address || dev != ifindex);
            self.learned.push((address, ifindex, mac));
        }
    }

    /// The MAC of a valid neighbour.
    pub fn neighbour(&self, address: IpAddr, ifindex: u32) -> Option<Mac> {
        let all = self.neighbours.iter().chain(&self.learned);
        let found = all.into_iter().find(|&&(known, dev, _)| known == address && dev == ifindex);
        found.map(|&(_, _, mac)| mac)
    }
}

/// Kinds that answer with an error and have no path.
fn is_refusal(kind: RouteKind) -> bool {
    matches!(kind, RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit)
}

/// Bits in an address.
fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address as a number.
pub fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

fn from_bits(family: IpAddr, bits: u128) -> IpAddr {
    match family {
        IpAddr::V4(_) => IpAddr::V4((bits as u32).into()),
        IpAddr::V6(_) => IpAddr::V6(bits.into()),
    }
}

/// The first `len` of `width` bits.
fn mask(width: u8, len: u8) -> u128 {
    let host = u32::from(width - len);
    u128::MAX.checked_shl(host).unwrap_or(0)
}

/// Whether `address` is in a prefix.
pub fn covers((prefix, len): (IpAddr, u8), address: IpAddr) -> bool {
    prefix.is_ipv4() == address.is_ipv4() && (bits(prefix) ^ bits(address)) & mask(width(prefix), len) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fib() -> Fib {
        let mut eth0 = Device::ethernet("eth0", 5, [2; 6]);
        eth0.addresses = vec![("10.0.0.1".parse().unwrap(), 24), ("fd00::1".parse().unwrap(), 64)];
        eth0.forwarding = true;
        let route =
            |to: &str, len, kind, ifindex| Route { to: (to.parse().unwrap(), len), kind, via: None, ifindex };
        let network = Network {
            devices: vec![eth0.clone()],
            routes: vec![
                route("0.0.0.0", 0, RouteKind::Unicast, 9),
                route("10.3.0.0", 16, RouteKind::Blackhole, 0),
                route("::", 0, RouteKind::Unicast, 9),
            ],
            neighbours: Vec::new(),
        };
        Fib::new(&network, &[Device::loopback(), eth0])
    }

    #[test]
    fn the_longest_prefix_wins_and_addresses_bring_routes() {
        let fib = fib();
        let kind = |to: &str, table, oif| {
            fib.lookup(to.parse().unwrap(), table, oif).map(|e| (e.route.kind, e.route.ifindex))
        };
        for (to, want) in [
            ("10.0.0.7", (RouteKind::Unicast, 5)),
            ("10.0.0.1", (RouteKind::Local, 5)),
            ("10.0.0.255", (RouteKind::Broadcast, 5)),
            ("10.0.0.0", (RouteKind::Unicast, 5)),
            ("127.1.2.3", (RouteKind::Local, 1)),
            ("8.8.8.8", (RouteKind::Unicast, 9)),
            ("10.3.1.1", (RouteKind::Blackhole, 0)),
            ("fd00::1", (RouteKind::Local, 5)),
            ("fd00::", (RouteKind::Anycast, 5)),
            ("fd00::9", (RouteKind::Unicast, 5)),
            ("2001::1", (RouteKind::Unicast, 9)),
        ] {
            assert_eq!(kind(to, None, None), Some(want), "{to}");
        }
        assert_eq!(kind("fd00::1", Some(TABLE_MAIN), None), Some((RouteKind::Unicast, 5)));
        assert_eq!(kind("10.0.0.1", Some(TABLE_MAIN), None), Some((RouteKind::Local, 5)));
        assert_eq!(kind("10.0.0.7", None, Some(9)), Some((RouteKind::Unicast, 9)));
        assert_eq!(kind("10.0.0.7", None, Some(7)), None);
        assert_eq!(kind("10.0.0.7", Some(77), None), None);
    }

    #[test]
    fn of_equal_ipv6_routes_the_one_on_the_device_asked_from_wins() {
        let device = |ifindex| {
            let mut device = Device::ethernet("eth", ifindex, [2; 6]);
            device.addresses = vec![("fd00::1".parse().unwrap(), 16), ("10.0.0.1".parse().unwrap(), 8)];
            device
        };
        let fib = Fib::new(&Network::default(), &[Device::loopback(), device(3), device(5)]);
        let found =
            |to: &str, oif| fib.lookup(to.parse().unwrap(), None, oif).map(|entry| entry.route.ifindex);
        for (to, oif, want) in [
            ("fd00::2", None, Some(3)),
            ("fd00::2", Some(3), Some(3)),
            ("fd00::2", Some(5), Some(5)),
            ("fd00::2", Some(9), Some(3)),
            ("10.0.0.2", Some(5), Some(5)),
            ("10.0.0.2", Some(9), None),
        ] {
            assert_eq!(found(to, oif), want, "to {to} by {oif:?}");
        }
    }

    #[test]
    fn an_address_that_is_a_broadcast_brings_no_connected_route() {
        let device = |ifindex, address: &str, len| {
            let mut device = Device::ethernet("eth", ifindex, [2; 6]);
            device.addresses = vec![(address.parse().unwrap(), len)];
            device
        };
        let devices = [Device::loopback(), device(3, "10.3.3.0", 24), device(5, "10.3.3.255", 16)];
        let fib = Fib::new(&Network::default(), &devices);
        let found = |to: &str| fib.lookup(to.parse().unwrap(), None, None).map(|entry| entry.route.ifindex);
        assert_eq!((found("10.3.3.7"), found("10.3.0.0"), found("10.3.255.255")), (Some(3), None, None));
    }
}
