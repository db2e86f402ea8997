//! Frames from other frames: `{ "IP.dst" = "10.0.1.7", "TCP.dport" = 8080 }`.
//!
//! The rule: a field that is named gets the value given, whatever it is. Besides, and only there, every checksum that covers
//! a byte that changed is brought up to date as a router would do it (RFC 1624), so a right checksum stays right and a
//! wrong one stays as wrong as it was; a UDP checksum of 0 stays 0. If `Raw.load` or `Padding.load` gets longer or shorter,
//! the length fields of the headers around it grow or shrink by as much. A checksum or length that is named itself is
//! left as given. Nothing else changes: neither the type of the next header nor fields of other layers.

use super::dissect::{Dissection, dissect};
use super::expr::{Literal, did_you_mean, literal};
use super::layer::{self, Proto, Value};
use super::seal::{self, Part};

/// Why an edit cannot be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{path}: {what}")]
pub struct EditError {
    /// The edit's path.
    pub path: String,
    /// What is wrong with it or its value.
    pub what: String,
}

impl Literal {
    /// A value as a scenario writes it in quotes: an address, a name, flags; for bytes the text itself, or `hex'00ff'`, or
    /// `b'\x00'`.
    pub fn from_text(text: &str) -> Self {
        match literal(text) {
            Ok(bytes @ Literal::Bytes(_)) => bytes,
            _ => Literal::Text(text.to_owned()),
        }
    }
}

/// The frame with the edits made, in order.
pub fn set(frame: &[u8], edits: &[(String, Literal)]) -> Result<Vec<u8>, EditError> {
    let before = dissect(frame);
    let mut after = Edited { frame: frame.to_vec(), parts: parts(&before), named: Vec::new() };
    for (path, value) in edits {
        after.apply(&before, path, value).map_err(|what| EditError { path: path.clone(), what })?;
    }
    after.update_checksums(frame, &parts(&before));
    Ok(after.frame)
}

fn parts(dissection: &Dissection) -> Vec<Part> {
    dissection.layers.iter().map(Part::from).collect()
}

struct Edited {
    frame: Vec<u8>,
    parts: Vec<Part>,
    /// Layer and field of what was edited.
    named: Vec<(usize, &'static str)>,
}

impl Edited {
    fn apply(&mut self, before: &Dissection, path: &str, value: &Literal) -> Result<(), String> {
        let (label, name) = path.rsplit_once('.').ok_or("expected a path such as IP.src or IP:2.src")?;
        let label = label.strip_suffix(":1").unwrap_or(label);
        let layers = &before.layers;
        let Some(at) = layers.iter().position(|layer| layer.label() == label) else {
            let there: Vec<_> = layers.iter().map(super::dissect::Layer::label).collect();
            let near = did_you_mean(label, there.iter().map(String::as_str));
            let known = format!("it has {}", there.join("/"));
            return Err(format!("the packet has no `{label}` ({})", near.unwrap_or(known)));
        };
        let Some(shown) = layers[at].field(name) else {
            let there: Vec<_> = layers[at].fields.iter().map(|shown| shown.field.name).collect();
            let near = did_you_mean(name, there.iter().copied());
            let known = format!("it has {}", there.join(", "));
            return Err(format!("this {label} has no field `{name}` ({})", near.unwrap_or(known)));
        };
        if self.named.contains(&(at, shown.field.name)) {
            return Err("is set twice".to_owned());
        }
        // Where the field was in the header it is now: an edit of a type or a flag moves no other field.
        let offset = shown.bits.start - layers[at].header.start * 8;
        match value.for_field(shown.field)? {
            Value::Bytes(bytes) => self.replace(at, offset / 8, &bytes)?,
            Value::Number(number) => {
                let start = self.parts[at].header.start * 8 + offset;
                layer::put(&mut self.frame, start..start + shown.bits.len(), number);
            }
        }
        self.named.push((at, shown.field.name));
        Ok(())
    }

    /// Replaces the bytes of `Raw`, `Padding`, or options; of the latter by as many.
    fn replace(&mut self, at: usize, offset: usize, bytes: &[u8]) -> Result<(), String> {
        let part = self.parts[at].clone();
        let whole = matches!(part.proto, Proto::Raw | Proto::Padding);
        let old = part.header.start + offset..part.header.end;
        if !whole && old.len() != bytes.len() {
            return Err(format!(
                "expected {} bytes: only Raw and Padding can change their length",
                old.len()
            ));
        }
        self.frame.splice(old.clone(), bytes.iter().copied());
        let moved = |place: usize| if place >= old.end { place - old.len() + bytes.len() } else { place };
        for (nth, other) in self.parts.iter_mut().enumerate() {
            let grows = nth <= at && other.end >= old.end;
            if nth > at {
                other.header = moved(other.header.start)..moved(other.header.end);
            }
            if nth == at {
                other.header.end = moved(other.header.end);
            }
            if grows || nth > at {
                other.end = moved(other.end);
            }
        }
        self.resize_around(at, bytes.len() as i128 - old.len() as i128)
    }

    /// Adds `delta` to the length fields of the headers around a layer, except those that an edit names.
    fn resize_around(&mut self, at: usize, delta: i128) -> Result<(), String> {
        if delta == 0 {
            return Ok(());
        }
        for outer in 0..at {
            let part = self.parts[outer].clone();
            let name = match part.proto {
                Proto::Ip | Proto::Udp | Proto::Dot3 => "len",
                Proto::Ip6 => "plen",
                _ => continue,
            };
            let around = part.end >= self.parts[at].header.end;
            if !around || self.named.contains(&(outer, name)) {
                continue;
            }
            let layout = part.proto.spec().layout(&self.frame[part.header.clone()]);
            let Some((_, bits)) = layout.into_iter().find(|(field, _)| field.name == name) else { continue };
            let old = layer::get(&self.frame[part.header.clone()], bits);
            let new = u128::try_from(old as i128 + delta)
                .map_err(|_| format!("{}.{name} would be negative", part.proto))?;
            seal::set(&mut self.frame, &part, name, new)
                .map_err(|_| format!("{} bytes are too long for {}.{name}", self.frame.len(), part.proto))?;
        }
        Ok(())
    }

    fn update_checksums(&mut self, old_frame: &[u8], old_parts: &[Part]) {
        for at in (0..self.parts.len()).rev() {
            if ["chksum", "cksum"].iter().any(|&name| self.named.contains(&(at, name))) {
                continue;
            }
            let old = seal::covered(old_frame, old_parts, at);
            let new = seal::covered(&self.frame, &self.parts, at);
            if let (Some(old), Some(new)) = (old, new) {
                let field = old.field(old_frame);
                let absent = new.optional && field == 0;
                if old.sum != new.sum && !absent {
                    new.write(&mut self.frame, new.updated(field, &old));
                }
            }
            let right_before = seal::sctp_crc(old_frame, &old_parts[at])
                .is_some_and(|(place, crc)| old_frame[place..place + 4] == crc);
            if right_before && let Some((place, crc)) = seal::sctp_crc(&self.frame, &self.parts[at]) {
                self.frame[place..place + 4].copy_from_slice(&crc);
            }
        }
    }
}

#[cfg(test)]
mod tests;
