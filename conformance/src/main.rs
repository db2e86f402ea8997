//! The command line: `bpftwin`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
