//! Why an object does not load.

use crate::bpf::object::{Line, Object};
use crate::uapi::{Errno, MapType, ProgType};

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
    #[error("map \"{map}\" ({map_type}): BPF_MAP_CREATE fails with {errno}, as in the kernel; {advice}")]
    Map {
        /// The map.
        map: String,
        /// Its type.
        map_type: MapType,
        /// What `BPF_MAP_CREATE` answers.
        errno: Errno,
        /// What to look at.
        advice: &'static str,
    },
    /// A map the simulator cannot make.
    #[error("map \"{map}\": {what}; the simulator does not model that yet")]
    NotModelled {
        /// The map.
        map: String,
        /// What is not modelled.
        what: String,
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
    /// Programs of this type are not simulated, or not in the kernel spoken as.
    #[error("program \"{program}\" is a {prog_type}: {why}")]
    ProgType {
        /// The entry point.
        program: String,
        /// Its type.
        prog_type: ProgType,
        /// Why not.
        why: &'static str,
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
    /// A program and the programs already in a prog array it uses are of different kinds.
    #[error(
        "program \"{program}\" uses prog array \"{map}\", which is for programs of another type: {errno}, as from the \
         kernel; give each type its own prog array"
    )]
    ProgArray {
        /// The entry point.
        program: String,
        /// The prog array.
        map: String,
        /// What `BPF_PROG_LOAD` answers.
        errno: Errno,
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
    pub(super) fn unknown<'a>(
        object: &Object,
        what: &'static str,
        name: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<&str> = known.collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Self::Unknown { object: object.name.clone(), what, name: name.to_owned(), known }
    }
}
