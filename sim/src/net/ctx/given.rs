//! Contexts that are given, read and written by their tables: `net/core/filter.c: sock_addr_convert_ctx_access,
//! bpf_sock_convert_ctx_access, sock_ops_convert_ctx_access, sk_msg_convert_ctx_access,
//! sk_reuseport_convert_ctx_access`, `kernel/bpf/cgroup.c: cg_sockopt_convert_ctx_access, sysctl_convert_ctx_access`,
//! v6.12.

use crate::net::given::Given;
use crate::net::linear::Linear;
use crate::uapi::ctx::access;
use crate::uapi::ctx::given::{GivenField, Part};

fn field(given: &Given, offset: u32, size: u32, write: bool) -> Result<&'static GivenField, &'static str> {
    let field = access(given.context.fields, given.prog_type, offset, size, write)?;
    match given.attach_type {
        Some(attach_type) if !(given.context.allowed)(field.name, attach_type, write) => {
            Err("programs of this attach type may not touch the field so")
        }
        _ => Ok(field),
    }
}

/// Reads `size` bytes at `offset`; an error says why the program may not.
pub fn load(given: &Given, offset: u32, size: u32) -> Result<u64, &'static str> {
    let field = field(given, offset, size, false)?;
    let linear = given.linear.as_ref();
    Ok(match field.key {
        Part::FullSock(_) | Part::FullSk if !given.is_fullsock() => 0,
        Part::Given(_) | Part::FullSock(_) | Part::Port | Part::PortHigh | Part::Len => {
            // `dst_port` of `struct bpf_sock` is read as 4 bytes with two of padding, which are zero.
            let mut value = [0; 8];
            let at = offset as usize;
            value[..size as usize].copy_from_slice(&given.bytes[at..at + size as usize]);
            u64::from_le_bytes(value)
        }
        Part::Sk | Part::FullSk => given.sk.unwrap_or(0),
        Part::NoSk => 0,
        Part::Data => linear.map_or(0, Linear::data_addr),
        Part::DataEnd => linear.map_or(0, Linear::end_addr),
    })
}

/// Writes the low `size` bytes of `value` at `offset`; an error says why the program may not.
pub fn store(given: &mut Given, offset: u32, size: u32, value: u64) -> Result<(), &'static str> {
    let field = field(given, offset, size, true)?;
    // The kernel has 16 bits of a port and stores no more.
    let size = if field.key == Part::Port { 2 } else { size as usize };
    if matches!(field.key, Part::FullSock(_)) && !given.is_fullsock() {
        return Ok(());
    }
    let at = offset as usize;
    given.bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    Ok(())
}
