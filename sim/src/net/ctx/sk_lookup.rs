//! `struct bpf_sk_lookup` over a [`SkLookup`]: `net/core/filter.c: sk_lookup_convert_ctx_access`, v6.12.

use crate::net::sk_lookup::SkLookup;
use crate::uapi::ProgType;
use crate::uapi::ctx::sk_lookup::{FIELDS, SkLookupField};
use crate::uapi::ctx::{access, narrow};

/// Reads `size` bytes at `offset`; an error says why the program may not.
pub fn load(lookup: &SkLookup, offset: u32, size: u32) -> Result<u64, &'static str> {
    let field = access(FIELDS, ProgType::SkLookup, offset, size, false)?;
    if field.key == SkLookupField::Sk {
        return Ok(lookup.selected.map_or(0, |known| known.socket.guest));
    }
    let inside = offset - field.offset;
    let word = (inside / 4) as usize;
    let value = match field.key {
        SkLookupField::Sk | SkLookupField::Padding | SkLookupField::IngressIfindex => 0,
        SkLookupField::Family => lookup.family.into(),
        SkLookupField::Protocol => lookup.protocol.into(),
        SkLookupField::RemoteIp4 => lookup.remote_ip4,
        SkLookupField::RemoteIp6 => lookup.remote_ip6[word],
        SkLookupField::RemotePort => lookup.remote_port.into(),
        SkLookupField::LocalIp4 => lookup.local_ip4,
        SkLookupField::LocalIp6 => lookup.local_ip6[word],
        SkLookupField::LocalPort => lookup.local_port.into(),
    };
    Ok(narrow(value.into(), inside % 4, size))
}

/// Refuses: no sk_lookup program writes its context.
pub fn store(offset: u32, size: u32) -> Result<(), &'static str> {
    access(FIELDS, ProgType::SkLookup, offset, size, true).map(|_| ())
}
