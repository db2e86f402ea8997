//! Redirecting. BPF_PROG_TEST_RUN looks at the return value only: a redirect goes nowhere, except for
//! `bpf_clone_redirect`, whose copy really leaves.

use super::{Arg, Call, Helper, Ret, TC};
use crate::uapi::ProgType::{LwtXmit, Xdp};
use crate::uapi::action::{tc, xdp};
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes};

const SENDERS: ProgTypes = TC.or(ProgTypes::of(&[LwtXmit]));

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::redirect, SENDERS, &[Arg::Any, Arg::Any], redirect, "net/core/filter.c: bpf_redirect"),
    Helper::new(id::redirect, ProgTypes::of(&[Xdp]), &[Arg::Any, Arg::Any], xdp_redirect,
        "net/core/filter.c: bpf_xdp_redirect"),
    Helper::new(id::redirect_peer, TC, &[Arg::Any, Arg::Any], redirect_peer, "net/core/filter.c: bpf_redirect_peer"),
    Helper::new(id::redirect_neigh, TC, &[Arg::Any, Arg::MemOrNull, Arg::SizeOrZero, Arg::Any], redirect_neigh,
        "net/core/filter.c: bpf_redirect_neigh"),
    Helper::new(id::clone_redirect, SENDERS, &[Arg::Ctx, Arg::Any, Arg::Any], clone_redirect,
        "net/core/filter.c: bpf_clone_redirect").moving(),
];

const BPF_F_INGRESS: u64 = 1;
/// `sizeof(struct bpf_redir_neigh)`.
const REDIR_NEIGH: u64 = 20;
/// `NET_RX_DROP`.
const NET_RX_DROP: u64 = 1;
/// `NET_XMIT_CN`, what the no-op queueing discipline of a device that is down answers.
const NET_XMIT_CN: u64 = 2;

/// What a tc program is to return.
fn tc_verdict(ok: bool) -> Ret {
    Ok(if ok { tc::REDIRECT } else { tc::SHOT } as u64)
}

fn redirect(call: &mut Call<'_, '_>) -> Ret {
    tc_verdict(call.args[1] & !BPF_F_INGRESS == 0)
}

fn xdp_redirect(call: &mut Call<'_, '_>) -> Ret {
    Ok(if call.args[1] == 0 { xdp::REDIRECT } else { xdp::ABORTED }.into())
}

fn redirect_peer(call: &mut Call<'_, '_>) -> Ret {
    tc_verdict(call.args[1] == 0)
}

fn redirect_neigh(call: &mut Call<'_, '_>) -> Ret {
    let [_, _, len, flags, _] = call.args;
    tc_verdict((len == 0 || len >= REDIR_NEIGH) && flags == 0)
}

fn clone_redirect(call: &mut Call<'_, '_>) -> Ret {
    let [_, ifindex, flags, ..] = call.args;
    let up = call.run.env.device(ifindex as u32).map(|dev| dev.up);
    let (skb, _) = call.skb();
    if flags & !BPF_F_INGRESS != 0 {
        return Err(Errno::EINVAL.into());
    }
    if skb.is_gso() && skb.gso_type == 0 {
        return Err(Errno::EBADMSG.into());
    }
    let up = up.ok_or(Errno::EINVAL)?;
    // `__bpf_redirect_common`: there has to be a MAC header.
    if skb.mac_header.is_none_or(|mac| mac >= skb.network_header) || skb.is_empty() {
        return Err(Errno::ERANGE.into());
    }
    Ok(match (up, flags & BPF_F_INGRESS != 0) {
        (true, _) => 0,
        (false, true) => NET_RX_DROP,
        (false, false) => NET_XMIT_CN,
    })
}
