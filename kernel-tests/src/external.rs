//! Many objects, loaded by the simulator and by libbpf: which load on both, and why the others do not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bpftwin_conformance::inventory::inventory;
use bpftwin_sim::bpf::btf::Btf;
use bpftwin_sim::bpf::load::LoadOptions;
use bpftwin_sim::bpf::object::Object;
use bpftwin_sim::uapi::ProgType;

use crate::failure::Failure;
use crate::log;
use crate::sys::{LibbpfProgram, Opened};

/// What loading one object came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tried {
    /// Programs of types that can be simulated and that are loaded unless a caller says otherwise.
    pub programs: usize,
    /// Why the simulator does not load it, each reason once; empty if it does.
    pub simulator: Vec<String>,
    /// Why libbpf or the kernel do not.
    pub kernel: Result<(), String>,
}

/// Loads the object in `bytes` twice, on the kernel without the programs of types that cannot be simulated.
pub fn try_both(bytes: &[u8], options: &LoadOptions) -> Tried {
    let (mut programs, simulator) = match Object::parse("case.o", bytes) {
        Ok(object) => {
            let count =
                object.programs.iter().filter(|p| p.autoload && p.prog_type.not_simulated().is_none());
            (count.count(), inventory(&object, options).missing)
        }
        Err(error) => (0, vec![error.kind.to_string()]),
    };
    log::begin();
    let kernel = Opened::open("case", bytes).and_then(|mut opened| {
        opened.choose(|program| program.autoload && simulated(program));
        programs = opened.programs().iter().filter(|program| program.autoload).count();
        opened.leave_out_struct_ops();
        opened.load()
    });
    Tried {
        programs,
        simulator,
        kernel: kernel.map_err(|errno| format!("{errno}: {}", reason(&log::take()))),
    }
}

fn simulated(program: &LibbpfProgram) -> bool {
    ProgType::from_u32(program.prog_type).is_some_and(|known| known.not_simulated().is_none())
}

/// The line of libbpf's log, or of the verifier's in it, that says why.
fn reason(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(|line| line.trim_start_matches("libbpf: ").trim()).collect();
    let verifier = lines.iter().position(|line| line.starts_with("processed ") && line.contains(" insns"));
    let said = verifier.and_then(|at| lines[..at].iter().rfind(|line| !line.is_empty()));
    let first = || lines.iter().find(|line| !line.is_empty());
    said.or_else(first).copied().unwrap_or_default().to_owned()
}

/// Tries every file and gives a table: one line per object, then reasons by how many objects have them.
pub fn table(files: &[String]) -> Result<String, Failure> {
    let types = fs::read("/sys/kernel/btf/vmlinux")
        .map_err(|error| Failure::Harness(format!("the kernel does not show its types: {error}")))?;
    let types =
        Btf::parse(&types).map_err(|error| Failure::Harness(format!("the kernel's types: {error}")))?;
    let options = LoadOptions { kernel_types: Some(Arc::new(types)), ..LoadOptions::default() };
    let mut out = String::new();
    let (mut counts, mut reasons) = (BTreeMap::new(), BTreeMap::<String, u32>::new());
    for file in files {
        let bytes = fs::read(file).map_err(|error| Failure::Case(format!("{file}: {error}")))?;
        let tried = try_both(&bytes, &options);
        let (verdict, why) = match (&tried.simulator[..], &tried.kernel) {
            ([], Ok(())) if tried.programs == 0 => ("nothing to run", ""),
            ([], Ok(())) => ("both", ""),
            ([], Err(why)) => ("kernel refuses", why.as_str()),
            ([why, ..], Ok(())) => ("simulator declines", why.as_str()),
            ([why, ..], Err(_)) => ("neither", why.as_str()),
        };
        *counts.entry(verdict).or_insert(0) += 1;
        if verdict == "simulator declines" {
            let mut grouped: Vec<String> = tried.simulator.iter().map(|why| group(why)).collect();
            grouped.sort();
            grouped.dedup();
            for why in grouped {
                *reasons.entry(why).or_default() += 1;
            }
        }
        let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy();
        let _ = writeln!(out, "{verdict:<18}  {name:<44}  {why}");
    }
    let _ = writeln!(out, "\nobjects");
    for (verdict, count) in counts {
        let _ = writeln!(out, "{count:>6}  {verdict}");
    }
    let _ = writeln!(out, "\nwhy the simulator declines what the kernel loads, by objects");
    let mut reasons: Vec<(u32, String)> = reasons.into_iter().map(|(why, count)| (count, why)).collect();
    reasons.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    for (count, why) in reasons {
        let _ = writeln!(out, "{count:>6}  {why}");
    }
    Ok(out)
}

/// A reason without the names of programs and maps and without places.
fn group(why: &str) -> String {
    let rest = match (why.strip_prefix("program \""), why.strip_prefix("map \"")) {
        (Some(rest), _) | (_, Some(rest)) => rest.split_once('"').map_or(rest, |(_, rest)| rest),
        _ => why,
    };
    let rest = match rest.strip_prefix(", instruction ") {
        // The place ends where the line of C does: `12 (file.c:3: text): what`.
        Some(rest) => match rest.split_once(" (") {
            Some((_, text)) => text.rsplit_once("): ").map_or(text, |(_, what)| what),
            None => rest.split_once(": ").map_or(rest, |(_, what)| what),
        },
        None => rest,
    };
    rest.trim_start_matches([':', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::group;

    #[test]
    fn reasons_are_grouped_without_places() {
        let table = [
            ("program \"p\", instruction 3: bpf_bind is not modelled", "bpf_bind is not modelled"),
            (
                "program \"p\", instruction 3 (a.c:7: f(x) + (y);): bpf_bind is not modelled",
                "bpf_bind is not modelled",
            ),
            ("program \"p\": section \"x\" names no type", "section \"x\" names no type"),
            ("map \"m\" (BPF_MAP_TYPE_HASH): fails", "(BPF_MAP_TYPE_HASH): fails"),
            ("extern \"e\": is not set", "extern \"e\": is not set"),
        ];
        for (why, expected) in table {
            assert_eq!(group(why), expected);
        }
    }
}
