//! The scenario file as typed data: both forms, one model. Names are looked up later.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::node::Node;
use super::spanned::Spanned;
use super::topology::{Address, Attach, Link, NodeDef, Rule, Socket, Step, TopologyRoute, Xfrm};

/// A scenario file. The *program form* runs one program on packets (`[[packet]]`); the *topology form* sends frames
/// through nodes and links (`[[node]]`, `[[step]]`).
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What the case is about.
    pub scenario: Header,
    /// Contents of maps before the first packet.
    #[serde(default)]
    pub map: Vec<MapContents>,
    /// Program form: the packets, in order. Maps keep their contents from one to the next.
    #[serde(default)]
    pub packet: Vec<Packet>,
    /// Program form: the devices, routes and neighbours programs may ask about.
    pub network: Option<Network>,
    /// Fields left out of comparison, each with the reason.
    #[serde(default)]
    pub ignore: Vec<Ignore>,
    /// What must hold after the last packet or step.
    pub expect: Option<FinalExpect>,
    /// Topology form: kernels.
    #[serde(default)]
    pub node: Vec<NodeDef>,
    /// Topology form: devices and what they are plugged into.
    #[serde(default)]
    pub link: Vec<Link>,
    /// Topology form: addresses of devices.
    #[serde(default)]
    pub address: Vec<Address>,
    /// Topology form: routes.
    #[serde(default)]
    pub route: Vec<TopologyRoute>,
    /// Topology form: permanent neighbours.
    #[serde(default)]
    pub neighbour: Vec<Neighbour>,
    /// Topology form: policy routing rules.
    #[serde(default)]
    pub rule: Vec<Rule>,
    /// Topology form: IPsec states and policies.
    #[serde(default)]
    pub xfrm: Vec<Xfrm>,
    /// Topology form: sockets.
    #[serde(default)]
    pub socket: Vec<Socket>,
    /// Topology form: programs and where they sit.
    #[serde(default)]
    pub attach: Vec<Attach>,
    /// Topology form: what happens, in order.
    #[serde(default)]
    pub step: Vec<Step>,
}

/// `[scenario]`.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// One line for reports.
    pub title: Spanned<String>,
    /// Name to object file: a path from the scenario's folder, or `datapath:NAME` for a bundled one.
    pub objects: BTreeMap<Spanned<String>, Spanned<String>>,
    /// The program packets run through unless they name another: `object:program`, or `program` if there is one
    /// object.
    pub program: Option<Spanned<String>>,
    /// Per object: global variables by C name and their values before loading.
    #[serde(default)]
    pub config: BTreeMap<Spanned<String>, BTreeMap<Spanned<String>, Node>>,
    /// The types of the kernel the simulator describes, for CO-RE: `abi` (bundled, and the default), `host`, or a file with
    /// BTF.
    pub btf: Option<Spanned<String>>,
    /// `CONFIG_*` options of the kernel, for `__kconfig` variables, with values as in `/boot/config`.
    #[serde(default)]
    pub kconfig: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Types of programs whose sections' names say none: the kernel's name without `BPF_PROG_TYPE_`, such as
    /// `sched_cls`.
    #[serde(default)]
    pub types: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Per map: `max_entries`, where a loader sets it instead of the object or otherwise than the object.
    #[serde(default)]
    pub max_entries: BTreeMap<Spanned<String>, Spanned<u32>>,
    /// Per perf or ring buffer: the C type of its records, so that they are compared field by field.
    #[serde(default)]
    pub records: BTreeMap<Spanned<String>, Spanned<String>>,
    /// The fewest fields a comparison must cover; less is a failure.
    pub require: Option<Spanned<u64>>,
}

/// `[[map]]`: contents of one map.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct MapContents {
    /// `object:map`, or `map` if there is one object.
    pub name: Spanned<String>,
    /// Elements, in the order they are written.
    #[serde(default)]
    pub entries: Vec<Entry>,
    /// A JSON file with an array of the same `{ "key": …, "value": … }`, written after `entries`.
    pub file: Option<Spanned<String>>,
}

/// One element: a key and one of `value`, `program`, `map`.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The key, typed by BTF.
    pub key: Node,
    /// The value, typed by BTF.
    pub value: Option<Node>,
    /// For a prog array: a program of the same object.
    pub program: Option<Spanned<String>>,
    /// For a map of maps: a map of the same object.
    pub map: Option<Spanned<String>>,
}

/// `[[packet]]`: one BPF_PROG_TEST_RUN, or one per packet of a capture. Exactly one of `pkt`, `hex`, `pcap`; none
/// for programs that need no packet.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Packet {
    /// What reports call it; a capture's packets are `name#1`, `name#2`, …
    pub name: Option<Spanned<String>>,
    /// A packet expression, such as `Ether()/IP(dst='10.0.0.1')/TCP(dport=80,flags='S')`.
    pub pkt: Option<Spanned<String>>,
    /// The bytes, in hexadecimal; blanks may separate them.
    pub hex: Option<Spanned<String>>,
    /// A capture: `file.pcap` for every packet, `file.pcap#3` for the third, `file.pcap#3-9` for the third to the ninth;
    /// `pcaps:NAME` for a bundled one.
    pub pcap: Option<Spanned<String>>,
    /// The program, if not the scenario's.
    pub program: Option<Spanned<String>>,
    /// Context fields by name: `mark`, `priority`, `cb`, `ifindex`, … (`__sk_buff`, `xdp_md`, `bpf_sock_addr`, …).
    /// Of a syscall program, `hex`: its bytes.
    #[serde(default)]
    pub ctx: BTreeMap<Spanned<String>, Node>,
    /// How often the program runs on this packet, in place.
    pub repeat: Option<Spanned<u32>>,
    /// `BPF_F_TEST_*` flags: `checksum-complete`.
    #[serde(default)]
    pub flags: Vec<Spanned<String>>,
    /// What must come out.
    pub expect: Option<PacketExpect>,
}

/// `[packet.expect]`. What is not named is not checked.
#[derive(Deserialize, JsonSchema, Debug, Clone, Default)]
#[serde(deny_unknown_fields)]
pub struct PacketExpect {
    /// The return code: a number, or a name such as `TC_ACT_SHOT` or `XDP_DROP` (`SHOT`, `DROP` for short).
    pub retval: Option<Node>,
    /// The system call must fail with this errno, such as `EINVAL`.
    pub errno: Option<Spanned<String>>,
    /// The output is an edit of `input` or of another packet's input, by name.
    pub like: Option<Spanned<String>>,
    /// The edit: `"IP.dst" = "10.0.1.7"`. Checksums follow.
    #[serde(default)]
    pub set: BTreeMap<Spanned<String>, Node>,
    /// The whole output as a packet expression.
    pub pkt: Option<Spanned<String>>,
    /// The whole output in hexadecimal.
    pub hex: Option<Spanned<String>>,
    /// The output is the input, byte by byte.
    pub unchanged: Option<Spanned<bool>>,
    /// Context fields by name.
    #[serde(default)]
    pub ctx: BTreeMap<Spanned<String>, Node>,
    /// Map elements after this packet.
    #[serde(default)]
    pub map: Vec<MapExpect>,
    /// Records this packet makes, in order; given at all, there must be no other.
    pub record: Option<Vec<RecordExpect>>,
}

/// Elements a map must hold.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct MapExpect {
    /// `object:map`, or `map` if there is one object.
    pub name: Spanned<String>,
    /// Elements; of a struct only the members named are checked.
    #[serde(default)]
    pub entries: Vec<EntryExpect>,
    /// How many elements there are (of an array: that are not all zero).
    pub count: Option<Spanned<u64>>,
}

/// One element, or its absence.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct EntryExpect {
    /// The key, typed by BTF.
    pub key: Node,
    /// The value, typed by BTF; of a struct only the members named are checked.
    pub value: Option<Node>,
    /// There is no such element.
    #[serde(default)]
    pub absent: bool,
}

/// One record of a perf or ring buffer.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct RecordExpect {
    /// `object:map`, or `map` if there is one object.
    pub map: Spanned<String>,
    /// Its members, of the type `[scenario] records` gives; only those named are checked.
    pub data: Option<Node>,
    /// Its first bytes, in hexadecimal.
    pub hex: Option<Spanned<String>>,
}

/// `[expect]`: after the last packet.
#[derive(Deserialize, JsonSchema, Debug, Clone, Default)]
#[serde(deny_unknown_fields)]
pub struct FinalExpect {
    /// Map elements.
    #[serde(default)]
    pub map: Vec<MapExpect>,
    /// Topology form: the capture every tap together must give.
    pub pcap: Option<Spanned<String>>,
    /// Topology form: per map, a JSON file with its contents.
    #[serde(default)]
    pub maps: BTreeMap<Spanned<String>, Spanned<String>>,
}

/// `[[ignore]]`: fields that are not compared between planes.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Ignore {
    /// A field as reports name it: `map:conntrack.last_seen`, `record:events.time`, `ctx.hash`, `IP.id`.
    pub field: Spanned<String>,
    /// Why it cannot agree.
    pub reason: Spanned<String>,
}

/// `[network]`.
#[derive(Deserialize, JsonSchema, Debug, Clone, Default)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Devices besides the loopback.
    #[serde(default)]
    pub device: Vec<Device>,
    /// Routes of the main table.
    #[serde(default)]
    pub route: Vec<Route>,
    /// Permanent neighbours.
    #[serde(default)]
    pub neighbour: Vec<Neighbour>,
}

/// A device.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its name, at most 15 bytes.
    pub name: Spanned<String>,
    /// Its ifindex, above 1.
    pub ifindex: Spanned<u32>,
    /// Its MAC address; `02:00:00:00:00:NN` with the ifindex if not given.
    pub mac: Option<Spanned<String>>,
    /// Its MTU.
    #[serde(default = "ethernet_mtu")]
    pub mtu: u32,
    /// Addresses with prefix length.
    #[serde(default)]
    pub addresses: Vec<Spanned<String>>,
    /// Whether it forwards.
    #[serde(default = "yes")]
    pub forwarding: bool,
}

/// A route.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The prefix, such as `10.1.0.0/16`.
    pub to: Spanned<String>,
    /// `unicast`, `blackhole`, `unreachable` or `prohibit`.
    pub kind: Option<Spanned<String>>,
    /// The gateway, if not on-link.
    pub via: Option<Spanned<String>>,
    /// The device's name.
    pub dev: Option<Spanned<String>>,
}

/// A permanent neighbour.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// The address.
    pub address: Spanned<String>,
    /// Its MAC address.
    pub mac: Spanned<String>,
    /// The device.
    pub dev: Spanned<String>,
}

const fn ethernet_mtu() -> u32 {
    1500
}

const fn yes() -> bool {
    true
}
