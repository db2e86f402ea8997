//! What lwt_seg6local programs do to the segment routing header of their packet.

use std::net::Ipv6Addr;

use super::{Arg, Call, Helper, Ret};
use crate::bpf::Memory;
use crate::net::seg6::{IPV6HDR, NEXTHDR_ROUTING, SRHDR, SrhState, find_header, is_valid};
use crate::net::skb::SkBuff;
use crate::uapi::ProgType::LwtSeg6local;
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes};

const TYPES: ProgTypes = ProgTypes::of(&[LwtSeg6local]);

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::lwt_seg6_store_bytes, TYPES, &[Arg::Ctx, Arg::Any, Arg::Mem, Arg::Size], store_bytes,
        "net/core/filter.c: bpf_lwt_seg6_store_bytes").moving(),
    Helper::new(id::lwt_seg6_adjust_srh, TYPES, &[Arg::Ctx, Arg::Any, Arg::Any], adjust_srh,
        "net/core/filter.c: bpf_lwt_seg6_adjust_srh").moving(),
    Helper::new(id::lwt_seg6_action, TYPES, &[Arg::Ctx, Arg::Any, Arg::Mem, Arg::Size], action,
        "net/core/filter.c: bpf_lwt_seg6_action").moving(),
];

const SEG6_LOCAL_ACTION_END_X: u32 = 2;
const SEG6_LOCAL_ACTION_END_T: u32 = 3;
const SEG6_LOCAL_ACTION_END_DT6: u32 = 7;
const SEG6_LOCAL_ACTION_END_B6: u32 = 9;
const SEG6_LOCAL_ACTION_END_B6_ENCAP: u32 = 10;
/// `IPPROTO_IPV6`.
const IPPROTO_IPV6: u8 = 41;
/// Offset of `flags` in `struct ipv6_sr_hdr`.
const FLAGS: i64 = 5;

impl SkBuff {
    fn state(&mut self) -> &mut SrhState {
        self.srh.as_mut().expect("lwt_seg6local programs have one")
    }

    /// Where the header lies, from the first byte, and its first eight bytes.
    fn srh(&mut self, mem: &Memory) -> Option<(i64, [u8; SRHDR as usize])> {
        let at = i64::from(self.state().at?) - i64::from(self.linear.data());
        let addr = self.linear.data_addr().wrapping_add_signed(at);
        Some((at, mem.raw(addr, SRHDR as usize).try_into().expect("8 bytes")))
    }

    /// Looks for the header anew.
    fn find_srh(&mut self, mem: &Memory) -> Result<(), Errno> {
        let at = find_header(self, mem, NEXTHDR_ROUTING, false).map_err(|_| Errno::EINVAL)?;
        let data = self.linear.data();
        self.state().at = Some(data + at);
        Ok(())
    }

    /// `bpf_update_srh_state`.
    fn update_srh(&mut self, mem: &Memory) {
        if self.find_srh(mem).is_err() {
            self.state().at = None;
            return;
        }
        let (_, srh) = self.srh(mem).expect("it was found");
        *self.state() = SrhState { hdrlen: u32::from(srh[1]) << 3, valid: true, ..*self.state() };
    }

    /// `net/ipv6/seg6_local.c: seg6_bpf_has_valid_srh`, v6.12.
    fn has_valid_srh(&mut self, mem: &mut Memory) -> bool {
        let state = *self.state();
        let Some((at, _)) = self.srh(mem) else { return false };
        if state.valid {
            return true;
        }
        if state.hdrlen & 7 != 0 {
            return false;
        }
        let addr = self.linear.data_addr().wrapping_add_signed(at);
        let hdrlen = (state.hdrlen >> 3) as u8;
        mem.raw_mut(addr + 1, 1)[0] = hdrlen;
        let valid = is_valid(mem.raw(addr, (usize::from(hdrlen) + 1) << 3), true);
        self.state().valid = valid;
        valid
    }
}

fn store_bytes(call: &mut Call<'_, '_>) -> Ret {
    let [_, offset, from, len, _] = call.args;
    let bytes = call.mem(from, len)?.to_vec();
    let (skb, mem) = call.skb();
    let (start, len) = (i64::from(offset as u32), i64::from(len as u32));
    let Some((at, srh)) = skb.srh(mem) else { return Err(Errno::EINVAL.into()) };
    // Without the eight bytes that the segments lie behind, as in the kernel.
    let tlvs = at + (i64::from(srh[4]) + 1) * 16;
    let end = at + i64::from(SRHDR) + i64::from(skb.state().hdrlen);
    if start >= tlvs && start + len <= end {
        skb.state().valid = false;
    } else if start < at + FLAGS || start + len > at + i64::from(SRHDR) {
        return Err(Errno::EFAULT.into());
    }
    let writable = (offset as u32).checked_add(bytes.len() as u32);
    if !writable.is_some_and(|len| skb.ensure_writable(mem, len)) {
        return Err(Errno::EFAULT.into());
    }
    skb.find_srh(mem)?;
    skb.linear.bytes_mut(mem)[offset as u32 as usize..][..bytes.len()].copy_from_slice(&bytes);
    Ok(0)
}

fn adjust_srh(call: &mut Call<'_, '_>) -> Ret {
    let (offset, len) = (call.args[1] as u32, call.args[2] as i32);
    let (skb, mem) = call.skb();
    let Some((at, srh)) = skb.srh(mem) else { return Err(Errno::EINVAL.into()) };
    let start = i64::from(offset);
    let tlvs = at + i64::from(SRHDR) + (i64::from(srh[4]) + 1) * 16;
    let end = at + i64::from(SRHDR) + i64::from(skb.state().hdrlen);
    if start < tlvs || start > end || len < 0 && start - i64::from(len) > end {
        return Err(Errno::EFAULT.into());
    }
    if len > 0 {
        if len as u32 > LONGEST {
            return Err(call.not_modelled("a header of more than a kernel's packet holds"));
        }
        skb.cow(mem, len as u32);
        skb.net_hdr_push(mem, offset, len as u32);
    } else {
        skb.net_hdr_pop(mem, offset, len.unsigned_abs())?;
    }
    let payload = (skb.len() - IPV6HDR) as u16;
    skb.linear.bytes_mut(mem)[4..6].copy_from_slice(&payload.to_be_bytes());
    skb.find_srh(mem)?;
    let state = skb.state();
    state.hdrlen = state.hdrlen.wrapping_add_signed(len);
    state.valid = false;
    Ok(0)
}

/// What is inserted at once, at most.
const LONGEST: u32 = 16 << 10;

fn action(call: &mut Call<'_, '_>) -> Ret {
    let [_, action, param, len, _] = call.args;
    let param = call.mem(param, len)?.to_vec();
    let word = || param.first_chunk().map(|word| u32::from_le_bytes(*word));
    let (skb, mem) = call.skb();
    match action as u32 {
        SEG6_LOCAL_ACTION_END_X | SEG6_LOCAL_ACTION_END_T | SEG6_LOCAL_ACTION_END_DT6
            if !skb.has_valid_srh(mem) =>
        {
            Err(Errno::EBADMSG.into())
        }
        SEG6_LOCAL_ACTION_END_X => {
            let to: [u8; 16] = param.try_into().map_err(|_| Errno::EINVAL)?;
            call.next_hop(Some(Ipv6Addr::from(to)), 0)
        }
        SEG6_LOCAL_ACTION_END_T | SEG6_LOCAL_ACTION_END_DT6 if len != 4 => Err(Errno::EINVAL.into()),
        SEG6_LOCAL_ACTION_END_T => call.next_hop(None, word().expect("4 bytes")),
        SEG6_LOCAL_ACTION_END_DT6 => {
            let inner = find_header(skb, mem, IPPROTO_IPV6, false).map_err(|_| Errno::EBADMSG)?;
            let gone = skb.linear.bytes(mem)[..inner as usize].to_vec();
            skb.pull(inner);
            skb.postpull_rcsum(&gone);
            skb.reset_network_header();
            skb.reset_transport_header();
            skb.encapsulation = false;
            skb.update_srh(mem);
            if skb.len() < IPV6HDR {
                return Err(call.not_modelled("a packet that ends inside the inner header"));
            }
            call.next_hop(None, word().expect("4 bytes"))
        }
        SEG6_LOCAL_ACTION_END_B6 | SEG6_LOCAL_ACTION_END_B6_ENCAP
            if skb.state().at.is_some() && !skb.has_valid_srh(mem) =>
        {
            Err(Errno::EBADMSG.into())
        }
        SEG6_LOCAL_ACTION_END_B6 => {
            let done = call.insert_srh(&param)?;
            let (skb, mem) = call.skb();
            skb.update_srh(mem);
            Ok(done)
        }
        SEG6_LOCAL_ACTION_END_B6_ENCAP if is_valid(&param, false) => {
            Err(call.not_modelled("the route of the tunnel, whose device gives the outer header's source"))
        }
        _ => Err(Errno::EINVAL.into()),
    }
}
