//! Checksums: diffs, replacing in headers, what the packet itself carries.

use super::{Arg, Call, Helper, LWT, Ret, TC};
use crate::net::csum;
use crate::net::skb::{IpSummed, SkBuff};
use crate::uapi::ProgType::{LwtXmit, Xdp};
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes};

const WRITERS: ProgTypes = TC.or(ProgTypes::of(&[LwtXmit]));
const DIFFERS: ProgTypes = TC.or(LWT).or(ProgTypes::of(&[Xdp]));

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::csum_diff, DIFFERS,
        &[Arg::MemOrNull, Arg::SizeOrZero, Arg::MemOrNull, Arg::SizeOrZero, Arg::Any], diff,
        "net/core/filter.c: bpf_csum_diff"),
    Helper::new(id::l3_csum_replace, WRITERS, &[Arg::Ctx, Arg::Any, Arg::Any, Arg::Any, Arg::Any], l3_replace,
        "net/core/filter.c: bpf_l3_csum_replace").moving(),
    Helper::new(id::l4_csum_replace, WRITERS, &[Arg::Ctx, Arg::Any, Arg::Any, Arg::Any, Arg::Any], l4_replace,
        "net/core/filter.c: bpf_l4_csum_replace").moving(),
    Helper::new(id::csum_update, WRITERS, &[Arg::Ctx, Arg::Any], update, "net/core/filter.c: bpf_csum_update"),
    Helper::new(id::csum_level, WRITERS, &[Arg::Ctx, Arg::Any], level, "net/core/filter.c: bpf_csum_level"),
];

const BPF_F_HDR_FIELD_MASK: u64 = 0xf;
const BPF_F_PSEUDO_HDR: u64 = 1 << 4;
const BPF_F_MARK_MANGLED_0: u64 = 1 << 5;
const BPF_F_MARK_ENFORCE: u64 = 1 << 6;
const BPF_F_IPV6: u64 = 1 << 7;

const BPF_CSUM_LEVEL_QUERY: u64 = 0;
const BPF_CSUM_LEVEL_INC: u64 = 1;
const BPF_CSUM_LEVEL_DEC: u64 = 2;
const BPF_CSUM_LEVEL_RESET: u64 = 3;

/// `MAX_BPF_STACK`: what the scratch pad of older kernels holds.
const SCRATCHPAD: usize = 512;
/// `SKB_MAX_CSUM_LEVEL`.
const SKB_MAX_CSUM_LEVEL: u8 = 3;

fn diff(call: &mut Call<'_, '_>) -> Ret {
    let [from, from_size, to, to_size, seed] = call.args;
    let seed = seed as u32;
    // NULL goes with a size of 0 only; the verifier sees to it.
    let (from, to) = (call.mem(from, from_size)?, call.mem(to, to_size)?);
    if call.machine.release.csum_diff_folds() {
        // As since v6.13.
        let sum = match (from.is_empty(), to.is_empty()) {
            (false, false) => csum::sub(csum::partial(to, seed), csum::partial(from, 0)),
            (true, false) => csum::partial(to, seed),
            (false, true) => !csum::partial(from, !seed),
            (true, true) => seed,
        };
        return Ok(csum::from32to16(sum).into());
    }
    if !from.len().is_multiple_of(4) || !to.len().is_multiple_of(4) || from.len() + to.len() > SCRATCHPAD {
        return Err(Errno::EINVAL.into());
    }
    let words: Vec<u8> = from.iter().map(|byte| !byte).chain(to.iter().copied()).collect();
    Ok(csum::partial(&words, seed).into())
}

/// The checks both replacing helpers begin with: the byte offset of a field that can be written.
fn field(skb: &mut SkBuff, mem: &mut crate::bpf::Memory, offset: u64) -> Result<usize, Errno> {
    let offset = offset as u32;
    if offset > 0xffff || offset & 1 != 0 || !skb.ensure_writable(mem, offset + 2) {
        return Err(Errno::EFAULT);
    }
    Ok(offset as usize)
}

fn l3_replace(call: &mut Call<'_, '_>) -> Ret {
    let [_, offset, from, to, flags] = call.args;
    let (skb, mem) = call.skb();
    if flags & !BPF_F_HDR_FIELD_MASK != 0 {
        return Err(Errno::EINVAL.into());
    }
    let at = field(skb, mem, offset)?;
    let bytes = &mut skb.linear.bytes_mut(mem)[at..at + 2];
    let old = u16::from_le_bytes([bytes[0], bytes[1]]);
    let new = match flags {
        0 if from == 0 => csum::replace_by_diff(old, to as u32),
        2 => csum::replace2(old, from as u16, to as u16),
        4 => csum::replace4(old, from as u32, to as u32),
        _ => return Err(Errno::EINVAL.into()),
    };
    bytes.copy_from_slice(&new.to_le_bytes());
    Ok(0)
}

fn l4_replace(call: &mut Call<'_, '_>) -> Ret {
    let [_, offset, from, to, flags] = call.args;
    let (skb, mem) = call.skb();
    let known =
        BPF_F_HDR_FIELD_MASK | BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0 | BPF_F_MARK_ENFORCE | BPF_F_IPV6;
    if flags & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    let at = field(skb, mem, offset)?;
    let pseudo = flags & BPF_F_PSEUDO_HDR != 0;
    let mangled_0 = flags & BPF_F_MARK_MANGLED_0 != 0;
    let bytes = &skb.linear.bytes(mem)[at..at + 2];
    let old = u16::from_le_bytes([bytes[0], bytes[1]]);
    if mangled_0 && flags & BPF_F_MARK_ENFORCE == 0 && old == 0 {
        return Ok(0);
    }
    let new = match flags & BPF_F_HDR_FIELD_MASK {
        0 if from == 0 => replace_by_diff(skb, old, to as u32, pseudo, flags & BPF_F_IPV6 != 0),
        // `inet_proto_csum_replace2` takes 16-bit values.
        2 => replace4(skb, old, (from as u16).into(), (to as u16).into(), pseudo),
        4 => replace4(skb, old, from as u32, to as u32, pseudo),
        _ => return Err(Errno::EINVAL.into()),
    };
    let new = if mangled_0 && new == 0 { 0xffff } else { new };
    skb.linear.bytes_mut(mem)[at..at + 2].copy_from_slice(&new.to_le_bytes());
    Ok(0)
}

/// `net/core/utils.c: inet_proto_csum_replace4`, v6.12.
fn replace4(skb: &mut SkBuff, old: u16, from: u32, to: u32, pseudo: bool) -> u16 {
    if skb.ip_summed == IpSummed::Partial {
        let sum = csum::add(csum::sub(csum::unfold(old), from), to);
        return if pseudo { !csum::fold(sum) } else { old };
    }
    if skb.ip_summed == IpSummed::Complete && pseudo {
        skb.csum = !csum::add(csum::sub(!skb.csum, from), to);
    }
    csum::replace4(old, from, to)
}

/// `net/core/utils.c: inet_proto_csum_replace_by_diff`, v6.12.
fn replace_by_diff(skb: &mut SkBuff, old: u16, diff: u32, pseudo: bool, ipv6: bool) -> u16 {
    if skb.ip_summed == IpSummed::Partial {
        return if pseudo { !csum::fold(csum::add(diff, csum::unfold(old))) } else { old };
    }
    if skb.ip_summed == IpSummed::Complete && pseudo && !ipv6 {
        skb.csum = !csum::sub(diff, skb.csum);
    }
    csum::replace_by_diff(old, diff)
}

fn update(call: &mut Call<'_, '_>) -> Ret {
    let diff = call.args[1] as u32;
    let (skb, _) = call.skb();
    if skb.ip_summed != IpSummed::Complete {
        return Err(Errno::ENOTSUPP.into());
    }
    skb.csum = csum::add(skb.csum, diff);
    Ok(skb.csum.into())
}

fn level(call: &mut Call<'_, '_>) -> Ret {
    let asked = call.args[1];
    let (skb, _) = call.skb();
    match asked {
        BPF_CSUM_LEVEL_QUERY if skb.ip_summed == IpSummed::Unnecessary => return Ok(skb.csum_level.into()),
        BPF_CSUM_LEVEL_QUERY => return Err(Errno::EACCES.into()),
        BPF_CSUM_LEVEL_INC => match skb.ip_summed {
            IpSummed::Unnecessary => skb.csum_level = (skb.csum_level + 1).min(SKB_MAX_CSUM_LEVEL),
            IpSummed::None => (skb.ip_summed, skb.csum_level) = (IpSummed::Unnecessary, 0),
            IpSummed::Complete | IpSummed::Partial => {}
        },
        BPF_CSUM_LEVEL_DEC if skb.ip_summed == IpSummed::Unnecessary => match skb.csum_level {
            0 => skb.ip_summed = IpSummed::None,
            level => skb.csum_level = level - 1,
        },
        BPF_CSUM_LEVEL_DEC => {}
        BPF_CSUM_LEVEL_RESET => skb.reset_checksum_unnecessary(),
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

impl SkBuff {
    /// `__skb_reset_checksum_unnecessary`.
    pub(super) fn reset_checksum_unnecessary(&mut self) {
        if self.ip_summed == IpSummed::Unnecessary {
            (self.ip_summed, self.csum_level) = (IpSummed::None, 0);
        }
    }
}
