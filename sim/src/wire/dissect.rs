//! Bytes to layers: what a frame says, field by field, with the place of every field.
//!
//! No input is an error. What is cut or makes no sense becomes `Raw`, and every byte of the frame belongs to exactly one
//! layer, so two frames are equal if and only if their dissections are.
//!
//! Fields are addressed as `IP.src`; of several headers of one kind the second is `IP:2.src`, counted from outside.
//! Headers quoted in ICMP errors are counted along.

use std::fmt;
use std::ops::Range;

use super::layer::{self, Carries, Field, Kind, Proto, Value};

/// More nested headers than any real frame has; what is deeper is `Raw`. Bounds the work for frames made of headers.
const DEPTH_MAX: usize = 64;

/// A frame, layer by layer.
#[derive(Clone, Debug)]
pub struct Dissection {
    /// From outside in; `Raw` and `Padding` where no header is.
    pub layers: Vec<Layer>,
}

/// One header, or bytes without one.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Which header.
    pub proto: Proto,
    /// 1 for the first header of this kind in the frame, 2 for the second, …
    pub nth: usize,
    /// The header's bytes in the frame.
    pub header: Range<usize>,
    /// Where what it carries ends, counted in the frame; never before `header.end`.
    pub end: usize,
    /// Whether the frame ends before the header does.
    pub cut: bool,
    /// The fields in order.
    pub fields: Vec<Shown>,
}

/// A field and what it holds.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its description.
    pub field: &'static Field,
    /// Its bits in the frame, most significant first.
    pub bits: Range<usize>,
    /// What it holds.
    pub value: Value,
}

impl Dissection {
    /// The `nth` header of a kind, from 1.
    pub fn layer(&self, proto: Proto, nth: usize) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.proto == proto && layer.nth == nth)
    }

    /// A field by path, such as `IP.src` or `IP:2.src`.
    pub fn field(&self, path: &str) -> Option<&Shown> {
        let (layer, field) = path.rsplit_once('.')?;
        let layer = self
            .layers
            .iter()
            .find(|l| l.label() == layer || l.nth == 1 && format!("{}:1", l.proto) == layer)?;
        layer.field(field)
    }
}

impl Layer {
    /// `IP` for the first, `IP:2` for the second.
    pub fn label(&self) -> String {
        match self.nth {
            1 => self.proto.to_string(),
            nth => format!("{}:{nth}", self.proto),
        }
    }

    /// A field by name.
    pub fn field(&self, name: &str) -> Option<&Shown> {
        self.fields.iter().find(|shown| shown.field.name == name)
    }

    /// A field's number; 0 if the header has no such field.
    pub(super) fn number(&self, name: &str) -> u128 {
        match self.field(name).map(|shown| &shown.value) {
            Some(Value::Number(number)) => *number,
            _ => 0,
        }
    }
}

impl Shown {
    /// The bytes of the frame it touches.
    pub fn bytes(&self) -> Range<usize> {
        self.bits.start / 8..self.bits.end.div_ceil(8)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field.show(&self.value))
    }
}

/// `Ether(dst='02:…',…)/IP(…)/Raw(load='…')`, every field spelled out: an expression for exactly this frame.
impl fmt::Display for Dissection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, layer) in self.layers.iter().enumerate() {
            write!(f, "{}{}(", if at == 0 { "" } else { "/" }, layer.proto)?;
            for (at, shown) in layer.fields.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                match (&shown.value, shown.field.kind) {
                    (Value::Number(number), Kind::Number(_)) => {
                        write!(f, "{comma}{}={number}", shown.field.name)?;
                    }
                    (Value::Number(number), Kind::Hex(_)) => {
                        write!(f, "{comma}{}={number:#x}", shown.field.name)?;
                    }
                    (Value::Number(_), _) => write!(f, "{comma}{}='{shown}'", shown.field.name)?,
                    (Value::Bytes(_), _) => write!(f, "{comma}{}={shown}", shown.field.name)?,
                }
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// Takes a frame apart, from its Ethernet header on.
pub fn dissect(frame: &[u8]) -> Dissection {
    dissect_from(frame, layer::first(frame))
}

/// Takes bytes apart that begin with a header of this kind.
pub fn dissect_from(frame: &[u8], first: Proto) -> Dissection {
    let mut walk = Walk { frame, layers: Vec::new(), paddings: Vec::new() };
    let mut at = 0;
    let mut end = frame.len();
    let mut next = if first == Proto::Raw { Carries::Data } else { Carries::Header(first) };
    while let Carries::Header(proto) = next {
        if at == end || walk.layers.len() == DEPTH_MAX {
            break;
        }
        let (header, complete) = walk.header(proto, at, end);
        at = header.end;
        end = walk.carried_end(proto, &header, end);
        next =
            if complete { layer::carried_by(proto, &frame[header], &frame[at..end]) } else { Carries::Data };
    }
    walk.bytes(Proto::Raw, at..end);
    while let Some(padding) = walk.paddings.pop() {
        walk.bytes(Proto::Padding, padding);
    }
    Dissection { layers: walk.layers }
}

struct Walk<'a> {
    frame: &'a [u8],
    layers: Vec<Layer>,
    /// What lies behind the lengths that headers claim, outermost first.
    paddings: Vec<Range<usize>>,
}

impl Walk<'_> {
    /// Adds a header; its bytes, and whether all of it is there.
    fn header(&mut self, proto: Proto, at: usize, end: usize) -> (Range<usize>, bool) {
        let claimed = layer::header_len(proto, &self.frame[at..end]);
        let complete = claimed <= end - at;
        let bytes = &self.frame[at..at + claimed.min(end - at)];
        let mut layout = proto.spec().layout(bytes);
        // A cut inside a byte's fields leaves all of that byte to what follows.
        while layout.last().is_some_and(|(_, bits)| bits.end % 8 != 0) {
            layout.pop();
        }
        let len = layout.last().map_or(0, |(_, bits)| bits.end / 8);
        let fields = layout.into_iter().map(|(field, bits)| Shown {
            field,
            value: field.value(bytes, bits.clone()),
            bits: at * 8 + bits.start..at * 8 + bits.end,
        });
        let fields = fields.filter(|shown| !shown.bits.is_empty()).collect();
        self.push(proto, at..at + len, !complete, fields);
        (at..at + len, complete)
    }

    fn push(&mut self, proto: Proto, header: Range<usize>, cut: bool, fields: Vec<Shown>) {
        let nth = 1 + self.layers.iter().filter(|layer| layer.proto == proto).count();
        let end = header.end;
        self.layers.push(Layer { proto, nth, header, end, cut, fields });
    }

    /// Where what the last header carries ends: its length field, if it makes sense, can only shorten.
    fn carried_end(&mut self, proto: Proto, header: &Range<usize>, end: usize) -> usize {
        let last = self.layers.last_mut().expect("a header was just added");
        let claimed = match proto {
            Proto::Ip | Proto::Udp => header.start + last.number("len") as usize,
            Proto::Ip6 => header.end + last.number("plen") as usize,
            Proto::Dot3 => header.end + last.number("len") as usize,
            _ => end,
        };
        // A length of 0 stands for "longer than 65535" (RFC 2675) or for segmentation still to come.
        let none = matches!(proto, Proto::Ip6 | Proto::Dot3) && claimed == header.end;
        let carried = if last.cut || none || claimed < header.end || claimed > end { end } else { claimed };
        last.end = carried;
        if carried < end {
            self.paddings.push(carried..end);
        }
        carried
    }

    fn bytes(&mut self, proto: Proto, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let field = &proto.spec().fields[0];
        let value = Value::Bytes(self.frame[range.clone()].to_vec());
        let shown = Shown { field, bits: range.start * 8..range.end * 8, value };
        self.push(proto, range, false, vec![shown]);
    }
}

#[cfg(test)]
mod tests;
