//! The command line: arguments in, text and an exit code out. Everything that is not about a terminal, the clock or the
//! file system is in the library.

mod args;
mod check;
mod doctor;
mod fuzz;
mod in_order;
mod kernels;
mod mistakes;
mod new;
mod objects;
mod record;
mod run;
mod select;
mod suite;
mod verify;

use std::io::{IsTerminal, Write};
use std::num::NonZero;
use std::process::ExitCode;

use bpftwin_conformance::exit::Exit;
use bpftwin_conformance::plane::kernel::Where;
use bpftwin_conformance::suite::PlaneName;
use bpftwin_sim::bpf::Memory;
use clap::{CommandFactory, Parser};

use args::{Cli, Color, Global, Verb};

/// Why a verb ends early: a message and an exit code.
#[derive(Debug)]
pub struct Stop {
    /// For standard error; may be empty.
    pub message: String,
    /// The process's exit code.
    pub exit: Exit,
}

impl Stop {
    /// Bad usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: Exit::Usage }
    }

    /// The environment does not allow it.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: Exit::Unavailable }
    }
}

/// Where text goes, and how it looks.
pub struct Terminal {
    /// What the user asked for.
    pub global: Global,
    /// Whether standard output gets colours.
    pub color: bool,
    stdout: std::io::Stdout,
}

impl Terminal {
    fn new(global: Global) -> Self {
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::io::stdout().is_terminal()
            }
        };
        Self { global, color, stdout: std::io::stdout() }
    }

    /// Writes to standard output. A reader that went away is not an error worth a message.
    pub fn out(&self, text: &str) -> Result<(), Stop> {
        let mut stdout = self.stdout.lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| Stop {
            message: if error.kind() == std::io::ErrorKind::BrokenPipe {
                String::new()
            } else {
                format!("cannot write to standard output: {error}")
            },
            exit: Exit::Unavailable,
        })
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    panics_are_bugs();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Pass };
            // Nothing can be said if the terminal is gone.
            let _ = error.print();
            return ExitCode::from(exit as u8);
        }
    };
    let terminal = Terminal::new(cli.global);
    match room_for_guests(&cli.verb).and_then(|()| verb(&terminal, &cli.verb)) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(stop) => {
            if !stop.message.is_empty() {
                eprintln!("bpftwin: {}", stop.message.trim_end());
            }
            ExitCode::from(stop.exit as u8)
        }
    }
}

/// Whether every thread may have a simulated kernel, where the verb starts any.
fn room_for_guests(verb: &Verb) -> Result<(), Stop> {
    if matches!(
        verb,
        Verb::Doctor
            | Verb::Kernels(_)
            | Verb::Verify(_)
            | Verb::Schema
            | Verb::Completions { .. }
            | Verb::New(_)
            | Verb::Check(_)
    ) {
        return Ok(());
    }
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    Memory::available(threads + 1).map_err(|error| {
        Stop::unavailable(format!(
            "every simulated kernel reserves {} bytes of address space, which cannot be had {} times: {error}\n  is there \
             a `ulimit -v`, or is vm.overcommit_memory 2?",
            Memory::RESERVED,
            threads + 1,
        ))
    })
}

/// From now on a panic, in whatever thread, ends the process with [`Exit::Bug`].
fn panics_are_bugs() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        default_hook(info);
        eprintln!(
            "bpftwin: this is a bug of bpftwin; please report it with the command line and the scenario"
        );
        std::process::exit(i32::from(Exit::Bug as u8));
    }));
}

fn verb(terminal: &Terminal, verb: &Verb) -> Result<Exit, Stop> {
    match verb {
        Verb::Run(selection) => run::run(terminal, selection, &[PlaneName::Sim]),
        Verb::Compare(selection) => {
            if selection.how.plane.len() == 1 {
                return Err(Stop::usage("compare needs two planes, such as --plane sim,prog-run"));
            }
            if suite::are_objects(&selection.what) {
                return suite::compare(terminal, selection);
            }
            let planes = [PlaneName::Sim, PlaneName::ProgRun(Where::Host), PlaneName::Netns(Where::Host)];
            run::run(terminal, selection, &planes)
        }
        Verb::Suite(given) => suite::suite(terminal, given),
        Verb::Record(record) => record::record(terminal, record),
        Verb::Objects(objects) => objects::objects(terminal, objects),
        Verb::Verify(given) => verify::verify(terminal, given),
        Verb::Fuzz(arguments) => fuzz::fuzz(terminal, arguments),
        Verb::Doctor => doctor::doctor(terminal),
        Verb::Kernels(verb) => kernels::kernels(terminal, verb),
        Verb::Schema => {
            let schema = serde_json::to_string_pretty(&bpftwin_conformance::scenario::schema());
            terminal.out(&(schema.expect("a schema is JSON") + "\n"))?;
            Ok(Exit::Pass)
        }
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "bpftwin", &mut script);
            terminal.out(&String::from_utf8_lossy(&script))?;
            Ok(Exit::Pass)
        }
        Verb::New(new) => new::new(terminal, new),
        Verb::Check(files) => check::check(terminal, files),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "run by the test below, in a process of its own"]
    fn panics_on_purpose() {
        panics_are_bugs();
        std::thread::spawn(|| panic!("on purpose")).join().unwrap_err();
    }

    #[test]
    fn exit_70_a_panic_in_any_thread() {
        let arguments = ["--exact", "cli::tests::panics_on_purpose", "--ignored", "--nocapture"];
        let ran =
            std::process::Command::new(std::env::current_exe().unwrap()).args(arguments).output().unwrap();
        assert_eq!(ran.status.code(), Some(70));
        assert!(String::from_utf8_lossy(&ran.stderr).contains("this is a bug of bpftwin"));
    }

    #[test]
    fn the_arguments_make_sense_to_clap() {
        Cli::command().debug_assert();
    }
}
