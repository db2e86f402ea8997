use proptest::prelude::*;

use super::*;
use crate::wire::diff::diff;
use crate::wire::expr::packet;

fn text(value: &str) -> Literal {
    value.parse().map_or_else(|_| Literal::from_text(value), Literal::Number)
}

/// The frame of `from` with the edits is the frame of `to`.
fn check(from: &str, edits: &[(&str, &str)], to: &str) {
    let edits: Vec<_> = edits.iter().map(|(path, value)| ((*path).to_owned(), text(value))).collect();
    let result = set(&packet(from).unwrap(), &edits).unwrap_or_else(|error| panic!("{from}: {error}"));
    let expect = packet(to).unwrap();
    assert!(result == expect, "{from} -> {to}\n{:#?}", diff(&result, &expect));
}

#[test]
fn right_checksums_stay_right() {
    check(
        "Ether()/IP(dst='10.0.0.1')/TCP(dport=80)/'odd'",
        &[("IP.dst", "10.0.1.7"), ("TCP.dport", "8080"), ("IP.ttl", "63")],
        "Ether()/IP(dst='10.0.1.7',ttl=63)/TCP(dport=8080)/'odd'",
    );
    check(
        "Ether()/IPv6(src='fd00::1')/UDP(sport=5)/'x'",
        &[("IPv6.src", "fd00::ffff"), ("IPv6.hlim", "3"), ("UDP.sport", "0xffff")],
        "Ether()/IPv6(src='fd00::ffff',hlim=3)/UDP(sport=65535)/'x'",
    );
    check(
        "Ether()/IP()/UDP()/VXLAN(vni=1)/Ether()/IP()/TCP()",
        &[("IP:2.src", "10.9.9.9"), ("TCP.flags", "SA"), ("VXLAN.vni", "7")],
        "Ether()/IP()/UDP()/VXLAN(vni=7)/Ether()/IP(src='10.9.9.9')/TCP(flags='SA')",
    );
    check(
        "Ether()/IP()/ICMP(id=1)/'ping'",
        &[("ICMP.id", "77"), ("Ether.dst", "02:00:00:00:00:01")],
        "Ether(dst='02:00:00:00:00:01')/IP()/ICMP(id=77)/'ping'",
    );
    check(
        "Ether()/IPv6()/ICMPv6EchoRequest()",
        &[("IPv6.dst", "::9")],
        "Ether()/IPv6(dst='::9')/ICMPv6EchoRequest()",
    );
    check("Ether()/IP()/SCTP(sport=1)/'x'", &[("SCTP.sport", "2")], "Ether()/IP()/SCTP(sport=2)/'x'");
    check("Ether()/Dot1Q(vlan=5)/IP()", &[("Dot1Q.vlan", "6")], "Ether()/Dot1Q(vlan=6)/IP()");
}

#[test]
fn what_is_wrong_or_absent_stays_so() {
    check(
        "Ether()/IP(src='10.0.0.1')/UDP(chksum=0)/'x'",
        &[("IP.src", "10.0.0.2")],
        "Ether()/IP(src='10.0.0.2')/UDP(chksum=0)/'x'",
    );
    check(
        "Ether()/IP()/TCP(chksum=0xbad)",
        &[("TCP.chksum", "0xbad1"), ("TCP.dport", "81")],
        "Ether()/IP()/TCP(dport=81,chksum=0xbad1)",
    );
    // One more on the port is one less in the checksum, wrong as it is.
    check(
        "Ether()/IP()/TCP(dport=80,chksum=0x1000)",
        &[("TCP.dport", "81")],
        "Ether()/IP()/TCP(dport=81,chksum=0xfff)",
    );
    check("Ether()/IP()/SCTP(chksum=1)", &[("SCTP.sport", "2")], "Ether()/IP()/SCTP(sport=2,chksum=1)");
    check(
        "Ether()/IP(chksum=0)/UDP()",
        &[("IP.chksum", "0x1234"), ("IP.proto", "6")],
        "Ether()/IP(chksum=0x1234,proto=6)/UDP()",
    );
}

#[test]
fn lengths_follow_the_payload() {
    check("Ether()/IP()/UDP()/'ab'", &[("Raw.load", "hello")], "Ether()/IP()/UDP()/'hello'");
    check("Ether()/IP()/UDP()/'ab'", &[("Raw.load", "hex'00'")], "Ether()/IP()/UDP()/hex'00'");
    check("Ether()/IPv6()/TCP()/'ab'/Padding('p')", &[("Raw.load", "")], "Ether()/IPv6()/TCP()/Padding('p')");
    check(
        "Ether()/IP()/UDP()/VXLAN()/Ether()/IP()/UDP(dport=9)/'x'",
        &[("Raw.load", "longer"), ("UDP:2.dport", "7")],
        "Ether()/IP()/UDP()/VXLAN()/Ether()/IP()/UDP(dport=7)/'longer'",
    );
    check("Ether()/IP()/UDP()/Padding('pp')", &[("Padding.load", "p")], "Ether()/IP()/UDP()/Padding('p')");
    check(
        "Ether()/IP()/UDP()/'ab'",
        &[("UDP.len", "99"), ("Raw.load", "abc")],
        "Ether()/IP()/UDP(len=99)/'abc'",
    );
    check(
        "Ether()/IP(options=hex'01010101')",
        &[("IP.options", "hex'00000000'")],
        "Ether()/IP(options=hex'00000000')",
    );
}

#[test]
fn mistakes_are_explained() {
    let frame = packet("Ether()/IP(options=hex'01010101')/TCP()/'x'").unwrap();
    let cases: [&[(&str, &str)]; 11] = [
        &[("IP", "1")],
        &[("IPv4.src", "10.0.0.1")],
        &[("UDP.sport", "1")],
        &[("IP:2.src", "10.0.0.1")],
        &[("IP.scr", "10.0.0.1")],
        &[("IP.colour", "1")],
        &[("IP.src", "10.0.0")],
        &[("IP.ttl", "256")],
        &[("IP.ttl", "1"), ("IP.ttl", "2")],
        &[("IP.options", "hex'00'")],
        &[("TCP.flags", "hex'00'")],
    ];
    let report = cases.map(|edits| {
        let edits: Vec<_> = edits.iter().map(|(path, value)| ((*path).to_owned(), text(value))).collect();
        format!("{}\n", set(&frame, &edits).unwrap_err())
    });
    insta::assert_snapshot!(report.concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn equals_building_anew(dst: [u8; 4], dport: u16, ttl: u8, load in "[a-z]{1,60}") {
        let dst = std::net::Ipv4Addr::from(dst);
        for (transport, name) in [("TCP", "TCP.dport"), ("UDP", "UDP.dport")] {
            let (dst_text, port, ttl_text) = (dst.to_string(), dport.to_string(), ttl.to_string());
            // Ports with a tunnel behind them would make another layer of the data.
            prop_assume!(![4789, 6080, 6081].contains(&dport));
            check(
                &format!("Ether()/IP(dst='10.0.0.1')/{transport}(dport=80)/'data'"),
                &[("IP.dst", &dst_text), (name, &port), ("IP.ttl", &ttl_text), ("Raw.load", &load)],
                &format!("Ether()/IP(dst='{dst}',ttl={ttl})/{transport}(dport={dport})/'{load}'"),
            );
        }
    }

    #[test]
    fn no_frame_panics(frame in prop::collection::vec(any::<u8>(), 0..100), kind in prop::sample::select(vec![0x0800u16, 0x86dd]), byte: u8, load: Vec<u8>) {
        let mut frame = frame;
        if frame.len() > 24 {
            frame[12..14].copy_from_slice(&kind.to_be_bytes());
            frame[14] = if kind == 0x0800 { 0x45 } else { 0x60 };
        }
        for layer in dissect(&frame).layers {
            for shown in &layer.fields {
                let path = format!("{}.{}", layer.label(), shown.field.name);
                let value = match shown.value {
                    Value::Number(_) => Literal::Number(u128::from(byte) % (1 << shown.field.bits.min(8))),
                    Value::Bytes(_) => Literal::Bytes(load.clone()),
                };
                let _ = set(&frame, &[(path, value)]);
            }
        }
    }
}
