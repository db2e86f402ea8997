//! Entry points that a decl tag puts into a prog array: `tail:<map>/<slot>`, as large datapath projects write it.

use super::{ObjectMap, ProgramSpec};
use crate::uapi::MapType;

/// How the tag of a function begins that is to stand in a prog array.
pub(super) const TAIL: &str = "tail:";

/// A slot of a prog array that loading fills if the program is loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TailSlot {
    /// The prog array's place in [`Object::maps`](super::Object::maps).
    pub map: usize,
    /// The element.
    pub slot: u32,
    /// The entry point's name.
    pub program: String,
}

/// The slots that the tags of `program` name, added to `found`; tags that name none are told in `notes`, since they
/// mean nothing to libbpf.
pub(super) fn of_tags(
    tags: &[String],
    program: &ProgramSpec,
    maps: &[ObjectMap],
    found: &mut Vec<TailSlot>,
    notes: &mut Vec<String>,
) {
    for tag in tags {
        let Some(place) = tag.strip_prefix(TAIL) else { continue };
        match place_of(place, maps, found) {
            Ok((map, slot)) => found.push(TailSlot { map, slot, program: program.name.clone() }),
            Err(what) => {
                notes.push(format!("tag \"{tag}\" of function \"{}\" fills no slot: {what}", program.name));
            }
        }
    }
}

fn place_of(place: &str, maps: &[ObjectMap], found: &[TailSlot]) -> Result<(usize, u32), String> {
    let parts = place.rsplit_once('/').and_then(|(map, slot)| Some((map, slot.trim().parse::<u32>().ok()?)));
    let (name, slot) = parts.ok_or("it is not tail:<map>/<slot>")?;
    let map = maps.iter().position(|map| map.spec.name == name);
    let map = map.ok_or_else(|| format!("there is no map \"{name}\""))?;
    if maps[map].spec.map_type != MapType::ProgArray {
        return Err(format!("map \"{name}\" is no prog array"));
    }
    match found.iter().find(|taken| taken.map == map && taken.slot == slot) {
        Some(taken) => Err(format!("it is taken by \"{}\"", taken.program)),
        None => Ok((map, slot)),
    }
}
