//! One case on this kernel: load, fill, run, look.

use bpftwin_conformance::case::{Case, Run};
use bpftwin_conformance::observation::{Begin, End, Event, Outcome, RunSeen};
use bpftwin_sim::net::runs_given;
use bpftwin_sim::uapi::ProgType;
use libbpf_rs::ProgramType;

use crate::elements::{self, Watch};
use crate::failure::{Failure, Stop};
use crate::netns;
use crate::network;
use crate::object::{Object, Program};
use crate::records::Records;
use crate::sys::{TestRun, pin_to_cpu, possible_cpus};

/// The CPU every program runs on.
const CPU: u32 = 0;

/// `BPF_F_TEST_XDP_LIVE_FRAMES` of `include/uapi/linux/bpf.h`.
const LIVE_FRAMES: u32 = 1 << 1;

/// This kernel, with this thread pinned to one CPU.
pub struct Plane {
    begin: Begin,
}

/// This kernel's `uname -r`.
pub fn release() -> Result<String, Failure> {
    let path = "/proc/sys/kernel/osrelease";
    let kernel =
        std::fs::read_to_string(path).map_err(|error| Failure::Harness(format!("{path}: {error}")))?;
    Ok(kernel.trim_end().into())
}

impl Plane {
    /// Pins this thread and asks the kernel who it is.
    pub fn new() -> Result<Self, Failure> {
        pin_to_cpu(CPU)
            .map_err(|errno| Failure::Harness(format!("cannot run on CPU {CPU} only: {errno}")))?;
        let begin =
            Begin { plane: "prog-run".into(), kernel: release()?, nr_cpus: possible_cpus(), cpu: CPU };
        Ok(Self { begin })
    }

    /// What this plane is.
    pub fn begin(&self) -> &Begin {
        &self.begin
    }

    /// Runs one case and hands every event to `report` as it happens. Ends with [`Event::End`] or
    /// [`Event::Decline`], or with a failure that makes everything reported for this case worthless.
    pub fn run(
        &self,
        case: &Case,
        report: &mut dyn FnMut(Event) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let plane = if case.topology.is_some() { "netns" } else { "prog-run" };
        report(Event::Begin(Begin { plane: plane.into(), ..self.begin.clone() }))?;
        match observe(case, report) {
            Ok(end) => report(Event::End(end)),
            Err(Stop::Decline(decline)) => report(Event::Decline(decline)),
            Err(Stop::Failure(Failure::Case(what))) => {
                Err(Failure::Case(format!("case {:?}: {what}", case.name)))
            }
            Err(Stop::Failure(failure)) => Err(failure),
        }
    }
}

fn observe(case: &Case, report: &mut dyn FnMut(Event) -> Result<(), Failure>) -> Result<End, Stop> {
    let names: std::collections::BTreeSet<_> = case.objects.iter().map(|object| &object.name).collect();
    if names.len() != case.objects.len() {
        return Err(Stop::case("two objects have the same name"));
    }
    if let Some(topology) = &case.topology {
        return netns::observe(case, topology, CPU, report);
    }
    let _network = network::enter(&case.network)?;
    let objects = case.objects.iter().map(Object::load).collect::<Result<Vec<_>, _>>()?;
    for write in &case.maps {
        elements::write(&objects, write)?;
    }
    let programs = case.runs.iter().map(|run| program(&objects, run)).collect::<Result<Vec<_>, _>>()?;
    for (run, program) in case.runs.iter().zip(&programs) {
        if let Some(prog_type) = ProgType::from_u32(program.kind as u32).filter(|&t| runs_given(t)) {
            let name = &run.program;
            return Err(Stop::decline(format!(
                "{name} is a {prog_type}: BPF_PROG_TEST_RUN answers ENOTSUPP"
            )));
        }
    }
    let mut records = Records::begin(&objects)?;
    let mut watch = Watch::begin(&objects, case)?;
    let mut before = None;
    for (index, (run, program)) in case.runs.iter().zip(programs).enumerate() {
        let outcome = match run.input(before.as_ref()) {
            Some((data, ctx)) => test_run(run, program, &data, &ctx),
            None => Outcome::NotDone,
        };
        let (maps, records) = (watch.changes()?, records.drain()?);
        if outcome != Outcome::NotDone {
            for write in &run.afterwards {
                elements::write(&objects, write)?;
                watch.forget(&write.object, &write.map)?;
            }
        }
        before = Some(outcome.clone());
        report(Event::Run(RunSeen { index, outcome, maps, records, lines: Vec::new() }))?;
    }
    let (maps, unread) = watch.end()?;
    Ok(End { runs: case.runs.len(), maps, unread })
}

fn program<'a>(objects: &'a [Object], run: &Run) -> Result<&'a Program, Stop> {
    let object = objects.iter().find(|object| object.name == run.object);
    object
        .ok_or_else(|| Stop::case(format!("run {:?}: there is no object {}", run.name, run.object)))?
        .program(&run.program)
}

/// BPF_PROG_TEST_RUN with room for everything, except where the kernel insists on no room at all:
/// `net/bpf/test_run.c: bpf_prog_test_run_{sk_lookup,xdp,syscall,nf}`, v6.12.
fn test_run(run: &Run, program: &Program, data: &[u8], ctx: &[u8]) -> Outcome {
    let live = program.kind == ProgramType::Xdp && run.flags & LIVE_FRAMES != 0;
    let in_place = program.kind == ProgramType::Syscall;
    let no_data = live || in_place || program.kind == ProgramType::SkLookup;
    // Nothing is written to it there.
    let no_ctx = live || program.kind == ProgramType::Netfilter;
    let result = program.prog.test_run(&TestRun {
        data_in: data,
        ctx_in: (!ctx.is_empty()).then_some(ctx),
        repeat: run.repeat,
        flags: run.flags,
        data_room: no_data.then_some(0),
        ctx_room: no_ctx.then_some(0),
        in_place,
        ..TestRun::default()
    });
    match result {
        Ok(out) => Outcome::Done { retval: out.retval, data: out.data.into(), ctx: out.ctx.into() },
        Err(errno) => Outcome::Errno(errno.raw()),
    }
}
