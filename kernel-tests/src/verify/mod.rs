//! What this kernel's verifier makes of every program of an object, each loaded alone.

mod log;
mod stack;

use std::sync::atomic::{AtomicBool, Ordering};

use bpftwin_conformance::verify::protocol::{Answer, Ask, Counts, LineSeen, Place, Rejection, Seen, Verdict};
use libbpf_rs::{MapType, OpenObject, set_print};

use self::log::Tally;
use crate::failure::{Failure, Stop};
use crate::object;
use crate::sys::{LARGEST_LOG, LogBuffer, Prepared};

/// `BPF_LOG_LEVEL1`, `BPF_LOG_LEVEL2` and `BPF_LOG_STATS` of `include/linux/bpf_verifier.h`: the path that failed, every
/// path, and the statistics.
const LEVEL1: u32 = 1;
const LEVEL2: u32 = 2;
const STATS: u32 = 4;

/// Room for the statistics of a program.
const STATISTICS: usize = 64 << 10;
/// Room for the path of a program that is rejected.
const PATH: usize = 64 << 20;
/// How much of that is reported.
const TOLD: usize = 64 << 10;

/// Maps without a size of their own.
const STORAGES: [MapType; 5] = [
    MapType::SkStorage,
    MapType::InodeStorage,
    MapType::TaskStorage,
    MapType::CGrpStorage,
    MapType::CgroupStorage,
];

/// Loads every program `ask` is about and hands each answer to `report` as it is there.
pub fn answer(ask: &Ask, report: &mut dyn FnMut(Answer) -> Result<(), Failure>) -> Result<(), Failure> {
    let names = match open(ask) {
        Ok(open) => programs(&open),
        Err(Stop::Decline(decline)) => return report(Answer::Refused { reason: decline.reason }),
        Err(Stop::Failure(failure)) => return Err(failure),
    };
    let wanted = &ask.image.programs;
    if let Some(absent) = wanted.iter().find(|name| !names.contains(name)) {
        return report(Answer::Refused {
            reason: format!("object {} has no program {absent}", ask.image.name),
        });
    }
    let names: Vec<String> =
        names.into_iter().filter(|name| wanted.is_empty() || wanted.contains(name)).collect();
    let mut object = Object { ask, stand_ins: false };
    for name in &names {
        report(Answer::Program(Box::new(object.verify(name)?)))?;
    }
    report(Answer::End { programs: names.len() })
}

fn open(ask: &Ask) -> Result<OpenObject, Stop> {
    let mut open = object::open(&ask.image)?;
    for mut map in open.maps_mut().filter(|map| map.max_entries() == 0) {
        // A size that the loader would have given; storages have none.
        if !STORAGES.contains(&map.map_type()) {
            map.set_max_entries(1).map_err(|error| {
                let name = map.name().to_string_lossy().into_owned();
                Stop::decline(format!("object {}: map {name} without a size: {error}", ask.image.name))
            })?;
        }
    }
    Ok(open)
}

fn programs(open: &OpenObject) -> Vec<String> {
    open.progs().map(|program| program.name().to_string_lossy().into_owned()).collect()
}

fn buffer(len: usize) -> Result<LogBuffer, Failure> {
    LogBuffer::new(len).map_err(|errno| Failure::Harness(format!("{len} bytes for a verifier log: {errno}")))
}

/// What libbpf complained of first.
fn said() -> String {
    let log = crate::log::take();
    let first = log.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    first.strip_prefix("libbpf: ").unwrap_or(first).to_owned()
}

/// An object of which one program after the other is loaded.
struct Object<'a> {
    ask: &'a Ask,
    /// Whether its prog arrays have to be filled.
    stand_ins: bool,
}

impl Object<'_> {
    /// The object opened anew, to load `name` alone, or why libbpf does not get that far.
    fn prepare(&self, name: &str) -> Result<Result<Prepared, String>, Failure> {
        match open(self.ask) {
            Ok(open) => {
                let prepared = Prepared::new(open, name, self.stand_ins);
                Ok(prepared.map_err(|errno| format!("{errno}: {}", said())))
            }
            Err(Stop::Decline(decline)) => Ok(Err(decline.reason)),
            Err(Stop::Failure(failure)) => Err(failure),
        }
    }

    /// The same for a program of which this went well before.
    fn again(&self, name: &str) -> Result<Prepared, Failure> {
        self.prepare(name)?.map_err(|why| changed(name, &why))
    }

    fn verify(&mut self, name: &str) -> Result<Seen, Failure> {
        let mut seen = Seen {
            program: name.to_owned(),
            prog_type: String::new(),
            attach_type: String::new(),
            verdict: Verdict::Unloadable,
            reason: String::new(),
            counts: Counts::default(),
            stack: Vec::new(),
            deepest: 0,
            maps: 0,
            size: 0,
            jited: 0,
            memory: 0,
            lines: Vec::new(),
            rejection: None,
        };
        let prepared = match self.prepare(name)? {
            Ok(prepared) => prepared,
            Err(why) => return Ok(Seen { reason: why, ..seen }),
        };
        (seen.prog_type, seen.attach_type) = prepared.types();
        let slots = prepared.slots();
        seen.size = slots.len() as u32;
        let log = buffer(STATISTICS)?;
        let loaded = prepared.load(STATS, &log);
        let statistics = log::statistics(&log.text());
        if let Some((counts, depths)) = &statistics {
            seen.counts = *counts;
            seen.stack.clone_from(depths);
            seen.deepest = stack::deepest(&slots, depths);
        }
        match (loaded, statistics) {
            (Ok(Some(loaded)), _) => {
                seen.verdict = Verdict::Success;
                (seen.maps, seen.jited, seen.memory) = (loaded.maps, loaded.jited, loaded.memory);
            }
            (Ok(None), _) => seen.reason = "libbpf leaves it out: nothing in the object uses it".into(),
            (Err(errno), None) => seen.reason = format!("{errno}: {}", said()),
            (Err(errno), Some(_)) => {
                let why = said();
                let rejection = self.rejection(name)?;
                seen.reason = reason(&rejection.log);
                if !seen.reason.is_empty() {
                    seen.verdict = Verdict::Failure;
                    seen.rejection = Some(rejection);
                } else if self.stand_ins {
                    seen.reason = format!("verified, but libbpf does not complete it: {errno}: {why}");
                } else {
                    // Verified, but what it shares the object with was missing.
                    self.stand_ins = true;
                    return self.verify(name);
                }
            }
        }
        if self.ask.lines && seen.verdict != Verdict::Unloadable {
            seen.lines = self.lines(name, seen.size as usize, seen.counts.insns)?;
        }
        Ok(seen)
    }

    /// The path that is rejected.
    fn rejection(&self, name: &str) -> Result<Rejection, Failure> {
        let mut prepared = self.again(name)?;
        let places = prepared.lines();
        let log = buffer(PATH)?;
        // libbpf would repeat the log.
        set_print(None);
        if prepared.load(LEVEL1 | STATS, &log).is_ok() {
            return Err(changed(name, "it is accepted"));
        }
        let log = log.text();
        let mut start = log.len().saturating_sub(TOLD);
        while !log.is_char_boundary(start) {
            start += 1;
        }
        let log = log[start..].to_owned();
        let place = |slot| {
            let next = places.partition_point(|(first, _)| *first <= slot);
            Some((slot, places.get(next.checked_sub(1)?)?.1.clone()))
        };
        let mut shown: Vec<(u32, Place)> =
            log.lines().filter_map(log::instruction).filter_map(place).collect();
        shown.sort();
        shown.dedup();
        Ok(Rejection { log, places: shown })
    }

    /// What every C line cost of a program of `size` slots, of which `insns` were processed.
    fn lines(&self, name: &str, size: usize, insns: u64) -> Result<Vec<LineSeen>, Failure> {
        let mut prepared = self.again(name)?;
        let places = prepared.lines();
        let log = buffer(LARGEST_LOG)?;
        let mut tally = Tally::new(size);
        let done = AtomicBool::new(false);
        set_print(None);
        let whole = std::thread::scope(|scope| {
            let reader = scope.spawn(|| log.follow(&done, |line| tally.line(line)));
            // Its result is known; the log alone is of interest.
            let _ = prepared.load(LEVEL2 | STATS, &log);
            done.store(true, Ordering::Release);
            reader.join().expect("the reader does not panic")
        });
        let failed = |what: String| Err(Failure::Harness(format!("program {name}: {what}")));
        if !whole {
            return failed(format!("its log is longer than the {LARGEST_LOG} bytes there can be room for"));
        }
        // The last instruction of a program that is too large is counted and not shown.
        if tally.visits() != insns && tally.visits() + 1 != insns {
            return failed(format!(
                "this kernel's log is not understood: it shows {} instructions, of {insns} processed",
                tally.visits()
            ));
        }
        Ok(tally.by_line(&places))
    }
}

/// The line of a log that says why: the last one before the statistics; nothing if the verifier has no complaint.
fn reason(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let end = lines.iter().rposition(|line| line.starts_with("verification time ")).unwrap_or(lines.len());
    lines[..end].iter().rfind(|line| !line.is_empty()).copied().unwrap_or_default().to_owned()
}

fn changed(name: &str, what: &str) -> Failure {
    Failure::Harness(format!("program {name}: loaded again it is another: {what}"))
}
