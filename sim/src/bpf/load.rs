//! Object → running: creates an object's maps in a [`Machine`], links and loads its programs.

use std::collections::BTreeMap;

use crate::bpf::btf::Btf;
use crate::bpf::machine::ProgId;
use crate::bpf::map::MapId;
use crate::bpf::object::Line;
use crate::bpf::program::DecodeError;
use crate::uapi::{Errno, ProgType};

/// How to load an object.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions<'a> {
    /// Entry points to load, by name; `None`: those whose section does not begin with `?`.
    pub programs: Option<Vec<String>>,
    /// Global variables to overwrite before the maps are created, in this order.
    pub globals: Vec<Global>,
    /// Maps to give another `max_entries`, by name.
    pub max_entries: Vec<(String, u32)>,
    /// The types of the kernel spoken as, for CO-RE relocations. Without it, an object that has some in a program to
    /// load is refused.
    pub kernel_btf: Option<&'a Btf>,
}

/// A global variable's new initial value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Global {
    /// The section: `.rodata`, `.data`, `.bss`, `.rodata.name`.
    pub section: String,
    /// Byte offset inside the section.
    pub offset: u32,
    /// The new bytes.
    pub value: Vec<u8>,
}

/// What loading an object made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Loaded {
    /// Every map of the object, by the names of [`MapSpec`](crate::bpf::map::MapSpec).
    pub maps: BTreeMap<String, MapId>,
    /// Every program loaded, by its C name.
    pub programs: BTreeMap<String, ProgId>,
}

/// A call to a helper in a program about to be loaded.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct HelperUse<'a> {
    /// The entry point's name.
    pub program: &'a str,
    /// Its type.
    pub prog_type: ProgType,
    /// The helper's number.
    pub helper: u32,
    /// The call, counted in slots of the linked program.
    pub slot: u32,
    /// The C line.
    pub line: Option<&'a Line>,
}

/// Says whether a program may call a helper; the error says why not, in words.
pub type HelperCheck<'a> = dyn Fn(&HelperUse<'_>) -> Result<(), String> + 'a;

/// Why an object does not load.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum LoadError {
    /// A name the caller gave is not in the object.
    #[error("object \"{object}\" has no {what} \"{name}\"; it has {known}")]
    Unknown {
        /// The object's name.
        object: String,
        /// `program`, `map` or `data section`.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A global variable's new value does not fit.
    #[error("section \"{section}\" has {size} bytes; {len} bytes at offset {offset} do not fit")]
    Global {
        /// The section.
        section: String,
        /// Its size in bytes.
        size: usize,
        /// Where the value was to go.
        offset: u32,
        /// Its length in bytes.
        len: usize,
    },
    /// The kernel spoken as refuses a map.
    #[error("map \"{map}\": creating it fails with {errno}, as the kernel's does")]
    Map {
        /// The map.
        map: String,
        /// What `BPF_MAP_CREATE` answers.
        errno: Errno,
    },
    /// Initial contents of a map are refused.
    #[error("map \"{map}\", element {key}: {what}")]
    Contents {
        /// The map.
        map: String,
        /// The element.
        key: u32,
        /// Why.
        what: String,
    },
    /// The section's name says nothing about the program's type.
    #[error(
        "program \"{program}\": section \"{section}\" names no program type; use a name libbpf knows, such as \"tc\", \
         \"xdp\" or \"cgroup_skb/ingress\""
    )]
    Section {
        /// The entry point.
        program: String,
        /// The section.
        section: String,
    },
    /// An instruction cannot be linked, loaded or modelled.
    #[error("program \"{program}\", instruction {slot}{}: {what}", at(line.as_ref()))]
    Instruction {
        /// The entry point.
        program: String,
        /// The instruction, counted in slots of the linked program.
        slot: u32,
        /// The C line.
        line: Option<Line>,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A strong extern nobody defines.
    #[error("extern \"{name}\": {what}")]
    Extern {
        /// The C name.
        name: String,
        /// Why it has no value, and what to do.
        what: String,
    },
}

fn at(line: Option<&Line>) -> String {
    line.map(|line| format!(" ({line})")).unwrap_or_default()
}

impl LoadError {
    /// A [`DecodeError`] of `program`.
    pub fn decode(program: &str, error: DecodeError, line: Option<&Line>) -> Self {
        Self::Instruction {
            program: program.to_owned(),
            slot: error.slot,
            line: line.cloned(),
            what: error.what,
        }
    }
}
