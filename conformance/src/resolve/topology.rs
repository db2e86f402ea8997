//! The topology form into a case.

use std::collections::BTreeSet;

use super::frame;
use super::network::{NAME_MAX, default_mac, mac, neighbour, prefix, route};
use super::objects::Objects;
use super::run::{RunExpect, TapExpect, WalkExpect};
use crate::case::{self, Attachment, Does, End, Hook, Link, Namespace, Topology};
use crate::observation::{Direction, Tap};
use crate::scenario::mistake::{Mistake, What};
use crate::scenario::model::{self, File};
use crate::scenario::spanned::Spanned;
use crate::scenario::topology::{self as form, LinkKind, Step, tap_device};
use bpftwin_sim::uapi::ProgType;

/// Parts of the form that are right and that no plane runs, by name.
pub fn not_yet(file: &File) -> Option<String> {
    let kinds = file.link.iter().filter_map(|link| match link.kind {
        None | Some(LinkKind::Veth | LinkKind::Dummy) => None,
        Some(kind) => Some(format!("links of kind {kind:?}").to_lowercase()),
    });
    let parts = [
        ("[[rule]]", !file.rule.is_empty()),
        ("[[xfrm]]", !file.xfrm.is_empty()),
        ("[[socket]]", !file.socket.is_empty()),
        ("a second [[node]]", file.node.len() > 1),
        ("`kernel` of a [[node]]", file.node.iter().any(|node| node.kernel.is_some())),
        ("`table` of a [[route]]", file.route.iter().any(|route| route.table.is_some())),
    ];
    let parts = parts.into_iter().filter(|(_, used)| *used).map(|(name, _)| name.to_owned());
    let all: BTreeSet<String> = kinds.chain(parts).collect();
    (!all.is_empty()).then(|| {
        let all: Vec<String> = all.into_iter().collect();
        format!("no plane runs a topology with {}", all.join(", "))
    })
}

/// Everything but objects and maps, and what is expected of every step.
pub fn topology(
    file: &File,
    objects: Option<&Objects>,
    mistakes: &mut Vec<Mistake>,
) -> (Topology, Vec<RunExpect>) {
    let namespaces = namespaces(file, mistakes);
    let mut out = Topology { namespaces, links: Vec::new(), attachments: Vec::new(), steps: Vec::new() };
    for (number, link) in file.link.iter().enumerate() {
        match self::link(file, &out, number as u32, link) {
            Ok(link) => out.links.push(link),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    let mut keep = |result: Result<(), Mistake>| result.unwrap_or_else(|mistake| mistakes.push(mistake));
    for route in &file.route {
        keep(add_route(&mut out, route));
    }
    for neighbour in &file.neighbour {
        keep(add_neighbour(&mut out, neighbour));
    }
    if let Some(objects) = objects {
        for attach in &file.attach {
            keep(attachment(objects, attach).map(|attachment| out.attachments.push(attachment)));
        }
    }
    let mut expects = Vec::new();
    let mut sent: Vec<(String, Vec<u8>)> = Vec::new();
    for (number, step) in file.step.iter().enumerate() {
        match self::step(number, step, &mut sent) {
            Ok((step, expect)) => {
                out.steps.push(step);
                expects.push(expect);
            }
            Err(mistake) => mistakes.push(mistake),
        }
    }
    (out, expects)
}

/// `place:device` of a name that was checked.
fn split(name: &str) -> (String, String) {
    let (place, device) = name.split_once(':').unwrap_or((name, ""));
    (place.to_owned(), device.to_owned())
}

/// Nodes and the namespaces that devices name, in the order they are named.
fn namespaces(file: &File, mistakes: &mut Vec<Mistake>) -> Vec<Namespace> {
    let nodes = file.node.iter().map(|node| node.name.value.clone());
    let ends = file.link.iter().flat_map(|link| std::iter::once(&link.a).chain(&link.b));
    let mut names: Vec<String> = nodes.collect();
    for name in ends.map(|end| split(end).0) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let forwarding: Vec<&Spanned<String>> = file.node.iter().flat_map(|node| &node.forwarding).collect();
    for name in &forwarding {
        if !names.contains(name) {
            let known = names.iter().map(String::as_str);
            mistakes.push(Mistake::unknown("namespace", name, &name.span, known));
        }
    }
    let forwards = |name: &String| forwarding.iter().any(|known| known.value == *name);
    names
        .into_iter()
        .map(|name| Namespace {
            forwarding: forwards(&name),
            name,
            routes: Vec::new(),
            neighbours: Vec::new(),
        })
        .collect()
}

fn link(file: &File, made: &Topology, number: u32, link: &form::Link) -> Result<Link, Mistake> {
    let first = 10 * (number + 1) + 1;
    let a = end(file, made, link, &link.a, (link.mtu, &link.mac, &link.ifindex, first))?;
    match (link.kind, &link.b) {
        (Some(LinkKind::Dummy), None) => Ok(Link::Dummy { a }),
        (Some(LinkKind::Dummy), Some(b)) => {
            Err(Mistake::new(What::Choice("a dummy device has no other end".into()), &b.span))
        }
        (_, None) => {
            let what = "a veth pair has two ends".to_owned();
            Err(Mistake::new(What::Choice(what), &link.a.span).help("name the other one as `b`"))
        }
        (_, Some(b)) => {
            let mtu = link.mtu_b.or(link.mtu);
            let b = end(file, made, link, b, (mtu, &link.mac_b, &link.ifindex_b, first + 1))?;
            if a.namespace == b.namespace && a.device.ifindex == b.device.ifindex {
                return Err(repeated(&b, &link.a));
            }
            Ok(Link::Veth { a, b })
        }
    }
}

fn repeated(end: &End, at: &Spanned<String>) -> Mistake {
    let name = format!("ifindex {} in {}", end.device.ifindex, end.namespace);
    Mistake::new(What::Duplicate { what: "device", name }, &at.span)
}

/// MTU, MAC and ifindex as said, and the ifindex otherwise.
type Said<'a> = (Option<u32>, &'a Option<Spanned<String>>, &'a Option<Spanned<u32>>, u32);

fn end(
    file: &File,
    made: &Topology,
    link: &form::Link,
    at: &Spanned<String>,
    (mtu, mac_said, ifindex, default): Said<'_>,
) -> Result<End, Mistake> {
    let (namespace, name) = split(at);
    if name.len() > NAME_MAX || name.contains(['/', ' ', ':']) || name == "lo" {
        return Err(Mistake::new(What::BadName { what: "device", name }, &at.span)
            .help("1 to 15 characters without blanks, '/' and ':'; lo is always there"));
    }
    if let Some(ifindex) = ifindex.as_ref().filter(|ifindex| ifindex.value < 2) {
        let what = format!("ifindex {}: 1 is the loopback's, devices start at 2", ifindex.value);
        return Err(Mistake::new(What::Value(what), &ifindex.span));
    }
    let ifindex = ifindex.as_ref().map_or(default, |ifindex| ifindex.value);
    let mut addresses = Vec::new();
    for address in file.address.iter().filter(|address| address.dev == *at) {
        prefix(&address.address)?;
        addresses.push(address.address.value.clone());
    }
    let device = case::Device {
        name,
        ifindex,
        mac: mac_said.as_ref().map_or_else(|| Ok(default_mac(ifindex)), mac)?,
        mtu: mtu.unwrap_or(1500),
        addresses,
        forwarding: made.namespaces.iter().any(|known| known.name == namespace && known.forwarding),
    };
    let end = End { namespace, device, up: !link.down.contains(at) };
    let taken = |known: &End| known.namespace == end.namespace && known.device.ifindex == ifindex;
    if made.links.iter().flat_map(Link::ends).any(taken) {
        return Err(repeated(&end, at));
    }
    Ok(end)
}

/// Names of the devices of a namespace.
fn devices<'a>(topology: &'a Topology, namespace: &str) -> Vec<&'a str> {
    let ends = topology.links.iter().flat_map(Link::ends).filter(|end| end.namespace == namespace);
    ends.map(|end| end.device.name.as_str()).collect()
}

fn namespace<'a>(topology: &'a mut Topology, name: &Spanned<String>) -> Result<&'a mut Namespace, Mistake> {
    let known: Vec<String> = topology.namespaces.iter().map(|known| known.name.clone()).collect();
    topology
        .namespaces
        .iter_mut()
        .find(|known| known.name == name.value)
        .ok_or_else(|| Mistake::unknown("namespace", name, &name.span, known.iter().map(String::as_str)))
}

fn add_route(topology: &mut Topology, said: &form::TopologyRoute) -> Result<(), Mistake> {
    let dev = said.dev.as_ref().map(|dev| (split(dev), dev));
    if let Some(((place, _), dev)) = &dev
        && *place != said.node.value
    {
        let what = format!("{} is not a device of {}", dev.value, said.node.value);
        return Err(Mistake::new(What::Value(what), &dev.span));
    }
    let plain = model::Route {
        to: said.to.clone(),
        kind: said.kind.clone(),
        via: said.via.clone(),
        dev: dev.map(|((_, name), dev)| Spanned::new(name, dev.span.clone())),
    };
    let route = route(&plain, &devices(topology, &said.node))?;
    namespace(topology, &said.node)?.routes.push(route);
    Ok(())
}

fn add_neighbour(topology: &mut Topology, said: &model::Neighbour) -> Result<(), Mistake> {
    let (place, name) = split(&said.dev);
    let plain = model::Neighbour { dev: Spanned::new(name, said.dev.span.clone()), ..said.clone() };
    let neighbour = neighbour(&plain, &devices(topology, &place))?;
    namespace(topology, &Spanned::new(place, said.dev.span.clone()))?.neighbours.push(neighbour);
    Ok(())
}

fn attachment(objects: &Objects, attach: &form::Attach) -> Result<Attachment, Mistake> {
    let hooks = || Hook::ALL.map(Hook::text).into_iter();
    let (at, hook) = attach.at.rsplit_once('/').unwrap_or((attach.at.as_str(), ""));
    let hook = Hook::ALL
        .into_iter()
        .find(|known| known.text() == hook)
        .ok_or_else(|| Mistake::unknown("hook", hook, &attach.at.span, hooks()))?;
    let (object, program) = objects.program(&attach.prog)?;
    let wants = if matches!(hook, Hook::Xdp | Hook::XdpGeneric) { ProgType::Xdp } else { ProgType::SchedCls };
    let is = objects.shape.program(&object, &program);
    if is != wants {
        let what = format!("{} takes programs of type {wants}, {program} is of type {is}", hook.text());
        return Err(Mistake::new(What::Value(what), &attach.prog.span));
    }
    let (namespace, device) = split(at);
    Ok(Attachment { namespace, device, hook, object, program })
}

fn step(
    number: usize,
    step: &Step,
    sent: &mut Vec<(String, Vec<u8>)>,
) -> Result<(case::Step, RunExpect), Mistake> {
    let name = step.name.as_ref().map_or_else(|| format!("step {}", number + 1), |name| name.value.clone());
    let mut span = step.name.as_ref().map_or(0..0, |name| name.span.clone());
    let does = match (&step.send, &step.advance) {
        (Some(send), None) => {
            let frame = frame::expression(&send.pkt)?;
            span = send.pkt.span.clone();
            if sent.iter().any(|(known, _)| *known == name) {
                return Err(Mistake::new(What::Duplicate { what: "step", name }, &span));
            }
            sent.push((name.clone(), frame.clone()));
            let (namespace, device) = split(&send.at);
            Does::Send { namespace, device, frame: frame.into() }
        }
        (None, Some(advance)) => Does::Advance { ns: duration(advance)? },
        _ => {
            let what = "a step either sends or advances".to_owned();
            return Err(Mistake::new(What::Choice(what), &span));
        }
    };
    let walk = walk(step, sent)?;
    let expect = RunExpect { span, walk: Some(walk), ..RunExpect::default() };
    Ok((case::Step { name, does }, expect))
}

/// What a step's `expect`, `silent` and `expect_drop` say, tap by tap.
fn walk(step: &Step, sent: &[(String, Vec<u8>)]) -> Result<WalkExpect, Mistake> {
    let mut out = WalkExpect::default();
    for expect in &step.expect {
        let found = sent.iter().find(|(name, _)| *name == expect.like.value);
        let known = sent.iter().map(|(name, _)| name.as_str());
        let (_, base) = found
            .ok_or_else(|| Mistake::unknown("frame sent so far", &expect.like, &expect.like.span, known))?;
        let data = frame::edited(base, &expect.set, &expect.like.span)?;
        let tap = tap(&expect.at);
        let frame = (data.into(), expect.like.span.clone());
        match out.taps.iter_mut().find(|known| known.tap == tap) {
            Some(known) => known.frames.push(frame),
            None => out.taps.push(TapExpect { tap, frames: vec![frame], span: expect.at.span.clone() }),
        }
    }
    for at in &step.silent {
        let tap = tap(at);
        if out.taps.iter().any(|known| known.tap == tap) {
            let what = format!("frames are expected at {tap}, which is to be silent");
            return Err(Mistake::new(What::Choice(what), &at.span));
        }
        out.taps.push(TapExpect { tap, frames: Vec::new(), span: at.span.clone() });
    }
    for drop in &step.expect_drop {
        let (namespace, device) = split(&drop.at);
        out.drops.push((
            crate::observation::Drop { namespace, device, reason: drop.reason.value.clone() },
            drop.reason.span.clone(),
        ));
    }
    Ok(out)
}

fn tap(at: &str) -> Tap {
    let (device, received) = tap_device(at);
    let (namespace, device) = split(device);
    Tap { namespace, device, direction: if received { Direction::In } else { Direction::Out } }
}

/// Units of time, in nanoseconds.
const UNITS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

fn duration(text: &Spanned<String>) -> Result<u64, Mistake> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ns)| *ns);
    let ns = unit.zip(number.parse::<u64>().ok()).and_then(|(unit, number)| number.checked_mul(unit));
    ns.ok_or_else(|| {
        let what = format!("\"{}\" is not a time such as 10ms, 30s or 6h", text.value);
        Mistake::new(What::Value(what), &text.span)
    })
}
