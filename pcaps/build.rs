//! Lists the files under `captures/` as a sorted table of name and bytes.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let captures = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("captures");
    println!("cargo::rerun-if-changed={}", captures.display());
    let mut files: Vec<PathBuf> = fs::read_dir(&captures)
        .unwrap_or_else(|error| panic!("{}: {error}", captures.display()))
        .map(|entry| entry.expect("a readable directory").path())
        .collect();
    files.sort();
    let mut table = String::from("&[\n");
    for file in &files {
        let path = file.to_str().expect("a path in UTF-8");
        let name = file.file_name().expect("a file in a directory").to_string_lossy().into_owned();
        writeln!(table, "    Capture {{ file: {name:?}, bytes: include_bytes!({path:?}) }},")
            .expect("to a string");
    }
    table.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("captures.rs");
    fs::write(&out, table).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}
