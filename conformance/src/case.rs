//! A resolved case: what a plane is asked. No name is left to look up and no file to read, so that the simulator, the
//! host's kernel and a kernel in a virtual machine get the same bytes.
//!
//! `bpftwin-kernel` reads one [`Case`] as JSON on standard input and writes one
//! [`Observation`](crate::observation::Observation) as JSON lines on standard output.

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;

/// One case of the program form: objects, what to put in their maps, and packets to run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The scenario's name.
    pub name: String,
    /// The objects, each loaded once, in this order. Maps are not shared between objects.
    pub objects: Vec<ObjectImage>,
    /// Map contents before the first run, in this order.
    pub maps: Vec<MapWrite>,
    /// The devices, routes and neighbours programs may ask about. Empty: only a loopback.
    pub network: Network,
    /// The runs, in order; maps keep their contents from one to the next.
    pub runs: Vec<Run>,
}

/// An object file and what is set in it before it is loaded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectImage {
    /// The scenario's name for it.
    pub name: String,
    /// The ELF file.
    pub elf: Bytes,
    /// Global variables to overwrite before loading.
    pub globals: Vec<Global>,
    /// Programs to load; everything else in the object is left out (`bpf_program__set_autoload(false)`).
    /// Empty: all.
    pub programs: Vec<String>,
}

/// A global variable's new initial value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Global {
    /// The section: `.rodata`, `.data`, `.bss`, `.rodata.name`.
    pub section: String,
    /// Byte offset inside the section.
    pub offset: u32,
    /// The new bytes.
    pub value: Bytes,
}

/// One element to write.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapWrite {
    /// The object's name in this case.
    pub object: String,
    /// The map's C name.
    pub map: String,
    /// The key.
    pub key: Bytes,
    /// What to store.
    pub value: MapValue,
}

/// What to store in a map element.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum MapValue {
    /// Bytes; for a per-CPU map, the value of every CPU.
    Bytes(Bytes),
    /// A program of the same object, for prog arrays.
    Program(String),
    /// A map of the same object, for maps of maps.
    Map(String),
}

/// Where programs may look outside packets and maps.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Devices besides the loopback (which has ifindex 1).
    pub devices: Vec<Device>,
    /// Routes of the main table.
    pub routes: Vec<Route>,
    /// Permanent neighbours.
    pub neighbours: Vec<Neighbour>,
}

/// A device (on a kernel: one end of a veth pair whose other end is up).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its ifindex, above 1.
    pub ifindex: u32,
    /// Its MAC address, 6 bytes.
    pub mac: Bytes,
    /// Its MTU, bytes of L3.
    pub mtu: u32,
    /// Addresses with prefix length, such as `10.0.0.1/24` or `fd00::1/64`.
    pub addresses: Vec<String>,
    /// Whether it forwards IPv4 and IPv6.
    pub forwarding: bool,
}

/// A route of the main table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The prefix, such as `10.1.0.0/16`; `0.0.0.0/0` is the default route.
    pub to: String,
    /// `unicast`, `blackhole`, `unreachable` or `prohibit`.
    pub kind: RouteKind,
    /// The gateway, if not on-link.
    pub via: Option<String>,
    /// The device's name; required for `unicast`.
    pub dev: Option<String>,
}

/// `RTN_*` of `include/uapi/linux/rtnetlink.h` that a scenario can ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum RouteKind {
    #[default]
    Unicast,
    Blackhole,
    Unreachable,
    Prohibit,
}

/// A permanent neighbour.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// The address.
    pub address: String,
    /// Its MAC address, 6 bytes.
    pub mac: Bytes,
    /// The device's name.
    pub dev: String,
}

/// One BPF_PROG_TEST_RUN.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// What the report calls it, such as `syn` or `ping.pcap#3`.
    pub name: String,
    /// The object's name in this case.
    pub object: String,
    /// The program's C name.
    pub program: String,
    /// `data_in`.
    pub data: Bytes,
    /// `ctx_in`; empty: none is given.
    pub ctx: Bytes,
    /// `repeat`; 0 means 1, as in the kernel.
    pub repeat: u32,
    /// `flags`, `BPF_F_TEST_*`.
    pub flags: u32,
}
