//! The tables.

use super::names::{ARP_OP, ETHERTYPE, ICMP_TYPE, IP_FLAGS, IP_PROTO, Names, TCP_FLAGS};
use super::{Field, Kind, Spec};

macro_rules! protos {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $fields:expr;)*) => {
        /// A protocol header this crate knows.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Proto { $($(#[$doc])* $variant,)* }

        impl Proto {
            /// All of them.
            pub const ALL: &'static [Proto] = &[$(Proto::$variant,)*];

            /// The header's name and fields.
            pub const fn spec(self) -> &'static Spec {
                match self {
                    $(Proto::$variant => {
                        const SPEC: Spec = Spec { name: $name, fields: $fields };
                        &SPEC
                    })*
                }
            }
        }
    };
}

const fn field(name: &'static str, bits: usize, kind: Kind) -> Field {
    Field { name, bits, kind, default: 0, computed: false, when: None }
}

const fn num(name: &'static str, bits: usize) -> Field {
    field(name, bits, Kind::Number(&[]))
}

const fn hex(name: &'static str, bits: usize) -> Field {
    field(name, bits, Kind::Hex(&[]))
}

const fn proto(name: &'static str, bits: usize, names: Names) -> Field {
    field(name, bits, Kind::Number(names)).computed()
}

const fn ethertype(name: &'static str) -> Field {
    field(name, 16, Kind::Hex(ETHERTYPE)).computed()
}

const fn checksum(name: &'static str) -> Field {
    hex(name, 16).computed()
}

const fn bytes(name: &'static str) -> Field {
    field(name, 0, Kind::Bytes)
}

const fn mac(name: &'static str) -> Field {
    field(name, 48, Kind::Mac)
}

const fn ip4(name: &'static str) -> Field {
    field(name, 32, Kind::Ip4)
}

const fn ip6(name: &'static str) -> Field {
    field(name, 128, Kind::Ip6)
}

impl Field {
    const fn default(mut self, default: u128) -> Self {
        self.default = default;
        self
    }

    const fn computed(mut self) -> Self {
        self.computed = true;
        self
    }

    const fn when(mut self, when: fn(&[u8]) -> bool) -> Self {
        self.when = Some(when);
        self
    }
}

const LOCALHOST4: u128 = 0x7f000001;
const LOCALHOST6: u128 = 1;

/// The first byte of an ICMP header: its type.
fn icmp_type(header: &[u8]) -> u8 {
    header.first().copied().unwrap_or_default()
}

const ECHO: fn(&[u8]) -> bool = |header| matches!(icmp_type(header), 0 | 8 | 13..=18);
const TIMES: fn(&[u8]) -> bool = |header| matches!(icmp_type(header), 13 | 14);
const ERROR: fn(&[u8]) -> bool = |header| matches!(icmp_type(header), 3 | 11);
const UNREACHABLE: fn(&[u8]) -> bool = |header| icmp_type(header) == 3;
const EXCEEDED: fn(&[u8]) -> bool = |header| icmp_type(header) == 11;
const REDIRECT: fn(&[u8]) -> bool = |header| icmp_type(header) == 5;
const PROBLEM: fn(&[u8]) -> bool = |header| icmp_type(header) == 12;
const OTHER: fn(&[u8]) -> bool = |header| !matches!(icmp_type(header), 0 | 3 | 5 | 8 | 11..=18);

/// Whether the GRE header has the word that one of these flag bits announces.
fn gre(header: &[u8], flags: u8) -> bool {
    header.first().is_some_and(|first| first & flags != 0)
}

/// Type, code and checksum of every ICMPv6 message.
macro_rules! icmp6 {
    ($kind:expr, [$($rest:expr),* $(,)?]) => {
        &[num("type", 8).default($kind), num("code", 8), checksum("cksum"), $($rest,)*]
    };
}

const NEXT_HEADER: Field = proto("nh", 8, IP_PROTO).default(59);
const EXTENSION: &[Field] = &[NEXT_HEADER, num("len", 8).computed(), bytes("options")];
const VLAN: &[Field] = &[num("prio", 3), num("dei", 1), num("vlan", 12).default(1), ethertype("type")];
const ND_OPTION: &[Field] = &[num("type", 8), num("len", 8).computed(), bytes("data")];

protos! {
    /// Ethernet II.
    Ether = "Ether" &[mac("dst").default(0xffff_ffff_ffff), mac("src"), ethertype("type").default(0x9000)];
    /// IEEE 802.3: a length below 0x600 where Ethernet II has a type.
    Dot3 = "Dot3" &[mac("dst").default(0xffff_ffff_ffff), mac("src"), num("len", 16).computed()];
    /// IEEE 802.2.
    Llc = "LLC" &[hex("dsap", 8), hex("ssap", 8), num("ctrl", 8)];
    /// The SNAP extension of 802.2.
    Snap = "SNAP" &[hex("OUI", 24), ethertype("code")];
    /// IEEE 802.1Q.
    Dot1Q = "Dot1Q" VLAN;
    /// IEEE 802.1ad: the same tag behind another EtherType.
    Dot1Ad = "Dot1AD" VLAN;
    /// ARP for IPv4 over Ethernet, RFC 826.
    Arp = "ARP" &[
        hex("hwtype", 16).default(1),
        field("ptype", 16, Kind::Hex(ETHERTYPE)).default(0x0800),
        num("hwlen", 8).default(6),
        num("plen", 8).default(4),
        field("op", 16, Kind::Number(ARP_OP)).default(1),
        mac("hwsrc"),
        ip4("psrc"),
        mac("hwdst"),
        ip4("pdst"),
    ];
    /// IPv4, RFC 791.
    Ip = "IP" &[
        num("version", 4).default(4),
        num("ihl", 4).computed(),
        hex("tos", 8),
        num("len", 16).computed(),
        num("id", 16).default(1),
        field("flags", 3, Kind::Flags(IP_FLAGS, "+")),
        num("frag", 13),
        num("ttl", 8).default(64),
        proto("proto", 8, IP_PROTO),
        checksum("chksum"),
        ip4("src").default(LOCALHOST4),
        ip4("dst").default(LOCALHOST4),
        bytes("options"),
    ];
    /// IPv6, RFC 8200.
    Ip6 = "IPv6" &[
        num("version", 4).default(6),
        num("tc", 8),
        num("fl", 20),
        num("plen", 16).computed(),
        NEXT_HEADER,
        num("hlim", 8).default(64),
        ip6("src").default(LOCALHOST6),
        ip6("dst").default(LOCALHOST6),
    ];
    /// IPv6 hop-by-hop options, RFC 8200, section 4.3.
    HopByHop = "IPv6ExtHdrHopByHop" EXTENSION;
    /// IPv6 destination options, RFC 8200, section 4.6.
    DestOpt = "IPv6ExtHdrDestOpt" EXTENSION;
    /// IPv6 routing header, RFC 8200, section 4.4.
    Routing = "IPv6ExtHdrRouting" &[
        NEXT_HEADER,
        num("len", 8).computed(),
        num("type", 8),
        num("segleft", 8),
        bytes("data"),
    ];
    /// IPv6 fragment header, RFC 8200, section 4.5; `offset` in units of 8 bytes.
    Fragment = "IPv6ExtHdrFragment" &[
        NEXT_HEADER,
        num("res1", 8),
        num("offset", 13),
        num("res2", 2),
        num("m", 1),
        hex("id", 32),
    ];
    /// IPsec authentication header, RFC 4302; `payloadlen` in words of 4 bytes, minus 2.
    Ah = "AH" &[
        NEXT_HEADER,
        num("payloadlen", 8).computed(),
        num("reserved", 16),
        hex("spi", 32),
        num("seq", 32),
        bytes("icv"),
    ];
    /// IPsec encapsulating security payload, RFC 4303; what follows is encrypted.
    Esp = "ESP" &[hex("spi", 32), num("seq", 32), bytes("data")];
    /// TCP, RFC 9293.
    Tcp = "TCP" &[
        num("sport", 16).default(20),
        num("dport", 16).default(80),
        num("seq", 32),
        num("ack", 32),
        num("dataofs", 4).computed(),
        num("reserved", 3),
        field("flags", 9, Kind::Flags(TCP_FLAGS, "")).default(2),
        num("window", 16).default(8192),
        checksum("chksum"),
        num("urgptr", 16),
        bytes("options"),
    ];
    /// UDP, RFC 768.
    Udp = "UDP" &[
        num("sport", 16).default(53),
        num("dport", 16).default(53),
        num("len", 16).computed(),
        checksum("chksum"),
    ];
    /// ICMP, RFC 792.
    Icmp = "ICMP" &[
        field("type", 8, Kind::Number(ICMP_TYPE)).default(8),
        num("code", 8),
        checksum("chksum"),
        num("id", 16).when(ECHO),
        num("seq", 16).when(ECHO),
        num("ts_ori", 32).when(TIMES),
        num("ts_rx", 32).when(TIMES),
        num("ts_tx", 32).when(TIMES),
        ip4("gw").when(REDIRECT),
        num("ptr", 8).when(PROBLEM),
        num("reserved", 8).when(ERROR),
        num("length", 8).when(|header| ERROR(header) || PROBLEM(header)),
        num("nexthopmtu", 16).when(UNREACHABLE),
        num("unused", 16).when(|header| EXCEEDED(header) || PROBLEM(header)),
        hex("unused", 32).when(OTHER),
    ];
    /// ICMPv6 echo request, RFC 4443, section 4.1.
    Icmp6EchoRequest = "ICMPv6EchoRequest" icmp6!(128, [hex("id", 16), num("seq", 16)]);
    /// ICMPv6 echo reply, RFC 4443, section 4.2.
    Icmp6EchoReply = "ICMPv6EchoReply" icmp6!(129, [hex("id", 16), num("seq", 16)]);
    /// ICMPv6 destination unreachable, RFC 4443, section 3.1.
    Icmp6DestUnreach = "ICMPv6DestUnreach" icmp6!(1, [num("length", 8), hex("unused", 24)]);
    /// ICMPv6 packet too big, RFC 4443, section 3.2.
    Icmp6PacketTooBig = "ICMPv6PacketTooBig" icmp6!(2, [num("mtu", 32).default(1280)]);
    /// ICMPv6 time exceeded, RFC 4443, section 3.3.
    Icmp6TimeExceeded = "ICMPv6TimeExceeded" icmp6!(3, [num("length", 8), hex("unused", 24)]);
    /// ICMPv6 parameter problem, RFC 4443, section 3.4.
    Icmp6ParamProblem = "ICMPv6ParamProblem" icmp6!(4, [num("ptr", 32).default(6)]);
    /// Router solicitation, RFC 4861, section 4.1.
    NdRs = "ICMPv6ND_RS" icmp6!(133, [num("res", 32)]);
    /// Router advertisement, RFC 4861, section 4.2.
    NdRa = "ICMPv6ND_RA" icmp6!(134, [
        num("chlim", 8),
        num("M", 1),
        num("O", 1),
        num("res", 6).default(8),
        num("routerlifetime", 16).default(1800),
        num("reachabletime", 32),
        num("retranstimer", 32),
    ]);
    /// Neighbour solicitation, RFC 4861, section 4.3.
    NdNs = "ICMPv6ND_NS" icmp6!(135, [num("res", 32), ip6("tgt")]);
    /// Neighbour advertisement, RFC 4861, section 4.4.
    NdNa = "ICMPv6ND_NA" icmp6!(136, [
        num("R", 1).default(1),
        num("S", 1),
        num("O", 1).default(1),
        num("res", 29),
        ip6("tgt"),
    ]);
    /// Any other ICMPv6 message.
    Icmp6Unknown = "ICMPv6Unknown" icmp6!(1, [hex("msgbody", 32)]);
    /// Neighbour discovery option: the sender's link-layer address.
    NdOptSrc = "ICMPv6NDOptSrcLLAddr" &[num("type", 8).default(1), num("len", 8).computed(), mac("lladdr")];
    /// Neighbour discovery option: the target's link-layer address.
    NdOptDst = "ICMPv6NDOptDstLLAddr" &[num("type", 8).default(2), num("len", 8).computed(), mac("lladdr")];
    /// Any other neighbour discovery option; `len` in units of 8 bytes.
    NdOpt = "ICMPv6NDOptUnknown" ND_OPTION;
    /// SCTP common header, RFC 9260, section 3.1; `chksum` is the CRC32c as its bytes stand on the wire.
    Sctp = "SCTP" &[num("sport", 16), num("dport", 16), hex("tag", 32), hex("chksum", 32).computed()];
    /// GRE, RFC 2784 and 2890.
    Gre = "GRE" &[
        num("chksum_present", 1),
        num("routing_present", 1),
        num("key_present", 1),
        num("seqnum_present", 1),
        num("strict_route_source", 1),
        num("recursion_control", 3),
        num("flags", 5),
        num("version", 3),
        ethertype("proto"),
        checksum("chksum").when(|header| gre(header, 0xc0)),
        hex("offset", 16).when(|header| gre(header, 0xc0)),
        hex("key", 32).when(|header| gre(header, 0x20)),
        hex("sequence_number", 32).when(|header| gre(header, 0x10)),
    ];
    /// VXLAN, RFC 7348.
    Vxlan = "VXLAN" &[hex("flags", 8).default(8), hex("reserved1", 24), num("vni", 24), hex("reserved2", 8)];
    /// Geneve, RFC 8926; `optionlen` in words of 4 bytes.
    Geneve = "GENEVE" &[
        num("version", 2),
        num("optionlen", 6).computed(),
        num("oam", 1),
        num("critical", 1),
        num("reserved", 6),
        ethertype("proto"),
        num("vni", 24),
        hex("reserved2", 8),
        bytes("options"),
    ];
    /// Generic UDP encapsulation, variant 0 (draft-ietf-intarea-gue); `hlen` in words of 4 bytes.
    Gue = "GUE" &[
        num("version", 2),
        num("ctrl", 1),
        num("hlen", 5).computed(),
        proto("proto", 8, IP_PROTO),
        hex("flags", 16),
        bytes("data"),
    ];
    /// What no other layer describes.
    Raw = "Raw" &[bytes("load")];
    /// What lies behind the length that a network header claims.
    Padding = "Padding" &[bytes("load")];
}
