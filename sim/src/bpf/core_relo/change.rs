//! The number a relocation asks for, in the object's types and in the kernel's.

use super::spec::{Spec, is_about_type};
use crate::bpf::btf::{Btf, Int, Kind};
use crate::bpf::object::CoreKind;

/// What to do to an instruction (`struct bpf_core_relo_res`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Change {
    /// What the compiler put in.
    pub old: u64,
    /// What the kernel wants.
    pub new: u64,
    /// Whether the instruction must hold `old`.
    pub validate: bool,
    /// Whether the kernel has no answer.
    pub poison: bool,
    /// Bytes a load or store has now and is to have, where they differ; `Err` if the field cannot be read that way.
    pub resize: Option<Result<(u32, u32), ()>>,
}

/// A number, and what else follows from a spec.
struct Answer {
    value: u64,
    validate: bool,
    /// Type and bytes of a field that is loaded or stored whole.
    whole: Option<(u32, u32)>,
}

impl Answer {
    fn plain(value: u64) -> Self {
        Self { value, validate: true, whole: None }
    }
}

impl Change {
    /// A number for a number that the instruction need not hold.
    pub fn plain(old: u64, new: u64) -> Self {
        Self { old, new, validate: false, poison: false, resize: None }
    }

    /// From the object's answer to the kernel's (`bpf_core_calc_relo`).
    pub fn between(
        kind: CoreKind,
        local: (&Btf, &Spec),
        target: Option<(&Btf, &Spec)>,
    ) -> Result<Self, String> {
        let old = answer(kind, Some(local))?.ok_or("the object's own types do not answer it")?;
        let Some(new) = answer(kind, target)? else {
            return Ok(Self { old: old.value, new: 0, validate: false, poison: true, resize: None });
        };
        let resize = match (old.whole, new.whole, target) {
            (Some((local_id, from)), Some((target_id, to)), Some((target, _))) if from != to => {
                let safe = match (local.0.kind(local_id), target.kind(target_id)) {
                    (Kind::Ptr { .. }, Kind::Ptr { .. }) => true,
                    (Kind::Int(a), Kind::Int(b)) => !a.signed && !b.signed,
                    _ => false,
                };
                Some(if safe { Ok((from, to)) } else { Err(()) })
            }
            _ => None,
        };
        let validate = old.validate && kind != CoreKind::TypeIdTarget;
        Ok(Self { old: old.value, new: new.value, validate, poison: false, resize })
    }
}

/// `None` asks for poison: there is no such field or enumerator.
fn answer(kind: CoreKind, spec: Option<(&Btf, &Spec)>) -> Result<Option<Answer>, String> {
    match (kind, spec) {
        (
            CoreKind::FieldExists | CoreKind::TypeExists | CoreKind::EnumvalExists | CoreKind::TypeMatches,
            _,
        ) => Ok(Some(Answer::plain(u64::from(spec.is_some())))),
        (kind, None) => Ok(is_about_type(kind).then(|| Answer::plain(0))),
        (CoreKind::TypeIdLocal | CoreKind::TypeIdTarget, Some((_, spec))) => {
            Ok(Some(Answer::plain(u64::from(spec.root))))
        }
        (CoreKind::TypeSize, Some((btf, spec))) => {
            let size = btf.size_of(spec.root).ok_or("the type has no size")?;
            Ok(Some(Answer::plain(u64::from(size))))
        }
        (CoreKind::EnumvalValue, Some((btf, spec))) => {
            let step = spec.steps.first().ok_or("the accessor is empty")?;
            let Kind::Enum(e) = btf.kind(step.type_id) else {
                return Err("the type is no enumeration".into());
            };
            let value = e.values.get(step.index as usize).ok_or("there is no such enumerator")?.1;
            // Values of 4 bytes are not extended.
            Ok(Some(Answer::plain(if e.size == 8 { value } else { u64::from(value as u32) })))
        }
        (kind, Some((btf, spec))) => field(kind, btf, spec).map(Some),
    }
}

/// `bpf_core_calc_field_relo`.
fn field(kind: CoreKind, btf: &Btf, spec: &Spec) -> Result<Answer, String> {
    let size = |id| btf.size_of(id).ok_or_else(|| format!("{} has no size", btf.describe(id)));
    let Some(member) = spec.last_member(btf) else {
        let step = spec.steps.last().ok_or("the accessor is empty")?;
        let bytes = size(step.type_id)?;
        return match kind {
            CoreKind::FieldByteOffset => Ok(Answer {
                value: u64::from(spec.bit_offset / 8),
                validate: true,
                whole: Some((step.type_id, bytes)),
            }),
            CoreKind::FieldByteSize => Ok(Answer { value: u64::from(bytes), validate: true, whole: None }),
            _ => Err("an array's element has neither sign nor bits".into()),
        };
    };
    let type_id = btf.strip(member.type_id);
    let whole_bytes = size(type_id)?;
    let is_bit_field = member.bit_size > 0;
    let (bytes, offset) = if is_bit_field {
        smallest_load(spec.bit_offset, member.bit_size, whole_bytes)
            .ok_or("no load of 8 bytes covers the bits")?
    } else {
        (whole_bytes, spec.bit_offset / 8)
    };
    let bits = if is_bit_field { u64::from(member.bit_size) } else { 8 * u64::from(bytes) };
    // Which load covers a bit-field, and so what depends on it, is the compiler's choice.
    let mut validate = !is_bit_field;
    let value = match kind {
        CoreKind::FieldByteOffset => u64::from(offset),
        CoreKind::FieldByteSize => u64::from(bytes),
        CoreKind::FieldSigned => {
            validate = true;
            let signed = matches!(btf.kind(type_id), Kind::Int(Int { signed: true, .. }))
                || matches!(btf.kind(type_id), Kind::Enum(e) if e.signed);
            u64::from(signed)
        }
        CoreKind::FieldLshiftU64 => {
            64_u64.wrapping_sub(u64::from(spec.bit_offset) + bits - 8 * u64::from(offset))
        }
        CoreKind::FieldRshiftU64 => {
            validate = true;
            64_u64.wrapping_sub(bits)
        }
        other => return Err(format!("{other:?} asks nothing of a field")),
    };
    let whole = (kind == CoreKind::FieldByteOffset && !is_bit_field).then_some((type_id, bytes));
    Ok(Answer { value, validate, whole })
}

/// The smallest aligned load that covers a bit-field: its bytes and offset.
fn smallest_load(bit_offset: u32, bits: u32, mut bytes: u32) -> Option<(u32, u32)> {
    while bytes > 0 && bytes <= 8 {
        let offset = bit_offset / 8 / bytes * bytes;
        if bit_offset.checked_add(bits)? - 8 * offset <= 8 * bytes {
            return Some((bytes, offset));
        }
        bytes *= 2;
    }
    None
}
