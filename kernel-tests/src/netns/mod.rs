//! Plane `netns`: frames through real namespaces and devices.

mod attach;
mod build;
mod multicast;
mod quiet;
mod stream;
mod tap;

use std::thread;

use bpftwin_conformance::case::{Case, Does, Topology};
use bpftwin_conformance::observation::{Direction, End, Event, Frame, Outcome, RunSeen, Tap, Walk};
use bpftwin_sim::uapi::Errno;

use crate::elements::{self, Watch};
use crate::failure::{Failure, Stop};
use crate::network::rtnl::LOOPBACK;
use crate::object::Object;
use crate::records::Records;
use crate::sys::Capability;
use attach::attach;
use build::Rooms;
use quiet::Quiet;
use tap::Taps;

/// Runs one case of the topology form on CPU `cpu`, to which this thread is pinned.
pub fn observe(
    case: &Case,
    topology: &Topology,
    cpu: u32,
    report: &mut dyn FnMut(Event) -> Result<(), Failure>,
) -> Result<End, Stop> {
    if !Capability::SysAdmin.held() {
        return Err(Stop::decline("CAP_SYS_ADMIN is missing to make network namespaces"));
    }
    if let Some(step) = topology.steps.iter().find(|step| matches!(step.does, Does::Advance { .. })) {
        return Err(Stop::decline(format!("step {:?}: a real kernel's time cannot be advanced", step.name)));
    }
    let quiet = Quiet::of_cpu(cpu)?;
    let mut taps = Taps::new()?;
    let mut rooms = Rooms::build(topology, &mut taps)?;
    rooms.first()?.enter()?;
    let objects = case.objects.iter().map(Object::load).collect::<Result<Vec<_>, _>>()?;
    for write in &case.maps {
        elements::write(&objects, write)?;
    }
    let attached = attach(&mut rooms, &objects, &topology.attachments)?;
    let mut records = Records::begin(&objects)?;
    let mut watch = Watch::begin(&objects, case)?;
    settled(&quiet)?;
    taps.drain()?;
    for (index, step) in topology.steps.iter().enumerate() {
        let Does::Send { namespace, device, frame } = &step.does else { unreachable!("declined above") };
        let ifindex = rooms.device(namespace, device)?;
        let sent = rooms.get(namespace)?.packets.send(ifindex, frame);
        settled(&quiet)?;
        let frames = seen(&rooms, taps.drain()?)?;
        // A frame that was sent in vain may have been seen at its own device.
        let errno = sent.map_or_else(Errno::raw, |()| 0);
        let outcome = Outcome::Walked(Walk { errno, frames, drops: None });
        let (maps, records) = (watch.changes()?, records.drain()?);
        report(Event::Run(RunSeen { index, outcome, maps, records, lines: Vec::new() }))?;
    }
    let (maps, unread) = watch.end()?;
    drop(attached);
    close(taps, rooms);
    Ok(End { runs: topology.steps.len(), maps, unread })
}

fn settled(quiet: &Quiet) -> Result<(), Failure> {
    if quiet.wait()? { Ok(()) } else { Err(Failure::Harness("frames go on moving without an end".into())) }
}

/// Frames as reports have them, without the loopback's: by tap, and of one tap in order.
fn seen(rooms: &Rooms<'_>, frames: Vec<tap::Frame>) -> Result<Vec<Frame>, Failure> {
    let mut seen = Vec::new();
    for frame in frames.into_iter().filter(|frame| frame.ifindex != LOOPBACK) {
        let (namespace, device) = rooms.names(frame.namespace, frame.ifindex)?;
        let direction = if frame.is_outgoing() { Direction::Out } else { Direction::In };
        let tap = Tap { namespace: namespace.into(), device: device.into(), direction };
        seen.push(Frame { tap, data: frame.tagged().into() });
    }
    seen.sort_by(|a, b| a.tap.cmp(&b.tap));
    Ok(seen)
}

/// Closes packet sockets all at once: each waits until every CPU has let go of it (`net/packet/af_packet.c:
/// packet_release`, v6.12), and they can wait together.
fn close(taps: Taps, rooms: Rooms<'_>) {
    let sockets: Vec<_> = taps.into_sockets().into_iter().chain(rooms.into_sockets()).collect();
    thread::scope(|scope| {
        for socket in sockets {
            scope.spawn(|| drop(socket));
        }
    });
}
