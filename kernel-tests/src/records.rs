//! What programs send through perf and ring buffers, taken after each run.

use bpftwin_conformance::observation::Record;
use libbpf_sys as kernel;
use std::os::fd::AsFd;

use crate::failure::{Failure, Stop};
use crate::object::Object;
use crate::sys::{Errno, Map, Overflow, PerfBuffer, RingBuffer, possible_cpus};

/// One buffer's consumer.
enum Consumer<'a> {
    Ring(RingBuffer),
    /// One event per CPU; programs run on one CPU, so the order is that CPU's.
    Perf(Vec<Event<'a>>),
}

struct Source<'a> {
    object: &'a str,
    map: &'a str,
    consumer: Consumer<'a>,
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
                    kernel::BPF_MAP_TYPE_PERF_EVENT_ARRAY => Consumer::Perf(Event::open_all(name, map)?),
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
            let (object, map) = (source.object, source.map);
            let mut take = |data: Vec<u8>| {
                records.push(Record { object: object.to_owned(), map: map.to_owned(), data: data.into() });
            };
            match &mut source.consumer {
                Consumer::Ring(ring) => ring.drain().into_iter().for_each(&mut take),
                Consumer::Perf(events) => {
                    for event in events {
                        let taken = event.buffer.drain().map_err(|Overflow| {
                            let most = PerfBuffer::AT_ONCE;
                            Failure::Harness(format!(
                                "{object}:{map}: more than {most} bytes of records in one run"
                            ))
                        })?;
                        taken.into_iter().for_each(&mut take);
                        if event.buffer.is_used_up() {
                            *event = Event::open(map, event.map, event.cpu)?;
                        }
                    }
                }
            }
        }
        Ok(records)
    }
}

/// One CPU's part of a perf event array.
struct Event<'a> {
    map: &'a Map,
    cpu: u32,
    buffer: PerfBuffer,
}

/// Why an event cannot be opened.
enum EventError {
    Offline,
    Denied,
    Other(Failure),
}

impl From<EventError> for Failure {
    fn from(error: EventError) -> Self {
        match error {
            EventError::Offline => Self::Harness("a CPU went offline while programs ran".into()),
            EventError::Denied => Self::Harness("CAP_PERFMON went away while programs ran".into()),
            EventError::Other(failure) => failure,
        }
    }
}

impl<'a> Event<'a> {
    /// Opens CPU `cpu`'s event and puts it into the map.
    fn open(name: &str, map: &'a Map, cpu: u32) -> Result<Self, EventError> {
        let buffer = PerfBuffer::open(cpu).map_err(|errno| match errno {
            Errno::ENODEV => EventError::Offline,
            Errno::EACCES | Errno::EPERM => EventError::Denied,
            _ => EventError::Other(Failure::Harness(format!(
                "perf_event_open on CPU {cpu} for {name}: {errno}"
            ))),
        })?;
        map.update(&cpu.to_ne_bytes(), &buffer.fd().to_ne_bytes(), 0).map_err(|errno| {
            EventError::Other(Failure::Harness(format!("cannot put an event into {name}: {errno}")))
        })?;
        Ok(Self { map, cpu, buffer })
    }

    /// One for every CPU that is there: an offline one runs no program.
    fn open_all(name: &str, map: &'a Map) -> Result<Vec<Self>, Stop> {
        let mut events = Vec::new();
        for cpu in 0..possible_cpus().min(map.info().max_entries) {
            match Self::open(name, map, cpu) {
                Ok(event) => events.push(event),
                Err(EventError::Offline) => {}
                Err(EventError::Denied) => {
                    let reason = format!("perf event array {name} needs CAP_PERFMON, which is missing");
                    return Err(Stop::decline(reason));
                }
                Err(EventError::Other(failure)) => return Err(failure.into()),
            }
        }
        Ok(events)
    }
}
