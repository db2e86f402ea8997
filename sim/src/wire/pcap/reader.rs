//! Reading: one iterator over both formats.

use std::borrow::Cow;

use pcap_file::pcap::{PcapHeader, PcapParseError, PcapParser, PcapTsResolution, RawPcapPacket};
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::{Block, PcapNgParseError, PcapNgParser};
use pcap_file::{DataLink, Endianness};

use super::writer::{EPB_PACKETID, EPB_VERDICT};
use super::{CaptureError, Packet, Problem};

const PCAP_HEADER_LEN: usize = 24;
const PCAP_RECORD_LEN: usize = 16;
/// Type, length, and length again of a pcapng block.
const BLOCK_OVERHEAD: usize = 12;
const SECTION_HEADER_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// Microseconds and nanoseconds, big- and little-endian.
const CLASSIC_MAGIC: [u32; 4] = [0xa1b2c3d4, 0xa1b23c4d, 0xd4c3b2a1, 0x4d3cb2a1];
const NS_PER_S: u64 = 1_000_000_000;

/// All packets of a capture, or why it cannot be read to its end.
pub fn read(bytes: &[u8]) -> Result<Vec<Packet<'_>>, CaptureError> {
    Reader::new(bytes)?.collect()
}

/// Reads a capture packet by packet. After an error it yields nothing more.
#[derive(Debug)]
pub struct Reader<'a> {
    whole_len: usize,
    rest: &'a [u8],
    format: Format,
    packets: u64,
    ended: bool,
}

#[derive(Debug)]
enum Format {
    Pcap(PcapParser),
    PcapNg(Box<PcapNgParser>),
}

impl<'a> Reader<'a> {
    /// Reads the file header: classic pcap of either byte order in micro- or nanoseconds, or pcapng.
    pub fn new(bytes: &'a [u8]) -> Result<Self, CaptureError> {
        let (format, rest) =
            open(bytes).map_err(|problem| CaptureError { offset: 0, packet: None, problem })?;
        Ok(Self { whole_len: bytes.len(), rest, format, packets: 0, ended: false })
    }

    /// The next packet; `None` at the end of the file.
    fn step(&mut self) -> Result<Option<Packet<'a>>, Problem> {
        while !self.rest.is_empty() {
            let offset = self.whole_len - self.rest.len();
            let (rest, packet) = match &mut self.format {
                Format::Pcap(parser) => pcap_record(parser, self.rest)?,
                Format::PcapNg(parser) => pcapng_block(parser, self.rest)?,
            };
            self.rest = rest;
            if let Some(packet) = packet {
                self.packets += 1;
                return Ok(Some(Packet { number: self.packets, offset, ..packet }));
            }
        }
        Ok(None)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Packet<'a>, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let result = self.step().map_err(|problem| CaptureError {
            offset: self.whole_len - self.rest.len(),
            packet: Some(self.packets + 1),
            problem,
        });
        self.ended = !matches!(result, Ok(Some(_)));
        result.transpose()
    }
}

fn open(bytes: &[u8]) -> Result<(Format, &[u8]), Problem> {
    let Some(magic) = bytes.first_chunk::<4>() else {
        return Err(match bytes.len() {
            0 => Problem::Empty,
            have => Problem::Cut { needed: PCAP_HEADER_LEN, have },
        });
    };
    if *magic == SECTION_HEADER_MAGIC {
        let (rest, parser) = PcapNgParser::new(bytes).map_err(|error| block_problem(error, bytes, None))?;
        return Ok((Format::PcapNg(Box::new(parser)), rest));
    }
    if !CLASSIC_MAGIC.contains(&u32::from_be_bytes(*magic)) {
        return Err(Problem::Magic(*magic));
    }
    let (rest, parser) = PcapParser::new(bytes).map_err(|error| match error {
        PcapParseError::IncompleteBuffer(needed, have) => Problem::Cut { needed, have },
        PcapParseError::Validation(error) => Problem::Block(error.to_string()),
    })?;
    let PcapHeader { datalink, .. } = parser.header();
    ethernet(datalink)?;
    Ok((Format::Pcap(parser), rest))
}

fn ethernet(link: DataLink) -> Result<(), Problem> {
    match link {
        DataLink::ETHERNET => Ok(()),
        DataLink::Unknown(number) => Err(Problem::LinkType { number, name: "unregistered".to_owned() }),
        named => Err(Problem::LinkType { number: named.into(), name: format!("{named:?}") }),
    }
}

/// What every packet has in common; the reader fills in the number and offset.
fn packet<'a>(time_ns: u64, original_len: u32, data: &Cow<'a, [u8]>) -> Packet<'a> {
    Packet {
        number: 0,
        offset: 0,
        time_ns,
        interface: 0,
        original_len,
        data: borrowed(data),
        comments: Vec::new(),
        packet_id: None,
        verdict: None,
    }
}

/// Blocks parsed from a slice borrow from it.
fn borrowed<'a, T: ?Sized + ToOwned>(data: &Cow<'a, T>) -> &'a T {
    match data {
        Cow::Borrowed(data) => data,
        Cow::Owned(_) => unreachable!("the parser copies nothing out of a slice"),
    }
}

type Step<'a> = (&'a [u8], Option<Packet<'a>>);

fn pcap_record<'a>(parser: &PcapParser, bytes: &'a [u8]) -> Result<Step<'a>, Problem> {
    let (rest, raw) = parser.next_raw_packet(bytes).map_err(|error| match error {
        PcapParseError::IncompleteBuffer(..) if bytes.len() < PCAP_RECORD_LEN => {
            Problem::Cut { needed: PCAP_RECORD_LEN, have: bytes.len() }
        }
        PcapParseError::IncompleteBuffer(data, _) => {
            Problem::Cut { needed: PCAP_RECORD_LEN.saturating_add(data), have: bytes.len() }
        }
        PcapParseError::Validation(error) => Problem::Block(error.to_string()),
    })?;
    let RawPcapPacket { ts_sec, ts_frac, incl_len, orig_len, data } = raw;
    if incl_len > orig_len {
        return Err(Problem::Lengths { captured: incl_len, original: orig_len });
    }
    let ns = match parser.header().ts_resolution {
        PcapTsResolution::MicroSecond => u64::from(ts_frac) * 1000,
        PcapTsResolution::NanoSecond => u64::from(ts_frac),
    };
    if ns >= NS_PER_S {
        return Err(Problem::Time);
    }
    Ok((rest, Some(packet(u64::from(ts_sec) * NS_PER_S + ns, orig_len, &data))))
}

fn pcapng_block<'a>(parser: &mut PcapNgParser, bytes: &'a [u8]) -> Result<Step<'a>, Problem> {
    let order = parser.section().endianness;
    let (rest, block) = parser.next_block(bytes).map_err(|error| block_problem(error, bytes, Some(order)))?;
    let packet = match block {
        Block::InterfaceDescription(interface) => {
            ethernet(interface.linktype)?;
            None
        }
        Block::EnhancedPacket(block) => Some(enhanced_packet(block, order)?),
        Block::SimplePacket(block) => Some(packet(0, block.original_len, &block.data)),
        Block::Packet(block) => {
            let time_ns = u64::try_from(block.timestamp.as_nanos()).map_err(|_| Problem::Time)?;
            let interface = u32::from(block.interface_id);
            Some(Packet { interface, ..packet(time_ns, block.original_len, &block.data) })
        }
        _ => None,
    };
    Ok((rest, packet))
}

fn enhanced_packet(block: EnhancedPacketBlock<'_>, order: Endianness) -> Result<Packet<'_>, Problem> {
    let time_ns = u64::try_from(block.timestamp.as_nanos()).map_err(|_| Problem::Time)?;
    let mut packet = packet(time_ns, block.original_len, &block.data);
    packet.interface = block.interface_id;
    for option in block.options {
        match option {
            EnhancedPacketOption::Common(CommonOption::Comment(text)) => {
                packet.comments.push(borrowed(&text));
            }
            EnhancedPacketOption::Common(CommonOption::Unknown(option)) => match option.code {
                EPB_PACKETID => {
                    let id = option.value.as_ref().try_into().map_err(|_| {
                        Problem::Block(format!("epb_packetid of {} bytes, not 8", option.value.len()))
                    })?;
                    packet.packet_id = Some(match order {
                        Endianness::Big => u64::from_be_bytes(id),
                        Endianness::Little => u64::from_le_bytes(id),
                    });
                }
                EPB_VERDICT => packet.verdict = Some(borrowed(&option.value)),
                _ => {}
            },
            _ => {}
        }
    }
    Ok(packet)
}

/// The crate's error as ours. It counts what a block needs from different starting points, so the length is read again.
fn block_problem(error: PcapNgParseError, bytes: &[u8], order: Option<Endianness>) -> Problem {
    match error {
        PcapNgParseError::IncompleteBuffer(..) => {
            Problem::Cut { needed: block_len(bytes, order), have: bytes.len() }
        }
        PcapNgParseError::InvalidFormat(error) => Problem::Block(error.to_string()),
        PcapNgParseError::BlockConversion(error) => Problem::Block(format!("{error}: {}", error.source)),
        PcapNgParseError::StateUpdate(error) => Problem::Block(error.to_string()),
    }
}

/// The length a block claims; a section header says its own byte order, which its length must be read in.
fn block_len(bytes: &[u8], order: Option<Endianness>) -> usize {
    let Some(head) = bytes.first_chunk::<BLOCK_OVERHEAD>() else { return BLOCK_OVERHEAD };
    let [_, _, _, _, len @ .., o0, o1, o2, o3] = *head;
    let big = match order {
        Some(order) if head[..4] != SECTION_HEADER_MAGIC => order == Endianness::Big,
        _ => [o0, o1, o2, o3] == 0x1A2B3C4D_u32.to_be_bytes(),
    };
    let len = if big { u32::from_be_bytes(len) } else { u32::from_le_bytes(len) };
    len as usize
}
