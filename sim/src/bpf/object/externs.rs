//! What an object declares and others define: `__kconfig` and `__ksym` (`bpf_object__collect_externs`, libbpf.c).

use std::collections::BTreeMap;

use super::elf::{Elf, Symbol};
use super::{Extern, ExternKind, KconfigValue, ObjectErrorKind};
use crate::bpf::btf::{Btf, Int, Kind, Linkage};

/// The externs of an object.
#[derive(Default)]
pub(super) struct Externs {
    pub list: Vec<Extern>,
    /// Indices into `list` by symbol number.
    pub by_symbol: BTreeMap<usize, usize>,
    /// Bytes of the `.kconfig` map; 0: there is none.
    pub kconfig_size: u32,
}

/// Collects the externs and gives `__kconfig` variables their places: by alignment (widest first), size and name.
pub(super) fn collect(elf: &Elf<'_>, btf: &Btf) -> Result<Externs, ObjectErrorKind> {
    let mut externs = Externs::default();
    let wanted = |(_, s): &(usize, &Symbol<'_>)| s.is_extern() && !s.name.is_empty();
    let symbols: Vec<(usize, &Symbol<'_>)> = elf.symbols.iter().enumerate().filter(wanted).collect();
    if symbols.is_empty() {
        return Ok(externs);
    }
    let declared = Declared::index(btf);
    let mut aligned = Vec::new();
    for (number, symbol) in symbols {
        let fail = |what: String| ObjectErrorKind::Extern { name: symbol.name.to_owned(), what };
        let (btf_id, section) = declared.find(symbol.name).map_err(|what| fail(what.into()))?;
        let (kind, align) = match (section, &btf.get(btf_id).kind) {
            (".kconfig", &Kind::Var { to, .. }) => kconfig(btf, to).map_err(fail)?,
            (".kconfig", _) => return Err(fail("a function cannot be __kconfig".into())),
            (".ksyms", Kind::Func { .. }) => (ExternKind::Kfunc, 0),
            (".ksyms", &Kind::Var { to, .. }) => {
                (ExternKind::Variable { typed: *btf.kind(to) != Kind::Void }, 0)
            }
            (other, _) => return Err(fail(format!("is in section \"{other}\", not .ksyms or .kconfig"))),
        };
        externs.by_symbol.insert(number, externs.list.len());
        aligned.push(align);
        externs.list.push(Extern { name: symbol.name.to_owned(), weak: symbol.weak, kind, btf_id });
    }
    externs.place_kconfig(&aligned)?;
    Ok(externs)
}

/// Declared variables and functions by name, and the section each is in.
struct Declared<'a> {
    by_name: BTreeMap<&'a str, (u32, bool)>,
    sections: BTreeMap<u32, &'a str>,
}

impl<'a> Declared<'a> {
    fn index(btf: &'a Btf) -> Self {
        let mut this = Self { by_name: BTreeMap::new(), sections: BTreeMap::new() };
        for (id, t) in btf.types() {
            match &t.kind {
                Kind::Var { linkage, .. } | Kind::Func { linkage, .. } => {
                    this.by_name.entry(btf.text(t.name)).or_insert((id, *linkage == Linkage::Extern));
                }
                Kind::DataSec { vars, .. } => {
                    for var in vars {
                        this.sections.entry(var.type_id).or_insert(btf.text(t.name));
                    }
                }
                _ => {}
            }
        }
        this
    }

    fn find(&self, name: &str) -> Result<(u32, &'a str), &'static str> {
        let undeclared = "has no type information; declare it with __ksym or __kconfig and compile with -g";
        let &(id, is_extern) = self.by_name.get(name).ok_or(undeclared)?;
        if !is_extern {
            return Err("is defined in the types and undefined in the symbols");
        }
        let section =
            self.sections.get(&id).ok_or("is declared and not defined, and is neither __ksym nor __kconfig; nothing links BPF objects later")?;
        Ok((id, section))
    }
}

fn kconfig(btf: &Btf, type_id: u32) -> Result<(ExternKind, u32), String> {
    let unsupported = || format!("{} is no type a __kconfig variable can have", btf.describe(type_id));
    let value = kconfig_value(btf, type_id).ok_or_else(unsupported)?;
    let size = btf.size_of(type_id).ok_or_else(unsupported)?;
    let align = btf.align_of(type_id).filter(|&align| align > 0).ok_or_else(unsupported)?;
    Ok((ExternKind::Kconfig { offset: 0, size, value }, align))
}

/// `find_kcfg_type`, libbpf.c.
fn kconfig_value(btf: &Btf, type_id: u32) -> Option<KconfigValue> {
    let id = btf.strip(type_id);
    match &btf.get(id).kind {
        Kind::Int(Int { bool: true, size, .. }) => (*size == 1).then_some(KconfigValue::Bool),
        Kind::Int(Int { size: 1, signed, .. }) => Some(KconfigValue::Char { signed: *signed }),
        Kind::Int(Int { size: 2 | 4 | 8, signed, .. }) => Some(KconfigValue::Int { signed: *signed }),
        Kind::Enum(_) if btf.name_of(id) == "libbpf_tristate" => Some(KconfigValue::Tristate),
        Kind::Array { element, count, .. }
            if *count > 0
                && matches!(kconfig_value_of_element(btf, *element), Some(KconfigValue::Char { .. })) =>
        {
            Some(KconfigValue::CharArray)
        }
        _ => None,
    }
}

fn kconfig_value_of_element(btf: &Btf, element: u32) -> Option<KconfigValue> {
    match btf.kind(element) {
        Kind::Int(_) => kconfig_value(btf, element),
        _ => None,
    }
}

impl Externs {
    fn place_kconfig(&mut self, aligned: &[u32]) -> Result<(), ObjectErrorKind> {
        let size_of = |e: &Extern| match e.kind {
            ExternKind::Kconfig { size, .. } => Some(size),
            _ => None,
        };
        let mut order: Vec<(u32, u32, String, usize)> = Vec::new();
        for (i, e) in self.list.iter().enumerate() {
            if let Some(size) = size_of(e) {
                order.push((u32::MAX - aligned[i], size, e.name.clone(), i));
            }
        }
        order.sort();
        let mut end = 0_u32;
        for (_, size, name, i) in order {
            let place =
                end.checked_next_multiple_of(aligned[i]).and_then(|at| Some((at, at.checked_add(size)?)));
            let (at, next) = place.ok_or_else(|| ObjectErrorKind::Extern {
                name,
                what: "takes section .kconfig past 4 GiB".into(),
            })?;
            if let ExternKind::Kconfig { offset, .. } = &mut self.list[i].kind {
                *offset = at;
            }
            end = next;
        }
        self.kconfig_size = end;
        Ok(())
    }
}
