//! Contexts: what `r1` points to when a program starts. One table per UAPI struct; a row is a field, where it lies, how
//! wide an access may be and which program types may read or write it.

pub mod bpf_sock;
mod device;
pub mod flow_keys;
pub mod given;
pub mod nf;
pub mod sk_lookup;
mod sk_msg;
pub mod sk_reuseport;
pub mod skb;
mod sock;
mod sock_addr;
pub mod sock_ops;
pub mod sockopt;
mod sysctl;
pub mod xdp;

use crate::uapi::{ProgType, ProgTypes};

/// How wide an access to a field may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// Reads of 1, 2 or 4 bytes inside the 4-byte field, aligned to their own size; writes of 4 bytes
    /// (`include/linux/filter.h: bpf_ctx_narrow_access_ok`, v6.12).
    Narrow4,
    /// As [`Width::Narrow4`], but reads of 1 or 2 bytes at the field's beginning only.
    First4,
    /// As [`Width::Narrow4`], but of 2 bytes or more.
    Narrow4Of2,
    /// As [`Width::Narrow4`], and reads and writes of 8 bytes that lie inside
    /// (`include/linux/filter.h: bpf_ctx_wide_access_ok`, v6.12).
    Wide4,
    /// Reads of 1 or 2 bytes inside a 2-byte field, and of 4 bytes at its beginning.
    Narrow2,
    /// Any aligned access inside the field.
    Bytes,
    /// Exactly this many bytes, at a multiple of them from the field's beginning.
    Exactly(u32),
}

/// One field of a context.
#[derive(Clone, Copy, Debug)]
pub struct Field<K: 'static> {
    /// Which field it is.
    pub key: K,
    /// Its name in the UAPI struct.
    pub name: &'static str,
    /// Byte offset.
    pub offset: u32,
    /// Length in bytes; an array's whole length.
    pub size: u32,
    /// How wide an access may be.
    pub width: Width,
    /// Which program types may read it.
    pub read: ProgTypes,
    /// Which program types may write it.
    pub write: ProgTypes,
    /// The first kernel that has it, as (major, minor).
    pub since: (u8, u8),
}

/// Finds the field an access of `size` bytes at `offset` goes to. `fields` ascend by offset.
///
/// Errors say in words why a program of this type may not do that.
pub fn access<K>(
    fields: &'static [Field<K>],
    prog_type: ProgType,
    offset: u32,
    size: u32,
    write: bool,
) -> Result<&'static Field<K>, &'static str> {
    let at = fields.partition_point(|f| f.offset + f.size <= offset);
    let field = fields.get(at).filter(|f| f.offset <= offset).ok_or("no field lies there")?;
    let types = if write { field.write } else { field.read };
    if !types.contains(prog_type) {
        return Err(if write {
            "this program type may not write the field"
        } else {
            "this program type may not read the field"
        });
    }
    if !offset.is_multiple_of(size) {
        return Err("the access is not aligned to its size");
    }
    let inside = offset - field.offset;
    let fits = match field.width {
        Width::Wide4 if size == 8 => inside + 8 <= field.size,
        Width::Narrow4 | Width::First4 | Width::Narrow4Of2 | Width::Wide4 if write => size == 4,
        Width::First4 => size == 4 || (size < 4 && inside == 0),
        Width::Narrow4Of2 => size == 2 || size == 4,
        Width::Narrow4 | Width::Wide4 => size <= 4,
        Width::Narrow2 => size <= 2 || (size == 4 && inside == 0),
        Width::Bytes => inside + size <= field.size,
        Width::Exactly(width) => size == width && inside.is_multiple_of(width),
    };
    if fits { Ok(field) } else { Err("the field may not be accessed with this width") }
}

/// The part of a field's value that a narrow read sees: little-endian, `inside` bytes from its beginning.
pub const fn narrow(value: u64, inside: u32, size: u32) -> u64 {
    let shifted = value >> (inside * 8);
    if size >= 8 { shifted } else { shifted & ((1 << (size * 8)) - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_reads_take_little_endian_parts() {
        assert_eq!(narrow(0x1234_5678, 0, 4), 0x1234_5678);
        assert_eq!(narrow(0x1234_5678, 2, 2), 0x1234);
        assert_eq!(narrow(0x1234_5678, 1, 1), 0x56);
        assert_eq!(narrow(u64::MAX, 0, 8), u64::MAX);
    }

    #[test]
    fn fields_ascend() {
        fn check<K>(fields: &[Field<K>]) {
            assert!(fields.is_sorted_by(|a, b| a.offset + a.size <= b.offset));
        }
        check(skb::FIELDS);
        check(xdp::FIELDS);
        check(nf::FIELDS);
        check(sk_lookup::FIELDS);
    }
}
