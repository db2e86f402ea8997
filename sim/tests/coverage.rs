//! `sim/COVERAGE.md` says what the simulator has, generated from the tables that it runs by.
//! `BPFTWIN_COVERAGE=write cargo test -p bpftwin-sim --test coverage` writes it anew.

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use bpftwin_sim::bpf::Machine;
use bpftwin_sim::bpf::map::CreateError;
use bpftwin_sim::bpf::program::{Image, Program};
use bpftwin_sim::net::{Config, Kernel, TestRun, helper, kfunc, runs_given};
use bpftwin_sim::uapi::ctx::{self, Field};
use bpftwin_sim::uapi::{Errno, MapType, ProgType, ProgTypes, Release, helper as uapi};

/// The names of the types in a set, without `BPF_PROG_TYPE_`.
fn types(set: ProgTypes) -> String {
    let kernel = |t: &&ProgType| set.contains(**t) && **t != ProgType::Unspec;
    let names: Vec<_> = ProgType::ALL.iter().filter(kernel).map(|t| short(*t)).collect();
    if names.len() + 1 == ProgType::ALL.len() { "every type".to_owned() } else { names.join(", ") }
}

fn short(prog_type: ProgType) -> String {
    prog_type.kernel_name().trim_start_matches("BPF_PROG_TYPE_").to_lowercase()
}

/// Whether `BPF_PROG_TEST_RUN` of a program of this type gets as far as looking at its arguments.
fn runs(prog_type: ProgType) -> bool {
    let mut kernel = Kernel::new(&Config::default());
    let image = Image {
        name: "main".to_owned(),
        prog_type,
        attach_type: None,
        xdp_has_frags: false,
        license_gpl: true,
        slots: vec![0xb7, 0x95],
        functions: Vec::new(),
        lines: Vec::new(),
        maps: Vec::new(),
    };
    let prog = kernel.machine.add_program(Program::new(image).expect("it decodes"));
    let answer = kernel.prog_test_run(prog, &TestRun { data_in: &[0; 64], ..TestRun::default() });
    !matches!(answer, Ok(Err(Errno::ENOTSUPP)))
}

fn program_types(page: &mut String) {
    page.push_str("\n## Program types\n\n| type | test run | helpers |\n|---|---|---|\n");
    for &prog_type in ProgType::ALL.iter().filter(|&&t| t != ProgType::Unspec) {
        let helpers = helper::rows().filter(|row| row.types.contains(prog_type)).count();
        let run = match prog_type {
            _ if runs(prog_type) => "modelled",
            _ if runs_given(prog_type) => "none in the kernel; over a context that is given",
            _ => "absent",
        };
        writeln!(page, "| {} | {run} | {helpers} |", short(prog_type)).unwrap();
    }
}

fn map_types(page: &mut String) {
    page.push_str("\n## Map types\n\n| type | |\n|---|---|\n");
    for &map_type in MapType::ALL.iter().filter(|&&t| t != MapType::Unspec) {
        let mut machine = Machine::new(Release::V6_18, 1);
        let (maps, mut ctx) = machine.maps();
        let made = maps.create(&mut ctx, &support::map_spec(map_type, 4, 1, 0));
        let state = match made {
            Err(CreateError::NotModelled(_)) => "absent",
            // Made, or refused for sizes that are not this type's.
            Ok(_) | Err(CreateError::Errno(_)) => "modelled",
        };
        writeln!(page, "| {} | {state} |", map_type.kernel_name()).unwrap();
    }
}

fn helpers(page: &mut String) {
    page.push_str("\n## Helpers\n\nGPL: only for programs under a GPL-compatible licence.\n\n");
    page.push_str("| number | helper | | for | GPL |\n|---|---|---|---|---|\n");
    for &(id, _) in uapi::ALL {
        let name = uapi::name(id).expect("it is in the list");
        let gpl = if helper::GPL_ONLY.contains(&id) { "GPL" } else { "" };
        let set =
            helper::rows().filter(|row| row.id == id).fold(ProgTypes::NONE, |set, row| set.or(row.types));
        let (state, of) = match helper::reason(id) {
            // The engines do it themselves, for whatever runs.
            _ if id == uapi::id::tail_call => ("modelled".to_owned(), "every type".to_owned()),
            _ if set != ProgTypes::NONE => ("modelled".to_owned(), types(set)),
            Some(why) => (format!("refused: {why}"), String::new()),
            None => ("absent".to_owned(), String::new()),
        };
        writeln!(page, "| {id} | bpf_{name} | {state} | {of} | {gpl} |").unwrap();
    }
}

fn kfuncs(page: &mut String) {
    page.push_str("\n## Kernel functions\n\nWhat is in neither list is absent.\n\n");
    page.push_str("| function | | since | for | gives | takes back |\n|---|---|---|---|---|---|\n");
    let mut rows: Vec<_> = kfunc::rows().collect();
    rows.sort_by_key(|row| row.name);
    for row in rows {
        let [gives, takes] =
            [row.acquires, row.releases].map(|kind| kind.map(|k| k.to_string()).unwrap_or_default());
        let (since, of) = (row.since.name(), types(row.types));
        writeln!(page, "| {} | modelled | {since} | {of} | {gives} | {takes} |", row.name).unwrap();
    }
    let mut refused: Vec<_> = kfunc::REFUSED.iter().collect();
    refused.sort_by_key(|refused| refused.name);
    for kfunc::Refused { name, since, why } in refused {
        let why = why.trim_start_matches("is not modelled: ");
        writeln!(page, "| {name} | refused: {why} | {} | | | |", since.name()).unwrap();
    }
}

fn fields<K>(page: &mut String, of: &str, table: &[Field<K>]) {
    writeln!(page, "\n### {of}\n\n| field | offset | bytes | read by | written by |\n|---|---|---|---|---|")
        .unwrap();
    for Field { name, offset, size, read, write, .. } in table {
        writeln!(page, "| {name} | {offset} | {size} | {} | {} |", types(*read), types(*write)).unwrap();
    }
}

fn contexts(page: &mut String) {
    page.push_str("\n## Context fields\n\nWhat is in no table is absent.\n");
    fields(page, "struct __sk_buff", ctx::skb::FIELDS);
    fields(page, "struct xdp_md", ctx::xdp::FIELDS);
    fields(page, "struct bpf_sk_lookup", ctx::sk_lookup::FIELDS);
    fields(page, "struct bpf_nf_ctx", ctx::nf::FIELDS);
    for context in ProgType::ALL.iter().filter_map(|&t| ctx::given::context(t)) {
        fields(page, &format!("struct {}", context.name), context.fields);
    }
}

fn page() -> String {
    let mut page = "# What the simulator has\n\nGenerated by `sim/tests/coverage.rs` from the tables the simulator runs \
                    by. *Modelled*: does what\nthe kernel does, for the program types named. *Refused*: an object that uses it is \
                    refused by name, for the\nreason given. *Absent*: refused by name.\n"
        .to_owned();
    program_types(&mut page);
    map_types(&mut page);
    helpers(&mut page);
    kfuncs(&mut page);
    contexts(&mut page);
    page
}

/// A table of fields that nobody lists is a table the page does not tell of.
#[test]
fn every_table_of_fields_is_on_the_page() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/uapi/ctx");
    let sources =
        fs::read_dir(directory).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let tables = sources.filter(|source| source.contains("pub const FIELDS: &[Field<")).count();
    let given = ProgType::ALL.iter().filter(|&&t| ctx::given::context(t).is_some()).count();
    assert_eq!(page().matches("\n### struct ").count(), tables + given);
}

#[test]
fn the_page_says_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("COVERAGE.md");
    let page = page();
    if env::var_os("BPFTWIN_COVERAGE").is_some_and(|value| value == "write") {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "sim/COVERAGE.md is stale: run BPFTWIN_COVERAGE=write cargo test -p bpftwin-sim --test coverage"
    );
}
