//! Map contents: filled before the first run, compared after each, listed at the end.

use std::collections::BTreeMap;

use bpftwin_conformance::case::{Case, MapValue, MapWrite};
use bpftwin_conformance::observation::{MapChange, Unread};
use libbpf_sys as kernel;

use crate::failure::{Failure, Stop};
use crate::object::Object;
use crate::sys::{Elements, Errno, Image, Map, possible_cpus};

/// Writes one element. A per-CPU map gets the value for every CPU.
pub fn write(objects: &[Object], write: &MapWrite) -> Result<(), Stop> {
    let object = objects
        .iter()
        .find(|object| object.name == write.object)
        .ok_or_else(|| Stop::case(format!("map {}: there is no object {}", write.map, write.object)))?;
    let map = object.map(&write.map)?;
    let place = format!("{}:{}[{}]", write.object, write.map, write.key);
    if write.key.len() != map.key_size() {
        return Err(Stop::case(format!(
            "{place}: a key of {} bytes, the map's has {}",
            write.key.len(),
            map.key_size()
        )));
    }
    let value = match &write.value {
        MapValue::Bytes(bytes) => {
            let size = map.info().value_size as usize;
            if bytes.len() != size {
                return Err(Stop::case(format!(
                    "{place}: a value of {} bytes, the map's has {size}",
                    bytes.len()
                )));
            }
            let copies = if is_per_cpu(map) { possible_cpus() as usize } else { 1 };
            let mut value = Vec::with_capacity(map.value_size());
            for cpu in 1..=copies {
                value.extend_from_slice(bytes);
                value.resize(map.value_size() / copies * cpu, 0);
            }
            value
        }
        MapValue::Program(name) => object.program(name)?.prog.raw().to_ne_bytes().to_vec(),
        MapValue::Map(name) => object.map(name)?.raw().to_ne_bytes().to_vec(),
    };
    map.update(&write.key, &value, 0)
        .map_err(|errno| Stop::decline(format!("{place}: BPF_MAP_UPDATE_ELEM: {errno}")))
}

fn is_per_cpu(map: &Map) -> bool {
    matches!(
        map.info().map_type,
        kernel::BPF_MAP_TYPE_PERCPU_ARRAY
            | kernel::BPF_MAP_TYPE_PERCPU_HASH
            | kernel::BPF_MAP_TYPE_LRU_PERCPU_HASH
    )
}

fn is_array(map: &Map) -> bool {
    matches!(map.info().map_type, kernel::BPF_MAP_TYPE_ARRAY | kernel::BPF_MAP_TYPE_PERCPU_ARRAY)
}

/// When a map's elements are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum When {
    /// After every run, and at the end.
    EachRun,
    /// At the end only: no program can change it.
    End,
    /// Never, and why.
    Never(&'static str),
}

impl When {
    fn of(map: &Map) -> Self {
        let flags = map.info().map_flags;
        if flags & kernel::BPF_F_WRONLY != 0 {
            return Self::Never("BPF_F_WRONLY: user space may not read it");
        }
        match map.info().map_type {
            kernel::BPF_MAP_TYPE_ARRAY
            | kernel::BPF_MAP_TYPE_PERCPU_ARRAY
            | kernel::BPF_MAP_TYPE_HASH
            | kernel::BPF_MAP_TYPE_PERCPU_HASH
            | kernel::BPF_MAP_TYPE_LRU_HASH
            | kernel::BPF_MAP_TYPE_LRU_PERCPU_HASH
            | kernel::BPF_MAP_TYPE_LPM_TRIE => {
                if flags & kernel::BPF_F_RDONLY_PROG == 0 {
                    Self::EachRun
                } else {
                    Self::End
                }
            }
            kernel::BPF_MAP_TYPE_DEVMAP
            | kernel::BPF_MAP_TYPE_DEVMAP_HASH
            | kernel::BPF_MAP_TYPE_CPUMAP
            | kernel::BPF_MAP_TYPE_CGROUP_STORAGE
            | kernel::BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE => Self::End,
            kernel::BPF_MAP_TYPE_RINGBUF | kernel::BPF_MAP_TYPE_PERF_EVENT_ARRAY => {
                Self::Never("its records are reported run by run")
            }
            kernel::BPF_MAP_TYPE_PROG_ARRAY => {
                Self::Never("it gives program ids, which differ on every load")
            }
            kernel::BPF_MAP_TYPE_ARRAY_OF_MAPS | kernel::BPF_MAP_TYPE_HASH_OF_MAPS => {
                Self::Never("it gives map ids, which differ on every load")
            }
            kernel::BPF_MAP_TYPE_QUEUE | kernel::BPF_MAP_TYPE_STACK => {
                Self::Never("only its next element can be read")
            }
            kernel::BPF_MAP_TYPE_BLOOM_FILTER => {
                Self::Never("a bloom filter only answers whether a value is in it")
            }
            kernel::BPF_MAP_TYPE_USER_RINGBUF => Self::Never("only programs read it"),
            kernel::BPF_MAP_TYPE_CGROUP_ARRAY | kernel::BPF_MAP_TYPE_XSKMAP => {
                Self::Never("user space cannot read it")
            }
            kernel::BPF_MAP_TYPE_SOCKMAP
            | kernel::BPF_MAP_TYPE_SOCKHASH
            | kernel::BPF_MAP_TYPE_REUSEPORT_SOCKARRAY => {
                Self::Never("it gives socket cookies, which differ on every run")
            }
            kernel::BPF_MAP_TYPE_SK_STORAGE | kernel::BPF_MAP_TYPE_CGRP_STORAGE => {
                Self::Never("its keys are descriptors and cannot be listed")
            }
            _ => Self::Never("its elements are kernel objects or have no order to read them in"),
        }
    }
}

/// What a map held before the run.
enum Before {
    /// A list, since the map has to be asked for each of its elements.
    Listed(Elements),
    /// The memory of an array that is shared with this process.
    Shared(Image),
}

/// One map under observation.
struct Watched<'a> {
    object: &'a str,
    name: &'a str,
    map: &'a Map,
    when: When,
    before: Before,
}

impl Watched<'_> {
    fn read(&self, into: &mut Elements) -> Result<(), Failure> {
        self.map.read_all(into).map_err(|errno: Errno| {
            Failure::Harness(format!("cannot read {}:{}: {errno}", self.object, self.name))
        })
    }

    /// Takes what the map holds now for what it held before the next run.
    fn remember(&mut self) -> Result<(), Failure> {
        if let Before::Shared(image) = &mut self.before {
            image.update(self.map, |_, _| ());
            return Ok(());
        }
        let mut now = Elements::default();
        self.read(&mut now)?;
        self.before = Before::Listed(now);
        Ok(())
    }

    /// Appends what changed since the last time, by key. `now` is memory to use.
    fn changes(&mut self, now: &mut Elements, changes: &mut Vec<MapChange>) -> Result<(), Failure> {
        let fresh = Before::Listed(Elements::default());
        let mut before = std::mem::replace(&mut self.before, fresh);
        match &mut before {
            Before::Shared(image) => self.shared_changes(image, changes),
            Before::Listed(before) => {
                self.read(now)?;
                if compare(self, before, now, changes) {
                    std::mem::swap(before, now);
                }
            }
        }
        self.before = before;
        Ok(())
    }

    /// Appends the elements of a shared array that differ from `image`, by key.
    fn shared_changes(&self, image: &mut Image, changes: &mut Vec<MapChange>) {
        let start = changes.len();
        image.update(self.map, |index, value| changes.push(self.change(&index.to_ne_bytes(), Some(value))));
        changes[start..].sort_by(|a, b| a.key.cmp(&b.key));
    }

    fn change(&self, key: &[u8], value: Option<&[u8]>) -> MapChange {
        MapChange {
            object: self.object.to_owned(),
            map: self.name.to_owned(),
            key: key.to_vec().into(),
            value: value.map(|value| value.to_vec().into()),
        }
    }
}

/// Every map of a case, in the order reports use: by object, then by map.
pub struct Watch<'a> {
    maps: Vec<Watched<'a>>,
    now: Elements,
}

impl<'a> Watch<'a> {
    /// Remembers what the maps that the case watches hold now.
    pub fn begin(objects: &'a [Object], case: &Case) -> Result<Self, Failure> {
        let mut maps: Vec<_> = objects
            .iter()
            .flat_map(|object| {
                object.maps.iter().map(|(name, map)| Watched {
                    object: &object.name,
                    name,
                    map,
                    when: When::of(map),
                    before: Image::of(map)
                        .map_or_else(|| Before::Listed(Elements::default()), Before::Shared),
                })
            })
            .filter(|watched| case.watches(watched.object, watched.name))
            .collect();
        maps.sort_by_key(|watched| (watched.object, watched.name));
        for watched in maps.iter_mut().filter(|watched| watched.when == When::EachRun) {
            watched.remember()?;
        }
        Ok(Self { maps, now: Elements::default() })
    }

    /// Takes what a map holds now for what it held before the next run.
    pub fn forget(&mut self, object: &str, map: &str) -> Result<(), Failure> {
        let named = |watched: &&mut Watched<'_>| watched.object == object && watched.name == map;
        if let Some(watched) = self.maps.iter_mut().find(named)
            && watched.when == When::EachRun
        {
            watched.remember()?;
        }
        Ok(())
    }

    /// The elements that differ from the last time this was asked.
    pub fn changes(&mut self) -> Result<Vec<MapChange>, Failure> {
        let mut changes = Vec::new();
        for watched in self.maps.iter_mut().filter(|watched| watched.when == When::EachRun) {
            watched.changes(&mut self.now, &mut changes)?;
        }
        Ok(changes)
    }

    /// Every element there is, without the all-zero ones of arrays, and the maps that cannot be read.
    pub fn end(&mut self) -> Result<(Vec<MapChange>, Vec<Unread>), Failure> {
        let (mut all, mut unread) = (Vec::new(), Vec::new());
        for watched in &self.maps {
            if let When::Never(reason) = watched.when {
                unread.push(Unread {
                    object: watched.object.to_owned(),
                    map: watched.name.to_owned(),
                    reason: reason.to_owned(),
                });
                continue;
            }
            if let Some(mut image) = Image::of(watched.map) {
                // What differs from an array that is all zero.
                watched.shared_changes(&mut image, &mut all);
                continue;
            }
            watched.read(&mut self.now)?;
            let sorted: BTreeMap<&[u8], &[u8]> = self.now.iter().collect();
            let array = is_array(watched.map);
            all.extend(
                sorted
                    .into_iter()
                    .filter(|(_, value)| !array || value.iter().any(|&byte| byte != 0))
                    .map(|(key, value)| watched.change(key, Some(value))),
            );
        }
        Ok((all, unread))
    }
}

/// Appends what differs between `before` and `now`, by key; whether anything does.
fn compare(watched: &Watched<'_>, before: &Elements, now: &Elements, changes: &mut Vec<MapChange>) -> bool {
    let same_keys = before.keys() == now.keys();
    if same_keys && before.values() == now.values() {
        return false;
    }
    let start = changes.len();
    if same_keys {
        let pairs = before.iter().zip(now.iter()).filter(|(was, is)| was.1 != is.1);
        changes.extend(pairs.map(|(_, (key, value))| watched.change(key, Some(value))));
    } else {
        let was: BTreeMap<&[u8], &[u8]> = before.iter().collect();
        let is: BTreeMap<&[u8], &[u8]> = now.iter().collect();
        let new = is.iter().filter(|(key, value)| was.get(*key) != Some(value));
        changes.extend(new.map(|(key, value)| watched.change(key, Some(value))));
        let gone = was.keys().filter(|key| !is.contains_key(*key));
        changes.extend(gone.map(|key| watched.change(key, None)));
    }
    changes[start..].sort_by(|a, b| a.key.cmp(&b.key));
    true
}
