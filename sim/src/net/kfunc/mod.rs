//! Kernel functions: one table, one row each. A row says who may call it, what its arguments are and which function
//! does it; its place is its number.
//!
//! To add one, add a row and its function to its family's file. [`refused::REFUSED`] names those that programs
//! of the types modelled may call in the kernel and may not here, each with the reason.

#![allow(clippy::unnecessary_wraps)] // every row has the same type of function

mod ct;
mod dynptr;
mod iter;
#[cfg(test)]
mod program_tests;
mod refused;
mod section;
mod xfrm;

use crate::bpf::load;
use crate::net::held::Kind;
use crate::net::helper::{Arg, Call, Ret};
use crate::uapi::ProgType::{
    CgroupSkb, CgroupSockopt, LwtIn, LwtOut, LwtSeg6local, LwtXmit, SchedAct, SchedCls, SkMsg, SkSkb,
    SocketFilter, Xdp,
};
use crate::uapi::{ProgTypes, Release};

pub use refused::{REFUSED, Refused};

/// One kernel function.
pub struct Kfunc {
    /// Its name in the kernel's types.
    pub name: &'static str,
    /// The program types that may call it.
    pub types: ProgTypes,
    /// The first series that has it.
    pub since: Release,
    /// What its arguments are.
    pub args: &'static [Arg],
    /// What the program holds once it returned an address: `KF_ACQUIRE`.
    pub acquires: Option<Kind>,
    /// What argument 1 has to be, and is no more: `KF_RELEASE`.
    pub releases: Option<Kind>,
    /// Where the kernel does it, v6.12.
    pub cite: &'static str,
    /// What it does.
    pub call: fn(&mut Call<'_, '_>) -> Ret,
}

impl Kfunc {
    /// A row of a function that 6.12 has and 6.1 has not, which neither acquires nor releases.
    pub const fn new(
        name: &'static str,
        types: ProgTypes,
        args: &'static [Arg],
        call: fn(&mut Call<'_, '_>) -> Ret,
        cite: &'static str,
    ) -> Self {
        Self { name, types, since: Release::V6_12, args, acquires: None, releases: None, cite, call }
    }

    /// The row, of a function that another series was the first to have.
    #[must_use]
    pub const fn since(self, since: Release) -> Self {
        Self { since, ..self }
    }

    /// The row, of a function whose result the program has to give back.
    #[must_use]
    pub const fn acquiring(self, kind: Kind) -> Self {
        Self { acquires: Some(kind), ..self }
    }

    /// The row, of a function that takes back its first argument.
    #[must_use]
    pub const fn releasing(self, kind: Kind) -> Self {
        Self { releases: Some(kind), ..self }
    }

    /// Its name without `bpf_`.
    pub fn short_name(&self) -> &'static str {
        self.name.trim_start_matches("bpf_")
    }
}

/// `BTF_KFUNC_HOOK_LWT`.
const LWT: ProgTypes = ProgTypes::of(&[LwtIn, LwtOut, LwtXmit, LwtSeg6local]);
/// Types whose context is an skb, of those `net/core/filter.c: bpf_kfunc_init` registers, v6.12.
const SKB: ProgTypes = ProgTypes::of(&[SchedCls, SchedAct, SkSkb, SocketFilter, CgroupSkb]).or(LWT);
/// Types that may write packet bytes: `kernel/bpf/verifier.c: may_access_direct_pkt_data`, v6.12.
const WRITERS: ProgTypes = ProgTypes::of(&[SchedCls, SchedAct, Xdp, LwtXmit, SkSkb, SkMsg, CgroupSockopt]);

/// Every family. Numbers follow from the order.
const FAMILIES: &[&[Kfunc]] = &[ct::ROWS, dynptr::ROWS, iter::ROWS, section::ROWS, xfrm::ROWS];

/// Every row, in the order of their numbers.
pub fn rows() -> impl Iterator<Item = &'static Kfunc> {
    FAMILIES.iter().copied().flatten()
}

/// The row with this number.
pub fn by_number(number: u32) -> Option<&'static Kfunc> {
    let mut left = number as usize;
    for family in FAMILIES {
        match family.get(left) {
            Some(row) => return Some(row),
            None => left -= family.len(),
        }
    }
    None
}

/// What the kernel spoken as makes of a kernel function that a program uses.
pub fn resolve(release: Release, gpl: bool, used: &load::KfuncUse<'_>) -> load::Kfunc {
    let found = rows().zip(0..).find(|(row, _)| row.name == used.kfunc);
    let Some((row, number)) = found else {
        return match REFUSED.iter().find(|refused| refused.name == used.kfunc) {
            Some(refused) if refused.since <= release => load::Kfunc::Refused(refused.why.to_owned()),
            _ => load::Kfunc::Absent,
        };
    };
    if row.since > release {
        return load::Kfunc::Absent;
    }
    if used.called && !row.types.contains(used.prog_type) {
        return load::Kfunc::Refused(format!("is not for programs of type {}", used.prog_type));
    }
    if used.called && !gpl {
        // `kernel/bpf/verifier.c: add_kfunc_call`.
        return load::Kfunc::Refused(
            "cannot be called from a program whose licence is not GPL-compatible".into(),
        );
    }
    load::Kfunc::Number(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uapi::ProgType;
    use std::collections::BTreeSet;

    fn asked(release: Release, kfunc: &str, prog_type: ProgType) -> load::Kfunc {
        resolve(release, true, &load::KfuncUse { program: "test", prog_type, kfunc, called: true })
    }

    #[test]
    fn names_are_found_once_and_numbers_lead_back() {
        let names: BTreeSet<_> = rows().map(|row| row.name).chain(REFUSED.iter().map(|r| r.name)).collect();
        assert_eq!(names.len(), rows().count() + REFUSED.len(), "a name is there twice");
        for (number, row) in (0..).zip(rows()) {
            assert_eq!(by_number(number).unwrap().name, row.name);
            assert!(row.args.len() <= 5 && !row.cite.is_empty(), "{}", row.name);
        }
        assert!(by_number(rows().count() as u32).is_none());
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        use load::Kfunc::{Absent, Number, Refused};
        let name = "bpf_dynptr_from_skb";
        assert!(matches!(asked(Release::V6_12, name, SchedCls), Number(_)));
        assert_eq!(asked(Release::V6_1, name, SchedCls), Absent);
        let why = asked(Release::V6_12, name, Xdp);
        assert_eq!(why, Refused("is not for programs of type BPF_PROG_TYPE_XDP".into()));
        assert!(matches!(asked(Release::V6_18, "bpf_cast_to_kern_ctx", SchedCls), Refused(_)));
        assert_eq!(asked(Release::V6_18, "bpf_no_such_function", SchedCls), Absent);
    }
}
