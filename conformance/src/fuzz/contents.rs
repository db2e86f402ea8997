//! Random map contents: keys and values out of the same few addresses, ports and numbers that frames are made of.

use std::collections::BTreeSet;

use bpftwin_sim::bpf::object::{MapContents, ObjectMap};
use bpftwin_sim::uapi::MapType;
use bpftwin_sim::uapi::map::{BPF_F_RDONLY, BPF_F_RDONLY_PROG};

use super::Random;
use super::frames::{IPV4, IPV6, MAC, PORTS};
use crate::bytes::Bytes;
use crate::case::{MapValue, MapWrite};
use crate::layout::{Leaf, Show};
use crate::shape::{MapShape, Typed};

/// Elements for `map` of the object called `object`; none for a map that a case cannot or should not fill.
pub fn contents(
    r: &mut Random,
    object: &str,
    map: &ObjectMap,
    shape: &MapShape,
    devices: &[u32],
) -> Vec<MapWrite> {
    let spec = &map.spec;
    let fixed = !matches!(map.contents, MapContents::Empty) || !spec.fields.is_empty();
    if fixed || spec.flags & (BPF_F_RDONLY | BPF_F_RDONLY_PROG) != 0 {
        return Vec::new();
    }
    let count = r.of(&[0, 1, 2, 4, 8]).min(u64::from(spec.max_entries));
    let mut keys = BTreeSet::new();
    let mut writes = Vec::new();
    for _ in 0..count {
        let (mut key, value) = match spec.map_type {
            MapType::Array | MapType::PercpuArray => (index(r, spec.max_entries), typed(r, &shape.value)),
            MapType::Hash | MapType::LruHash | MapType::PercpuHash | MapType::LruPercpuHash => {
                (typed(r, &shape.key), typed(r, &shape.value))
            }
            MapType::LpmTrie => (typed(r, &shape.key), typed(r, &shape.value)),
            MapType::Devmap | MapType::DevmapHash => {
                let mut value = r.of(devices).to_le_bytes().to_vec();
                value.resize(spec.value_size as usize, 0);
                let key = if spec.map_type == MapType::Devmap {
                    index(r, spec.max_entries)
                } else {
                    r.of(devices).to_le_bytes().to_vec()
                };
                (key, value)
            }
            _ => return Vec::new(),
        };
        if spec.map_type == MapType::LpmTrie {
            let bits = 8 * (key.len() as u64 - 4);
            let length = r.of(&[0, 8, 16, 24, 32, 64, 128]).min(bits) as u32;
            key[..4].copy_from_slice(&length.to_le_bytes());
            // Only the prefix makes one key differ from another.
            let used = length.div_ceil(8) as usize;
            key[4 + used..].fill(0);
        }
        if keys.insert(key.clone()) {
            writes.push(MapWrite {
                object: object.to_owned(),
                map: spec.name.clone(),
                key: Bytes(key),
                value: MapValue::Bytes(Bytes(value)),
            });
        }
    }
    writes
}

fn index(r: &mut Random, entries: u32) -> Vec<u8> {
    let most = u64::from(entries).min(r.of(&[4, 16, 1 << 32]));
    (r.below(most.max(1)) as u32).to_le_bytes().to_vec()
}

/// Bytes of a type, field by field.
fn typed(r: &mut Random, typed: &Typed) -> Vec<u8> {
    let mut bytes = vec![0; typed.layout.size() as usize];
    for leaf in &typed.leaves {
        let value = field(r, leaf);
        if let Some(place) = bytes.get_mut(leaf.offset as usize..(leaf.offset + leaf.size) as usize)
            && leaf.bits.is_none()
        {
            place.copy_from_slice(&value);
        }
    }
    bytes
}

fn field(r: &mut Random, leaf: &Leaf) -> Vec<u8> {
    let size = leaf.size as usize;
    let mut value = match (&leaf.show, size) {
        (Show::Bool, _) => vec![r.below(2) as u8],
        (Show::Enum(names), _) if !names.is_empty() => {
            names[r.below(names.len() as u64) as usize].1.to_le_bytes().to_vec()
        }
        (_, 16) => {
            let v4 = [&r.of(&IPV4)[..], &[0; 12]].concat();
            if r.chance(2) { v4 } else { r.of(&IPV6).to_vec() }
        }
        (_, 6) => r.of(&MAC).to_vec(),
        (_, 4) => match r.below(3) {
            0 => r.of(&IPV4).to_vec(),
            _ => r.of(&[0_u32, 1, 2, 3, 5, 9, 64, 0xffff_ffff]).to_le_bytes().to_vec(),
        },
        (_, 2) => {
            let port = r.of(&PORTS);
            if r.chance(2) {
                port.to_be_bytes().to_vec()
            } else {
                r.of(&[port, 0, 1, 2, 10]).to_le_bytes().to_vec()
            }
        }
        (_, 1) => vec![r.of(&[0, 1, 6, 17, 58, 2, 3, 10, 255])],
        (_, 8) => r.of(&[0_u64, 1, 2, 7, 100, u64::MAX]).to_le_bytes().to_vec(),
        _ => (0..size).map(|_| r.of(&[0, 1, 0xff, 10])).collect(),
    };
    value.resize(size, 0);
    value
}
