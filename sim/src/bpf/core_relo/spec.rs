//! Accessors: the way from a type to the field a relocation is about.

use super::shape::types_match;
use super::{essential, same_kind};
use crate::bpf::btf::{Btf, Kind, MAX_DEPTH, Member};
use crate::bpf::object::{CoreKind, CoreRelocation};

/// One step of an accessor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Step {
    /// The struct, union or enumeration the name is looked up in; for an index, the type of the elements.
    pub type_id: u32,
    /// Which member, enumerator or element.
    pub index: u32,
    /// Whether the step goes by name; anonymous members take no step of their own.
    pub named: bool,
}

/// A whole accessor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Spec {
    /// Where it begins.
    pub root: u32,
    /// The steps, at least one unless the relocation is about the type itself.
    pub steps: Vec<Step>,
    /// Where it ends, from the beginning of the root.
    pub bit_offset: u32,
}

/// Steps in an accessor at most (`BPF_CORE_SPEC_MAX_LEN`).
const MAX_STEPS: usize = 64;

impl Spec {
    /// Reads a relocation's accessor in the object's types (`bpf_core_parse_spec`).
    pub fn parse(btf: &Btf, relocation: &CoreRelocation) -> Result<Self, String> {
        let bad = || {
            format!(
                "accessor \"{}\" of {} makes no sense",
                relocation.access,
                btf.describe(relocation.type_id)
            )
        };
        let indices: Vec<u32> =
            relocation.access.split(':').map(str::parse).collect::<Result<_, _>>().map_err(|_| bad())?;
        let mut spec = Self { root: relocation.type_id, steps: Vec::new(), bit_offset: 0 };
        let (&first, rest) = indices.split_first().ok_or_else(bad)?;
        if indices.len() > MAX_STEPS {
            return Err(bad());
        }
        match relocation.kind {
            kind if is_about_type(kind) => return if indices == [0] { Ok(spec) } else { Err(bad()) },
            CoreKind::EnumvalExists | CoreKind::EnumvalValue => {
                let id = btf.strip(relocation.type_id);
                let known = matches!(&btf.get(id).kind, Kind::Enum(e) if (first as usize) < e.values.len());
                spec.steps.push(Step { type_id: id, index: first, named: true });
                return if known && rest.is_empty() { Ok(spec) } else { Err(bad()) };
            }
            _ => {}
        }
        let mut id = btf.strip(relocation.type_id);
        spec.element(btf, id, first).ok_or_else(bad)?;
        for &index in rest {
            id = btf.strip(id);
            id = match btf.get(id).kind {
                Kind::Struct(ref composite) | Kind::Union(ref composite) => {
                    let member = composite.members.get(index as usize).ok_or_else(bad)?;
                    spec.bit_offset = spec.bit_offset.checked_add(member.bit_offset).ok_or_else(bad)?;
                    if !btf.text(member.name).is_empty() {
                        spec.steps.push(Step { type_id: id, index, named: true });
                    }
                    member.type_id
                }
                Kind::Array { element, count, .. } => {
                    if index >= count && !spec.ends_in_flexible_array(btf, count) {
                        return Err(bad());
                    }
                    let element = btf.strip(element);
                    spec.element(btf, element, index).ok_or_else(bad)?;
                    element
                }
                _ => return Err(bad()),
            };
        }
        Ok(spec)
    }

    /// A step to element `index` of an array of `type_id`.
    fn element(&mut self, btf: &Btf, type_id: u32, index: u32) -> Option<()> {
        let bits = btf.size_of(type_id)?.checked_mul(index)?.checked_mul(8)?;
        self.bit_offset = self.bit_offset.checked_add(bits)?;
        self.steps.push(Step { type_id, index, named: false });
        Some(())
    }

    /// Whether an array reached by the last step is the last member of a struct and declared with at most one element
    /// (`is_flex_arr`).
    fn ends_in_flexible_array(&self, btf: &Btf, count: u32) -> bool {
        let Some(step) = self.steps.last().filter(|step| step.named) else { return false };
        let last = |c: &crate::bpf::btf::Composite| step.index as usize + 1 == c.members.len();
        count <= 1 && matches!(btf.kind(step.type_id), Kind::Struct(c) if last(c))
    }

    /// The same accessor in type `candidate` of `target`; `None` if it has no such field (`bpf_core_spec_match`).
    pub fn matching(
        &self,
        local: &Btf,
        target: &Btf,
        candidate: u32,
        kind: CoreKind,
    ) -> Result<Option<Self>, String> {
        let found = || Self { root: candidate, steps: Vec::new(), bit_offset: 0 };
        if kind == CoreKind::TypeMatches {
            return Ok(types_match(local, self.root, target, candidate)?.then(found));
        }
        if is_about_type(kind) {
            return Ok(types_are_compatible(local, self.root, target, candidate, 0).then(found));
        }
        Ok(self.field(local, target, candidate))
    }

    fn field(&self, local: &Btf, target: &Btf, candidate: u32) -> Option<Self> {
        let mut found = Self { root: candidate, steps: Vec::new(), bit_offset: 0 };
        let mut id = target.strip(candidate);
        for (depth, step) in self.steps.iter().enumerate() {
            id = target.strip(id);
            if let (true, Kind::Enum(own)) = (step.named, local.kind(step.type_id)) {
                let Kind::Enum(e) = target.kind(id) else { return None };
                let wanted = essential(local.text(own.values.get(step.index as usize)?.0));
                let index = e.values.iter().position(|&(name, _)| essential(target.text(name)) == wanted)?;
                found.steps.push(Step { type_id: id, index: index as u32, named: true });
            } else if step.named {
                let member = local.composite(step.type_id)?.members.get(step.index as usize)?;
                id = found.member(local, member, target, id, &mut 10_000, 0)?;
            } else {
                if depth > 0 {
                    let Kind::Array { element, count, .. } = *target.kind(id) else { return None };
                    if step.index >= count && !found.ends_in_flexible_array(target, count) {
                        return None;
                    }
                    id = target.strip(element);
                }
                found.element(target, id, step.index)?;
            }
        }
        Some(found)
    }

    /// A step to the member of `id` with the name of `wanted`, inside anonymous members too; gives its type
    /// (`bpf_core_match_member`).
    fn member(
        &mut self,
        local: &Btf,
        wanted: &Member,
        target: &Btf,
        id: u32,
        budget: &mut u32,
        depth: u32,
    ) -> Option<u32> {
        let id = target.strip(id);
        let start = self.bit_offset;
        for (index, member) in (0..).zip(&target.composite(id)?.members) {
            *budget = budget.checked_sub(1)?;
            self.bit_offset = start.checked_add(member.bit_offset)?;
            let name = target.text(member.name);
            if name.is_empty() {
                if depth < MAX_DEPTH
                    && let Some(found) = self.member(local, wanted, target, member.type_id, budget, depth + 1)
                {
                    return Some(found);
                }
            } else if name == local.text(wanted.name) {
                self.steps.push(Step { type_id: id, index, named: true });
                return fields_are_compatible(local, wanted.type_id, target, member.type_id)
                    .then_some(member.type_id);
            }
        }
        self.bit_offset = start;
        None
    }

    /// The member, type and struct the last step leads to; `None` if it is an index.
    pub fn last_member<'a>(&self, btf: &'a Btf) -> Option<&'a Member> {
        let step = self.steps.last().filter(|step| step.named)?;
        btf.composite(step.type_id)?.members.get(step.index as usize)
    }
}

/// Whether a relocation is about a type, not a field or enumerator.
pub(super) fn is_about_type(kind: CoreKind) -> bool {
    matches!(
        kind,
        CoreKind::TypeIdLocal
            | CoreKind::TypeIdTarget
            | CoreKind::TypeExists
            | CoreKind::TypeSize
            | CoreKind::TypeMatches
    )
}

/// `bpf_core_fields_are_compat`: any two structs or unions, pointers, floats or integers; enumerations of one name;
/// arrays of compatible elements.
fn fields_are_compatible(local: &Btf, mut local_id: u32, target: &Btf, mut target_id: u32) -> bool {
    for _ in 0..MAX_DEPTH {
        (local_id, target_id) = (local.strip(local_id), target.strip(target_id));
        return match (&local.get(local_id).kind, &target.get(target_id).kind) {
            (Kind::Struct(_) | Kind::Union(_), Kind::Struct(_) | Kind::Union(_))
            | (Kind::Ptr { .. }, Kind::Ptr { .. })
            | (Kind::Float { .. }, Kind::Float { .. }) => true,
            (Kind::Enum(_), Kind::Enum(_)) | (Kind::Fwd { .. }, Kind::Fwd { .. }) => {
                let (a, b) = (essential(local.name_of(local_id)), essential(target.name_of(target_id)));
                a.is_empty() || b.is_empty() || a == b
            }
            (Kind::Int(a), Kind::Int(b)) => a.offset == 0 && b.offset == 0,
            (Kind::Array { element: a, .. }, Kind::Array { element: b, .. }) => {
                (local_id, target_id) = (*a, *b);
                continue;
            }
            _ => false,
        };
    }
    false
}

/// `__bpf_core_types_are_compat`: the same kinds, through pointers, arrays and prototypes.
fn types_are_compatible(local: &Btf, local_id: u32, target: &Btf, target_id: u32, depth: u32) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    let (local_id, target_id) = (local.strip(local_id), target.strip(target_id));
    let (a, b) = (&local.get(local_id).kind, &target.get(target_id).kind);
    let inner = |a: u32, b: u32| types_are_compatible(local, a, target, b, depth + 1);
    same_kind(a, b)
        && match (a, b) {
            (Kind::Int(a), Kind::Int(b)) => a.offset == 0 && b.offset == 0,
            (Kind::Ptr { to: a }, Kind::Ptr { to: b })
            | (Kind::Array { element: a, .. }, Kind::Array { element: b, .. }) => inner(*a, *b),
            (Kind::FuncProto { result: a, params: p }, Kind::FuncProto { result: b, params: q }) => {
                p.len() == q.len()
                    && p.iter().zip(q).all(|(p, q)| inner(p.type_id, q.type_id))
                    && inner(*a, *b)
            }
            (Kind::Void | Kind::Struct(_) | Kind::Union(_) | Kind::Enum(_) | Kind::Fwd { .. }, _) => true,
            _ => false,
        }
}
