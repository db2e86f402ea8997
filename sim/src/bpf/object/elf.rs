//! The parts of an ELF file an object is made from, every offset checked.

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, Rel as _, SectionHeader as _, Sym as _};
use object::{LittleEndian, SectionIndex};

use super::ObjectErrorKind;

type Header = FileHeader64<LittleEndian>;
const LE: LittleEndian = LittleEndian;

/// A relocatable BPF file.
pub(super) struct Elf<'a> {
    /// By section number; 0 is the empty section.
    pub sections: Vec<Section<'a>>,
    /// By symbol number; 0 is the empty symbol.
    pub symbols: Vec<Symbol<'a>>,
}

/// A section.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    pub name: &'a str,
    pub kind: SectionKind,
    /// The bytes in the file; none for [`SectionKind::NoBits`].
    pub data: &'a [u8],
    /// Bytes in memory.
    pub size: u64,
}

/// What a section holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SectionKind {
    /// Instructions.
    Code,
    /// Bytes.
    Data,
    /// Zeroes that are not in the file.
    NoBits,
    /// Relocations of section `target`.
    Rel { target: usize },
    /// Anything else.
    Other,
}

/// A symbol.
#[derive(Clone, Copy)]
pub(super) struct Symbol<'a> {
    /// Of a section's symbol, the section's.
    pub name: &'a str,
    pub kind: SymbolKind,
    pub place: SymbolPlace,
    /// Bytes from the beginning of the section.
    pub value: u64,
    pub size: u64,
    pub local: bool,
    pub weak: bool,
    /// Not visible outside the object although global.
    pub hidden: bool,
}

/// What a symbol names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SymbolKind {
    None,
    Variable,
    Function,
    Section,
    Other,
}

/// Where a symbol is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SymbolPlace {
    Undefined,
    /// A section's number; it exists.
    Section(usize),
    /// `SHN_ABS`, `SHN_COMMON`, …
    Special(u16),
}

/// A relocation without addend: the addend is where it points.
#[derive(Clone, Copy)]
pub(super) struct Rel {
    /// Byte offset in the relocated section.
    pub offset: u64,
    /// A symbol's number.
    pub symbol: usize,
}

impl Symbol<'_> {
    /// Declared here, defined elsewhere.
    pub fn is_extern(&self) -> bool {
        self.place == SymbolPlace::Undefined && !self.local && self.kind == SymbolKind::None
    }
}

fn unreadable(what: impl Into<String>) -> ObjectErrorKind {
    ObjectErrorKind::Elf { what: what.into() }
}

impl<'a> Elf<'a> {
    /// Reads the tables of a little-endian 64-bit relocatable BPF file (`bpf_object__elf_init`, libbpf.c).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ObjectErrorKind> {
        let header = header(bytes)?;
        let table = header.sections(LE, bytes).map_err(|e| unreadable(format!("the section table: {e}")))?;
        let mut sections = Vec::new();
        let mut symbol_table = None;
        for (index, raw) in table.enumerate() {
            if raw.sh_type(LE) == elf::SHT_SYMTAB && symbol_table.replace(index).is_some() {
                return Err(unreadable("two symbol tables"));
            }
            sections.push(section(bytes, &table, index, raw)?);
        }
        let index = symbol_table.ok_or_else(|| unreadable("no symbol table; was it stripped with strip?"))?;
        let symbols = table.symbol_table_by_index(LE, bytes, index);
        let symbols = symbols.map_err(|e| unreadable(format!("the symbol table: {e}")))?;
        let symbols = symbols.enumerate().map(|(i, raw)| {
            let name = symbols.symbol_name(LE, raw).ok().and_then(|name| std::str::from_utf8(name).ok());
            let name = name.ok_or_else(|| unreadable(format!("the name of symbol {}", i.0)))?;
            let place = match (raw.st_shndx(LE), symbols.symbol_section(LE, raw, i)) {
                (_, Ok(Some(SectionIndex(number)))) => SymbolPlace::Section(number),
                (elf::SHN_UNDEF, _) => SymbolPlace::Undefined,
                (special, _) => SymbolPlace::Special(special.0),
            };
            symbol(raw, name, place, &sections).ok_or_else(|| {
                unreadable(format!("the section of symbol {} (\"{name}\"), which does not exist", i.0))
            })
        });
        Ok(Self { symbols: symbols.collect::<Result<_, _>>()?, sections })
    }

    /// The relocations in section `index`, which is a [`SectionKind::Rel`].
    pub fn relocations(&self, index: usize) -> impl Iterator<Item = Result<Rel, ObjectErrorKind>> + '_ {
        let section = self.sections[index];
        let entries = object::pod::slice_from_all_bytes::<elf::Rel64<LittleEndian>>(section.data);
        let entries = entries.map_err(|()| ObjectErrorKind::Section {
            section: section.name.to_owned(),
            what: format!("{} bytes are no whole number of relocations", section.data.len()),
        });
        let (entries, failed) = match entries {
            Ok(entries) => (entries, None),
            Err(error) => (&[][..], Some(Err(error))),
        };
        let rel =
            |raw: &elf::Rel64<LittleEndian>| Rel { offset: raw.r_offset(LE), symbol: raw.r_sym(LE) as usize };
        entries
            .iter()
            .map(move |raw| {
                let rel = rel(raw);
                if rel.symbol < self.symbols.len() {
                    return Ok(rel);
                }
                Err(ObjectErrorKind::Relocation {
                    section: section.name.to_owned(),
                    offset: rel.offset,
                    what: format!("refers to symbol {}; there are {}", rel.symbol, self.symbols.len()),
                })
            })
            .chain(failed)
    }
}

fn header(bytes: &[u8]) -> Result<&Header, ObjectErrorKind> {
    if !bytes.starts_with(&elf::ELFMAG) {
        let what = match bytes {
            [] => "the file is empty".to_owned(),
            [b'B', b'C', 0xc0, 0xde, ..] => "LLVM bitcode: the file was compiled with -emit-llvm".to_owned(),
            _ => "it does not begin with the ELF magic number".to_owned(),
        };
        return Err(unreadable(what));
    }
    let wrong = |found: &str| ObjectErrorKind::Machine { found: found.to_owned() };
    match bytes.get(4..6) {
        Some([1, _]) => return Err(wrong("a 32-bit file")),
        Some([_, 2]) => return Err(wrong("a big-endian file")),
        _ => {}
    }
    let header = Header::parse(bytes).map_err(|e| unreadable(format!("the file header: {e}")))?;
    if !header.is_supported() || !header.is_little_endian() {
        return Err(unreadable("the file header: unknown class, byte order or version"));
    }
    let machine = header.e_machine(LE);
    if machine != elf::EM_BPF && machine != elf::EM_NONE {
        return Err(wrong(&format!("a file for machine {} (BPF is {})", machine.0, elf::EM_BPF.0)));
    }
    if header.e_type(LE) != elf::ET_REL {
        return Err(wrong(&format!(
            "a file of type {} (relocatable is {})",
            header.e_type(LE).0,
            elf::ET_REL.0
        )));
    }
    Ok(header)
}

fn section<'a>(
    bytes: &'a [u8],
    table: &object::read::elf::SectionTable<'a, Header>,
    index: SectionIndex,
    raw: &elf::SectionHeader64<LittleEndian>,
) -> Result<Section<'a>, ObjectErrorKind> {
    let name = table.section_name(LE, raw).ok().and_then(|name| std::str::from_utf8(name).ok());
    let name = name.ok_or_else(|| unreadable(format!("the name of section {}", index.0)))?;
    let kind = match raw.sh_type(LE) {
        elf::SHT_PROGBITS if raw.sh_flags(LE).contains(elf::SHF_EXECINSTR) => SectionKind::Code,
        elf::SHT_PROGBITS => SectionKind::Data,
        elf::SHT_NOBITS => SectionKind::NoBits,
        elf::SHT_REL => SectionKind::Rel { target: raw.sh_info(LE) as usize },
        elf::SHT_RELA => {
            return Err(unreadable(format!(
                "section \"{name}\": relocations with addend, which BPF has not"
            )));
        }
        _ => SectionKind::Other,
    };
    if let SectionKind::Rel { target } = kind
        && target >= table.len()
    {
        return Err(unreadable(format!(
            "section \"{name}\": relocates section {target}, which does not exist"
        )));
    }
    let data = raw.data(LE, bytes).map_err(|e| unreadable(format!("section \"{name}\": {e}")))?;
    Ok(Section { name, kind, data, size: raw.sh_size(LE) })
}

/// `None` if the symbol's section does not exist.
fn symbol<'a>(
    raw: &elf::Sym64<LittleEndian>,
    name: &'a str,
    place: SymbolPlace,
    sections: &[Section<'a>],
) -> Option<Symbol<'a>> {
    let kind = match raw.st_type() {
        elf::STT_NOTYPE => SymbolKind::None,
        elf::STT_OBJECT => SymbolKind::Variable,
        elf::STT_FUNC => SymbolKind::Function,
        elf::STT_SECTION => SymbolKind::Section,
        _ => SymbolKind::Other,
    };
    let name = match place {
        SymbolPlace::Section(number) => {
            let section = sections.get(number)?;
            if kind == SymbolKind::Section && name.is_empty() { section.name } else { name }
        }
        _ => name,
    };
    Some(Symbol {
        name,
        kind,
        place,
        value: raw.st_value(LE),
        size: raw.st_size(LE),
        local: raw.st_bind() == elf::STB_LOCAL,
        weak: raw.st_bind() == elf::STB_WEAK,
        hidden: matches!(raw.st_visibility(), elf::STV_HIDDEN | elf::STV_INTERNAL),
    })
}
