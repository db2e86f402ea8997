//! Which scenarios are meant.

use std::path::{Path, PathBuf};

use bpftwin_conformance::bundled;
use bpftwin_conformance::resolve::Library;
use bpftwin_conformance::scenario::name_of;
use bpftwin_conformance::suite::Item;
use bpftwin_sim::uapi::Release;

use super::Stop;

/// Scenarios by files, folders and parts of names. Without a file or folder, names are those of bundled scenarios.
pub fn select(what: &[String]) -> Result<Vec<Item>, Stop> {
    let (paths, names): (Vec<_>, Vec<_>) = what.iter().partition(|text| is_path(text));
    let mut items = if paths.is_empty() {
        bundled::SCENARIOS.iter().map(bundled::Bundled::item).collect()
    } else {
        files(&paths)?
    };
    if !names.is_empty() {
        items.retain(|item| names.iter().any(|name| item.name.contains(name.as_str())));
        if items.is_empty() {
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            return Err(Stop {
                message: format!("no scenario's name contains {}", names.join(" or ")),
                exit: bpftwin_conformance::exit::Exit::NothingRan,
            });
        }
    }
    Ok(items)
}

fn is_path(text: &str) -> bool {
    let path = Path::new(text);
    path.extension().is_some_and(|extension| extension == "toml") || path.exists()
}

/// Scenarios of files and folders.
pub fn files<S: AsRef<str>>(paths: &[S]) -> Result<Vec<Item>, Stop> {
    let mut files = Vec::new();
    for path in paths {
        let path = Path::new(path.as_ref());
        if path.is_dir() {
            let before = files.len();
            walk(path, &mut files).map_err(|error| Stop::usage(format!("{}: {error}", path.display())))?;
            if files.len() == before {
                return Err(Stop::usage(format!("{}: no *.toml in this folder", path.display())));
            }
        } else {
            files.push(path.to_owned());
        }
    }
    files.iter().map(|path| item(path)).collect()
}

/// Every `*.toml` below `folder`, in order of their paths.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            walk(&entry, files)?;
        } else if entry.extension().is_some_and(|extension| extension == "toml") {
            files.push(entry);
        }
    }
    Ok(())
}

fn item(path: &Path) -> Result<Item, Stop> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Stop::usage(format!("cannot read {}: {error}", path.display())))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let goldens = Release::ALL.iter().filter_map(|release| {
        let text = std::fs::read_to_string(golden(path, *release)).ok()?;
        Some((*release, text))
    });
    Ok(Item {
        name: name_of(&path.to_string_lossy()),
        file: path.to_string_lossy().into_owned(),
        library: Library::beside(folder),
        goldens: goldens.collect(),
        text,
    })
}

/// Where the golden of a scenario file is: `golden/6.18/NAME.jsonl` beside it.
pub fn golden(scenario: &Path, release: Release) -> PathBuf {
    let folder = scenario.parent().unwrap_or(Path::new(""));
    let name = scenario.file_stem().unwrap_or_default().to_string_lossy();
    folder.join("golden").join(release.name()).join(format!("{name}.jsonl"))
}
