//! `bpftwin objects`: what an object file holds, and whether the simulator has all it needs.

use std::fmt::Write as _;
use std::path::Path;

use bpftwin_conformance::exit::Exit;
use bpftwin_conformance::inventory::{Inventory, Need, inventory};
use bpftwin_conformance::resolve::{Library, objects::open};

use bpftwin_sim::bpf::load::LoadOptions;

use super::args::{Format, Objects};
use super::{Stop, Terminal};

/// Describes object files; exit 1 if the simulator lacks something one of them needs.
pub fn objects(terminal: &Terminal, objects: &Objects) -> Result<Exit, Stop> {
    let mut exit = Exit::Pass;
    let described = objects.described.read().map_err(Stop::usage)?;
    let options = LoadOptions {
        kconfig: described.kconfig.clone(),
        kernel_types: described.kernel_types.as_ref().map(|types| types.0.clone()),
        ..LoadOptions::default()
    };
    for file in &objects.file {
        let opened = match open(&Library::beside(Path::new("")), file) {
            Ok(opened) => opened,
            // With several files, one that cannot be used does not keep the others from being looked at.
            Err(what) if objects.file.len() > 1 => {
                terminal.out(&unusable(terminal, file, &what.to_string()))?;
                exit = Exit::Failed;
                continue;
            }
            Err(what) => return Err(Stop::usage(what.to_string())),
        };
        let mut object = opened.object.clone();
        for (program, prog_type) in &described.types {
            if !object.set_type(program, *prog_type) {
                return Err(Stop::usage(format!("{file} has no program {program}")));
            }
        }
        let inventory = inventory(&object, &options);
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

fn unusable(terminal: &Terminal, file: &str, why: &str) -> String {
    match terminal.global.format {
        Format::Json => {
            let line = serde_json::json!({ "v": 1, "event": "object", "file": file, "unusable": why });
            format!("{line}\n")
        }
        _ => format!("{why}\n"),
    }
}

fn human(file: &str, inventory: &Inventory) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{file}: object {}, license {}", inventory.name, inventory.license);
    let _ = writeln!(out, "\nprograms");
    for program in &inventory.programs {
        let note = match (program.declined, program.autoload) {
            (Some(why), _) => format!("  (declined: {why})"),
            (None, true) => String::new(),
            (None, false) => "  (not loaded unless asked for)".to_owned(),
        };
        let _ = writeln!(
            out,
            "  {:<24} {:<28} SEC(\"{}\"), {} instructions{note}",
            program.name, program.prog_type, program.section, program.insns
        );
    }
    let _ = writeln!(out, "\nmaps");
    for map in &inventory.maps {
        let pinned = if map.pinning == 0 { String::new() } else { format!(", pinning {}", map.pinning) };
        let _ = writeln!(
            out,
            "  {:<24} {:<28} key {} value {} bytes, {} entries{pinned}",
            map.name, map.map_type, map.key_size, map.value_size, map.max_entries
        );
    }
    needs(&mut out, "helpers", &inventory.helpers);
    needs(&mut out, "kernel functions", &inventory.kfuncs);
    needs(&mut out, "externs", &inventory.externs);
    list(&mut out, "notes", &inventory.notes);
    if inventory.missing.is_empty() {
        let _ = writeln!(out, "\nthe simulator has everything this object needs");
    } else {
        list(&mut out, "the simulator lacks", &inventory.missing);
    }
    list(&mut out, "the simulator lacks, for programs not loaded unless asked for", &inventory.optional);
    out
}

fn list(out: &mut String, title: &str, lines: &[String]) {
    if !lines.is_empty() {
        let _ = writeln!(out, "\n{title}");
    }
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
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
