//! Whole walks without programs; what programs do with frames is asked by scenarios, on a kernel too.

use super::{At, Space, World};
use crate::net::network::{Device, Neighbour, Network, Route, RouteKind};
use crate::net::{Config, Kernel};
use crate::uapi::Errno;
use crate::wire::expr::packet;

/// Three namespaces in a row, `a:1 -- 2:r:3 -- 4:b`, of which `r` forwards. 3 has MTU 1000. 2 and 3 have addresses .1, the
/// hosts .2, of 10.0.0.0/24 and 10.0.1.0/24; `a` knows its neighbour, `r` has to ask for 10.0.1.2.
fn row() -> World {
    let device = |ifindex: u32, mtu, address: &str| {
        let mut device =
            Device::ethernet(&format!("d{ifindex}"), ifindex + 10, [2, 0, 0, 0, 0, ifindex as u8]);
        device.mtu = mtu;
        device.addresses = vec![(address.parse().unwrap(), 24)];
        device
    };
    let space = |name: &str, mut devices: Vec<Device>, forwarding| {
        for device in &mut devices {
            device.forwarding = forwarding;
        }
        let via = |ifindex, via: &str| Route {
            to: ("0.0.0.0".parse().unwrap(), 0),
            kind: RouteKind::Unicast,
            via: Some(via.parse().unwrap()),
            ifindex,
        };
        let routes = match name {
            "a" => vec![via(11, "10.0.0.1")],
            "b" => vec![via(14, "10.0.1.1")],
            _ => Vec::new(),
        };
        let neighbours =
            vec![Neighbour { address: "10.0.0.2".parse().unwrap(), mac: [2, 0, 0, 0, 0, 1], ifindex: 12 }];
        Space::new(name, &Network { devices, routes, neighbours }, 0)
    };
    let spaces = vec![
        space("a", vec![device(1, 1500, "10.0.0.2")], false),
        space("r", vec![device(2, 1500, "10.0.0.1"), device(3, 1000, "10.0.1.1")], true),
        space("b", vec![device(4, 1500, "10.0.1.2")], false),
    ];
    let at = |space, ifindex| At { space, ifindex };
    World::new(spaces, &[(at(0, 11), at(1, 12)), (at(1, 13), at(2, 14))])
}

/// Sends from `a` and checks what taps see: device, `<` for what it receives, and the packet's last layers by length.
#[track_caller]
fn check(pkt: &str, want: &[&str], dropped: &[&str]) {
    let mut kernel = Kernel::new(&Config::default());
    let frame = packet(pkt).unwrap();
    let walk = row().send(&mut kernel, At { space: 0, ifindex: 11 }, &frame).unwrap();
    let seen: Vec<String> = walk
        .seen
        .iter()
        .map(|seen| {
            let way = if seen.received { '<' } else { '>' };
            let what = match ([seen.data[12], seen.data[13]], seen.data[14 + 9]) {
                ([8, 6], _) => ["", "who", "is"][usize::from(seen.data[21])].to_owned(),
                ([8, 0], 1) => format!("icmp {}/{}", seen.data[34], seen.data[35]),
                ([8, 0], _) => format!("ttl {}", seen.data[22]),
                _ => format!("{} bytes", seen.data.len()),
            };
            format!("{}{way} {what}", seen.at.ifindex - 10)
        })
        .collect();
    assert_eq!(seen, want, "{pkt}");
    let reasons: Vec<&str> = walk.dropped.iter().map(|dropped| dropped.reason).collect();
    assert_eq!(reasons, dropped, "{pkt}");
}

const ETHER: &str = "Ether(src='02:00:00:00:00:01',dst='02:00:00:00:00:02')";

#[test]
fn a_router_forwards_asks_and_tells_why_not() {
    let to = |dst: &str, rest: &str| format!("{ETHER}/IP(src='10.0.0.2',dst='{dst}'{rest}");
    let port_unreachable = "icmp 3/3";
    check(
        &to("10.0.1.2", ")/UDP(sport=1,dport=2)"),
        &[
            "1> ttl 64",
            "2< ttl 64",
            "3> who",
            "4< who",
            "4> is",
            "3< is",
            "3> ttl 63",
            "4< ttl 63",
            &format!("4> {port_unreachable}"),
            &format!("3< {port_unreachable}"),
            &format!("2> {port_unreachable}"),
            &format!("1< {port_unreachable}"),
        ],
        &["NO_SOCKET"],
    );
    check(
        &to("10.0.1.2", ",ttl=1)/UDP(sport=1,dport=2)"),
        &["1> ttl 1", "2< ttl 1", "2> icmp 11/0", "1< icmp 11/0"],
        &["IP_INHDR"],
    );
    check(
        &to("10.9.9.9", ")/UDP(sport=1,dport=2)"),
        &["1> ttl 64", "2< ttl 64", "2> icmp 3/0", "1< icmp 3/0"],
        &["IP_INNOROUTES"],
    );
    check(
        &to("10.0.1.2", ",flags='DF')/UDP(sport=1,dport=2)/Raw('x'*1000)"),
        &["1> ttl 64", "2< ttl 64", "2> icmp 3/4", "1< icmp 3/4"],
        &["PKT_TOO_BIG"],
    );
    check(
        &to("10.0.0.1", ")/ICMP(type=8)"),
        &["1> icmp 8/0", "2< icmp 8/0", "2> icmp 0/0", "1< icmp 0/0"],
        &[],
    );
    check(
        &to("10.0.0.1", ")/UDP()").replace("10.0.0.2", "127.0.0.1"),
        &["1> ttl 64", "2< ttl 64"],
        &["IP_LOCAL_SOURCE"],
    );
    check(
        &to("10.0.1.2", ")/UDP()").replace("00:02'", "00:09'"),
        &["1> ttl 64", "2< ttl 64"],
        &["OTHERHOST"],
    );
}

#[test]
fn what_is_too_long_is_refused_at_once() {
    let mut kernel = Kernel::new(&Config::default());
    let at = At { space: 1, ifindex: 13 };
    let mut frame = packet(&format!("{ETHER}/Raw('x')")).unwrap();
    frame.resize(1015, 0);
    let walk = row().send(&mut kernel, at, &frame).unwrap();
    assert_eq!((walk.errno, walk.seen.len()), (Some(Errno::EMSGSIZE), 0));
    frame.resize(1014, 0);
    assert_eq!(row().send(&mut kernel, at, &frame).unwrap().seen.len(), 2);
    assert_eq!(row().send(&mut kernel, at, &frame[..13]).unwrap().errno, Some(Errno::EINVAL));
}
