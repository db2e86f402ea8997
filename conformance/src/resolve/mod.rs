//! A scenario into a case: every name looked up, every file read, every value in bytes.

mod frame;
mod library;
mod maps;
mod network;
pub mod objects;
mod run;
mod topology;

pub use library::Library;
pub use maps::{ElementCheck, MapCheck, Want};
pub use run::{RecordCheck, RunExpect, TapExpect, WalkExpect};

use crate::case::Case;
use crate::compare::IgnoreRule;
use crate::described::Described;
use crate::scenario::mistake::{Mistake, Mistakes, What};
use crate::scenario::model::File;
use crate::scenario::{Form, Scenario};
use crate::shape::Shape;
use objects::Objects;
use run::Around;

/// A case with what it means and what is expected of it.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What planes are asked.
    pub case: Case,
    /// What its bytes mean.
    pub shape: Shape,
    /// One per run.
    pub expects: Vec<RunExpect>,
    /// After the last run.
    pub last: Vec<MapCheck>,
    /// Fields that are not compared between planes.
    pub ignores: Vec<IgnoreRule>,
    /// The fewest fields a comparison must cover.
    pub require: u64,
}

/// Why a scenario is no case.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It is wrong.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    /// It is right, and nothing here can run it.
    #[error("not yet: {0}")]
    NotYet(String),
}

/// Resolves a scenario with the files of `library`.
pub fn resolve(scenario: &Scenario, library: &Library) -> Result<Resolved, Refusal> {
    resolve_for(scenario, library, &Described::default())
}

/// The same, for a kernel that is described besides.
pub fn resolve_for(
    scenario: &Scenario,
    library: &Library,
    described: &Described,
) -> Result<Resolved, Refusal> {
    let file = match &scenario.form {
        Form::Topology(file, _) => {
            if let Some(what) = topology::not_yet(file) {
                return Err(Refusal::NotYet(what));
            }
            file
        }
        Form::Program(file) => file,
    };
    let mut mistakes = Vec::new();
    let resolved = match &scenario.form {
        Form::Topology(..) => walks(scenario, file, library, described, &mut mistakes),
        Form::Program(_) => program(scenario, file, library, described, &mut mistakes),
    };
    if mistakes.is_empty() {
        return Ok(resolved);
    }
    mistakes.sort_by_key(|m| (m.span.start, m.span.end));
    Err(Mistakes { file: scenario.file.clone(), text: scenario.text.clone(), list: mistakes }.into())
}

/// The topology form.
fn walks(
    scenario: &Scenario,
    file: &File,
    library: &Library,
    described: &Described,
    mistakes: &mut Vec<Mistake>,
) -> Resolved {
    let header = &file.scenario;
    let objects = Objects::open(header, library, described, mistakes);
    let all_open = objects.opened.len() == header.objects.len();
    let (topology, expects) = topology::topology(file, all_open.then_some(&objects), mistakes);
    if topology.steps.is_empty() && file.step.is_empty() {
        let what = "nothing happens in this topology".to_owned();
        mistakes
            .push(Mistake::new(What::Nothing(what), &header.title.span).help("add a [[step]] with `send`"));
    }
    if let Some(network) = file.network.as_ref().and_then(|network| network.device.first()) {
        let what = "`network` belongs to the program form".to_owned();
        mistakes.push(
            Mistake::new(What::Choice(what), &network.name.span).help("write [[link]] and [[address]]"),
        );
    }
    let mut case = Case {
        name: scenario.name.clone(),
        objects: Vec::new(),
        maps: Vec::new(),
        network: crate::case::Network::default(),
        runs: Vec::new(),
        watch: None,
        topology: Some(topology),
    };
    let mut last = Vec::new();
    if all_open {
        case.objects = objects.images(header, library, described, mistakes);
        case.maps = maps::contents(&file.map, &objects, library, mistakes);
        if let Some(expect) = &file.expect {
            last = maps::expected(&expect.map, &objects, mistakes);
        }
    }
    finish(file, case, objects.shape, (expects, last), all_open, mistakes)
}

fn program(
    scenario: &Scenario,
    file: &File,
    library: &Library,
    described: &Described,
    mistakes: &mut Vec<Mistake>,
) -> Resolved {
    let header = &file.scenario;
    let objects = Objects::open(header, library, described, mistakes);
    // Without every object, names would be called unknown that are not.
    let all_open = objects.opened.len() == header.objects.len() && !header.objects.is_empty();
    let before_network = mistakes.len();
    let network = file.network.as_ref().map(|n| network::network(n, mistakes)).unwrap_or_default();
    let network_is_wrong = mistakes.len() > before_network;
    if header.objects.is_empty() {
        mistakes.push(Mistake::new(What::Choice("the scenario has no object".into()), &header.title.span));
    }
    if file.packet.is_empty() {
        mistakes.push(
            Mistake::new(What::Nothing("the scenario sends no packet".into()), &header.title.span)
                .help("add a [[packet]] with `pkt`, `hex` or `pcap`"),
        );
    }
    let mut case = Case {
        name: scenario.name.clone(),
        objects: Vec::new(),
        maps: Vec::new(),
        network: network.clone(),
        runs: Vec::new(),
        watch: None,
        topology: None,
    };
    let mut expects = Vec::new();
    let mut last = Vec::new();
    if all_open {
        case.objects = objects.images(header, library, described, mistakes);
        case.maps = maps::contents(&file.map, &objects, library, mistakes);
        if let Some(program) = &header.program
            && let Err(mistake) = objects.program(program)
        {
            mistakes.push(mistake);
        }
        let before = mistakes.len();
        let program = header.program.as_ref();
        let inputs = Vec::new();
        let mut around = Around { objects: &objects, library, program, network: &network, inputs };
        for (number, packet) in file.packet.iter().enumerate() {
            for (run, expect) in around.packet(number, packet, mistakes) {
                case.runs.push(run);
                expects.push(expect);
            }
        }
        // A wrong `[scenario] program` is said once, not once per packet; so is a mistake of a capture's packets.
        let mut new = mistakes.split_off(before);
        new.retain(|mistake| !mistakes.contains(mistake));
        // A device that is wrong is not also unknown.
        new.retain(|mistake| {
            !(network_is_wrong && matches!(mistake.what, What::Unknown { what: "device", .. }))
        });
        new.dedup();
        mistakes.append(&mut new);
        if let Some(expect) = &file.expect {
            last = maps::expected(&expect.map, &objects, mistakes);
        }
    }
    finish(file, case, objects.shape, (expects, last), all_open, mistakes)
}

/// What both forms have: fields that are not compared, and how many must be.
fn finish(
    file: &File,
    case: Case,
    shape: Shape,
    (expects, last): (Vec<RunExpect>, Vec<MapCheck>),
    all_open: bool,
    mistakes: &mut Vec<Mistake>,
) -> Resolved {
    if let Some(expect) = &file.expect {
        for span in expect.pcap.iter().map(|p| &p.span).chain(expect.maps.keys().map(|k| &k.span)) {
            let what = "not yet: `pcap` and `maps` are not looked at".to_owned();
            mistakes.push(Mistake::new(What::Choice(what), span).help("write [[expect.map]] with `entries`"));
        }
    }
    let mut ignores: Vec<IgnoreRule> = Vec::new();
    for ignore in &file.ignore {
        if ignore.reason.trim().is_empty() {
            let what = format!("{} is ignored without a reason", ignore.field.value);
            mistakes.push(Mistake::new(What::Value(what), &ignore.reason.span));
        }
        let rule = IgnoreRule { field: ignore.field.value.clone(), reason: ignore.reason.value.clone() };
        if ignores.iter().any(|known| known.field == rule.field) {
            let name = rule.field.clone();
            mistakes.push(Mistake::new(What::Duplicate { what: "ignored field", name }, &ignore.field.span));
        }
        ignores.push(rule);
    }
    if all_open {
        check_ignores(file, &shape, mistakes);
    }
    let require = file.scenario.require.as_ref().map_or(0, |n| n.value);
    Resolved { case, shape, expects, last, ignores, require }
}

/// An ignored field must be one: a typo would be compared and never agree, or be ignored for nothing.
fn check_ignores(file: &File, shape: &Shape, mistakes: &mut Vec<Mistake>) {
    for ignore in &file.ignore {
        let field = ignore.field.as_str();
        if !field.contains(':') {
            continue;
        }
        let fields = |prefix: String, leaves: &[crate::layout::Leaf]| -> Vec<String> {
            std::iter::once(prefix.clone())
                .chain(leaves.iter().map(|l| format!("{prefix}{}", l.path)))
                .collect()
        };
        let mut known = Vec::new();
        for (object, of) in &shape.objects {
            for (map, of) in &of.maps {
                let name = shape.map_name(object, map);
                known.extend(fields(format!("map:{name}"), &of.value.leaves));
                if let Some(record) = &of.record {
                    known.extend(fields(format!("record:{name}"), &record.leaves));
                } else if of.gives_records() {
                    known.push(format!("record:{name}"));
                }
            }
        }
        let rule = IgnoreRule { field: field.to_owned(), reason: String::new() };
        if !known.iter().any(|name| rule.covers(name)) {
            mistakes.push(Mistake::unknown(
                "field",
                field,
                &ignore.field.span,
                known.iter().map(String::as_str),
            ));
        }
    }
}
