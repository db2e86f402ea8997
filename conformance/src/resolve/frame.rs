//! Where a packet's bytes come from, and what its output should be.

use bpftwin_sim::wire::pcap;

use super::library::Library;
use crate::bytes::Bytes;
use crate::case::Run;
use crate::scenario::mistake::{Mistake, What};
use crate::scenario::model::{Packet, PacketExpect};
use crate::scenario::node::Kind;
use crate::scenario::spanned::{Span, Spanned};

/// Packets with their names.
pub type Named = Vec<(String, Vec<u8>)>;

/// Names and bytes of the packets, and the place in the scenario that says them.
pub fn input(packet: &Packet, number: usize, library: &Library) -> Result<(Named, Span), Mistake> {
    let given = [&packet.pkt, &packet.hex, &packet.pcap];
    let mut given = given.into_iter().flatten();
    let place = packet.name.as_ref().map_or(0..0, |name| name.span.clone());
    let Some(first) = given.next() else {
        let what = format!("packet {} has no bytes", number + 1);
        return Err(Mistake::new(What::Choice(what), &place).help("give it one of `pkt`, `hex`, `pcap`"));
    };
    if let Some(second) = given.next() {
        let what = "a packet has one of `pkt`, `hex`, `pcap`".to_owned();
        return Err(Mistake::new(What::Choice(what), &second.span));
    }
    let named = |default: String| packet.name.as_ref().map_or(default, |name| name.value.clone());
    let frames = if let Some(text) = &packet.pcap {
        captured(text, packet.name.as_ref(), library)?
    } else if let Some(text) = &packet.hex {
        vec![(named(format!("packet {}", number + 1)), hex(text, &text.span)?)]
    } else {
        vec![(named(format!("packet {}", number + 1)), expression(first)?)]
    };
    Ok((frames, first.span.clone()))
}

/// `file.pcap` or `file.pcap#3`.
fn captured(
    text: &Spanned<String>,
    name: Option<&Spanned<String>>,
    library: &Library,
) -> Result<Named, Mistake> {
    let (path, index) = match text.rsplit_once('#') {
        None => (text.as_str(), None),
        Some((path, index)) => {
            let index = index.parse::<u64>().ok().filter(|index| *index > 0).ok_or_else(|| {
                let what = format!("\"#{index}\" is no packet number; they start at 1");
                Mistake::new(What::Value(what), &text.span)
            })?;
            (path, Some(index))
        }
    };
    let bytes = library.read(path).map_err(|why| {
        Mistake::new(What::File { path: path.to_owned(), why }, &text.span)
            .help("paths start at the scenario's folder; pcaps:NAME is a bundled capture")
    })?;
    let capture = pcap::read(&bytes).map_err(|error| {
        Mistake::new(What::Capture { path: path.to_owned(), why: error.to_string() }, &text.span)
            .help(error.problem.advice())
    })?;
    let base = path.rsplit(['/', ':']).next().unwrap_or(path);
    let base = name.map_or(base, |name| name.as_str());
    let frames: Vec<Vec<u8>> = capture.into_iter().map(|packet| packet.data.to_vec()).collect();
    let Some(index) = index else {
        if frames.is_empty() {
            return Err(Mistake::new(What::Nothing(format!("{path} holds no packet")), &text.span));
        }
        return Ok((1..).zip(frames).map(|(i, frame)| (format!("{base}#{i}"), frame)).collect());
    };
    let count = frames.len();
    match usize::try_from(index - 1).ok().and_then(|i| frames.into_iter().nth(i)) {
        Some(frame) => {
            let name = name.map_or_else(|| format!("{base}#{index}"), |name| name.value.clone());
            Ok(vec![(name, frame)])
        }
        None => Err(Mistake::new(What::BeyondCapture { path: path.to_owned(), index, count }, &text.span)),
    }
}

/// Hexadecimal digits, blanks between bytes allowed.
pub fn hex(text: &str, span: &Span) -> Result<Vec<u8>, Mistake> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    Bytes::from_hex(&digits).map(|bytes| bytes.0).map_err(|why| Mistake::new(What::Hex(why), span))
}

fn expression(text: &Spanned<String>) -> Result<Vec<u8>, Mistake> {
    Err(Mistake::new(What::Packet("packet expressions are not read yet".into()), &text.span)
        .help("use `hex` or `pcap`"))
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
        if let Some((field, value)) = expect.set.iter().next() {
            if matches!(value.kind, Kind::List(_) | Kind::Table(_)) {
                let what = format!("a field of a packet is a number or a string, not {}", value.kind.word());
                return Err(Mistake::new(What::WrongType(what), &value.span));
            }
            let what = "fields of packets cannot be set yet".to_owned();
            return Err(Mistake::new(What::Packet(what), &field.span).help("expect `hex`"));
        }
        let data = base;
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
