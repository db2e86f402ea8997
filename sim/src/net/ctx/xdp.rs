//! `struct xdp_md` over an [`XdpBuff`]: `net/core/filter.c: xdp_convert_ctx_access`, v6.12.

use crate::net::xdp::XdpBuff;
use crate::uapi::ctx::access;
use crate::uapi::ctx::xdp::{FIELDS, XdpField};
use crate::uapi::{AttachType, ProgType};

/// Reads `size` bytes at `offset`; an error says why the program may not.
pub fn load(
    xdp: &XdpBuff,
    attach_type: Option<AttachType>,
    offset: u32,
    size: u32,
) -> Result<u64, &'static str> {
    Ok(match access(FIELDS, ProgType::Xdp, offset, size, false)?.key {
        XdpField::Data => xdp.linear.data_addr(),
        XdpField::DataEnd => xdp.linear.end_addr(),
        XdpField::DataMeta => xdp.linear.meta_addr(),
        XdpField::IngressIfindex => u64::from(xdp.ingress_ifindex),
        XdpField::RxQueueIndex => u64::from(xdp.rx_queue_index),
        XdpField::EgressIfindex if attach_type != Some(AttachType::XdpDevmap) => {
            return Err("only a program for devmap entries may read egress_ifindex");
        }
        // BPF_PROG_TEST_RUN refuses devmap programs, so no frame has an egress device here.
        XdpField::EgressIfindex => 0,
    })
}

/// Refuses: no XDP program writes its context.
pub fn store(offset: u32, size: u32) -> Result<(), &'static str> {
    access(FIELDS, ProgType::Xdp, offset, size, true).map(|_| ())
}
