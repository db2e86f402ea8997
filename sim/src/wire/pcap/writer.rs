//! Writing pcapng: little-endian, nanoseconds, no option that differs between runs or machines.

use std::borrow::Cow;
use std::time::Duration;

use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::{CommonOption, UnknownOption};
use pcap_file::pcapng::{Block, PcapNgWriter};
use pcap_file::{DataLink, Endianness};

/// Option code of `epb_packetid`, 64 bits: one number follows a packet through all interfaces.
pub(super) const EPB_PACKETID: u16 = 5;
/// Option code of `epb_verdict`.
pub(super) const EPB_VERDICT: u16 = 7;
/// `epb_verdict` types: a Linux eBPF TC or XDP return code follows, 64 bits, as xdpdump writes it.
const VERDICT_EBPF_TC: u8 = 1;
const VERDICT_EBPF_XDP: u8 = 2;
/// An option's length has 16 bits; longer comments are cut.
const OPTION_LEN_MAX: usize = 0xffff;

/// An interface of the file being written, for [`Record::interface`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Interface(u32);

/// The return code of the program that saw a packet, for `epb_verdict`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// A tc program's: `TC_ACT_*`.
    Tc(i32),
    /// An XDP program's: `XDP_*`.
    Xdp(u32),
}

/// One packet to write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Where it was seen.
    pub interface: Interface,
    /// Nanoseconds on the virtual clock, shown as time since 1970-01-01 UTC.
    pub time_ns: u64,
    /// The frame, from the Ethernet header on.
    pub data: &'a [u8],
    /// Shown by Wireshark as the packet's comment; cut after 65535 bytes.
    pub comment: Option<&'a str>,
    /// `epb_packetid`.
    pub packet_id: Option<u64>,
    /// `epb_verdict`.
    pub verdict: Option<Verdict>,
}

/// Writes a pcapng file into memory.
pub struct Writer {
    file: PcapNgWriter<Vec<u8>>,
}

/// A `Vec` takes every write, and every block here is well-formed by construction.
const WELL_FORMED: &str = "a well-formed block is written to memory";

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// A file with a section header and nothing else.
    pub fn new() -> Self {
        Self { file: PcapNgWriter::with_endianness(Vec::new(), Endianness::Little).expect(WELL_FORMED) }
    }

    /// Declares an Ethernet interface; the name is cut after 65535 bytes.
    pub fn interface(&mut self, name: &str) -> Interface {
        let number = u32::try_from(self.file.interfaces().len()).expect("fewer than 2^32 interfaces");
        let block = InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: 0,
            options: vec![
                InterfaceDescriptionOption::IfName(option_text(name)),
                InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
            ],
        };
        self.file.write_block(&Block::InterfaceDescription(block)).expect(WELL_FORMED);
        Interface(number)
    }

    /// Appends a packet. Its interface must come from [`interface`](Self::interface) of this writer.
    pub fn packet(&mut self, record: &Record<'_>) {
        let comment = record.comment.map(|text| CommonOption::Comment(option_text(text)));
        let packet_id = record.packet_id.map(|id| option(EPB_PACKETID, id.to_le_bytes().to_vec()));
        let verdict = record.verdict.map(|verdict| option(EPB_VERDICT, verdict.bytes()));
        let block = EnhancedPacketBlock {
            interface_id: record.interface.0,
            timestamp: Duration::from_nanos(record.time_ns),
            original_len: u32::try_from(record.data.len()).expect("a frame is shorter than 4 GiB"),
            data: Cow::Borrowed(record.data),
            options: [comment, packet_id, verdict]
                .into_iter()
                .flatten()
                .map(EnhancedPacketOption::Common)
                .collect(),
        };
        self.file.write_block(&Block::EnhancedPacket(block)).expect(WELL_FORMED);
    }

    /// The file.
    pub fn into_bytes(self) -> Vec<u8> {
        self.file.into_inner()
    }
}

impl Verdict {
    /// The option's value: a type byte and the code, sign-extended to 64 bits.
    fn bytes(self) -> Vec<u8> {
        let (kind, code) = match self {
            Self::Tc(code) => (VERDICT_EBPF_TC, i64::from(code) as u64),
            Self::Xdp(code) => (VERDICT_EBPF_XDP, u64::from(code)),
        };
        [&[kind], &code.to_le_bytes()[..]].concat()
    }
}

fn option(code: u16, value: Vec<u8>) -> CommonOption<'static> {
    CommonOption::Unknown(UnknownOption { code, value: Cow::Owned(value) })
}

fn option_text(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(&text[..text.floor_char_boundary(OPTION_LEN_MAX)])
}
