//! Where a packet's bytes come from, and what its output should be.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bpftwin_sim::wire::expr::{self, ExprError, Literal};
use bpftwin_sim::wire::{edit, pcap};

use super::library::Library;
use crate::bytes::Bytes;
use crate::case::Run;
use crate::scenario::mistake::{Mistake, What};
use crate::scenario::model::{Packet, PacketExpect};
use crate::scenario::node::{Kind, Node};
use crate::scenario::spanned::{Span, Spanned};

/// Packets with their names.
pub type Named = Vec<(String, Vec<u8>)>;

/// Names and bytes of the packets, and the place in the scenario that says them.
///
/// A program that `may_lack` a packet gets no bytes where none are said.
pub fn input(
    packet: &Packet,
    number: usize,
    library: &Library,
    may_lack: bool,
) -> Result<(Named, Span), Mistake> {
    let given = [&packet.pkt, &packet.hex, &packet.pcap];
    let mut given = given.into_iter().flatten();
    let place = packet.name.as_ref().map_or(0..0, |name| name.span.clone());
    let named = |default: String| packet.name.as_ref().map_or(default, |name| name.value.clone());
    let Some(first) = given.next() else {
        if may_lack {
            return Ok((vec![(named(format!("packet {}", number + 1)), Vec::new())], place));
        }
        let what = format!("packet {} has no bytes", number + 1);
        return Err(Mistake::new(What::Choice(what), &place).help("give it one of `pkt`, `hex`, `pcap`"));
    };
    if let Some(second) = given.next() {
        let what = "a packet has one of `pkt`, `hex`, `pcap`".to_owned();
        return Err(Mistake::new(What::Choice(what), &second.span));
    }
    let frames = if let Some(text) = &packet.pcap {
        captured(text, packet.name.as_ref(), library)?
    } else if let Some(text) = &packet.hex {
        vec![(named(format!("packet {}", number + 1)), hex(text, &text.span)?)]
    } else {
        vec![(named(format!("packet {}", number + 1)), expression(first)?)]
    };
    Ok((frames, first.span.clone()))
}

/// The capture's path and which of its packets, from 1: `file.pcap`, `file.pcap#3`, `file.pcap#3-9`.
fn selection(text: &Spanned<String>) -> Result<(&str, Option<RangeInclusive<u64>>), Mistake> {
    let Some((path, numbers)) = text.rsplit_once('#') else { return Ok((text.as_str(), None)) };
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    match (first.parse(), last.parse()) {
        (Ok(first @ 1..), Ok(last)) if first <= last => Ok((path, Some(first..=last))),
        _ => {
            let what =
                format!("\"#{numbers}\" is no packet number, nor a range such as #3-9; they start at 1");
            Err(Mistake::new(What::Value(what), &text.span))
        }
    }
}

/// The packets of a capture that `text` selects.
fn captured(
    text: &Spanned<String>,
    name: Option<&Spanned<String>>,
    library: &Library,
) -> Result<Named, Mistake> {
    let (path, numbers) = selection(text)?;
    let bytes = library.read(path).map_err(|why| {
        Mistake::new(What::File { path: path.to_owned(), why }, &text.span)
            .help("paths start at the scenario's folder; pcaps:NAME is a bundled capture")
    })?;
    let capture = pcap::read(&bytes).map_err(|error| {
        let packet = error.packet.map(|number| format!("packet {number}, ")).unwrap_or_default();
        let why = format!("{packet}at byte {}: {}", error.offset, error.problem);
        Mistake::new(What::Capture { path: path.to_owned(), why }, &text.span).help(error.problem.advice())
    })?;
    let base = path.rsplit(['/', ':']).next().unwrap_or(path);
    let base = name.map_or(base, |name| name.as_str());
    let frames: Vec<Vec<u8>> = capture.into_iter().map(|packet| packet.data.to_vec()).collect();
    let count = frames.len();
    if count == 0 {
        return Err(Mistake::new(What::Nothing(format!("{path} holds no packet")), &text.span));
    }
    let one = numbers.as_ref().is_some_and(|numbers| numbers.start() == numbers.end());
    let numbers = numbers.unwrap_or(1..=count as u64);
    if *numbers.end() > count as u64 {
        let index = *numbers.end();
        return Err(Mistake::new(What::BeyondCapture { path: path.to_owned(), index, count }, &text.span));
    }
    let named = |number| match name {
        Some(name) if one => name.value.clone(),
        _ => format!("{base}#{number}"),
    };
    let selected = (1..).zip(frames).filter(|(number, _)| numbers.contains(number));
    Ok(selected.map(|(number, frame)| (named(number), frame)).collect())
}

/// Hexadecimal digits, blanks between bytes allowed.
pub fn hex(text: &str, span: &Span) -> Result<Vec<u8>, Mistake> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    Bytes::from_hex(&digits).map(|bytes| bytes.0).map_err(|why| Mistake::new(What::Hex(why), span))
}

/// The bytes of a packet expression.
pub fn expression(text: &Spanned<String>) -> Result<Vec<u8>, Mistake> {
    expr::packet(text).map_err(|error| of_expr(error, text))
}

/// The mistake at its place inside the string, if the string has no escapes and stands between single quotation marks.
fn of_expr(error: ExprError, text: &Spanned<String>) -> Mistake {
    let plain = text.span.len() == text.value.len() + 2;
    let inside = text.value.char_indices().nth(error.column - 1).filter(|_| plain);
    let span = match inside {
        Some((at, c)) => {
            let start = text.span.start + 1 + at;
            start..start + c.len_utf8()
        }
        None => text.span.clone(),
    };
    let mistake = Mistake::new(What::Packet(error.what), &span);
    match error.help {
        Some(help) => mistake.help(help),
        None => mistake,
    }
}

fn literal(node: &Node) -> Result<Literal, Mistake> {
    match &node.kind {
        Kind::Int(n) => u128::try_from(*n).map(Literal::Number).map_err(|_| {
            Mistake::new(What::Value(format!("{n} is negative, no field of a packet is")), &node.span)
        }),
        Kind::Str(text) => Ok(Literal::from_text(text)),
        kind => {
            let what = format!("a field of a packet is a number or a string, not {}", kind.word());
            Err(Mistake::new(What::WrongType(what), &node.span))
        }
    }
}

/// `base` with the fields in `fields` set, checksums following; `span` is the place of what has none of its own.
pub fn edited(
    base: &[u8],
    fields: &BTreeMap<Spanned<String>, Node>,
    span: &Span,
) -> Result<Vec<u8>, Mistake> {
    let mut edits = Vec::new();
    for (field, value) in fields {
        edits.push((field.value.clone(), literal(value)?));
    }
    edit::set(base, &edits).map_err(|error| {
        let field = fields.keys().find(|field| field.value == error.path);
        let span = field.map_or(span, |field| &field.span);
        Mistake::new(What::Edit(error.to_string()), span)
    })
}

/// The expected output, if the scenario says one.
pub fn output(
    expect: &PacketExpect,
    run: &Run,
    inputs: &[(String, Vec<u8>)],
) -> Result<Option<(Bytes, Span)>, Mistake> {
    let unchanged = expect.unchanged.as_ref().filter(|unchanged| unchanged.value);
    let spans = [
        expect.like.as_ref().map(|s| &s.span),
        expect.pkt.as_ref().map(|s| &s.span),
        expect.hex.as_ref().map(|s| &s.span),
        unchanged.map(|s| &s.span),
    ];
    if let Some(second) = spans.into_iter().flatten().nth(1) {
        let what = "the output is one of `like`, `pkt`, `hex`, `unchanged`".to_owned();
        return Err(Mistake::new(What::Choice(what), second));
    }
    if let (Some((field, _)), None) = (expect.set.iter().next(), &expect.like) {
        let what = "`set` edits what `like` names".to_owned();
        return Err(Mistake::new(What::Choice(what), &field.span).help("add `like = \"input\"`"));
    }
    if let Some(like) = &expect.like {
        let base = if like.value == "input" {
            run.data.0.clone()
        } else {
            let found = inputs.iter().find(|(name, _)| *name == like.value);
            let known = inputs.iter().map(|(name, _)| name.as_str()).chain(["input"]);
            found
                .map(|(_, data)| data.clone())
                .ok_or_else(|| Mistake::unknown("packet", like, &like.span, known))?
        };
        let data = edited(&base, &expect.set, &like.span)?;
        return Ok(Some((data.into(), like.span.clone())));
    }
    if let Some(text) = &expect.pkt {
        return Ok(Some((expression(text)?.into(), text.span.clone())));
    }
    if let Some(text) = &expect.hex {
        return Ok(Some((hex(text, &text.span)?.into(), text.span.clone())));
    }
    Ok(unchanged.map(|flag| (run.data.clone(), flag.span.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_a_capture_are_numbered_from_one() {
        for (text, path, numbers) in [
            ("a.pcap", "a.pcap", None),
            ("pcaps:a.pcap#3", "pcaps:a.pcap", Some(3..=3)),
            ("b#d/a.pcap#3-9", "b#d/a.pcap", Some(3..=9)),
        ] {
            let text = Spanned::new(text.to_owned(), 0..0);
            assert_eq!(selection(&text).ok(), Some((path, numbers)), "{}", text.value);
        }
        for text in ["a#0", "a#", "a#-", "a#3-", "a#-3", "a#0-3", "a#9-3", "a#x", "a#1-2-3", "a# 1"] {
            assert!(selection(&Spanned::new(text.to_owned(), 0..0)).is_err(), "{text}");
        }
    }
}
