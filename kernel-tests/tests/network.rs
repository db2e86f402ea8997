//! The network of a case, as bpf_fib_lookup() sees it. Needs root.

mod rig;

use bpftwin_conformance::case::{Case, Device, Neighbour, Route, RouteKind};
use bpftwin_conformance::observation::Report;
use rig::{PROBE, binary, case, feed, marked, report, seen};

const ETH0: [u8; 6] = [2, 0, 0, 0, 0, 5];
const ETH1: [u8; 6] = [2, 0, 0, 0, 0, 9];
const GATEWAY: [u8; 6] = [2, 0, 0, 0, 1, 1];

/// `BPF_FIB_LKUP_RET_*` of `include/uapi/linux/bpf.h`, v6.12.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Code {
    Success = 0,
    Blackhole = 1,
    Unreachable = 2,
    Prohibit = 3,
    NotForwarded = 4,
    ForwardingDisabled = 5,
    NoNeighbour = 7,
}

fn device(name: &str, ifindex: u32, mac: [u8; 6], addresses: &[&str]) -> Device {
    let addresses = addresses.iter().map(ToString::to_string).collect();
    Device {
        name: name.into(),
        ifindex,
        mac: mac.to_vec().into(),
        mtu: 1400 + ifindex,
        addresses,
        forwarding: true,
    }
}

fn route(to: &str, kind: RouteKind, via: Option<&str>, dev: Option<&str>) -> Route {
    Route { to: to.into(), kind, via: via.map(str::to_owned), dev: dev.map(str::to_owned) }
}

fn neighbour(address: &str, dev: &str) -> Neighbour {
    Neighbour { address: address.into(), mac: GATEWAY.to_vec().into(), dev: dev.into() }
}

/// Two devices, one of each kind of route for each family.
fn network() -> Case {
    let mut case = case(PROBE, &["lookup_route"], Vec::new());
    let network = &mut case.network;
    network.devices = vec![
        device("eth0", 5, ETH0, &["10.0.0.1/24", "fd00::1/64"]),
        device("eth1", 9, ETH1, &["192.0.2.1/24", "2001:db8::1/64"]),
        Device {
            forwarding: false,
            ..device("eth2", 12, [2, 0, 0, 0, 0, 12], &["10.2.0.1/24", "fd02::1/64"])
        },
    ];
    network.routes = vec![
        route("0.0.0.0/0", RouteKind::Unicast, Some("192.0.2.254"), Some("eth1")),
        route("10.9.0.0/16", RouteKind::Unicast, None, Some("eth1")),
        route("10.3.0.0/16", RouteKind::Blackhole, None, None),
        route("10.4.0.0/16", RouteKind::Unreachable, None, None),
        route("10.5.0.0/16", RouteKind::Prohibit, None, None),
        route("::/0", RouteKind::Unicast, Some("2001:db8::254"), Some("eth1")),
        route("fd03::/16", RouteKind::Blackhole, None, None),
        route("fd04::/16", RouteKind::Unreachable, None, None),
        route("fd05::/16", RouteKind::Prohibit, None, None),
    ];
    network.neighbours = vec![
        neighbour("192.0.2.254", "eth1"),
        neighbour("2001:db8::254", "eth1"),
        neighbour("10.0.0.7", "eth0"),
        neighbour("fd00::7", "eth0"),
    ];
    case
}

/// A packet to `to`, with an address of the first device's network as its source.
fn packet(to: &str) -> Vec<u8> {
    let mut packet = vec![0; 12];
    match to.parse().expect("an address") {
        std::net::IpAddr::V4(to) => {
            packet.extend_from_slice(&[8, 0, 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 2]);
            packet.extend_from_slice(&to.octets());
        }
        std::net::IpAddr::V6(to) => {
            packet.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 59, 64, 0xfd, 0]);
            packet.extend_from_slice(&[0; 13]);
            packet.push(2);
            packet.extend_from_slice(&to.octets());
        }
    }
    packet
}

#[test]
fn routes_and_neighbours_are_found() {
    let at_eth0 = |to, code, found| (5, to, code, found);
    let direct = Some((5, ETH0, GATEWAY));
    let routed = Some((9, ETH1, GATEWAY));
    let table = [
        at_eth0("10.0.0.7", Code::Success, direct),
        at_eth0("10.0.0.8", Code::NoNeighbour, None),
        at_eth0("10.0.0.1", Code::NotForwarded, None),
        at_eth0("10.0.0.255", Code::NotForwarded, None),
        at_eth0("127.0.0.1", Code::NotForwarded, None),
        at_eth0("8.8.8.8", Code::Success, routed),
        at_eth0("10.9.1.1", Code::NoNeighbour, None),
        at_eth0("10.3.1.1", Code::Blackhole, None),
        at_eth0("10.4.1.1", Code::Unreachable, None),
        at_eth0("10.5.1.1", Code::Prohibit, None),
        (12, "8.8.8.8", Code::ForwardingDisabled, None),
        at_eth0("fd00::7", Code::Success, direct),
        at_eth0("fd00::8", Code::NoNeighbour, None),
        at_eth0("fd00::1", Code::NotForwarded, None),
        at_eth0("2001:db8:1::1", Code::Success, routed),
        at_eth0("fd03::1", Code::Blackhole, None),
        at_eth0("fd04::1", Code::Unreachable, None),
        at_eth0("fd05::1", Code::Prohibit, None),
        (12, "2001:db8:1::1", Code::ForwardingDisabled, None),
    ];
    let mut case = network();
    case.runs = table.iter().map(|(from, to, ..)| marked("lookup_route", &packet(to), *from)).collect();
    // An answer equal to the one before is no change.
    let seen = seen(&case);
    let mut now = vec![0; 68];
    for ((from, to, code, found), run) in table.iter().zip(&seen.runs) {
        if let Some(change) = run.maps.iter().find(|change| change.map == "route") {
            now = change.value.as_ref().expect("an array's element").to_vec();
        }
        let number = |at: usize| u32::from_le_bytes(now[at..at + 4].try_into().expect("4 bytes"));
        assert_eq!(number(0), *code as u32, "from {from} to {to}: {code:?}");
        if let Some((ifindex, smac, dmac)) = found {
            assert_eq!((number(12), &now[56..62], &now[62..68]), (*ifindex, &smac[..], &dmac[..]), "to {to}");
        }
    }
}

#[test]
fn a_namespace_has_nothing_but_what_the_case_says() {
    let mut first = network();
    first.runs = vec![marked("lookup_route", &packet("8.8.8.8"), 5)];
    let mut second = case(PROBE, &["lookup_route"], vec![marked("lookup_route", &packet("8.8.8.8"), 5)]);
    second.name = "no network".into();
    let input = [&first, &second].map(|case| serde_json::to_string(case).expect("serialises")).join("\n");
    let answer = feed(&mut binary(), &input);
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    let events = answer.events();
    let report = |events: &[_]| Report::collect(events.to_vec()).expect("whole");
    let code = |report| match report {
        Report::Seen(seen) => seen.runs[0].maps[0].value.as_ref().expect("set")[..4].to_vec(),
        Report::Declined(decline) => panic!("{}", decline.reason),
    };
    assert_eq!(code(report(&events[..3])), 0u32.to_le_bytes());
    assert_eq!(
        code(report(&events[3..])),
        (-19i32).to_le_bytes(),
        "the first case's device is gone: -ENODEV"
    );
}

#[test]
fn a_network_the_kernel_refuses_is_declined_with_its_reason() {
    let mut unreachable = network();
    unreachable.network.routes[0].via = Some("203.0.113.1".into());
    let mut twice = network();
    twice.network.devices[1].ifindex = 5;
    let mut small = network();
    small.network.devices[0].mtu = 20;
    for (case, reason) in [
        (
            unreachable,
            "the kernel does not add the route to 0.0.0.0/0: -ENETUNREACH (Nexthop has invalid gateway)",
        ),
        (twice, "the kernel does not make device eth1: -EEXIST"),
        (small, "the kernel does not make device eth0: -EINVAL"),
    ] {
        let Report::Declined(decline) = report(&case) else { panic!("{reason}: it was made") };
        assert!(decline.reason.contains(reason), "{} instead of {reason}", decline.reason);
    }
}

#[test]
fn a_network_that_makes_no_sense_is_a_wrong_case() {
    type Change = fn(&mut Case);
    let changes: [(Change, &str); 6] = [
        (|c| c.network.devices[0].ifindex = 1, "device eth0: ifindex 1 is not in 2..1048576"),
        (|c| c.network.devices[0].mac = vec![1].into(), "device eth0: a MAC address of 1 bytes instead of 6"),
        (
            |c| c.network.devices[0].addresses[0] = "10.0.0.1".into(),
            "\"10.0.0.1\" is not an address with a prefix",
        ),
        (|c| c.network.routes[0].dev = None, "route to 0.0.0.0/0: a unicast route needs a device"),
        (
            |c| c.network.routes[0].via = Some("::1".into()),
            "route to 0.0.0.0/0: the gateway is of the other family",
        ),
        (|c| c.network.neighbours[0].dev = "eth7".into(), "neighbour 192.0.2.254: there is no device eth7"),
    ];
    for (change, message) in changes {
        let mut case = network();
        change(&mut case);
        let answer = feed(&mut binary(), &serde_json::to_string(&case).expect("serialises"));
        assert_eq!(answer.code, Some(2), "{message}: {}", answer.err);
        assert!(answer.err.contains(message), "wanted {message:?} in {}", answer.err);
    }
}
