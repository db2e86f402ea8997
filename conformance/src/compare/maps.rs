//! Map elements and records.

use std::collections::BTreeMap;

use super::Comparing;
use crate::bytes::Bytes;
use crate::observation::{MapChange, Record};
use crate::shape::MapShape;

impl Comparing<'_> {
    pub(super) fn maps(&mut self, run: Option<usize>, left: &[MapChange], right: &[MapChange]) {
        let mut pairs: BTreeMap<_, (Option<&MapChange>, Option<&MapChange>)> = BTreeMap::new();
        for change in left {
            pairs.entry((&change.object, &change.map, &change.key.0)).or_default().0 = Some(change);
        }
        for change in right {
            pairs.entry((&change.object, &change.map, &change.key.0)).or_default().1 = Some(change);
        }
        for ((object, map, key), pair) in pairs {
            let field = format!("map:{}", self.shape.map_name(object, map));
            let Some(shape) = self.shape.map(object, map) else {
                if self.counts(&field) {
                    self.differ(run, &field, "", "a map the object has not".into(), String::new(), None);
                }
                continue;
            };
            let key = shape.key_text(key);
            match pair {
                (Some(MapChange { value: Some(l), .. }), Some(MapChange { value: Some(r), .. })) => {
                    self.value(run, shape, (object, map), &key, l, r);
                }
                (l, r) => {
                    if !self.counts(&field) {
                        continue;
                    }
                    let says = |change: Option<&MapChange>| match change {
                        None => "unchanged".to_owned(),
                        Some(MapChange { value: None, .. }) => "deleted".to_owned(),
                        Some(MapChange { value: Some(value), .. }) => format!("written: {value}"),
                    };
                    if says(l) != says(r) {
                        self.differ(run, &field, &key, says(l), says(r), None);
                    }
                }
            }
        }
    }

    fn value(
        &mut self,
        run: Option<usize>,
        shape: &MapShape,
        map: (&str, &str),
        key: &str,
        left: &[u8],
        right: &[u8],
    ) {
        let masks = self.masks;
        let Some(mask) = masks.values.get(&map) else { return };
        let size = shape.value.layout.size() as usize;
        let stride = size.next_multiple_of(8);
        let cpus = if shape.per_cpu() { left.len().max(right.len()).div_ceil(stride.max(1)) } else { 1 };
        for cpu in 0..cpus {
            let of = |bytes: &[u8]| -> Vec<u8> {
                if shape.per_cpu() {
                    bytes.iter().skip(cpu * stride).take(size).copied().collect()
                } else {
                    bytes.to_vec()
                }
            };
            let (l, r) = (of(left), of(right));
            let found = mask.differences(&l, &r, &mut self.result.tally);
            let place = if shape.per_cpu() { format!("{key} cpu {cpu}") } else { key.to_owned() };
            for (field, lt, rt) in found {
                self.differ(run, &field, &place, lt, rt, Some((&l, &r)));
            }
        }
    }

    pub(super) fn records(&mut self, index: usize, left: &[Record], right: &[Record]) {
        if left.is_empty() && right.is_empty() {
            return;
        }
        let mut maps: Vec<(&str, &str)> =
            left.iter().chain(right).map(|r| (r.object.as_str(), r.map.as_str())).collect();
        maps.sort_unstable();
        maps.dedup();
        let masks = self.masks;
        for (object, map) in maps {
            let of = |records: &[Record]| -> Vec<Bytes> {
                let of_map = records.iter().filter(|r| r.object == object && r.map == map);
                of_map.map(|r| r.data.clone()).collect()
            };
            let (left, right) = (of(left), of(right));
            let field = format!("record:{}", self.shape.map_name(object, map));
            if self.counts(&field) && left.len() != right.len() {
                let (l, r) = (format!("{} records", left.len()), format!("{} records", right.len()));
                self.differ(Some(index), &field, "", l, r, None);
            }
            for (number, (l, r)) in left.iter().zip(&right).enumerate() {
                let place = number.to_string();
                let found = match masks.records.get(&(object, map)) {
                    Some(mask) => mask.differences(l, r, &mut self.result.tally),
                    None if self.counts(&field) && l != r => {
                        vec![(field.clone(), l.to_string(), r.to_string())]
                    }
                    None => Vec::new(),
                };
                for (field, lt, rt) in found {
                    self.differ(Some(index), &field, &place, lt, rt, Some((l, r)));
                }
            }
        }
    }
}
