//! Formats as BPF has them: `kernel/bpf/helpers.c: bpf_bprintf_prepare` and `lib/vsprintf.c: bstr_printf`, v6.12.

use crate::bpf::{Addr, Memory};
use crate::uapi::Errno;

/// `MAX_BPRINTF_BIN_ARGS`, bytes: the room for copies of all arguments.
const MAX_BPRINTF_BIN_ARGS: usize = 512;

/// What a format gives.
pub(super) struct Printed {
    /// The text, cut off so that a zero fits behind it.
    pub text: Vec<u8>,
    /// The length of the whole text.
    pub len: usize,
}

/// Prints `args` by `format` into `room` bytes. A pointer that `%p` shows has 16 digits, but those of guest memory; the
/// kernel shows a hash.
pub(super) fn bprintf(mem: &Memory, format: &[u8], args: &[u64], room: usize) -> Result<Printed, Errno> {
    let mut printer = Printer { mem, args: args.iter(), text: Vec::new(), copied: 0 };
    printer.print(format)?;
    let Printer { mut text, .. } = printer;
    let len = text.len();
    text.truncate(room.saturating_sub(1));
    Ok(Printed { text, len })
}

struct Printer<'a> {
    mem: &'a Memory,
    args: std::slice::Iter<'a, u64>,
    text: Vec<u8>,
    /// Bytes the copies of arguments take so far.
    copied: usize,
}

/// The flags and the width after a `%`.
#[derive(Default)]
struct Field {
    zero: bool,
    plus: bool,
    left: bool,
    space: bool,
    width: usize,
}

/// Whether an address or a string may end here: at the end, a blank or punctuation.
fn ends(byte: Option<&u8>) -> bool {
    byte.is_none_or(|b| b.is_ascii_whitespace() || *b == 0x0b || b.is_ascii_punctuation())
}

impl Printer<'_> {
    fn print(&mut self, mut rest: &[u8]) -> Result<(), Errno> {
        while let [byte, after @ ..] = rest {
            let byte = *byte;
            if byte.is_ascii() && !(b' '..0x7f).contains(&byte) && !matches!(byte, b'\t'..=b'\r') {
                return Err(Errno::EINVAL);
            }
            rest = match (byte, after) {
                (b'%', [b'%', after @ ..]) => {
                    self.text.push(b'%');
                    after
                }
                (b'%', after) => self.conversion(after)?,
                (byte, after) => {
                    self.text.push(byte);
                    after
                }
            };
        }
        Ok(())
    }

    /// One conversion; gives what follows it.
    fn conversion<'f>(&mut self, rest: &'f [u8]) -> Result<&'f [u8], Errno> {
        let arg = *self.args.next().ok_or(Errno::EINVAL)?;
        let (field, rest) = Field::parse(rest);
        match rest {
            [b'p', rest @ ..] => self.pointer(&field, arg, rest),
            [b's', rest @ ..] if ends(rest.first()) => {
                let string = self.string(arg)?;
                self.pad(&field, &string);
                Ok(rest)
            }
            [b'c', rest @ ..] => {
                self.take(1)?;
                self.pad(&field, &[arg as u8]);
                Ok(rest)
            }
            _ => self.number(&field, arg, rest),
        }
    }

    fn pointer<'f>(&mut self, field: &Field, arg: u64, rest: &'f [u8]) -> Result<&'f [u8], Errno> {
        match rest {
            [b'k' | b'u', b's', after @ ..] if ends(after.first()) => {
                let string = self.string(arg)?;
                self.pad(field, &string);
            }
            [b'k' | b'u', b's', ..] => return Err(Errno::EINVAL),
            [b'K' | b'x' | b's' | b'S' | b'B', ..] => self.address(field, arg)?,
            [kind @ (b'i' | b'I'), b'4', ..] => {
                let bytes: [u8; 4] = self.copy(arg)?;
                let parts = bytes.map(|b| if *kind == b'i' { format!("{b:03}") } else { b.to_string() });
                self.ip(&parts.join("."))?;
            }
            [kind @ (b'i' | b'I'), b'6', ..] => {
                let bytes: [u8; 16] = self.copy(arg)?;
                let parts: Vec<_> = bytes.chunks(2).map(|b| format!("{:02x}{:02x}", b[0], b[1])).collect();
                self.ip(&parts.join(if *kind == b'i' { "" } else { ":" }))?;
            }
            _ if ends(rest.first()) => self.address(field, arg)?,
            _ => return Err(Errno::EINVAL),
        }
        // Letters and digits after a pointer belong to it, understood or not.
        let skipped = rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        Ok(&rest[skipped..])
    }

    fn number<'f>(&mut self, field: &Field, arg: u64, rest: &'f [u8]) -> Result<&'f [u8], Errno> {
        let longs = rest.iter().take(2).take_while(|&&b| b == b'l').count();
        let Some((kind, after)) = rest[longs..].split_first() else { return Err(Errno::EINVAL) };
        let wide = longs > 0;
        let unsigned = if wide { arg } else { u64::from(arg as u32) };
        let (negative, digits) = match kind {
            b'd' | b'i' => {
                let signed = if wide { arg as i64 } else { i64::from(arg as i32) };
                (signed < 0, signed.unsigned_abs().to_string())
            }
            b'u' => (false, unsigned.to_string()),
            b'x' => (false, format!("{unsigned:x}")),
            b'X' => (false, format!("{unsigned:X}")),
            _ => return Err(Errno::EINVAL),
        };
        self.copied = self.copied.next_multiple_of(4);
        self.take(if wide { 8 } else { 4 })?;
        let signed = matches!(kind, b'd' | b'i');
        let sign = match (signed, negative) {
            (_, true) => "-",
            (true, _) if field.plus => "+",
            (true, _) if field.space => " ",
            _ => "",
        };
        let zeroes =
            if field.zero && !field.left { field.width.saturating_sub(sign.len() + digits.len()) } else { 0 };
        self.pad(field, format!("{sign}{}{digits}", "0".repeat(zeroes)).as_bytes());
        Ok(after)
    }

    fn address(&mut self, field: &Field, arg: u64) -> Result<(), Errno> {
        self.copied = self.copied.next_multiple_of(4);
        self.take(8)?;
        self.pad(field, format!("{arg:016x}").as_bytes());
        Ok(())
    }

    /// An IP address, whose width has no effect.
    fn ip(&mut self, text: &str) -> Result<(), Errno> {
        self.take(text.len() + 1)?;
        self.text.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// The bytes at an address, zeroes if they cannot be read.
    fn copy<const N: usize>(&mut self, addr: Addr) -> Result<[u8; N], Errno> {
        if MAX_BPRINTF_BIN_ARGS - self.copied < N {
            return Err(Errno::ENOSPC);
        }
        Ok(self.mem.guest(addr, N as u64).map_or([0; N], |bytes| bytes.try_into().expect("N bytes")))
    }

    /// The string at an address, empty if it cannot be read, cut off where the room for copies ends.
    fn string(&mut self, addr: Addr) -> Result<Vec<u8>, Errno> {
        let room = MAX_BPRINTF_BIN_ARGS - self.copied;
        if room == 0 {
            return Err(Errno::ENOSPC);
        }
        let mut string = Vec::new();
        while string.len() + 1 < room {
            match self.mem.guest(addr.wrapping_add(string.len() as u64), 1) {
                Ok([0]) => break,
                Ok(byte) => string.extend_from_slice(byte),
                Err(_) => {
                    string.clear();
                    break;
                }
            }
        }
        self.copied += string.len() + 1;
        Ok(string)
    }

    fn take(&mut self, bytes: usize) -> Result<(), Errno> {
        self.copied += bytes;
        if self.copied > MAX_BPRINTF_BIN_ARGS { Err(Errno::ENOSPC) } else { Ok(()) }
    }

    fn pad(&mut self, field: &Field, text: &[u8]) {
        let blanks = vec![b' '; field.width.saturating_sub(text.len())];
        let parts = if field.left { [text, &blanks] } else { [&blanks, text] };
        self.text.extend(parts.concat());
    }
}

impl Field {
    fn parse(mut rest: &[u8]) -> (Self, &[u8]) {
        let mut field = Self::default();
        while let [flag @ (b'0' | b'+' | b'-' | b' '), after @ ..] = rest {
            match flag {
                b'0' => field.zero = true,
                b'+' => field.plus = true,
                b'-' => field.left = true,
                _ => field.space = true,
            }
            rest = after;
        }
        while let [digit @ b'0'..=b'9', after @ ..] = rest {
            field.width = (field.width * 10 + usize::from(digit - b'0')).min(1 << 16);
            rest = after;
        }
        (field, rest)
    }
}
