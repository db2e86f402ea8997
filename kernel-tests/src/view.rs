//! An object as the simulator's loader reads it and as libbpf does: maps, programs, and every instruction once
//! references and CO-RE relocations are resolved.

use std::collections::BTreeMap;

use bpftwin_sim::bpf::btf::{Btf, Kind};
use bpftwin_sim::bpf::core_relo::{Extent, Relocator, essential};
use bpftwin_sim::bpf::link::{Linked, link};
use bpftwin_sim::bpf::map::MapSpec;
use bpftwin_sim::bpf::object::{
    ExternKind, FunctionId, MapContents, Object, ObjectMap, ProgramSpec, Relocation, SectionName, Target,
};
use bpftwin_sim::uapi::ProgType;

use crate::log;
use crate::sys::{LibbpfMap, LibbpfProgram, Opened};

/// What there was to compare, and what differs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Compared {
    /// Maps.
    pub maps: usize,
    /// Programs.
    pub programs: usize,
    /// Slots of instructions, after relocation.
    pub slots: usize,
    /// Programs whose references one of the two does not resolve, and why.
    pub unresolved: Vec<String>,
    /// What differs as it is meant to.
    pub known: Vec<Known>,
    /// What differs otherwise, in words.
    pub differences: Vec<String>,
}

/// Where the simulator's loader means to differ from libbpf.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Known {
    /// A section whose name libbpf does not know has the type that its beginning says, as with ebpf-go.
    SectionPrefix,
    /// Maps defined as `struct bpf_map_def` or `struct bpf_elf_map`, which libbpf refuses since 1.0.
    LegacyMaps,
    /// Static functions outside `.text` are entry points, as with ebpf-go.
    StaticEntry,
    /// Values of `pinning` that only other loaders give a meaning.
    Pinning,
    /// Big-endian objects, which libbpf takes since 1.5, though no little-endian kernel runs their programs.
    BigEndian,
    /// Exception callbacks, which libbpf appends, are left out: programs that throw are refused.
    ExceptionCallback,
}

impl Known {
    /// The one that makes libbpf refuse an object, by what it complains about.
    fn of_complaint(complaint: &str) -> Option<Self> {
        const WORDS: [(&str, Known); 3] = [
            ("legacy map definitions", Known::LegacyMaps),
            ("is static and not supported", Known::StaticEntry),
            ("invalid pinning value", Known::Pinning),
        ];
        WORDS.iter().find(|(words, _)| complaint.contains(words)).map(|(_, known)| *known)
    }
}

/// What two readers of one object file say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum View {
    /// Both take it.
    Both(Compared),
    /// Only one of them takes it, as it is meant to be.
    Known(Known),
    /// Only libbpf takes it; why the simulator's loader does not.
    Libbpf(String),
    /// Only the simulator's loader takes it; why libbpf does not.
    Simulator(String),
    /// Neither takes it; what each says.
    Neither(String, String),
}

/// Bits of an instruction that are opcode and destination.
const OPERATION: u64 = 0x0fff;
/// `BPF_PSEUDO_MAP_FD`, `BPF_PSEUDO_MAP_VALUE`, `BPF_PSEUDO_FUNC` and `BPF_PSEUDO_KFUNC_CALL`: source registers.
const MAP_FD: u64 = 1;
const MAP_VALUE: u64 = 2;
const FUNC: u64 = 4;
const KFUNC_CALL: u64 = 2;

/// Reads the object `bytes` twice and compares. `kernel` has the types of the running kernel.
pub fn view(bytes: &[u8], kernel: &Btf) -> View {
    log::begin();
    let libbpf = Opened::open("case", bytes).map_err(|errno| format!("{errno}: {}", complaint()));
    let ours = Object::parse("case.o", bytes).map_err(|error| error.to_string());
    match (libbpf, ours) {
        (Ok(mut libbpf), Ok(ours)) => {
            let mut compared = Compared::default();
            compared.maps(&libbpf.maps(), &ours);
            let declared = libbpf.programs();
            compared.programs(&declared, &ours);
            libbpf.choose(|_| true);
            match libbpf.prepare() {
                Ok(()) => compared.code(&libbpf, &ours, kernel, |_| true),
                Err(_) => compared.one_by_one(bytes, &declared, &ours, kernel),
            }
            View::Both(compared)
        }
        (Ok(_), Err(error)) if error.contains("big-endian") => View::Known(Known::BigEndian),
        (Ok(_), Err(error)) => View::Libbpf(error),
        (Err(error), Ok(_)) => Known::of_complaint(&error).map_or(View::Simulator(error), View::Known),
        (Err(libbpf), Err(ours)) => View::Neither(libbpf, ours),
    }
}

/// The last thing libbpf complained about.
fn complaint() -> String {
    let log = log::take();
    let line = log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim_start_matches("libbpf: ").to_owned()
}

impl Compared {
    fn differ(&mut self, what: String) {
        self.differences.push(what);
    }

    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, libbpf: &T, ours: &T) {
        if libbpf != ours {
            self.differ(format!("{what}: libbpf {libbpf:?}, simulator {ours:?}"));
        }
    }

    fn maps(&mut self, libbpf: &[LibbpfMap], ours: &Object) {
        let names = |map: &ObjectMap| match map.contents {
            // `map_uses_real_name`, libbpf.c: the kernel's name is cut, libbpf's is not.
            MapContents::Section(_)
                if map.spec.name.starts_with(".data.") || map.spec.name.starts_with(".rodata.") =>
            {
                map.spec.name.clone()
            }
            MapContents::Section(_) => map.kernel_name.clone(),
            _ => map.spec.name.clone(),
        };
        let theirs: Vec<String> = libbpf.iter().map(|map| map.name.clone()).collect();
        let mine: Vec<String> = ours.maps.iter().map(names).collect();
        if theirs != mine {
            self.differ(format!("maps: libbpf {theirs:?}, simulator {mine:?}"));
            return;
        }
        for (map, our) in libbpf.iter().zip(&ours.maps) {
            self.maps += 1;
            let what = format!("map {}", map.name);
            self.equal(&what, &described(map), &describe(&our.spec));
            self.equal(&format!("{what}, pinned"), &map.pinned, &(our.spec.pinning == 1));
            let inner = our.spec.inner.as_ref().map(|inner| describe(inner));
            self.equal(
                &format!("{what}, inner map"),
                &map.inner.as_ref().map(|inner| described(inner)),
                &inner,
            );
            let bytes = match &our.contents {
                MapContents::Section(bytes) => {
                    let mut bytes = bytes.clone();
                    bytes.resize(our.spec.value_size as usize, 0);
                    Some(bytes)
                }
                _ => None,
            };
            if map.internal && map.initial != bytes {
                self.differ(format!("{what}: initial bytes"));
            }
        }
    }

    fn programs(&mut self, libbpf: &[LibbpfProgram], ours: &Object) {
        let theirs: Vec<&str> = libbpf.iter().map(|program| program.name.as_str()).collect();
        let mine: Vec<&str> = ours.programs.iter().map(|program| program.name.as_str()).collect();
        if theirs != mine {
            self.differ(format!("programs: libbpf {theirs:?}, simulator {mine:?}"));
            return;
        }
        for (program, our) in libbpf.iter().zip(&ours.programs) {
            self.programs += 1;
            let what = format!("program {}", program.name);
            if SectionName::parse(&our.section).is_none() && our.prog_type != ProgType::Unspec {
                self.known.push(Known::SectionPrefix);
                self.equal(&what, &(program.section.as_str(), program.prog_type), &(our.section.as_str(), 0));
                continue;
            }
            let attach_type = our.attach_type.map_or(0, |attach| attach as u32);
            self.equal(
                &format!("{what}: section, type, attach type, autoload"),
                &(program.section.as_str(), program.prog_type, program.attach_type, program.autoload),
                &(our.section.as_str(), our.prog_type as u32, attach_type, our.autoload),
            );
        }
    }

    /// Prepares each program alone, where not all of them can be.
    fn one_by_one(&mut self, bytes: &[u8], declared: &[LibbpfProgram], ours: &Object, kernel: &Btf) {
        for wanted in declared {
            log::begin();
            let Ok(mut libbpf) = Opened::open("case", bytes) else { continue };
            libbpf.choose(|program| program.name == wanted.name);
            match libbpf.prepare() {
                Ok(()) => self.code(&libbpf, ours, kernel, |program| program.name == wanted.name),
                Err(errno) => {
                    self.unresolved.push(format!("{}: libbpf: {errno}: {}", wanted.name, complaint()));
                }
            }
        }
    }

    fn code(
        &mut self,
        libbpf: &Opened,
        ours: &Object,
        kernel: &Btf,
        wanted: impl Fn(&LibbpfProgram) -> bool,
    ) {
        let maps: Vec<Option<i32>> = libbpf.maps().iter().map(|map| map.fd).collect();
        let mut relocator = ours.btf.as_ref().map(|local| Relocator::new(local, kernel, Extent::Whole));
        for (program, our) in
            libbpf.programs().iter().zip(&ours.programs).filter(|(program, _)| wanted(program))
        {
            let mut linked = link(ours, our);
            let mut relocate = |slots: &mut [u64], core| match relocator.as_mut() {
                Some(relocator) => relocator.relocate(slots, core),
                None => Err("the object has no types".to_owned()),
            };
            let core = std::mem::take(&mut linked.core);
            match core.iter().try_for_each(|core| relocate(&mut linked.slots, core)) {
                Ok(()) => self.slots(program, our, ours, &linked, &maps, kernel),
                Err(why) => self.unresolved.push(format!("{}: simulator: {why}", program.name)),
            }
        }
    }

    fn slots(
        &mut self,
        program: &LibbpfProgram,
        our: &ProgramSpec,
        object: &Object,
        linked: &Linked,
        maps: &[Option<i32>],
        kernel: &Btf,
    ) {
        let what = format!("program {}", our.name);
        let tags = &object.function(our.function).tags;
        if tags.iter().any(|tag| tag.starts_with("exception_callback:")) {
            self.known.push(Known::ExceptionCallback);
            return;
        }
        if program.slots.len() != linked.slots.len() {
            self.equal(&format!("{what}: instructions"), &program.slots.len(), &linked.slots.len());
            return;
        }
        self.slots += linked.slots.len();
        let mut expected: Vec<(u64, u64)> = linked.slots.iter().map(|&slot| (slot, u64::MAX)).collect();
        let kconfig = object.maps.iter().position(|map| map.spec.name == ".kconfig");
        for (slot, target) in references(object, linked) {
            let slot = slot as usize;
            let operation = linked.slots[slot] & OPERATION;
            let pair = |source: u64, low: u32, high: u32| {
                [operation | source << 12 | u64::from(low) << 32, u64::from(high) << 32]
            };
            let map = |map: usize| maps.get(map).copied().flatten().map(|fd| fd as u32);
            // What has no number that could be known here is compared as far as opcode and destination.
            let both = match target {
                Target::Map(index) => map(index).map(|fd| pair(MAP_FD, fd, 0)),
                Target::Data { map: index, offset } => map(index).map(|fd| pair(MAP_VALUE, fd, offset)),
                Target::ExternVar(index) => match object.externs[index].kind {
                    ExternKind::Kconfig { offset, .. } => {
                        kconfig.and_then(map).map(|fd| pair(MAP_VALUE, fd, offset))
                    }
                    _ => None,
                },
                Target::Address(id) => {
                    let distance = start(linked, id) as i32 - slot as i32 - 1;
                    Some(pair(FUNC, distance as u32, 0))
                }
                Target::Call(_) => continue,
                Target::ExternCall(index) => {
                    let name = essential(&object.externs[index].name);
                    let id = kernel.find(name, |kind| matches!(kind, Kind::Func { .. }));
                    expected[slot] = match id {
                        Some(id) => (operation | KFUNC_CALL << 12 | u64::from(id) << 32, u64::MAX),
                        None => (operation, 0xff),
                    };
                    continue;
                }
            };
            if let Some([low, high]) = both {
                expected[slot] = (low, u64::MAX);
                expected[slot + 1] = (high, u64::MAX);
            } else {
                expected[slot].1 = OPERATION;
                expected[slot + 1].1 = 0;
            }
        }
        for (at, (&found, (expected, mask))) in program.slots.iter().zip(expected).enumerate() {
            if found & mask != expected & mask {
                let line = linked.line_of(at as u32).map(ToString::to_string).unwrap_or_default();
                self.differ(format!(
                    "{what}, instruction {at} ({line}): libbpf {found:#018x}, simulator {:#018x}",
                    expected & mask | found & !mask
                ));
                return;
            }
        }
    }
}

/// Every reference of a linked program, those to functions too.
fn references(object: &Object, linked: &Linked) -> Vec<(u32, Target)> {
    let mut all = Vec::new();
    for (id, function) in linked.ids.iter().zip(&linked.functions) {
        for Relocation { slot, target } in &object.function(*id).relocations {
            all.push((function.start_slot + slot, *target));
        }
    }
    all
}

fn start(linked: &Linked, wanted: FunctionId) -> u32 {
    let starts: BTreeMap<FunctionId, u32> =
        linked.ids.iter().copied().zip(linked.functions.iter().map(|function| function.start_slot)).collect();
    starts[&wanted]
}

/// Type, sizes of key and value, capacity, flags and extra.
type Attributes = (u32, u32, u32, u32, u32, u64);

fn described(map: &LibbpfMap) -> Attributes {
    (map.map_type, map.key_size, map.value_size, map.max_entries, map.flags, map.extra)
}

fn describe(spec: &MapSpec) -> Attributes {
    (spec.map_type as u32, spec.key_size, spec.value_size, spec.max_entries, spec.flags, spec.extra)
}
