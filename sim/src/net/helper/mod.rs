//! Helpers: one table, one row each. A row says who may call it, what its arguments are and which function does it.
//!
//! To add a helper, add a row and its function to its family's file. Errors a program would see are
//! [`Failure::Errno`], returned with `?`; what the verifier would have refused is [`Failure::Fault`].

#![allow(clippy::unnecessary_wraps)] // every row has the same type of function

mod adjust_room;
mod attach;
mod call;
mod cgroup;
mod control;
mod csum;
mod current;
mod dynptr;
mod fib;
mod format;
mod gpl;
mod hash;
mod lwt;
mod map;
mod mtu;
#[cfg(test)]
mod program_tests;
mod record;
mod redirect;
mod refused;
mod seg6;
mod sk_msg;
mod skb_bytes;
mod skb_geometry;
mod skb_meta;
mod sock_map;
mod sock_ops;
mod socket;
#[cfg(test)]
mod socket_tests;
mod sockopt;
mod storage;
mod syncookie;
mod sysctl;
mod text;
mod time;
mod timer;
mod tunnel;
mod user_ringbuf;
mod vlan;
mod xdp;
mod xfrm;

use std::sync::LazyLock;

pub use call::Call;
pub use fib::source as prefsrc;
pub use gpl::{GPL_ONLY, check_license};
pub use refused::reason;

use crate::bpf::FaultKind;
use crate::bpf::load::HelperUse;
use crate::uapi::ProgType::{
    CgroupDevice, CgroupSkb, CgroupSock, CgroupSockAddr, CgroupSockopt, CgroupSysctl, FlowDissector, LwtIn,
    LwtOut, LwtSeg6local, LwtXmit, Netfilter, SchedAct, SchedCls, SkLookup, SkMsg, SkReuseport, SkSkb,
    SockOps, SocketFilter, Syscall, Xdp,
};
use crate::uapi::{AttachType, Errno, MapType, ProgType, ProgTypes, helper as uapi};

/// Why a helper did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// The program sees the negative errno in `r0`.
    Errno(Errno),
    /// The verifier would have refused the call.
    Fault(FaultKind),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl<F: Into<FaultKind>> From<F> for Failure {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

/// What a helper leaves in `r0`, or why not.
pub type Ret = Result<u64, Failure>;

/// What an argument must be: `include/linux/bpf.h: enum bpf_arg_type`, v6.12.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arg {
    /// Any value: `ARG_ANYTHING`.
    Any,
    /// The context: `ARG_PTR_TO_CTX`.
    Ctx,
    /// The context or NULL: `ARG_PTR_TO_CTX_OR_NULL`.
    CtxOrNull,
    /// A map of one of these types; of any type if there are none: `ARG_CONST_MAP_PTR`.
    Map(&'static [MapType]),
    /// `key_size` bytes to read, of the map before it: `ARG_PTR_TO_MAP_KEY`.
    Key,
    /// `value_size` bytes to read, of the map before it: `ARG_PTR_TO_MAP_VALUE`. Of a map of sockets, a socket
    /// (`kernel/bpf/verifier.c: resolve_map_arg_type`).
    Value,
    /// As [`Arg::Value`], or NULL: `ARG_PTR_TO_MAP_VALUE_OR_NULL`.
    ValueOrNull,
    /// `value_size` bytes to write, of the map before it: `ARG_PTR_TO_MAP_VALUE | MEM_UNINIT`.
    ValueOut,
    /// Memory to read, its size in the next argument: `ARG_PTR_TO_MEM | MEM_RDONLY`.
    Mem,
    /// As [`Arg::Mem`], or NULL.
    MemOrNull,
    /// Memory to write, its size in the next argument: `ARG_PTR_TO_UNINIT_MEM`.
    MemOut,
    /// As [`Arg::MemOut`], or NULL.
    MemOutOrNull,
    /// The size of the memory before it, not 0: `ARG_CONST_SIZE`.
    Size,
    /// The size of the memory before it: `ARG_CONST_SIZE_OR_ZERO`.
    SizeOrZero,
    /// This many bytes to read and write: `ARG_PTR_TO_FIXED_SIZE_MEM`, with `MEM_UNINIT` or without.
    Fixed(u32),
    /// This many bytes to read: `ARG_PTR_TO_FIXED_SIZE_MEM` of a helper that only reads.
    FixedIn(u32),
    /// A function of the program: `ARG_PTR_TO_FUNC`.
    Func,
    /// What `bpf_ringbuf_reserve` returned: `ARG_PTR_TO_RINGBUF_MEM`.
    Record,
    /// A socket: `ARG_PTR_TO_BTF_ID_SOCK_COMMON`.
    Sock,
    /// A socket or NULL: `ARG_PTR_TO_BTF_ID_SOCK_COMMON | PTR_MAYBE_NULL`.
    SockOrNull,
    /// A dynptr: `ARG_PTR_TO_DYNPTR`.
    Dynptr,
    /// Where a dynptr is made: `ARG_PTR_TO_DYNPTR | MEM_UNINIT`.
    DynptrOut,
}

/// One helper, for some program types.
pub struct Helper {
    /// Its number, `BPF_FUNC_*`.
    pub id: u32,
    /// Its name without `bpf_`.
    name: &'static str,
    /// The program types that may call it.
    pub types: ProgTypes,
    /// What its arguments are; those beyond the list are not looked at.
    pub args: &'static [Arg],
    /// Whether pointers into the packet are stale afterwards: `bpf_helper_changes_pkt_data`.
    pub moves_packet: bool,
    /// Where the kernel does it, v6.12.
    pub cite: &'static str,
    /// What it does.
    pub call: fn(&mut Call<'_, '_>) -> Ret,
}

impl Helper {
    /// A row of a helper that leaves pointers into the packet alone.
    ///
    /// # Panics
    /// If the number is not in the UAPI.
    pub const fn new(
        id: u32,
        types: ProgTypes,
        args: &'static [Arg],
        call: fn(&mut Call<'_, '_>) -> Ret,
        cite: &'static str,
    ) -> Self {
        let name = uapi::name(id).expect("every row has a UAPI number");
        Self { id, name, types, args, moves_packet: false, cite, call }
    }

    /// The row, of a helper after which pointers into the packet are stale.
    #[must_use]
    pub const fn moving(self) -> Self {
        Self { moves_packet: true, ..self }
    }

    /// Its name without `bpf_`.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// sched_cls and sched_act.
pub const TC: ProgTypes = ProgTypes::of(&[SchedCls, SchedAct]);
/// The lightweight tunnel hooks.
pub const LWT: ProgTypes = ProgTypes::of(&[LwtIn, LwtOut, LwtXmit, LwtSeg6local]);
/// Program types whose context is the kernel's memory, or the caller's.
pub const PLAIN: ProgTypes = ProgTypes::of(&[Netfilter, Syscall]);
/// Program types whose context the caller gives.
pub const GIVEN: ProgTypes = ProgTypes::of(&[
    CgroupSock,
    CgroupSockAddr,
    CgroupSockopt,
    CgroupSysctl,
    CgroupDevice,
    SockOps,
    SkMsg,
    SkReuseport,
]);
/// Who may ask about the current task and the system call's answer: `kernel/bpf/cgroup.c: cgroup_current_func_proto`.
const CGROUP_CURRENT: ProgTypes =
    ProgTypes::of(&[CgroupSock, CgroupSockAddr, CgroupSockopt, CgroupSysctl, CgroupDevice]);
/// Every program type modelled, which is who may call what `bpf_base_func_proto` gives.
pub const BASE: ProgTypes = ProgTypes::of(&[CgroupSkb, SocketFilter, Xdp, SkLookup, FlowDissector, SkSkb])
    .or(TC)
    .or(LWT)
    .or(PLAIN)
    .or(GIVEN);

/// Every family.
const FAMILIES: &[&[Helper]] = &[
    adjust_room::ROWS,
    cgroup::ROWS,
    control::ROWS,
    csum::ROWS,
    dynptr::ROWS,
    current::ROWS,
    fib::ROWS,
    hash::ROWS,
    lwt::ROWS,
    map::ROWS,
    mtu::ROWS,
    record::ROWS,
    redirect::ROWS,
    seg6::ROWS,
    skb_bytes::ROWS,
    skb_geometry::ROWS,
    skb_meta::ROWS,
    sk_msg::ROWS,
    sock_map::ROWS,
    sock_ops::ROWS,
    socket::ROWS,
    storage::ROWS,
    syncookie::ROWS,
    sockopt::ROWS,
    sysctl::ROWS,
    text::ROWS,
    time::ROWS,
    timer::ROWS,
    tunnel::ROWS,
    user_ringbuf::ROWS,
    vlan::ROWS,
    xdp::ROWS,
    xfrm::ROWS,
];

/// Rows by program type and number.
static TABLE: LazyLock<Vec<Vec<Option<&'static Helper>>>> = LazyLock::new(|| {
    let mut table = vec![vec![None; uapi::ALL.len() + 1]; ProgType::ALL.len()];
    for row in rows() {
        for &prog_type in ProgType::ALL.iter().filter(|&&t| row.types.contains(t)) {
            let slot = &mut table[prog_type as usize][row.id as usize];
            assert!(slot.is_none(), "two rows for {} and {prog_type}", row.name());
            *slot = Some(row);
        }
    }
    table
});

/// The rows for programs of one type, by number.
pub type Rows = &'static [Option<&'static Helper>];

/// The rows for programs of this type.
pub fn rows_for(prog_type: ProgType) -> Rows {
    &TABLE[prog_type as usize]
}

/// The row of helper `id` for a program of this type.
pub fn find(prog_type: ProgType, id: u32) -> Option<&'static Helper> {
    rows_for(prog_type).get(id as usize).copied().flatten()
}

/// Every row, family by family.
pub fn rows() -> impl Iterator<Item = &'static Helper> {
    FAMILIES.iter().copied().flatten()
}

/// Whether a program of this type, attached so, may be loaded with a call of helper `id`; the error says in words why not.
pub fn check(prog_type: ProgType, attach_type: Option<AttachType>, id: u32) -> Result<(), String> {
    if id == uapi::id::tail_call {
        return Ok(());
    }
    if let Some(row) = find(prog_type, id) {
        return match attach_type {
            Some(attach_type) if !attach::allows(prog_type, attach_type, id) => {
                Err(format!("bpf_{} is not for programs attached as {attach_type}", row.name()))
            }
            _ => Ok(()),
        };
    }
    let Some(name) = uapi::name(id) else {
        return Err(format!("there is no helper number {id}"));
    };
    if let Some(why) = refused::reason_for(prog_type, id) {
        return Err(format!("bpf_{name} is not modelled for programs of type {prog_type}: {why}"));
    }
    if rows().any(|row| row.id == id) {
        return Err(format!("bpf_{name} is not for programs of type {prog_type}"));
    }
    Err(match reason(id) {
        Some(why) => format!("bpf_{name} is not modelled: {why}"),
        None => format!("bpf_{name} is not modelled"),
    })
}

/// Whether the helper takes the maps it is called with; the error says why not, as the verifier does
/// (`kernel/bpf/verifier.c: check_map_func_compatibility`, v6.12).
pub fn check_maps(used: &HelperUse<'_>) -> Result<(), String> {
    let Some(row) = find(used.prog_type, used.helper) else { return Ok(()) };
    for (arg, map) in row.args.iter().zip(used.maps) {
        if let (Arg::Map(types), Some(map_type)) = (arg, map)
            && !types.is_empty()
            && !types.contains(&map_type)
        {
            let (name, number, prog_type) = (row.name(), map_type as u32, used.prog_type);
            return Err(format!(
                "bpf_{name} takes no map of type {map_type} from a program of type {prog_type}: cannot pass map_type \
                 {number} into func bpf_{name}#{}",
                row.id
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_helper_is_named() {
        assert_eq!(check(SchedCls, None, uapi::id::map_lookup_elem), Ok(()));
        assert_eq!(check(SchedCls, None, uapi::id::tail_call), Ok(()));
        assert_eq!(
            check(SchedCls, None, uapi::id::d_path),
            Err("bpf_d_path is not modelled: tracing programs are not modelled".into())
        );
        let why = check(SkReuseport, None, uapi::id::skb_load_bytes_relative).unwrap_err();
        assert!(why.contains("not modelled for programs of type BPF_PROG_TYPE_SK_REUSEPORT"), "{why}");
        assert_eq!(check(SkReuseport, None, uapi::id::skb_load_bytes), Ok(()));
        assert_eq!(check(SchedCls, None, 5000), Err("there is no helper number 5000".into()));
        let connect = |id| check(CgroupSockAddr, Some(AttachType::CgroupInet4Connect), id);
        let bind = |id| check(CgroupSockAddr, Some(AttachType::CgroupInet4Bind), id);
        assert_eq!((connect(uapi::id::bind), bind(uapi::id::set_retval)), (Ok(()), Ok(())));
        let why = "bpf_bind is not for programs attached as BPF_CGROUP_INET4_BIND";
        assert_eq!(bind(uapi::id::bind), Err(why.into()));
        let get = check(CgroupSockopt, Some(AttachType::CgroupGetsockopt), uapi::id::setsockopt);
        assert!(get.unwrap_err().contains("attached as BPF_CGROUP_GETSOCKOPT"));
    }

    #[test]
    fn memory_is_followed_by_its_size_and_values_by_their_map() {
        for row in rows() {
            assert!(row.args.len() <= 5 && !row.cite.is_empty(), "{}", row.name());
            for (index, arg) in row.args.iter().enumerate() {
                let next = row.args.get(index + 1);
                match arg {
                    Arg::Mem | Arg::MemOrNull | Arg::MemOut | Arg::MemOutOrNull => {
                        assert!(matches!(next, Some(Arg::Size | Arg::SizeOrZero)), "{}", row.name());
                    }
                    Arg::Key | Arg::Value | Arg::ValueOrNull | Arg::ValueOut => {
                        assert!(
                            row.args[..index].iter().any(|arg| matches!(arg, Arg::Map(_))),
                            "{}",
                            row.name()
                        );
                    }
                    _ => {}
                }
            }
        }
    }
}
