//! `struct __sk_buff` as a flow dissector sees it: `net/core/filter.c: flow_dissector_convert_ctx_access`, v6.12.

use crate::net::flow::Flow;
use crate::uapi::ProgType;
use crate::uapi::ctx::access;
use crate::uapi::ctx::skb::{FIELDS, SkbField};

/// Reads `size` bytes at `offset`; an error says why the program may not.
pub fn load(flow: &Flow, offset: u32, size: u32) -> Result<u64, &'static str> {
    let field = access(FIELDS, ProgType::FlowDissector, offset, size, false)?;
    Ok(match field.key {
        SkbField::Data => flow.linear.data_addr(),
        SkbField::DataEnd => flow.linear.end_addr(),
        SkbField::FlowKeys => flow.keys,
        _ => unreachable!("{} is not readable", field.name),
    })
}

/// Refuses: no flow dissector writes its context.
pub fn store(offset: u32, size: u32) -> Result<(), &'static str> {
    access(FIELDS, ProgType::FlowDissector, offset, size, true).map(|_| ())
}
