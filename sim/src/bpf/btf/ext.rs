//! The `.BTF.ext` section: what the compiler knows about single instructions.

use super::cursor::Cursor;
use super::{Btf, BtfError, Name};

/// `.BTF.ext`, by section of code. Offsets are bytes from the beginning of that section.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ext {
    /// Functions by their first instruction.
    pub functions: Vec<(String, Vec<FuncInfo>)>,
    /// C lines by their first instruction.
    pub lines: Vec<(String, Vec<LineInfo>)>,
    /// Instructions that depend on the kernel's types.
    pub core: Vec<(String, Vec<CoreInfo>)>,
}

/// `struct bpf_func_info`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FuncInfo {
    /// Byte offset in the section.
    pub offset: u32,
    /// A `BTF_KIND_FUNC`.
    pub type_id: u32,
}

/// `struct bpf_line_info`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineInfo {
    /// Byte offset in the section.
    pub offset: u32,
    /// The source file.
    pub file: Name,
    /// The line's text.
    pub text: Name,
    /// From 1.
    pub line: u32,
    /// From 1; 0 if unknown.
    pub column: u32,
}

/// `struct bpf_core_relo`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreInfo {
    /// Byte offset in the section.
    pub offset: u32,
    /// The type accessed.
    pub type_id: u32,
    /// The accessor string.
    pub access: Name,
    /// `enum bpf_core_relo_kind`.
    pub kind: u32,
}

impl Ext {
    /// Reads a `.BTF.ext` section; names are checked against `btf`.
    pub fn parse(bytes: &[u8], btf: &Btf) -> Result<Self, BtfError> {
        let section = Cursor::new(bytes);
        let mut head = section;
        let header_len = head.header()?;
        let [functions, functions_len, lines, lines_len] = head.words()?;
        // Before 2019 the header ended here: no CO-RE relocations.
        let [core, core_len] = if header_len >= 32 { head.words()? } else { [0, 0] };
        if (header_len as usize) < head.offset() {
            return Err(head.error(format!("header length {header_len} is below {}", head.offset())));
        }
        let part = |offset: u32, len, what| section.part(header_len as usize + offset as usize, len, what);
        Ok(Self {
            functions: records(
                part(functions, functions_len, "function info")?,
                btf,
                |[offset, type_id]| FuncInfo { offset, type_id },
            )?,
            lines: records(part(lines, lines_len, "line info")?, btf, |[offset, file, text, place]| {
                LineInfo {
                    offset,
                    file: Name(file),
                    text: Name(text),
                    line: place >> 10,
                    column: place & 0x3ff,
                }
            })?,
            core: records(
                part(core, core_len, "CO-RE relocation info")?,
                btf,
                |[offset, type_id, access, kind]| CoreInfo { offset, type_id, access: Name(access), kind },
            )?,
        })
    }
}

/// One part: a record size, then for each section its name, a count and the records, which may be longer than the `N`
/// words known here.
fn records<const N: usize, T>(
    mut part: Cursor<'_>,
    btf: &Btf,
    record: impl Fn([u32; N]) -> T,
) -> Result<Vec<(String, Vec<T>)>, BtfError> {
    let mut sections = Vec::new();
    if part.is_empty() {
        return Ok(sections);
    }
    let size = part.u32()? as usize;
    if size < 4 * N || !size.is_multiple_of(4) {
        return Err(part.error(format!("records of {size} bytes; {} are expected at least", 4 * N)));
    }
    while !part.is_empty() {
        let [name, count] = part.words()?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(record(part.words()?));
            part.skip(size - 4 * N)?;
        }
        sections.push((btf.text(Name(name)).to_owned(), list));
    }
    Ok(sections)
}
