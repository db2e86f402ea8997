//! xfrm: the metadata of an xfrm interface, and states, of which there are none.

use super::Kfunc;
use super::iter::int;
use crate::net::held::Kind;
use crate::net::helper::{Arg, Call, Ret};
use crate::net::skb::Dst;
use crate::uapi::ProgType::{SchedCls, Xdp};
use crate::uapi::{Errno, ProgTypes};

const SKB: ProgTypes = ProgTypes::of(&[SchedCls]);
const XDP: ProgTypes = ProgTypes::of(&[Xdp]);
/// `sizeof(struct bpf_xfrm_info)`.
const INFO: u32 = 8;
/// `BPF_XFRM_STATE_OPTS_SZ`.
const STATE_OPTS: u64 = 36;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Kfunc] = &[
    Kfunc::new("bpf_skb_get_xfrm_info", SKB, &[Arg::Ctx, Arg::Fixed(INFO)], get_info,
        "net/xfrm/xfrm_interface_bpf.c: bpf_skb_get_xfrm_info"),
    Kfunc::new("bpf_skb_set_xfrm_info", SKB, &[Arg::Ctx, Arg::Fixed(INFO)], set_info,
        "net/xfrm/xfrm_interface_bpf.c: bpf_skb_set_xfrm_info"),
    Kfunc::new("bpf_xdp_get_xfrm_state", XDP, &[Arg::Ctx, Arg::MemOutOrNull, Arg::SizeOrZero], get_state,
        "net/xfrm/xfrm_state_bpf.c: bpf_xdp_get_xfrm_state").acquiring(Kind::XfrmState),
    Kfunc::new("bpf_xdp_xfrm_state_release", XDP, &[Arg::Any], |_| Ok(0),
        "net/xfrm/xfrm_state_bpf.c: bpf_xdp_xfrm_state_release").releasing(Kind::XfrmState),
];

fn get_info(call: &mut Call<'_, '_>) -> Ret {
    let to = call.args[1];
    let (skb, mem) = call.skb();
    let Dst::Xfrm(info) = &skb.dst else { return int(Err(Errno::EINVAL)) };
    mem.raw_mut(to, INFO as usize).copy_from_slice(info);
    Ok(0)
}

fn set_info(call: &mut Call<'_, '_>) -> Ret {
    let from = call.args[1];
    let (skb, mem) = call.skb();
    if matches!(skb.dst, Dst::Xfrm(_) | Dst::Tunnel(_)) {
        return int(Err(Errno::EINVAL));
    }
    skb.dst = Dst::Xfrm(mem.raw(from, INFO as usize).try_into().expect("8 bytes"));
    Ok(0)
}

fn get_state(call: &mut Call<'_, '_>) -> Ret {
    let [_, opts, size, ..] = call.args;
    if opts == 0 || size < 4 {
        return Ok(0);
    }
    let bytes = call.mem_mut(opts, size)?;
    let error = if size == STATE_OPTS {
        match i32::from_le_bytes(bytes[4..8].try_into().expect("4 bytes")) {
            ..-1 => Errno::EINVAL,
            -1 => Errno::ENOENT,
            0.. => Errno::ENONET,
        }
    } else {
        Errno::EINVAL
    };
    bytes[..4].copy_from_slice(&(error.as_r0() as i32).to_le_bytes());
    Ok(0)
}
