//! Captures: reading classic pcap and pcapng from bytes, writing pcapng.
//!
//! [`Reader`] yields the packets before the first damage and then one [`CaptureError`]; packets borrow from the input, so
//! no length field in a file can make it allocate. [`Writer`] gives the same bytes for the same calls, always.
//!
//! Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. Frames are Ethernet; every other link type is refused by
//! name.

mod reader;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;

pub use reader::{Reader, read};
pub use writer::{Interface, Record, Verdict, Writer};

/// One captured frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// Counted from 1, as Wireshark does.
    pub number: u64,
    /// Offset in the file of the record that holds it.
    pub offset: usize,
    /// Time since 1970-01-01 UTC in nanoseconds.
    pub time_ns: u64,
    /// Index of the interface within its section; 0 in classic pcap.
    pub interface: u32,
    /// Length of the frame on the wire; `data` is shorter if the capture had a snap length.
    pub original_len: u32,
    /// The frame, from the Ethernet header on.
    pub data: &'a [u8],
    /// pcapng: the comments, in order.
    pub comments: Vec<&'a str>,
    /// pcapng: `epb_packetid`.
    pub packet_id: Option<u64>,
    /// pcapng: `epb_verdict`, its type byte first.
    pub verdict: Option<&'a [u8]>,
}

/// Why a capture could not be read any further.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaptureError {
    /// Offset in the file of the header, record or block that is wrong.
    pub offset: usize,
    /// The number of the packet being read, from 1; `None` in the file header.
    pub packet: Option<u64>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a capture.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Problem {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// The first four bytes belong to no capture format.
    #[error("not a capture: the file starts with {}", hex(.0))]
    Magic([u8; 4]),
    /// The file ends inside a header, record or block.
    #[error("{needed} bytes are needed and {have} are left: the file is cut, or a length in it is wrong")]
    Cut {
        /// Bytes that the header, record or block takes from `offset` on.
        needed: usize,
        /// Bytes the file has from there on.
        have: usize,
    },
    /// Frames are not Ethernet.
    #[error("link type {number} ({name}), and only Ethernet (1) is understood")]
    LinkType {
        /// The registered number.
        number: u32,
        /// The registered name.
        name: String,
    },
    /// More bytes captured than were on the wire.
    #[error("{captured} bytes captured of a frame of {original}")]
    Lengths {
        /// Bytes in the file.
        captured: u32,
        /// Bytes on the wire.
        original: u32,
    },
    /// A time that is no time: a fraction of a second of one second or more, or beyond the year 2554.
    #[error("impossible time stamp")]
    Time,
    /// A block of a pcapng file is malformed.
    #[error("malformed block: {0}")]
    Block(String),
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

impl Problem {
    /// What the owner of the file can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Empty => "was the capture stopped before a packet was written? use `tcpdump -U`",
            Self::Magic([0x1f, 0x8b, ..]) => "it is compressed: unpack it with `gunzip`",
            Self::Magic([0x28, 0xb5, 0x2f, 0xfd]) => "it is compressed: unpack it with `unzstd`",
            Self::Magic([0x34, 0xcd, 0xb2, 0xa1] | [0xa1, 0xb2, 0xcd, 0x34]) => {
                "it is an old variant of pcap: convert it with `editcap -F pcap in out`"
            }
            Self::Magic(_) => "pcap and pcapng are read; convert others with `editcap -F pcapng in out`",
            Self::Cut { .. } => {
                "the capture was not closed or a copy broke off; the packets before can be used"
            }
            Self::LinkType { .. } => "capture on one Ethernet interface (`tcpdump -i eth0`, not `-i any`)",
            Self::Lengths { .. } | Self::Time | Self::Block(_) => {
                "the file is damaged here; `editcap in out` may save what is before"
            }
        }
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.packet {
            Some(number) => write!(f, "packet {number}, at byte {}: ", self.offset)?,
            None => write!(f, "at byte {}: ", self.offset)?,
        }
        write!(f, "{}\n  help: {}", self.problem, self.problem.advice())
    }
}

impl std::error::Error for CaptureError {}
