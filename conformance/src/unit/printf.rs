//! `printf` as `bpf_trace_printk` has it, with arguments of 64 bits.

use std::fmt::Write as _;

/// A conversion: `%`, flags, width, precision, length, letter.
struct Conversion {
    minus: bool,
    zero: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    /// Bits of the argument that count.
    bits: u32,
    letter: char,
}

/// More than any log has; wider fields are cut, so that a broken format does not fill memory.
const WIDTH_MAX: usize = 256;

/// `format` with every conversion replaced by its argument. `%s` and pointers to addresses have only the argument's bits,
/// which is what is shown; arguments that are missing or too many are said.
pub fn format(format: &str, arguments: &[u64]) -> String {
    let mut out = String::with_capacity(format.len());
    let mut arguments = arguments.iter().copied();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let (conversion, after) = parse(&rest[at + 1..]);
        let text = &rest[at..rest.len() - after.len()];
        rest = after;
        match conversion {
            Some(Conversion { letter: '%', .. }) => out.push('%'),
            Some(conversion) => match arguments.next() {
                Some(argument) => out.push_str(&conversion.show(argument)),
                None => {
                    let _ = write!(out, "{text}(no argument)");
                }
            },
            None => out.push_str(text),
        }
    }
    out.push_str(rest);
    let more: Vec<String> = arguments.map(|argument| format!("{argument:#x}")).collect();
    if !more.is_empty() {
        let _ = write!(out, " (further arguments: {})", more.join(", "));
    }
    out
}

/// Reads what follows a `%`; `None` if it is no conversion. And what comes behind it.
fn parse(text: &str) -> (Option<Conversion>, &str) {
    let mut c = Conversion {
        minus: false,
        zero: false,
        plus: false,
        space: false,
        alternate: false,
        width: 0,
        precision: None,
        bits: 32,
        letter: '%',
    };
    let mut rest = text;
    loop {
        let flag = match rest.chars().next() {
            Some('-') => &mut c.minus,
            Some('0') => &mut c.zero,
            Some('+') => &mut c.plus,
            Some(' ') => &mut c.space,
            Some('#') => &mut c.alternate,
            _ => break,
        };
        *flag = true;
        rest = &rest[1..];
    }
    (c.width, rest) = number(rest);
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = number(after);
        (c.precision, rest) = (Some(precision), after);
    }
    for (length, bits) in
        [("hh", 8), ("h", 16), ("ll", 64), ("l", 64), ("L", 64), ("j", 64), ("z", 64), ("t", 64)]
    {
        if let Some(after) = rest.strip_prefix(length) {
            (c.bits, rest) = (bits, after);
            break;
        }
    }
    match rest.chars().next() {
        Some(letter @ ('d' | 'i' | 'u' | 'x' | 'X' | 'o' | 'c' | 's' | '%')) => {
            c.letter = letter;
            (Some(c), &rest[1..])
        }
        Some('p') => {
            (c.letter, c.bits) = ('p', 64);
            // `%pI4` and its kin: the letters belong to it.
            let more = rest[1..].find(|l: char| !l.is_ascii_alphanumeric()).unwrap_or(rest.len() - 1);
            (Some(c), &rest[1 + more..])
        }
        _ => (None, rest),
    }
}

fn number(text: &str) -> (usize, &str) {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..digits].parse().unwrap_or(0).min(WIDTH_MAX), &text[digits..])
}

impl Conversion {
    fn show(&self, argument: u64) -> String {
        let unsigned = argument & (u64::MAX >> (64 - self.bits));
        let signed = ((argument << (64 - self.bits)) as i64) >> (64 - self.bits);
        let (sign, digits) = match self.letter {
            'd' | 'i' => {
                let sign = match signed {
                    ..0 => "-",
                    _ if self.plus => "+",
                    _ if self.space => " ",
                    _ => "",
                };
                (sign, signed.unsigned_abs().to_string())
            }
            'x' => (if self.alternate { "0x" } else { "" }, format!("{unsigned:x}")),
            'X' => (if self.alternate { "0X" } else { "" }, format!("{unsigned:X}")),
            'o' => (if self.alternate { "0" } else { "" }, format!("{unsigned:o}")),
            'c' => return self.pad(&char::from(argument as u8).to_string()),
            's' | 'p' => ("0x", format!("{argument:x}")),
            _ => ("", unsigned.to_string()),
        };
        let mut digits = digits;
        let precision = match self.precision {
            Some(precision) => precision,
            None if self.zero && !self.minus => self.width.saturating_sub(sign.len()),
            None => 1,
        };
        if digits.len() < precision {
            digits.insert_str(0, &"0".repeat(precision - digits.len()));
        }
        self.pad(&format!("{sign}{digits}"))
    }

    fn pad(&self, text: &str) -> String {
        let width = self.width;
        if self.minus { format!("{text:<width$}") } else { format!("{text:>width$}") }
    }
}

#[cfg(test)]
mod tests {
    use super::format;

    #[test]
    fn as_printf_in_c() {
        for (text, arguments, expected) in [
            ("none", &[][..], "none"),
            ("%d %i", &[u64::MAX, 0xffff_ffff], "-1 -1"),
            ("%u", &[u64::MAX], "4294967295"),
            ("%ld %lld", &[u64::MAX, 1 << 63], "-1 -9223372036854775808"),
            ("%lu|%llu|%zu", &[u64::MAX, 5, 6], "18446744073709551615|5|6"),
            ("%x %X %#x %llx", &[0xabc, 0xabc, 255, u64::MAX], "abc ABC 0xff ffffffffffffffff"),
            ("%hd %hhu %hx", &[0x1_8000, 0x1ff, 0x1_2345], "-32768 255 2345"),
            ("%c%c", &[b'o'.into(), b'k'.into()], "ok"),
            ("[%4d|%-4d|%04x|%+d|% d]", &[7, 7, 10, 7, 7], "[   7|7   |000a|+7| 7]"),
            ("%.3u|%5.2d", &[7, 7], "007|   07"),
            ("%o %#o", &[8, 8], "10 010"),
            ("100%%", &[], "100%"),
            ("%s at %p, %pI4!", &[0x10, 0x20, 0x30], "0x10 at 0x20, 0x30!"),
            ("%d and %llu", &[1], "1 and %llu(no argument)"),
            ("nothing", &[1, 255], "nothing (further arguments: 0x1, 0xff)"),
            ("%k %", &[], "%k %"),
            ("%é %lé", &[], "%é %lé"),
        ] {
            assert_eq!(format(text, arguments), expected, "{text}");
        }
        assert!(format("%99999999d", &[1]).len() < 1000);
    }
}
