//! The topology form: nodes, links, steps.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::mistake::{Mistake, What};
use super::model::File;
use super::node::Node;
use super::spanned::Spanned;

/// `[[node]]`: a kernel.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct NodeDef {
    /// Its name.
    pub name: Spanned<String>,
    /// Which kernel it speaks as, if not the run's.
    pub kernel: Option<Spanned<String>>,
    /// Its namespaces that forward IPv4 and IPv6, such as `n1` or `n1/router`.
    #[serde(default)]
    pub forwarding: Vec<Spanned<String>>,
}

/// `[[link]]`: a pair of devices, or one device.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// What it is; `veth` if not said.
    pub kind: Option<LinkKind>,
    /// `node:device`, or `node/namespace:device`.
    pub a: Spanned<String>,
    /// The other end, where there is one.
    pub b: Option<Spanned<String>>,
    /// Its MTU, 1500 if not said.
    pub mtu: Option<u32>,
    /// The MTU of `b`, if another one.
    pub mtu_b: Option<u32>,
    /// The MAC address of `a`; `02:00:00:00:00:NN` with the ifindex if not given.
    pub mac: Option<Spanned<String>>,
    /// The MAC address of `b`.
    pub mac_b: Option<Spanned<String>>,
    /// The ifindex of `a`; of the first link 11, of the second 21, and so on if not given.
    pub ifindex: Option<Spanned<u32>>,
    /// The ifindex of `b`; 12, 22, and so on if not given.
    pub ifindex_b: Option<Spanned<u32>>,
    /// Which of its devices are down.
    #[serde(default)]
    pub down: Vec<Spanned<String>>,
}

/// Kinds of links.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum LinkKind {
    Veth,
    Netkit,
    Ipvlan,
    Mesh,
    Vxlan,
    Geneve,
    Dummy,
    Wire,
}

/// `[[address]]`.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// The device.
    pub dev: Spanned<String>,
    /// The address with prefix length.
    pub address: Spanned<String>,
}

/// `[[route]]`.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct TopologyRoute {
    /// The node or namespace.
    pub node: Spanned<String>,
    /// The prefix.
    pub to: Spanned<String>,
    /// The gateway.
    pub via: Option<Spanned<String>>,
    /// The device, as `node:device` or `node/namespace:device`.
    pub dev: Option<Spanned<String>>,
    /// `unicast`, `blackhole`, `unreachable` or `prohibit`.
    pub kind: Option<Spanned<String>>,
    /// The table; main if not said.
    pub table: Option<u32>,
}

/// `[[rule]]`: policy routing.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The node or namespace.
    pub node: Spanned<String>,
    /// Matches this mark.
    pub mark: Option<u32>,
    /// Looks into this table.
    pub table: u32,
}

/// `[[xfrm]]`: an IPsec state.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Xfrm {
    /// The node or namespace.
    pub node: Spanned<String>,
    /// Outer source.
    pub src: Spanned<String>,
    /// Outer destination.
    pub dst: Spanned<String>,
    /// The security parameter index.
    pub spi: u32,
    /// The key, hexadecimal.
    pub key: Spanned<String>,
}

/// `[[socket]]`.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Socket {
    /// Its name.
    pub name: Spanned<String>,
    /// The node or namespace.
    pub node: Spanned<String>,
    /// Where it listens or is bound, `address:port`.
    pub bind: Option<Spanned<String>>,
    /// `tcp` or `udp`.
    pub proto: Spanned<String>,
}

/// `[[attach]]`.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// `device/hook`, such as `n1:lxc1/tc-ingress`; hooks are `xdp`, `xdp-generic`, `tcx-ingress`, `tcx-egress`,
    /// `tc-ingress`, `tc-egress`. Of several programs at one hook the first runs first.
    pub at: Spanned<String>,
    /// `object:program`.
    pub prog: Spanned<String>,
}

/// `[[step]]`: one thing happens.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name; what is sent can be referred to by it.
    pub name: Option<Spanned<String>>,
    /// A frame goes in.
    pub send: Option<Send>,
    /// Virtual time passes, such as `6h`.
    pub advance: Option<Spanned<String>>,
    /// Frames that must be seen: at each tap named, these and no others, in this order.
    #[serde(default)]
    pub expect: Vec<FrameExpect>,
    /// Taps at which nothing may be seen.
    #[serde(default)]
    pub silent: Vec<Spanned<String>>,
    /// Drops that must happen.
    #[serde(default)]
    pub expect_drop: Vec<DropExpect>,
}

/// `send` of a step: the frame leaves the device, whose peer receives it.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// The device.
    pub at: Spanned<String>,
    /// The packet expression.
    pub pkt: Spanned<String>,
}

/// A frame at a tap.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct FrameExpect {
    /// The tap: `device/in` or `device/out`; a device alone is where it is received.
    pub at: Spanned<String>,
    /// The step whose frame it is an edit of.
    pub like: Spanned<String>,
    /// The edit.
    #[serde(default)]
    pub set: BTreeMap<Spanned<String>, Node>,
}

/// A drop.
#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct DropExpect {
    /// The device.
    pub at: Spanned<String>,
    /// `enum skb_drop_reason` without its prefix, such as `TC_INGRESS`.
    pub reason: Spanned<String>,
}

/// Which parts of the topology form a file uses, by name.
pub(super) fn parts(file: &File) -> Vec<&'static str> {
    [
        ("node", file.node.len()),
        ("link", file.link.len()),
        ("address", file.address.len()),
        ("route", file.route.len()),
        ("neighbour", file.neighbour.len()),
        ("rule", file.rule.len()),
        ("xfrm", file.xfrm.len()),
        ("socket", file.socket.len()),
        ("attach", file.attach.len()),
        ("step", file.step.len()),
    ]
    .into_iter()
    .filter_map(|(name, len)| (len > 0).then_some(name))
    .collect()
}

/// Checks the names a topology uses among themselves.
pub(super) fn validate(file: &File, mistakes: &mut Vec<Mistake>) {
    let mut nodes: Vec<&str> = Vec::new();
    for node in &file.node {
        if nodes.contains(&node.name.as_str()) {
            mistakes.push(Mistake::new(
                What::Duplicate { what: "node", name: node.name.value.clone() },
                &node.name.span,
            ));
        }
        nodes.push(&node.name);
    }
    let mut devices: Vec<&str> = Vec::new();
    for end in file.link.iter().flat_map(|link| std::iter::once(&link.a).chain(&link.b)) {
        match end.split_once(':') {
            Some((place, dev)) if !dev.is_empty() => {
                check_place(place, &nodes, end, mistakes);
                if devices.contains(&end.as_str()) {
                    mistakes.push(Mistake::new(
                        What::Duplicate { what: "device", name: end.value.clone() },
                        &end.span,
                    ));
                }
                devices.push(end);
            }
            _ => mistakes.push(
                Mistake::new(What::BadName { what: "device", name: end.value.clone() }, &end.span)
                    .help("write node:device, or node/namespace:device"),
            ),
        }
    }
    let known = |dev: &Spanned<String>, place: &str, mistakes: &mut Vec<Mistake>| {
        if !devices.contains(&place) {
            mistakes.push(Mistake::unknown("device", place, &dev.span, devices.iter().copied()));
        }
    };
    for address in &file.address {
        known(&address.dev, &address.dev, mistakes);
    }
    for neighbour in &file.neighbour {
        known(&neighbour.dev, &neighbour.dev, mistakes);
    }
    for dev in file.route.iter().filter_map(|route| route.dev.as_ref()) {
        known(dev, dev, mistakes);
    }
    for dev in file.link.iter().flat_map(|link| &link.down) {
        known(dev, dev, mistakes);
    }
    for attach in &file.attach {
        known(&attach.at, attach.at.rsplit_once('/').map_or(attach.at.as_str(), |(dev, _)| dev), mistakes);
        let object = attach.prog.split(':').next().unwrap_or_default();
        let objects = file.scenario.objects.keys().map(|name| name.as_str());
        if !objects.clone().any(|name| name == object) {
            mistakes.push(Mistake::unknown("object", object, &attach.prog.span, objects));
        }
    }
    for step in &file.step {
        if step.send.is_none() && step.advance.is_none() {
            let span = step.name.as_ref().map_or(0..0, |name| name.span.clone());
            mistakes.push(
                Mistake::new(What::Nothing("this step does nothing".into()), &span)
                    .help("give it `send` or `advance`"),
            );
        }
        if let Some(send) = &step.send {
            known(&send.at, &send.at, mistakes);
        }
        for tap in &step.silent {
            known(tap, tap_device(tap).0, mistakes);
        }
        for drop in &step.expect_drop {
            known(&drop.at, &drop.at, mistakes);
        }
        for expect in &step.expect {
            known(&expect.at, tap_device(&expect.at).0, mistakes);
            let names = file.step.iter().filter_map(|s| s.name.as_ref()).map(|name| name.as_str());
            if !names.clone().any(|name| name == expect.like.as_str()) {
                mistakes.push(Mistake::unknown("step", &expect.like, &expect.like.span, names));
            }
        }
    }
}

/// The device of a tap, and whether frames are received there.
pub fn tap_device(tap: &str) -> (&str, bool) {
    if let Some(device) = tap.strip_suffix("/out") {
        return (device, false);
    }
    (tap.strip_suffix("/in").unwrap_or(tap), true)
}

fn check_place(place: &str, nodes: &[&str], end: &Spanned<String>, mistakes: &mut Vec<Mistake>) {
    let node = place.split('/').next().unwrap_or_default();
    if !nodes.contains(&node) {
        mistakes.push(Mistake::unknown("node", node, &end.span, nodes.iter().copied()));
    }
}
