//! Inputs and outputs as a capture for Wireshark: per plane an interface `plane/in` and one `plane/out`, with program
//! and verdict as comments and virtual timestamps.

use bpftwin_sim::uapi::ProgType;
use bpftwin_sim::wire::pcap::{Record, Verdict, Writer};

use crate::compare::describe;
use crate::observation::Outcome;
use crate::suite::CaseReport;

/// Virtual time between two runs, nanoseconds.
const STEP_NS: u64 = 1_000;

/// Every packet of every scenario, in order.
pub fn capture(reports: &[CaseReport]) -> Vec<u8> {
    let mut writer = Writer::new();
    let mut time_ns = 0;
    let mut id = 0;
    for report in reports {
        let Some(resolved) = &report.resolved else { continue };
        let taps: Vec<_> = report
            .planes
            .iter()
            .map(|plane| {
                let name = |side: &str| format!("{}/{}/{side}", report.name, plane.plane);
                (plane, writer.interface(&name("in")), writer.interface(&name("out")))
            })
            .collect();
        for (index, run) in resolved.case.runs.iter().enumerate() {
            time_ns += STEP_NS;
            id += 1;
            let program = format!("{} {}:{}", run.name, run.object, run.program);
            for (plane, into, out) in &taps {
                writer.packet(&Record {
                    interface: *into,
                    time_ns,
                    data: &run.data,
                    comment: Some(&program),
                    packet_id: Some(id),
                    verdict: None,
                });
                let Some(seen) = plane.seen.runs.get(index) else { continue };
                let prog_type = resolved.shape.program(&run.object, &run.program);
                let comment = format!("{program} {}", describe(prog_type, &seen.outcome));
                let (data, verdict) = match &seen.outcome {
                    Outcome::Done { data, retval, .. } => (&data.0[..], verdict(prog_type, *retval)),
                    Outcome::Errno(_) | Outcome::Fault(_) | Outcome::NotDone | Outcome::Walked(_) => {
                        (&[][..], None)
                    }
                };
                writer.packet(&Record {
                    interface: *out,
                    time_ns,
                    data,
                    comment: Some(&comment),
                    packet_id: Some(id),
                    verdict,
                });
            }
        }
    }
    writer.into_bytes()
}

/// As xdpdump writes it, for the program types it knows.
const fn verdict(prog_type: ProgType, retval: u32) -> Option<Verdict> {
    match prog_type {
        ProgType::SchedCls | ProgType::SchedAct => Some(Verdict::Tc(retval as i32)),
        ProgType::Xdp => Some(Verdict::Xdp(retval)),
        _ => None,
    }
}
