//! The file below `/proc/sys` that a cgroup/sysctl program is asked about.

use super::{Arg, Call, Failure, Helper, Ret};
use crate::net::sysctl::Sysctl;
use crate::uapi::ProgType::CgroupSysctl;
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes};

const TYPES: ProgTypes = ProgTypes::of(&[CgroupSysctl]);

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::sysctl_get_name, TYPES, &[Arg::Ctx, Arg::MemOut, Arg::Size, Arg::Any], name,
        "kernel/bpf/cgroup.c: bpf_sysctl_get_name"),
    Helper::new(id::sysctl_get_current_value, TYPES, &[Arg::Ctx, Arg::MemOut, Arg::Size], current_value,
        "kernel/bpf/cgroup.c: bpf_sysctl_get_current_value"),
    Helper::new(id::sysctl_get_new_value, TYPES, &[Arg::Ctx, Arg::MemOut, Arg::Size], new_value,
        "kernel/bpf/cgroup.c: bpf_sysctl_get_new_value"),
    Helper::new(id::sysctl_set_new_value, TYPES, &[Arg::Ctx, Arg::Mem, Arg::Size], set_new_value,
        "kernel/bpf/cgroup.c: bpf_sysctl_set_new_value"),
];

/// `BPF_F_SYSCTL_BASE_NAME`.
const BPF_F_SYSCTL_BASE_NAME: u64 = 1 << 0;

impl Call<'_, '_> {
    /// The file, and whether it is written.
    fn sysctl(&mut self) -> Result<(&mut Sysctl, bool), Failure> {
        if self.given().sysctl.path.is_empty() {
            return Err(self.not_modelled("a sysctl whose path and value are not given as data"));
        }
        let given = self.given();
        let write = given.word(0) != 0;
        Ok((&mut given.sysctl, write))
    }

    /// Lets `read` fill the memory in arguments 2 and 3.
    fn fill(&mut self, read: impl Fn(&Sysctl, bool, &mut [u8]) -> Result<u64, Errno>) -> Ret {
        let [_, out, len, ..] = self.args;
        let mut bytes = self.mem(out, len)?.to_vec();
        let (sysctl, write) = self.sysctl()?;
        let done = read(sysctl, write, &mut bytes);
        self.mem_mut(out, len)?.copy_from_slice(&bytes);
        Ok(done?)
    }
}

fn name(call: &mut Call<'_, '_>) -> Ret {
    let base = call.args[3] & BPF_F_SYSCTL_BASE_NAME != 0;
    call.fill(|sysctl, _, out| sysctl.name(out, base))
}

fn current_value(call: &mut Call<'_, '_>) -> Ret {
    call.fill(|sysctl, _, out| sysctl.current_value(out))
}

fn new_value(call: &mut Call<'_, '_>) -> Ret {
    call.fill(|sysctl, write, out| sysctl.new_value(out, write))
}

fn set_new_value(call: &mut Call<'_, '_>) -> Ret {
    let [_, value, len, ..] = call.args;
    let value = call.mem(value, len)?.to_vec();
    let (sysctl, write) = call.sysctl()?;
    sysctl.set_new_value(&value, write)?;
    Ok(0)
}
