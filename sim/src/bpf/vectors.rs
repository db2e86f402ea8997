//! ISA vectors: small programs with the `r0` they must return, as data, for every engine and for the kernel.
//!
//! ```text
//! # a comment
//! adds with carry out :: r0 = -1; r0 += 2; exit => 1
//! refuses a write to r10 :: r10 = 1; exit => ! frame pointer is read only
//! ```
//!
//! A vector may go over several lines: it begins with `name ::` and ends with the line that has `=>`. `r0` is given in
//! decimal (with or without a sign) or hexadecimal. `!` says that the program is refused before it runs, for a reason
//! that contains the text. All vectors run with [`PACKET`] as their packet.
//!
//! `.program` begins another program. Program `n`, counted from 0, stands in slot `n` of a prog array of
//! [`PROG_ARRAY_ENTRIES`], which the text calls `progs`; the other slots are empty.

use super::asm::{self, AsmError, Assembly};

/// The packet under every vector: an Ethernet frame of an experimental protocol, byte `n` of its payload being
/// `0x80 + n`.
pub const PACKET: [u8; 64] = {
    let mut packet = [0; 64];
    let mut at = 0;
    while at < packet.len() {
        packet[at] = match at {
            0..12 => 0x10 + at as u8,
            12 => 0x88,
            13 => 0xb5,
            _ => 0x80 + (at as u8 - 14),
        };
        at += 1;
    }
    packet
};

/// Slots of the prog array `progs`.
pub const PROG_ARRAY_ENTRIES: u32 = 8;

/// What a vector must do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Return this.
    R0(u64),
    /// Be refused, for a reason that contains this.
    Refused(String),
}

/// One program and what it must do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vector {
    /// What it is about.
    pub name: String,
    /// Assembly.
    pub text: String,
    /// What it must do.
    pub expected: Expected,
}

impl Vector {
    /// Its programs; the first one is run.
    pub fn assemble(&self) -> Result<Vec<Assembly>, AsmError> {
        self.text.split(".program").map(asm::assemble).collect()
    }

    /// The same program returning the high half of its `r0`: a kernel shows only 32 bits of what a program returns.
    /// `None` where there are several programs, whose exits may return to a caller.
    pub fn assemble_high_half(&self) -> Option<Result<Assembly, AsmError>> {
        if self.text.contains(".program") {
            return None;
        }
        let statements: Vec<&str> = asm::statements(&self.text).collect();
        let main = statements.iter().position(|s| s.starts_with(".func ")).unwrap_or(statements.len());
        let mut shifted: Vec<&str> =
            statements[..main].iter().map(|&s| if s == "exit" { "goto high_half" } else { s }).collect();
        shifted.extend(["high_half:", "r0 >>= 32", "exit"]);
        shifted.extend(&statements[main..]);
        Some(asm::assemble(&shifted.join("\n")))
    }
}

/// Reads a file of vectors.
pub fn parse(text: &str) -> Result<Vec<Vector>, String> {
    let mut vectors = Vec::new();
    let mut open: Option<(String, String)> = None;
    for (number, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line)) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let rest = match line.split_once("::") {
            Some((name, rest)) => {
                if let Some((unfinished, _)) = &open {
                    return Err(format!("line {number}: \"{unfinished}\" has no result"));
                }
                open = Some((name.trim().to_owned(), String::new()));
                rest
            }
            None => line,
        };
        let Some((_, body)) = &mut open else {
            return Err(format!("line {number}: a vector begins with a name and ::"));
        };
        let (code, result) = match rest.split_once("=>") {
            Some((code, result)) => (code, Some(result.trim())),
            None => (rest, None),
        };
        body.push_str(code.trim());
        body.push('\n');
        if let Some(result) = result {
            let expected = expectation(result).ok_or(format!("line {number}: no result: \"{result}\""))?;
            let (name, text) = open.take().ok_or("a vector is open")?;
            vectors.push(Vector { name, text, expected });
        }
    }
    match open {
        Some((name, _)) => Err(format!("\"{name}\" has no result")),
        None => Ok(vectors),
    }
}

fn expectation(result: &str) -> Option<Expected> {
    if let Some(reason) = result.strip_prefix('!') {
        let reason = reason.trim();
        return (!reason.is_empty()).then(|| Expected::Refused(reason.to_owned()));
    }
    let value = match result.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => result.parse().ok().or_else(|| result.parse::<i64>().ok().map(|v| v as u64)),
    };
    value.map(Expected::R0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_vectors_or_says_which_line_is_wrong() {
        let text = "# note\none :: r0 = 1; exit => 1\nlong ::\n  r0 = -1\n  exit => -1\nbad :: r9 = r11; exit => ! R11\n";
        let vectors = parse(text).unwrap();
        let names: Vec<_> = vectors.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["one", "long", "bad"]);
        assert_eq!(vectors[1].expected, Expected::R0(u64::MAX));
        assert_eq!(vectors[2].expected, Expected::Refused("R11".to_owned()));
        for (text, error) in [
            ("r0 = 1", "line 1: a vector begins with a name and ::"),
            ("a :: exit\nb :: exit => 1", "line 2: \"a\" has no result"),
            ("a :: exit", "\"a\" has no result"),
            ("a :: exit => one", "line 1: no result: \"one\""),
            ("a :: exit => !", "line 1: no result: \"!\""),
        ] {
            assert_eq!(parse(text).unwrap_err(), error);
        }
    }

    #[test]
    fn the_high_half_is_returned_from_every_exit_of_the_main_function_only() {
        let vector = Vector {
            name: String::new(),
            text: "if r1 == 0 goto +1\nexit\ncall f\nexit\n.func f\nexit".to_owned(),
            expected: Expected::R0(0),
        };
        let expected = "if r1 == 0 goto +1; goto h; call f; goto h; h: \n r0 >>= 32; exit; .func f; exit";
        let expected = expected.replace("h: ", "h:");
        assert_eq!(vector.assemble_high_half(), Some(asm::assemble(&expected)));
        let several = Vector { text: "exit\n.program\nexit".to_owned(), ..vector };
        assert_eq!((several.assemble_high_half(), several.assemble().map(|p| p.len())), (None, Ok(2)));
    }
}
