//! The captures bpftwin tests with: real ones, recorded by `make.sh` from real programs, and malformed ones, made by
//! `malform.py`. Each has a row in `INDEX.toml` that says what it is, how it was made and who uses it.

use serde::Deserialize;

/// A capture, in the binary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capture {
    /// The file's name, such as `ping.pcap`.
    pub file: &'static str,
    /// The file: classic pcap, Ethernet, nanoseconds.
    pub bytes: &'static [u8],
}

/// Every capture, ordered by name.
pub const CAPTURES: &[Capture] = include!(concat!(env!("OUT_DIR"), "/captures.rs"));

/// The index as it stands in the repository.
pub const INDEX: &str = include_str!("../INDEX.toml");

/// A capture's row in the index.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The file's name.
    pub file: String,
    /// What is in it.
    pub what: String,
    /// How it was made.
    pub made: String,
    /// How many packets it holds.
    pub packets: usize,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Where it is used.
    pub used_by: Vec<String>,
}

/// The bytes of a capture by file name, such as `ping.pcap`.
pub fn get(file: &str) -> Option<&'static [u8]> {
    let at = CAPTURES.binary_search_by_key(&file, |capture| capture.file).ok()?;
    Some(CAPTURES[at].bytes)
}

/// The rows of [`INDEX`], in its order.
pub fn index() -> Vec<Row> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Index {
        capture: Vec<Row>,
    }
    let index: Index = toml::from_str(INDEX).expect("INDEX.toml is part of this crate and well-formed");
    index.capture
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bpftwin_sim::wire::pcap;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn every_file_has_a_row_and_every_row_a_file() {
        let files: BTreeSet<_> = CAPTURES.iter().map(|capture| capture.file.to_owned()).collect();
        let rows: BTreeSet<_> = index().into_iter().map(|row| row.file).collect();
        assert_eq!(files, rows);
        assert_eq!(rows.len(), index().len(), "a file has two rows");
    }

    #[test]
    fn rows_tell_the_truth() {
        for row in index() {
            let bytes = get(&row.file).expect("tested above");
            let digest = Sha256::digest(bytes);
            let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
            assert_eq!(sha256, row.sha256, "{}: run index.py and review the difference", row.file);
            let packets = pcap::read(bytes).unwrap_or_else(|error| panic!("{}: {error}", row.file));
            assert_eq!(packets.len(), row.packets, "{}", row.file);
            assert!(packets.iter().all(|packet| packet.data.len() == packet.original_len as usize));
            for text in [&row.what, &row.made] {
                assert!(!text.is_empty(), "{}", row.file);
            }
            assert!(!row.used_by.is_empty(), "{}: a capture nobody uses", row.file);
        }
    }

    #[test]
    fn three_programs_see_more_than_ten_thousand_packets() {
        let packets: usize = index().iter().map(|row| row.packets).sum();
        assert!(packets > 3_334, "{packets} packets");
    }

    #[test]
    fn an_unknown_name_is_none() {
        assert_eq!(get("ping"), None);
        assert!(get("ping.pcap").is_some());
    }
}
