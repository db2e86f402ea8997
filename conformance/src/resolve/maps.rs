//! Map contents, in and expected.

use bpftwin_sim::uapi::MapType;

use super::library::Library;
use super::objects::Objects;
use crate::bytes::Bytes;
use crate::case::{MapValue, MapWrite};
use crate::layout::{Encoder, Layout};
use crate::scenario::mistake::{Mistake, What};
use crate::scenario::model::{Entry, EntryExpect, MapContents, MapExpect};
use crate::scenario::node::{Kind, Node};
use crate::scenario::spanned::{Span, Spanned};
use crate::shape::MapShape;

/// What a map must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapCheck {
    /// The object's name in the case.
    pub object: String,
    /// The map's C name.
    pub map: String,
    /// Elements.
    pub elements: Vec<ElementCheck>,
    /// How many there are, and where the scenario says so.
    pub count: Option<(u64, Span)>,
}

/// What one element must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ElementCheck {
    /// The key.
    pub key: Bytes,
    /// What is stored there.
    pub want: Want,
    /// Where the scenario says so.
    pub span: Span,
}

/// What an element must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Want {
    /// There.
    Present,
    /// Not there.
    Absent,
    /// There, with these members.
    Value(Encoder),
}

/// The elements of every `[[map]]`.
pub fn contents(
    maps: &[MapContents],
    objects: &Objects,
    library: &Library,
    mistakes: &mut Vec<Mistake>,
) -> Vec<MapWrite> {
    let mut writes = Vec::new();
    for contents in maps {
        let (object, map, shape) = match objects.map(&contents.name) {
            Ok(found) => found,
            Err(mistake) => {
                mistakes.push(mistake);
                continue;
            }
        };
        let from_file = match contents.file.as_ref().map(|file| entries_of(file, library)) {
            None => Vec::new(),
            Some(Ok(entries)) => entries,
            Some(Err(mistake)) => {
                mistakes.push(mistake);
                continue;
            }
        };
        if contents.file.is_none() && contents.entries.is_empty() {
            let what = format!("nothing is written to {}", contents.name.value);
            mistakes.push(
                Mistake::new(What::Nothing(what), &contents.name.span).help("give it `entries` or a `file`"),
            );
        }
        for entry in contents.entries.iter().chain(&from_file) {
            match write(&object, &map, shape, entry, objects) {
                Ok(write) => writes.push(write),
                Err(mistake) => mistakes.push(mistake),
            }
        }
    }
    writes
}

fn write(
    object: &str,
    map: &str,
    shape: &MapShape,
    entry: &Entry,
    objects: &Objects,
) -> Result<MapWrite, Mistake> {
    let key = Encoder::encode(&shape.key.layout, &entry.key)?.bytes;
    let of = &objects.shape.objects[object];
    let value = match (&entry.value, &entry.program, &entry.map) {
        (Some(value), None, None) => {
            let takes = match shape.map_type {
                MapType::ProgArray => Some("program"),
                MapType::ArrayOfMaps | MapType::HashOfMaps => Some("map"),
                _ => None,
            };
            if let Some(takes) = takes {
                let what = format!("{map} is a {}; it takes no `value`", shape.map_type);
                return Err(
                    Mistake::new(What::Choice(what), &value.span).help(format!("write `{takes} = \"NAME\"`"))
                );
            }
            MapValue::Bytes(Encoder::encode(&shape.value.layout, value)?.bytes.into())
        }
        (None, Some(program), None) => {
            if !of.programs.contains_key(&program.value) {
                let known = of.programs.keys().map(String::as_str);
                return Err(Mistake::unknown("program", program, &program.span, known));
            }
            MapValue::Program(program.value.clone())
        }
        (None, None, Some(inner)) => {
            if !of.maps.contains_key(&inner.value) {
                let known = of.maps.keys().map(String::as_str);
                return Err(Mistake::unknown("map", inner, &inner.span, known));
            }
            MapValue::Map(inner.value.clone())
        }
        _ => {
            let what = "an entry has one of `value`, `program` and `map`".to_owned();
            return Err(Mistake::new(What::Choice(what), &entry.key.span));
        }
    };
    Ok(MapWrite { object: object.to_owned(), map: map.to_owned(), key: key.into(), value })
}

/// `[{ "key": …, "value": … }, …]`.
fn entries_of(file: &Spanned<String>, library: &Library) -> Result<Vec<Entry>, Mistake> {
    let fail = |why: String| Mistake::new(What::File { path: file.value.clone(), why }, &file.span);
    let bytes = library.read(file).map_err(fail)?;
    let json: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| fail(error.to_string()))?;
    let serde_json::Value::Array(list) = json else {
        return Err(fail("it is not an array of { \"key\": …, \"value\": … }".into()));
    };
    let entry = |(i, item): (usize, &serde_json::Value)| {
        let at = |why: String| fail(format!("entry {}: {why}", i + 1));
        let serde_json::Value::Object(table) = item else { return Err(at("not a table".into())) };
        if let Some(key) = table.keys().find(|k| !["key", "value", "program", "map"].contains(&k.as_str())) {
            return Err(at(format!("unknown key \"{key}\"")));
        }
        let node = |key: &str| table.get(key).map(|v| Node::from_json(v, &file.span)).transpose().map_err(at);
        let name = |key: &str| match node(key)? {
            None => Ok(None),
            Some(Node { kind: Kind::Str(name), span }) => Ok(Some(Spanned::new(name, span))),
            Some(_) => Err(at(format!("\"{key}\" is not a string"))),
        };
        let key = node("key")?.ok_or_else(|| at("no \"key\"".into()))?;
        Ok(Entry { key, value: node("value")?, program: name("program")?, map: name("map")? })
    };
    list.iter().enumerate().map(entry).collect()
}

/// Expected contents of maps.
pub fn expected(maps: &[MapExpect], objects: &Objects, mistakes: &mut Vec<Mistake>) -> Vec<MapCheck> {
    let mut checks = Vec::new();
    for expect in maps {
        let (object, map, shape) = match objects.map(&expect.name) {
            Ok(found) => found,
            Err(mistake) => {
                mistakes.push(mistake);
                continue;
            }
        };
        if expect.entries.is_empty() && expect.count.is_none() {
            let what = format!("nothing is expected of {}", expect.name.value);
            mistakes.push(
                Mistake::new(What::Nothing(what), &expect.name.span).help("give it `entries` or a `count`"),
            );
        }
        let mut elements = Vec::new();
        for entry in &expect.entries {
            match element(shape, entry) {
                Ok(element) => elements.push(element),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        let count = expect.count.as_ref().map(|count| (count.value, count.span.clone()));
        checks.push(MapCheck { object, map, elements, count });
    }
    checks
}

fn element(shape: &MapShape, entry: &EntryExpect) -> Result<ElementCheck, Mistake> {
    let key = Encoder::encode(&shape.key.layout, &entry.key)?.bytes.into();
    let want = match (&entry.value, entry.absent) {
        (Some(value), false) => Want::Value(Encoder::encode(&shape.value.layout, value)?),
        (None, true) => Want::Absent,
        (None, false) => Want::Present,
        (Some(value), true) => {
            let what = "an element is `absent` or has a `value`".to_owned();
            return Err(Mistake::new(What::Choice(what), &value.span));
        }
    };
    Ok(ElementCheck { key, want, span: entry.key.span.clone() })
}

/// Whether anything is named: an empty table checks nothing.
pub fn names_something(layout: &Layout, encoder: &Encoder) -> bool {
    layout.size() == 0 || encoder.mask.iter().any(|byte| *byte != 0)
}
