//! Goldens: what a real kernel did, kept so that the simulator can be checked without one.
//!
//! One file per scenario and kernel series, JSON lines: a head, one line per run, the state at the end. Outputs are
//! written as edits of inputs and values as edits of what they replace, so that a reviewer sees what a program did.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bytes::Bytes;
use crate::case::{Case, MapValue};
use crate::edit;
use crate::observation::{
    Begin, End, Frame, MapChange, Observation, Outcome, Record, RunSeen, Tap, Unread, Walk,
};

/// The version of the file format.
const VERSION: u32 = 1;

/// Why a golden cannot be used.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum GoldenError {
    /// Cut, edited or of another version.
    #[error("line {line}: {why}")]
    Unreadable {
        /// From 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// An object is not the one it was recorded with.
    #[error("stale: object {object} has changed since {kernel} confirmed it")]
    ObjectChanged {
        /// The object's name in the scenario.
        object: String,
        /// `uname -r` of the recording.
        kernel: String,
    },
    /// The scenario is not the one it was recorded with.
    #[error("stale: the scenario (packets, maps or configuration) has changed since {kernel} confirmed it")]
    CaseChanged {
        /// `uname -r` of the recording.
        kernel: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    golden: u32,
    scenario: String,
    kernel: String,
    nr_cpus: u32,
    cpu: u32,
    objects: BTreeMap<String, String>,
    case: String,
    runs: usize,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RunLine {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    retval: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    errno: Option<i32>,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    data: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    ctx: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    frames: Option<Vec<(Tap, Bytes)>>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    maps: Vec<Element>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    records: Vec<(String, String, Bytes)>,
}

/// Object, map, key, value as an edit; no value: deleted.
type Element = (String, String, Bytes, Option<String>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    end: Vec<(String, String, Bytes, Bytes)>,
    unread: Vec<(String, String, String)>,
}

/// Hexadecimal SHA-256.
pub fn sha256(bytes: &[u8]) -> String {
    Bytes(Sha256::digest(bytes).to_vec()).to_string()
}

/// The version in `uname -r`, without what a distribution or a builder appends.
fn version(release: &str) -> &str {
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(release.len());
    &release[..end]
}

fn object_digests(case: &Case) -> BTreeMap<String, String> {
    case.objects.iter().map(|o| (o.name.clone(), sha256(&o.elf))).collect()
}

/// The digest of everything in a case but the objects' bytes and the scenario's name.
fn case_digest(case: &Case) -> String {
    let mut bare = case.clone();
    bare.name.clear();
    for object in &mut bare.objects {
        object.elf = Bytes::default();
    }
    sha256(&serde_json::to_vec(&bare).expect("a case has only string keys"))
}

/// The latest value of every element, as far as the case and its runs say.
struct Known(BTreeMap<(String, String, Bytes), Bytes>);

impl Known {
    fn of(case: &Case) -> Self {
        let written = case.maps.iter().filter_map(|write| match &write.value {
            MapValue::Bytes(bytes) => {
                Some(((write.object.clone(), write.map.clone(), write.key.clone()), bytes.clone()))
            }
            _ => None,
        });
        Self(written.collect())
    }

    fn before(&self, object: &str, map: &str, key: &Bytes) -> &[u8] {
        self.0.get(&(object.to_owned(), map.to_owned(), key.clone())).map_or(&[], |bytes| &bytes.0)
    }

    fn store(&mut self, change: &MapChange) {
        let key = (change.object.clone(), change.map.clone(), change.key.clone());
        match &change.value {
            Some(value) => self.0.insert(key, value.clone()),
            None => self.0.remove(&key),
        };
    }
}

/// Writes a golden. `None` if the observation cannot be one: it holds a fault, which no kernel reports.
pub fn write(case: &Case, seen: &Observation) -> Option<String> {
    let mut known = Known::of(case);
    let mut text = String::new();
    let mut line = |json: String| {
        text.push_str(&json);
        text.push('\n');
    };
    let head = Head {
        golden: VERSION,
        scenario: case.name.clone(),
        kernel: version(&seen.begin.kernel).to_owned(),
        nr_cpus: seen.begin.nr_cpus,
        cpu: seen.begin.cpu,
        objects: object_digests(case),
        case: case_digest(case),
        runs: seen.runs.len(),
    };
    line(json(&head));
    for run in &seen.runs {
        let mut out = RunLine::default();
        match &run.outcome {
            Outcome::Done { retval, data, ctx } => {
                let input = case.runs.get(run.index)?;
                out.retval = Some(*retval);
                out.data = edit::write(&input.data, data);
                out.ctx = edit::write(&input.ctx, ctx);
            }
            Outcome::Errno(errno) => out.errno = Some(*errno),
            Outcome::Walked(walk) => {
                let frames = walk.frames.iter().map(|f| (f.tap.clone(), f.data.clone()));
                out.frames = Some(frames.collect());
                out.errno = (walk.errno != 0).then_some(walk.errno);
            }
            Outcome::Fault(_) | Outcome::NotDone => return None,
        }
        for change in &run.maps {
            let before = known.before(&change.object, &change.map, &change.key);
            let value = change.value.as_ref().map(|value| edit::write(before, value));
            out.maps.push((change.object.clone(), change.map.clone(), change.key.clone(), value));
            known.store(change);
        }
        out.records = run.records.iter().map(|r| (r.object.clone(), r.map.clone(), r.data.clone())).collect();
        line(json(&out));
    }
    let end = seen.end.maps.iter();
    let end = EndLine {
        end: end
            .filter_map(|c| Some((c.object.clone(), c.map.clone(), c.key.clone(), c.value.clone()?)))
            .collect(),
        unread: seen.end.unread.iter().map(|u| (u.object.clone(), u.map.clone(), u.reason.clone())).collect(),
    };
    line(json(&end));
    Some(text)
}

fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("goldens have only string keys")
}

fn parse<T: for<'de> Deserialize<'de>>(line: Option<(usize, &str)>) -> Result<(usize, T), GoldenError> {
    let (number, text) =
        line.ok_or_else(|| GoldenError::Unreadable { line: 0, why: "it breaks off".into() })?;
    let value = serde_json::from_str(text)
        .map_err(|error| GoldenError::Unreadable { line: number, why: error.to_string() })?;
    Ok((number, value))
}

/// Reads a golden of `case`: refused if the case or an object is not what it was recorded with.
pub fn read(case: &Case, text: &str) -> Result<Observation, GoldenError> {
    let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    let (number, head): (_, Head) = parse(lines.next())?;
    if head.golden != VERSION {
        let why = format!("golden format {}, this program reads {VERSION}", head.golden);
        return Err(GoldenError::Unreadable { line: number, why });
    }
    let now = object_digests(case);
    if let Some((object, _)) = now.iter().find(|(name, sha)| head.objects.get(*name) != Some(sha)) {
        return Err(GoldenError::ObjectChanged { object: object.clone(), kernel: head.kernel });
    }
    if head.case != case_digest(case) || head.runs != case.count() {
        return Err(GoldenError::CaseChanged { kernel: head.kernel });
    }
    let mut known = Known::of(case);
    let mut runs = Vec::with_capacity(head.runs);
    for index in 0..head.runs {
        let (line, run): (_, RunLine) = parse(lines.next())?;
        runs.push(
            run_seen(run, index, case.runs.get(index), &mut known)
                .map_err(|why| GoldenError::Unreadable { line, why })?,
        );
    }
    let (_, end): (_, EndLine) = parse(lines.next())?;
    if let Some((line, _)) = lines.next() {
        return Err(GoldenError::Unreadable { line, why: "more lines than runs".into() });
    }
    let begin = Begin { plane: "golden".into(), kernel: head.kernel, nr_cpus: head.nr_cpus, cpu: head.cpu };
    let maps = end.end.into_iter();
    let end = End {
        runs: runs.len(),
        maps: maps
            .map(|(object, map, key, value)| MapChange { object, map, key, value: Some(value) })
            .collect(),
        unread: end.unread.into_iter().map(|(object, map, reason)| Unread { object, map, reason }).collect(),
    };
    Ok(Observation { begin, runs, end })
}

fn run_seen(
    line: RunLine,
    index: usize,
    input: Option<&crate::case::Run>,
    known: &mut Known,
) -> Result<RunSeen, String> {
    let outcome = match (line.retval, line.errno, line.frames, input) {
        (Some(retval), None, None, Some(input)) => Outcome::Done {
            retval,
            data: edit::apply(&input.data, &line.data)?.into(),
            ctx: edit::apply(&input.ctx, &line.ctx)?.into(),
        },
        (None, Some(errno), None, _) => Outcome::Errno(errno),
        (None, errno, Some(frames), None) => {
            let frames = frames.into_iter().map(|(tap, data)| Frame { tap, data }).collect();
            Outcome::Walked(Walk { errno: errno.unwrap_or(0), frames, drops: None })
        }
        _ => return Err("a run has either a retval or an errno, a step frames or an errno".into()),
    };
    let mut maps = Vec::with_capacity(line.maps.len());
    for (object, map, key, value) in line.maps {
        let before = known.before(&object, &map, &key);
        let value = value.map(|text| edit::apply(before, &text)).transpose()?.map(Bytes);
        let change = MapChange { object, map, key, value };
        known.store(&change);
        maps.push(change);
    }
    let records = line.records.into_iter().map(|(object, map, data)| Record { object, map, data }).collect();
    Ok(RunSeen { index, outcome, maps, records, lines: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goldens_name_versions_not_builds() {
        for (release, expect) in
            [("6.18.44", "6.18.44"), ("6.12.117+deb13-amd64", "6.12.117"), ("6.1.0-56", "6.1.0")]
        {
            assert_eq!(version(release), expect);
        }
    }
}
