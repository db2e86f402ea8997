//! Contexts that no BPF_PROG_TEST_RUN makes: what a caller gives is a UAPI struct, and what a program sees of it are
//! that struct's fields. One table per struct; a row's [`Part`] says where the value comes from.

use super::{Field, Width};
use crate::uapi::{AttachType, ProgType, ProgTypes};

/// Where a field's value comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The struct itself; the kernel keeps these bits of every word.
    Given(u32),
    /// A port in network byte order in the low half of a word.
    Port,
    /// A port in network byte order in the high half of a word.
    PortHigh,
    /// The struct itself, of sockets that are full ones: 0 and not written for others.
    FullSock(u32),
    /// The socket.
    Sk,
    /// The socket if it is a full one.
    FullSk,
    /// NULL: there is no second socket.
    NoSk,
    /// Where the data begin.
    Data,
    /// One past the last byte of the data.
    DataEnd,
    /// How many bytes there are from the beginning of the data on.
    Len,
}

impl Part {
    /// The bits of a word that can be set; `None` for what is no part of the struct a caller gives.
    pub const fn bits(self) -> Option<u32> {
        match self {
            Self::Given(bits) | Self::FullSock(bits) => Some(bits),
            Self::Port => Some(0xffff),
            Self::PortHigh => Some(0xffff_0000),
            Self::Len => Some(u32::MAX),
            Self::Sk | Self::FullSk | Self::NoSk | Self::Data | Self::DataEnd => None,
        }
    }
}

/// A field of such a struct.
pub type GivenField = Field<Part>;

/// Which attach types may touch a field: name, attach type, whether it is a write.
pub type Allowed = fn(&str, AttachType, bool) -> bool;

/// One struct.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Its tag.
    pub name: &'static str,
    /// Its bytes.
    pub size: u32,
    /// Every field, in the struct's order.
    pub fields: &'static [GivenField],
    /// What attach types may do beyond that.
    pub allowed: Allowed,
}

/// The context of a program type that is run over what is given; `None` for every other type.
pub const fn context(prog_type: ProgType) -> Option<&'static Context> {
    Some(match prog_type {
        ProgType::CgroupSock => &super::sock::CONTEXT,
        ProgType::CgroupSockAddr => &super::sock_addr::CONTEXT,
        ProgType::CgroupSockopt => &super::sockopt::CONTEXT,
        ProgType::SockOps => &super::sock_ops::CONTEXT,
        ProgType::SkMsg => &super::sk_msg::CONTEXT,
        ProgType::SkReuseport => &super::sk_reuseport::CONTEXT,
        ProgType::CgroupSysctl => &super::sysctl::CONTEXT,
        ProgType::CgroupDevice => &super::device::CONTEXT,
        _ => return None,
    })
}

/// Every attach type may do what the table says.
pub(super) fn always(_: &str, _: AttachType, _: bool) -> bool {
    true
}

/// Rows of one program type.
pub(super) struct Rows(pub ProgType);

impl Rows {
    /// A field to read.
    pub const fn read(
        &self,
        name: &'static str,
        offset: u32,
        size: u32,
        width: Width,
        key: Part,
        since: (u8, u8),
    ) -> GivenField {
        let read = ProgTypes::of(&[self.0]);
        Field { key, name, offset, size, width, read, write: ProgTypes::NONE, since }
    }

    /// A field to read and write.
    pub const fn both(
        &self,
        name: &'static str,
        offset: u32,
        size: u32,
        width: Width,
        key: Part,
        since: (u8, u8),
    ) -> GivenField {
        let row = self.read(name, offset, size, width, key, since);
        Field { write: row.read, ..row }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uapi::ctx::access;

    #[test]
    fn fields_lie_in_order_inside_their_struct() {
        for &prog_type in ProgType::ALL {
            let Some(context) = context(prog_type) else { continue };
            let mut end = 0;
            for field in context.fields {
                assert!(field.offset >= end, "{}.{}", context.name, field.name);
                end = field.offset + field.size;
            }
            assert!(end <= context.size, "{}", context.name);
        }
    }

    #[test]
    fn widths_are_those_of_the_verifier() {
        use ProgType::{CgroupSock, CgroupSockAddr, CgroupSysctl, SkMsg, SkReuseport, SockOps};
        for (prog_type, offset, size, write, want) in [
            (CgroupSockAddr, 8, 8, false, true),
            (CgroupSockAddr, 8, 8, true, true),
            (CgroupSockAddr, 12, 8, false, false),
            (CgroupSockAddr, 48, 8, true, true),
            (CgroupSockAddr, 44, 8, true, false),
            (CgroupSockAddr, 10, 2, false, true),
            (CgroupSockAddr, 10, 2, true, false),
            (CgroupSockAddr, 24, 2, false, true),
            (CgroupSockAddr, 28, 2, false, false),
            (CgroupSockAddr, 0, 4, true, false),
            (CgroupSockAddr, 60, 4, false, false),
            (CgroupSock, 4, 1, false, true),
            (CgroupSock, 5, 1, false, false),
            (CgroupSock, 16, 2, false, false),
            (CgroupSock, 16, 4, true, true),
            (CgroupSock, 50, 2, false, false),
            (CgroupSock, 48, 4, false, true),
            (SockOps, 4, 4, true, true),
            (SockOps, 8, 4, true, false),
            (SockOps, 16, 4, false, true),
            (SockOps, 168, 8, false, true),
            (SockOps, 168, 4, false, false),
            (SockOps, 212, 1, false, true),
            (SockOps, 213, 1, false, false),
            (SkMsg, 0, 8, false, true),
            (SkMsg, 0, 4, false, false),
            (SkMsg, 64, 2, false, false),
            (SkReuseport, 20, 1, false, false),
            (SkReuseport, 20, 2, false, true),
            (SkReuseport, 24, 1, false, true),
            (SkReuseport, 32, 2, false, false),
            (CgroupSysctl, 4, 2, true, false),
            (CgroupSysctl, 4, 2, false, true),
            (CgroupSysctl, 0, 4, true, false),
        ] {
            let fields = context(prog_type).unwrap().fields;
            let got = access(fields, prog_type, offset, size, write).is_ok();
            assert_eq!(got, want, "{prog_type} {size} bytes at {offset}, write {write}");
        }
    }
}
