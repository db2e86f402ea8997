//! Probes on this kernel: see `bpftwin_conformance::probe`.

use bpftwin_conformance::case::Network;
use bpftwin_conformance::observation::Outcome;
use bpftwin_conformance::plane::probe::{define, slots, value_size};
use bpftwin_conformance::probe::{Probe, ProbeRunSeen, ProbeSeen};

use crate::failure::{Failure, Stop};
use crate::network::{self, Scene};
use crate::sys::{Map, Prog, ProgLoad, TestRun};

/// Answers probes, in one namespace as long as they want the same.
#[derive(Default)]
pub struct Prober {
    scene: Option<(Network, Scene)>,
    map: Option<Map>,
}

impl Prober {
    /// Runs one probe.
    pub fn run(&mut self, probe: &Probe) -> Result<ProbeSeen, Failure> {
        let wrong = |what: String| Failure::Case(format!("a probe: {what}"));
        let size = value_size(probe).map_err(wrong)?;
        let mut insns = slots(&probe.slots).map_err(wrong)?;
        if self.scene.as_ref().is_none_or(|(network, _)| *network != probe.network) {
            let scene = network::enter(&probe.network).map_err(|stop| match stop {
                Stop::Failure(failure) => failure,
                Stop::Decline(decline) => Failure::Harness(decline.reason),
            })?;
            self.scene = Some((probe.network.clone(), scene));
        }
        let map = match self.map.take() {
            Some(map) if map.value_size() == size => self.map.insert(map),
            _ => {
                let made = Map::new(libbpf_sys::BPF_MAP_TYPE_ARRAY, 4, size as u32, 1, 0);
                self.map.insert(made.map_err(|errno| Failure::Harness(format!("making a map: {errno}")))?)
            }
        };
        define(&mut insns, &probe.value_at, libbpf_sys::BPF_PSEUDO_MAP_VALUE as u8, u64::from(map.raw()))
            .map_err(wrong)?;
        let load = ProgLoad {
            prog_type: probe.prog_type,
            expected_attach_type: probe.attach_type,
            insns: &insns,
            ..ProgLoad::default()
        };
        let prog = match Prog::load(&load) {
            Ok(prog) => prog,
            Err(error) => return Ok(ProbeSeen::Refused(error.to_string())),
        };
        let mut seen = Vec::with_capacity(probe.runs.len());
        for run in &probe.runs {
            map.update(&[0; 4], &run.value, 0)
                .map_err(|errno| Failure::Harness(format!("setting the value: {errno}")))?;
            let answer = prog.test_run(&TestRun {
                data_in: &run.data,
                ctx_in: (!run.ctx.is_empty()).then_some(&run.ctx),
                repeat: run.repeat,
                flags: run.flags,
                data_room: (probe.prog_type == libbpf_sys::BPF_PROG_TYPE_SK_LOOKUP).then_some(0),
                ..TestRun::default()
            });
            let outcome = match answer {
                Ok(out) => Outcome::Done { retval: out.retval, data: out.data.into(), ctx: out.ctx.into() },
                Err(errno) => Outcome::Errno(errno.raw()),
            };
            let value = map
                .lookup(&[0; 4], 0)
                .map_err(|errno| Failure::Harness(format!("reading the value: {errno}")))?;
            seen.push(ProbeRunSeen { outcome, value: value.into() });
        }
        Ok(ProbeSeen::Ran(seen))
    }
}
