//! What a case's bytes mean: the types of its programs, contexts, map keys, values and records.

use std::collections::BTreeMap;

use bpftwin_sim::uapi::{MapType, ProgType};

use crate::layout::{Layout, Leaf};

/// A type with its fields, worked out once.
#[derive(Clone, Debug)]
pub struct Typed {
    /// The type.
    pub layout: Layout,
    /// Its fields.
    pub leaves: Vec<Leaf>,
}

impl From<Layout> for Typed {
    fn from(layout: Layout) -> Self {
        let leaves = layout.leaves();
        Self { layout, leaves }
    }
}

/// A map of an object.
#[derive(Clone, Debug)]
pub struct MapShape {
    /// What it is.
    pub map_type: MapType,
    /// Its keys.
    pub key: Typed,
    /// Its values (of one CPU).
    pub value: Typed,
    /// What a data section holds before the first run.
    pub initial: Option<Vec<u8>>,
    /// Of a perf or ring buffer: its records.
    pub record: Option<Typed>,
    /// Elements at most.
    pub max_entries: u32,
}

impl MapShape {
    /// Whether every CPU has its own value.
    pub const fn per_cpu(&self) -> bool {
        matches!(self.map_type, MapType::PercpuArray | MapType::PercpuHash | MapType::LruPercpuHash)
    }

    /// Whether it holds records for a consumer, and no elements.
    pub const fn gives_records(&self) -> bool {
        matches!(self.map_type, MapType::Ringbuf | MapType::PerfEventArray)
    }

    /// Whether every element always exists.
    pub const fn is_array(&self) -> bool {
        matches!(self.map_type, MapType::Array | MapType::PercpuArray)
    }

    /// A key as text, such as `10.0.0.1,80,6`.
    pub fn key_text(&self, key: &[u8]) -> String {
        if self.key.leaves.iter().all(|leaf| leaf.slice(key).is_some()) {
            self.key.leaves.iter().map(|leaf| leaf.text(key)).collect::<Vec<_>>().join(",")
        } else {
            crate::bytes::Bytes(key.to_vec()).to_string()
        }
    }
}

/// An object of a case.
#[derive(Clone, Debug, Default)]
pub struct ObjectShape {
    /// Its programs.
    pub programs: BTreeMap<String, ProgType>,
    /// Its maps.
    pub maps: BTreeMap<String, MapShape>,
}

/// Everything a case names.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// By the case's names.
    pub objects: BTreeMap<String, ObjectShape>,
}

impl Shape {
    /// A map.
    pub fn map(&self, object: &str, map: &str) -> Option<&MapShape> {
        self.objects.get(object)?.maps.get(map)
    }

    /// A program's type.
    pub fn program(&self, object: &str, program: &str) -> ProgType {
        self.objects.get(object).and_then(|o| o.programs.get(program)).copied().unwrap_or(ProgType::Unspec)
    }

    /// How reports call a map: the object's name leads where there are several objects.
    pub fn map_name(&self, object: &str, map: &str) -> String {
        if self.objects.len() > 1 { format!("{object}:{map}") } else { map.to_owned() }
    }
}
