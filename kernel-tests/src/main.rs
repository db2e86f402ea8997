//! `bpftwin-kernel`: cases as JSON on standard input, what this kernel does with them as JSON lines on standard output.

use std::io::{BufRead, BufWriter, Write};
use std::process::ExitCode;

use bpftwin_conformance::case::Case;
use bpftwin_conformance::observation::Event;
use bpftwin_conformance::verify::protocol::{Answer, Ask, OPTION};
use bpftwin_kernel_tests::external;
use bpftwin_kernel_tests::failure::Failure;
use bpftwin_kernel_tests::guest;
use bpftwin_kernel_tests::plane::{self, Plane};
use bpftwin_kernel_tests::privilege;
use bpftwin_kernel_tests::probe::Prober;
use bpftwin_kernel_tests::verify;

const HELP: &str = "\
Runs BPF programs on this machine's kernel: with BPF_PROG_TEST_RUN, or at devices of network namespaces.

Usage: bpftwin-kernel [--probe | --check | --objects FILE... | --verify | --guest | --help | --version]

Reads cases as JSON from standard input, one after the other, and answers each with JSON lines on standard output:
begin, one line per run, then end or decline. `bpftwin --plane prog-run` or
`--plane netns` is what normally speaks to it.

  --probe    read probes instead of cases, one a line, and answer each with one line, after a line of begin; `bpftwin
             fuzz` speaks so
  --check    say whether this machine can be asked, and stop
  --objects  load object files as the simulator does and as libbpf does, and print which load and why others do not;
             programs of types that are not simulated are left out
  --verify   read objects as JSON instead of cases, load each of their programs alone, and answer with a line for each:
             what the verifier says of it; `bpftwin verify` speaks so
  --guest    be the first process of a virtual machine and take commands from its serial port; `bpftwin --plane
             prog-run@KERNEL` starts such machines
  --help     this text
  --version  the version

Needs CAP_BPF and CAP_NET_ADMIN; CAP_PERFMON for programs with perf event arrays; CAP_SYS_ADMIN for a network namespace
of its own, without which only cases that describe no network are run. Topologies need all four.

Exit codes: 0 every case was answered; 2 a case is wrong; 69 this machine cannot be asked; 70 a bug in this program.
";

fn main() -> ExitCode {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        default_hook(info);
        std::process::exit(70);
    }));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => answer_all(),
        ["--probe"] => answer_probes(),
        ["--check"] => check(),
        ["--objects", _, ..] => try_objects(&arguments[1..]),
        [OPTION] => answer_verify(),
        ["--guest"] => guest::serve(),
        ["--help" | "-h"] => write_out(HELP),
        ["--version" | "-V"] => write_out(concat!("bpftwin-kernel ", env!("CARGO_PKG_VERSION"), "\n")),
        _ => Err(Failure::Case(format!("cannot do {arguments:?}; see --help"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bpftwin-kernel: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn broken_output(error: impl std::fmt::Display) -> Failure {
    Failure::Harness(format!("cannot write to standard output: {error}"))
}

fn write_out(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(broken_output)
}

fn check() -> Result<(), Failure> {
    privilege::check()?;
    let plane = Plane::new()?;
    let line = serde_json::to_string(&Event::Begin(plane.begin().clone())).map_err(broken_output)?;
    write_out(&(line + "\n"))
}

fn try_objects(files: &[String]) -> Result<(), Failure> {
    privilege::check()?;
    write_out(&external::table(files)?)
}

fn answer_probes() -> Result<(), Failure> {
    privilege::check()?;
    let plane = Plane::new()?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut say = |line: serde_json::Result<String>| {
        let line = line.map_err(broken_output)?;
        out.write_all(line.as_bytes()).map_err(broken_output)?;
        out.write_all(b"\n").map_err(broken_output)?;
        out.flush().map_err(broken_output)
    };
    say(serde_json::to_string(&Event::Begin(plane.begin().clone())))?;
    let mut prober = Prober::default();
    for (index, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.map_err(|error| Failure::Case(format!("standard input, probe {index}: {error}")))?;
        let probe = serde_json::from_str(&line)
            .map_err(|error| Failure::Case(format!("standard input, probe {index}: {error}")))?;
        say(serde_json::to_string(&prober.run(&probe)?))?;
    }
    Ok(())
}

fn answer_verify() -> Result<(), Failure> {
    privilege::check()?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut say = |answer: Answer| {
        serde_json::to_writer(&mut out, &answer).map_err(broken_output)?;
        out.write_all(b"\n").and_then(|()| out.flush()).map_err(broken_output)
    };
    say(Answer::Begin { kernel: plane::release()? })?;
    let input = std::io::BufReader::new(std::io::stdin().lock());
    for (index, ask) in serde_json::Deserializer::from_reader(input).into_iter::<Ask>().enumerate() {
        let ask = ask.map_err(|error| Failure::Case(format!("standard input, object {index}: {error}")))?;
        verify::answer(&ask, &mut say)?;
    }
    Ok(())
}

fn answer_all() -> Result<(), Failure> {
    privilege::check()?;
    let plane = Plane::new()?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let input = std::io::BufReader::new(std::io::stdin().lock());
    for (index, case) in serde_json::Deserializer::from_reader(input).into_iter::<Case>().enumerate() {
        let case = case.map_err(|error| Failure::Case(format!("standard input, case {index}: {error}")))?;
        let mut report = |event: Event| {
            serde_json::to_writer(&mut out, &event).map_err(broken_output)?;
            out.write_all(b"\n").map_err(broken_output)
        };
        let result = plane.run(&case, &mut report);
        out.flush().map_err(broken_output)?;
        result?;
    }
    Ok(())
}
