//! The connections a kernel tracks, as far as programs make and find them: `net/netfilter/nf_conntrack_core.c`, v6.12.

use crate::bpf::mem::ObjectKind;
use crate::bpf::{Access, Addr, Memory};
use crate::uapi::Errno;

/// `IPS_*` of `include/uapi/linux/netfilter/nf_conntrack_common.h`, v6.12.
#[allow(missing_docs)]
pub mod ips {
    pub const EXPECTED: u32 = 1 << 0;
    pub const SEEN_REPLY: u32 = 1 << 1;
    pub const ASSURED: u32 = 1 << 2;
    pub const CONFIRMED: u32 = 1 << 3;
    pub const NAT_MASK: u32 = 3 << 4;
    pub const SEQ_ADJUST: u32 = 1 << 6;
    pub const NAT_DONE_MASK: u32 = 3 << 7;
    pub const DYING: u32 = 1 << 9;
    pub const FIXED_TIMEOUT: u32 = 1 << 10;
    pub const TEMPLATE: u32 = 1 << 11;
    pub const UNTRACKED: u32 = 1 << 12;
    pub const OFFLOAD: u32 = 1 << 14;
    pub const HW_OFFLOAD: u32 = 1 << 15;
    /// What `__nf_ct_change_status` leaves alone.
    pub const UNCHANGEABLE_MASK: u32 = NAT_DONE_MASK
        | NAT_MASK
        | EXPECTED
        | CONFIRMED
        | DYING
        | SEQ_ADJUST
        | TEMPLATE
        | UNTRACKED
        | OFFLOAD
        | HW_OFFLOAD;
    /// `__IPS_MAX_BIT` is 16.
    pub const ALL: u32 = 0xffff;
}

/// One direction of a connection: `struct nf_conntrack_tuple`. Addresses and ports are bytes as in packets, IPv4
/// addresses 4 of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tuple {
    /// Source address and port.
    pub src: (Vec<u8>, [u8; 2]),
    /// Destination address and port.
    pub dst: (Vec<u8>, [u8; 2]),
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub proto: u8,
}

impl Tuple {
    /// The same connection from the other end.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { src: self.dst.clone(), dst: self.src.clone(), proto: self.proto }
    }
}

/// `struct nf_conntrack_zone`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Zone {
    /// Its number.
    pub id: u16,
    /// Directions it holds for: bit 0 original, bit 1 reply.
    pub dir: u8,
}

impl Zone {
    /// `NF_CT_DEFAULT_ZONE_DIR`.
    pub const BOTH: u8 = 3;

    /// `nf_ct_zone_id`.
    const fn id_in(self, dir: u8) -> u16 {
        if self.dir & (1 << dir) != 0 { self.id } else { 0 }
    }
}

/// A connection: `struct nf_conn`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What programs hold: an address at which no byte can be read.
    pub addr: Addr,
    /// The original direction.
    pub tuple: Tuple,
    /// Its zone.
    pub zone: Zone,
    /// [`ips`] bits.
    pub status: u32,
    /// Nanoseconds: before it is confirmed how long it lives, then when it ends.
    pub timeout: u64,
}

/// `nf_conntrack_alloc` gives programs entries that live 10 s.
const DEFAULT_TIMEOUT_NS: u64 = 10_000_000_000;

/// Every entry, allocated or inserted.
#[derive(Clone, Debug, Default)]
pub struct Conntrack {
    entries: Vec<Entry>,
}

impl Conntrack {
    /// `nf_conntrack_alloc`: an entry nobody finds yet.
    pub fn alloc(&mut self, mem: &mut Memory, tuple: Tuple, zone: Zone) -> Result<Addr, Errno> {
        let kind = ObjectKind::Helper("conntrack entry");
        let addr = mem.alloc(kind, Access::Read, 0).ok_or(Errno::ENOMEM)?;
        self.entries.push(Entry { addr, tuple, zone, status: 0, timeout: DEFAULT_TIMEOUT_NS });
        Ok(addr)
    }

    /// The entry that programs hold as `addr`.
    pub fn get(&mut self, addr: Addr) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.addr == addr)
    }

    /// The entry in the table with this tuple in one direction, and which (0 or 1).
    fn position(&self, tuple: &Tuple, zone: Zone) -> Option<(usize, u8)> {
        self.entries.iter().enumerate().find_map(|(index, entry)| {
            let equal = |dir: u8, seen: &Tuple| {
                entry.status & (ips::CONFIRMED | ips::DYING) == ips::CONFIRMED
                    && seen == tuple
                    && entry.zone.id_in(dir) == zone.id_in(dir)
            };
            if equal(0, &entry.tuple) {
                Some((index, 0))
            } else {
                equal(1, &entry.tuple.reversed()).then_some((index, 1))
            }
        })
    }

    /// `nf_conntrack_find_get` at time `now`: the entry and the direction the tuple is of. An entry whose time is over is
    /// taken out of the table; who holds it keeps it.
    pub fn find(&mut self, tuple: &Tuple, zone: Zone, now: u64) -> Option<(Addr, u8)> {
        while let Some((index, dir)) = self.position(tuple, zone) {
            let entry = &mut self.entries[index];
            if entry.timeout > now {
                return Some((entry.addr, dir));
            }
            entry.status |= ips::DYING;
        }
        None
    }

    /// `bpf_ct_insert_entry`: false, and the entry is gone, if there is one like it already.
    pub fn insert(&mut self, mem: &mut Memory, addr: Addr, now: u64) -> bool {
        let entry = self.get(addr).expect("the program holds it").clone();
        let taken = self.position(&entry.tuple, entry.zone).is_some()
            || self.position(&entry.tuple.reversed(), entry.zone).is_some();
        if taken {
            self.entries.retain(|entry| entry.addr != addr);
            mem.free(addr);
            return false;
        }
        let entry = self.get(addr).expect("it was there");
        entry.timeout += now;
        entry.status |= ips::CONFIRMED;
        true
    }
}

impl Entry {
    /// `__nf_ct_set_timeout` at time `now`.
    pub fn set_timeout(&mut self, ms: u32, now: u64) {
        let start = if self.status & ips::CONFIRMED != 0 { now } else { 0 };
        self.timeout = start + u64::from(ms) * 1_000_000;
    }

    /// `__nf_ct_change_timeout` at time `now`.
    pub fn change_timeout(&mut self, ms: u32, now: u64) -> Result<(), Errno> {
        if self.status & ips::FIXED_TIMEOUT != 0 {
            return Err(Errno::EPERM);
        }
        self.set_timeout(ms, now);
        if self.status & ips::DYING != 0 { Err(Errno::ETIME) } else { Ok(()) }
    }

    /// `nf_ct_change_status_common`.
    pub fn change_status(&mut self, status: u32) -> Result<(), Errno> {
        let changed = self.status ^ status;
        let fixed = ips::EXPECTED | ips::CONFIRMED | ips::DYING;
        let only_set = ips::SEEN_REPLY | ips::ASSURED;
        if changed & fixed != 0 || changed & only_set & !status != 0 {
            return Err(Errno::EBUSY);
        }
        self.status |= status & ips::ALL & !ips::UNCHANGEABLE_MASK;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_in_both_directions_until_its_time_is_over() {
        let mut mem = Memory::new();
        let mut table = Conntrack::default();
        let tuple = Tuple { src: (vec![10, 0, 0, 1], [0, 1]), dst: (vec![10, 0, 0, 2], [0, 2]), proto: 6 };
        let zone = Zone { id: 0, dir: Zone::BOTH };
        let other = Zone { id: 7, dir: 1 };
        let addr = table.alloc(&mut mem, tuple.clone(), zone).unwrap();
        assert_eq!(table.find(&tuple, zone, 0), None, "not inserted");
        assert!(table.insert(&mut mem, addr, 5));
        assert_eq!(table.find(&tuple, zone, 6), Some((addr, 0)));
        assert_eq!(table.find(&tuple, other, 6), None);
        assert_eq!(table.find(&tuple.reversed(), zone, 6), Some((addr, 1)));
        assert_eq!(table.find(&tuple.reversed(), other, 6), Some((addr, 1)), "the zone is of one direction");
        let again = table.alloc(&mut mem, tuple.reversed(), zone).unwrap();
        assert!(!table.insert(&mut mem, again, 6), "the other direction is taken");
        let entry = table.get(addr).unwrap();
        assert_eq!(entry.change_status(0), Err(Errno::EBUSY), "confirmed stays confirmed");
        assert_eq!(entry.change_status(ips::CONFIRMED | ips::ASSURED), Ok(()));
        assert_eq!(entry.change_status(ips::CONFIRMED), Err(Errno::EBUSY));
        assert_eq!(entry.change_timeout(1, 10), Ok(()));
        assert_eq!(table.find(&tuple, zone, 1_000_010), None);
    }
}
