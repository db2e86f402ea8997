//! Fields of map values that only helpers may touch.

use crate::bpf::btf::{Btf, Kind, MAX_DEPTH};
use crate::bpf::map::{SpecialField, SpecialKind};

/// The special fields in a value of type `id`, by offset (`btf_parse_fields` of `kernel/bpf/btf.c`, v6.12): in the
/// value itself, in structs inside it, in arrays, and in the variables of a data section.
///
/// None at all where the kernel finds fault with one: two locks or two timers, fields that overlap, are misaligned or
/// reach past the value. It makes such a map nevertheless, and its programs cannot use the fields.
pub(super) fn special_fields(btf: &Btf, id: u32) -> Vec<SpecialField> {
    let mut found = Vec::new();
    collect(btf, id, 0, &mut found, &mut 100_000, 0);
    found.sort_by_key(|field| field.offset);
    if sound(&found, btf.size_of(id).unwrap_or(0)) { found } else { Vec::new() }
}

fn sound(fields: &[SpecialField], value_size: u32) -> bool {
    let once = |kind| fields.iter().filter(|field| field.kind == kind).count() <= 1;
    let mut free = 0;
    let apart = fields.iter().all(|field| {
        let (start, size) = (u64::from(field.offset), u64::from(field.kind.size()));
        let fits = start >= free && start % size.min(8) == 0;
        free = start + size;
        fits
    });
    apart && free <= u64::from(value_size) && once(SpecialKind::SpinLock) && once(SpecialKind::Timer)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_the_kernel_finds_fault_with_are_none() {
        use SpecialKind::{SpinLock, Timer};
        type Fields = &'static [(u32, SpecialKind)];
        let table: [(Fields, u32, bool); 8] = [
            (&[], 0, true),
            (&[(0, SpinLock), (8, Timer)], 24, true),
            (&[(0, SpinLock), (8, Timer)], 23, false),
            (&[(2, SpinLock)], 8, false),
            (&[(4, Timer)], 24, false),
            (&[(0, Timer), (8, SpinLock)], 24, false),
            (&[(0, SpinLock), (4, SpinLock)], 8, false),
            (&[(u32::MAX - 3, SpinLock)], u32::MAX, false),
        ];
        for (fields, size, expected) in table {
            let fields: Vec<_> = fields.iter().map(|&(offset, kind)| SpecialField { offset, kind }).collect();
            assert_eq!(sound(&fields, size), expected, "{fields:?} in {size}");
        }
    }
}
