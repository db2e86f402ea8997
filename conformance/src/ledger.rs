//! Known differences between planes: each with a reason, a citation and a date by which somebody looks again.
//! Strict both ways: an entry that explains nothing any more is an error, and so is one past its date.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::compare::{Difference, IgnoreRule};
use crate::scenario::mistake::{Mistake, Mistakes, What};
use crate::scenario::of_toml;
use crate::scenario::spanned::Spanned;

/// A calendar day, as the command line knows it: the library reads no clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// The day `days` after 1970-01-01 (civil calendar).
    pub fn from_unix_days(days: u64) -> Self {
        let (mut year, mut left) = (1970, days);
        loop {
            let in_year = if leap(year) { 366 } else { 365 };
            if left < in_year {
                break;
            }
            left -= in_year;
            year += 1;
        }
        let mut month = 1;
        while left >= u64::from(days_in(year, month)) {
            left -= u64::from(days_in(year, month));
            month += 1;
        }
        Self { year, month, day: left as u8 + 1 }
    }
}

const fn leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in(year: u16, month: u8) -> u8 {
    match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a day such as 2027-01-31");
        let parts: Vec<&str> = text.split('-').collect();
        let [y, m, d] = parts[..] else { return Err(wrong()) };
        if (y.len(), m.len(), d.len()) != (4, 2, 2) {
            return Err(wrong());
        }
        let (Ok(year), Ok(month), Ok(day)) = (y.parse(), m.parse(), d.parse()) else { return Err(wrong()) };
        if !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
            return Err(wrong());
        }
        Ok(Self { year, month, day })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    difference: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    scenario: Spanned<String>,
    field: Spanned<String>,
    reason: Spanned<String>,
    cite: Spanned<String>,
    review_by: Spanned<String>,
}

/// A known difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The scenario's name.
    pub scenario: String,
    /// The field, as reports name it; a whole map, record or layer stands for its fields.
    pub field: String,
    /// Why the planes differ.
    pub reason: String,
    /// The kernel source that says so: file, function, version.
    pub cite: String,
    /// When somebody looks again.
    pub review_by: Date,
    /// The entry's line in the ledger, from 1.
    pub line: usize,
}

/// Every known difference.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ledger {
    /// In the file's order.
    pub entries: Vec<Entry>,
}

/// What a ledger makes of a scenario's differences.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Judgement {
    /// Differences nothing explains.
    pub unexplained: Vec<Difference>,
    /// Differences an entry explains, with the entry's reason.
    pub explained: Vec<(Difference, String)>,
    /// Entries that are wrong now, in words.
    pub stale: Vec<String>,
}

impl Ledger {
    /// Reads a ledger; `file` is what messages call it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Mistakes> {
        let fail = |list| Mistakes { file: file.to_owned(), text: text.into(), list };
        let data: File = toml::from_str(text).map_err(|error| fail(vec![of_toml(&error, text)]))?;
        let mut mistakes = Vec::new();
        let mut entries: Vec<Entry> = Vec::new();
        for written in data.difference {
            for (what, value) in [("reason", &written.reason), ("cite", &written.cite)] {
                if value.trim().is_empty() {
                    let what = format!("an entry of the ledger needs a {what}");
                    mistakes.push(Mistake::new(What::Value(what), &value.span));
                }
            }
            let review_by = match written.review_by.parse() {
                Ok(date) => date,
                Err(why) => {
                    mistakes.push(Mistake::new(What::Value(why), &written.review_by.span));
                    continue;
                }
            };
            let (scenario, field) = (written.scenario.value, written.field.value);
            if entries.iter().any(|e| e.scenario == scenario && e.field == field) {
                let name = format!("{scenario} {field}");
                mistakes.push(Mistake::new(What::Duplicate { what: "entry", name }, &written.field.span));
            }
            let line = Mistakes::position(text, written.scenario.span.start).0;
            let (reason, cite) = (written.reason.value, written.cite.value);
            entries.push(Entry { scenario, field, reason, cite, review_by, line });
        }
        if mistakes.is_empty() { Ok(Self { entries }) } else { Err(fail(mistakes)) }
    }

    /// Judges the differences of one scenario as of `today`.
    pub fn judge(&self, scenario: &str, differences: Vec<Difference>, today: Date) -> Judgement {
        let mut judgement = Judgement::default();
        let entries: Vec<&Entry> = self.entries.iter().filter(|e| e.scenario == scenario).collect();
        let mut used = vec![false; entries.len()];
        for difference in differences {
            let explains = |e: &&Entry| {
                IgnoreRule { field: e.field.clone(), reason: String::new() }.covers(&difference.field)
            };
            match entries.iter().position(explains) {
                Some(i) => {
                    used[i] = true;
                    judgement.explained.push((difference, entries[i].reason.clone()));
                }
                None => judgement.unexplained.push(difference),
            }
        }
        for (entry, used) in entries.iter().zip(used) {
            if !used {
                judgement.stale.push(format!(
                    "ledger line {}: {} of {} no longer differs; remove the entry",
                    entry.line, entry.field, entry.scenario
                ));
            } else if entry.review_by < today {
                judgement.stale.push(format!(
                    "ledger line {}: {} of {} was to be reviewed by {}",
                    entry.line, entry.field, entry.scenario, entry.review_by
                ));
            }
        }
        judgement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "[[difference]]\nscenario = \"nat\"\nfield = \"map:ct\"\nreason = \"a clock\"\n\
                         cite = \"kernel/time/timekeeping.c: ktime_get, v6.12\"\nreview-by = \"2027-01-31\"\n";

    fn difference(field: &str) -> Difference {
        Difference {
            run: None,
            field: field.into(),
            place: String::new(),
            left: "1".into(),
            right: "2".into(),
            bytes: None,
        }
    }

    #[test]
    fn an_entry_explains_its_field_and_nothing_else() {
        let ledger = Ledger::parse("ledger.toml", ENTRY).unwrap();
        let today = "2026-12-01".parse().unwrap();
        let judged = ledger.judge("nat", vec![difference("map:ct.last_seen"), difference("map:ctx")], today);
        assert_eq!(judged.explained.len(), 1);
        assert_eq!(judged.unexplained, [difference("map:ctx")]);
        assert!(judged.stale.is_empty());
        assert!(ledger.judge("other", vec![], today).stale.is_empty());
    }

    #[test]
    fn strict_both_ways() {
        let ledger = Ledger::parse("ledger.toml", ENTRY).unwrap();
        for (differences, today, expect) in [
            (vec![], "2026-12-01", "ledger line 2: map:ct of nat no longer differs; remove the entry"),
            (
                vec![difference("map:ct")],
                "2027-02-01",
                "ledger line 2: map:ct of nat was to be reviewed by 2027-01-31",
            ),
        ] {
            assert_eq!(ledger.judge("nat", differences, today.parse().unwrap()).stale, [expect]);
        }
        assert!(
            ledger.judge("nat", vec![difference("map:ct")], "2027-01-31".parse().unwrap()).stale.is_empty()
        );
    }

    #[test]
    fn mistakes_have_their_place() {
        for (from, to, expect) in [
            ("2027-01-31", "2027-02-29", "l:6:13: \"2027-02-29\" is not a day such as 2027-01-31"),
            ("cite = \"kernel/time/timekeeping.c: ktime_get, v6.12\"\n", "", "l:1:1: missing field `cite`"),
            ("a clock", " ", "l:4:10: an entry of the ledger needs a reason"),
            ("field", "feild", "l:3:1: unknown key `feild` (did you mean `field`?)"),
        ] {
            assert_eq!(Ledger::parse("l", &ENTRY.replace(from, to)).unwrap_err().to_string(), expect);
        }
    }

    #[test]
    fn days_are_the_calendars() {
        for (days, expect) in
            [(0, "1970-01-01"), (59, "1970-03-01"), (11016, "2000-02-29"), (20454, "2026-01-01")]
        {
            assert_eq!(Date::from_unix_days(days).to_string(), expect);
        }
    }
}
