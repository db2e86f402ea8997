//! A capture added to `pcaps/` must be added to every scenario that says it runs them all.

use std::fs;
use std::path::{Path, PathBuf};

fn scenarios_of_every_capture() -> Vec<PathBuf> {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<PathBuf> = ["veth", "xdp_prefilter"]
        .iter()
        .flat_map(|object| fs::read_dir(scenarios.join(object)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("captures-"))
        .collect();
    files.sort();
    files
}

/// The packets, from 1, that the scenario takes of a capture, in its order.
fn taken(scenario: &str, row: &bpftwin_pcaps::Row) -> Vec<usize> {
    let name = format!("pcap = \"pcaps:{}", row.file);
    let takes = scenario.lines().filter_map(|line| line.strip_prefix(&name)?.strip_suffix('"'));
    takes
        .flat_map(|selection| match selection.strip_prefix('#').and_then(|range| range.split_once('-')) {
            Some((first, last)) => first.parse().unwrap()..=last.parse().unwrap(),
            None if selection.is_empty() => 1..=row.packets,
            None => panic!("{name}{selection}"),
        })
        .collect()
}

#[test]
fn every_packet_of_every_capture_is_taken_once() {
    let files = scenarios_of_every_capture();
    assert!(files.len() >= 7, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for row in bpftwin_pcaps::index() {
            let all: Vec<usize> = (1..=row.packets).collect();
            assert_eq!(taken(&text, &row), all, "{} of {}", row.file, file.display());
        }
    }
}
