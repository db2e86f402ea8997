//! Trials: a packet, a context and a list of calls, with a text form to keep the ones that once differed.

use std::fmt;
use std::str::FromStr;

use bpftwin_sim::uapi::{ProgType, helper};

/// One argument of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arg {
    /// `r6`: the context.
    Ctx,
    /// A number.
    Imm(i64),
    /// This many bytes into the buffer.
    Buf(u32),
    /// The context's `sk`, if it is not NULL; the call is left out where it is.
    Sk,
}

/// One step of a trial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// A helper.
    Helper {
        /// Its name without `bpf_`.
        name: &'static str,
        /// `r1` and on.
        args: Vec<Arg>,
    },
    /// Writes a number of `size` bytes to the context.
    Store {
        /// Where.
        offset: i16,
        /// How many bytes.
        size: u8,
        /// What.
        value: i32,
    },
    /// Writes 4 bytes of the buffer.
    Fill {
        /// Where.
        at: u32,
        /// What.
        value: u32,
    },
    /// Reads and overwrites 4 bytes of the packet, if direct access reaches them.
    Packet {
        /// Where, from `data`.
        offset: i16,
        /// What to write.
        value: i32,
    },
}

/// One program and one run of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Trial {
    /// Its type.
    pub prog_type: ProgType,
    /// What is in front of the payload.
    pub packet: Packet,
    /// The packet's length.
    pub len: u32,
    /// `flags` of the run.
    pub flags: u32,
    /// `repeat` of the run.
    pub repeat: u32,
    /// `ctx_in`, as 32-bit words by offset.
    pub ctx: Vec<(u32, u32)>,
    /// What the program does.
    pub calls: Vec<Call>,
}

/// What is in front of the payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet {
    /// IPv4 and UDP.
    Udp4,
    /// IPv6 and TCP.
    Tcp6,
    /// ARP.
    Arp,
    /// One VLAN tag, then IPv4.
    Vlan,
    /// Two VLAN tags, then IPv4.
    Qinq,
    /// An 802.3 length.
    Llc,
}

impl Packet {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Udp4, Self::Tcp6, Self::Arp, Self::Vlan, Self::Qinq, Self::Llc];

    /// `len` bytes that begin with it; the payload counts up.
    pub fn bytes(self, len: u32) -> Vec<u8> {
        let ipv4 = |proto: u8| {
            let mut ip = vec![0x45, 1, 0, 60, 0, 1, 0x40, 0, 64, proto, 0x12, 0x34, 10, 0, 0, 1, 10, 0, 0, 2];
            ip.extend([0x30, 0x39, 0, 80, 0, 40, 0x56, 0x78]);
            ip
        };
        let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        match self {
            Self::Udp4 => {
                bytes.extend([8, 0]);
                bytes.extend(ipv4(17));
            }
            Self::Tcp6 => {
                bytes.extend([0x86, 0xdd, 0x60, 0x10, 0, 0, 0, 40, 6, 64]);
                bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
                bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
                bytes.extend([0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 0, 0x9a, 0xbc, 0, 0]);
            }
            Self::Arp => bytes.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]),
            Self::Vlan => {
                bytes.extend([0x81, 0, 0x20, 5, 8, 0]);
                bytes.extend(ipv4(6));
            }
            Self::Qinq => {
                bytes.extend([0x88, 0xa8, 0x20, 5, 0x81, 0, 0x40, 6, 8, 0]);
                bytes.extend(ipv4(17));
            }
            Self::Llc => bytes.extend([0, 60, 0xff, 0xff, 3]),
        }
        let mut next = 0u8;
        while bytes.len() < len as usize {
            bytes.push(next);
            next = next.wrapping_add(1);
        }
        bytes.truncate(len as usize);
        bytes
    }
}

/// The number of the helper called `name`.
pub fn helper_id(name: &str) -> u32 {
    let found = helper::ALL.iter().find(|(_, n)| n.trim_end_matches('_') == name);
    found.unwrap_or_else(|| panic!("no helper {name}")).0
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ctx => f.write_str("ctx"),
            Self::Imm(value) => write!(f, "{value}"),
            Self::Buf(at) => write!(f, "buf+{at}"),
            Self::Sk => f.write_str("sk"),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Helper { name, args } => {
                let args: Vec<String> = args.iter().map(ToString::to_string).collect();
                write!(f, "{name} {}", args.join(" "))
            }
            Self::Store { offset, size, value } => write!(f, "store {offset} {size} {value}"),
            Self::Fill { at, value } => write!(f, "fill {at} {value}"),
            Self::Packet { offset, value } => write!(f, "packet {offset} {value}"),
        }
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prog_type, packet, len, flags, repeat, ctx, calls } = self;
        write!(f, "{} {packet:?} {len} {flags} {repeat}", *prog_type as u32)?;
        for (offset, value) in ctx {
            write!(f, " {offset}={value}")?;
        }
        for call in calls {
            write!(f, "; {call}")?;
        }
        Ok(())
    }
}

impl FromStr for Trial {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(';').map(str::trim);
        let mut head = parts.next().unwrap_or_default().split_whitespace();
        let mut word = || head.next().ok_or_else(|| format!("{text:?} is cut short"));
        let number = |word: &str| word.parse::<u32>().map_err(|e| format!("{word:?}: {e}"));
        let prog_type = number(word()?)?;
        let packet = word()?;
        let mut trial = Self {
            prog_type: ProgType::from_u32(prog_type).ok_or("no such program type")?,
            packet: Packet::ALL
                .into_iter()
                .find(|p| format!("{p:?}") == packet)
                .ok_or_else(|| format!("no packet {packet}"))?,
            len: number(word()?)?,
            flags: number(word()?)?,
            repeat: number(word()?)?,
            ctx: Vec::new(),
            calls: Vec::new(),
        };
        for pair in head {
            let (offset, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is no assignment"))?;
            trial.ctx.push((number(offset)?, number(value)?));
        }
        trial.calls = parts.map(str::parse).collect::<Result<_, _>>()?;
        Ok(trial)
    }
}

impl FromStr for Call {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |word: &str| word.parse::<i64>().map_err(|e| format!("{word:?}: {e}"));
        match words[..] {
            ["store", offset, size, value] => Ok(Self::Store {
                offset: number(offset)? as i16,
                size: number(size)? as u8,
                value: number(value)? as i32,
            }),
            ["fill", at, value] => Ok(Self::Fill { at: number(at)? as u32, value: number(value)? as u32 }),
            ["packet", offset, value] => {
                Ok(Self::Packet { offset: number(offset)? as i16, value: number(value)? as i32 })
            }
            [name, ref args @ ..] => {
                let arg = |word: &str| match word {
                    "ctx" => Ok(Arg::Ctx),
                    "sk" => Ok(Arg::Sk),
                    _ => match word.strip_prefix("buf+") {
                        Some(at) => Ok(Arg::Buf(number(at)? as u32)),
                        None => Ok(Arg::Imm(number(word)?)),
                    },
                };
                let args = args.iter().map(|word| arg(word)).collect::<Result<_, String>>()?;
                let name = helper::name(helper_id(name)).expect("it was found by its name");
                Ok(Self::Helper { name, args })
            }
            [] => Err("an empty call".into()),
        }
    }
}
