//! New rows against recorded ones: what got worse, by how much, and at which C lines.

use std::collections::BTreeMap;

use super::lock::{Entry, Lock};
use super::protocol::{LineSeen, Place, Verdict};
use super::row::{Key, Row};
use super::{Subject, verify};
use crate::plane::Unavailable;
use crate::plane::kernel::KernelPlane;

/// How much more than recorded is allowed: so many parts of a hundred, or so many instructions if that is more.
const PARTS: u64 = 3;
const INSNS: u64 = 500;
/// What no program may exceed: 70 % of `BPF_COMPLEXITY_LIMIT_INSNS` (include/linux/bpf.h, v6.12), 90 % of `MAX_BPF_STACK`
/// (include/linux/filter.h) and of `MAX_USED_MAPS` (include/linux/bpf_verifier.h).
const MOST_INSNS: u64 = 1_000_000 * 70 / 100;
const MOST_STACK: u32 = 512 * 90 / 100;
const MOST_MAPS: u32 = 64 * 90 / 100;

/// What became of one program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judged {
    /// Within its budget, and as recorded.
    Same,
    /// Within its budget, with another number of instructions.
    Within {
        /// Instructions recorded.
        was: u64,
    },
    /// Beyond its budget.
    Over {
        /// Each reason, in words.
        why: Vec<String>,
    },
    /// Not recorded, although other programs on this kernel are.
    New,
    /// Recorded, and gone from the object.
    Gone,
    /// Not compared, and why.
    NotCompared {
        /// In words.
        why: String,
    },
}

/// Judges `rows`, of which `lock` recorded some. Every entry of the lock and every row is in the answer once.
pub fn judge(lock: &Lock, rows: &[Row]) -> BTreeMap<Key, Judged> {
    let recorded_for = |row: &Row| {
        lock.entries.keys().any(|key| key.kernel == row.key.kernel && key.object == row.key.object)
    };
    let mut judged = BTreeMap::new();
    for row in rows {
        let verdict = match lock.entries.get(&row.key) {
            Some(was) => compare(was, row),
            None => match absolute(row) {
                why if !why.is_empty() => Judged::Over { why },
                _ if recorded_for(row) => Judged::New,
                _ => Judged::NotCompared { why: "nothing of this object is recorded for this kernel".into() },
            },
        };
        judged.insert(row.key.clone(), verdict);
    }
    for key in lock.entries.keys() {
        let here = |what: fn(&Key) -> &String| rows.iter().any(|row| what(&row.key) == what(key));
        let verdict = if !here(|key| &key.kernel) {
            Judged::NotCompared { why: "no such kernel here".into() }
        } else if !here(|key| &key.object) {
            Judged::NotCompared { why: "the object was not given".into() }
        } else if !here(|key| &key.llvm) {
            Judged::NotCompared { why: "compiled by another clang".into() }
        } else if !here(|key| &key.config) {
            Judged::NotCompared { why: "the configuration was not given".into() }
        } else {
            Judged::Gone
        };
        judged.entry(key.clone()).or_insert(verdict);
    }
    judged
}

fn compare(was: &Entry, row: &Row) -> Judged {
    let (now, mut why) = (&row.seen.counts, absolute(row));
    match (was.verdict, row.seen.verdict) {
        (Verdict::Unloadable, Verdict::Unloadable) => {
            return Judged::NotCompared { why: format!("cannot be loaded here: {}", row.seen.reason) };
        }
        (before, after) if after > before => {
            why.push(format!("{} where it was a {}: {}", after.name(), before.name(), row.seen.reason));
        }
        _ => {}
    }
    let budget = was.insns + (was.insns * PARTS / 100).max(INSNS);
    if now.insns > budget {
        why.push(format!(
            "{} instructions processed, {} recorded: {} more, of which {} are allowed",
            now.insns,
            was.insns,
            now.insns - was.insns,
            budget - was.insns
        ));
    }
    if !why.is_empty() {
        Judged::Over { why }
    } else if now.insns == was.insns && row.seen.verdict == was.verdict {
        Judged::Same
    } else {
        Judged::Within { was: was.insns }
    }
}

/// What a gate found.
#[derive(Clone, Debug, Default)]
pub struct Gated {
    /// What became of every program given or recorded.
    pub judged: BTreeMap<Key, Judged>,
    /// Of those that are over their budget, the lines that grew.
    pub grew: BTreeMap<Key, Vec<Growth>>,
    /// Objects that libbpf does not open, and why.
    pub refused: Vec<(String, String)>,
}

/// Has a kernel verify `subjects` and holds them to `lock`. Programs that are over their budget are verified once more, to
/// say where.
pub fn gate(kernel: &KernelPlane, lock: &Lock, subjects: &[Subject]) -> Result<Gated, Unavailable> {
    let verified = verify(kernel, subjects, false)?;
    let judged = judge(lock, &verified.rows);
    let over = |subject: &Subject, key: &Key, judged: &Judged| {
        matches!(judged, Judged::Over { .. }) && key.object == subject.object && key.config == subject.config
    };
    let mut again = Vec::new();
    for subject in subjects {
        let over = judged.iter().filter(|(key, judged)| over(subject, key, judged));
        let mut subject = subject.clone();
        subject.image.programs = over.map(|(key, _)| key.program.clone()).collect();
        if !subject.image.programs.is_empty() {
            again.push(subject);
        }
    }
    let again = if again.is_empty() { Vec::new() } else { verify(kernel, &again, true)?.rows };
    let growth = |row: Row| {
        let (before, all) = lock.entries.get(&row.key).map(Entry::lines).unwrap_or_default();
        (row.key, grown(&before, all, &row.seen.lines))
    };
    let grew = again.into_iter().map(growth).collect();
    Ok(Gated { judged, grew, refused: verified.refused })
}

/// The lines nothing may cross.
fn absolute(row: &Row) -> Vec<String> {
    let seen = &row.seen;
    let lines = [
        (seen.counts.insns, MOST_INSNS, "instructions processed", "70 % of what a kernel allows"),
        (seen.deepest.into(), MOST_STACK.into(), "bytes of stack", "90 % of what a kernel allows"),
        (seen.maps.into(), MOST_MAPS.into(), "maps", "90 % of what a kernel allows"),
    ];
    let crossed = lines.into_iter().filter(|(is, most, ..)| is > most);
    crossed.map(|(is, most, what, part)| format!("{is} {what}: more than {most}, {part}")).collect()
}

/// A C line that is visited more often than before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Growth {
    /// Which.
    pub place: Place,
    /// Visits before: the most there can have been.
    pub was: u64,
    /// Visits now.
    pub now: u64,
}

/// The lines that grew, those that grew most first. `all`: whether `before` has every line, else lines it lacks had at
/// most as many visits as the least it has. A line is recognised by its text, wherever it has moved in its file.
pub fn grown(before: &[LineSeen], all: bool, now: &[LineSeen]) -> Vec<Growth> {
    let missing = if all { 0 } else { before.iter().map(|line| line.visits).min().unwrap_or(0) };
    let mut known: BTreeMap<(&str, &str), Vec<&LineSeen>> = BTreeMap::new();
    for line in before {
        known.entry((&line.place.file, &line.place.text)).or_default().push(line);
    }
    for lines in known.values_mut() {
        lines.sort_by_key(|line| std::cmp::Reverse(line.place.line));
    }
    let mut sorted: Vec<&LineSeen> = now.iter().collect();
    sorted.sort_by_key(|line| (&line.place.file, line.place.line));
    let mut grown = Vec::new();
    for line in sorted {
        let same = known.get_mut(&(line.place.file.as_str(), line.place.text.as_str()));
        let was = same.and_then(Vec::pop).map_or(missing, |line| line.visits);
        if line.visits > was {
            grown.push(Growth { place: line.place.clone(), was, now: line.visits });
        }
    }
    grown.sort_by_key(|growth| std::cmp::Reverse(growth.now - growth.was));
    grown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::protocol::{Counts, Seen};

    fn row(kernel: &str, program: &str, insns: u64) -> Row {
        let key = Key {
            object: "a.o".into(),
            program: program.into(),
            config: "default".into(),
            kernel: kernel.into(),
            llvm: "-".into(),
        };
        let seen = Seen {
            program: program.into(),
            prog_type: "xdp".into(),
            attach_type: "xdp".into(),
            verdict: Verdict::Success,
            reason: String::new(),
            counts: Counts { insns, ..Counts::default() },
            stack: vec![8],
            deepest: 16,
            maps: 1,
            size: 10,
            jited: 40,
            memory: 4096,
            lines: Vec::new(),
            rejection: None,
        };
        Row { key, seen }
    }

    fn judged(lock: &[Row], rows: &[Row]) -> Vec<Judged> {
        judge(&Lock::of(lock), rows).into_values().collect()
    }

    #[test]
    fn a_budget_is_three_parts_of_a_hundred_or_500() {
        for (was, now, over) in
            [(100, 600, false), (100, 601, true), (100_000, 103_000, false), (100_000, 103_001, true)]
        {
            let judged = judged(&[row("6.18", "p", was)], &[row("6.18", "p", now)]);
            assert_eq!(matches!(judged[..], [Judged::Over { .. }]), over, "{was} {now}: {judged:?}");
        }
        assert_eq!(judged(&[row("6.18", "p", 7)], &[row("6.18", "p", 7)]), [Judged::Same]);
        assert_eq!(judged(&[row("6.18", "p", 7)], &[row("6.18", "p", 6)]), [Judged::Within { was: 7 }]);
    }

    #[test]
    fn nothing_crosses_the_absolute_lines() {
        let check = |change: &dyn Fn(&mut Seen), why: &str| {
            let mut row = row("6.18", "p", 100);
            change(&mut row.seen);
            // Recorded so or not recorded at all.
            for lock in [&[row.clone()][..], &[]] {
                match &judged(lock, &[row.clone()])[..] {
                    [Judged::Over { why: said }] => assert!(said[0].contains(why), "{said:?}"),
                    other => panic!("{other:?}"),
                }
            }
        };
        check(&|seen| seen.counts.insns = 700_001, "instructions processed: more than 700000");
        check(&|seen| seen.deepest = 464, "bytes of stack: more than 460");
        check(&|seen| seen.maps = 58, "maps: more than 57");
    }

    #[test]
    fn verdicts_that_get_worse() {
        let with = |verdict| {
            let mut row = row("6.18", "p", 100);
            row.seen.verdict = verdict;
            [row]
        };
        let (good, bad, none) = (with(Verdict::Success), with(Verdict::Failure), with(Verdict::Unloadable));
        assert!(matches!(judged(&good, &bad)[..], [Judged::Over { .. }]));
        assert!(matches!(judged(&good, &none)[..], [Judged::Over { .. }]));
        assert_eq!(judged(&bad, &bad), [Judged::Same]);
        assert_eq!(judged(&bad, &good), [Judged::Within { was: 100 }]);
        assert!(matches!(judged(&none, &none)[..], [Judged::NotCompared { .. }]));
    }

    #[test]
    fn what_is_not_compared_is_named() {
        let lock = [row("6.12", "p", 7), row("6.18", "gone", 7), row("6.18", "p", 7)];
        let rows = [row("6.18", "new", 7), row("6.18", "p", 7)];
        let no_kernel = Judged::NotCompared { why: "no such kernel here".into() };
        assert_eq!(judged(&lock, &rows), [Judged::Gone, Judged::New, no_kernel.clone(), Judged::Same]);
        let other = judged(&lock[..1], &rows);
        assert_eq!(other.iter().filter(|judged| **judged == no_kernel).count(), 1);
        assert!(other.iter().all(|judged| matches!(judged, Judged::NotCompared { .. })), "{other:?}");
    }

    #[test]
    fn lines_are_known_by_their_text() {
        let line = |line, text: &str, visits| LineSeen {
            place: Place { file: "a.c".into(), line, text: text.into() },
            visits,
            states: 0,
        };
        let before = [line(3, "f();", 10), line(5, "g();", 4), line(9, "f();", 20)];
        let now = [line(4, "f();", 10), line(6, "g();", 44), line(10, "f();", 21), line(11, "h();", 9)];
        let grew = |all| {
            let grew = grown(&before, all, &now);
            grew.into_iter().map(|g| (g.place.line, g.was, g.now)).collect::<Vec<_>>()
        };
        assert_eq!(grew(true), [(6, 4, 44), (11, 0, 9), (10, 20, 21)]);
        assert_eq!(grew(false), [(6, 4, 44), (11, 4, 9), (10, 20, 21)]);
    }
}
