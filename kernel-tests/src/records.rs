//! What programs send through perf and ring buffers, taken after each run.

use bpftwin_conformance::observation::Record;
use libbpf_sys as kernel;
use std::os::fd::AsFd;

use crate::failure::{Failure, Stop};
use crate::object::Object;
use crate::sys::{Errno, Lost, Map, PerfBuffer, RingBuffer, possible_cpus};

/// One buffer's consumer.
enum Consumer {
    Ring(RingBuffer),
    /// One event per CPU; programs run on one CPU, so the order is that CPU's.
    Perf(Vec<PerfBuffer>),
}

struct Source<'a> {
    object: &'a str,
    map: &'a str,
    consumer: Consumer,
}

/// Every buffer of a case, by object and map.
pub struct Records<'a> {
    sources: Vec<Source<'a>>,
}

impl<'a> Records<'a> {
    /// Maps every ring buffer and opens an event for every CPU in every perf event array, as libbpf's `perf_buffer`
    /// does: entry `n` is CPU `n`.
    pub fn begin(objects: &'a [Object]) -> Result<Self, Stop> {
        let mut sources = Vec::new();
        for object in objects {
            for (name, map) in &object.maps {
                let consumer = match map.info().map_type {
                    kernel::BPF_MAP_TYPE_RINGBUF => {
                        RingBuffer::new(map.as_fd(), map.info().max_entries).map(Consumer::Ring).map_err(
                            |errno| Failure::Harness(format!("cannot map ring buffer {name}: {errno}")),
                        )?
                    }
                    kernel::BPF_MAP_TYPE_PERF_EVENT_ARRAY => Consumer::Perf(open_events(name, map)?),
                    _ => continue,
                };
                sources.push(Source { object: &object.name, map: name, consumer });
            }
        }
        sources.sort_by_key(|source| (source.object, source.map));
        Ok(Self { sources })
    }

    /// Takes what came since the last time.
    pub fn drain(&mut self) -> Result<Vec<Record>, Failure> {
        let mut records = Vec::new();
        for source in &mut self.sources {
            let taken = match &mut source.consumer {
                Consumer::Ring(ring) => ring.drain(),
                Consumer::Perf(cpus) => {
                    let taken: Result<Vec<_>, Lost> = cpus.iter_mut().map(PerfBuffer::drain).collect();
                    taken
                        .map_err(|Lost(count)| {
                            let (object, map) = (source.object, source.map);
                            Failure::Harness(format!(
                                "{count} records of {object}:{map} did not fit in one run"
                            ))
                        })?
                        .concat()
                }
            };
            records.extend(taken.into_iter().map(|data| Record {
                object: source.object.to_owned(),
                map: source.map.to_owned(),
                data: data.into(),
            }));
        }
        Ok(records)
    }
}

fn open_events(name: &str, map: &Map) -> Result<Vec<PerfBuffer>, Stop> {
    let mut events = Vec::new();
    for cpu in 0..possible_cpus().min(map.info().max_entries) {
        let event = match PerfBuffer::open(cpu) {
            Ok(event) => event,
            // Offline: no program runs there.
            Err(Errno::ENODEV) => continue,
            Err(Errno::EACCES | Errno::EPERM) => {
                return Err(Stop::decline(format!(
                    "perf event array {name} needs CAP_PERFMON, which is missing"
                )));
            }
            Err(errno) => {
                return Err(
                    Failure::Harness(format!("perf_event_open on CPU {cpu} for {name}: {errno}")).into()
                );
            }
        };
        map.update(&cpu.to_ne_bytes(), &event.fd().to_ne_bytes(), 0)
            .map_err(|errno| Failure::Harness(format!("cannot put an event into {name}: {errno}")))?;
        events.push(event);
    }
    Ok(events)
}
