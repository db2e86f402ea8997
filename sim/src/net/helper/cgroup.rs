//! What cgroup programs say the system call shall answer.

use super::{Arg, CGROUP_CURRENT, Call, Failure, Helper, Ret};
use crate::bpf::FaultKind;
use crate::net::given::Given;
use crate::net::run::Packet;
use crate::uapi::AttachType as A;
use crate::uapi::helper::id;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::get_retval, CGROUP_CURRENT, &[], get_retval, "kernel/bpf/cgroup.c: bpf_get_retval"),
    Helper::new(id::set_retval, CGROUP_CURRENT, &[Arg::Any], set_retval, "kernel/bpf/cgroup.c: bpf_set_retval"),
];

impl Call<'_, '_> {
    /// The context that was given.
    ///
    /// # Panics
    /// If the row lets other program types in.
    pub(super) fn given(&mut self) -> &mut Given {
        match &mut self.run.packet {
            Packet::Given(given) => given,
            _ => panic!("{} is for contexts that are given", self.name),
        }
    }

    /// Fails unless the program's attach type is one of those `allowed`.
    pub(super) fn only_for(&self, allowed: impl Fn(A) -> bool) -> Result<(), Failure> {
        match self.run.attach_type {
            Some(attach_type) if !allowed(attach_type) => {
                let what = format!("bpf_{} is not for programs attached as {attach_type}", self.name);
                Err(Failure::Fault(FaultKind::Instruction(what)))
            }
            _ => Ok(()),
        }
    }
}

/// `kernel/bpf/cgroup.c: cgroup_common_func_proto`, v6.12.
fn has_retval(attach_type: A) -> bool {
    !matches!(
        attach_type,
        A::CgroupUdp4Recvmsg
            | A::CgroupUdp6Recvmsg
            | A::CgroupUnixRecvmsg
            | A::CgroupInet4Getpeername
            | A::CgroupInet6Getpeername
            | A::CgroupUnixGetpeername
            | A::CgroupInet4Getsockname
            | A::CgroupInet6Getsockname
            | A::CgroupUnixGetsockname
    )
}

fn get_retval(call: &mut Call<'_, '_>) -> Ret {
    call.only_for(has_retval)?;
    Ok(i64::from(call.given().retval()) as u64)
}

fn set_retval(call: &mut Call<'_, '_>) -> Ret {
    call.only_for(has_retval)?;
    let retval = call.args[0] as i32;
    call.given().set_retval(retval);
    Ok(0)
}
