//! What is to be verified: objects × configurations.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bpftwin_conformance::bytes::Bytes;
use bpftwin_conformance::case::{ObjectImage, Typed};
use bpftwin_conformance::described;
use bpftwin_conformance::resolve::Library;
use bpftwin_conformance::verify::Subject;
use bpftwin_conformance::verify::config::Config;
use bpftwin_conformance::verify::protocol::Place;
use bpftwin_sim::bpf::object::{Object, compiler};

use super::args::Subjects;
use crate::cli::{Stop, suite};

/// Reads every object and looks up every variable.
pub fn subjects(given: &Subjects) -> Result<Vec<Subject>, Stop> {
    if given.objects.is_empty() {
        return Err(Stop::usage("verify needs an object file"));
    }
    let mut configs = Vec::new();
    if let Some(file) = &given.configs {
        let said = |why: String| Stop::usage(format!("{}: {why}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| said(error.to_string()))?;
        configs.extend(Config::of_file(&text).map_err(said)?);
    }
    if !given.config.is_empty() {
        configs.push(Config::of_settings(&given.config).map_err(Stop::usage)?);
    }
    if configs.is_empty() {
        configs.push(Config::default_values());
    }
    let kconfig = given.kconfig.as_deref().map(described::kconfig).transpose().map_err(Stop::usage)?;
    let mut subjects = Vec::new();
    let (mut names, mut used) = (BTreeSet::new(), BTreeSet::new());
    for path in files(&given.objects)? {
        let elf = read(&path)?;
        let name = name(&path);
        if !names.insert(name.clone()) {
            return Err(Stop::usage(format!(
                "two objects are called {name}, which no record can tell apart"
            )));
        }
        for config in &configs {
            let mut globals = Vec::new();
            if !config.set.is_empty() {
                let object =
                    Object::parse(&name, &elf).map_err(|error| Stop::usage(format!("{path}: {error}")))?;
                match config.globals(&object).map_err(Stop::usage)? {
                    Some(set) => globals = set,
                    None => continue,
                }
            }
            used.insert(config.name.clone());
            let typed = |(program, prog_type): &(String, _)| Typed {
                program: program.clone(),
                prog_type: *prog_type as u32,
            };
            subjects.push(Subject {
                object: name.clone(),
                config: config.name.clone(),
                llvm: given.llvm.clone().or_else(|| compiler(&elf)).unwrap_or_else(|| "-".into()),
                image: ObjectImage {
                    name: name.clone(),
                    elf: Bytes(elf.clone()),
                    globals,
                    programs: given.program.clone(),
                    types: given.types.iter().map(typed).collect(),
                    kconfig: kconfig.clone().unwrap_or_default(),
                    kernel_types: None,
                    sizes: Vec::new(),
                },
            });
        }
    }
    match configs.iter().find(|config| !used.contains(&config.name)) {
        Some(config) => {
            Err(Stop::usage(format!("no object has the variables of configuration {}", config.name)))
        }
        None => Ok(subjects),
    }
}

/// The bytes of an object file, or of a bundled one.
pub fn read(path: &str) -> Result<Vec<u8>, Stop> {
    let library = Library::beside(Path::new(""));
    let bytes = library.read(path).map_err(|why| Stop::usage(format!("{path}: {why}")))?;
    Ok(bytes.into_owned())
}

/// The file's name; of a bundled object that of its file in the repository.
fn name(path: &str) -> String {
    match path.strip_prefix("datapath:") {
        Some(bundled) => format!("{bundled}.o"),
        None => path.rsplit('/').next().unwrap_or(path).to_owned(),
    }
}

/// The objects named, and those in folders.
fn files(objects: &[String]) -> Result<Vec<String>, Stop> {
    let mut files = Vec::new();
    for path in objects {
        if Path::new(path).is_dir() {
            let found = suite::objects(&[PathBuf::from(path)])?;
            files.extend(found.into_iter().map(|path| path.to_string_lossy().into_owned()));
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// The lines around `place`, where its file is found from here or from beside one of the objects, and still has that text.
pub fn excerpt(objects: &[String], place: &Place) -> Vec<(u32, String)> {
    let beside = objects.iter().filter_map(|object| Path::new(object).parent());
    let found = std::iter::once(Path::new("")).chain(beside).find_map(|folder| {
        let text = std::fs::read_to_string(folder.join(&place.file)).ok()?;
        let line = text.lines().nth(place.line.checked_sub(1)? as usize)?;
        (line.trim() == place.text).then_some(text)
    });
    let lines = (1u32..).zip(found.iter().flat_map(|text| text.lines()));
    lines
        .filter(|(number, _)| number.abs_diff(place.line) <= 2)
        .map(|(number, line)| (number, line.replace('\t', "    ")))
        .collect()
}
