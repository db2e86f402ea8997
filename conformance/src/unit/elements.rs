//! The results of a test in an array, an element for each part, as newer suites have them:
//!
//! | offset | what |
//! |---|---|
//! | 0 | 1 where the element holds a part |
//! | 2 | `u16`: how much was asserted |
//! | 4 | 256 bytes: the name, ended by a NUL |
//! | 260 | `int`: how it came out, 100 to 103 |
//! | 264 | how many logs there are, of which at most 64 are kept |
//! | 268 | 64 times 256 bytes: the logs, ended by a NUL |

use super::Verdict;
use super::result::Part;

const TEXT: usize = 256;
const LOGS: usize = 64;
const FIRST_LOG: usize = 268;

/// Bytes of an element.
pub const ENTRY: usize = FIRST_LOG + LOGS * TEXT;

/// Reads an element; `None` for one that holds no part. The error says why it cannot be read.
pub fn read(entry: &[u8]) -> Result<Option<Part>, String> {
    if entry.len() != ENTRY {
        return Err(format!("an element of {} bytes, where {ENTRY} are due", entry.len()));
    }
    if entry[0] == 0 {
        return Ok(None);
    }
    let text = |at: usize| {
        let bytes = &entry[at..at + TEXT];
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(TEXT);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    let result = i32::from_le_bytes([entry[260], entry[261], entry[262], entry[263]]);
    let verdict = u32::try_from(result).ok().and_then(Verdict::of_code);
    let verdict = verdict.ok_or_else(|| {
        format!("result {result} is neither 100 (error), 101 (pass), 102 (fail) nor 103 (skip)")
    })?;
    let said = usize::from(entry[264]);
    let mut logs: Vec<String> = (0..said.min(LOGS)).map(|nth| text(FIRST_LOG + nth * TEXT)).collect();
    if said > LOGS {
        logs.push(format!("({} more, which the array has no room for)", said - LOGS));
    }
    Ok(Some(Part { name: text(4), verdict, logs }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(result: i32, logs: &[&str]) -> Vec<u8> {
        let mut entry = vec![0; ENTRY];
        entry[0] = 1;
        entry[4..10].copy_from_slice(b"a part");
        entry[260..264].copy_from_slice(&result.to_le_bytes());
        entry[264] = logs.len() as u8;
        for (nth, log) in logs.iter().take(LOGS).enumerate() {
            entry[FIRST_LOG + nth * TEXT..][..log.len()].copy_from_slice(log.as_bytes());
        }
        entry
    }

    #[test]
    fn an_element_is_a_part() {
        assert_eq!(read(&vec![0; ENTRY]), Ok(None));
        let part = read(&entry(102, &["one", "two"])).unwrap().unwrap();
        assert_eq!((part.name.as_str(), part.verdict), ("a part", Verdict::Fail));
        assert_eq!(part.logs, ["one", "two"]);
        let part = read(&entry(101, &["x"; 70])).unwrap().unwrap();
        assert_eq!((part.verdict, part.logs.len()), (Verdict::Pass, 65));
        assert_eq!(part.logs[64], "(6 more, which the array has no room for)");
        let full = vec![b'y'; TEXT];
        let part = read(&entry(103, &[std::str::from_utf8(&full).unwrap()])).unwrap().unwrap();
        assert_eq!(part.logs[0].len(), TEXT, "without a NUL");
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        assert!(read(&[1; 12]).unwrap_err().contains("12 bytes"));
        assert!(read(&entry(0, &[])).unwrap_err().contains("result 0 is neither"));
        assert!(read(&entry(-1, &[])).unwrap_err().contains("result -1 is neither"));
    }
}
