//! Programs at the hooks of devices.

use std::collections::BTreeMap;

use bpftwin_conformance::case::{Attachment, Hook};
use libbpf_sys as kernel;

use super::build::Rooms;
use crate::failure::Stop;
use crate::object::Object;
use crate::sys::Link;

/// `TC_H_MIN_INGRESS` and `TC_H_MIN_EGRESS` of `include/uapi/linux/pkt_sched.h`.
const INGRESS: u16 = 0xfff2;
const EGRESS: u16 = 0xfff3;

/// What is attached; it ends with this, except what ends with its device.
pub struct Attached {
    _links: Vec<Link>,
}

/// Attaches programs in this order, each behind those that are there.
pub fn attach(
    rooms: &mut Rooms<'_>,
    objects: &[Object],
    attachments: &[Attachment],
) -> Result<Attached, Stop> {
    let mut links = Vec::new();
    // Filters at each device with clsact, whatever the hook.
    let mut filters = BTreeMap::new();
    for attachment in attachments {
        let Attachment { namespace, device, hook, object, program } = attachment;
        let what = format!("attach {object}:{program} at {namespace}:{device}/{}", hook.text());
        let owner = objects.iter().find(|known| known.name == *object);
        let owner = owner.ok_or_else(|| Stop::case(format!("cannot {what}: there is no such object")))?;
        let prog = &owner.program(program)?.prog;
        let ifindex = rooms.device(namespace, device)?;
        let room = rooms.get(namespace)?;
        let tcx = |attach_type| {
            room.enter()?;
            let refused = |errno| Stop::decline(format!("the kernel does not {what}: {errno}"));
            Link::create(prog, ifindex, attach_type, 0).map_err(refused)
        };
        match hook {
            Hook::Xdp => room.rtnl.xdp(&what, ifindex, prog, kernel::XDP_FLAGS_DRV_MODE)?,
            Hook::XdpGeneric => room.rtnl.xdp(&what, ifindex, prog, kernel::XDP_FLAGS_SKB_MODE)?,
            Hook::TcxIngress => links.push(tcx(kernel::BPF_TCX_INGRESS)?),
            Hook::TcxEgress => links.push(tcx(kernel::BPF_TCX_EGRESS)?),
            Hook::TcIngress | Hook::TcEgress => {
                let last = filters.entry((namespace, device)).or_insert(0_u16);
                if *last == 0 {
                    room.rtnl.clsact(device, ifindex)?;
                }
                *last += 1;
                let side = if *hook == Hook::TcIngress { INGRESS } else { EGRESS };
                room.rtnl.filter(&what, ifindex, prog, side, *last)?;
            }
        }
    }
    Ok(Attached { _links: links })
}
