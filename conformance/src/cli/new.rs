//! `bpftwin new`: a scenario to start from.

use std::fmt::Write as _;
use std::path::Path;

use bpftwin_conformance::exit::Exit;
use bpftwin_conformance::resolve::objects::{Opened, file_name, open};
use bpftwin_conformance::resolve::{Library, resolve};
use bpftwin_conformance::scenario::Scenario;
use bpftwin_conformance::{ctx, verdict};
use bpftwin_sim::uapi::ProgType;

use super::args::New;
use super::{Stop, Terminal};

/// Writes `NAME.toml`, which passes `check`.
pub fn new(terminal: &Terminal, new: &New) -> Result<Exit, Stop> {
    let name = new.name.strip_suffix(".toml").unwrap_or(&new.name);
    if name.is_empty() || name.ends_with('/') {
        return Err(Stop::usage("a scenario needs a name"));
    }
    let file = format!("{name}.toml");
    let path = Path::new(&file);
    if path.exists() {
        return Err(Stop::usage(format!("{file} is there already")));
    }
    let here = Library::beside(Path::new(""));
    let opened = open(&here, &new.object).map_err(|what| Stop::usage(what.to_string()))?;
    let (program, prog_type) = program(&opened, new)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let text = scaffold(name, new, &program, prog_type, &|file| from(folder, file));
    // What is written must be right, whatever was given: a capture that cannot be read is told now.
    let scenario = Scenario::parse(&file, &text).map_err(|wrong| Stop::usage(wrong.to_string()))?;
    resolve(&scenario, &Library::beside(folder)).map_err(|wrong| Stop::usage(wrong.to_string()))?;
    std::fs::write(path, text).map_err(|error| Stop::usage(format!("cannot write {file}: {error}")))?;
    terminal.out(&format!("{file} is written; next: bpftwin run {file}\n"))?;
    Ok(Exit::Pass)
}

/// A path given from here, as a scenario in `folder` has to write it.
fn from(folder: &Path, file: &str) -> String {
    let bundled = file.starts_with("datapath:") || file.starts_with("pcaps:");
    if bundled || folder.as_os_str().is_empty() || Path::new(file).is_absolute() {
        return file.to_owned();
    }
    std::path::absolute(file).map_or_else(|_| file.to_owned(), |path| path.to_string_lossy().into_owned())
}

fn program(opened: &Opened, new: &New) -> Result<(String, ProgType), Stop> {
    let programs = || opened.object.programs.iter().filter(|p| ctx::layout(p.prog_type).is_some());
    let names = || programs().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
    let chosen = if let Some(name) = &new.program {
        programs().find(|p| p.name == *name).ok_or_else(|| {
            Stop::usage(format!(
                "{} has no program {name} that takes packets; there are: {}",
                new.object,
                names()
            ))
        })?
    } else {
        let bundled = new.object.strip_prefix("datapath:").and_then(bpftwin_datapath::object);
        let entry = bundled.and_then(|object| object.entries.first());
        let mut all = programs().filter(|p| entry.is_none_or(|entry| p.name == *entry));
        match (all.next(), all.next()) {
            (Some(only), None) => only,
            (None, _) => {
                return Err(Stop::usage(format!("{} has no program that takes packets", new.object)));
            }
            (Some(_), Some(_)) => {
                let message =
                    format!("{} has several programs; add --program with one of: {}", new.object, names());
                return Err(Stop::usage(message));
            }
        }
    };
    Ok((chosen.name.clone(), chosen.prog_type))
}

/// A string in TOML.
fn toml(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn scaffold(
    name: &str,
    new: &New,
    program: &str,
    prog_type: ProgType,
    path: &dyn Fn(&str) -> String,
) -> String {
    let alias: String =
        file_name(&new.object).chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let alias = if alias.is_empty() { "object".to_owned() } else { alias };
    let title = name.rsplit('/').next().unwrap_or(name);
    let mut out = String::new();
    let _ = write!(
        out,
        "# A scenario runs packets through one BPF program and says what must come out.\n\
         # `bpftwin check` reads it, `bpftwin run` runs it in the simulator; as root,\n\
         # `bpftwin compare` runs it on this machine's kernel too and compares every field.\n\
         # `bpftwin schema` prints the JSON Schema of this format for editors.\n\
         \n\
         [scenario]\n\
         title = {}\n\
         objects = {{ {alias} = {} }}   # from this file's folder, or datapath:NAME\n\
         program = {}\n\
         # Global variables of the object, by C name, set before it is loaded:\n\
         # config.{alias} = {{ some_variable = 1 }}\n\
         \n",
        toml(title),
        toml(&path(&new.object)),
        toml(&format!("{alias}:{program}")),
    );
    let _ = write!(
        out,
        "# What maps hold before the first packet; keys and values are typed by BTF:\n\
         # [[map]]\n\
         # name = \"{alias}:some_map\"\n\
         # entries = [{{ key = {{ addr = \"10.0.0.1\", port = 80 }}, value = {{ packets = 0 }} }}]\n\
         \n\
         [[packet]]\n"
    );
    match &new.pcap {
        Some(pcap) => {
            let _ =
                writeln!(out, "pcap = {}   # every packet; \"file.pcap#3\" is the third", toml(&path(pcap)));
        }
        None => {
            let _ = write!(
                out,
                "name = \"syn\"\n\
                 pkt = \"Ether()/IP(src='192.0.2.1',dst='192.0.2.2')/TCP(sport=4242,dport=80,flags='S')\"\n"
            );
        }
    }
    let example = verdict::names(prog_type).into_iter().next().unwrap_or_else(|| "0".into());
    let _ = write!(
        out,
        "# ctx = {{ mark = 7 }}                # context fields by name\n\
         \n\
         # What must come out. What is not named is not checked; remove the # to begin with.\n\
         # [packet.expect]\n\
         # retval = \"{example}\"              # {}\n\
         # unchanged = true                  # or an edit of the input:\n\
         # like = \"input\"\n\
         # set = {{ \"IP.dst\" = \"10.0.1.7\" }}  # checksums follow\n\
         \n\
         # What maps hold after the last packet:\n\
         # [[expect.map]]\n\
         # name = \"{alias}:some_map\"\n\
         # entries = [{{ key = {{ addr = \"10.0.0.1\", port = 80 }}, value = {{ packets = 1 }} }}]\n\
         \n\
         # A field that cannot agree between simulator and kernel, such as a time:\n\
         # [[ignore]]\n\
         # field = \"map:some_map.last_seen\"\n\
         # reason = \"bpf_ktime_get_ns\"\n",
        verdict::names(prog_type).join(", ")
    );
    out
}
