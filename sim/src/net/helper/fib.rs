//! `bpf_fib_lookup`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Arg, Call, Helper, Ret, TC};
use crate::net::env::Env;
use crate::net::fib::{Entry, TABLE_MAIN, covers};
use crate::net::network::{Device, RouteKind};
use crate::net::saddr;
use crate::net::skb::{ETH_HLEN, VLAN_HLEN};
use crate::net::sock::{AF_INET, AF_INET6};
use crate::uapi::ProgType::Xdp;
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes, Release};

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::fib_lookup, TC, &[Arg::Ctx, Arg::MemOut, Arg::Size, Arg::Any], skb_fib_lookup,
        "net/core/filter.c: bpf_skb_fib_lookup"),
    Helper::new(id::fib_lookup, ProgTypes::of(&[Xdp]), &[Arg::Ctx, Arg::MemOut, Arg::Size, Arg::Any], xdp_fib_lookup,
        "net/core/filter.c: bpf_xdp_fib_lookup"),
];

const DIRECT: u32 = 1 << 0;
const OUTPUT: u32 = 1 << 1;
const SKIP_NEIGH: u32 = 1 << 2;
const TBID: u32 = 1 << 3;
const SRC: u32 = 1 << 4;
const MARK: u32 = 1 << 5;

/// `BPF_FIB_LKUP_RET_*`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Code {
    Success = 0,
    Blackhole = 1,
    Unreachable = 2,
    Prohibit = 3,
    NotFwded = 4,
    FwdDisabled = 5,
    NoNeigh = 7,
    FragNeeded = 8,
    NoSrcAddr = 9,
}

/// The program's `struct bpf_fib_lookup`.
struct Params([u8; Params::SIZE]);

impl Params {
    const SIZE: usize = 64;
    const TOT_LEN: usize = 6;
    const IFINDEX: usize = 8;
    const METRIC: usize = 12;
    const SRC: usize = 16;
    const DST: usize = 32;
    const TBID: usize = 48;
    const SMAC: usize = 52;
    const DMAC: usize = 58;

    fn tot_len(&self) -> u32 {
        u16::from_le_bytes([self.0[Self::TOT_LEN], self.0[Self::TOT_LEN + 1]]).into()
    }

    /// A union with `tot_len`, 16 bits of it.
    fn set_mtu_result(&mut self, mtu: u32) {
        self.0[Self::TOT_LEN..Self::TOT_LEN + 2].copy_from_slice(&(mtu as u16).to_le_bytes());
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().expect("4 bytes"))
    }

    fn set_word(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn address(&self, at: usize, ipv4: bool) -> IpAddr {
        let octets: [u8; 16] = self.0[at..at + 16].try_into().expect("16 bytes");
        if ipv4 {
            IpAddr::V4(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]))
        } else {
            IpAddr::V6(Ipv6Addr::from(octets))
        }
    }

    fn set_address(&mut self, at: usize, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.0[at..at + 4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => self.0[at..at + 16].copy_from_slice(&v6.octets()),
        }
    }
}

const fn known(release: Release) -> u32 {
    let newer = if release.fib_lookup_tbid_src_mark() { SKIP_NEIGH | TBID | SRC | MARK } else { 0 };
    DIRECT | OUTPUT | newer
}

fn skb_fib_lookup(call: &mut Call<'_, '_>) -> Ret {
    let (skb, _) = call.skb();
    let (len, gso) = (skb.len(), skb.is_gso());
    call.fib_lookup(|env, params, flags| {
        let check_mtu = params.tot_len() != 0;
        let code = lookup(env, params, flags, check_mtu)?;
        if code != Code::Success || check_mtu {
            return Ok(code);
        }
        let dev = env.device(params.word(Params::IFINDEX)).expect("a route's device exists");
        params.set_mtu_result(dev.mtu);
        // `is_skb_forwardable`, with room for one VLAN tag.
        let fits = dev.up && (len <= dev.mtu + ETH_HLEN + VLAN_HLEN || gso);
        Ok(if fits { Code::Success } else { Code::FragNeeded })
    })
}

fn xdp_fib_lookup(call: &mut Call<'_, '_>) -> Ret {
    call.fib_lookup(|env, params, flags| lookup(env, params, flags, true))
}

impl Call<'_, '_> {
    fn fib_lookup(&mut self, run: impl Fn(&Env, &mut Params, u32) -> Result<Code, Errno>) -> Ret {
        let [_, at, len, flags, _] = self.args;
        let flags = flags as u32;
        if (len as usize) < Params::SIZE || flags & !known(self.machine.release) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let bytes = self.mem(at, Params::SIZE as u64)?;
        let mut params = Params(bytes.try_into().expect("64 bytes"));
        let code = run(self.run.env, &mut params, flags);
        self.mem_mut(at, Params::SIZE as u64)?.copy_from_slice(&params.0);
        Ok(code? as u64)
    }
}

/// `bpf_ipv4_fib_lookup` and `bpf_ipv6_fib_lookup`.
fn lookup(env: &Env, params: &mut Params, flags: u32, check_mtu: bool) -> Result<Code, Errno> {
    let ipv4 = match u16::from(params.0[0]) {
        AF_INET => true,
        AF_INET6 => false,
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    let (src, dst) = (params.address(Params::SRC, ipv4), params.address(Params::DST, ipv4));
    if need_strict(dst) || need_strict(src) {
        return Ok(Code::NotFwded);
    }
    let ifindex = params.word(Params::IFINDEX);
    let dev = env.device(ifindex).ok_or(Errno::ENODEV)?;
    if !dev.forwarding || !ipv4 && dev.mtu < IPV6_MIN_MTU {
        return Ok(Code::FwdDisabled);
    }
    let table = (flags & DIRECT != 0).then(|| {
        if flags & TBID == 0 {
            return TABLE_MAIN;
        }
        let table = params.word(Params::TBID);
        params.set_word(Params::TBID, 0);
        // `RT_TABLE_UNSPEC` is the main table.
        if table == 0 { TABLE_MAIN } else { table }
    });
    // IPv6 takes the device a packet came in by for the one it would best leave by.
    let oif = (!ipv4 || flags & OUTPUT != 0).then_some(ifindex);
    let Some(entry) = env.fib.lookup(dst, table, oif) else { return Ok(Code::NotFwded) };
    match entry.route.kind {
        RouteKind::Unicast => {}
        RouteKind::Blackhole => return Ok(Code::Blackhole),
        RouteKind::Unreachable => return Ok(Code::Unreachable),
        RouteKind::Prohibit => return Ok(Code::Prohibit),
        RouteKind::Local | RouteKind::Broadcast | RouteKind::Multicast | RouteKind::Anycast => {
            return Ok(Code::NotFwded);
        }
    }
    let dev = env.device(entry.route.ifindex).expect("a route's device exists");
    let mtu = dev.mtu.min(IP_MAX_MTU);
    if check_mtu && params.tot_len() > mtu {
        params.set_mtu_result(mtu);
        return Ok(Code::FragNeeded);
    }
    let next_hop = entry.route.via.unwrap_or(dst);
    if !ipv4 {
        params.set_address(Params::DST, next_hop);
    }
    params.set_word(Params::METRIC, entry.metric);
    params.set_word(Params::IFINDEX, dev.ifindex);
    if flags & SRC != 0 {
        match source(env, entry, dev, dst) {
            Some(source) => params.set_address(Params::SRC, source),
            None if ipv4 => params.set_address(Params::SRC, Ipv4Addr::UNSPECIFIED.into()),
            None => return Ok(Code::NoSrcAddr),
        }
    }
    params.set_address(Params::DST, next_hop);
    if flags & SKIP_NEIGH == 0 {
        let Some(mac) = env.fib.neighbour(next_hop, dev.ifindex) else { return Ok(Code::NoNeigh) };
        params.0[Params::DMAC..Params::DMAC + 6].copy_from_slice(&mac);
        params.0[Params::SMAC..Params::SMAC + 6].copy_from_slice(&dev.mac);
    }
    // `bpf_fib_set_fwd_params`: no VLAN.
    params.set_word(Params::TBID, 0);
    if check_mtu {
        params.set_mtu_result(mtu);
    }
    Ok(Code::Success)
}

/// `IPV6_MIN_MTU`: a device below it has no IPv6.
const IPV6_MIN_MTU: u32 = 1280;
/// `IP_MAX_MTU`, `IP6_MAX_MTU`.
const IP_MAX_MTU: u32 = 0xffff;

/// `rt6_need_strict`: addresses that are never forwarded.
fn need_strict(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_loopback() || v6.segments()[0] & 0xffc0 == 0xfe80,
    }
}

/// `fib_result_prefsrc` for IPv4, `ipv6_dev_get_saddr` for IPv6.
pub fn source(env: &Env, entry: &Entry, dev: &Device, dst: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(dst) = dst else {
        if entry.source.is_some() {
            return entry.source;
        }
        // `inet_select_addr`: one in the gateway's network, or the first, of the device or else of any.
        let own = |dev: &Device| dev.addresses.iter().copied().filter(|a| a.0.is_ipv4()).collect::<Vec<_>>();
        let addresses = own(dev);
        let near = entry.route.via.and_then(|via| addresses.iter().find(|&&prefix| covers(prefix, via)));
        let other = || env.devices.iter().filter(|d| !d.loopback).find_map(|d| own(d).first().copied());
        return near.or(addresses.first()).copied().or_else(other).map(|(address, _)| address);
    };
    saddr::select(&env.devices, dev, dst).map(IpAddr::V6)
}
