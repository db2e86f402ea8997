//! Types as a person names them.

use super::{Btf, Kind, MAX_DEPTH};

impl Btf {
    /// The type as C writes it: `struct iphdr`, `__u32 *`, `char[16]`.
    pub fn describe(&self, id: u32) -> String {
        self.describe_within(id, 0)
    }

    fn describe_within(&self, id: u32, depth: u32) -> String {
        if depth > MAX_DEPTH {
            return "…".to_owned();
        }
        let name = self.name_of(id);
        let tagged =
            |tag: &str| if name.is_empty() { format!("anonymous {tag}") } else { format!("{tag} {name}") };
        let inner = |to: u32| self.describe_within(to, depth + 1);
        match &self.get(id).kind {
            Kind::Void => "void".to_owned(),
            Kind::Struct(_) => tagged("struct"),
            Kind::Union(_) => tagged("union"),
            Kind::Enum(_) => tagged("enum"),
            Kind::Fwd { union } => tagged(if *union { "union" } else { "struct" }),
            Kind::Ptr { to } => format!("{} *", inner(*to)),
            Kind::Array { element, count, .. } => format!("{}[{count}]", inner(*element)),
            Kind::Const { to } => format!("const {}", inner(*to)),
            Kind::Volatile { to } => format!("volatile {}", inner(*to)),
            Kind::Restrict { to } | Kind::TypeTag { to } => inner(*to),
            Kind::FuncProto { .. } => "function".to_owned(),
            _ => name.to_owned(),
        }
    }
}
