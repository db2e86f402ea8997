//! Two planes' observations of one case, field by field.

mod data;
mod maps;
mod masked;
mod walk;

use std::collections::BTreeMap;

use bpftwin_sim::uapi::{Errno, ProgType};

use crate::bytes::Bytes;
use crate::case::Case;
use crate::ctx;
use crate::observation::{MapChange, Observation, Outcome, RunSeen};
use crate::shape::{MapShape, Shape, Typed};
use crate::verdict;
use masked::Masked;

pub use data::data_differences;

/// A field that is left out of comparison.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IgnoreRule {
    /// As reports name it; a whole map, record or layer stands for its fields.
    pub field: String,
    /// Why it cannot agree.
    pub reason: String,
}

impl IgnoreRule {
    /// The rule somebody gave on the command line.
    pub fn asked(field: &str) -> Self {
        Self { field: field.to_owned(), reason: "asked by --ignore".into() }
    }

    /// Whether `field` is this one or part of it.
    pub fn covers(&self, field: &str) -> bool {
        field
            .strip_prefix(self.field.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

/// One field that two planes saw differently.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The run's index; `None` for the state after the last.
    pub run: Option<usize>,
    /// The field, without keys: `retval`, `IP.dst`, `ctx.mark`, `map:conntrack.packets`.
    pub field: String,
    /// Which one, where there are many: a map's key, a record's number.
    pub place: String,
    /// What the first plane saw.
    pub left: String,
    /// What the second plane saw.
    pub right: String,
    /// The bytes around it, if there is something to dump.
    pub bytes: Option<(Bytes, Bytes)>,
}

/// How many fields were looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Fields compared.
    pub compared: u64,
    /// Fields not compared, by reason.
    pub left_out: BTreeMap<String, u64>,
}

impl Tally {
    /// Every field there was.
    pub fn total(&self) -> u64 {
        self.compared + self.left_out.values().sum::<u64>()
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.compared += other.compared;
        for (reason, count) in &other.left_out {
            self.leave_out(reason, *count);
        }
    }

    fn leave_out(&mut self, reason: &str, count: u64) {
        if count > 0 {
            *self.left_out.entry(reason.to_owned()).or_default() += count;
        }
    }
}

/// What comparing gave.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Comparison {
    /// Fields looked at.
    pub tally: Tally,
    /// Fields that differ, in order of runs.
    pub differences: Vec<Difference>,
}

/// Compares two observations of `case`.
pub fn compare(
    case: &Case,
    shape: &Shape,
    ignores: &[IgnoreRule],
    left: &Observation,
    right: &Observation,
) -> Comparison {
    let masks = Masks::new(case, shape, ignores);
    Comparing { case, shape, ignores, masks: &masks, result: Comparison::default() }.observations(left, right)
}

/// Zeroes every field of contexts, map values and records that is left out of comparison, so that recording the same
/// behaviour twice gives the same bytes.
pub fn blank_ignored(case: &Case, shape: &Shape, ignores: &[IgnoreRule], seen: &mut Observation) {
    let masks = Masks::new(case, shape, ignores);
    let value = |change: &mut MapChange| {
        let mask = masks.values.get(&(change.object.as_str(), change.map.as_str()));
        let map = shape.map(&change.object, &change.map);
        if let (Some(value), Some(mask), Some(map)) = (&mut change.value, mask, map) {
            let size = map.value.layout.size() as usize;
            let stride = if map.per_cpu() { size.next_multiple_of(8) } else { value.len() };
            value.0.chunks_mut(stride.max(1)).for_each(|of_cpu| mask.blank(of_cpu));
        }
    };
    for (run, asked) in seen.runs.iter_mut().zip(&case.runs) {
        if let Outcome::Done { ctx, .. } = &mut run.outcome
            && let Some(mask) = masks.contexts.get(&shape.program(&asked.object, &asked.program))
        {
            mask.blank(&mut ctx.0);
        }
        run.maps.iter_mut().for_each(value);
        for record in &mut run.records {
            if let Some(mask) = masks.records.get(&(record.object.as_str(), record.map.as_str())) {
                mask.blank(&mut record.data.0);
            }
        }
    }
    seen.end.maps.iter_mut().for_each(value);
}

/// Every type of the case with the fields to leave out.
struct Masks<'a> {
    contexts: BTreeMap<ProgType, Masked>,
    values: BTreeMap<(&'a str, &'a str), Masked>,
    records: BTreeMap<(&'a str, &'a str), Masked>,
}

impl<'a> Masks<'a> {
    fn new(case: &'a Case, shape: &'a Shape, ignores: &[IgnoreRule]) -> Self {
        let mut masks = Self { contexts: BTreeMap::new(), values: BTreeMap::new(), records: BTreeMap::new() };
        for run in &case.runs {
            let prog_type = shape.program(&run.object, &run.program);
            if let Some(layout) = ctx::layout(prog_type) {
                masks
                    .contexts
                    .entry(prog_type)
                    .or_insert_with(|| Masked::new("ctx", &Typed::from(layout), ignores));
            }
        }
        for (object, of) in &shape.objects {
            for (map, of) in &of.maps {
                let name = shape.map_name(object, map);
                let key = (object.as_str(), map.as_str());
                masks.values.insert(key, Masked::new(&format!("map:{name}"), &of.value, ignores));
                if let Some(record) = &of.record {
                    masks.records.insert(key, Masked::new(&format!("record:{name}"), record, ignores));
                }
            }
        }
        masks
    }
}

struct Comparing<'a> {
    case: &'a Case,
    shape: &'a Shape,
    ignores: &'a [IgnoreRule],
    masks: &'a Masks<'a>,
    result: Comparison,
}

impl Comparing<'_> {
    fn observations(mut self, left: &Observation, right: &Observation) -> Comparison {
        self.result.tally.compared += 1;
        if left.runs.len() != right.runs.len() {
            self.differ(None, "runs", "", left.runs.len().to_string(), right.runs.len().to_string(), None);
        }
        for (l, r) in left.runs.iter().zip(&right.runs) {
            self.run(l, r);
        }
        self.maps(None, &left.end.maps, &right.end.maps);
        for unread in left.end.unread.iter().chain(&right.end.unread) {
            let shape = self.shape.map(&unread.object, &unread.map);
            if shape.is_some_and(MapShape::gives_records) {
                // What goes through it is compared record by record.
                continue;
            }
            let reason =
                format!("map:{}: {}", self.shape.map_name(&unread.object, &unread.map), unread.reason);
            self.result.tally.left_out.entry(reason).or_insert(1);
        }
        self.result
    }

    fn differ(
        &mut self,
        run: Option<usize>,
        field: &str,
        place: &str,
        left: String,
        right: String,
        bytes: Option<(&[u8], &[u8])>,
    ) {
        let bytes = bytes.map(|(l, r)| (Bytes(l.to_vec()), Bytes(r.to_vec())));
        let (field, place) = (field.to_owned(), place.to_owned());
        self.result.differences.push(Difference { run, field, place, left, right, bytes });
    }

    fn ignored(&self, field: &str) -> Option<String> {
        self.ignores.iter().find(|rule| rule.covers(field)).map(|rule| rule.reason.clone())
    }

    /// Counts `field` and says whether it is to be compared.
    fn counts(&mut self, field: &str) -> bool {
        if let Some(reason) = self.ignored(field) {
            self.result.tally.leave_out(&reason, 1);
            false
        } else {
            self.result.tally.compared += 1;
            true
        }
    }

    fn run(&mut self, left: &RunSeen, right: &RunSeen) {
        let index = left.index;
        let prog_type = self
            .case
            .runs
            .get(index)
            .map_or(ProgType::Unspec, |run| self.shape.program(&run.object, &run.program));
        match (&left.outcome, &right.outcome) {
            (
                Outcome::Done { retval: l, data: ldata, ctx: lctx },
                Outcome::Done { retval: r, data: rdata, ctx: rctx },
            ) => {
                if self.counts("retval") && l != r {
                    let (l, r) = (verdict::describe(prog_type, *l), verdict::describe(prog_type, *r));
                    self.differ(Some(index), "retval", "", l, r, None);
                }
                self.data(index, ldata, rdata);
                self.context(index, prog_type, lctx, rctx);
            }
            (Outcome::Walked(l), Outcome::Walked(r)) => self.walks(index, l, r),
            (l, r) => {
                if self.counts("outcome") && l != r {
                    self.differ(
                        Some(index),
                        "outcome",
                        "",
                        describe(prog_type, l),
                        describe(prog_type, r),
                        None,
                    );
                }
            }
        }
        self.maps(Some(index), &left.maps, &right.maps);
        self.records(index, &left.records, &right.records);
    }

    fn data(&mut self, index: usize, left: &[u8], right: &[u8]) {
        let mut tally = std::mem::take(&mut self.result.tally);
        let found = data_differences(left, right, self.ignores, &mut tally);
        self.result.tally = tally;
        for (field, l, r) in found {
            self.differ(Some(index), &field, "", l, r, Some((left, right)));
        }
    }

    fn context(&mut self, index: usize, prog_type: ProgType, left: &[u8], right: &[u8]) {
        let masks = self.masks;
        let Some(mask) = masks.contexts.get(&prog_type) else {
            if self.counts("ctx") && left != right {
                self.differ(
                    Some(index),
                    "ctx",
                    "",
                    Bytes(left.into()).to_string(),
                    Bytes(right.into()).to_string(),
                    None,
                );
            }
            return;
        };
        if left.is_empty() && right.is_empty() {
            return;
        }
        let found = mask.differences(left, right, &mut self.result.tally);
        for (field, l, r) in found {
            self.differ(Some(index), &field, "", l, r, Some((left, right)));
        }
    }
}

/// How a run ended, in a few words.
pub fn describe(prog_type: ProgType, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done { retval, .. } => format!("returned {}", verdict::describe(prog_type, *retval)),
        Outcome::Errno(errno) => match Errno::from_raw(*errno).name() {
            Some(name) => format!("refused: {name} ({errno})"),
            None => format!("refused: errno {errno}"),
        },
        Outcome::Fault(what) => format!("fault: {what}"),
        Outcome::Walked(walk) if walk.errno != 0 => walk::errno(walk.errno),
        Outcome::Walked(walk) => match walk.frames.len() {
            1 => "1 frame seen".into(),
            frames => format!("{frames} frames seen"),
        },
        Outcome::NotDone => "not done".into(),
    }
}
