//! `bpf_core_type_matches()`: whether the kernel's type has at least the shape the object declares
//! (`__bpf_core_types_match`, `tools/lib/bpf/relo_core.c`, v6.12).

use super::essential;
use crate::bpf::btf::{Btf, Composite, Enum, Kind, MAX_DEPTH, Name};

/// How deep types are followed (`bpf_core_types_match`, libbpf.c).
const LEVELS: u32 = 32;

/// Whether type `target_id` matches `local_id`. Roots were found by name. An error where libbpf gives up.
pub(super) fn types_match(local: &Btf, local_id: u32, target: &Btf, target_id: u32) -> Result<bool, String> {
    Shapes { local, target }.types(local_id, target_id, false, LEVELS)
}

struct Shapes<'a> {
    local: &'a Btf,
    target: &'a Btf,
}

impl Shapes<'_> {
    fn types(
        &self,
        mut local_id: u32,
        mut target_id: u32,
        mut behind: bool,
        level: u32,
    ) -> Result<bool, String> {
        let too_deep = || Err("the types are nested too deeply to be matched".to_owned());
        if level == 0 {
            return too_deep();
        }
        for _ in 0..MAX_DEPTH {
            (local_id, target_id) = (self.local.strip(local_id), self.target.strip(target_id));
            let (a, b) = (self.local.get(local_id), self.target.get(target_id));
            if !self.names(a.name, b.name) {
                return Ok(false);
            }
            (local_id, target_id) = match (&a.kind, &b.kind) {
                (Kind::Void, Kind::Void) => return Ok(true),
                (Kind::Fwd { union: a }, Kind::Fwd { union: b }) => return Ok(a == b),
                (Kind::Enum(a), Kind::Enum(b)) => return Ok(self.enums(a, b)),
                (Kind::Fwd { union: false }, Kind::Struct(_))
                | (Kind::Fwd { union: true }, Kind::Union(_))
                | (Kind::Struct(_), Kind::Fwd { union: false })
                | (Kind::Union(_), Kind::Fwd { union: true }) => {
                    return Ok(behind);
                }
                (Kind::Struct(a), Kind::Struct(b)) | (Kind::Union(a), Kind::Union(b)) => {
                    return if behind { Ok(true) } else { self.composites(a, b, level) };
                }
                (Kind::Int(a), Kind::Int(b)) => return Ok(a.size == b.size && a.signed == b.signed),
                (Kind::Ptr { to: a }, Kind::Ptr { to: b }) => {
                    behind = true;
                    (*a, *b)
                }
                (Kind::Array { element: a, count: m, .. }, Kind::Array { element: b, count: n, .. }) => {
                    if m != n {
                        return Ok(false);
                    }
                    (*a, *b)
                }
                (Kind::FuncProto { result: a, params: p }, Kind::FuncProto { result: b, params: q }) => {
                    if p.len() != q.len() {
                        return Ok(false);
                    }
                    for (p, q) in p.iter().zip(q) {
                        if !self.types(p.type_id, q.type_id, behind, level - 1)? {
                            return Ok(false);
                        }
                    }
                    (*a, *b)
                }
                _ => return Ok(false),
            };
        }
        too_deep()
    }

    /// `bpf_core_names_match`: equal up to a flavour.
    fn names(&self, local: Name, target: Name) -> bool {
        essential(self.local.text(local)) == essential(self.target.text(target))
    }

    /// `bpf_core_enums_match`: every enumerator by name, whatever its value.
    fn enums(&self, local: &Enum, target: &Enum) -> bool {
        let there = |name: Name| target.values.iter().any(|&(other, _)| self.names(name, other));
        local.size == target.size
            && local.values.len() <= target.values.len()
            && local.values.iter().all(|&(name, _)| there(name))
    }

    /// `bpf_core_composites_match`: every member by name and type, in any order.
    fn composites(&self, local: &Composite, target: &Composite, level: u32) -> Result<bool, String> {
        if local.members.len() > target.members.len() {
            return Ok(false);
        }
        for member in &local.members {
            let mut matched = false;
            for other in target.members.iter().filter(|other| self.names(member.name, other.name)) {
                matched = self.types(member.type_id, other.type_id, false, level - 1)?;
                if matched {
                    break;
                }
            }
            if !matched {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
