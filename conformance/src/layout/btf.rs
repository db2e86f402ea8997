//! BTF types as layouts.

use bpftwin_sim::bpf::btf::{Btf, Kind, MAX_DEPTH};

use super::{Layout, Member, Sense};

impl Layout {
    /// The layout of type `id`; what BTF cannot describe (a function, a type that contains itself) is opaque.
    pub fn of_btf(btf: &Btf, id: u32) -> Self {
        convert(btf, id, 0)
    }
}

fn convert(btf: &Btf, mut id: u32, depth: u32) -> Layout {
    let opaque = || Layout::Opaque { size: btf.size_of(id).unwrap_or(0) };
    if depth > MAX_DEPTH {
        return opaque();
    }
    // Typedefs carry the one thing C types do not say: byte order.
    let mut sense = None;
    let mut name = String::new();
    let kind = loop {
        match &btf.get(id).kind {
            Kind::Typedef { to } => {
                let typedef = btf.name_of(id);
                if matches!(typedef, "__be16" | "__be32" | "__be64" | "__sum16") {
                    sense = Some(Sense::Network);
                }
                if name.is_empty() {
                    typedef.clone_into(&mut name);
                }
                id = *to;
            }
            Kind::Const { to } | Kind::Volatile { to } | Kind::Restrict { to } | Kind::TypeTag { to } => {
                id = *to;
            }
            Kind::Var { to, .. } => id = *to,
            kind => break kind,
        }
    };
    match kind {
        Kind::Int(int) => {
            let own = match () {
                () if int.bool => Sense::Bool,
                () if int.char => Sense::Char,
                // clang gives `char` no flag of its own: its name is what is left.
                () if btf.name_of(id) == "char" => Sense::Char,
                () if int.signed => Sense::Signed,
                () => Sense::Unsigned,
            };
            Layout::Int { size: int.size, sense: sense.unwrap_or(own) }
        }
        Kind::Enum(of) => Layout::Enum {
            size: of.size,
            names: of
                .values
                .iter()
                .map(|(name, value)| (btf.text(*name).to_owned(), *value as i64))
                .collect(),
        },
        Kind::Array { element, count, .. } => {
            Layout::Array { item: Box::new(convert(btf, *element, depth + 1)), len: *count }
        }
        Kind::Struct(of) => {
            let own = btf.name_of(id);
            Layout::Struct {
                name: if own.is_empty() { name } else { own.to_owned() },
                size: of.size,
                members: members(btf, &of.members, depth),
            }
        }
        Kind::Union(of) => Layout::Union { size: of.size, members: members(btf, &of.members, depth) },
        _ => Layout::Opaque { size: btf.size_of(id).unwrap_or(0) },
    }
}

fn members(btf: &Btf, members: &[bpftwin_sim::bpf::btf::Member], depth: u32) -> Vec<Member> {
    members
        .iter()
        .map(|member| Member {
            name: btf.text(member.name).to_owned(),
            bit_offset: member.bit_offset,
            bit_size: member.bit_size,
            layout: convert(btf, member.type_id, depth + 1),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use bpftwin_sim::bpf::object::Object;

    use super::*;

    #[test]
    fn typedefs_carry_byte_order() {
        let bundled = bpftwin_datapath::object("xdp_prefilter").unwrap();
        let object = Object::parse("xdp_prefilter.o", bundled.bytes).unwrap();
        let layout =
            Layout::of_btf(object.btf.as_ref().unwrap(), object.map("services").unwrap().spec.key_type);
        let mut key = vec![0; 20];
        key[10..18].copy_from_slice(&[0xff, 0xff, 203, 0, 113, 80, 0, 80]);
        let read: Vec<_> = layout.leaves().iter().map(|l| format!("{}={}", l.path, l.text(&key))).collect();
        assert_eq!(read.join(" "), ".addr=::ffff:203.0.113.80 .port=80 .proto=0 .reserved=0");
    }
}
