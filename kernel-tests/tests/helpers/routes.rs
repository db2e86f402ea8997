//! Random route lookups in a network that has one of everything.

use std::net::IpAddr;

use bpftwin_conformance::case::{Device, Neighbour, Network, Route, RouteKind};
use bpftwin_sim::uapi::ProgType;

use super::calls::Arg::{Buf, Ctx, Imm};
use super::calls::{Call, Packet, Trial};
use super::generate::{Random, call};

/// Two devices that forward and one that does not, and one of each kind of route.
pub fn network() -> Network {
    use RouteKind::{Blackhole, Prohibit, Unicast, Unreachable};
    let device = |name: &str, ifindex: u32, mtu, addresses: &[&str]| Device {
        name: name.into(),
        ifindex,
        mac: vec![2, 0, 0, 0, 0, ifindex as u8].into(),
        mtu,
        addresses: addresses.iter().map(ToString::to_string).collect(),
        forwarding: true,
    };
    let route = |to: &str, kind, via: Option<&str>, dev: Option<&str>| Route {
        to: to.into(),
        kind,
        via: via.map(str::to_owned),
        dev: dev.map(str::to_owned),
    };
    let neighbour = |address: &str, dev: &str| Neighbour {
        address: address.into(),
        mac: vec![2, 0, 0, 0, 1, 1].into(),
        dev: dev.into(),
    };
    Network {
        devices: vec![
            device("eth0", 5, 1400, &["10.0.0.1/24", "fd00::1/64"]),
            device("eth1", 9, 1500, &["192.0.2.1/24", "192.0.2.129/25", "2001:db8::1/64", "10.8.0.1/32"]),
            Device { forwarding: false, ..device("eth2", 12, 1500, &["10.2.0.1/24", "fd02::1/64"]) },
        ],
        routes: vec![
            route("0.0.0.0/0", Unicast, Some("192.0.2.254"), Some("eth1")),
            route("10.9.0.0/16", Unicast, None, Some("eth1")),
            route("10.9.7.0/24", Unicast, Some("10.0.0.7"), Some("eth0")),
            route("10.3.0.0/16", Blackhole, None, None),
            route("10.4.0.0/16", Unreachable, None, None),
            route("10.5.0.0/16", Prohibit, None, None),
            route("::/0", Unicast, Some("2001:db8::254"), Some("eth1")),
            route("fd09::/32", Unicast, Some("fd00::7"), Some("eth0")),
            route("fd03::/16", Blackhole, None, None),
            route("fd04::/16", Unreachable, None, None),
            route("fd05::/16", Prohibit, None, None),
        ],
        neighbours: vec![
            neighbour("192.0.2.254", "eth1"),
            neighbour("2001:db8::254", "eth1"),
            neighbour("10.0.0.7", "eth0"),
            neighbour("fd00::7", "eth0"),
        ],
    }
}

const V4: [&str; 17] = [
    "10.0.0.7",
    "10.0.0.8",
    "10.0.0.1",
    "10.0.0.0",
    "10.0.0.255",
    "127.0.0.1",
    "8.8.8.8",
    "10.9.1.1",
    "10.9.7.3",
    "10.3.1.1",
    "10.4.1.1",
    "10.5.1.1",
    "192.0.2.130",
    "192.0.2.255",
    "192.0.2.127",
    "224.0.0.1",
    "10.8.0.1",
];
const V6: [&str; 14] = [
    "fd00::7",
    "fd00::8",
    "fd00::1",
    "fd00::",
    "::1",
    "2001:db8:1::1",
    "fd09::1",
    "fd03::1",
    "fd04::1",
    "fd05::1",
    "2001:db8::",
    "fe80::1",
    "ff02::1",
    "fd02::5",
];

/// A program of route lookups and MTU checks in [`network`].
pub fn fib(r: &mut Random) -> Trial {
    let mut calls = Vec::new();
    for at in (0..=r.below(4) as u32).map(|n| n * 128) {
        let v4 = r.chance(2);
        let fill = |offset: u32, value: u32| Call::Fill { at: at + offset, value };
        let octets = |text: &str| match text.parse().expect("an address") {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let (family, src, dst) = if v4 { (2, r.of(&V4), r.of(&V4)) } else { (10, r.of(&V6), r.of(&V6)) };
        calls.push(fill(0, if r.chance(20) { 99 } else { family }));
        calls.push(fill(4, r.of(&[0, 0, 1, 1400, 1401, 1500, 1501, 65535]) << 16));
        calls.push(fill(8, r.of(&[5, 5, 5, 9, 9, 12, 1, 99])));
        calls.push(fill(12, r.of(&[0, 0x10])));
        for (base, text) in [(16, src), (32, dst)] {
            for (word, bytes) in octets(text).chunks(4).enumerate() {
                let value = u32::from_le_bytes(bytes.try_into().expect("4 bytes"));
                calls.push(fill(base + 4 * word as u32, value));
            }
        }
        calls.push(fill(48, r.of(&[254, 254, 255, 253, 77, 0])));
        let flags = r.of(&[0, 0, 1, 2, 3, 4, 9, 11, 8, 16, 17, 18, 20, 32, 63, 64]);
        calls.push(call("fib_lookup", vec![Ctx, Buf(at), Imm(r.of(&[64, 64, 64, 64, 63, 80])), Imm(flags)]));
        if r.chance(3) {
            let ifindex = Imm(r.of(&[5, 9, 12, 99]));
            let diff = Imm(r.of(&[0, 1, 1300, 1400, 1500, -70]));
            calls.push(call("check_mtu", vec![Ctx, ifindex, Buf(at + 100), diff, Imm(0)]));
        }
    }
    let prog_type = r.of(&[ProgType::SchedCls, ProgType::Xdp]);
    let ctx = if prog_type == ProgType::SchedCls && r.chance(2) {
        vec![(40, r.of(&[5, 9, 12]))]
    } else {
        Vec::new()
    };
    Trial {
        prog_type,
        packet: Packet::Udp4,
        len: r.of(&[60, 60, 1400, 1418, 1419, 1518, 1519]),
        flags: 0,
        repeat: 1,
        ctx,
        calls,
    }
}
