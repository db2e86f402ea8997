//! A resolved case: what a plane is asked. No name is left to look up and no file to read, so that the simulator, the
//! host's kernel and a kernel in a virtual machine get the same bytes.
//!
//! `bpftwin-kernel` reads one [`Case`] as JSON on standard input and writes one
//! [`Observation`](crate::observation::Observation) as JSON lines on standard output.

mod topology;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::described::KernelTypes;
use crate::observation::Outcome;

pub use topology::{Attachment, Does, End, Hook, Link, Namespace, Step, Topology};

/// One case: objects, what to put in their maps, and either packets to run or a topology for frames to walk through.
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
    /// The maps to look at after each run and at the end; `None`: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Vec<MapName>>,
    /// The topology form: its steps stand in the place of runs, of which there are none, nor is there a `network`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
}

impl Case {
    /// How many runs or steps there are.
    pub fn count(&self) -> usize {
        self.topology.as_ref().map_or(self.runs.len(), |topology| topology.steps.len())
    }

    /// What reports call a run or step.
    pub fn name_of(&self, index: usize) -> Option<&str> {
        match &self.topology {
            Some(topology) => topology.steps.get(index).map(|step| step.name.as_str()),
            None => self.runs.get(index).map(|run| run.name.as_str()),
        }
    }

    /// Whether a map is looked at.
    pub fn watches(&self, object: &str, map: &str) -> bool {
        self.watch.as_ref().is_none_or(|maps| maps.iter().any(|m| m.object == object && m.map == map))
    }
}

/// A map of an object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapName {
    /// The object's name in this case.
    pub object: String,
    /// The map's C name.
    pub map: String,
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
    /// Programs whose type their section's name does not tell (`bpf_program__set_type`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<Typed>,
    /// `CONFIG_*` options for `__kconfig` variables, as in `/boot/config`; of two with one name the later one counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kconfig: Vec<(String, String)>,
    /// The types of the kernel the simulator describes; `None`: those of the user-space ABI. A real kernel has its own.
    #[serde(skip)]
    pub kernel_types: Option<KernelTypes>,
    /// Maps that have room for another number of elements than the object says (`bpf_map__set_max_entries`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<Resized>,
}

/// How many elements a map has room for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resized {
    /// The map's C name.
    pub map: String,
    /// `max_entries`.
    pub max_entries: u32,
}

/// A program's type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Typed {
    /// The program's C name.
    pub program: String,
    /// `enum bpf_prog_type`.
    pub prog_type: u32,
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
    /// If set, data and context are those the run before gave, and this run's own are empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Follows>,
    /// Map elements to write after this run's changes were looked at, if it was done. They are no changes of any run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub afterwards: Vec<MapWrite>,
}

/// How a run takes up what the run before left.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Follows {
    /// Whether the data is led by what the run before returned, 4 bytes, little-endian.
    pub retval_first: bool,
    /// The length of the context: what the run before gave, cut or with zeros behind it. 0: none is given.
    pub ctx_len: u32,
    /// Return codes of the run before after which this one is not done, nor after anything but a return.
    pub unless: Vec<u32>,
}

/// `data_in` and `ctx_in`.
pub type Input<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

impl Run {
    /// `data_in` and `ctx_in`, given how the run before ended; `None`: it is not to be done.
    pub fn input<'a>(&'a self, before: Option<&Outcome>) -> Option<Input<'a>> {
        let Some(follows) = &self.follows else {
            return Some((Cow::Borrowed(&self.data), Cow::Borrowed(&self.ctx)));
        };
        let Some(Outcome::Done { retval, data, ctx }) = before else { return None };
        if follows.unless.contains(retval) {
            return None;
        }
        let mut input = Vec::with_capacity(data.len() + 4);
        if follows.retval_first {
            input.extend_from_slice(&retval.to_le_bytes());
        }
        input.extend_from_slice(data);
        let mut ctx = ctx.0.clone();
        ctx.resize(follows.ctx_len as usize, 0);
        Some((Cow::Owned(input), Cow::Owned(ctx)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_takes_up_what_the_one_before_left() {
        let follows = Follows { retval_first: true, ctx_len: 4, unless: vec![100, 102] };
        let run = Run {
            name: "check".into(),
            object: "o".into(),
            program: "p".into(),
            data: Bytes::default(),
            ctx: Bytes::default(),
            repeat: 1,
            flags: 0,
            follows: Some(follows),
            afterwards: Vec::new(),
        };
        let done = |retval| Outcome::Done { retval, data: vec![7, 8].into(), ctx: vec![9].into() };
        let (data, ctx) = run.input(Some(&done(0x0203))).unwrap();
        assert_eq!((&*data, &*ctx), (&[3, 2, 0, 0, 7, 8][..], &[9, 0, 0, 0][..]));
        for before in [
            None,
            Some(done(102)),
            Some(done(100)),
            Some(Outcome::Errno(22)),
            Some(Outcome::Fault("read".into())),
            Some(Outcome::NotDone),
        ] {
            assert_eq!(run.input(before.as_ref()), None, "{before:?}");
        }
        let first = Run { data: vec![1].into(), follows: None, ..run };
        assert_eq!(&*first.input(Some(&done(102))).unwrap().0, [1]);
    }
}
