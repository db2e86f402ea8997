//! `bpftwin objects`: what an object file holds, and whether the simulator has all it needs.

use std::fmt::Write as _;
use std::path::Path;

use bpftwin_conformance::exit::Exit;
use bpftwin_conformance::inventory::{Inventory, Need, inventory};
use bpftwin_conformance::resolve::{Library, objects::open};

use super::args::{Format, Objects};
use super::{Stop, Terminal};

/// Describes object files; exit 1 if the simulator lacks something one of them needs.
pub fn objects(terminal: &Terminal, objects: &Objects) -> Result<Exit, Stop> {
    let mut exit = Exit::Pass;
    for file in &objects.file {
        let opened =
            open(&Library::beside(Path::new("")), file).map_err(|what| Stop::usage(what.to_string()))?;
        let inventory = inventory(&opened.object);
        if !inventory.missing.is_empty() {
            exit = Exit::Failed;
        }
        let text = match terminal.global.format {
            Format::Json => {
                let line =
                    serde_json::json!({ "v": 1, "event": "object", "file": file, "inventory": &inventory });
                format!("{line}\n")
            }
            _ => human(file, &inventory),
        };
        if terminal.global.quiet == 0 || (terminal.global.quiet == 1 && !inventory.missing.is_empty()) {
            terminal.out(&text)?;
        }
    }
    Ok(exit)
}

fn human(file: &str, inventory: &Inventory) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{file}: object {}, license {}", inventory.name, inventory.license);
    let _ = writeln!(out, "\nprograms");
    for program in &inventory.programs {
        let note = if program.autoload { "" } else { "  (not loaded unless asked for)" };
        let _ = writeln!(
            out,
            "  {:<24} {:<28} SEC(\"{}\"), {} instructions{note}",
            program.name, program.prog_type, program.section, program.insns
        );
    }
    let _ = writeln!(out, "\nmaps");
    for map in &inventory.maps {
        let _ = writeln!(
            out,
            "  {:<24} {:<28} key {} value {} bytes, {} entries",
            map.name, map.map_type, map.key_size, map.value_size, map.max_entries
        );
    }
    needs(&mut out, "helpers", &inventory.helpers);
    needs(&mut out, "externs", &inventory.externs);
    if inventory.missing.is_empty() {
        let _ = writeln!(out, "\nthe simulator has everything this object needs");
    } else {
        let _ = writeln!(out, "\nthe simulator lacks");
        for missing in &inventory.missing {
            let _ = writeln!(out, "  {missing}");
        }
    }
    out
}

fn needs(out: &mut String, title: &str, needs: &[Need]) {
    if needs.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}");
    for need in needs {
        let mark = if need.there { ' ' } else { '!' };
        let _ = writeln!(out, "{mark} {:<32} {}", need.name, need.used_by.join(", "));
    }
}
