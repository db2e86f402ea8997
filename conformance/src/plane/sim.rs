//! Plane `sim`: the simulator in this process, doing what `bpftwin-kernel` does on a kernel.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bpftwin_sim::bpf::Engine;
use bpftwin_sim::bpf::fault::{Fault, FaultKind};
use bpftwin_sim::bpf::load::{Global, LoadOptions, Loaded};
use bpftwin_sim::bpf::machine::ProgId;
use bpftwin_sim::bpf::map::{MapCtx, MapId, Reference, TailCallee};
use bpftwin_sim::bpf::object::{Line, Object};
use bpftwin_sim::net::{Config, GivenRun, Kernel, Room, TestRun, runs_given};
use bpftwin_sim::uapi::{MapType, ProgType, Release};
use bpftwin_sim::world::Halt;

use super::sim_compile::compile;
pub use super::sim_network::network_of;
use super::sim_topology::{self, Wires};
use super::sim_when::{When, when};
use super::{Plane, Unavailable};
use crate::bytes::Bytes;
use crate::case::{Case, MapValue, MapWrite, ObjectImage, Resized, Run, Step, Typed};
use crate::observation::{
    Begin, Decline, End, MapChange, Observation, Outcome, Record, Report, RunSeen, Unread,
};

/// `BPF_F_TEST_XDP_LIVE_FRAMES` of `include/uapi/linux/bpf.h`.
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

/// The simulator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SimPlane {
    /// The kernel spoken as.
    pub release: Release,
    /// Possible CPUs.
    pub nr_cpus: u32,
    /// The CPU programs run on.
    pub cpu: u32,
    /// What runs programs.
    pub engine: Engine,
}

impl Default for SimPlane {
    fn default() -> Self {
        Self { release: Release::default(), nr_cpus: 2, cpu: 0, engine: Engine::default() }
    }
}

impl Plane for SimPlane {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn run(&self, case: &Case) -> Result<Report, Unavailable> {
        match open(case) {
            Ok(objects) => self.run_opened(case, &objects),
            Err(reason) => Ok(refused(reason)),
        }
    }
}

fn refused(reason: String) -> Report {
    Report::Declined(Decline { reason, log: String::new() })
}

/// The case's objects, with the types it gives their programs and the sizes it gives their maps.
fn open(case: &Case) -> Result<Vec<Arc<Object>>, String> {
    let open = |image: &ObjectImage| {
        let mut object = Object::parse(&image.name, &image.elf).map_err(|error| error.to_string())?;
        adjust(&mut object, image)?;
        Ok(Arc::new(object))
    };
    case.objects.iter().map(open).collect()
}

impl SimPlane {
    /// Runs `case` with its objects already opened.
    pub fn run_opened(&self, case: &Case, objects: &[Arc<Object>]) -> Result<Report, Unavailable> {
        Ok(match Simulation::start(self, case, objects) {
            Err(reason) => refused(reason),
            Ok(mut simulation) => match simulation.observe(case) {
                Err(reason) => refused(reason),
                Ok((runs, end)) => {
                    let kernel = self.release.name().to_owned();
                    let begin = Begin { plane: "sim".into(), kernel, nr_cpus: self.nr_cpus, cpu: self.cpu };
                    Report::Seen(Box::new(Observation { begin, runs, end }))
                }
            },
        })
    }
}

impl SimPlane {
    /// Whether this plane made the observation.
    pub fn describes(&self, seen: &Observation) -> bool {
        let begin = &seen.begin;
        begin.plane == self.name()
            && begin.kernel == self.release.name()
            && (begin.nr_cpus, begin.cpu) == (self.nr_cpus, self.cpu)
    }
}

/// C lines of a run that a report shows.
const LAST_LINES: usize = 4;

impl SimPlane {
    /// How many instructions each run of the case executes.
    pub fn instructions(&self, case: &Case) -> Result<Vec<u64>, String> {
        let mut simulation = Simulation::start(self, case, &open(case)?)?;
        let mut counts = Vec::with_capacity(case.runs.len());
        for run in &case.runs {
            let before = simulation.kernel.machine.executed;
            let outcome = simulation.run(run)?;
            counts.push(simulation.kernel.machine.executed - before);
            simulation.settle(run, &outcome)?;
        }
        Ok(counts)
    }

    /// The kernel before the case's first run, which nobody watches, and each run's program: for whoever measures.
    pub fn prepare(&self, case: &Case) -> Result<(Kernel, Vec<ProgId>), String> {
        let objects = open(case)?;
        let mut simulation = Simulation::start(self, case, &objects)?;
        simulation.kernel.machine.maps.track(false);
        let programs = case
            .runs
            .iter()
            .map(|run| simulation.program(&run.object, &run.program))
            .collect::<Result<_, _>>()?;
        Ok((simulation.kernel, programs))
    }

    /// The last C lines of each of these runs, in the order they ran: the case is run once more, and these runs are
    /// looked at instruction by instruction. Empty for a run whose program has no line information.
    pub fn last_lines(&self, case: &Case, runs: &BTreeSet<usize>) -> BTreeMap<usize, Vec<String>> {
        let mut lines = BTreeMap::new();
        let started = open(case).and_then(|objects| Simulation::start(self, case, &objects));
        let Ok(mut simulation) = started else { return lines };
        let last = runs.last().map_or(0, |last| last + 1);
        for (index, run) in case.runs.iter().enumerate().take(last) {
            let seen = Arc::new(Mutex::new(VecDeque::new()));
            if runs.contains(&index) {
                let seen = seen.clone();
                simulation.kernel.machine.trace = Some(Box::new(move |step| {
                    let Some(line) = step.program.line_of(step.slot) else { return };
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    if seen.back() != Some(line) {
                        if seen.len() == LAST_LINES {
                            seen.pop_front();
                        }
                        seen.push_back(line.clone());
                    }
                }));
            }
            let done = simulation.run(run).and_then(|outcome| simulation.settle(run, &outcome));
            if done.is_err() {
                break;
            }
            simulation.kernel.machine.trace = None;
            if runs.contains(&index) {
                let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                lines.insert(index, seen.iter().map(Line::to_string).collect());
            }
        }
        lines
    }
}

struct Simulation<'a> {
    kernel: Kernel,
    objects: Vec<(&'a str, Arc<Object>, Loaded)>,
    /// Object, map, id: sorted by the names.
    maps: Vec<(&'a str, String, MapId)>,
    /// How the last run ended.
    before: Option<Outcome>,
    /// Of a topology: namespaces, devices and frames.
    wires: Option<Wires>,
}

impl<'a> Simulation<'a> {
    fn start(plane: &SimPlane, case: &'a Case, opened: &[Arc<Object>]) -> Result<Self, String> {
        let config = Config {
            release: plane.release,
            cpu: plane.cpu,
            nr_cpus: plane.nr_cpus,
            engine: plane.engine,
            network: match case.topology.as_ref().and_then(|t| Some((t, t.namespaces.first()?))) {
                Some((topology, first)) => sim_topology::network(topology, first)?,
                None => network_of(&case.network)?,
            },
            ..Config::default()
        };
        let mut kernel = Kernel::new(&config);
        let mut objects = Vec::new();
        for (image, object) in case.objects.iter().zip(opened) {
            let options = LoadOptions {
                programs: (!image.programs.is_empty()).then(|| image.programs.clone()),
                globals: image
                    .globals
                    .iter()
                    .map(|g| Global {
                        section: g.section.clone(),
                        offset: g.offset,
                        value: g.value.0.clone(),
                    })
                    .collect(),
                kconfig: image.kconfig.clone(),
                kernel_types: image.kernel_types.as_ref().map(|types| types.0.clone()),
                ..LoadOptions::default()
            };
            let loaded = kernel.load(object, &options).map_err(|error| error.to_string())?;
            objects.push((image.name.as_str(), object.clone(), loaded));
        }
        let mut maps: Vec<_> = objects
            .iter()
            .flat_map(|(object, _, loaded)| loaded.maps.iter().map(|(name, id)| (*object, name.clone(), *id)))
            .filter(|(object, map, _)| case.watches(object, map))
            .collect();
        maps.sort();
        let mut simulation = Self { kernel, objects, maps, before: None, wires: None };
        for write in &case.maps {
            simulation.write(write)?;
        }
        let nr_cpus = plane.nr_cpus;
        simulation
            .kernel
            .machine
            .maps
            .open_perf_buffers(nr_cpus)
            .map_err(|errno| format!("opening perf buffers: {errno}"))?;
        simulation.kernel.machine.maps.track(true);
        if let Some(topology) = &case.topology {
            simulation.wires = Some(Wires::new(topology, |object, name| simulation.program(object, name))?);
        }
        if plane.engine == Engine::Jit {
            let run = |run: &Run| simulation.program(&run.object, &run.program);
            let attached = case.topology.iter().flat_map(|topology| &topology.attachments);
            let attached = attached.map(|at| simulation.program(&at.object, &at.program));
            let begun = case.runs.iter().map(run).chain(attached).collect::<Result<_, _>>()?;
            compile(&simulation.kernel.machine, begun);
        }
        Ok(simulation)
    }

    fn object(&self, name: &str) -> Result<(&Object, &Loaded), String> {
        let found = self.objects.iter().find(|(known, ..)| *known == name);
        found
            .map(|(_, object, loaded)| (&**object, loaded))
            .ok_or_else(|| format!("there is no object {name}"))
    }

    fn map(&self, object: &str, map: &str) -> Result<MapId, String> {
        let id = self.object(object)?.1.maps.get(map).copied();
        id.ok_or_else(|| format!("{object} has no map {map}"))
    }

    fn write(&mut self, write: &MapWrite) -> Result<(), String> {
        let id = self.map(&write.object, &write.map)?;
        let reference = match &write.value {
            MapValue::Bytes(_) => None,
            MapValue::Map(inner) => Some(Reference::Map(self.map(&write.object, inner)?)),
            MapValue::Program(name) => {
                let (_, loaded) = self.object(&write.object)?;
                let missing = || format!("program {name} of {} is not loaded", write.object);
                let prog = loaded.programs.get(name).copied().ok_or_else(missing)?;
                let callee = TailCallee::of(&self.kernel.machine, prog);
                Some(Reference::Program(callee))
            }
        };
        let machine = &mut self.kernel.machine;
        let done = match (reference, &write.value) {
            (Some(reference), _) => machine.maps.sys_update_reference(id, &write.key, reference, 0),
            (None, MapValue::Bytes(bytes)) => {
                let spec = machine.maps.spec(id);
                let size = spec.sys_value_size(machine.nr_cpus);
                let per_cpu = size != spec.value_size as usize;
                let mut value = bytes.0.clone();
                if per_cpu {
                    value.resize(value.len().next_multiple_of(8), 0);
                    value = value.repeat(machine.nr_cpus as usize);
                }
                let (maps, mut ctx) = split(machine);
                maps.sys_update(&mut ctx, id, &write.key, &value, 0)
            }
            (None, _) => unreachable!("a reference was made of everything but bytes"),
        };
        let place = format!("{}:{}[{}]", write.object, write.map, write.key);
        done.map_err(|errno| format!("{place}: BPF_MAP_UPDATE_ELEM: {errno}"))
    }

    fn observe(&mut self, case: &Case) -> Result<(Vec<RunSeen>, End), String> {
        let mut runs = Vec::with_capacity(case.count());
        for (index, step) in case.topology.iter().flat_map(|topology| &topology.steps).enumerate() {
            let outcome = self.step(step)?;
            let (maps, records) = (self.changes(), self.records());
            runs.push(RunSeen { index, outcome, maps, records, lines: Vec::new() });
        }
        for (index, run) in case.runs.iter().enumerate() {
            let outcome = self.run(run)?;
            let (maps, records) = (self.changes(), self.records());
            self.settle(run, &outcome)?;
            runs.push(RunSeen { index, outcome, maps, records, lines: Vec::new() });
        }
        let end = self.end(runs.len());
        Ok((runs, end))
    }

    /// Writes what the case wants written after a run, which changes of the next run do not tell.
    fn settle(&mut self, run: &Run, outcome: &Outcome) -> Result<(), String> {
        if *outcome != Outcome::NotDone && !run.afterwards.is_empty() {
            run.afterwards.iter().try_for_each(|write| self.write(write))?;
            let (maps, mut ctx) = split(&mut self.kernel.machine);
            maps.changes(&mut ctx);
        }
        Ok(())
    }

    fn run(&mut self, run: &Run) -> Result<Outcome, String> {
        let outcome = match run.input(self.before.as_ref()) {
            Some((data, ctx)) => self.test_run(run, &data, &ctx)?,
            None => Outcome::NotDone,
        };
        self.before = Some(outcome.clone());
        Ok(outcome)
    }

    fn step(&mut self, step: &Step) -> Result<Outcome, String> {
        let wires = self.wires.as_mut().expect("a topology has wires");
        match wires.step(&mut self.kernel, &step.does) {
            Ok(outcome) => Ok(outcome),
            Err(Halt::NotModelled(what)) => Err(format!("step {}: {what}", step.name)),
            Err(Halt::Fault(fault)) if declined(&fault) => Err(format!("program {}: {fault}", fault.program)),
            Err(Halt::Fault(fault)) => Ok(faulted(&fault)),
        }
    }

    fn program(&self, object: &str, name: &str) -> Result<ProgId, String> {
        let prog = self.object(object)?.1.programs.get(name).copied();
        prog.ok_or_else(|| format!("program {name} of {object} is not loaded"))
    }

    fn test_run(&mut self, run: &Run, data: &[u8], ctx: &[u8]) -> Result<Outcome, String> {
        let prog = self.program(&run.object, &run.program)?;
        let prog_type = self.kernel.machine.programs[prog.0 as usize].image().prog_type;
        if runs_given(prog_type) {
            if run.flags != 0 {
                return Err(format!("a {prog_type} has no test run, so that there are no flags of one"));
            }
            let given = GivenRun { ctx, data, repeat: run.repeat, ..GivenRun::default() };
            return Ok(match self.kernel.run_given(prog, &given) {
                Ok(out) => {
                    let out = out?;
                    Outcome::Done { retval: out.retval, data: out.data.into(), ctx: out.ctx.into() }
                }
                Err(fault) if declined(&fault) => return Err(format!("program {}: {fault}", fault.program)),
                Err(fault) => faulted(&fault),
            });
        }
        // Where the kernel insists on no room at all.
        let live = prog_type == ProgType::Xdp && run.flags & BPF_F_TEST_XDP_LIVE_FRAMES != 0;
        let syscall = prog_type == ProgType::Syscall;
        let no_data = live || syscall || prog_type == ProgType::SkLookup;
        let test = TestRun {
            data_in: data,
            ctx_in: ctx,
            repeat: run.repeat,
            flags: run.flags,
            data_out: if no_data { Room::Nothing } else { Room::Whole },
            ctx_out: if live || syscall { Room::Nothing } else { Room::Whole },
            ..TestRun::default()
        };
        Ok(match self.kernel.prog_test_run(prog, &test) {
            Ok(Ok(out)) => Outcome::Done { retval: out.retval, data: out.data.into(), ctx: out.ctx.into() },
            Ok(Err(errno)) => Outcome::Errno(errno.raw()),
            Err(fault) if declined(&fault) => return Err(format!("program {}: {fault}", fault.program)),
            Err(fault) => faulted(&fault),
        })
    }

    fn name_of(&self, id: MapId) -> Option<(&'a str, &str)> {
        self.maps.iter().find(|(.., known)| *known == id).map(|(object, map, _)| (*object, map.as_str()))
    }

    fn changes(&mut self) -> Vec<MapChange> {
        let (maps, mut ctx) = split(&mut self.kernel.machine);
        let changes = maps.changes(&mut ctx);
        let mut out = Vec::with_capacity(changes.len());
        for change in changes {
            let spec = self.kernel.machine.maps.spec(change.map);
            if !matches!(when(spec.map_type, spec.flags), When::EachRun) || change.before == change.after {
                continue;
            }
            let Some((object, map)) = self.name_of(change.map) else { continue };
            out.push(MapChange {
                object: object.to_owned(),
                map: map.to_owned(),
                key: change.key.into(),
                value: change.after.map(Bytes),
            });
        }
        out.sort_by(|a, b| (&a.object, &a.map, &a.key).cmp(&(&b.object, &b.map, &b.key)));
        out
    }

    fn records(&mut self) -> Vec<Record> {
        let mut records: Vec<_> = self
            .kernel
            .machine
            .maps
            .drain()
            .into_iter()
            .filter_map(|record| {
                let (object, map) = self.name_of(record.map)?;
                Some(Record { object: object.to_owned(), map: map.to_owned(), data: record.data.into() })
            })
            .collect();
        // Stable: records of one map keep their order.
        records.sort_by(|a, b| (&a.object, &a.map).cmp(&(&b.object, &b.map)));
        records
    }

    fn end(&mut self, runs: usize) -> End {
        let mut end = End { runs, maps: Vec::new(), unread: Vec::new() };
        for (object, map, id) in &self.maps {
            let (object, map) = ((*object).to_owned(), map.clone());
            let (maps, mut ctx) = split(&mut self.kernel.machine);
            let spec = maps.spec(*id);
            let array = matches!(spec.map_type, MapType::Array | MapType::PercpuArray);
            if let When::Never(reason) = when(spec.map_type, spec.flags) {
                end.unread.push(Unread { object, map, reason: reason.to_owned() });
                continue;
            }
            let mut elements = maps.dump(&mut ctx, *id);
            elements.retain(|(_, value)| !array || value.iter().any(|byte| *byte != 0));
            elements.sort();
            end.maps.extend(elements.into_iter().map(|(key, value)| MapChange {
                object: object.clone(),
                map: map.clone(),
                key: key.into(),
                value: Some(value.into()),
            }));
        }
        end
    }
}

/// Whether the engine declines, which says nothing about the program.
fn declined(fault: &Fault) -> bool {
    matches!(fault.kind, FaultKind::Declined { .. })
}

/// Gives programs the types a case says (`bpf_program__set_type`).
pub fn set_types(object: &mut Object, image: &ObjectImage) -> Result<(), String> {
    for Typed { program, prog_type } in &image.types {
        let known = ProgType::from_u32(*prog_type);
        let known =
            known.ok_or_else(|| format!("program {program}: there is no program type {prog_type}"))?;
        let program = object.programs.iter_mut().find(|p| p.name == *program);
        program.ok_or_else(|| format!("{} lacks a program whose type is given", image.name))?.prog_type =
            known;
    }
    Ok(())
}

/// Changes an object before it is loaded as a case says.
fn adjust(object: &mut Object, image: &ObjectImage) -> Result<(), String> {
    set_types(object, image)?;
    for Resized { map, max_entries } in &image.sizes {
        let known = object.maps.iter_mut().find(|known| known.spec.name == *map);
        let lacks = || format!("{} lacks the map {map}, whose size is given", image.name);
        known.ok_or_else(lacks)?.spec.max_entries = *max_entries;
    }
    Ok(())
}

fn faulted(fault: &Fault) -> Outcome {
    let regs: Vec<String> = fault.regs.iter().enumerate().map(|(i, r)| format!("r{i}={r:#x}")).collect();
    Outcome::Fault(format!("{fault}\n{}", regs.join(" ")))
}

/// The maps and where their operations happen.
fn split(machine: &mut bpftwin_sim::bpf::Machine) -> (&mut bpftwin_sim::bpf::map::Maps, MapCtx<'_>) {
    let ctx = MapCtx {
        mem: &mut machine.mem,
        cpu: machine.cpu,
        nr_cpus: machine.nr_cpus,
        release: machine.release,
        devices: &machine.devices,
    };
    (&mut machine.maps, ctx)
}
