//! Lists the bundled scenarios and their goldens, so that the binary carries them: a scenario is one file in
//! `scenarios/`, nothing more.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let scenarios = root.join("scenarios");
    println!("cargo::rerun-if-changed={}", scenarios.display());
    let mut out = String::from("&[\n");
    for file in below(&scenarios) {
        println!("cargo::rerun-if-changed={}", file.parent().expect("it is in a folder").display());
        let name = file.strip_prefix(&scenarios).expect("it was found below").with_extension("");
        let name = name.to_string_lossy().replace('\\', "/");
        let mut goldens = String::new();
        for series in entries(&file.with_file_name("golden")) {
            println!("cargo::rerun-if-changed={}", series.display());
            let stem = file.file_stem().expect("it has an extension").to_string_lossy().into_owned();
            let golden = series.join(format!("{stem}.jsonl"));
            if golden.is_file() {
                let kernel = series.file_name().expect("a folder's name").to_string_lossy().into_owned();
                let golden = golden.to_string_lossy();
                let _ = write!(goldens, "({kernel:?}, include_str!({golden:?})), ");
            }
        }
        let file = file.to_string_lossy();
        let _ = writeln!(
            out,
            "    Bundled {{ name: {name:?}, text: include_str!({file:?}), goldens: &[{goldens}] }},"
        );
    }
    out.push_str("]\n");
    let target = Path::new(&env::var_os("OUT_DIR").expect("cargo sets it")).join("bundled.rs");
    fs::write(target, out).expect("OUT_DIR can be written");
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

/// Every `*.toml` below `folder`, in order of their paths.
fn below(folder: &Path) -> Vec<PathBuf> {
    entries(folder)
        .into_iter()
        .flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect()
}
