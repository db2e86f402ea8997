//! Connection tracking.

use super::Kfunc;
use super::iter::int;
use crate::net::conntrack::{Tuple, Zone};
use crate::net::held::Kind;
use crate::net::helper::{Arg, Call, Ret};
use crate::uapi::ProgType::{SchedCls, Xdp};
use crate::uapi::{Errno, ProgTypes, Release};

const SKB: ProgTypes = ProgTypes::of(&[SchedCls]);
const XDP: ProgTypes = ProgTypes::of(&[Xdp]);
const BOTH: ProgTypes = SKB.or(XDP);
const ASK: &[Arg] = &[Arg::Ctx, Arg::MemOrNull, Arg::SizeOrZero, Arg::MemOrNull, Arg::SizeOrZero];

const CITE: &str = "net/netfilter/nf_conntrack_bpf.c";
/// `NF_BPF_CT_OPTS_SZ` since 6.11; before, and still taken, 12.
const OPTS: u64 = 16;
const SHORT_OPTS: u64 = 12;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Kfunc] = &[
    Kfunc::new("bpf_skb_ct_lookup", SKB, ASK, lookup, CITE).since(Release::V6_1).acquiring(Kind::Conntrack),
    Kfunc::new("bpf_xdp_ct_lookup", XDP, ASK, lookup, CITE).since(Release::V6_1).acquiring(Kind::Conntrack),
    Kfunc::new("bpf_skb_ct_alloc", SKB, ASK, alloc, CITE).since(Release::V6_1).acquiring(Kind::NewConntrack),
    Kfunc::new("bpf_xdp_ct_alloc", XDP, ASK, alloc, CITE).since(Release::V6_1).acquiring(Kind::NewConntrack),
    Kfunc::new("bpf_ct_insert_entry", BOTH, &[Arg::Any], insert, CITE).since(Release::V6_1)
        .releasing(Kind::NewConntrack).acquiring(Kind::Conntrack),
    Kfunc::new("bpf_ct_release", BOTH, &[Arg::Any], |_| Ok(0), CITE).since(Release::V6_1).releasing(Kind::Conntrack),
    Kfunc::new("bpf_ct_set_timeout", BOTH, &[Arg::Any, Arg::Any], set_timeout, CITE).since(Release::V6_1),
    Kfunc::new("bpf_ct_change_timeout", BOTH, &[Arg::Any, Arg::Any], change_timeout, CITE).since(Release::V6_1),
    Kfunc::new("bpf_ct_set_status", BOTH, &[Arg::Any, Arg::Any], |call| status(call, Kind::NewConntrack), CITE)
        .since(Release::V6_1),
    Kfunc::new("bpf_ct_change_status", BOTH, &[Arg::Any, Arg::Any], |call| status(call, Kind::Conntrack), CITE)
        .since(Release::V6_1),
];

/// What `struct bpf_ct_opts` asks.
struct Opts {
    netns_id: i32,
    l4proto: u8,
    zone: Zone,
}

impl Call<'_, '_> {
    /// The checks of `__bpf_nf_ct_lookup` and `__bpf_nf_ct_alloc_entry` before they look at the tuple.
    fn ct_opts(&self) -> Result<Opts, Errno> {
        let [_, tuple, _, opts, size] = self.args;
        let long = size == OPTS && self.machine.release > Release::V6_1;
        if opts == 0 || tuple == 0 || !long && size != SHORT_OPTS {
            return Err(Errno::EINVAL);
        }
        let bytes = self.machine.mem.raw(opts, size as usize);
        let id = u16::from_le_bytes([bytes[10], bytes[11]]);
        let mut zone = Zone { id, dir: Zone::BOTH };
        if long {
            if bytes[13..16] != [0; 3] {
                return Err(Errno::EINVAL);
            }
            if bytes[12] != 0 {
                zone.dir = bytes[12];
            }
        } else if id != 0 {
            return Err(Errno::EINVAL);
        }
        let netns_id = i32::from_le_bytes(bytes[..4].try_into().expect("4 bytes"));
        Ok(Opts { netns_id, l4proto: bytes[8], zone })
    }

    /// `bpf_nf_ct_tuple_parse` of the original direction.
    fn ct_tuple(&self, proto: u8) -> Result<Tuple, Errno> {
        const TCP: u8 = 6;
        const UDP: u8 = 17;
        let [_, tuple, size, ..] = self.args;
        if !matches!(proto, TCP | UDP) {
            return Err(Errno::EPROTO);
        }
        let address = match size {
            12 => 4,
            36 => 16,
            _ => return Err(Errno::EAFNOSUPPORT),
        };
        let bytes = self.machine.mem.raw(tuple, size as usize);
        let port = |at: usize| [bytes[at], bytes[at + 1]];
        let (src, dst) = (bytes[..address].to_vec(), bytes[address..2 * address].to_vec());
        Ok(Tuple { src: (src, port(2 * address)), dst: (dst, port(2 * address + 2)), proto })
    }

    /// What both do once the namespace is known: there is none but the program's own.
    fn ct_write_zone(&mut self, opts: &Opts) -> Result<(), Errno> {
        let [.., at, size] = self.args;
        if opts.netns_id >= 0 {
            return Err(Errno::ENONET);
        }
        if size == OPTS {
            self.machine.mem.raw_mut(at + 12, 1)[0] = opts.zone.dir;
        }
        Ok(())
    }

    /// `bpf_ct_opts_result`.
    fn ct_result(&mut self, done: Result<u64, Errno>) -> Ret {
        let [.., opts, size] = self.args;
        match done {
            Err(errno) if opts != 0 && size >= 8 => {
                let error = (errno.as_r0() as i32).to_le_bytes();
                self.machine.mem.guest_mut(opts, size)?[4..8].copy_from_slice(&error);
                Ok(0)
            }
            Err(_) => Ok(0),
            Ok(addr) => Ok(addr),
        }
    }

    /// The memory arguments have to be writable too: `kernel/bpf/verifier.c: check_kfunc_mem_size_reg`, v6.12.
    fn ct_check(&self) -> Result<(), crate::bpf::FaultKind> {
        let [_, tuple, tuple_size, opts, size] = self.args;
        for (addr, len) in [(tuple, tuple_size), (opts, size)] {
            if addr != 0 && len != 0 {
                self.machine.mem.check(addr, len, true)?;
            }
        }
        Ok(())
    }
}

fn lookup(call: &mut Call<'_, '_>) -> Ret {
    call.ct_check()?;
    let found = find(call);
    call.ct_result(found)
}

fn find(call: &mut Call<'_, '_>) -> Result<u64, Errno> {
    let opts = call.ct_opts()?;
    if !matches!(opts.l4proto, 6 | 17) {
        return Err(Errno::EPROTO);
    }
    if opts.netns_id < -1 {
        return Err(Errno::EINVAL);
    }
    let tuple = call.ct_tuple(opts.l4proto)?;
    call.ct_write_zone(&opts)?;
    let env = &mut *call.run.env;
    let (addr, dir) = env.conntrack.find(&tuple, opts.zone, env.clock_ns).ok_or(Errno::ENOENT)?;
    call.machine.mem.raw_mut(call.args[3] + 9, 1)[0] = dir;
    Ok(addr)
}

fn alloc(call: &mut Call<'_, '_>) -> Ret {
    call.ct_check()?;
    let made = make(call);
    call.ct_result(made)
}

fn make(call: &mut Call<'_, '_>) -> Result<u64, Errno> {
    let opts = call.ct_opts()?;
    if opts.netns_id < -1 {
        return Err(Errno::EINVAL);
    }
    let tuple = call.ct_tuple(opts.l4proto)?;
    call.ct_write_zone(&opts)?;
    call.run.env.conntrack.alloc(&mut call.machine.mem, tuple, opts.zone)
}

fn insert(call: &mut Call<'_, '_>) -> Ret {
    let addr = call.args[0];
    let env = &mut *call.run.env;
    let inserted = env.conntrack.insert(&mut call.machine.mem, addr, env.clock_ns);
    Ok(if inserted { addr } else { 0 })
}

impl Call<'_, '_> {
    /// Refuses argument 1 unless it is an entry of this kind that is held.
    fn ct_held(&self, kind: Kind) -> Result<(), crate::bpf::FaultKind> {
        if self.run.held.has(kind, self.args[0]) {
            return Ok(());
        }
        Err(self.bad_arg(1, format!("not a {kind} that is held")))
    }
}

fn set_timeout(call: &mut Call<'_, '_>) -> Ret {
    call.ct_held(Kind::NewConntrack)?;
    let [addr, ms, ..] = call.args;
    let now = call.run.env.clock_ns;
    if let Some(entry) = call.run.env.conntrack.get(addr) {
        entry.set_timeout(ms as u32, now);
    }
    Ok(0)
}

fn change_timeout(call: &mut Call<'_, '_>) -> Ret {
    call.ct_held(Kind::Conntrack)?;
    let [addr, ms, ..] = call.args;
    let now = call.run.env.clock_ns;
    let entry = call.run.env.conntrack.get(addr);
    int(entry.map_or(Ok(()), |entry| entry.change_timeout(ms as u32, now)).map(|()| 0))
}

fn status(call: &mut Call<'_, '_>, kind: Kind) -> Ret {
    call.ct_held(kind)?;
    let [addr, status, ..] = call.args;
    let entry = call.run.env.conntrack.get(addr);
    int(entry.map_or(Ok(()), |entry| entry.change_status(status as u32)).map(|()| 0))
}
