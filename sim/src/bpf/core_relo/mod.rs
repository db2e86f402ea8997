//! CO-RE: constants in instructions that depend on the kernel's types (`tools/lib/bpf/relo_core.c`, v6.12).
//!
//! The compiler records which field, type or enumerator of the *object's* types an instruction is about; here the same
//! is looked for among the *kernel's* types and the instruction gets the kernel's number.
//!
//! | file | what |
//! |---|---|
//! | `spec` | the accessor `0:1:2` as steps, and the same steps in another type |
//! | `shape` | whether a type has the shape of another |
//! | `change` | what number a relocation asks for |
//! | `patch` | that number into an instruction |
//! | `describe` | a relocation in words |

mod change;
mod describe;
mod patch;
mod shape;
mod spec;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::bpf::btf::{Btf, Kind};
use crate::bpf::object::{CoreKind, CoreRelocation};
use change::Change;
use spec::Spec;

pub use describe::describe;
pub use patch::BAD_RELO;

/// How much of a kernel's types is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// All: what is not there, the kernel does not have.
    Whole,
    /// Those of the user-space ABI ([`TYPES`](crate::uapi::TYPES)). `newest` tells whether the kernel spoken as is the
    /// one they were taken from: only then does a missing member mean that the kernel does not have it.
    Abi {
        /// See there.
        newest: bool,
    },
}

/// Fits instructions compiled against one set of types to another.
pub struct Relocator<'a> {
    local: &'a Btf,
    target: &'a Btf,
    extent: Extent,
    /// Target types by the local type they may stand for.
    candidates: BTreeMap<u32, Vec<u32>>,
}

impl<'a> Relocator<'a> {
    /// From the object's types to the kernel's, of which `target` holds `extent`.
    pub fn new(local: &'a Btf, target: &'a Btf, extent: Extent) -> Self {
        Self { local, target, extent, candidates: BTreeMap::new() }
    }

    /// Relocates one instruction of `slots` (`bpf_core_calc_relo_insn`, `bpf_core_patch_insn`).
    ///
    /// What the kernel does not have becomes a call to helper [`BAD_RELO`], as libbpf makes it: guarded by a check for
    /// existence it is never reached.
    pub fn relocate(&mut self, slots: &mut [u64], relocation: &CoreRelocation) -> Result<(), String> {
        let change = self.change(relocation)?;
        patch::patch(slots, relocation.slot as usize, &change)
    }

    fn change(&mut self, relocation: &CoreRelocation) -> Result<Change, String> {
        let CoreRelocation { type_id, kind, .. } = *relocation;
        let spec = Spec::parse(self.local, relocation)?;
        if kind == CoreKind::TypeIdLocal {
            return Ok(Change::plain(u64::from(type_id), u64::from(type_id)));
        }
        if self.local.name_of(type_id).is_empty() {
            return Err("anonymous types have no counterpart in the kernel".into());
        }
        let mut found: Option<(Change, u32)> = None;
        let (local, target) = (self.local, self.target);
        self.check_known(type_id, kind)?;
        for &candidate in self.candidates(type_id) {
            let Some(matching) = spec.matching(local, target, candidate, kind)? else { continue };
            let change = Change::between(kind, (local, &spec), Some((target, &matching)))?;
            match &found {
                Some((other, bits)) if *bits != matching.bit_offset || *other != change => {
                    return Err("the kernel has several types of this name, and they disagree".into());
                }
                Some(_) => {}
                None => found = Some((change, matching.bit_offset)),
            }
        }
        match found {
            Some((change, _)) => Ok(change),
            None => Change::between(kind, (local, &spec), None),
        }
    }

    /// Refuses what only the whole of a kernel's types can answer.
    fn check_known(&mut self, type_id: u32, kind: CoreKind) -> Result<(), String> {
        let Extent::Abi { newest } = self.extent else { return Ok(()) };
        if self.candidates(type_id).is_empty() {
            return Err(
                "the type is no part of the user-space ABI, and no other kernel types are given".into()
            );
        }
        match kind {
            CoreKind::TypeIdTarget => Err("types have numbers in a running kernel only".into()),
            CoreKind::FieldExists
            | CoreKind::TypeExists
            | CoreKind::EnumvalExists
            | CoreKind::TypeMatches
                if !newest =>
            {
                Err("what an older kernel has is not known, and no other kernel types are given".into())
            }
            _ => Ok(()),
        }
    }

    /// Target types of the same kind whose names are equal up to a `___flavour` (`bpf_core_add_cands`).
    fn candidates(&mut self, local_id: u32) -> &[u32] {
        let (local, target) = (self.local, self.target);
        self.candidates.entry(local_id).or_insert_with(|| {
            let name = essential(local.name_of(local_id));
            let kind = &local.get(local_id).kind;
            let alike = |(_, t): &(u32, &crate::bpf::btf::Type)| {
                same_kind(kind, &t.kind) && essential(target.text(t.name)) == name
            };
            target.types().filter(alike).map(|(id, _)| id).collect()
        })
    }
}

/// A name without its flavour (`bpf_core_essential_name_len`): `task_struct___old` is `task_struct`.
pub fn essential(name: &str) -> &str {
    let flavour = |&at: &usize| {
        let bytes = name.as_bytes();
        at > 0
            && bytes[at - 1] != b'_'
            && bytes.get(at + 3).is_some_and(|&b| b != b'_')
            && &bytes[at..at + 3] == b"___"
    };
    let at = (0..name.len().saturating_sub(3)).rev().find(flavour);
    at.map_or(name, |at| &name[..at])
}

fn same_kind(a: &Kind, b: &Kind) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}
