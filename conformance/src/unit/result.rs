//! What a check writes into `suite_result_map`: protobuf wire format as C macros write it.
//!
//! ```text
//! message SuiteResult { repeated TestResult results = 1; repeated Log logs = 2; }
//! message TestResult  { string name = 1; Status status = 2; repeated Log logs = 3; }
//! message Log         { string format = 1; repeated fixed64 arguments = 2; }
//! ```
//!
//! Two things are not as a protobuf library has it. The length of a `TestResult` takes two bytes even where one would
//! do, as it is filled in afterwards; and the lengths of names, formats and logs are one raw byte, up to 255. What follows
//! the last field is zero.

use super::Verdict;
use super::printf;

/// What a check said about its parts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SuiteResult {
    /// One per part, in order.
    pub parts: Vec<Part>,
    /// What it said outside its parts.
    pub logs: Vec<String>,
}

/// A part of a check with a name and a status of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Its name, without the trailing NUL.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What it said.
    pub logs: Vec<String>,
}

impl Part {
    /// Its name and how it came out.
    pub fn says(&self) -> String {
        format!("part \"{}\": {}", self.name, self.verdict.word())
    }
}

/// Bytes that are no result.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
#[error("byte {offset}: {what}")]
pub struct Malformed {
    /// Where, counted from the value's first byte.
    pub offset: usize,
    /// What is wrong.
    pub what: String,
}

/// Reads the value of key 0. What was read up to an error is given too.
pub fn decode(bytes: &[u8]) -> (SuiteResult, Option<Malformed>) {
    let mut result = SuiteResult::default();
    let wrong = Reader { bytes, at: 0, end: bytes.len() }.suite(&mut result).err();
    (result, wrong)
}

/// Field number 1, length-delimited: results, names, formats.
const FIRST: u8 = 1 << 3 | 2;
/// Field number 2, length-delimited: logs of the suite; packed arguments of a log.
const SECOND: u8 = 2 << 3 | 2;
/// Field number 3, length-delimited: logs of a part.
const THIRD: u8 = 3 << 3 | 2;
/// Field number 2, varint: a status.
const STATUS: u8 = 2 << 3;
/// Field number 2, 64 bits: an argument.
const ARGUMENT: u8 = 2 << 3 | 1;

/// What is most often behind it.
const OPEN: &str = "did a part end without having its length written?";

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    fn wrong<T>(offset: usize, what: impl Into<String>) -> Result<T, Malformed> {
        Err(Malformed { offset, what: what.into() })
    }

    fn byte(&mut self, what: &str) -> Result<u8, Malformed> {
        if self.at == self.end {
            return Self::wrong(self.at, format!("{what} is cut off"));
        }
        self.at += 1;
        Ok(self.bytes[self.at - 1])
    }

    fn varint(&mut self, what: &str) -> Result<u64, Malformed> {
        let (start, mut value) = (self.at, 0);
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Self::wrong(start, format!("{what} is a number of more than 10 bytes"))
    }

    /// The next `len` bytes on their own.
    fn inside(&mut self, start: usize, len: u64, what: &str) -> Result<Reader<'a>, Malformed> {
        let left = self.end - self.at;
        match usize::try_from(len) {
            Ok(len) if len <= left => {
                let inside = Reader { bytes: self.bytes, at: self.at, end: self.at + len };
                self.at += len;
                Ok(inside)
            }
            _ => Self::wrong(start, format!("{what} of {len} bytes is cut off after {left}")),
        }
    }

    /// What a length of one raw byte leads.
    fn short(&mut self, what: &str) -> Result<Reader<'a>, Malformed> {
        let start = self.at;
        let len = self.byte(what)?;
        self.inside(start, len.into(), what)
    }

    /// Text up to its NUL.
    fn text(&mut self, what: &str) -> Result<String, Malformed> {
        let text = self.short(what)?;
        let bytes = &text.bytes[text.at..text.end];
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    fn suite(&mut self, result: &mut SuiteResult) -> Result<(), Malformed> {
        while self.bytes[self.at..self.end].iter().any(|byte| *byte != 0) {
            let start = self.at;
            match self.byte("a field")? {
                FIRST => {
                    let at = self.at;
                    let len = self.varint("the length of a result")?;
                    let mut inside = self.inside(at, len, "a result")?;
                    result.parts.push(inside.part(start)?);
                }
                SECOND => result.logs.push(self.short("a log")?.log()?),
                0 => {
                    return Self::wrong(
                        start,
                        format!("no field begins with 0x00, and more follows; {OPEN}"),
                    );
                }
                tag => {
                    return Self::wrong(start, format!("field tag {tag:#04x} is none of a suite's result"));
                }
            }
        }
        Ok(())
    }

    fn part(&mut self, start: usize) -> Result<Part, Malformed> {
        let (mut name, mut verdict, mut logs) = (None, None, Vec::new());
        while self.at < self.end {
            let at = self.at;
            match self.byte("a field")? {
                FIRST => name = Some(self.text("a name")?),
                STATUS => {
                    let status = self.varint("a status")?;
                    let known = u32::try_from(status).ok().and_then(Verdict::of_code);
                    let Some(known) = known else {
                        let expected = "100 (error), 101 (pass), 102 (fail) nor 103 (skip)";
                        return Self::wrong(at, format!("status {status} is neither {expected}"));
                    };
                    verdict = Some(known);
                }
                THIRD => logs.push(self.short("a log")?.log()?),
                tag => return Self::wrong(at, format!("field tag {tag:#04x} is none of a part's result")),
            }
        }
        let Some(verdict) = verdict else {
            return Self::wrong(start, format!("a part without a status; {OPEN}"));
        };
        Ok(Part { name: name.unwrap_or_default(), verdict, logs })
    }

    fn log(&mut self) -> Result<String, Malformed> {
        let (mut format, mut arguments) = (String::new(), Vec::new());
        while self.at < self.end {
            let at = self.at;
            match self.byte("a field")? {
                FIRST => format = self.text("a format")?,
                ARGUMENT => arguments.push(self.fixed64()?),
                SECOND => {
                    let mut packed = self.short("arguments")?;
                    while packed.at < packed.end {
                        arguments.push(packed.fixed64()?);
                    }
                }
                tag => return Self::wrong(at, format!("field tag {tag:#04x} is none of a log")),
            }
        }
        Ok(printf::format(&format, &arguments))
    }

    fn fixed64(&mut self) -> Result<u64, Malformed> {
        let number = self.inside(self.at, 8, "an argument")?;
        let bytes = self.bytes[number.at..number.end].try_into().expect("eight bytes");
        Ok(u64::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tag: u8, text: &str) -> Vec<u8> {
        [&[tag, text.len() as u8 + 1], text.as_bytes(), &[0]].concat()
    }

    fn log(tag: u8, format: &str, arguments: &[u64]) -> Vec<u8> {
        let mut inside = text(FIRST, format);
        for argument in arguments {
            inside.push(ARGUMENT);
            inside.extend(argument.to_le_bytes());
        }
        [&[tag, inside.len() as u8], &inside[..]].concat()
    }

    fn part(name: &str, status: u8, logs: &[Vec<u8>]) -> Vec<u8> {
        let inside = [text(FIRST, name), vec![STATUS, status], logs.concat()].concat();
        let len = inside.len();
        [&[FIRST, len as u8 & 0x7f | 0x80, (len >> 7) as u8], &inside[..]].concat()
    }

    fn padded(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = parts.concat();
        bytes.resize(8192, 0);
        bytes
    }

    #[test]
    fn what_the_macros_write_is_read() {
        let long = "x".repeat(200);
        let bytes = padded(&[
            part("first", 101, &[]),
            log(SECOND, "between %d", &[u64::MAX]),
            part(&long, 102, &[log(THIRD, &format!("{long} %llu"), &[7]), log(THIRD, "again", &[])]),
            part("", 103, &[]),
            part("last", 100, &[]),
        ]);
        let (result, wrong) = decode(&bytes);
        assert_eq!(wrong, None);
        let parts: Vec<_> = result.parts.iter().map(|p| (p.name.as_str(), p.verdict)).collect();
        assert_eq!(
            parts,
            [
                ("first", Verdict::Pass),
                (&*long, Verdict::Fail),
                ("", Verdict::Skip),
                ("last", Verdict::Error)
            ]
        );
        assert_eq!(result.parts[1].logs, [format!("{long} 7"), "again".into()]);
        assert_eq!(result.logs, ["between -1"]);
        assert_eq!(decode(&[0; 8192]), (SuiteResult::default(), None));
        assert_eq!(decode(&[]), (SuiteResult::default(), None));
    }

    #[test]
    fn what_is_broken_is_named_with_its_place() {
        let whole = part("p", 101, &[log(THIRD, "a %u", &[1])]);
        for (bytes, offset, what) in [
            (padded(&[vec![0x55]]), 0, "field tag 0x55"),
            (padded(&[whole.clone(), vec![0x0b]]), whole.len(), "field tag 0x0b"),
            // A part that ended by `return`.
            (padded(&[vec![FIRST, 0, 0], text(FIRST, "p"), vec![STATUS, 101]]), 0, "without a status"),
            (padded(&[vec![FIRST, 0x82, 0, STATUS, 104]]), 3, "status 104"),
            (vec![FIRST], 1, "length of a result is cut off"),
            (vec![FIRST, 0x85], 2, "length of a result is cut off"),
            (vec![FIRST, 0x85, 0, FIRST], 1, "a result of 5 bytes is cut off after 1"),
            (padded(&[vec![FIRST, 0x82, 0, FIRST, 9]]), 4, "a name of 9 bytes is cut off after 0"),
            (padded(&[vec![SECOND, 2, ARGUMENT, 1]]), 3, "an argument of 8 bytes is cut off after 1"),
            (padded(&[[&[FIRST][..], &[0xff; 12]].concat()]), 1, "more than 10 bytes"),
            (padded(&[vec![0], vec![1]]), 0, "no field begins with 0x00"),
        ] {
            let (_, wrong) = decode(&bytes);
            let wrong = wrong.unwrap_or_else(|| panic!("{:?} is read", &bytes[..bytes.len().min(8)]));
            assert_eq!(wrong.offset, offset, "{wrong}");
            assert!(wrong.what.contains(what), "{wrong}");
        }
    }

    #[test]
    fn no_bytes_panic() {
        let whole = padded(&[part("part", 101, &[log(THIRD, "a %u %s", &[1, 2])]), log(SECOND, "b", &[3])]);
        let mut seed = 1_u64;
        for _ in 0..20_000 {
            let mut bytes = whole[..80].to_vec();
            for _ in 0..3 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                bytes[(seed >> 33) as usize % 80] = (seed >> 56) as u8;
            }
            bytes.truncate((seed >> 20) as usize % 81);
            decode(&bytes);
        }
    }
}
