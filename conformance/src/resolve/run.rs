//! One `[[packet]]`: its runs and what is expected of each.

use std::collections::BTreeMap;

use bpftwin_sim::uapi::{Errno, ProgType};

use super::frame;
use super::library::Library;
use super::maps::{MapCheck, expected, names_something};
use super::objects::{Objects, runnable};
use crate::bytes::Bytes;
use crate::case::{Network, Run};
use crate::ctx;
use crate::layout::Encoder;
use crate::observation::{Drop, Tap};
use crate::scenario::mistake::{Mistake, What};
use crate::scenario::model::{Packet, PacketExpect, RecordExpect};
use crate::scenario::node::{Kind, Node};
use crate::scenario::spanned::{Span, Spanned};
use crate::verdict;

/// What must come out of one run. What is `None` or empty is not checked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RunExpect {
    /// The packet's place in the scenario.
    pub span: Span,
    /// The return code.
    pub retval: Option<(u32, Span)>,
    /// The system call's error, positive.
    pub errno: Option<(i32, Span)>,
    /// The output.
    pub data: Option<(Bytes, Span)>,
    /// Context fields.
    pub ctx: Vec<(Encoder, Span)>,
    /// Map elements.
    pub maps: Vec<MapCheck>,
    /// Records, all of them.
    pub records: Option<Vec<RecordCheck>>,
    /// Of a step: what taps see.
    pub walk: Option<WalkExpect>,
}

/// What must be seen of a step.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WalkExpect {
    /// Each tap once.
    pub taps: Vec<TapExpect>,
    /// Drops that must be among those that happen.
    pub drops: Vec<(Drop, Span)>,
}

/// The frames of a tap, all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TapExpect {
    /// The tap.
    pub tap: Tap,
    /// Its frames in order.
    pub frames: Vec<(Bytes, Span)>,
    /// Where the scenario names the tap.
    pub span: Span,
}

impl RunExpect {
    /// Whether anything is expected that only a program that ran can give.
    pub const fn wants_a_run(&self) -> bool {
        self.retval.is_some() || self.data.is_some() || !self.ctx.is_empty() || self.records.is_some()
    }
}

/// A record that must have come out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordCheck {
    /// The object's name in the case.
    pub object: String,
    /// The map's C name.
    pub map: String,
    /// Its members, or its first bytes.
    pub want: Option<Encoder>,
    /// Where the scenario says so.
    pub span: Span,
}

/// What a packet refers to.
pub struct Around<'a> {
    /// The objects.
    pub objects: &'a Objects,
    /// Where captures are.
    pub library: &'a Library,
    /// The scenario's program.
    pub program: Option<&'a Spanned<String>>,
    /// The devices.
    pub network: &'a Network,
    /// Names and inputs of the packets so far.
    pub inputs: Vec<(String, Vec<u8>)>,
}

impl Around<'_> {
    /// The runs of the packet, each with its expectation.
    pub fn packet(
        &mut self,
        number: usize,
        packet: &Packet,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<(Run, RunExpect)> {
        match self.runs(number, packet, mistakes) {
            Ok(runs) => runs,
            Err(mistake) => {
                mistakes.push(mistake);
                Vec::new()
            }
        }
    }

    fn runs(
        &mut self,
        number: usize,
        packet: &Packet,
        mistakes: &mut Vec<Mistake>,
    ) -> Result<Vec<(Run, RunExpect)>, Mistake> {
        let program = packet.program.as_ref().or(self.program);
        let place = [&packet.pkt, &packet.hex, &packet.pcap, &packet.name].into_iter().flatten().next();
        let place = place.map_or(0..0, |text| text.span.clone());
        let program = program.ok_or_else(|| {
            Mistake::new(What::Choice("no program is named for this packet".into()), &place)
                .help("set `program` here or in [scenario]")
        })?;
        let (object, name) = self.objects.program(program)?;
        let prog_type = self.objects.shape.program(&object, &name);
        runnable(prog_type, &program.span, &name)?;
        let may_lack = ctx::may_lack_packet(prog_type);
        let (frames, span) = frame::input(packet, number, self.library, may_lack)?;
        // A syscall program runs once, and the kernel wants that unsaid.
        let repeat = u32::from(prog_type != ProgType::Syscall);
        let flags = flags(&packet.flags)?;
        let mut runs = Vec::with_capacity(frames.len());
        for (run_name, frame) in frames {
            if self.inputs.iter().any(|(known, _)| *known == run_name) {
                return Err(Mistake::new(What::Duplicate { what: "packet", name: run_name }, &span)
                    .help("give it a `name` of its own"));
            }
            self.inputs.push((run_name.clone(), frame.clone()));
            let (data, ctx) = self.context(packet, prog_type, frame)?;
            let run = Run {
                name: run_name,
                object: object.clone(),
                program: name.clone(),
                data: data.into(),
                ctx: ctx.into(),
                repeat: packet.repeat.as_ref().map_or(repeat, |n| n.value),
                flags,
                follows: None,
                afterwards: Vec::new(),
            };
            let expect = match &packet.expect {
                Some(expect) => self.expect(expect, prog_type, &run, &span, mistakes)?,
                None => RunExpect { span: span.clone(), ..RunExpect::default() },
            };
            runs.push((run, expect));
        }
        Ok(runs)
    }

    /// `data_in` and `ctx_in`. Of an XDP program, `metadata` goes before the packet.
    fn context(
        &self,
        packet: &Packet,
        prog_type: ProgType,
        frame: Vec<u8>,
    ) -> Result<(Vec<u8>, Vec<u8>), Mistake> {
        let mut data = frame;
        if packet.ctx.is_empty() {
            return Ok((data, Vec::new()));
        }
        if prog_type == ProgType::Syscall {
            return Ok((data, plain_context(&packet.ctx)?.0));
        }
        let is_xdp = prog_type == ProgType::Xdp;
        let mut fields = Vec::new();
        let mut metadata = 0;
        for (name, node) in &packet.ctx {
            if is_xdp && name.value == "metadata" {
                let Kind::Str(hex) = &node.kind else {
                    let what = "metadata is written in hexadecimal".to_owned();
                    return Err(Mistake::new(What::WrongType(what), &node.span));
                };
                let bytes = frame::hex(hex.trim_start_matches("hex:"), &node.span)?;
                metadata = bytes.len() as i128;
                data.splice(0..0, bytes);
            } else {
                fields.push((name.clone(), self.device_number(name, node)?));
            }
        }
        if is_xdp {
            // Without these the kernel would take the whole packet for fragments, or no metadata.
            for (field, value) in [("data", metadata), ("data_end", data.len() as i128)] {
                if !fields.iter().any(|(name, _)| name.value == field) {
                    fields.push((
                        Spanned::new(field.to_owned(), 0..0),
                        Node { kind: Kind::Int(value), span: 0..0 },
                    ));
                }
            }
        }
        let layout = ctx::layout(prog_type).expect("a runnable program has a context");
        let table = Node { kind: Kind::Table(fields), span: 0..0 };
        Ok((data, Encoder::encode(&layout, &table)?.bytes))
    }

    /// A device's name where an ifindex stands becomes its number.
    fn device_number(&self, name: &str, node: &Node) -> Result<Node, Mistake> {
        let Kind::Str(device) = &node.kind else { return Ok(node.clone()) };
        if !ctx::IFINDEXES.contains(&name) {
            return Ok(node.clone());
        }
        let devices = &self.network.devices;
        let found = devices.iter().find(|d| d.name == *device).map(|d| d.ifindex);
        let ifindex = found.or((device == "lo").then_some(1)).ok_or_else(|| {
            let known = devices.iter().map(|d| d.name.as_str()).chain(["lo"]);
            Mistake::unknown("device", device, &node.span, known)
        })?;
        Ok(Node { kind: Kind::Int(ifindex.into()), span: node.span.clone() })
    }

    fn expect(
        &self,
        expect: &PacketExpect,
        prog_type: ProgType,
        run: &Run,
        span: &Span,
        mistakes: &mut Vec<Mistake>,
    ) -> Result<RunExpect, Mistake> {
        let mut out = RunExpect { span: span.clone(), ..RunExpect::default() };
        out.retval = expect.retval.as_ref().map(|node| retval(prog_type, node)).transpose()?;
        out.errno = expect.errno.as_ref().map(errno).transpose()?;
        if let (Some(node), Some(errno)) = (&expect.retval, &expect.errno) {
            let what = format!("a run that fails with {} returns nothing", errno.value);
            return Err(Mistake::new(What::Choice(what), &node.span).help("drop `retval` or `errno`"));
        }
        out.data = frame::output(expect, run, &self.inputs)?;
        if prog_type == ProgType::Syscall && !expect.ctx.is_empty() {
            let (bytes, span) = plain_context(&expect.ctx)?;
            out.ctx.push((Encoder { mask: vec![0xff; bytes.len()], bytes }, span));
        }
        for (name, node) in &expect.ctx {
            let Some(layout) = ctx::layout(prog_type) else { break };
            let node = self.device_number(name, node)?;
            let table = Node { kind: Kind::Table(vec![(name.clone(), node)]), span: name.span.clone() };
            out.ctx.push((Encoder::encode(&layout, &table)?, name.span.clone()));
        }
        out.maps = expected(&expect.map, self.objects, mistakes);
        if let Some(records) = &expect.record {
            out.records = Some(records.iter().map(|record| self.record(record)).collect::<Result<_, _>>()?);
        }
        Ok(out)
    }

    fn record(&self, record: &RecordExpect) -> Result<RecordCheck, Mistake> {
        let (object, map, shape) = self.objects.map(&record.map)?;
        let want = match (&record.data, &record.hex) {
            (None, None) => None,
            (Some(node), None) => {
                let Some(typed) = &shape.record else {
                    let what = format!("the type of {map}'s records is not known");
                    return Err(Mistake::new(What::Choice(what), &node.span).help(format!(
                        "name it: [scenario] records = {{ \"{}\" = \"TYPE\" }}",
                        record.map.value
                    )));
                };
                let want = Encoder::encode(&typed.layout, node)?;
                if !names_something(&typed.layout, &want) {
                    let what = "no member is named, so nothing is checked".to_owned();
                    return Err(Mistake::new(What::Nothing(what), &node.span));
                }
                Some(want)
            }
            (None, Some(text)) => {
                let bytes = frame::hex(text, &text.span)?;
                Some(Encoder { mask: vec![0xff; bytes.len()], bytes })
            }
            (Some(node), Some(_)) => {
                let what = "a record is expected as `data` or as `hex`".to_owned();
                return Err(Mistake::new(What::Choice(what), &node.span));
            }
        };
        Ok(RecordCheck { object, map, want, span: record.map.span.clone() })
    }
}

/// The context of a syscall program: `hex`, and nothing else.
fn plain_context(ctx: &BTreeMap<Spanned<String>, Node>) -> Result<(Vec<u8>, Span), Mistake> {
    let mut bytes = Vec::new();
    let mut span = 0..0;
    for (name, node) in ctx {
        let Kind::Str(text) = &node.kind else {
            let what = "a syscall program's context is written in hexadecimal".to_owned();
            return Err(Mistake::new(What::WrongType(what), &node.span));
        };
        if name.value != "hex" {
            return Err(Mistake::unknown("context field", name, &name.span, ["hex"]));
        }
        (bytes, span) = (frame::hex(text, &node.span)?, name.span.clone());
    }
    Ok((bytes, span))
}

fn retval(prog_type: ProgType, node: &Node) -> Result<(u32, Span), Mistake> {
    let value = match &node.kind {
        Kind::Int(n) => i64::try_from(*n)
            .ok()
            .filter(|n| (i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(n))
            .map(|n| n as u32)
            .ok_or_else(|| {
                Mistake::new(What::Value(format!("{n} is not a 32-bit return code")), &node.span)
            })?,
        Kind::Str(name) => verdict::parse(prog_type, name).ok_or_else(|| {
            let names = verdict::names(prog_type);
            Mistake::unknown("return code", name, &node.span, names.iter().map(String::as_str))
        })?,
        kind => {
            let what = format!("a return code is a number or a name, not {}", kind.word());
            return Err(Mistake::new(What::WrongType(what), &node.span));
        }
    };
    Ok((value, node.span.clone()))
}

/// The largest errno there is (`MAX_ERRNO`, `include/linux/err.h`).
const MAX_ERRNO: i32 = 4095;

fn errno(name: &Spanned<String>) -> Result<(i32, Span), Mistake> {
    let named = |n: &i32| Errno::from_raw(*n).name();
    if let Some(number) = (1..=MAX_ERRNO).find(|n| named(n) == Some(name.as_str())) {
        Ok((number, name.span.clone()))
    } else {
        let names = (1..=MAX_ERRNO).filter_map(|n| named(&n));
        Err(Mistake::unknown("errno", name, &name.span, names))
    }
}

fn flags(names: &[Spanned<String>]) -> Result<u32, Mistake> {
    const FLAGS: [(&str, u32); 2] = [("xdp-live-frames", 1 << 1), ("checksum-complete", 1 << 2)];
    names.iter().try_fold(0, |flags, name| match FLAGS.iter().find(|(flag, _)| *flag == name.value) {
        Some((_, bit)) => Ok(flags | bit),
        None => Err(Mistake::unknown("flag", name, &name.span, FLAGS.map(|(flag, _)| flag))),
    })
}
