//! What a plane saw against what the scenario expects.

use std::collections::BTreeMap;

use bpftwin_sim::uapi::{Errno, ProgType};

use crate::bytes::Bytes;
use crate::case::MapValue;
use crate::compare::{Tally, data_differences, describe};
use crate::ctx;
use crate::layout::{Encoder, Leaf};
use crate::observation::{MapChange, Observation, Outcome, RunSeen, Walk};
use crate::resolve::{ElementCheck, MapCheck, Resolved, RunExpect, TapExpect, Want};
use crate::scenario::spanned::Span;
use crate::shape::MapShape;
use crate::verdict;

/// An expectation that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The run's index; `None` for the state after the last.
    pub run: Option<usize>,
    /// The field: `retval`, `IP.dst`, `ctx.mark`, `map:conntrack.packets`.
    pub field: String,
    /// Which one, where there are many: a map's key, a record's number.
    pub place: String,
    /// What the scenario expects.
    pub expected: String,
    /// What the plane saw.
    pub seen: String,
    /// Where the scenario says so.
    pub span: Span,
    /// Expected and seen bytes around it, if there is something to dump.
    pub bytes: Option<(Bytes, Bytes)>,
}

/// Failures, and how many expectations were looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Checked {
    /// Expectations looked at.
    pub count: u64,
    /// Those that do not hold.
    pub failures: Vec<Failure>,
}

/// Checks an observation.
pub fn check(resolved: &Resolved, seen: &Observation) -> Checked {
    let mut checking = Checking {
        resolved,
        state: State::new(resolved, seen.begin.cpu),
        run: None,
        out: Checked::default(),
    };
    for (run, expect) in seen.runs.iter().zip(&resolved.expects) {
        for change in &run.maps {
            checking.state.apply(change);
        }
        checking.run = Some(run);
        checking.run(run, expect);
    }
    checking.run = None;
    let mut last = State { elements: BTreeMap::new(), ..checking.state };
    for element in &seen.end.maps {
        last.apply(element);
    }
    checking.state = last;
    for map in &resolved.last {
        checking.map(map);
    }
    checking.out
}

/// Every element a map holds, as far as the case and its runs say.
struct State {
    cpu: usize,
    elements: BTreeMap<(String, String), BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl State {
    fn new(resolved: &Resolved, cpu: u32) -> Self {
        let mut state = Self { cpu: cpu as usize, elements: BTreeMap::new() };
        for write in &resolved.case.maps {
            if let MapValue::Bytes(value) = &write.value {
                let Some(shape) = resolved.shape.map(&write.object, &write.map) else { continue };
                // The same value on every CPU.
                let mut value = value.0.clone();
                if shape.per_cpu() {
                    value.resize(value.len().next_multiple_of(8), 0);
                    value = value.repeat(state.cpu + 1);
                }
                state.of(&write.object, &write.map).insert(write.key.0.clone(), value);
            }
        }
        for image in &resolved.case.objects {
            let Some(of) = resolved.shape.objects.get(&image.name) else { continue };
            for (map, shape) in &of.maps {
                let Some(initial) = &shape.initial else { continue };
                let mut bytes = initial.clone();
                for global in image.globals.iter().filter(|g| g.section == *map) {
                    let at = global.offset as usize;
                    if let Some(place) = bytes.get_mut(at..at + global.value.len()) {
                        place.copy_from_slice(&global.value);
                    }
                }
                state.of(&image.name, map).insert(vec![0; 4], bytes);
            }
        }
        state
    }

    fn of(&mut self, object: &str, map: &str) -> &mut BTreeMap<Vec<u8>, Vec<u8>> {
        self.elements.entry((object.to_owned(), map.to_owned())).or_default()
    }

    fn apply(&mut self, change: &MapChange) {
        let elements = self.of(&change.object, &change.map);
        match &change.value {
            Some(value) => elements.insert(change.key.0.clone(), value.0.clone()),
            None => elements.remove(&change.key.0),
        };
    }

    /// An element's value; of a per-CPU map, that of the CPU programs ran on.
    fn get(&self, check: &MapCheck, shape: &MapShape, key: &[u8]) -> Option<Vec<u8>> {
        let size = shape.value.layout.size() as usize;
        let elements = self.elements.get(&(check.object.clone(), check.map.clone()));
        match elements.and_then(|elements| elements.get(key)) {
            Some(value) if shape.per_cpu() => {
                let start = self.cpu * size.next_multiple_of(8);
                Some(value.get(start..start + size).unwrap_or_default().to_vec())
            }
            Some(value) => Some(value.clone()),
            None => {
                let index = u32::from_le_bytes(key.try_into().ok()?);
                (shape.is_array() && index < shape.max_entries).then(|| vec![0; size])
            }
        }
    }
}

struct Checking<'a> {
    resolved: &'a Resolved,
    state: State,
    run: Option<&'a RunSeen>,
    out: Checked,
}

impl Checking<'_> {
    fn fail(&mut self, field: &str, place: &str, expected: String, seen: String, span: &Span) {
        self.out.failures.push(Failure {
            run: self.run.map(|run| run.index),
            field: field.to_owned(),
            place: place.to_owned(),
            expected,
            seen,
            span: span.clone(),
            bytes: None,
        });
    }

    fn run(&mut self, run: &RunSeen, expect: &RunExpect) {
        let case = self.resolved.case.runs.get(run.index);
        let shape = &self.resolved.shape;
        let prog_type = case.map_or(ProgType::Unspec, |case| shape.program(&case.object, &case.program));
        if let Outcome::Fault(what) = &run.outcome {
            self.out.count += 1;
            self.fail(
                "outcome",
                "",
                "a program the verifier accepts".into(),
                format!("fault: {what}"),
                &expect.span,
            );
            return;
        }
        if let Some((errno, span)) = &expect.errno {
            self.out.count += 1;
            if run.outcome != Outcome::Errno(*errno) {
                let name = Errno::from_raw(*errno).name().unwrap_or("an error");
                self.fail(
                    "outcome",
                    "",
                    format!("refused: {name} ({errno})"),
                    describe(prog_type, &run.outcome),
                    span,
                );
            }
        }
        match &run.outcome {
            Outcome::Done { retval, data, ctx } => self.done(expect, prog_type, *retval, data, ctx),
            Outcome::Walked(walk) => self.walk(expect, walk),
            outcome if expect.errno.is_none() && expect.wants_a_run() => {
                self.out.count += 1;
                self.fail("outcome", "", "a run".into(), describe(prog_type, outcome), &expect.span);
            }
            _ => {}
        }
        for map in &expect.maps {
            self.map(map);
        }
        if expect.records.is_some() {
            self.records(run, expect);
        }
    }

    /// What taps saw, and what was dropped, if the plane can tell.
    fn walk(&mut self, expect: &RunExpect, walk: &Walk) {
        let Some(expect) = &expect.walk else { return };
        for TapExpect { tap, frames, span } in &expect.taps {
            let seen: Vec<_> = walk.frames.iter().filter(|frame| frame.tap == *tap).collect();
            let place = tap.to_string();
            self.out.count += 1;
            if seen.len() != frames.len() {
                self.fail("frames", &place, frames.len().to_string(), seen.len().to_string(), span);
            }
            for (number, (seen, (want, span))) in seen.into_iter().zip(frames).enumerate() {
                let place = format!("{place} frame {}", number + 1);
                self.frame(&place, want, &seen.data, span);
            }
        }
        let Some(drops) = &walk.drops else { return };
        for (want, span) in &expect.drops {
            self.out.count += 1;
            if !drops.contains(want) {
                let place = format!("{}:{}", want.namespace, want.device);
                self.fail("drops", &place, want.reason.clone(), "no such drop".into(), span);
            }
        }
    }

    fn frame(&mut self, place: &str, want: &Bytes, seen: &Bytes, span: &Span) {
        let mut tally = Tally::default();
        let found = data_differences(want, seen, &self.resolved.ignores, &mut tally);
        self.out.count += tally.compared;
        for (field, want_text, seen_text) in found {
            self.fail(&field, place, want_text, seen_text, span);
            let last = self.out.failures.last_mut().expect("pushed above");
            last.bytes = Some((want.clone(), seen.clone()));
        }
    }

    fn done(&mut self, expect: &RunExpect, prog_type: ProgType, retval: u32, data: &Bytes, ctx: &Bytes) {
        if let Some((want, span)) = &expect.retval {
            self.out.count += 1;
            if *want != retval {
                let (want, seen) =
                    (verdict::describe(prog_type, *want), verdict::describe(prog_type, retval));
                self.fail("retval", "", want, seen, span);
            }
        }
        if let Some((want, span)) = &expect.data {
            let mut tally = Tally::default();
            let found = data_differences(want, data, &[], &mut tally);
            self.out.count += tally.compared;
            for (field, want_text, seen_text) in found {
                self.fail(&field, "", want_text, seen_text, span);
                let last = self.out.failures.last_mut().expect("pushed above");
                last.bytes = Some((want.clone(), data.clone()));
            }
        }
        let layout = ctx::layout(prog_type);
        let leaves = layout.map(|layout| layout.leaves()).unwrap_or_default();
        for (want, span) in &expect.ctx {
            self.members("ctx", "", want, ctx, &leaves, span);
        }
    }

    /// Compares the fields `want` names.
    fn members(
        &mut self,
        prefix: &str,
        place: &str,
        want: &Encoder,
        seen: &[u8],
        leaves: &[Leaf],
        span: &Span,
    ) {
        if want.holds_in(seen) {
            self.out.count += 1;
            return;
        }
        let mut named = false;
        for leaf in leaves {
            let Some(mask) = leaf.value(&want.mask) else { continue };
            if mask.iter().all(|byte| *byte == 0) {
                continue;
            }
            self.out.count += 1;
            if leaf.value(&want.bytes) != leaf.value(seen) {
                named = true;
                let field = format!("{prefix}{}", leaf.path);
                self.fail(&field, place, leaf.text(&want.bytes), leaf.text(seen), span);
            }
        }
        if !named {
            let hex = |bytes: &[u8]| Bytes(bytes.to_vec()).to_string();
            self.fail(prefix, place, hex(&want.bytes), hex(seen), span);
        }
    }

    fn map(&mut self, check: &MapCheck) {
        let Some(shape) = self.resolved.shape.map(&check.object, &check.map) else { return };
        let name = format!("map:{}", self.resolved.shape.map_name(&check.object, &check.map));
        for element in &check.elements {
            self.element(check, shape, &name, element);
        }
        if let Some((count, span)) = &check.count {
            self.out.count += 1;
            let held = self.state.elements.get(&(check.object.clone(), check.map.clone()));
            let there = |value: &&Vec<u8>| !shape.is_array() || value.iter().any(|byte| *byte != 0);
            let seen = held.map_or(0, |elements| elements.values().filter(there).count()) as u64;
            if seen != *count {
                self.fail(&name, "", format!("{count} elements"), format!("{seen} elements"), span);
            }
        }
    }

    fn element(&mut self, check: &MapCheck, shape: &MapShape, name: &str, element: &ElementCheck) {
        let place = shape.key_text(&element.key);
        let seen = self.state.get(check, shape, &element.key);
        let zero = |value: &Vec<u8>| shape.is_array() && value.iter().all(|byte| *byte == 0);
        match (&element.want, seen) {
            (Want::Value(want), Some(seen)) => {
                self.members(name, &place, want, &seen, &shape.value.leaves, &element.span);
            }
            (Want::Value(_), None) => {
                self.out.count += 1;
                self.fail(name, &place, "an element".into(), "none".into(), &element.span);
            }
            (Want::Present, seen) => {
                self.out.count += 1;
                if seen.is_none_or(|value| zero(&value)) {
                    self.fail(name, &place, "an element".into(), "none".into(), &element.span);
                }
            }
            (Want::Absent, seen) => {
                self.out.count += 1;
                if let Some(value) = seen.filter(|value| !zero(value)) {
                    self.fail(name, &place, "no element".into(), Bytes(value).to_string(), &element.span);
                }
            }
        }
    }

    fn records(&mut self, run: &RunSeen, expect: &RunExpect) {
        let wanted = expect.records.as_deref().unwrap_or_default();
        self.out.count += 1;
        if wanted.len() != run.records.len() {
            let (want, seen) =
                (format!("{} records", wanted.len()), format!("{} records", run.records.len()));
            let span = wanted.first().map_or(&expect.span, |record| &record.span);
            self.fail("record", "", want, seen, span);
        }
        for (number, (want, seen)) in wanted.iter().zip(&run.records).enumerate() {
            let place = number.to_string();
            let name = format!("record:{}", self.resolved.shape.map_name(&want.object, &want.map));
            self.out.count += 1;
            if (&want.object, &want.map) != (&seen.object, &seen.map) {
                let other = format!("a record of {}", self.resolved.shape.map_name(&seen.object, &seen.map));
                self.fail(&name, &place, "a record".into(), other, &want.span);
            } else if let Some(encoder) = &want.want {
                let shape = self.resolved.shape.map(&want.object, &want.map);
                let typed = shape.and_then(|shape| shape.record.as_ref());
                let leaves = typed.map_or(&[][..], |typed| &typed.leaves);
                self.members(&name, &place, encoder, &seen.data, leaves, &want.span);
            }
        }
    }
}
