//! xfrm: what a packet was decrypted by.

use super::{Arg, Call, Helper, Ret, TC};
use crate::uapi::Errno;
use crate::uapi::helper::id;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::skb_get_xfrm_state, TC, &[Arg::Ctx, Arg::Any, Arg::MemOut, Arg::Size, Arg::Any], get_state,
        "net/core/filter.c: bpf_skb_get_xfrm_state"),
];

/// Nothing decrypts packets here, so none has a `sec_path`.
fn get_state(call: &mut Call<'_, '_>) -> Ret {
    let [_, _, to, size, _] = call.args;
    call.mem_mut(to, size)?.fill(0);
    Err(Errno::EINVAL.into())
}
