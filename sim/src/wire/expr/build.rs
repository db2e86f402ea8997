//! Layers to bytes: every field in order, then what is computed, from the inside out.

use super::{Argument, Call, ExprError};
use crate::wire::layer::{self, Field, Kind, Proto, Value};
use crate::wire::seal::{self, Part};

/// A value as it stands in an expression or an edit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Literal {
    /// `80`.
    Number(u128),
    /// `'192.0.2.1'`, `'SA'`, `'text'`.
    Text(String),
    /// `b'\x00'`, `hex'00'`.
    Bytes(Vec<u8>),
}

impl Literal {
    /// The value for this field, or what was expected.
    pub fn for_field(&self, field: &Field) -> Result<Value, String> {
        match (self, field.kind) {
            (Self::Number(number), _) => field.fit(*number),
            (Self::Text(text), _) => field.parse(text),
            (Self::Bytes(bytes), Kind::Bytes) => Ok(Value::Bytes(bytes.clone())),
            (Self::Bytes(_), _) => Err("expected a number or a text, not bytes".to_owned()),
        }
    }
}

/// The frame of these layers.
pub fn build(calls: &[Call]) -> Result<Vec<u8>, ExprError> {
    let mut frame = Vec::new();
    let mut parts = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        let start = frame.len();
        let header = emit(call, calls.get(at + 1).map(|next| next.proto))?;
        frame.extend_from_slice(&header);
        parts.push(Part { proto: call.proto, header: start..frame.len(), end: 0 });
    }
    let padding = calls.iter().rev().take_while(|call| call.proto == Proto::Padding).count();
    let end = parts[..parts.len() - padding].last().map_or(0, |part| part.header.end);
    for part in &mut parts {
        part.end = end.max(part.header.end);
    }
    complete(&mut frame, &parts, calls)?;
    Ok(frame)
}

/// One header: what is set, what the next layer implies, and defaults; computed fields are 0.
fn emit(call: &Call, next: Option<Proto>) -> Result<Vec<u8>, ExprError> {
    let implied = next.map_or(&[][..], |next| layer::defaults_for(call.proto, next));
    let mut header = Vec::new();
    let mut bits = 0;
    let mut unused: Vec<&Argument> = call.arguments.iter().collect();
    for field in call.proto.spec().fields {
        if field.when.is_some_and(|when| !when(&header)) {
            continue;
        }
        let set =
            unused.iter().position(|argument| argument.field.name == field.name).map(|at| unused.remove(at));
        let value = match set {
            Some(argument) => argument.value.for_field(field).map_err(|what| wrong_value(argument, &what))?,
            None => match implied.iter().find(|(name, _)| *name == field.name) {
                Some((_, number)) => Value::Number(*number),
                None if matches!(field.kind, Kind::Bytes) => Value::Bytes(default_bytes(call.proto)),
                None => Value::Number(field.default),
            },
        };
        match value {
            Value::Bytes(bytes) => header.extend(padded(call, bytes)),
            Value::Number(number) => {
                let end = bits + field.bits;
                header.resize(end.div_ceil(8), 0);
                layer::put(&mut header, bits..end, number);
                bits = end;
            }
        }
    }
    match unused.first() {
        None => Ok(header),
        Some(argument) => Err(ExprError {
            column: argument.column,
            what: format!("this {} header has no `{}`", call.proto, argument.field.name),
            help: Some("another field, such as a type or a `…_present` flag, decides that".to_owned()),
        }),
    }
}

fn wrong_value(argument: &Argument, what: &str) -> ExprError {
    let what = format!("wrong value for `{}`: {what}", argument.field.name);
    ExprError { column: argument.value_column, what, help: None }
}

/// An extension header without options is filled up with a PadN option (RFC 8200, section 4.2).
fn default_bytes(proto: Proto) -> Vec<u8> {
    match proto {
        Proto::HopByHop | Proto::DestOpt => vec![1, 4, 0, 0, 0, 0],
        Proto::Routing => vec![0; 4],
        Proto::NdOpt => vec![0; 6],
        _ => Vec::new(),
    }
}

/// Options are filled up with zeros to the unit that the header's length counts, unless that length is set.
fn padded(call: &Call, mut bytes: Vec<u8>) -> Vec<u8> {
    let (fixed, unit, length) = match call.proto {
        Proto::Ip => (20, 4, "ihl"),
        Proto::Tcp => (20, 4, "dataofs"),
        Proto::Ah => (12, 4, "payloadlen"),
        Proto::Geneve => (8, 4, "optionlen"),
        Proto::Gue => (4, 4, "hlen"),
        Proto::HopByHop | Proto::DestOpt | Proto::NdOpt => (2, 8, "len"),
        Proto::Routing => (4, 8, "len"),
        _ => return bytes,
    };
    if !is_set(call, length) {
        bytes.resize((fixed + bytes.len()).next_multiple_of(unit) - fixed, 0);
    }
    bytes
}

fn is_set(call: &Call, name: &str) -> bool {
    call.arguments.iter().any(|argument| argument.field.name == name)
}

/// Lengths and types first, for all layers; then checksums, from the inside out, since outer ones cover inner ones.
fn complete(frame: &mut [u8], parts: &[Part], calls: &[Call]) -> Result<(), ExprError> {
    for (at, call) in calls.iter().enumerate() {
        for field in call.proto.spec().fields.iter().filter(|f| f.computed && !is_set(call, f.name)) {
            let Some(number) = seal::computed(parts, at, field.name) else { continue };
            seal::set(frame, &parts[at], field.name, number).map_err(|_| ExprError {
                column: call.column,
                what: format!("{} bytes are too long for {}.{}", frame.len(), call.proto, field.name),
                help: Some(format!("set `{}` to have it so all the same", field.name)),
            })?;
        }
    }
    for (at, call) in calls.iter().enumerate().rev() {
        if is_set(call, "chksum") || is_set(call, "cksum") {
            continue;
        }
        if let Some(covered) = seal::covered(frame, parts, at) {
            covered.write(frame, covered.right());
        }
        if let Some((place, crc)) = seal::sctp_crc(frame, &parts[at]) {
            frame[place..place + 4].copy_from_slice(&crc);
        }
    }
    Ok(())
}
