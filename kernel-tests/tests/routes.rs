//! Random networks and random questions to bpf_fib_lookup(), on both planes. Needs root.

mod rig;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bpftwin_conformance::case::{Case, Device, Neighbour, Network, Route, RouteKind, Run};
use bpftwin_conformance::observation::Report;
use proptest::prelude::*;
use proptest::sample::Index;
use rig::{PROBE, agreed, case, compare, marked, report};

/// Addresses share their high bits, so that prefixes of any length tell some of them apart.
fn ipv4() -> impl Strategy<Value = Ipv4Addr> {
    (0..4u8, 0..4u8, prop::sample::select(vec![0u8, 1, 2, 7, 127, 128, 254, 255]))
        .prop_map(|(b, c, d)| Ipv4Addr::new(10, b, c, d))
}

fn ipv6() -> impl Strategy<Value = Ipv6Addr> {
    (0..4u16, 0..4u16, 1..6u16).prop_map(|(a, b, c)| Ipv6Addr::new(0xfd00, a, 0, b, 0, 0, 0, c))
}

fn mac(last: u8) -> Vec<u8> {
    vec![2, 0, 0, 0, 1, last]
}

/// Two or three devices, each with an address or two of each family.
fn devices() -> impl Strategy<Value = Vec<Device>> {
    let device = (
        proptest::collection::vec((ipv4(), prop::sample::select(vec![8u8, 16, 23, 24, 30, 31, 32])), 0..3),
        proptest::collection::vec((ipv6(), prop::sample::select(vec![16u8, 32, 48, 64, 127, 128])), 0..3),
        prop::bool::weighted(0.8),
        prop::sample::select(vec![1280u32, 1500, 9000]),
    );
    proptest::collection::vec(device, 2..4).prop_map(|devices| {
        let number = |(index, (v4, v6, forwarding, mtu)): (usize, (Vec<_>, Vec<_>, bool, u32))| {
            let mut addresses: Vec<String> = Vec::new();
            for (address, length) in v4 {
                addresses.push(format!("{address}/{length}"));
            }
            for (address, length) in v6 {
                addresses.push(format!("{address}/{length}"));
            }
            let ifindex = 3 + index as u32 * 2;
            let name = format!("eth{index}");
            Device { name, ifindex, mac: vec![2, 0, 0, 0, 0, index as u8].into(), mtu, addresses, forwarding }
        };
        devices.into_iter().enumerate().map(number).collect()
    })
}

/// A route's parts, before devices are known.
type RouteParts = (bool, Ipv4Addr, Ipv6Addr, u8, u8, Option<u8>, Index);

fn route_parts() -> impl Strategy<Value = RouteParts> {
    let length = prop::sample::select(vec![0u8, 8, 14, 16, 23, 24, 25, 32, 48, 64, 128]);
    let via = prop::option::of(prop::sample::select(vec![1u8, 2, 3, 6]));
    (any::<bool>(), ipv4(), ipv6(), length, 0..8u8, via, any::<Index>())
}

/// An address `step` away from the device's first one of a family.
fn beside(device: &Device, v6: bool, step: u8) -> Option<String> {
    device.addresses.iter().find_map(|address| {
        let (address, _) = address.split_once('/')?;
        Some(match address.parse().ok()? {
            IpAddr::V4(address) if !v6 => {
                Ipv4Addr::from_bits(address.to_bits() ^ u32::from(step)).to_string()
            }
            IpAddr::V6(address) if v6 => {
                Ipv6Addr::from_bits(address.to_bits() ^ u128::from(step)).to_string()
            }
            _ => return None,
        })
    })
}

fn route((v6, to4, to6, length, kind, via, device): RouteParts, devices: &[Device]) -> Route {
    let kind = match kind {
        0 => RouteKind::Blackhole,
        1 => RouteKind::Unreachable,
        2 => RouteKind::Prohibit,
        _ => RouteKind::Unicast,
    };
    let to = if v6 {
        let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        format!("{}/{length}", Ipv6Addr::from_bits(to6.to_bits() & mask))
    } else {
        let length = length.min(32);
        let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        format!("{}/{length}", Ipv4Addr::from_bits(to4.to_bits() & mask))
    };
    let unicast = kind == RouteKind::Unicast;
    let device = &devices[device.index(devices.len())];
    // A gateway the kernel takes: beside an address of the device, if it has one of that family.
    let via = via.filter(|_| unicast).and_then(|step| beside(device, v6, step));
    Route { to, kind, via, dev: unicast.then(|| device.name.clone()) }
}

fn networks() -> impl Strategy<Value = Network> {
    let neighbours = proptest::collection::vec((any::<bool>(), ipv4(), ipv6(), any::<Index>()), 0..8);
    let routes = proptest::collection::vec(route_parts(), 0..6);
    (devices(), routes, neighbours).prop_map(|(devices, routes, neighbours)| {
        let routes = routes.into_iter().map(|parts| route(parts, &devices)).collect();
        let neighbours = neighbours
            .into_iter()
            .map(|(v6, address4, address6, device)| Neighbour {
                address: if v6 { address6.to_string() } else { address4.to_string() },
                mac: mac(device.index(200) as u8).into(),
                dev: devices[device.index(devices.len())].name.clone(),
            })
            .collect();
        Network { devices, routes, neighbours }
    })
}

/// A packet for `lookup_route`, from an address to one of the same family.
fn packet_from(from: IpAddr, to: IpAddr) -> Vec<u8> {
    let mut packet = vec![0; 12];
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet.extend_from_slice(&[8, 0, 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0]);
            packet.extend_from_slice(&from.octets());
            packet.extend_from_slice(&to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            packet.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 59, 64]);
            packet.extend_from_slice(&from.octets());
            packet.extend_from_slice(&to.octets());
        }
        _ => panic!("{from} and {to} are of two families"),
    }
    packet
}

/// A packet from nobody in particular.
fn packet(to: IpAddr) -> Vec<u8> {
    let from = if to.is_ipv4() {
        Ipv4Addr::new(10, 0, 0, 9).into()
    } else {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9).into()
    };
    packet_from(from, to)
}

/// A run that asks as seen from device `ifindex`, with these `BPF_FIB_LOOKUP_*`.
fn asking(packet: &[u8], ifindex: u32, flags: u32) -> Run {
    let mut run = marked("lookup_route", packet, ifindex);
    run.ctx.0[32..36].copy_from_slice(&flags.to_le_bytes());
    run
}

fn question() -> impl Strategy<Value = Run> {
    let v4 = (ipv4(), ipv4()).prop_map(|(from, to)| packet_from(from.into(), to.into()));
    let v6 = (ipv6(), ipv6()).prop_map(|(from, to)| packet_from(from.into(), to.into()));
    let ifindex = prop::sample::select(vec![1u32, 3, 3, 3, 5, 5, 7, 9]);
    // BPF_FIB_LOOKUP_DIRECT, _OUTPUT, _SKIP_NEIGH, _TBID, _SRC, _MARK, and one there is not.
    let flags = prop_oneof![3 => Just(0u32), 3 => (0..7u32).prop_map(|bit| 1 << bit), 1 => 0..128u32];
    let length =
        prop_oneof![3 => Just(0u32), 1 => prop::sample::select(vec![1280u32, 1281, 1500, 1501, 9001])];
    let table = prop::sample::select(vec![0u32, 253, 254, 255, 7]);
    (prop_oneof![v4, v6], ifindex, flags, length, table).prop_map(
        |(packet, ifindex, flags, length, table)| {
            let mut run = asking(&packet, ifindex, flags);
            for (offset, value) in [(48, length), (52, table)] {
                run.ctx.0[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
            }
            run
        },
    )
}

fn cases() -> impl Strategy<Value = Case> {
    (networks(), proptest::collection::vec(question(), 1..40)).prop_map(|(network, runs)| {
        let mut case = case(PROBE, &["lookup_route"], runs);
        case.network = network;
        case
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn both_planes_route_alike(case in cases()) {
        match report(&case) {
            Report::Seen(kernel) => compare(&case, &kernel),
            // A network the kernel does not make, such as one with the same route twice, is no question.
            Report::Declined(decline) => return Err(TestCaseError::reject(decline.reason)),
        }
    }
}

/// `BPF_FIB_LOOKUP_SRC`.
const WITH_SOURCE: u32 = 1 << 4;

#[test]
fn both_planes_choose_the_same_source() {
    for (eth0, eth1, to) in [
        (&["fd00::1/16", "fd00:1::1/16"][..], &[][..], "fd00:0:0:2::4"),
        (&["fd00::1/64", "fd00:1::1/64"], &[], "fd00:0:0:2::4"),
        (&["fd00::1/64", "fd00::2/64"], &[], "fd00::1"),
        (&["fe80::1/64", "fd00::1/64"], &[], "fd00:5::1"),
        (&["fe80::1/64"], &["fd00::1/64"], "fd00:5::1"),
        (&["2001:db8::1/64", "fd00::1/64"], &[], "fd77::1"),
        (&["2001:db8::1/64", "fd00::1/64"], &[], "2600::1"),
        (&["2001:db8::1/64"], &["2600::1/64"], "2600::2"),
        (&[], &["2600::1/64"], "2600::2"),
        (&[], &[], "2600::2"),
        (&["2001:10::1/28", "2001:db8::1/64"], &[], "2001:1f::1"),
        (&["2002::1/16", "2001::1/32", "3ffe::1/16"], &[], "2002:1::1"),
        (&["10.0.0.1/24", "10.0.0.2/24", "10.1.0.1/24"], &[], "10.1.0.9"),
        (&["10.0.0.1/24", "10.0.0.2/24", "10.1.0.1/24"], &[], "10.7.0.9"),
        (&[], &["10.0.0.1/24"], "10.7.0.9"),
        (&[], &[], "10.7.0.9"),
    ] {
        let device = |name: &str, ifindex, addresses: &[&str]| Device {
            name: name.into(),
            ifindex,
            mac: mac(ifindex as u8).into(),
            mtu: 1500,
            addresses: addresses.iter().map(ToString::to_string).collect(),
            forwarding: true,
        };
        let mut case = case(
            PROBE,
            &["lookup_route"],
            vec![asking(&packet(to.parse().expect("an address")), 3, WITH_SOURCE)],
        );
        case.network.devices = vec![device("eth0", 3, eth0), device("eth1", 5, eth1)];
        let default = if to.contains(':') { "::/0" } else { "0.0.0.0/0" };
        case.network.routes =
            vec![Route { to: default.into(), kind: RouteKind::Unicast, via: None, dev: Some("eth0".into()) }];
        agreed(&case);
    }
}
