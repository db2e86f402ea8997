//! A case's topology as the simulator's.

use bpftwin_sim::bpf::machine::ProgId;
use bpftwin_sim::net::Kernel;
use bpftwin_sim::uapi::Errno;
use bpftwin_sim::world::{self, At, Halt, Space, World};

use super::sim_network::network_of;
use crate::case::{Does, Hook, Link, Namespace, Network, Topology};
use crate::observation::{Direction, Drop, Frame, Outcome, Tap, Walk};

/// The topology's names and what they are in the simulator.
pub struct Wires {
    world: World,
    /// By the simulator's number, with the devices.
    names: Vec<(String, Vec<(String, u32)>)>,
}

/// The devices, routes and neighbours of a namespace.
pub fn network(
    topology: &Topology,
    namespace: &Namespace,
) -> Result<bpftwin_sim::net::network::Network, String> {
    let here = topology.links.iter().flat_map(Link::ends).filter(|end| end.namespace == namespace.name);
    let case = Network {
        devices: here.clone().map(|end| end.device.clone()).collect(),
        routes: namespace.routes.clone(),
        neighbours: namespace.neighbours.clone(),
    };
    let mut network = network_of(&case)?;
    for (device, end) in network.devices.iter_mut().zip(here) {
        device.up = end.up;
    }
    Ok(network)
}

impl Wires {
    /// Namespaces, devices and the programs at them; `program` finds one by object and name.
    pub fn new(
        topology: &Topology,
        program: impl Fn(&str, &str) -> Result<ProgId, String>,
    ) -> Result<Self, String> {
        let (mut spaces, mut names) = (Vec::new(), Vec::new());
        for (number, namespace) in topology.namespaces.iter().enumerate() {
            let network = network(topology, namespace)?;
            let devices = network.devices.iter().map(|device| (device.name.clone(), device.ifindex));
            names.push((namespace.name.clone(), devices.collect()));
            spaces.push(Space::new(&namespace.name, &network, number as u64));
        }
        let at = |namespace: &str, device: &str| find(&names, namespace, device);
        let mut pairs = Vec::new();
        for link in &topology.links {
            if let Link::Veth { a, b } = link {
                pairs.push((at(&a.namespace, &a.device.name)?, at(&b.namespace, &b.device.name)?));
            }
        }
        let mut world = World::new(spaces, &pairs);
        for attachment in &topology.attachments {
            let hook = match attachment.hook {
                Hook::Xdp => world::Hook::Xdp,
                Hook::XdpGeneric => world::Hook::XdpGeneric,
                Hook::TcxIngress => world::Hook::TcxIngress,
                Hook::TcxEgress => world::Hook::TcxEgress,
                Hook::TcIngress => world::Hook::TcIngress,
                Hook::TcEgress => world::Hook::TcEgress,
            };
            let at = at(&attachment.namespace, &attachment.device)?;
            world.attach(at, hook, program(&attachment.object, &attachment.program)?)?;
        }
        Ok(Self { world, names })
    }

    /// Does a step. The error is what is not modelled.
    pub fn step(&mut self, kernel: &mut Kernel, does: &Does) -> Result<Outcome, Halt> {
        let walk = match does {
            Does::Send { namespace, device, frame } => {
                let at = find(&self.names, namespace, device).map_err(Halt::NotModelled)?;
                self.world.send(kernel, at, frame)?
            }
            Does::Advance { ns } => self.world.advance(kernel, *ns)?,
        };
        Ok(Outcome::Walked(self.named(walk)))
    }

    fn named(&self, walk: world::Walk) -> Walk {
        let name = |at: At| {
            let (namespace, devices) = &self.names[at.space];
            let device = devices.iter().find(|(_, ifindex)| *ifindex == at.ifindex);
            (namespace.clone(), device.expect("frames are at devices of the case").0.clone())
        };
        let mut frames: Vec<Frame> = Vec::with_capacity(walk.seen.len());
        for seen in walk.seen {
            let (namespace, device) = name(seen.at);
            let direction = if seen.received { Direction::In } else { Direction::Out };
            frames.push(Frame { tap: Tap { namespace, device, direction }, data: seen.data.into() });
        }
        // Stable: frames at one tap keep their order.
        frames.sort_by(|a, b| a.tap.cmp(&b.tap));
        let drops = walk.dropped.into_iter().map(|dropped| {
            let (namespace, device) = name(dropped.at);
            Drop { namespace, device, reason: dropped.reason.to_owned() }
        });
        Walk { errno: walk.errno.map_or(0, Errno::raw), frames, drops: Some(drops.collect()) }
    }
}

fn find(names: &[(String, Vec<(String, u32)>)], namespace: &str, device: &str) -> Result<At, String> {
    let missing = || format!("there is no device {namespace}:{device}");
    let space = names.iter().position(|(name, _)| name == namespace).ok_or_else(missing)?;
    let (_, ifindex) = names[space].1.iter().find(|(name, _)| name == device).ok_or_else(missing)?;
    Ok(At { space, ifindex: *ifindex })
}
