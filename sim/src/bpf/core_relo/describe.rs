//! Relocations in words.

use crate::bpf::btf::{Btf, Kind};
use crate::bpf::object::{CoreKind, CoreRelocation};

/// What a relocation asks, in words: `the offset of struct task_struct.pid`.
pub fn describe(btf: &Btf, core: &CoreRelocation) -> String {
    let what = match core.kind {
        CoreKind::FieldByteOffset => "the offset",
        CoreKind::FieldByteSize | CoreKind::TypeSize => "the size",
        CoreKind::FieldExists | CoreKind::TypeExists | CoreKind::EnumvalExists => "the existence",
        CoreKind::FieldSigned => "the sign",
        CoreKind::FieldLshiftU64 | CoreKind::FieldRshiftU64 => "the bits",
        CoreKind::TypeIdLocal => "the local number",
        CoreKind::TypeIdTarget => "the number",
        CoreKind::EnumvalValue => "the value",
        CoreKind::TypeMatches => "the shape",
    };
    format!("{what} of {}", access_path(btf, core))
}

/// The accessor as C writes it.
fn access_path(btf: &Btf, core: &CoreRelocation) -> String {
    let mut text = btf.describe(core.type_id);
    let mut id = core.type_id;
    for (depth, step) in core.access.split(':').enumerate() {
        let Ok(step) = step.parse::<u32>() else { return text };
        match btf.kind(id) {
            Kind::Enum(e) => {
                if let Some(&(name, _)) = e.values.get(step as usize) {
                    return format!("{text}::{}", btf.text(name));
                }
            }
            _ if depth == 0 => {
                if step != 0 {
                    text = format!("{text}[{step}]");
                }
            }
            Kind::Struct(c) | Kind::Union(c) => {
                let Some(member) = c.members.get(step as usize) else { return text };
                let name = btf.text(member.name);
                if !name.is_empty() {
                    text.push('.');
                    text.push_str(name);
                }
                id = member.type_id;
            }
            &Kind::Array { element, .. } => {
                text = format!("{text}[{step}]");
                id = element;
            }
            _ => return text,
        }
    }
    text
}
