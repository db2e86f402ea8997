//! What an attach type lets a program do beyond its program type: `net/core/filter.c: sock_addr_func_proto`,
//! `kernel/bpf/cgroup.c: cgroup_common_func_proto, cg_sockopt_func_proto`, v6.12.

use super::Call;
use crate::bpf::FaultKind;
use crate::uapi::helper::id;
use crate::uapi::{AttachType as A, ProgType};

/// Hooks that say who the other side is, whose answer the system call does not see.
const fn only_tells(attach_type: A) -> bool {
    matches!(
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

/// Whether programs attached so may call helper `id`, which their type may.
pub const fn allows(prog_type: ProgType, attach_type: A, helper: u32) -> bool {
    match (helper, prog_type) {
        (id::get_retval | id::set_retval, _) => !only_tells(attach_type),
        (id::bind, _) => matches!(attach_type, A::CgroupInet4Connect | A::CgroupInet6Connect),
        (id::setsockopt | id::getsockopt, ProgType::CgroupSockopt) => {
            matches!(attach_type, A::CgroupSetsockopt)
        }
        (id::setsockopt | id::getsockopt, ProgType::CgroupSockAddr) => {
            !matches!(attach_type, A::CgroupUnixGetpeername | A::CgroupUnixGetsockname)
        }
        _ => true,
    }
}

impl Call<'_, '_> {
    /// Fails where [`allows`] says no: programs that were not loaded from an object.
    pub(super) fn check_attach_type(&self, helper: u32) -> Result<(), FaultKind> {
        match self.run.attach_type {
            Some(attach_type) if !allows(self.run.prog_type, attach_type, helper) => {
                let what = format!("bpf_{} is not for programs attached as {attach_type}", self.name);
                Err(FaultKind::Instruction(what))
            }
            _ => Ok(()),
        }
    }
}
