//! What bpf(2) needs, checked before anything is read, so that a missing capability is named and never looks like a
//! result.

use crate::failure::Failure;
use crate::sys::{Capability, Map};

/// Every program needs these two; CAP_PERFMON is asked for by the maps that need it.
const NEEDED: [Capability; 2] = [Capability::Bpf, Capability::NetAdmin];

/// Fails with the names of the missing capabilities, or with what stands in the way although they are held.
pub fn check() -> Result<(), Failure> {
    let missing: Vec<_> = NEEDED.into_iter().filter(|c| !c.held()).map(Capability::name).collect();
    if !missing.is_empty() {
        return Err(Failure::Harness(format!(
            "missing {}: run as root, or give the binary the capabilities with \
             `setcap cap_bpf,cap_net_admin,cap_perfmon,cap_sys_admin+ep`",
            missing.join(" and ")
        )));
    }
    Map::new(libbpf_sys::BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0).map(drop).map_err(|errno| {
        Failure::Harness(format!(
            "bpf(2) answers {errno} although the capabilities are held: a user namespace, kernel lockdown, a seccomp \
             filter or a security module is in the way"
        ))
    })
}
