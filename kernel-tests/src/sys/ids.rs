//! What the whole machine holds: the ids bpf(2) walks.

use super::attr::{Cmd, GetId};
use super::{Errno, bpf};

/// Things with ids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    Program,
    Map,
    Btf,
    Link,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Program, Self::Map, Self::Btf, Self::Link];
}

/// Every id of one kind, ascending. Needs CAP_SYS_ADMIN.
pub fn ids(kind: Kind) -> Result<Vec<u32>, Errno> {
    let cmd = match kind {
        Kind::Program => Cmd::ProgGetNextId,
        Kind::Map => Cmd::MapGetNextId,
        Kind::Btf => Cmd::BtfGetNextId,
        Kind::Link => Cmd::LinkGetNextId,
    };
    let mut found = Vec::new();
    let mut get = GetId::default();
    loop {
        // SAFETY: the structure holds no address.
        match unsafe { bpf(cmd, &mut get) } {
            Ok(_) => found.push(get.next_id),
            Err(Errno::ENOENT) => return Ok(found),
            Err(errno) => return Err(errno),
        }
        get.id = get.next_id;
    }
}
