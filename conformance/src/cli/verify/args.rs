//! What can be typed after `bpftwin verify`.

use std::path::PathBuf;

use bpftwin_sim::uapi::ProgType;
use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::cli::args::program_type;

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Verify {
    #[command(subcommand)]
    pub mode: Option<Mode>,
    #[command(flatten)]
    pub subjects: Subjects,
    /// Write what veristat would write, of one configuration, and beside it FILE.json with kernel, clang and configuration;
    /// `-` for standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub csv: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
pub enum Mode {
    /// Keep what programs cost in a lock file, to be committed
    Record(Locked),
    /// Fail with 5 if a program costs more than the lock file allows, and name the C lines that grew
    Gate(Locked),
    /// What programs cost, against a lock file or other objects
    Diff(Compared),
    /// Which C lines grew, against a lock file or another object
    Why(Compared),
    /// The C lines that cost most
    Top(Top),
}

#[derive(Args, Debug)]
pub struct Subjects {
    /// Object files, folders of them, or `datapath:NAME`
    #[arg(value_name = "OBJ|FOLDER", value_hint = ValueHint::AnyPath)]
    pub objects: Vec<String>,
    /// Only this program; may be given several times
    #[arg(long, value_name = "NAME")]
    pub program: Vec<String>,
    /// Set a global variable before loading; several make one configuration
    #[arg(long, value_name = "NAME=VALUE")]
    pub config: Vec<String>,
    /// Configurations: a TOML file of tables of variables, each verified on its own
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub configs: Option<PathBuf>,
    /// The kernel's configuration, for `__kconfig` variables: a file like those in `/boot`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub kconfig: Option<PathBuf>,
    /// Give a program a type, where its section's name says none; by the kernel's name without `BPF_PROG_TYPE_`
    #[arg(long = "type", value_name = "PROGRAM=TYPE", value_parser = program_type)]
    pub types: Vec<(String, ProgType)>,
    /// The clang that compiled the objects; if not given, what they say themselves
    #[arg(long, value_name = "VERSION")]
    pub llvm: Option<String>,
}

#[derive(Args, Debug)]
pub struct Locked {
    #[command(flatten)]
    pub subjects: Subjects,
    /// The lock file
    #[arg(long, value_name = "FILE", default_value = "verify.lock", value_hint = ValueHint::FilePath)]
    pub lock: PathBuf,
}

#[derive(Args, Debug)]
pub struct Compared {
    /// A lock file, or an object file
    pub base: String,
    #[command(flatten)]
    pub subjects: Subjects,
    /// How many lines of a program are shown
    #[arg(short = 'n', long, default_value_t = 10)]
    pub count: usize,
}

#[derive(Args, Debug)]
pub struct Top {
    #[command(flatten)]
    pub subjects: Subjects,
    /// How many lines of a program are shown
    #[arg(short = 'n', long, default_value_t = 10)]
    pub count: usize,
    /// What is counted
    #[arg(long, value_enum, default_value_t = By::Visits)]
    pub by: By,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum By {
    /// Instructions processed
    Visits,
    /// States that the line's branches put aside
    States,
}
