//! House rules of the simulator that a compiler does not check. See ARCHITECTURE.md.

use std::fs;
use std::path::{Path, PathBuf};

const FLOORS: [&str; 5] = ["uapi", "wire", "bpf", "net", "world"];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every source file of the simulator as (path below `src`, code without comments).
fn code() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&src, &mut found);
    found.sort();
    assert!(found.len() > 10, "the tree has moved");
    let strip = |text: &str| -> String {
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
    };
    found
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
            (name, strip(&fs::read_to_string(path).unwrap()))
        })
        .collect()
}

/// The floors named in `crate::…` paths, in `use crate::{a, b}` lists too.
fn floors_used(text: &str) -> Vec<&'static str> {
    let mut used = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        for name in names {
            let name = name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
            used.extend(FLOORS.iter().copied().filter(|&floor| floor == name));
        }
    }
    used
}

#[test]
fn a_floor_uses_only_floors_below() {
    let rank = |floor: &str| FLOORS.iter().position(|&f| f == floor);
    let mut wrong = Vec::new();
    for (name, text) in code() {
        let Some(own) = name.split(['/', '.']).next().and_then(rank) else { continue };
        for used in floors_used(&text) {
            if rank(used) > Some(own) {
                wrong.push(format!("{name} uses {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_floor_rule_sees_a_breach() {
    assert_eq!(
        floors_used("use crate::net::Skb; use crate::{bpf::Machine, world};"),
        ["net", "bpf", "world"]
    );
}

#[test]
fn one_module_knows_the_crate_rbpf() {
    let names_it = |text: &str| {
        let text = text.replace("super::rbpf::", "").replace("bpf::rbpf::", "");
        text.contains("::rbpf::") || text.contains("use rbpf::") || text.contains("EbpfVm")
    };
    let naming: Vec<String> =
        code().into_iter().filter(|(_, text)| names_it(text)).map(|(name, _)| name).collect();
    assert_eq!(naming, ["bpf/rbpf.rs"], "only there is known what rbpf gets wrong");
}

#[test]
fn nothing_reaches_outside() {
    let banned = [
        ("std::fs", "the simulator does no I/O"),
        ("std::net::Tcp", "the simulator does no I/O"),
        ("std::net::Udp", "the simulator does no I/O"),
        ("std::io::std", "the simulator does no I/O"),
        ("std::process", "the simulator starts nothing"),
        ("std::env", "the simulator reads no environment"),
        ("std::thread", "the simulator has no threads"),
        ("SystemTime", "time is an argument"),
        ("Instant", "time is an argument"),
        ("HashMap", "iteration order would be random"),
        ("HashSet", "iteration order would be random"),
        ("println!", "the simulator prints nothing"),
        ("thread_local!", "the simulator has no globals"),
        ("static mut", "the simulator has no globals"),
    ];
    let mut wrong = Vec::new();
    for (name, text) in code() {
        for (word, why) in banned {
            if text.contains(word) {
                wrong.push(format!("{name}: {word}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_machine_code_needs_unsafe() {
    let word = "unsafe ";
    let wrong: Vec<String> =
        code().into_iter().filter(|(_, text)| text.contains(word)).map(|(name, _)| name).collect();
    assert!(wrong.iter().all(|name| name.starts_with("bpf/jit/")), "{wrong:#?}");
}
