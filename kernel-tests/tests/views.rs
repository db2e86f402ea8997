//! The simulator's loader and libbpf read the same in an object file: every object of this repository, and those below the
//! folders that `BPFTWIN_OBJECTS` names, separated by colons. Needs root.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bpftwin_kernel_tests::view::{Known, View, view};
use bpftwin_sim::bpf::btf::Btf;

/// The object files below `folder`, in the order of their names.
fn objects(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
                left.push(path);
            } else if matches!(extension, Some("o" | "elf")) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// What was seen in many objects.
#[derive(Default)]
struct Seen {
    both: usize,
    neither: usize,
    maps: usize,
    programs: usize,
    slots: usize,
    unresolved: usize,
    known: BTreeMap<Known, usize>,
    differences: Vec<String>,
}

impl Seen {
    fn of(files: &[PathBuf]) -> Self {
        let kernel = fs::read("/sys/kernel/btf/vmlinux").expect("the kernel shows its types");
        let kernel = Btf::parse(&kernel).unwrap();
        let mut seen = Self::default();
        for file in files {
            seen.add(&file.display().to_string(), view(&fs::read(file).unwrap(), &kernel));
        }
        seen
    }

    fn add(&mut self, file: &str, view: View) {
        let mut known = |known| *self.known.entry(known).or_default() += 1;
        match view {
            View::Both(compared) => {
                self.both += 1;
                self.maps += compared.maps;
                self.programs += compared.programs;
                self.slots += compared.slots;
                self.unresolved += compared.unresolved.len();
                compared.known.into_iter().for_each(known);
                self.differences.extend(compared.differences.iter().map(|what| format!("{file}: {what}")));
            }
            View::Known(why) => known(why),
            View::Neither(..) => self.neither += 1,
            View::Libbpf(why) => self.differences.push(format!("{file}: only libbpf takes it: {why}")),
            View::Simulator(why) => {
                self.differences.push(format!("{file}: only the simulator takes it; libbpf: {why}"));
            }
        }
    }

    fn report(&self) -> String {
        format!(
            "{} objects read by both, {} by neither; compared: {} maps, {} programs, {} instructions; {} programs not \
             resolved; known: {:?}",
            self.both, self.neither, self.maps, self.programs, self.slots, self.unresolved, self.known
        )
    }
}

#[test]
fn libbpf_reads_objects_as_the_simulator_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folders =
        ["sim/tests/objects", "conformance/tests", "kernel-tests/tests/objects", "datapath-bpf/prebuilt"];
    let mut files: Vec<PathBuf> = folders.iter().flat_map(|folder| objects(&root.join(folder))).collect();
    for folder in std::env::var_os("BPFTWIN_OBJECTS").iter().flat_map(std::env::split_paths) {
        let more = objects(&folder);
        assert!(!more.is_empty(), "no object below {}", folder.display());
        files.extend(more);
    }
    let seen = Seen::of(&files);
    println!("{}", seen.report());
    assert!(seen.differences.is_empty(), "{}", seen.differences.join("\n"));
    assert!(seen.both > 30 && seen.slots > 19_000, "{}", seen.report());
}
