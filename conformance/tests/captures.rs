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

#[test]
fn no_capture_is_left_out() {
    let files = scenarios_of_every_capture();
    assert!(files.len() >= 7, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let missing: Vec<&str> = bpftwin_pcaps::CAPTURES
            .iter()
            .map(|capture| capture.file)
            .filter(|capture| !text.contains(&format!("pcap = \"pcaps:{capture}\"\n")))
            .collect();
        assert!(missing.is_empty(), "{} lacks {missing:?}", file.display());
    }
}
