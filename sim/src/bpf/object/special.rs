//! Fields of map values that only helpers may touch.

use crate::bpf::btf::{Btf, Kind, MAX_DEPTH};
use crate::bpf::map::{SpecialField, SpecialKind};

/// The special fields in a value of type `id`, by offset (`btf_parse_fields` of `kernel/bpf/btf.c`, v6.12): in the
/// value itself, in structs inside it, in arrays, and in the variables of a data section.
pub(super) fn special_fields(btf: &Btf, id: u32) -> Vec<SpecialField> {
    let mut found = Vec::new();
    collect(btf, id, 0, &mut found, &mut 100_000, 0);
    found.sort_by_key(|field| field.offset);
    found
}

fn collect(btf: &Btf, id: u32, base: u32, found: &mut Vec<SpecialField>, budget: &mut u32, depth: u32) {
    let Some(left) = budget.checked_sub(1) else { return };
    *budget = left;
    if depth > MAX_DEPTH {
        return;
    }
    let stripped = btf.strip(id);
    match &btf.get(stripped).kind {
        Kind::Struct(composite) => {
            if let Some(kind) = special(btf.name_of(stripped)) {
                found.push(SpecialField { offset: base, kind });
                return;
            }
            for member in &composite.members {
                if let Some(offset) = base.checked_add(member.bit_offset / 8) {
                    collect(btf, member.type_id, offset, found, budget, depth + 1);
                }
            }
        }
        Kind::Array { element, count, .. } => {
            // Only arrays of structs and pointers may hold any.
            if !matches!(btf.kind(*element), Kind::Struct(_) | Kind::Ptr { .. } | Kind::Array { .. }) {
                return;
            }
            let Some(size) = btf.size_of(*element) else { return };
            for i in 0..*count {
                let Some(offset) = i.checked_mul(size).and_then(|o| base.checked_add(o)) else { return };
                let before = found.len();
                collect(btf, *element, offset, found, budget, depth + 1);
                if found.len() == before || *budget == 0 {
                    return;
                }
            }
        }
        Kind::DataSec { vars, .. } => {
            for var in vars {
                if let Kind::Var { to, .. } = btf.get(var.type_id).kind {
                    collect(btf, to, var.offset, found, budget, depth + 1);
                }
            }
        }
        Kind::Ptr { to } if is_kptr(btf, *to) => {
            found.push(SpecialField { offset: base, kind: SpecialKind::Other });
        }
        _ => {}
    }
}

fn special(name: &str) -> Option<SpecialKind> {
    match name {
        "bpf_spin_lock" => Some(SpecialKind::SpinLock),
        "bpf_timer" => Some(SpecialKind::Timer),
        "bpf_wq" | "bpf_list_head" | "bpf_list_node" | "bpf_rb_root" | "bpf_rb_node" | "bpf_refcount"
        | "bpf_res_spin_lock" | "bpf_task_work" => Some(SpecialKind::Other),
        _ => None,
    }
}

/// A pointer the kernel keeps: its target carries one of these type tags.
fn is_kptr(btf: &Btf, mut id: u32) -> bool {
    for _ in 0..MAX_DEPTH {
        let Kind::TypeTag { to } = btf.get(id).kind else { return false };
        if matches!(btf.name_of(id), "kptr" | "kptr_untrusted" | "percpu_kptr" | "uptr") {
            return true;
        }
        id = to;
    }
    false
}
