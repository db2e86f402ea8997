//! How long a header is, and what comes behind it.

use super::Proto;

/// What comes behind a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carries {
    /// A header.
    Header(Proto),
    /// Bytes without meaning here: user data, later fragments, unknown protocols, ciphertext.
    Data,
}

const ETH_P_802_3_MIN: u16 = 0x0600;
const VXLAN_PORT: u16 = 4789;
const GENEVE_PORT: u16 = 6081;
const GUE_PORT: u16 = 6080;

fn byte(header: &[u8], at: usize) -> usize {
    header.get(at).copied().unwrap_or_default().into()
}

fn half(header: &[u8], at: usize) -> u16 {
    (byte(header, at) << 8 | byte(header, at + 1)) as u16
}

/// The outermost header of a frame: 802.3 if the type field is a length.
pub fn first(frame: &[u8]) -> Proto {
    match half(frame, 12) {
        length if frame.len() >= 14 && length < ETH_P_802_3_MIN => Proto::Dot3,
        _ => Proto::Ether,
    }
}

/// The length in bytes that a header claims to have, from its first bytes on; never less than its fixed fields. `rest`
/// runs from the header to the end of what the layer around it carries.
pub fn header_len(proto: Proto, rest: &[u8]) -> usize {
    let fixed: usize =
        proto.spec().fields.iter().filter(|f| f.when.is_none()).map(|f| f.bits).sum::<usize>() / 8;
    let claimed = match proto {
        Proto::Ip => (byte(rest, 0) & 15) * 4,
        Proto::Tcp => (byte(rest, 12) >> 4) * 4,
        Proto::HopByHop | Proto::DestOpt | Proto::Routing => (byte(rest, 1) + 1) * 8,
        Proto::Ah => (byte(rest, 1) + 2) * 4,
        Proto::Icmp if matches!(byte(rest, 0), 13 | 14) => 20,
        Proto::Icmp => 8,
        Proto::NdOptSrc | Proto::NdOptDst | Proto::NdOpt => byte(rest, 1) * 8,
        Proto::Gre => {
            let words = [0xc0, 0x20, 0x10].iter().filter(|&flags| byte(rest, 0) & flags != 0).count();
            4 + 4 * words
        }
        Proto::Geneve => 8 + (byte(rest, 0) & 63) * 4,
        Proto::Gue => 4 + (byte(rest, 0) & 31) * 4,
        Proto::Esp | Proto::Raw | Proto::Padding => rest.len(),
        _ => fixed,
    };
    claimed.max(fixed)
}

/// What a complete header says comes behind it. `payload` is what does.
pub fn carried_by(proto: Proto, header: &[u8], payload: &[u8]) -> Carries {
    match proto {
        Proto::Ether | Proto::Dot1Q | Proto::Dot1Ad => ethertype(half(header, header.len() - 2)),
        Proto::Dot3 => Carries::Header(Proto::Llc),
        Proto::Llc if header == [0xaa, 0xaa, 3] => Carries::Header(Proto::Snap),
        Proto::Snap => ethertype(half(header, 3)),
        Proto::Ip => match half(header, 6) & 0x1fff {
            0 => ip_proto(byte(header, 9), false),
            _ => Carries::Data,
        },
        Proto::Fragment if half(header, 2) & 0xfff8 != 0 => Carries::Data,
        Proto::Ip6 => ip6_next(byte(header, 6), payload),
        Proto::HopByHop | Proto::DestOpt | Proto::Routing | Proto::Fragment | Proto::Ah => {
            ip6_next(byte(header, 0), payload)
        }
        Proto::Udp => udp_ports(half(header, 0), half(header, 2), payload),
        Proto::Icmp if matches!(byte(header, 0), 3 | 4 | 5 | 11 | 12) => Carries::Header(Proto::Ip),
        Proto::Icmp6DestUnreach
        | Proto::Icmp6PacketTooBig
        | Proto::Icmp6TimeExceeded
        | Proto::Icmp6ParamProblem => Carries::Header(Proto::Ip6),
        Proto::NdRs
        | Proto::NdRa
        | Proto::NdNs
        | Proto::NdNa
        | Proto::NdOptSrc
        | Proto::NdOptDst
        | Proto::NdOpt => nd_option(payload),
        // Version 0; version 1 is PPTP's.
        Proto::Gre if header[1].is_multiple_of(8) => ethertype(half(header, 2)),
        Proto::Vxlan => Carries::Header(Proto::Ether),
        Proto::Geneve => ethertype(half(header, 2)),
        // Bit 5 marks a control message, whose `proto` is no protocol.
        Proto::Gue if header[0] & 0x20 == 0 => ip_proto(byte(header, 1), true),
        _ => Carries::Data,
    }
}

fn ethertype(code: u16) -> Carries {
    Carries::Header(match code {
        0x0800 => Proto::Ip,
        0x0806 => Proto::Arp,
        0x6558 => Proto::Ether,
        0x8100 => Proto::Dot1Q,
        0x86dd => Proto::Ip6,
        0x88a8 => Proto::Dot1Ad,
        _ => return Carries::Data,
    })
}

fn ip_proto(code: usize, over_ip6: bool) -> Carries {
    Carries::Header(match code {
        0 if over_ip6 => Proto::HopByHop,
        1 => Proto::Icmp,
        4 => Proto::Ip,
        6 => Proto::Tcp,
        17 => Proto::Udp,
        41 => Proto::Ip6,
        43 if over_ip6 => Proto::Routing,
        44 if over_ip6 => Proto::Fragment,
        47 => Proto::Gre,
        50 => Proto::Esp,
        51 => Proto::Ah,
        60 if over_ip6 => Proto::DestOpt,
        132 => Proto::Sctp,
        _ => return Carries::Data,
    })
}

fn ip6_next(code: usize, payload: &[u8]) -> Carries {
    if code != 58 {
        return ip_proto(code, true);
    }
    Carries::Header(match byte(payload, 0) {
        1 => Proto::Icmp6DestUnreach,
        2 => Proto::Icmp6PacketTooBig,
        3 => Proto::Icmp6TimeExceeded,
        4 => Proto::Icmp6ParamProblem,
        128 => Proto::Icmp6EchoRequest,
        129 => Proto::Icmp6EchoReply,
        133 => Proto::NdRs,
        134 => Proto::NdRa,
        135 => Proto::NdNs,
        136 => Proto::NdNa,
        _ => Proto::Icmp6Unknown,
    })
}

fn udp_ports(sport: u16, dport: u16, payload: &[u8]) -> Carries {
    Carries::Header(match dport {
        VXLAN_PORT => Proto::Vxlan,
        GENEVE_PORT => Proto::Geneve,
        // Variant 1 is an IP header right behind the UDP header.
        GUE_PORT => match byte(payload, 0) >> 4 {
            0..4 => Proto::Gue,
            4 => Proto::Ip,
            6 => Proto::Ip6,
            _ => return Carries::Data,
        },
        _ if sport == VXLAN_PORT => Proto::Vxlan,
        _ => return Carries::Data,
    })
}

fn nd_option(payload: &[u8]) -> Carries {
    match (byte(payload, 0), byte(payload, 1)) {
        // A length of 0 would never end.
        (_, 0) => Carries::Data,
        (1, 1) => Carries::Header(Proto::NdOptSrc),
        (2, 1) => Carries::Header(Proto::NdOptDst),
        _ => Carries::Header(Proto::NdOpt),
    }
}

/// The number by which `outer` names `inner` as what it carries; `None` if it has none for it.
pub fn code_for(outer: Proto, inner: Proto) -> Option<u16> {
    let ethertype = match inner {
        Proto::Ip => Some(0x0800),
        Proto::Arp => Some(0x0806),
        Proto::Ether | Proto::Dot3 => Some(0x6558),
        Proto::Dot1Q => Some(0x8100),
        Proto::Ip6 => Some(0x86dd),
        Proto::Dot1Ad => Some(0x88a8),
        _ => None,
    };
    let ip = match inner {
        Proto::HopByHop => Some(0),
        Proto::Icmp => Some(1),
        Proto::Ip => Some(4),
        Proto::Tcp => Some(6),
        Proto::Udp => Some(17),
        Proto::Ip6 => Some(41),
        Proto::Routing => Some(43),
        Proto::Fragment => Some(44),
        Proto::Gre => Some(47),
        Proto::Esp => Some(50),
        Proto::Ah => Some(51),
        Proto::Icmp6EchoRequest
        | Proto::Icmp6EchoReply
        | Proto::Icmp6DestUnreach
        | Proto::Icmp6PacketTooBig
        | Proto::Icmp6TimeExceeded
        | Proto::Icmp6ParamProblem
        | Proto::NdRs
        | Proto::NdRa
        | Proto::NdNs
        | Proto::NdNa
        | Proto::Icmp6Unknown => Some(58),
        Proto::DestOpt => Some(60),
        Proto::Sctp => Some(132),
        _ => None,
    };
    match outer {
        Proto::Ether | Proto::Dot1Q | Proto::Dot1Ad | Proto::Snap | Proto::Gre | Proto::Geneve => ethertype,
        Proto::Ip
        | Proto::Ip6
        | Proto::HopByHop
        | Proto::DestOpt
        | Proto::Routing
        | Proto::Fragment
        | Proto::Ah
        | Proto::Gue => ip,
        _ => None,
    }
}

/// The values that a header's fields take by default because of what it carries: `(field, value)`.
pub fn defaults_for(outer: Proto, inner: Proto) -> &'static [(&'static str, u128)] {
    match (outer, inner) {
        (Proto::Udp, Proto::Vxlan) => &[("sport", VXLAN_PORT as u128), ("dport", VXLAN_PORT as u128)],
        (Proto::Udp, Proto::Geneve) => &[("dport", GENEVE_PORT as u128)],
        (Proto::Udp, Proto::Gue) => &[("dport", GUE_PORT as u128)],
        (Proto::Ip6, Proto::NdRs) => &[("dst", ALL_ROUTERS), ("hlim", 255)],
        (Proto::Ip6, Proto::NdRa | Proto::NdNs | Proto::NdNa) => &[("dst", ALL_NODES), ("hlim", 255)],
        (Proto::Llc, Proto::Snap) => &[("dsap", 0xaa), ("ssap", 0xaa), ("ctrl", 3)],
        _ => &[],
    }
}

const ALL_NODES: u128 = 0xff02_0000_0000_0000_0000_0000_0000_0001;
const ALL_ROUTERS: u128 = 0xff02_0000_0000_0000_0000_0000_0000_0002;
