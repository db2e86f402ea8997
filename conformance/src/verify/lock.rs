//! `verify.lock`: what the verifier counted when somebody last looked, committed and reviewed like `Cargo.lock`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::protocol::{LineSeen, Place, Verdict};
use super::row::{Key, Row};

/// The form of the file.
const VERSION: u32 = 1;
/// How many lines an entry keeps: those with the most visits.
const KEPT: usize = 16;

const HEAD: &str = "\
# Written by `bpftwin verify record`, read by `bpftwin verify gate`. Review a change as you would review code: it says what
# programs cost the verifier of a kernel.
";

/// What is recorded, by key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lock {
    /// Sorted.
    pub entries: BTreeMap<Key, Entry>,
}

/// What a program cost. Times and machine code are left out: they differ between machines of one kernel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Entry {
    /// The object's file name.
    pub object: String,
    /// The program's C name.
    pub program: String,
    /// The configuration's name.
    pub config: String,
    /// The kernel's series.
    pub kernel: String,
    /// The version of clang, or `-`.
    pub llvm: String,
    /// How loading ended.
    pub verdict: Verdict,
    /// Instructions processed.
    pub insns: u64,
    /// States made.
    pub states: u64,
    /// The most states at a time.
    pub peak_states: u64,
    /// The most states kept for one instruction.
    pub max_states_per_insn: u64,
    /// Bytes of stack of the deepest chain of calls.
    pub stack: u32,
    /// Maps used.
    pub maps: u32,
    /// Instructions given to the kernel.
    pub size: u32,
    /// The C lines with the most visits, as `VISITS TEXT @ FILE:LINE`; if there are fewer than 16, all of them.
    pub lines: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    program: Vec<Entry>,
}

impl Entry {
    /// Of what was seen, with its lines.
    pub fn of(row: &Row) -> Self {
        let (seen, counts) = (&row.seen, &row.seen.counts);
        let mut lines: Vec<&LineSeen> = seen.lines.iter().collect();
        lines.sort_by(|a, b| b.visits.cmp(&a.visits).then_with(|| a.place.cmp(&b.place)));
        let line = |line: &LineSeen| {
            let Place { file, line: number, text } = &line.place;
            format!("{} {text} @ {file}:{number}", line.visits)
        };
        let key = row.key.clone();
        Self {
            object: key.object,
            program: key.program,
            config: key.config,
            kernel: key.kernel,
            llvm: key.llvm,
            verdict: seen.verdict,
            insns: counts.insns,
            states: counts.states,
            peak_states: counts.peak_states,
            max_states_per_insn: counts.max_states_per_insn,
            stack: seen.deepest,
            maps: seen.maps,
            size: seen.size,
            lines: lines.into_iter().take(KEPT).map(line).collect(),
        }
    }

    /// What it is about.
    pub fn key(&self) -> Key {
        Key {
            object: self.object.clone(),
            program: self.program.clone(),
            config: self.config.clone(),
            kernel: self.kernel.clone(),
            llvm: self.llvm.clone(),
        }
    }

    /// The lines kept, and whether they are all there were.
    pub fn lines(&self) -> (Vec<LineSeen>, bool) {
        let read = |line: &String| {
            let (visits, rest) = line.split_once(' ')?;
            let (text, place) = rest.rsplit_once("@ ")?;
            let (file, number) = place.rsplit_once(':')?;
            let (file, text) = (file.to_owned(), text.trim_end().to_owned());
            let place = Place { file, line: number.parse().ok()?, text };
            Some(LineSeen { place, visits: visits.parse().ok()?, states: 0 })
        };
        (self.lines.iter().filter_map(read).collect(), self.lines.len() < KEPT)
    }
}

impl Lock {
    /// Of rows that were seen with their lines.
    pub fn of(rows: &[Row]) -> Self {
        Self { entries: rows.iter().map(|row| (row.key.clone(), Entry::of(row))).collect() }
    }

    /// Reads the file's text.
    pub fn read(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.version != VERSION {
            return Err(format!(
                "version {} of the form; this program knows version {VERSION}",
                file.version
            ));
        }
        let mut lock = Self::default();
        for entry in file.program {
            let key = entry.key();
            if lock.entries.insert(key.clone(), entry).is_some() {
                return Err(format!("two entries for {key}"));
            }
        }
        Ok(lock)
    }

    /// The file's text.
    pub fn write(&self) -> String {
        let mut out = format!("{HEAD}\nversion = {VERSION}\n");
        for entry in self.entries.values() {
            let text = toml::to_string_pretty(entry).expect("strings, numbers and a list of strings");
            let _ = write!(out, "\n[[program]]\n{text}");
        }
        out
    }

    /// Takes up newer entries. Of the objects in them, under the same kernel and compiler, nothing older stays: a program
    /// that is gone is gone from the lock, too. With `some` programs alone, all others stay.
    pub fn update(&mut self, newer: Self, some: bool) {
        let same = |a: &Key, b: &Key| {
            (&a.object, &a.config, &a.kernel, &a.llvm) == (&b.object, &b.config, &b.kernel, &b.llvm)
        };
        if !some {
            self.entries.retain(|key, _| !newer.entries.keys().any(|new| same(key, new)));
        }
        self.entries.extend(newer.entries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"version = 1
[[program]]
object = "b.o"
program = "p"
config = "default"
kernel = "6.18"
llvm = "-"
verdict = "success"
insns = 9
states = 1
peak-states = 1
max-states-per-insn = 1
stack = 16
maps = 1
size = 9
lines = ["6 x = \"a\" @ b; @ dir/a.c:7", "3  @ :0"]
"#;

    #[test]
    fn a_lock_is_written_as_it_is_read() {
        let lock = Lock::read(TEXT).unwrap();
        let written = lock.write();
        assert_eq!(Lock::read(&written).unwrap(), lock);
        assert_eq!(Lock::read(&written).unwrap().write(), written);
        let (lines, all) = lock.entries.values().next().unwrap().lines();
        let place = Place { file: "dir/a.c".into(), line: 7, text: "x = \"a\" @ b;".into() };
        assert_eq!(lines[0], LineSeen { place, visits: 6, states: 0 });
        assert_eq!((lines[1].visits, all), (3, true));
    }

    #[test]
    fn what_is_not_a_lock_is_refused() {
        let twice = TEXT.replacen("version = 1", "", 1);
        for wrong in [
            TEXT.replace("version = 1", "version = 2"),
            TEXT.replace("insns", "insn"),
            TEXT.replace("maps = 1\n", ""),
            format!("{TEXT}{twice}"),
        ] {
            assert!(Lock::read(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn newer_entries_replace_those_of_the_same_objects() {
        let of = |program: &str, kernel: &str| {
            let text = TEXT.replace("\"p\"", &format!("\"{program}\""));
            Lock::read(&text.replace("6.18", kernel)).unwrap()
        };
        let mut lock = of("p", "6.18");
        lock.update(of("q", "6.12"), false);
        lock.update(of("r", "6.18"), false);
        let named = |lock: &Lock| lock.entries.keys().map(|key| key.program.clone()).collect::<Vec<_>>();
        assert_eq!(named(&lock), ["q", "r"]);
        lock.update(of("s", "6.18"), true);
        assert_eq!(named(&lock), ["q", "r", "s"]);
    }
}
