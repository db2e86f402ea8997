//! Bytes of an skb: loading, storing, making them linear.

use super::{Arg, Call, Helper, LWT, Ret, TC};
use crate::bpf::Memory;
use crate::net::csum;
use crate::net::run::Packet;
use crate::net::skb::{IpSummed, SkBuff};
use crate::uapi::ProgType::{
    CgroupSkb, FlowDissector, LwtIn, LwtOut, LwtXmit, SkReuseport, SkSkb, SocketFilter,
};
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes};

const LOADERS: ProgTypes = TC.or(LWT).or(READERS).or(ProgTypes::of(&[SkSkb]));
const READERS: ProgTypes = ProgTypes::of(&[CgroupSkb, SocketFilter]);
const REUSEPORT: ProgTypes = ProgTypes::of(&[SkReuseport]);
const STORERS: ProgTypes = TC.or(ProgTypes::of(&[LwtXmit, SkSkb]));
/// lwt_seg6local programs may not: the kernel would lose the segment routing header.
const PULLERS: ProgTypes = TC.or(ProgTypes::of(&[LwtIn, LwtOut, LwtXmit, SkSkb]));

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::skb_load_bytes, LOADERS, &[Arg::Ctx, Arg::Any, Arg::MemOut, Arg::Size], load_bytes,
        "net/core/filter.c: bpf_skb_load_bytes"),
    Helper::new(id::skb_load_bytes, ProgTypes::of(&[FlowDissector]), &[Arg::Ctx, Arg::Any, Arg::MemOut, Arg::Size],
        flow_load_bytes, "net/core/filter.c: bpf_flow_dissector_load_bytes"),
    Helper::new(id::skb_load_bytes, REUSEPORT, &[Arg::Ctx, Arg::Any, Arg::MemOut, Arg::Size], reuseport_load_bytes,
        "net/core/filter.c: sk_reuseport_load_bytes"),
    Helper::new(id::skb_load_bytes_relative, TC.or(READERS), &[Arg::Ctx, Arg::Any, Arg::MemOut, Arg::Size, Arg::Any],
        load_bytes_relative, "net/core/filter.c: bpf_skb_load_bytes_relative"),
    Helper::new(id::skb_store_bytes, STORERS, &[Arg::Ctx, Arg::Any, Arg::Mem, Arg::Size, Arg::Any], store_bytes,
        "net/core/filter.c: bpf_skb_store_bytes").moving(),
    Helper::new(id::skb_pull_data, PULLERS, &[Arg::Ctx, Arg::Any], pull_data,
        "net/core/filter.c: bpf_skb_pull_data, sk_skb_pull_data").moving(),
];

const BPF_F_RECOMPUTE_CSUM: u64 = 1 << 0;
const BPF_F_INVALIDATE_HASH: u64 = 1 << 1;
const BPF_HDR_START_MAC: u32 = 0;
const BPF_HDR_START_NET: u32 = 1;

fn load_bytes(call: &mut Call<'_, '_>) -> Ret {
    let [_, offset, to, len, _] = call.args;
    call.give(to, len, |call, bytes| {
        let (skb, mem) = call.skb();
        i32::try_from(offset as u32).is_ok_and(|offset| skb.copy_bits(mem, offset, bytes))
    })
}

/// From the transport header on, as the context's data.
fn reuseport_load_bytes(call: &mut Call<'_, '_>) -> Ret {
    let [_, offset, to, len, _] = call.args;
    call.give(to, len, |call, bytes| {
        let Packet::Given(given) = &call.run.packet else { unreachable!("the row is for given contexts") };
        let data = given.linear.as_ref().map_or(&[][..], |linear| linear.bytes(&call.machine.mem));
        let offset = offset as u32 as usize;
        let found = data.get(offset..offset + bytes.len());
        if let Some(found) = found {
            bytes.copy_from_slice(found);
        }
        found.is_some()
    })
}

/// In a test run there is no skb behind a flow dissector's packet.
fn flow_load_bytes(call: &mut Call<'_, '_>) -> Ret {
    let [_, _, to, len, _] = call.args;
    call.give(to, len, |_, _| false)
}

fn load_bytes_relative(call: &mut Call<'_, '_>) -> Ret {
    let [_, offset, to, len, start] = call.args;
    call.give(to, len, |call, bytes| {
        let (skb, mem) = call.skb();
        let header = match start as u32 {
            BPF_HDR_START_MAC => skb.mac_header,
            BPF_HDR_START_NET => Some(skb.network_header),
            _ => None,
        };
        header.filter(|_| offset as u32 <= 0xffff).is_some_and(|header| {
            let from = header as i32 - skb.linear.data() as i32 + offset as i32;
            from + len as i32 <= skb.headlen() as i32 && skb.copy_bits(mem, from, bytes)
        })
    })
}

impl Call<'_, '_> {
    /// Hands out the `len` bytes that `load` finds; zeroes and `EFAULT` if they are not all there.
    pub(super) fn give(&mut self, to: u64, len: u64, load: impl FnOnce(&mut Self, &mut [u8]) -> bool) -> Ret {
        let (mut short, mut long) = ([0; 128], Vec::new());
        let bytes = if let Some(short) = short.get_mut(..len as usize) {
            short
        } else {
            long.resize(len as usize, 0);
            &mut long
        };
        let found = load(self, bytes);
        if !found {
            bytes.fill(0);
        }
        self.mem_mut(to, len)?.copy_from_slice(bytes);
        if found { Ok(0) } else { Err(Errno::EFAULT.into()) }
    }
}

fn store_bytes(call: &mut Call<'_, '_>) -> Ret {
    let [_, offset, from, len, flags] = call.args;
    let bytes = call.mem(from, len)?.to_vec();
    let (skb, mem) = call.skb();
    store(skb, mem, offset as u32, &bytes, flags)?;
    Ok(0)
}

/// `net/core/filter.c: __bpf_skb_store_bytes`, v6.12.
pub(super) fn store(
    skb: &mut SkBuff,
    mem: &mut Memory,
    offset: u32,
    bytes: &[u8],
    flags: u64,
) -> Result<(), Errno> {
    let len = bytes.len() as u32;
    if flags & !(BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH) != 0 {
        return Err(Errno::EINVAL);
    }
    if i32::try_from(offset).is_err() || !skb.ensure_writable(mem, offset + len) {
        return Err(Errno::EFAULT);
    }
    if flags & BPF_F_RECOMPUTE_CSUM != 0 {
        skb.postpull_rcsum_at(mem, offset, len);
    }
    skb.linear.bytes_mut(mem)[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    if flags & BPF_F_RECOMPUTE_CSUM != 0 {
        skb.postpush_rcsum(mem, offset, len, offset);
    }
    if flags & BPF_F_INVALIDATE_HASH != 0 {
        skb.clear_hash();
    }
    Ok(())
}

fn pull_data(call: &mut Call<'_, '_>) -> Ret {
    let len = call.args[1] as u32;
    let (skb, mem) = call.skb();
    let len = if len == 0 { skb.headlen() } else { len };
    if skb.ensure_writable(mem, len) { Ok(0) } else { Err(Errno::ENOMEM.into()) }
}

/// What keeps [`SkBuff::csum`] true while bytes come and go: `include/linux/skbuff.h`, v6.12. `at` counts from the first
/// byte.
impl SkBuff {
    fn sum(&self, mem: &Memory, at: u32, len: u32) -> u32 {
        csum::partial(&self.linear.bytes(mem)[at as usize..][..len as usize], 0)
    }

    /// A partial checksum does not survive the loss of the bytes it starts at.
    fn drop_partial(&mut self) {
        if self.ip_summed == IpSummed::Partial && self.csum_start < self.linear.data() {
            self.ip_summed = IpSummed::None;
        }
    }

    /// `__skb_postpull_rcsum`, before `len` bytes at `at` change.
    pub(super) fn postpull_rcsum_at(&mut self, mem: &Memory, at: u32, len: u32) {
        if self.ip_summed == IpSummed::Complete {
            self.csum = csum::block_sub(self.csum, self.sum(mem, at, len), at);
        } else {
            self.drop_partial();
        }
    }

    /// `__skb_postpush_rcsum`, after `len` bytes at `at` were written, which are summed as at `offset`.
    pub(in crate::net) fn postpush_rcsum(&mut self, mem: &Memory, at: u32, len: u32, offset: u32) {
        if self.ip_summed == IpSummed::Complete {
            self.csum = csum::block_add(self.csum, self.sum(mem, at, len), offset);
        }
    }

    /// `skb_postpull_rcsum`, of bytes that were taken away.
    pub(in crate::net) fn postpull_rcsum(&mut self, gone: &[u8]) {
        if self.ip_summed == IpSummed::Complete {
            self.csum = csum::partial(gone, self.csum.wrapping_neg()).wrapping_neg();
        } else {
            self.drop_partial();
        }
    }
}
