use pnet_packet::Packet as _;
use pnet_packet::{ethernet, ipv4, ipv6, tcp, udp};
use proptest::prelude::*;

use super::*;
use crate::wire::expr::packet;

/// Every byte belongs to exactly one layer, every bit of a layer to exactly one field, and values are those of the bytes.
fn covers(frame: &[u8]) -> Result<(), TestCaseError> {
    let dissection = dissect(frame);
    let mut at = 0;
    for layer in &dissection.layers {
        prop_assert_eq!(layer.header.start, at, "{} begins elsewhere", layer.label());
        let mut bit = at * 8;
        for shown in &layer.fields {
            prop_assert_eq!(shown.bits.start, bit, "{}.{}", layer.label(), shown.field.name);
            bit = shown.bits.end;
            match &shown.value {
                Value::Number(number) => prop_assert_eq!(layer::get(frame, shown.bits.clone()), *number),
                Value::Bytes(bytes) => prop_assert_eq!(&frame[shown.bytes()], &bytes[..]),
            }
            prop_assert!(!shown.to_string().is_empty() || shown.field.bits == 9 || shown.field.bits == 3);
        }
        prop_assert_eq!(bit, layer.header.end * 8, "{} has bits without a field", layer.label());
        prop_assert!(layer.end >= layer.header.end && layer.end <= frame.len());
        at = layer.header.end;
    }
    prop_assert_eq!(at, frame.len());
    Ok(())
}

#[test]
fn every_capture_is_covered_and_agrees_with_pnet() {
    let mut compared = 0;
    for capture in bpftwin_pcaps::CAPTURES {
        for packet in crate::wire::pcap::read(capture.bytes).unwrap() {
            covers(packet.data).unwrap_or_else(|error| panic!("{}#{}: {error}", capture.file, packet.number));
            compared += second_opinion(packet.data);
        }
    }
    assert!(compared > 20_000, "{compared} fields compared");
}

/// Compares fields with pnet_packet's views; how many.
fn second_opinion(frame: &[u8]) -> usize {
    let dissection = dissect(frame);
    let number = |path: &str| match dissection.field(path).map(|shown| &shown.value) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    };
    let mut compared = 0;
    let mut same = |path: &str, theirs: u128| {
        if let Some(ours) = number(path) {
            assert_eq!(ours, theirs, "{path} in {dissection}");
            compared += 1;
        }
    };
    let Some(ether) = ethernet::EthernetPacket::new(frame) else { return 0 };
    same("Ether.type", ether.get_ethertype().0.into());
    let Some(Carries::Header(outer)) = dissection.layers.get(1).map(|layer| Carries::Header(layer.proto))
    else {
        return compared;
    };
    let transport = match outer {
        Proto::Ip => {
            let Some(ip) = ipv4::Ipv4Packet::new(ether.payload()) else { return compared };
            same("IP.version", ip.get_version().into());
            same("IP.ihl", ip.get_header_length().into());
            same("IP.len", ip.get_total_length().into());
            same("IP.id", ip.get_identification().into());
            same("IP.flags", ip.get_flags().into());
            same("IP.frag", ip.get_fragment_offset().into());
            same("IP.ttl", ip.get_ttl().into());
            same("IP.proto", ip.get_next_level_protocol().0.into());
            same("IP.chksum", ip.get_checksum().into());
            same("IP.src", u32::from(ip.get_source()).into());
            same("IP.dst", u32::from(ip.get_destination()).into());
            &frame[dissection.layers[1].header.end..]
        }
        Proto::Ip6 => {
            let Some(ip) = ipv6::Ipv6Packet::new(ether.payload()) else { return compared };
            same("IPv6.version", ip.get_version().into());
            same("IPv6.tc", ip.get_traffic_class().into());
            same("IPv6.fl", ip.get_flow_label().into());
            same("IPv6.plen", ip.get_payload_length().into());
            same("IPv6.nh", ip.get_next_header().0.into());
            same("IPv6.hlim", ip.get_hop_limit().into());
            same("IPv6.src", u128::from(ip.get_source()));
            same("IPv6.dst", u128::from(ip.get_destination()));
            &frame[dissection.layers[1].header.end..]
        }
        _ => return compared,
    };
    match dissection.layers.get(2).map(|layer| layer.proto) {
        Some(Proto::Tcp) => {
            let Some(tcp) = tcp::TcpPacket::new(transport) else { return compared };
            same("TCP.sport", tcp.get_source().into());
            same("TCP.dport", tcp.get_destination().into());
            same("TCP.seq", tcp.get_sequence().into());
            same("TCP.ack", tcp.get_acknowledgement().into());
            same("TCP.dataofs", tcp.get_data_offset().into());
            same("TCP.window", tcp.get_window().into());
            same("TCP.chksum", tcp.get_checksum().into());
        }
        Some(Proto::Udp) => {
            let Some(udp) = udp::UdpPacket::new(transport) else { return compared };
            same("UDP.sport", udp.get_source().into());
            same("UDP.dport", udp.get_destination().into());
            same("UDP.len", udp.get_length().into());
            same("UDP.chksum", udp.get_checksum().into());
        }
        _ => {}
    }
    compared
}

/// The frame, or the expression's, reads as this.
fn check(text: &str, expect: &str) {
    let frame = packet(text).unwrap();
    let layers = dissect(&frame).layers;
    assert_eq!(layers.iter().map(Layer::label).collect::<Vec<_>>().join("/"), expect, "{text}");
}

#[test]
fn layers_are_found() {
    check("Ether()/IP()/UDP()", "Ether/IP/UDP");
    check("Ether(type=0x800)/hex'450000'", "Ether/IP/Raw");
    check("Ether()/IP(ihl=4)/UDP()", "Ether/IP/UDP");
    check("Ether()/IP(ihl=15)/UDP()", "Ether/IP");
    check("Ether()/IP(len=24)/UDP()", "Ether/IP/UDP/Padding");
    check("Ether()/IP(len=42)/TCP()/'data'", "Ether/IP/TCP/Raw/Padding");
    check("Ether()/IP(len=0)/TCP()/'data'", "Ether/IP/TCP/Raw");
    check("Ether()/IP(frag=1)/TCP()", "Ether/IP/Raw");
    check("Ether()/IP()/IP()/IP()/IP()", "Ether/IP/IP:2/IP:3/IP:4");
    check("Ether()/IP()/UDP()/Padding('x')", "Ether/IP/UDP/Padding");
    check("Ether()/IP()/UDP()/VXLAN()/Ether()/IP(len=20)/'pad'", "Ether/IP/UDP/VXLAN/Ether:2/IP:2/Padding");
    check("Ether(type=60)/hex'aaaa03000000080045'", "Dot3/LLC/SNAP/IP");
    check("Dot3()/LLC()/SNAP()/IP()", "Dot3/LLC/SNAP/IP");
    check("Ether(type=4)/hex'4242030001'", "Dot3/LLC/Raw/Padding");
    check("Ether()/IP()/ICMP(type=3,code=1)/IP()/UDP()", "Ether/IP/ICMP/IP:2/UDP");
    check("Ether()/IPv6()/ICMPv6ND_NS()/ICMPv6NDOptUnknown(len=0)", "Ether/IPv6/ICMPv6ND_NS/Raw");
    check("Ether()/IPv6()/ESP(spi=1,data='xxxx')", "Ether/IPv6/ESP");
    check("Ether()/IPv6()/AH(icv=b'x'*12)/TCP()", "Ether/IPv6/AH/TCP");
    check("Ether()/IP()/UDP()/GUE()/IP()/TCP()", "Ether/IP/UDP/GUE/IP:2/TCP");
    check("Ether()/IP()/UDP(dport=6080)/IP()/TCP()", "Ether/IP/UDP/IP:2/TCP");
    check("Raw('thirteen byte')", "Ether/Raw");
}

#[test]
fn nesting_ends() {
    let deep = packet(&format!("Ether(){}", "/IP()".repeat(200))).unwrap();
    assert!(dissect(&deep).layers.len() <= DEPTH_MAX + 1);
    covers(&deep).unwrap();
}

#[test]
fn values_are_printable() {
    let frame =
        packet("Ether()/IP(flags='MF+DF',src='10.0.0.1')/TCP(flags='SA',chksum=0x1f)/hex'00'").unwrap();
    let shown = |path: &str| dissect(&frame).field(path).map(ToString::to_string);
    for (path, expect) in [
        ("Ether.dst", "ff:ff:ff:ff:ff:ff"),
        ("Ether.type", "IPv4"),
        ("IP.flags", "MF+DF"),
        ("IP.src", "10.0.0.1"),
        ("IP:1.proto", "tcp"),
        ("TCP.flags", "SA"),
        ("TCP.chksum", "0x1f"),
        ("Raw.load", "hex'00'"),
    ] {
        assert_eq!(shown(path).as_deref(), Some(expect), "{path}");
    }
    for none in ["IP.options", "IP:2.src", "IP.dts", "IP", "UDP.len"] {
        assert_eq!(shown(none), None, "{none}");
    }
}

/// Headers in front of random bytes, so that every dissector sees nonsense.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let starts: Vec<Vec<u8>> = [
        "Ether()",
        "Ether()/IP(len=0)/TCP()",
        "Ether()/IP(len=0)/UDP(len=0)/VXLAN()",
        "Ether()/IP(len=0)/UDP(len=0)/GENEVE()",
        "Ether()/IP(len=0)/UDP(dport=6080,len=0)",
        "Ether()/IP(len=0,proto=47)",
        "Ether()/IP(len=0,proto=1)",
        "Ether()/IP(len=0,proto=4)",
        "Ether()/IPv6(plen=0,nh=0)",
        "Ether()/IPv6(plen=0,nh=58)",
        "Ether()/IPv6(plen=0)/IPv6ExtHdrFragment(nh=60)",
        "Ether()/IPv6(plen=0)/ICMPv6ND_NS()",
        "Ether()/Dot1AD()/Dot1Q(type=0x86dd)",
        "Ether(type=0x806)",
        "Ether(type=40)",
    ]
    .iter()
    .map(|text| packet(text).unwrap())
    .collect();
    let tail = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..120),
        prop::collection::vec(
            prop::sample::select(vec![0u8, 1, 4, 5, 6, 17, 41, 43, 44, 47, 51, 58, 60, 0x45, 0x60, 255]),
            0..120
        ),
    ];
    (prop::sample::select(starts), tail, 0usize..200).prop_map(|(mut frame, tail, cut)| {
        frame.extend(tail);
        frame.truncate(cut);
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50_000))]

    #[test]
    fn no_bytes_panic(frame in prop::collection::vec(any::<u8>(), 0..150)) {
        covers(&frame)?;
    }

    #[test]
    fn no_headers_panic(frame in frame()) {
        covers(&frame)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 50_000, ..ProptestConfig::with_cases(5_000) })]

    #[test]
    fn what_is_shown_is_an_expression_for_the_same_bytes(frame in frame()) {
        let read = dissect(&frame);
        // A header cut in its fixed fields cannot be said in an expression.
        prop_assume!(!frame.is_empty() && !read.layers.iter().any(|layer| layer.cut));
        let again = packet(&read.to_string()).map_err(|error| TestCaseError::fail(format!("{read}: {error}")))?;
        prop_assert_eq!(again, frame, "{}", read);
    }
}
