//! What every packet did, passed or not: what its program returned, what became of it, what was written.

use std::fmt::Write as _;

use bpftwin_sim::uapi::ProgType;
use bpftwin_sim::wire::diff::diff;
use bpftwin_sim::wire::dissect::{Layer, dissect};

use super::run_name;
use crate::compare::describe;
use crate::ctx;
use crate::observation::{MapChange, Outcome, Record};
use crate::shape::{MapShape, Shape, Typed};
use crate::suite::CaseReport;

/// Fields of an element or a record that are shown.
const FIELDS: usize = 12;

/// The runs of `report` as its first plane saw them, each with its packet's changed fields, map elements and records.
pub(super) fn text(report: &CaseReport) -> String {
    let mut out = String::new();
    let (Some(resolved), Some(plane)) = (&report.resolved, report.planes.first()) else { return out };
    for seen in &plane.seen.runs {
        let Outcome::Walked(walk) = &seen.outcome else { continue };
        let name = run_name(report, Some(seen.index));
        let _ = writeln!(out, "  {name}  {} {}", plane.plane, describe(ProgType::Unspec, &seen.outcome));
        for frame in &walk.frames {
            let layers: Vec<String> = dissect(&frame.data).layers.iter().map(Layer::label).collect();
            let _ = writeln!(out, "    {}: {} bytes, {}", frame.tap, frame.data.len(), layers.join("/"));
        }
        for drop in walk.drops.iter().flatten() {
            let _ = writeln!(out, "    {}:{}: dropped, {}", drop.namespace, drop.device, drop.reason);
        }
        for change in &seen.maps {
            let _ = writeln!(out, "    {}", element(&resolved.shape, change));
        }
        for record in &seen.records {
            let _ = writeln!(out, "    {}", sent(&resolved.shape, record));
        }
    }
    for (run, seen) in resolved.case.runs.iter().zip(&plane.seen.runs) {
        let prog_type = resolved.shape.program(&run.object, &run.program);
        let outcome = describe(prog_type, &seen.outcome);
        let outcome = outcome.lines().next().unwrap_or_default();
        let name = run_name(report, Some(seen.index));
        let _ = writeln!(out, "  {name}  {}:{}  {} {outcome}", run.object, run.program, plane.plane);
        // A run that follows another has no packet of its own; not every type gives back a frame.
        let framed = ctx::layout(prog_type).is_some() && run.follows.is_none();
        if let Outcome::Done { data, .. } = &seen.outcome
            && framed
            && !data.is_empty()
        {
            for changed in diff(&run.data, data) {
                let side = |text: Option<String>| text.unwrap_or_else(|| "(not there)".to_owned());
                let _ = writeln!(out, "    {}: {} -> {}", changed.path, side(changed.a), side(changed.b));
            }
        }
        for change in &seen.maps {
            let _ = writeln!(out, "    {}", element(&resolved.shape, change));
        }
        for record in &seen.records {
            let _ = writeln!(out, "    {}", sent(&resolved.shape, record));
        }
    }
    out
}

/// `map:NAME[KEY]`, and what it holds now.
fn element(shape: &Shape, change: &MapChange) -> String {
    let name = shape.map_name(&change.object, &change.map);
    let known = shape.map(&change.object, &change.map);
    let key = known.map_or_else(|| change.key.to_string(), |map| map.key_text(&change.key));
    let value = match (&change.value, known) {
        (None, _) => "deleted".to_owned(),
        (Some(value), Some(map)) => value_text(map, value),
        (Some(value), None) => value.to_string(),
    };
    format!("map:{name}[{key}]: {value}")
}

fn value_text(map: &MapShape, value: &[u8]) -> String {
    if !map.per_cpu() {
        return fields(&map.value, value);
    }
    let size = map.value.layout.size() as usize;
    let values = value.chunks(size.next_multiple_of(8).max(1)).enumerate();
    let written = values.filter(|(_, value)| value.iter().any(|&byte| byte != 0));
    let texts: Vec<_> = written
        .map(|(cpu, value)| format!("cpu {cpu}: {}", fields(&map.value, &value[..size.min(value.len())])))
        .collect();
    if texts.is_empty() { "zero on every CPU".to_owned() } else { texts.join("; ") }
}

/// `record:NAME`, and what it says.
fn sent(shape: &Shape, record: &Record) -> String {
    let name = shape.map_name(&record.object, &record.map);
    let typed = shape.map(&record.object, &record.map).and_then(|map| map.record.as_ref());
    let says = typed.map_or_else(|| record.data.to_string(), |typed| fields(typed, &record.data));
    format!("record:{name}: {says}")
}

/// The fields that are not zero, by name.
fn fields(typed: &Typed, bytes: &[u8]) -> String {
    let set = |value: Vec<u8>| value.iter().any(|&byte| byte != 0);
    let leaves: Vec<_> = typed.leaves.iter().filter(|leaf| leaf.value(bytes).is_some_and(set)).collect();
    if leaves.is_empty() {
        return "zero".to_owned();
    }
    let shown = leaves.iter().take(FIELDS).map(|leaf| {
        let text = leaf.text(bytes);
        if leaf.path.is_empty() { text } else { format!("{}={text}", leaf.path) }
    });
    let mut out = shown.collect::<Vec<_>>().join(" ");
    if leaves.len() > FIELDS {
        let _ = write!(out, " … and {} more fields", leaves.len() - FIELDS);
    }
    out
}
