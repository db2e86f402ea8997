//! What sock_ops programs do to their TCP socket and to the options of its segments.

use super::{Arg, Call, Failure, Helper, Ret};
use crate::bpf::FaultKind;
use crate::uapi::ProgType::SockOps;
use crate::uapi::ctx::sock_ops::{CB_FLAGS, OP};
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes};

const TYPES: ProgTypes = ProgTypes::of(&[SockOps]);

/// `BPF_SOCK_OPS_ALL_CB_FLAGS`.
const BPF_SOCK_OPS_ALL_CB_FLAGS: u32 = 0x7f;
/// `BPF_SOCK_OPS_HDR_OPT_LEN_CB`.
const BPF_SOCK_OPS_HDR_OPT_LEN_CB: u32 = 14;
/// `BPF_SOCK_OPS_WRITE_HDR_OPT_CB`.
const BPF_SOCK_OPS_WRITE_HDR_OPT_CB: u32 = 15;
/// `BPF_LOAD_HDR_OPT_TCP_SYN`.
const BPF_LOAD_HDR_OPT_TCP_SYN: u64 = 1;
/// `TCPOPT_EOL`.
const TCPOPT_EOL: u8 = 0;
/// `TCPOPT_NOP`.
const TCPOPT_NOP: u8 = 1;
/// `TCPOPT_EXP`.
const TCPOPT_EXP: u8 = 254;
/// Another experimental kind.
const TCPOPT_EXP_2: u8 = 253;
/// `sizeof(struct tcphdr)`.
const TCPHDR: usize = 20;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::sock_ops_cb_flags_set, TYPES, &[Arg::Ctx, Arg::Any], cb_flags_set,
        "net/core/filter.c: bpf_sock_ops_cb_flags_set"),
    Helper::new(id::load_hdr_opt, TYPES, &[Arg::Ctx, Arg::MemOut, Arg::Size, Arg::Any], load,
        "net/core/filter.c: bpf_sock_ops_load_hdr_opt"),
    Helper::new(id::store_hdr_opt, TYPES, &[Arg::Ctx, Arg::Mem, Arg::Size, Arg::Any], store,
        "net/core/filter.c: bpf_sock_ops_store_hdr_opt").moving(),
    Helper::new(id::reserve_hdr_opt, TYPES, &[Arg::Ctx, Arg::Any, Arg::Any], reserve,
        "net/core/filter.c: bpf_sock_ops_reserve_hdr_opt"),
];

fn cb_flags_set(call: &mut Call<'_, '_>) -> Ret {
    let flags = call.args[1] as u32;
    let given = call.given();
    if !given.is_fullsock() {
        return Err(Errno::EINVAL.into());
    }
    given.set_word(CB_FLAGS, flags & BPF_SOCK_OPS_ALL_CB_FLAGS);
    Ok(i64::from((flags & !BPF_SOCK_OPS_ALL_CB_FLAGS) as i32) as u64)
}

/// An option found, or why not; and whether the options had been ended.
fn search(options: &[u8], kind: u8, magic: &[u8]) -> (Result<usize, Errno>, bool) {
    let mut at = 0;
    while at < options.len() {
        match options[at] {
            TCPOPT_EOL => return (Err(Errno::ENOMSG), true),
            TCPOPT_NOP => {
                at += 1;
                continue;
            }
            _ => {}
        }
        let left = options.len() - at;
        let len = match options.get(at + 1) {
            Some(&len) if len >= 2 && usize::from(len) <= left => usize::from(len),
            _ => return (Err(Errno::EFAULT), false),
        };
        if options[at] == kind {
            if magic.is_empty() {
                return (Ok(at), false);
            }
            if magic.len() > len - 2 {
                return (Err(Errno::ENOMSG), false);
            }
            if options[at + 2..].starts_with(magic) {
                return (Ok(at), false);
            }
        }
        at += len;
    }
    (Err(Errno::ENOMSG), false)
}

const fn is_experimental(kind: u8) -> bool {
    matches!(kind, TCPOPT_EXP | TCPOPT_EXP_2)
}

impl Call<'_, '_> {
    /// The options of the segment under the program: from behind the fixed header to `skb_data_end`.
    fn tcp_options(&mut self) -> Option<Vec<u8>> {
        let linear = self.given().linear.as_ref()?;
        let (addr, len) = (linear.data_addr(), linear.len() as usize);
        Some(self.machine.mem.raw(addr, len).get(TCPHDR..).unwrap_or_default().to_vec())
    }
}

fn load(call: &mut Call<'_, '_>) -> Ret {
    let [_, result, len, flags, _] = call.args;
    let len = len as u32 as usize;
    if len < 2 || flags & !BPF_LOAD_HDR_OPT_TCP_SYN != 0 {
        return Err(Errno::EINVAL.into());
    }
    let asked = call.mem(result, len as u64)?.to_vec();
    let (kind, asked_len) = (asked[0], usize::from(asked[1]));
    if asked_len > len || kind == TCPOPT_NOP || kind == TCPOPT_EOL {
        return Err(Errno::EINVAL.into());
    }
    let magic = match (is_experimental(kind), asked_len) {
        (true, 4 | 6) => asked[2..asked_len].to_vec(),
        (false, 0) => Vec::new(),
        _ => return Err(Errno::EINVAL.into()),
    };
    if flags & BPF_LOAD_HDR_OPT_TCP_SYN != 0 {
        let what = "bpf_load_hdr_opt: the SYN of the connection is not modelled".to_owned();
        return Err(Failure::Fault(FaultKind::Instruction(what)));
    }
    let op = call.given().word(OP);
    let options = call.tcp_options().filter(|_| op != BPF_SOCK_OPS_HDR_OPT_LEN_CB).ok_or(Errno::EPERM)?;
    let at = search(&options, kind, &magic).0?;
    let found = usize::from(options[at + 1]);
    let copied = found.min(len);
    call.mem_mut(result, copied as u64)?.copy_from_slice(&options[at..at + copied]);
    if found > len { Err(Errno::ENOSPC.into()) } else { Ok(found as u64) }
}

fn store(call: &mut Call<'_, '_>) -> Ret {
    let [_, from, len, flags, _] = call.args;
    if call.given().word(OP) != BPF_SOCK_OPS_WRITE_HDR_OPT_CB {
        return Err(Errno::EPERM.into());
    }
    if (len as u32) < 2 || flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let option = call.mem(from, len)?.to_vec();
    let (kind, new_len) = (option[0], option[1]);
    if u64::from(new_len) > len || kind == TCPOPT_NOP || kind == TCPOPT_EOL {
        return Err(Errno::EINVAL.into());
    }
    if u32::from(new_len) > call.given().option_room {
        return Err(Errno::ENOSPC.into());
    }
    if is_experimental(kind) && new_len < 4 {
        return Err(Errno::EINVAL.into());
    }
    let magic = if is_experimental(kind) { &option[2..4] } else { &[][..] };
    let Some(options) = call.tcp_options() else {
        let what = "bpf_store_hdr_opt: a segment's header has to be given as data".to_owned();
        return Err(Failure::Fault(FaultKind::Instruction(what)));
    };
    match search(&options, kind, magic) {
        (Ok(_), _) => return Err(Errno::EEXIST.into()),
        (Err(Errno::ENOMSG), true) => return Err(Errno::ENOSPC.into()),
        (Err(Errno::ENOMSG), false) => {}
        (Err(errno), _) => return Err(errno.into()),
    }
    let given = call.given();
    given.option_room -= u32::from(new_len);
    let linear = given.linear.as_mut().expect("it has options");
    let old = linear.len();
    linear.set_len(old + u32::from(new_len));
    let addr = linear.data_addr() + u64::from(old);
    call.machine.mem.raw_mut(addr, new_len.into()).copy_from_slice(&option[..new_len.into()]);
    Ok(0)
}

fn reserve(call: &mut Call<'_, '_>) -> Ret {
    let [_, len, flags, ..] = call.args;
    let len = len as u32;
    let given = call.given();
    if given.word(OP) != BPF_SOCK_OPS_HDR_OPT_LEN_CB {
        return Err(Errno::EPERM.into());
    }
    if flags != 0 || len < 2 {
        return Err(Errno::EINVAL.into());
    }
    if len > given.option_room {
        return Err(Errno::ENOSPC.into());
    }
    given.option_room -= len;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_as_the_kernel_finds_them() {
        let options = [1, 2, 4, 5, 180, 254, 6, 0xab, 0xcd, 1, 2, 8, 2];
        assert_eq!(search(&options, 2, &[]).0, Ok(1));
        assert_eq!(search(&options, 254, &[0xab, 0xcd]).0, Ok(5));
        assert_eq!(search(&options, 254, &[0xab, 0xce]).0, Err(Errno::ENOMSG));
        assert_eq!(search(&options, 8, &[]).0, Ok(11));
        assert_eq!(search(&[2, 1, 0], 3, &[]), (Err(Errno::EFAULT), false));
        assert_eq!(search(&[2, 5, 0], 3, &[]), (Err(Errno::EFAULT), false));
        assert_eq!(search(&[1, 0, 2, 4], 2, &[]), (Err(Errno::ENOMSG), true));
    }
}
