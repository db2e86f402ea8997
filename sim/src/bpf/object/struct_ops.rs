//! struct_ops maps: the variables of sections `.struct_ops` and `.struct_ops.link` (`init_struct_ops_maps`, libbpf.c). What
//! they hold, programs that implement a part of the kernel, is left out: such a map is listed and never made.

use super::elf::Elf;
use super::{MapContents, ObjectErrorKind, ObjectMap};
use crate::bpf::btf::{Btf, Kind};
use crate::bpf::map::MapSpec;
use crate::uapi::MapType;
use crate::uapi::map::BPF_F_LINK;

/// The maps of every such section, in the order of sections and places.
pub(super) fn struct_ops_maps(elf: &Elf<'_>, btf: &Btf) -> Result<Vec<ObjectMap>, ObjectErrorKind> {
    let mut maps = Vec::new();
    for section in &elf.sections {
        let name = section.name.strip_prefix('?').unwrap_or(section.name);
        if !matches!(name, ".struct_ops" | ".struct_ops.link") || section.size == 0 {
            continue;
        }
        let types = btf.data_section(section.name);
        let (_, vars) =
            types.ok_or_else(|| ObjectErrorKind::NoBtf { what: format!("section \"{name}\"") })?;
        for var in vars {
            let map = btf.name_of(var.type_id).to_owned();
            let value_type = match btf.get(var.type_id).kind {
                Kind::Var { to, .. } => btf.strip(to),
                _ => 0,
            };
            let Kind::Struct(composite) = &btf.get(value_type).kind else {
                return Err(ObjectErrorKind::Map { map, what: "is no struct of callbacks".into() });
            };
            if u64::from(var.offset) + u64::from(composite.size) > section.size {
                return Err(ObjectErrorKind::Map { map, what: "reaches past the end of its section".into() });
            }
            let spec = MapSpec {
                name: map.clone(),
                map_type: MapType::StructOps,
                key_size: 4,
                value_size: composite.size,
                max_entries: 1,
                flags: if name == ".struct_ops.link" { BPF_F_LINK } else { 0 },
                extra: 0,
                inner: None,
                pinning: 0,
                key_type: 0,
                value_type,
                fields: Vec::new(),
            };
            let kernel_name = super::data::kernel_name(&map);
            let (contents, tags) = (MapContents::Empty, Vec::new());
            maps.push(ObjectMap { spec, kernel_name, numa_node: 0, contents, tags });
        }
    }
    Ok(maps)
}
