//! Functions: which there are, what their instructions refer to, and what `.BTF.ext` says about them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::elf::{Elf, SectionKind, Symbol, SymbolKind, SymbolPlace};
use super::{CoreKind, CoreRelocation, Function, FunctionId, Line, ObjectErrorKind, Relocation, Target};
use crate::bpf::btf::Btf;
use crate::bpf::btf::ext::Ext;

/// `BPF_LD | BPF_IMM | BPF_DW`: the instruction of two slots.
pub(crate) const LD_IMM64: u8 = 0x18;
/// `BPF_JMP | BPF_CALL`.
pub(crate) const CALL: u8 = 0x85;
/// Source register of a call to a function, `BPF_PSEUDO_CALL`.
pub(crate) const PSEUDO_CALL: u8 = 1;

/// The opcode of an instruction slot.
pub(crate) const fn opcode(slot: u64) -> u8 {
    slot as u8
}

/// The source register of an instruction slot.
pub(crate) const fn source(slot: u64) -> u8 {
    (slot >> 12 & 0xf) as u8
}

/// The signed constant of an instruction slot.
pub(crate) const fn immediate(slot: u64) -> i32 {
    (slot >> 32) as i32
}

/// The functions of an object and where they stand.
pub(super) struct Functions {
    pub list: Vec<Function>,
    /// Section number and first slot of each function, ascending.
    places: Vec<(usize, u32)>,
    /// Whether each is static.
    local: Vec<bool>,
    /// Other names of each, in the order of the symbols.
    aliases: Vec<Vec<String>>,
}

/// What a relocation may refer to besides functions.
pub(super) struct Targets<'a> {
    /// Maps by their variable's section and byte offset in it.
    pub maps: &'a BTreeMap<(usize, u64), usize>,
    /// Maps by the number of the data section they are.
    pub data: &'a BTreeMap<usize, usize>,
    /// Externs by symbol number.
    pub externs: &'a BTreeMap<usize, usize>,
}

/// Finds every function of every code section (`bpf_object__add_programs`, libbpf.c).
pub(super) fn collect(elf: &Elf<'_>) -> Result<Functions, ObjectErrorKind> {
    let mut found: Vec<(usize, u32, u32, &Symbol<'_>)> = Vec::new();
    for symbol in &elf.symbols {
        let (SymbolKind::Function, SymbolPlace::Section(index)) = (symbol.kind, symbol.place) else {
            continue;
        };
        let section = &elf.sections[index];
        if section.kind != SectionKind::Code {
            continue;
        }
        let fail = |what: &str| ObjectErrorKind::Function {
            section: section.name.to_owned(),
            function: symbol.name.to_owned(),
            what: what.to_owned(),
        };
        let end = symbol.value.checked_add(symbol.size).filter(|&end| end <= section.data.len() as u64);
        let end = end.ok_or_else(|| fail("reaches past the end of its section"))?;
        if symbol.value % 8 != 0 || symbol.size % 8 != 0 {
            return Err(fail("is no whole number of 8-byte instructions"));
        }
        if symbol.size == 0 {
            return Err(fail("is empty; an assembler function needs .size"));
        }
        let slot = |bytes: u64| u32::try_from(bytes / 8).map_err(|_| fail("is too large"));
        found.push((index, slot(symbol.value)?, slot(end)?, symbol));
    }
    found.sort_by_key(|&(section, start, ..)| (section, start));
    let mut aliases: Vec<Vec<String>> = Vec::new();
    let mut first: Vec<(usize, u32, u32, &Symbol<'_>)> = Vec::with_capacity(found.len());
    for (section, start, end, symbol) in found {
        match first.last() {
            Some(&(same, from, to, _)) if (same, from, to) == (section, start, end) => {
                aliases.last_mut().expect("as many as functions").push(symbol.name.to_owned());
            }
            Some(&(same, _, to, other)) if same == section && start < to => {
                return Err(ObjectErrorKind::Function {
                    section: elf.sections[section].name.to_owned(),
                    function: symbol.name.to_owned(),
                    what: format!("shares some instructions with \"{}\", and not all", other.name),
                });
            }
            _ => {
                first.push((section, start, end, symbol));
                aliases.push(Vec::new());
            }
        }
    }
    let found = first;
    let mut names: BTreeMap<usize, Arc<str>> = BTreeMap::new();
    let list = found.iter().map(|&(section, start, end, symbol)| {
        let bytes = &elf.sections[section].data[start as usize * 8..end as usize * 8];
        let (slots, _) = bytes.as_chunks();
        Function {
            name: symbol.name.to_owned(),
            section: names.entry(section).or_insert_with(|| elf.sections[section].name.into()).clone(),
            section_slot: start,
            slots: slots.iter().map(|&slot| u64::from_le_bytes(slot)).collect(),
            global: !symbol.local && !symbol.hidden,
            btf_id: 0,
            tags: Vec::new(),
            relocations: Vec::new(),
            core: Vec::new(),
            lines: Vec::new(),
        }
    });
    let list = list.collect();
    let places = found.iter().map(|&(section, start, ..)| (section, start)).collect();
    let local = found.iter().map(|(.., symbol)| symbol.local).collect();
    Ok(Functions { list, places, local, aliases })
}

impl Functions {
    /// The section number and first slot of function `id`.
    pub fn place(&self, id: FunctionId) -> (usize, u32) {
        self.places[id.0]
    }

    /// Every name of function `id`: symbols may be aliases of each other.
    pub fn names(&self, id: FunctionId) -> impl Iterator<Item = &str> {
        std::iter::once(self.list[id.0].name.as_str()).chain(self.aliases[id.0].iter().map(String::as_str))
    }

    /// Whether function `id` is static.
    pub fn is_local(&self, id: FunctionId) -> bool {
        self.local[id.0]
    }

    /// The tags of function `id`.
    pub fn tags(&self, id: FunctionId) -> &[String] {
        &self.list[id.0].tags
    }

    /// Static functions that others call or take the address of.
    pub fn used_static(&self) -> BTreeSet<FunctionId> {
        let targets =
            self.list.iter().flat_map(|function| &function.relocations).filter_map(|r| match r.target {
                Target::Call(id) | Target::Address(id) => Some(id),
                _ => None,
            });
        targets.filter(|&id| self.is_local(id)).collect()
    }

    /// The function that holds `slot` of section number `section`, and the slot in it.
    fn at(&self, section: usize, slot: u32) -> Option<(FunctionId, u32)> {
        let after = self.places.partition_point(|&place| place <= (section, slot));
        let index = after.checked_sub(1)?;
        let (found, start) = self.places[index];
        let inside = found == section && ((slot - start) as usize) < self.list[index].slots.len();
        inside.then(|| (FunctionId(index), slot - start))
    }

    /// The function that begins at `slot` of section number `section`.
    fn beginning_at(&self, section: usize, slot: i64) -> Option<FunctionId> {
        let place = (section, u32::try_from(slot).ok()?);
        self.places.binary_search(&place).ok().map(FunctionId)
    }

    /// Records what the relocations in section number `index` say (`bpf_object__collect_prog_relos`, libbpf.c).
    pub fn relocate(
        &mut self,
        elf: &Elf<'_>,
        index: usize,
        targets: &Targets<'_>,
    ) -> Result<(), ObjectErrorKind> {
        let SectionKind::Rel { target: section } = elf.sections[index].kind else { return Ok(()) };
        let code = elf.sections[section];
        for rel in elf.relocations(index) {
            let rel = rel?;
            let fail = |what: String| ObjectErrorKind::Relocation {
                section: code.name.to_owned(),
                offset: rel.offset,
                what,
            };
            if rel.offset % 8 != 0 || rel.offset >= code.data.len() as u64 {
                return Err(fail(format!("no instruction of the {} bytes begins here", code.data.len())));
            }
            // What stands outside every function was overridden, and nothing runs it.
            let Some((function, slot)) = self.at(section, (rel.offset / 8) as u32) else { continue };
            let target = self.target(elf, targets, function, slot, rel.symbol).map_err(fail)?;
            self.list[function.0].relocations.push(Relocation { slot, target });
        }
        Ok(())
    }

    /// What an instruction refers to (`bpf_program__record_reloc`, libbpf.c). Unlike there, functions may stand in any
    /// code section.
    fn target(
        &self,
        elf: &Elf<'_>,
        targets: &Targets<'_>,
        function: FunctionId,
        slot: u32,
        number: usize,
    ) -> Result<Target, String> {
        let insn = self.list[function.0].slots[slot as usize];
        let symbol = elf.symbols[number];
        let name = symbol.name;
        let call = match opcode(insn) {
            CALL => true,
            LD_IMM64 => false,
            other => {
                return Err(format!("refers to \"{name}\" from opcode {other:#04x}, which loads no address"));
            }
        };
        if let Some(&index) = targets.externs.get(&number) {
            return Ok(if call { Target::ExternCall(index) } else { Target::ExternVar(index) });
        }
        let addend = i64::from(immediate(insn));
        let value =
            i64::try_from(symbol.value).map_err(|_| format!("\"{name}\" lies at {:#x}", symbol.value))?;
        let section = match symbol.place {
            SymbolPlace::Section(section) => section,
            SymbolPlace::Undefined => {
                return Err(format!("\"{name}\" is undefined; BPF objects are not linked later"));
            }
            SymbolPlace::Special(index) => {
                return Err(format!(
                    "\"{name}\" is in special section {index:#x}; was a global left without a value?"
                ));
            }
        };
        let in_code = elf.sections[section].kind == SectionKind::Code;
        if call || in_code {
            // A call counts slots and is one behind; an address counts bytes.
            let bytes = if call { value + (addend + 1) * 8 } else { value + addend };
            if call && source(insn) != PSEUDO_CALL {
                return Err(format!("refers to \"{name}\", but the instruction calls no function"));
            }
            let found = if bytes % 8 == 0 { self.beginning_at(section, bytes / 8) } else { None };
            let id = found.ok_or_else(|| format!("no function begins at {bytes:#x} from \"{name}\""))?;
            return Ok(if call { Target::Call(id) } else { Target::Address(id) });
        }
        if targets.maps.range((section, 0)..=(section, u64::MAX)).next().is_some() {
            let map = targets
                .maps
                .get(&(section, symbol.value))
                .filter(|_| symbol.kind != SymbolKind::Section || addend == 0);
            return map.map(|&map| Target::Map(map)).ok_or_else(|| format!("\"{name}\" is no map"));
        }
        let section_name = elf.sections[section].name;
        let map = *targets.data.get(&section).ok_or_else(|| {
            format!("refers to \"{name}\" in section \"{section_name}\", which holds neither maps nor global variables")
        })?;
        Ok(Target::Data { map, offset: (value + addend) as u32 })
    }

    /// Finds the calls the compiler resolved itself, those of functions of the same section, and orders relocations.
    pub fn finish(&mut self) -> Result<(), ObjectErrorKind> {
        for index in 0..self.list.len() {
            let (section, start) = self.places[index];
            let mut relocations = std::mem::take(&mut self.list[index].relocations);
            relocations.sort_by_key(|r| r.slot);
            if let Some(twice) = relocations.windows(2).find(|pair| pair[0].slot == pair[1].slot) {
                return Err(ObjectErrorKind::Relocation {
                    section: self.list[index].section.to_string(),
                    offset: u64::from(start + twice[0].slot) * 8,
                    what: "is relocated twice".into(),
                });
            }
            let mut known = relocations.iter().map(|r| r.slot).peekable();
            let mut resolved = Vec::new();
            let function = &self.list[index];
            let mut slot = 0;
            while let Some(&insn) = function.slots.get(slot as usize) {
                let relocated = known.next_if_eq(&slot).is_some();
                if !relocated && opcode(insn) == CALL && source(insn) == PSEUDO_CALL {
                    let to = i64::from(start) + i64::from(slot) + i64::from(immediate(insn)) + 1;
                    let id = self.beginning_at(section, to).ok_or_else(|| ObjectErrorKind::Relocation {
                        section: function.section.to_string(),
                        offset: u64::from(start + slot) * 8,
                        what: format!("calls instruction {to} of the section, where no function begins"),
                    })?;
                    resolved.push(Relocation { slot, target: Target::Call(id) });
                }
                slot += if opcode(insn) == LD_IMM64 { 2 } else { 1 };
                while known.next_if(|&next| next < slot).is_some() {}
            }
            relocations.extend(resolved);
            relocations.sort_by_key(|r| r.slot);
            self.list[index].relocations = relocations;
        }
        Ok(())
    }

    /// Adds types, tags, C lines and CO-RE relocations.
    pub fn annotate(&mut self, elf: &Elf<'_>, btf: &Btf, ext: &Ext) -> Result<(), ObjectErrorKind> {
        let section_of =
            |name: &str| elf.sections.iter().position(|s| s.kind == SectionKind::Code && s.name == name);
        for (name, records) in &ext.functions {
            let Some(section) = section_of(name) else { continue };
            for record in records {
                if let Some((id, 0)) = self.at(section, record.offset / 8) {
                    self.list[id.0].btf_id = record.type_id;
                }
            }
        }
        self.tag(btf);
        let mut texts = Texts { btf, known: BTreeMap::new() };
        for (name, records) in &ext.lines {
            let Some(section) = section_of(name) else { continue };
            for record in records {
                let Some((id, slot)) = self.at(section, record.offset / 8) else { continue };
                let line = Line {
                    file: texts.get(record.file.0),
                    line: record.line,
                    column: record.column,
                    text: texts.get(record.text.0),
                };
                self.list[id.0].lines.push((slot, line));
            }
        }
        for (name, records) in &ext.core {
            let Some(section) = section_of(name) else { continue };
            for record in records {
                let Some((id, slot)) = self.at(section, record.offset / 8) else { continue };
                let kind = CoreKind::from_u32(record.kind).ok_or_else(|| ObjectErrorKind::Relocation {
                    section: name.clone(),
                    offset: u64::from(record.offset),
                    what: format!("unknown CO-RE relocation kind {}", record.kind),
                })?;
                let access = texts.get(record.access.0);
                self.list[id.0].core.push(CoreRelocation { slot, type_id: record.type_id, access, kind });
            }
        }
        for function in &mut self.list {
            function.lines.sort_by_key(|(slot, _)| *slot);
            function.lines.dedup_by_key(|(slot, _)| *slot);
            function.core.sort_by_key(|c| c.slot);
        }
        Ok(())
    }

    fn tag(&mut self, btf: &Btf) {
        use crate::bpf::btf::Kind;
        let mut by_id: BTreeMap<u32, usize> = BTreeMap::new();
        by_id.extend(self.list.iter().enumerate().filter(|(_, f)| f.btf_id != 0).map(|(i, f)| (f.btf_id, i)));
        for (_, t) in btf.types() {
            if let Kind::DeclTag { target, component: None } = t.kind
                && let Some(&index) = by_id.get(&target)
            {
                self.list[index].tags.push(btf.text(t.name).to_owned());
            }
        }
    }
}

/// Strings shared by everything that refers to them.
struct Texts<'a> {
    btf: &'a Btf,
    known: BTreeMap<u32, Arc<str>>,
}

impl Texts<'_> {
    fn get(&mut self, offset: u32) -> Arc<str> {
        let text = || self.btf.text(crate::bpf::btf::Name(offset)).trim_start().into();
        self.known.entry(offset).or_insert_with(text).clone()
    }
}
