//! `bpftwin kernels`: what virtual machines can run.

use std::fmt::Write as _;

use bpftwin_conformance::exit::Exit;
use bpftwin_conformance::kernels::{Cache, Cached, fetch, sources};

use super::args::{Format, Kernels};
use super::{Stop, Terminal};

/// Lists, fetches or adds.
pub fn kernels(terminal: &Terminal, verb: &Kernels) -> Result<Exit, Stop> {
    let cache = Cache::open().map_err(Stop::unavailable)?;
    match verb {
        Kernels::List => {
            terminal.out(&match terminal.global.format {
                Format::Json => json(&cache.kernels()),
                _ => list(&cache.kernels()),
            })?;
        }
        Kernels::Fetch { names } => {
            let known = sources();
            let wanted = names.iter().map(|name| {
                known.iter().find(|source| source.name == *name).ok_or_else(|| {
                    let names: Vec<_> = known.iter().map(|source| source.name.as_str()).collect();
                    Stop::usage(format!("no kernel {name} can be fetched; there are: {}", names.join(", ")))
                })
            });
            for source in wanted.collect::<Result<Vec<_>, _>>()? {
                let kernel = fetch(source, &cache).map_err(Stop::unavailable)?;
                say(terminal, &kernel)?;
            }
        }
        Kernels::Add { name, vmlinuz, modules } => {
            let files = [Some(vmlinuz), modules.as_ref()].into_iter().flatten();
            let from = files.map(|file| file.to_string_lossy().into_owned()).collect();
            let kernel = cache.add(name, vmlinuz, modules.as_deref(), from).map_err(Stop::usage)?;
            say(terminal, &kernel)?;
        }
    }
    Ok(Exit::Pass)
}

fn say(terminal: &Terminal, kernel: &Cached) -> Result<(), Stop> {
    if terminal.global.quiet > 0 {
        return Ok(());
    }
    match terminal.global.format {
        Format::Json => terminal.out(&json(std::slice::from_ref(kernel))),
        _ => terminal.out(&line(kernel)),
    }
}

fn line(kernel: &Cached) -> String {
    let from = kernel.manifest.from.join(", ");
    format!("{:<10} {}, from {from}\n", kernel.name, kernel.manifest.release)
}

fn list(here: &[Cached]) -> String {
    let mut out: String = here.iter().map(line).collect();
    for source in sources().iter().filter(|source| here.iter().all(|kernel| kernel.name != source.name)) {
        let _ = writeln!(
            out,
            "{:<10} not here; `bpftwin kernels fetch {}` gets {} of {}",
            source.name, source.name, source.package, source.suite
        );
    }
    out
}

fn json(kernels: &[Cached]) -> String {
    kernels.iter().fold(String::new(), |mut out, kernel| {
        let manifest = &kernel.manifest;
        let line = serde_json::json!({
            "v": 1, "event": "kernel", "name": kernel.name, "release": manifest.release, "from": manifest.from,
            "sha256": manifest.sha256,
        });
        let _ = writeln!(out, "{line}");
        out
    })
}
