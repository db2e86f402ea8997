//! An object of C unit tests as a case: which programs are which tests, and what else of it must be loaded.

use std::collections::{BTreeMap, BTreeSet};

use bpftwin_sim::bpf::object::{MapContents, Object, ProgramSpec, SectionName, Target};
use bpftwin_sim::uapi::{MapType, ProgType};

use super::{PACKETS, PARTS, RESULTS, SKB_META, elements, packets};
use crate::bytes::Bytes;
use crate::case::{Case, Follows, MapName, MapValue, MapWrite, Network, ObjectImage, Run, Typed};

/// The packet a test begins with, zeros: a page without the room before and behind an XDP packet
/// (`4096 - XDP_PACKET_HEADROOM - SKB_DATA_ALIGN(sizeof(struct skb_shared_info))`).
const DATA_LEN: usize = 3520;
/// The context of a tc test: room for a `struct __sk_buff` and zeros behind it.
const CTX_LEN: u32 = 256;

/// A part of a test.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// Makes the packet.
    Pktgen,
    /// Runs what is under test.
    Setup,
    /// Judges it.
    Check,
}

impl Step {
    /// As in section names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pktgen => "pktgen",
            Self::Setup => "setup",
            Self::Check => "check",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Pktgen, Self::Setup, Self::Check].into_iter().find(|step| step.name() == name)
    }
}

/// A test and its runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// The steps there are: which, the program, the index of the run in the case.
    pub steps: Vec<(Step, String, usize)>,
    /// Why it cannot be run.
    pub wrong: Option<String>,
}

/// An object's tests.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What planes are asked.
    pub case: Case,
    /// In the order they run: by name, bytewise.
    pub tests: Vec<Test>,
    /// What of the object is left out, and why.
    pub notes: Vec<String>,
}

/// What a program is in a suite.
enum Role<'a> {
    Step(&'a str, Step),
    Tail,
    Other,
}

/// The types of programs a suite runs, as its runners elsewhere do.
const fn runs(prog_type: ProgType) -> bool {
    matches!(prog_type, ProgType::SchedCls | ProgType::SchedAct | ProgType::Xdp)
}

/// What the section says: the program's type and role.
fn role(program: &ProgramSpec) -> Result<(ProgType, Role<'_>), String> {
    let (kind, role) = match program.section.split('/').collect::<Vec<_>>()[..] {
        [kind, "test", name, step] => match Step::parse(step) {
            Some(step) => (kind, Role::Step(name, step)),
            None => return Err(format!("step \"{step}\" is none of pktgen, setup and check")),
        },
        [kind, "tail"] => (kind, Role::Tail),
        [kind, "entry"] => (kind, Role::Other),
        _ if runs(program.prog_type) => return Ok((program.prog_type, Role::Other)),
        _ if program.prog_type != ProgType::Unspec => {
            return Err(format!("{} programs are not run in suites", program.prog_type));
        }
        _ => return Err("the section names no program type".into()),
    };
    match SectionName::parse(kind) {
        Some(known) if runs(known.prog_type) && !known.xdp_frags => Ok((known.prog_type, role)),
        Some(known) if known.xdp_frags => Err("suites have no packets in several buffers".into()),
        Some(known) => Err(format!("{} programs are not run in suites", known.prog_type)),
        None => Err(format!("\"{kind}\" names no program type")),
    }
}

/// The programs of an object that a suite may run.
struct Programs<'a> {
    object: &'a Object,
    types: BTreeMap<&'a str, ProgType>,
    /// Slots of prog arrays by decl tags: map, slot, program.
    tails: BTreeMap<(&'a str, u32), &'a str>,
    /// Tests by name: program of each step.
    tests: BTreeMap<&'a str, BTreeMap<Step, Vec<&'a str>>>,
    notes: Vec<String>,
}

impl<'a> Programs<'a> {
    fn of(object: &'a Object) -> Result<Self, String> {
        let mut programs = Self {
            object,
            types: BTreeMap::new(),
            tails: BTreeMap::new(),
            tests: BTreeMap::new(),
            notes: Vec::new(),
        };
        for program in &object.programs {
            let (prog_type, role) = match role(program) {
                Ok(found) => found,
                Err(why) => {
                    let (name, section) = (&program.name, &program.section);
                    programs.notes.push(format!("program {name} in section \"{section}\" is ignored: {why}"));
                    continue;
                }
            };
            programs.types.insert(&program.name, prog_type);
            match role {
                Role::Step(test, step) => {
                    let steps = programs.tests.entry(test).or_default();
                    steps.entry(step).or_default().push(&program.name);
                }
                Role::Tail => programs.tail(program)?,
                Role::Other => {}
            }
        }
        Ok(programs)
    }

    /// Reads `tail:<map>/<slot>` of a function's decl tags.
    fn tail(&mut self, program: &'a ProgramSpec) -> Result<(), String> {
        let tags = &self.object.functions[program.function.0].tags;
        for tag in tags.iter().filter_map(|tag| tag.strip_prefix("tail:")) {
            let wrong = |why: &str| format!("decl tag \"tail:{tag}\" of {}: {why}", program.name);
            let (map, slot) = tag.split_once('/').ok_or_else(|| wrong("tail:<map>/<slot> is due"))?;
            let slot: u32 = slot.parse().map_err(|_| wrong("the slot is no number"))?;
            match self.object.map(map) {
                None => {
                    self.notes.push(wrong("the object has no such map, so nothing can call it"));
                    continue;
                }
                Some(found) if found.spec.map_type != MapType::ProgArray => {
                    return Err(wrong("the map is no prog array"));
                }
                Some(found) if slot >= found.spec.max_entries => {
                    return Err(wrong(&format!("the map has {} slots", found.spec.max_entries)));
                }
                Some(_) => {}
            }
            if let Some(first) = self.tails.insert((map, slot), &program.name) {
                return Err(wrong(&format!("{first} is in that slot already")));
            }
        }
        Ok(())
    }

    /// Programs to load for these: they, what the object puts into prog arrays, and what can be called through the slots
    /// of prog arrays that any of them uses.
    fn needed(&self, roots: BTreeSet<&'a str>) -> (BTreeSet<&'a str>, BTreeSet<(&'a str, u32)>) {
        let mut todo: Vec<&str> = roots.into_iter().collect();
        for map in &self.object.maps {
            if let MapContents::Programs(slots) = &map.contents {
                // Other types cannot be in a prog array these programs use, but libbpf insists on having them.
                todo.extend(slots.iter().map(|(_, name)| name.as_str()));
            }
        }
        let (mut needed, mut slots) = (BTreeSet::new(), BTreeSet::new());
        let mut functions = vec![false; self.object.functions.len()];
        let mut maps = vec![false; self.object.maps.len()];
        while let Some(name) = todo.pop() {
            let Some(program) = self.object.program(name).filter(|_| needed.insert(name)) else { continue };
            let mut inside = vec![program.function];
            while let Some(id) = inside.pop() {
                if std::mem::replace(&mut functions[id.0], true) {
                    continue;
                }
                for relocation in &self.object.functions[id.0].relocations {
                    match relocation.target {
                        Target::Call(to) | Target::Address(to) => inside.push(to),
                        Target::Map(map) if !std::mem::replace(&mut maps[map], true) => {
                            let map = self.object.maps[map].spec.name.as_str();
                            for (slot, tail) in self.tails.range((map, 0)..=(map, u32::MAX)) {
                                slots.insert(*slot);
                                todo.push(tail);
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
        (needed, slots)
    }
}

/// The tests of `object` that `wanted` accepts by name, and the case that runs them. An error says why the object is no
/// suite. With `whole`, planes look at every map, for comparison; without, only at those results are in. The tests that
/// `unloadable` gives reasons for are not run.
pub fn plan(
    object: &Object,
    elf: Bytes,
    whole: bool,
    wanted: impl Fn(&str) -> bool,
    unloadable: &BTreeMap<String, String>,
) -> Result<Plan, String> {
    special(object)?;
    let programs = Programs::of(object)?;
    let (mut runs, mut tests, mut roots) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (name, steps) in programs.tests.iter().filter(|(name, _)| wanted(name)) {
        let mut test = Test { name: (*name).to_owned(), steps: Vec::new(), wrong: None };
        test.wrong = wrong(steps).or_else(|| unloadable.get(*name).cloned());
        if test.wrong.is_none() {
            let check = steps[&Step::Check][0];
            let ctx_len = if programs.types[check] == ProgType::SchedCls { CTX_LEN } else { 0 };
            for (step, named) in steps {
                let before = test.steps.last().map(|(step, ..)| *step);
                let run = run(object, name, (*step, named[0]), before, ctx_len);
                test.steps.push((*step, named[0].to_owned(), runs.len()));
                roots.insert(named[0]);
                runs.push(run);
            }
        }
        tests.push(test);
    }
    let (needed, slots) = if runs.is_empty() { Default::default() } else { programs.needed(roots) };
    let maps = slots.iter().map(|slot| MapWrite {
        object: object.name.clone(),
        map: slot.0.to_owned(),
        key: slot.1.to_le_bytes().to_vec().into(),
        value: MapValue::Program(programs.tails[slot].to_owned()),
    });
    let types = needed.iter().filter_map(|name| {
        let given = *programs.types.get(name)?;
        let told = object.program(name)?.prog_type;
        (told != given).then(|| Typed { program: (*name).to_owned(), prog_type: given as u32 })
    });
    let watched = |map: &str| MapName { object: object.name.clone(), map: map.to_owned() };
    let case = Case {
        name: object.name.clone(),
        maps: maps.collect(),
        objects: vec![ObjectImage {
            name: object.name.clone(),
            elf,
            globals: Vec::new(),
            types: types.collect(),
            kconfig: Vec::new(),
            kernel_types: None,
            sizes: Vec::new(),
            programs: needed.into_iter().map(ToOwned::to_owned).collect(),
        }],
        network: Network::default(),
        runs,
        watch: (!whole).then(|| [RESULTS, PARTS, PACKETS].map(watched).to_vec()),
        topology: None,
    };
    Ok(Plan { case, tests, notes: programs.notes })
}

/// Why a test cannot be run.
fn wrong(steps: &BTreeMap<Step, Vec<&str>>) -> Option<String> {
    if let Some((step, names)) = steps.iter().find(|(_, names)| names.len() > 1) {
        return Some(format!("{} programs are its {}: {}", names.len(), step.name(), names.join(", ")));
    }
    let there: Vec<&str> = steps.keys().map(|step| step.name()).collect();
    (!steps.contains_key(&Step::Check)).then(|| format!("it has no check, only {}", there.join(" and ")))
}

fn run(
    object: &Object,
    test: &str,
    (step, program): (Step, &str),
    before: Option<Step>,
    ctx_len: u32,
) -> Run {
    let follows = before.map(|before| Follows {
        retval_first: before == Step::Setup,
        ctx_len,
        unless: vec![super::CODE_ERROR, super::CODE_FAIL],
    });
    let zeroed = |map: &str| {
        let spec = &object.map(map)?.spec;
        Some(MapWrite {
            object: object.name.clone(),
            map: map.to_owned(),
            key: vec![0; spec.key_size as usize].into(),
            value: MapValue::Bytes(vec![0; spec.value_size as usize].into()),
        })
    };
    let afterwards = [RESULTS, SKB_META].into_iter().filter(|_| step == Step::Check).filter_map(zeroed);
    let (data, ctx) = if follows.is_none() { (DATA_LEN, ctx_len as usize) } else { (0, 0) };
    Run {
        name: format!("{test}/{}", step.name()),
        object: object.name.clone(),
        program: program.to_owned(),
        data: vec![0; data].into(),
        ctx: vec![0; ctx].into(),
        repeat: 1,
        flags: 0,
        follows,
        afterwards: afterwards.collect(),
    }
}

/// Whether the maps results are in are what they must be.
fn special(object: &Object) -> Result<(), String> {
    let sizes: [(&str, &[usize]); 3] =
        [(RESULTS, &[]), (PARTS, &[elements::ENTRY]), (PACKETS, &[packets::ENTRY, packets::SHORT_ENTRY])];
    for (name, sizes) in sizes {
        let Some(map) = object.map(name) else { continue };
        if map.spec.map_type != MapType::Array || map.spec.key_size != 4 {
            return Err(format!("map {name} is no array"));
        }
        let size = map.spec.value_size;
        if !sizes.is_empty() && !sizes.contains(&(size as usize)) {
            let due = sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
            return Err(format!("map {name} has values of {size} bytes, {due} are due"));
        }
    }
    Ok(())
}
