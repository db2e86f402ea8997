//! Random operations against the plainest model of each type, and the changes told against the contents seen.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::{Bench, spec};
use crate::uapi::map::{BPF_EXIST, BPF_NOEXIST};
use crate::uapi::{Errno, MapType};

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Op {
    Update(Vec<u8>, u8, u64),
    Delete(Vec<u8>),
    /// A program looks it up and writes to what it gets.
    Poke(Vec<u8>, u8),
}

fn ops(keys: impl Strategy<Value = Vec<u8>> + Clone + 'static) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (keys.clone(), any::<u8>(), 0..3_u64).prop_map(|(k, v, f)| Op::Update(k, v, f)),
        2 => keys.clone().prop_map(Op::Delete),
        2 => (keys, any::<u8>()).prop_map(|(k, v)| Op::Poke(k, v)),
    ];
    prop::collection::vec(op, 0..60)
}

fn numbers() -> impl Strategy<Value = Vec<u8>> + Clone {
    (0..12_u8).prop_map(|number| vec![number, 0, 0, 0])
}

fn prefixes() -> impl Strategy<Value = Vec<u8>> + Clone {
    let byte = prop::sample::select(vec![0_u8, 0x80, 0xc0, 0xff]);
    (0..=32_u8, prop::array::uniform4(byte)).prop_map(|(len, data)| [&[len, 0, 0, 0], &data[..]].concat())
}

/// What a map without limits would say.
fn store(contents: &mut Contents, key: &[u8], value: Vec<u8>, flags: u64) -> Result<(), Errno> {
    match flags {
        BPF_NOEXIST if contents.contains_key(key) => return Err(Errno::EEXIST),
        BPF_EXIST if !contents.contains_key(key) => return Err(Errno::ENOENT),
        _ => {}
    }
    contents.insert(key.to_vec(), value);
    Ok(())
}

/// Runs `ops` by `apply`, in turns of five; after each turn the told changes must turn the contents before into those
/// after.
fn changes_tell_the_difference(
    bench: &mut Bench,
    ops: &[Op],
    mut apply: impl FnMut(&mut Bench, &Op) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    bench.machine.maps.track(true);
    let mut seen: Contents = bench.dump().into_iter().collect();
    for turn in ops.chunks(5) {
        for op in turn {
            apply(bench, op)?;
        }
        let (maps, mut ctx) = bench.machine.maps();
        for change in maps.changes(&mut ctx) {
            prop_assert_ne!(&change.before, &change.after);
            let zero = |value: &Vec<u8>| value.iter().all(|&byte| byte == 0);
            let before = seen.get(&change.key).cloned();
            // An array element that was never written reads as zero and is not dumped.
            prop_assert_eq!(before.or_else(|| change.before.clone().filter(zero)), change.before.clone());
            match change.after {
                Some(value) => seen.insert(change.key, value),
                None => seen.remove(&change.key),
            };
        }
        let now: Contents = bench.dump().into_iter().collect();
        prop_assert_eq!(nonzero(&now), nonzero(&seen));
    }
    Ok(())
}

/// The elements that are not all zero: of arrays, others may be dumped or not.
fn nonzero(contents: &Contents) -> Contents {
    contents.iter().filter(|(_, v)| v.iter().any(|&b| b != 0)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Writes to the value a program's lookup returns; whether there was one.
fn poke(bench: &mut Bench, key: &[u8], value: u8) -> bool {
    let addr = bench.address(key);
    addr != 0 && bench.machine.mem.store(addr, 1, value.into()).is_ok()
}

/// The value written for `byte`: never all zero, so that contents and changes show it.
fn value(byte: u8, len: usize) -> Vec<u8> {
    let mut value = vec![byte; len];
    value[len - 1] |= 1;
    value
}

proptest! {
    #[test]
    fn hash_is_a_map_with_a_limit(
        percpu: bool, prealloc: bool, max_entries in 1..14_u32, ops in ops(numbers()),
    ) {
        let mut spec = spec(if percpu { MapType::PercpuHash } else { MapType::Hash }, max_entries);
        spec.flags |= u32::from(!prealloc);
        let mut bench = Bench::new(&spec);
        let size = spec.sys_value_size(2);
        let mut model = Contents::new();
        changes_tell_the_difference(&mut bench, &ops, |bench, op| {
            match op {
                Op::Update(key, byte, flags) => {
                    let full = model.len() == max_entries as usize && !model.contains_key(key);
                    let mut want = store(&mut model, key, value(*byte, size), *flags);
                    if full && want.is_ok() {
                        model.remove(key);
                        want = Err(Errno::E2BIG);
                    }
                    prop_assert_eq!(bench.update(key, &value(*byte, size), *flags), want);
                }
                Op::Delete(key) => {
                    let want = model.remove(key).map(drop).ok_or(Errno::ENOENT);
                    prop_assert_eq!(bench.delete(key), want);
                }
                Op::Poke(key, byte) => {
                    let there = poke(bench, key, *byte);
                    prop_assert_eq!(there, model.contains_key(key));
                    if let Some(value) = model.get_mut(key) {
                        value[0] = *byte;
                    }
                }
            }
            prop_assert_eq!(&bench.dump().into_iter().collect::<Contents>(), &model);
            Ok(())
        })?;
    }

    #[test]
    fn an_array_is_all_there(percpu: bool, max_entries in 1..14_u32, ops in ops(numbers())) {
        let spec = spec(if percpu { MapType::PercpuArray } else { MapType::Array }, max_entries);
        let mut bench = Bench::new(&spec);
        let size = spec.sys_value_size(2);
        let mut model = vec![vec![0; size]; max_entries as usize];
        changes_tell_the_difference(&mut bench, &ops, |bench, op| {
            match op {
                Op::Update(key, byte, flags) => {
                    let there = model.get_mut(key[0] as usize);
                    let want = match (there, *flags) {
                        (None, _) => Err(Errno::E2BIG),
                        (Some(_), BPF_NOEXIST) => Err(Errno::EEXIST),
                        (Some(old), _) => {
                            *old = value(*byte, size);
                            Ok(())
                        }
                    };
                    prop_assert_eq!(bench.update(key, &value(*byte, size), *flags), want);
                }
                Op::Delete(key) => prop_assert_eq!(bench.delete(key), Err(Errno::EINVAL)),
                Op::Poke(key, byte) => {
                    let there = poke(bench, key, *byte);
                    prop_assert_eq!(there, (key[0] as usize) < model.len());
                    if let Some(value) = model.get_mut(key[0] as usize) {
                        value[0] = *byte;
                    }
                }
            }
            for (index, value) in model.iter().enumerate() {
                prop_assert_eq!(&bench.lookup(&[index as u8, 0, 0, 0]).unwrap(), value);
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_trie_finds_the_longest_prefix(max_entries in 1..30_u32, ops in ops(prefixes()), asked in prefixes()) {
        let mut bench = Bench::new(&spec(MapType::LpmTrie, max_entries));
        let bits = |key: &[u8]| u32::from_be_bytes(key[4..8].try_into().unwrap());
        let covers = move |prefix: &[u8], key: &[u8]| {
            let len = u32::from(prefix[0]);
            len <= u32::from(key[0])
                && (bits(prefix) ^ bits(key)).checked_shr(32 - len).unwrap_or(0) == 0
        };
        // By prefix, with the bits behind it as they were last written.
        let mut model: BTreeMap<(u8, u32), (Vec<u8>, Vec<u8>)> = BTreeMap::new();
        let prefix = |key: &[u8]| (key[0], bits(key) & 0xffff_ffff_u32.checked_shl(32 - u32::from(key[0])).unwrap_or(0));
        changes_tell_the_difference(&mut bench, &ops, |bench, op| {
            match op {
                Op::Update(key, byte, flags) => {
                    let there = model.contains_key(&prefix(key));
                    let want = match *flags {
                        BPF_NOEXIST if there => Err(Errno::EEXIST),
                        BPF_EXIST if !there => Err(Errno::ENOENT),
                        _ if !there && model.len() == max_entries as usize => Err(Errno::ENOSPC),
                        _ => {
                            model.insert(prefix(key), (key.clone(), value(*byte, 8)));
                            Ok(())
                        }
                    };
                    prop_assert_eq!(bench.update(key, &value(*byte, 8), *flags), want);
                }
                Op::Delete(key) => {
                    let want = model.remove(&prefix(key)).map(drop).ok_or(Errno::ENOENT);
                    prop_assert_eq!(bench.delete(key), want);
                }
                Op::Poke(key, byte) => {
                    let longest = model.values_mut().filter(|(stored, _)| covers(stored, key)).max_by_key(|(k, _)| k[0]);
                    prop_assert_eq!(poke(bench, key, *byte), longest.is_some());
                    if let Some((_, value)) = longest {
                        value[0] = *byte;
                    }
                }
            }
            let longest = model.values().filter(|(stored, _)| covers(stored, &asked)).max_by_key(|(k, _)| k[0]);
            prop_assert_eq!(bench.lookup(&asked).ok(), longest.map(|(_, value)| value.clone()));
            let dumped: Contents = bench.dump().into_iter().collect();
            prop_assert_eq!(dumped, model.values().cloned().collect::<Contents>());
            Ok(())
        })?;
    }

    #[test]
    fn an_lru_map_has_the_latest_and_never_too_many(
        percpu: bool, max_entries in 1..10_u32, no_common: bool, ops in ops(numbers()),
    ) {
        let mut spec = spec(if percpu { MapType::LruPercpuHash } else { MapType::LruHash }, max_entries);
        spec.flags |= u32::from(no_common) << 1;
        let mut bench = Bench::new(&spec);
        let size = spec.sys_value_size(2);
        let mut written = Contents::new();
        changes_tell_the_difference(&mut bench, &ops, |bench, op| {
            match op {
                Op::Update(key, byte, flags) => {
                    if bench.update(key, &value(*byte, size), *flags).is_ok() {
                        written.insert(key.clone(), value(*byte, size));
                        prop_assert_eq!(bench.lookup(key), Ok(value(*byte, size)));
                    }
                }
                Op::Delete(key) => {
                    let there = bench.lookup(key).is_ok();
                    prop_assert_eq!(bench.delete(key).is_ok(), there);
                }
                Op::Poke(key, byte) => {
                    if poke(bench, key, *byte) {
                        written.get_mut(key).unwrap()[0] = *byte;
                    }
                }
            }
            let left = bench.dump();
            prop_assert!(left.len() <= bench.machine.maps.spec(bench.id).max_entries as usize);
            for (key, value) in left {
                prop_assert_eq!(written.get(&key), Some(&value));
            }
            Ok(())
        })?;
    }

    #[test]
    fn queues_and_stacks_are_what_they_are_called(
        stack: bool, max_entries in 1..6_usize, ops in prop::collection::vec((0..4_u8, any::<u8>()), 0..60),
    ) {
        let map_type = if stack { MapType::Stack } else { MapType::Queue };
        let mut bench = Bench::new(&spec(map_type, max_entries as u32));
        let mut model: VecDeque<Vec<u8>> = VecDeque::new();
        for (op, byte) in ops {
            let (maps, mut ctx) = bench.machine.maps();
            let map = maps.map(bench.id);
            let value = vec![byte; 8];
            if op < 2 {
                let full = model.len() == max_entries;
                let force = op == 1;
                let want = if full && !force { Err(Errno::E2BIG) } else { Ok(()) };
                if full && force {
                    model.pop_front();
                }
                if want.is_ok() {
                    model.push_back(value.clone());
                }
                prop_assert_eq!(map.push(&mut ctx, &value, if force { BPF_EXIST } else { 0 }), want);
                continue;
            }
            let next = if stack { model.back() } else { model.front() }.cloned();
            let want = next.map_or((vec![0; 8], Err(Errno::ENOENT)), |value| (value, Ok(())));
            prop_assert_eq!(map.peek(&mut ctx), want.clone());
            if op == 3 {
                prop_assert_eq!(map.pop(&mut ctx), want);
                if stack { model.pop_back() } else { model.pop_front() };
            }
        }
    }
}
