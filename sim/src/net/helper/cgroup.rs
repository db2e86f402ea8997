//! What cgroup programs say the system call shall answer.

use super::{Arg, CGROUP_CURRENT, Call, Helper, Ret};
use crate::net::given::Given;
use crate::net::run::Packet;
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
}

fn get_retval(call: &mut Call<'_, '_>) -> Ret {
    call.check_attach_type(id::get_retval)?;
    Ok(i64::from(call.given().retval()) as u64)
}

fn set_retval(call: &mut Call<'_, '_>) -> Ret {
    call.check_attach_type(id::set_retval)?;
    let retval = call.args[0] as i32;
    call.given().set_retval(retval);
    Ok(0)
}
