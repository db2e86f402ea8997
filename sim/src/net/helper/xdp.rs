//! XDP frames: head, tail, metadata, bytes.

use super::{Arg, Call, Helper, Ret};
use crate::net::skb::ETH_HLEN;
use crate::net::xdp::{PAGE_SIZE, XDP_FRAME, XdpBuff};
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgType, ProgTypes, Release};

const XDP: ProgTypes = ProgTypes::of(&[ProgType::Xdp]);

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::xdp_adjust_head, XDP, &[Arg::Ctx, Arg::Any], adjust_head,
        "net/core/filter.c: bpf_xdp_adjust_head").moving(),
    Helper::new(id::xdp_adjust_tail, XDP, &[Arg::Ctx, Arg::Any], adjust_tail,
        "net/core/filter.c: bpf_xdp_adjust_tail").moving(),
    Helper::new(id::xdp_adjust_meta, XDP, &[Arg::Ctx, Arg::Any], adjust_meta,
        "net/core/filter.c: bpf_xdp_adjust_meta").moving(),
    Helper::new(id::xdp_get_buff_len, XDP, &[Arg::Ctx], get_buff_len, "net/core/filter.c: bpf_xdp_get_buff_len"),
    Helper::new(id::xdp_load_bytes, XDP, &[Arg::Ctx, Arg::Any, Arg::MemOut, Arg::Size], load_bytes,
        "net/core/filter.c: bpf_xdp_load_bytes"),
    Helper::new(id::xdp_store_bytes, XDP, &[Arg::Ctx, Arg::Any, Arg::Mem, Arg::Size], store_bytes,
        "net/core/filter.c: bpf_xdp_store_bytes"),
];

fn adjust_head(call: &mut Call<'_, '_>) -> Ret {
    let by = call.args[1] as i32;
    let (xdp, mem) = call.xdp();
    let data = i64::from(xdp.linear.data()) + i64::from(by);
    let end = i64::from(xdp.linear.data() + xdp.linear.len());
    let meta_len = xdp.linear.meta_len();
    if data < i64::from(XDP_FRAME + meta_len) || data > end - i64::from(ETH_HLEN) {
        return Err(Errno::EINVAL.into());
    }
    let meta = mem.raw(xdp.linear.meta_addr(), meta_len as usize).to_vec();
    xdp.linear.move_data(by);
    mem.raw_mut(xdp.linear.meta_addr(), meta.len()).copy_from_slice(&meta);
    Ok(0)
}

fn adjust_tail(call: &mut Call<'_, '_>) -> Ret {
    let by = call.args[1] as i32;
    let (xdp, mem) = call.xdp();
    if xdp.has_frags {
        if by < 0 {
            // The smallest number has no negative: it stays one, and nothing is cut.
            shrink_frags(xdp, u32::try_from(by.wrapping_neg()).unwrap_or(0))?;
        } else {
            grow_frags(xdp, by as u32)?;
        }
        return Ok(0);
    }
    let len = i64::from(xdp.linear.len()) + i64::from(by);
    if len < i64::from(ETH_HLEN) || len > i64::from(xdp.linear.len() + xdp.linear.tailroom()) {
        return Err(Errno::EINVAL.into());
    }
    let old = xdp.linear.len() as usize;
    xdp.linear.set_len(len as u32);
    if by > 0 {
        xdp.linear.bytes_mut(mem)[old..].fill(0);
    }
    Ok(0)
}

/// `net/core/filter.c: bpf_xdp_frags_increase_tail`, v6.12.
fn grow_frags(xdp: &mut XdpBuff, by: u32) -> Result<(), Errno> {
    if xdp.frag_size == 0 || xdp.frag_size > PAGE_SIZE {
        return Err(Errno::EOPNOTSUPP);
    }
    let frag = xdp.frags.last_mut().expect("a frame with fragments has a last one");
    let len = frag.bytes.len() as u32;
    if by > xdp.frag_size - len - frag.offset % xdp.frag_size {
        return Err(Errno::EINVAL);
    }
    frag.bytes.resize((len + by) as usize, 0);
    Ok(())
}

/// `net/core/filter.c: bpf_xdp_frags_shrink_tail`, v6.12.
fn shrink_frags(xdp: &mut XdpBuff, by: u32) -> Result<(), Errno> {
    if i64::from(by) > i64::from(xdp.len()) - i64::from(ETH_HLEN) {
        return Err(Errno::EINVAL);
    }
    let mut left = by;
    while left > 0 {
        let Some(frag) = xdp.frags.last_mut() else { break };
        let len = frag.bytes.len() as u32;
        if len > left {
            frag.bytes.truncate((len - left) as usize);
            return Ok(());
        }
        left -= len;
        xdp.frags.pop();
    }
    if xdp.frags.is_empty() {
        xdp.has_frags = false;
        xdp.linear.set_len(xdp.linear.len() - left);
    }
    Ok(())
}

fn adjust_meta(call: &mut Call<'_, '_>) -> Ret {
    let by = call.args[1] as i32;
    let release = call.machine.release;
    let (xdp, _) = call.xdp();
    let meta_len = i64::from(xdp.linear.meta_len()) - i64::from(by);
    let room = i64::from(xdp.linear.data()) - i64::from(XDP_FRAME);
    if meta_len < 0 || meta_len > room {
        return Err(Errno::EINVAL.into());
    }
    if meta_len % 4 != 0 || meta_len > meta_max(release) {
        return Err(Errno::EACCES.into());
    }
    xdp.linear.set_meta_len(meta_len as u32);
    Ok(0)
}

/// `include/net/xdp.h: xdp_metalen_invalid`.
const fn meta_max(release: Release) -> i64 {
    match release {
        Release::V6_1 => 32,
        Release::V6_12 | Release::V6_18 => 255,
    }
}

fn get_buff_len(call: &mut Call<'_, '_>) -> Ret {
    Ok(call.xdp().0.len().into())
}

/// The checks of `bpf_xdp_pointer`.
fn range(xdp: &XdpBuff, offset: u64, len: u64) -> Result<(u32, u32), Errno> {
    let (offset, len) = (offset as u32, len as u32);
    if offset > 0xffff || len > 0xffff {
        return Err(Errno::EFAULT);
    }
    if offset + len > xdp.len() {
        return Err(Errno::EINVAL);
    }
    Ok((offset, len))
}

fn load_bytes(call: &mut Call<'_, '_>) -> Ret {
    let [_, offset, to, len, _] = call.args;
    let mut bytes = Vec::with_capacity(len as usize);
    let (xdp, mem) = call.xdp();
    let (offset, len) = range(xdp, offset, len)?;
    xdp.for_range(mem, offset, len, |piece| bytes.extend_from_slice(piece));
    call.mem_mut(to, len.into())?.copy_from_slice(&bytes);
    Ok(0)
}

fn store_bytes(call: &mut Call<'_, '_>) -> Ret {
    let [_, offset, from, len, _] = call.args;
    let bytes = call.mem(from, len)?.to_vec();
    let mut rest = bytes.as_slice();
    let (xdp, mem) = call.xdp();
    let (offset, len) = range(xdp, offset, len)?;
    xdp.for_range(mem, offset, len, |piece| {
        let (now, later) = rest.split_at(piece.len());
        piece.copy_from_slice(now);
        rest = later;
    });
    Ok(0)
}
