//! What can be typed.

use std::path::PathBuf;

use bpftwin_conformance::described;
use bpftwin_conformance::fuzz::instructions::Level;
use bpftwin_conformance::kernels::check_name;
use bpftwin_conformance::ledger::Date;
use bpftwin_conformance::plane::kernel::Where;
use bpftwin_conformance::suite::PlaneName;
use bpftwin_sim::bpf::Engine;
use bpftwin_sim::uapi::{ProgType, Release};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use super::verify::args::Verify;

const AFTER: &str = "\
Exit codes: 0 pass; 1 a check failed or a golden is stale; 2 bad usage or scenario; 3 planes diverged; 5 a program \
is beyond its verifier budget; 69 a plane cannot be asked; 70 internal bug; 77 nothing ran.";

/// The same BPF object, the same packets, a simulator and a real kernel, one comparison.
#[derive(Parser, Debug)]
#[command(name = "bpftwin", version, after_help = AFTER, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Args, Debug, Clone)]
pub struct Global {
    /// How results are written
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// Only failures and the summary; twice: the exit code alone
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub quiet: u8,
    /// What every packet did; every failing one, with hexdumps
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Colours; `auto` honours NO_COLOR
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    Human,
    /// One object per line
    Json,
    Junit,
    /// Annotations for GitHub Actions
    Github,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Run scenarios, the bundled ones if no file is given
    Run(Selection),
    /// Run scenarios, or the C unit tests of object files, on the simulator and on a kernel, and compare field by field
    Compare(Selection),
    /// Run the C unit tests of object files: programs in sections TYPE/test/NAME/{pktgen,setup,check}
    Suite(Suite),
    /// Run scenario files on the kernel and keep what it did as goldens beside them
    Record(Record),
    /// What an object file holds, and whether the simulator has all it needs
    Objects(Objects),
    /// What objects cost a kernel's verifier: record it, hold them to it, find the C lines that cost
    Verify(Verify),
    /// Random programs on the simulator and on a kernel, until they differ
    Fuzz(Fuzz),
    /// What this machine can do, and why not
    Doctor,
    /// Kernels for virtual machines: planes such as prog-run@6.12, without privilege
    #[command(subcommand)]
    Kernels(Kernels),
    /// The JSON Schema of scenario files, for editors
    Schema,
    /// A completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// A new scenario, commented, that passes `check`
    New(New),
    /// Read scenarios and look up every name, without running
    Check(Files),
}

#[derive(Subcommand, Debug)]
pub enum Kernels {
    /// Those in the cache, and those that can be fetched
    List,
    /// Get Debian's kernels into the cache, with apt and as an ordinary user
    Fetch {
        /// Names that `list` tells
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Put a kernel of yours into the cache
    Add {
        /// What it is called from now on, as in prog-run@NAME
        #[arg(value_name = "NAME", value_parser = kernel_name)]
        name: String,
        /// The kernel image, a bzImage such as /boot/vmlinuz-*
        #[arg(value_name = "VMLINUZ", value_hint = ValueHint::FilePath)]
        vmlinuz: PathBuf,
        /// Its folder in /lib/modules; without it, all a machine needs is built in
        #[arg(value_name = "MODULES", value_hint = ValueHint::DirPath)]
        modules: Option<PathBuf>,
    },
}

fn kernel_name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

/// What scenarios and suites are run with.
#[derive(Args, Debug, Clone)]
pub struct How {
    /// The planes, separated by commas: sim, prog-run, netns; prog-run@KERNEL and netns@KERNEL in a virtual machine with
    /// one of `kernels list`. The simulator is compared, on every kernel, with the one that takes the case
    #[arg(long, value_delimiter = ',', value_parser = plane)]
    pub plane: Vec<PlaneName>,
    /// The kernel the simulator speaks as; if not given, the one compared with, or the newest
    #[arg(long, value_name = "6.1|6.12|6.18")]
    pub as_kernel: Option<Release>,
    /// What runs programs in the simulator; `rbpf` declines what that crate gets wrong
    #[arg(long, value_name = "ENGINE", default_value_t, value_parser = engine())]
    pub engine: Engine,
    #[command(flatten)]
    pub described: Described,
    /// How many scenarios or objects run at a time; all processors if not given
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Known differences, instead of the bundled ledger
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ledger: Option<PathBuf>,
    /// The day the ledger is judged on; today if not given
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub date: Option<Date>,
}

#[derive(Args, Debug)]
pub struct Selection {
    /// Scenario files, folders of them, or parts of scenarios' names
    #[arg(value_name = "FILE|FOLDER|NAME", value_hint = ValueHint::AnyPath)]
    pub what: Vec<String>,
    #[command(flatten)]
    pub how: How,
    /// Write inputs and outputs as a capture for Wireshark
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub pcapng: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Suite {
    /// Object files, or folders of them
    #[arg(value_name = "OBJ|FOLDER", required = true, value_hint = ValueHint::AnyPath)]
    pub objects: Vec<PathBuf>,
    #[command(flatten)]
    pub how: How,
    /// Run only tests whose OBJECT/TEST name contains this; may be given several times
    #[arg(long, value_name = "PART")]
    pub filter: Vec<String>,
    /// A field that is not compared between planes, such as map:conntrack.last_seen; may be given several times
    #[arg(long, value_name = "FIELD")]
    pub ignore: Vec<String>,
}

#[derive(Args, Debug)]
pub struct Record {
    /// Scenario files or folders of them
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    pub what: Vec<String>,
}

#[derive(Args, Debug)]
pub struct Objects {
    /// An object file, or `datapath:NAME`
    #[arg(required = true, value_hint = ValueHint::FilePath)]
    pub file: Vec<String>,
    #[command(flatten)]
    pub described: Described,
}

/// The kernel that objects are loaded for, and what they are there.
#[derive(Args, Debug, Clone)]
pub struct Described {
    /// The kernel's types, for CO-RE: `abi` (bundled; if nobody says otherwise), `host`, or a file with BTF
    #[arg(long, value_name = "TYPES", value_hint = ValueHint::FilePath)]
    pub btf: Option<String>,
    /// The kernel's configuration, for `__kconfig` variables: a file like those in `/boot`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub kconfig: Option<PathBuf>,
    /// Give a program a type, where its section's name says none; by the kernel's name, with or without `BPF_PROG_TYPE_`
    #[arg(long = "type", value_name = "PROGRAM=TYPE", value_parser = program_type)]
    pub types: Vec<(String, ProgType)>,
}

impl Described {
    /// What the files named say.
    pub fn read(&self) -> Result<described::Described, String> {
        let kconfig = self.kconfig.as_deref().map(described::kconfig).transpose()?;
        let kernel_types = self.btf.as_deref().map(described::types).transpose()?.flatten();
        let types = self.types.clone();
        let flags = self.flags();
        Ok(described::Described { kernel_types, kconfig: kconfig.unwrap_or_default(), types, flags })
    }

    fn flags(&self) -> Vec<String> {
        let btf = self.btf.clone().map(|types| ["--btf".to_owned(), types]);
        let kconfig = self.kconfig.as_ref().map(|file| ["--kconfig".into(), file.to_string_lossy().into()]);
        let types = self.types.iter().map(|(program, prog_type)| {
            let name = prog_type.kernel_name().trim_start_matches("BPF_PROG_TYPE_").to_lowercase();
            ["--type".to_owned(), format!("{program}={name}")]
        });
        btf.into_iter().chain(kconfig).chain(types).flatten().collect()
    }
}

pub fn program_type(text: &str) -> Result<(String, ProgType), String> {
    let (program, name) = text.split_once('=').ok_or("expected PROGRAM=TYPE")?;
    Ok((program.to_owned(), described::program_type(name)?))
}

#[derive(Args, Debug)]
pub struct Fuzz {
    #[command(flatten)]
    pub limits: Limits,
    #[command(subcommand)]
    pub mode: FuzzMode,
}

#[derive(Args, Debug)]
pub struct Limits {
    /// Where the random numbers begin: the same seed, the same cases
    #[arg(long, global = true, default_value_t = 1)]
    pub seed: u64,
    /// The first case
    #[arg(long, global = true, default_value_t = 0, value_name = "INDEX")]
    pub first: u64,
    /// How many cases
    #[arg(long, global = true, default_value_t = 10_000)]
    pub count: u64,
    /// Stop after this many seconds
    #[arg(long, global = true, value_name = "SECONDS")]
    pub time: Option<u64>,
    /// Stop after this many differences
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub differences: u64,
    /// Where cases that differ are written
    #[arg(long, global = true, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
pub enum FuzzMode {
    /// Random packets and map contents through the programs of object files: everything `compare` compares
    Packets {
        /// Object files, or `datapath:NAME`
        #[arg(required = true, value_name = "OBJECT", value_hint = ValueHint::FilePath)]
        objects: Vec<String>,
        #[command(flatten)]
        described: Described,
        /// Give a map another number of elements (`max_entries`); may be given several times
        #[arg(long, value_name = "MAP=NUMBER", value_parser = map_size)]
        max_entries: Vec<(String, u32)>,
        /// A field that is not compared, such as map:conntrack.last_seen; may be given several times
        #[arg(long, value_name = "FIELD")]
        ignore: Vec<String>,
    },
    /// Random programs the verifier accepts: registers, stack and memory at their end
    Programs {
        /// One ISA level; all four in turn if not given
        #[arg(long, value_name = "v1|v2|v3|v4", value_parser = level)]
        level: Option<Level>,
        /// What runs programs in the simulator
        #[arg(long, value_name = "ENGINE", default_value_t, value_parser = whole_engine())]
        engine: Engine,
    },
}

fn map_size(text: &str) -> Result<(String, u32), String> {
    let (map, number) = text.split_once('=').ok_or("expected MAP=NUMBER")?;
    let number = number.parse().map_err(|error| format!("{number}: {error}"))?;
    Ok((map.to_owned(), number))
}

fn level(text: &str) -> Result<Level, String> {
    Level::ALL
        .into_iter()
        .find(|level| level.name() == text)
        .ok_or_else(|| "there are: v1, v2, v3, v4".into())
}

#[derive(Args, Debug)]
pub struct Files {
    /// Scenario files or folders of them
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    pub what: Vec<String>,
}

#[derive(Args, Debug)]
pub struct New {
    /// The scenario's name; NAME.toml is written
    pub name: String,
    /// An object file of yours, or `datapath:NAME`
    #[arg(long, default_value = "datapath:veth", value_hint = ValueHint::FilePath)]
    pub object: String,
    /// One of its programs; needed if it has several
    #[arg(long)]
    pub program: Option<String>,
    /// A capture whose packets run through it
    #[arg(long, value_hint = ValueHint::FilePath)]
    pub pcap: Option<String>,
}

/// The names of the engines, for help and completion too.
fn engine() -> impl TypedValueParser<Value = Engine> {
    named(|_| true)
}

/// Those that run every program where they run any.
fn whole_engine() -> impl TypedValueParser<Value = Engine> {
    named(|engine| engine != Engine::Rbpf)
}

fn named(offered: impl Fn(Engine) -> bool) -> impl TypedValueParser<Value = Engine> {
    let names = Engine::ALL.iter().filter(|&&engine| offered(engine)).map(|engine| engine.name());
    PossibleValuesParser::new(names).map(|name| name.parse().expect("one of the names"))
}

fn plane(text: &str) -> Result<PlaneName, String> {
    let (plane, kernel) = match text.split_once('@') {
        None => (text, Where::Host),
        Some((plane, kernel)) => (plane, Where::Guest(kernel_name(kernel)?)),
    };
    match (plane, kernel) {
        ("sim", Where::Host) => Ok(PlaneName::Sim),
        ("sim", Where::Guest(_)) => Err("the simulator speaks as another kernel with --as-kernel".into()),
        ("prog-run", kernel) => Ok(PlaneName::ProgRun(kernel)),
        ("netns", kernel) => Ok(PlaneName::Netns(kernel)),
        _ => Err("there are: sim, prog-run, netns, prog-run@KERNEL, netns@KERNEL".into()),
    }
}
