//! Text: numbers in it, comparing it, printing it.

use super::format::{Printed, bprintf};
use super::{Arg, BASE, Call, Failure, Helper, Ret};
use crate::bpf::Addr;
use crate::uapi::Errno;
use crate::uapi::helper::id;

/// `BPF_STRTOX_BASE_MASK`.
const BPF_STRTOX_BASE_MASK: u64 = 0x1f;
/// `MAX_BPRINTF_VARARGS`.
const MAX_BPRINTF_VARARGS: u64 = 12;
/// `MAX_BPRINTF_BUF`, bytes.
const MAX_BPRINTF_BUF: usize = 1024;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::strtol, BASE, &[Arg::Mem, Arg::Size, Arg::Any, Arg::Fixed(8)], strtol,
        "kernel/bpf/helpers.c: bpf_strtol"),
    Helper::new(id::strtoul, BASE, &[Arg::Mem, Arg::Size, Arg::Any, Arg::Fixed(8)], strtoul,
        "kernel/bpf/helpers.c: bpf_strtoul"),
    Helper::new(id::strncmp, BASE, &[Arg::Mem, Arg::Size, Arg::Any], strncmp, "kernel/bpf/helpers.c: bpf_strncmp"),
    Helper::new(id::snprintf, BASE, &[Arg::MemOutOrNull, Arg::SizeOrZero, Arg::Any, Arg::MemOrNull, Arg::SizeOrZero], snprintf,
        "kernel/bpf/helpers.c: bpf_snprintf"),
    Helper::new(id::trace_printk, BASE, &[Arg::Mem, Arg::Size, Arg::Any, Arg::Any, Arg::Any], trace_printk,
        "kernel/trace/bpf_trace.c: bpf_trace_printk"),
    Helper::new(id::trace_vprintk, BASE, &[Arg::Mem, Arg::Size, Arg::MemOrNull, Arg::SizeOrZero], trace_vprintk,
        "kernel/trace/bpf_trace.c: bpf_trace_vprintk"),
];

/// A number read from text.
struct Number {
    negative: bool,
    magnitude: u64,
    /// Bytes read, blanks and sign included.
    consumed: u64,
}

/// `isspace`, as the kernel has it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0)
}

/// `__bpf_strtoull`.
fn parse(text: &[u8], flags: u64) -> Result<Number, Errno> {
    let base = flags & BPF_STRTOX_BASE_MASK;
    if !matches!(base, 0 | 8 | 10 | 16) || flags & !BPF_STRTOX_BASE_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    let blanks = text.iter().take_while(|&&byte| is_space(byte)).count();
    let negative = text.get(blanks) == Some(&b'-');
    let start = blanks + usize::from(negative);
    let digits = &text[start..];
    let digits = &digits[..digits.len().min(63)];
    let is_x = |at: usize| digits.get(at).is_some_and(|&byte| byte.eq_ignore_ascii_case(&b'x'));
    let base = match base {
        0 if digits.first() != Some(&b'0') => 10,
        0 if is_x(1) && digits.get(2).is_some_and(u8::is_ascii_hexdigit) => 16,
        0 => 8,
        base => base,
    };
    let prefix = if base == 16 && digits.first() == Some(&b'0') && is_x(1) { 2 } else { 0 };
    let mut magnitude = 0_u64;
    let mut len = 0;
    let mut overflow = false;
    for &byte in &digits[prefix..] {
        let Some(digit) = (byte as char).to_digit(base as u32) else { break };
        let next = magnitude.checked_mul(base).and_then(|m| m.checked_add(digit.into()));
        overflow |= next.is_none();
        magnitude = next.unwrap_or(0);
        len += 1;
    }
    if overflow {
        return Err(Errno::ERANGE);
    }
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    Ok(Number { negative, magnitude, consumed: (start + prefix + len) as u64 })
}

fn strtol(call: &mut Call<'_, '_>) -> Ret {
    call.convert(|number| {
        let signed = if number.negative {
            0_i64.checked_sub_unsigned(number.magnitude)
        } else {
            i64::try_from(number.magnitude).ok()
        };
        signed.map(|value| value as u64).ok_or(Errno::ERANGE)
    })
}

fn strtoul(call: &mut Call<'_, '_>) -> Ret {
    call.convert(|number| if number.negative { Err(Errno::EINVAL) } else { Ok(number.magnitude) })
}

/// As the generic one of `lib/string.c`: -1, 0 or 1.
fn strncmp(call: &mut Call<'_, '_>) -> Ret {
    let [first, size, second, _, _] = call.args;
    for index in 0..size {
        let (a, b) = (call.mem(first + index, 1)?[0], call.mem(second + index, 1)?[0]);
        if a != b {
            return Ok(if a < b { u64::MAX } else { 1 });
        }
        if a == 0 {
            break;
        }
    }
    Ok(0)
}

fn snprintf(call: &mut Call<'_, '_>) -> Ret {
    let [out, room, format, args, args_size] = call.args;
    let args = call.print_args(args, args_size)?;
    let format = call.string(format)?;
    let Printed { mut text, len } = bprintf(&call.machine.mem, &format, &args, room as usize)?;
    if room > 0 {
        text.push(0);
        call.mem_mut(out, text.len() as u64)?.copy_from_slice(&text);
    }
    Ok(len as u64 + 1)
}

fn trace_printk(call: &mut Call<'_, '_>) -> Ret {
    let [format, size, args @ ..] = call.args;
    call.print(format, size, &args)
}

fn trace_vprintk(call: &mut Call<'_, '_>) -> Ret {
    let [format, size, args, args_size, _] = call.args;
    let args = call.print_args(args, args_size)?;
    call.print(format, size, &args)
}

impl Call<'_, '_> {
    /// Reads the number in arguments 1 and 2, writes what `value` makes of it, or 0, to argument 4.
    fn convert(&mut self, value: impl FnOnce(&Number) -> Result<u64, Errno>) -> Ret {
        let [text, len, flags, result, _] = self.args;
        self.mem_mut(result, 8)?.fill(0);
        let number = parse(self.mem(text, len)?, flags)?;
        let value = value(&number)?;
        self.mem_mut(result, 8)?.copy_from_slice(&value.to_le_bytes());
        Ok(number.consumed)
    }

    /// The bytes before the terminating zero.
    fn string(&self, addr: Addr) -> Result<Vec<u8>, Failure> {
        let mut text = Vec::new();
        loop {
            match self.mem(addr + text.len() as u64, 1)?[0] {
                0 => return Ok(text),
                byte => text.push(byte),
            }
        }
    }

    /// The arguments of a format, in an array of 64-bit numbers.
    fn print_args(&self, addr: Addr, size: u64) -> Result<Vec<u64>, Failure> {
        if !size.is_multiple_of(8) || size > MAX_BPRINTF_VARARGS * 8 || (size > 0 && addr == 0) {
            return Err(Errno::EINVAL.into());
        }
        let bytes = self.mem(addr, size)?;
        Ok(bytes.chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().expect("8 bytes"))).collect())
    }

    /// Prints to the trace pipe.
    fn print(&mut self, format: Addr, size: u64, args: &[u64]) -> Ret {
        let format = self.mem(format, size)?;
        let end = format.iter().position(|&byte| byte == 0).ok_or(Errno::EINVAL)?;
        let Printed { text, len } = bprintf(&self.machine.mem, &format[..end], args, MAX_BPRINTF_BUF)?;
        self.run.env.trace_pipe.push(String::from_utf8_lossy(&text).into_owned());
        Ok(len as u64)
    }
}
