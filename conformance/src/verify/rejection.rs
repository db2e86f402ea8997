//! A rejected program, readable: the C line, what was in the registers, in words, and where it came from.

mod words;

use super::protocol::{Place, Rejection};

/// What is to be told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Story {
    /// The C line the verifier stopped at.
    pub place: Option<Place>,
    /// The instruction there.
    pub instruction: String,
    /// What the verifier says.
    pub message: String,
    /// What the registers held that the instruction or the message names.
    pub registers: Vec<Register>,
}

/// A register before the instruction that was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Register {
    /// `R1`.
    pub name: String,
    /// What it held, in words.
    pub holds: String,
    /// The C line it was last written at; `None`: not in the part of the log that is known.
    pub written: Option<Place>,
}

/// A line of the log that shows an instruction: its number, its text and the state it left.
fn instruction(line: &str) -> Option<(u32, &str, &str)> {
    let (number, rest) = line.split_once(": (")?;
    let (_, rest) = rest.split_once(") ")?;
    let (text, state) = rest.split_once(';').unwrap_or((rest, ""));
    Some((number.parse().ok()?, text.trim(), state))
}

/// Reads the end of a log of level 1 (`do_check`, `print_insn_state`, kernel/bpf/verifier.c and log.c, v6.12).
pub fn story(rejection: &Rejection) -> Story {
    let lines: Vec<&str> = rejection.log.lines().filter(|line| !line.is_empty()).collect();
    let end = lines.iter().rposition(|line| line.starts_with("verification time ")).unwrap_or(lines.len());
    let lines = &lines[..end];
    let Some(last) = lines.iter().rposition(|line| instruction(line).is_some()) else {
        return Story { message: lines.join("; "), ..Story::default() };
    };
    let (slot, text, _) = instruction(lines[last]).expect("found above");
    let said = lines[last + 1..].iter().filter(|line| !line.starts_with("mark_precise:"));
    let message = said.copied().collect::<Vec<_>>().join("; ");
    let place = |slot: u32| {
        let found = rejection.places.binary_search_by_key(&slot, |(slot, _)| *slot).ok()?;
        Some(rejection.places[found].1.clone())
    };
    let mut registers: Vec<Register> = Vec::new();
    // What the instruction would have written only was of no importance.
    let read =
        text.split_once(" = ").filter(|(target, _)| !target.starts_with('*')).map_or(text, |(_, read)| read);
    for name in named(read).into_iter().chain(named(&message)) {
        if registers.iter().all(|known| known.name != name) {
            let written = lines[..last].iter().rev().filter_map(|line| instruction(line));
            let written =
                written.clone().find(|(_, text, _)| writes(text, &name)).and_then(|(slot, ..)| place(slot));
            let holds = lines[..last].iter().rev().find_map(|line| state(line, &name));
            let holds =
                holds.map_or_else(|| "nothing: it was not written on this path".into(), words::describe);
            registers.push(Register { name, holds, written });
        }
    }
    Story { place: place(slot), instruction: text.to_owned(), message, registers }
}

/// The registers a text names, as `R1`: whether as `r1`, `w1` or `R1`.
fn named(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let number = |word: &str| {
        let number: u8 = word.strip_prefix(['r', 'w', 'R'])?.parse().ok()?;
        (number < 10).then(|| format!("R{number}"))
    };
    words.filter_map(number).collect()
}

/// Whether an instruction writes a register.
fn writes(text: &str, name: &str) -> bool {
    if text.starts_with("call ") {
        return name == "R0";
    }
    let target = text.split(' ').next().unwrap_or_default();
    let assigns = text.split(' ').nth(1).is_some_and(|word| word.ends_with('=') && word != "==");
    assigns && !target.starts_with('*') && named(target).iter().any(|written| written == name)
}

/// The state of a register, if a line shows it: `R1=…` or `R1_w=…`.
fn state<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split(' ').find_map(|word| {
        let rest = word.strip_prefix(name)?;
        let (mark, value) = rest.split_once('=')?;
        (mark.is_empty() || mark.starts_with('_')).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: u32, text: &str) -> Place {
        Place { file: "a.c".into(), line, text: text.into() }
    }

    #[test]
    fn a_lookup_without_a_check() {
        let log = "0: R1=ctx() R10=fp0\n; v = lookup(&m, &k); @ a.c:5\n7: (85) call bpf_map_lookup_elem#1   ; \
                   R0_w=map_value_or_null(id=1,map=counts,ks=4,vs=8)\n; *v += 1; @ a.c:6\n\
                   8: (79) r1 = *(u64 *)(r0 +0)\nR0 invalid mem access 'map_value_or_null'\n\
                   verification time 20 usec\nprocessed 9 insns\n";
        let places = vec![(7, place(5, "v = lookup(&m, &k);")), (8, place(6, "*v += 1;"))];
        let story = story(&Rejection { log: log.into(), places });
        assert_eq!(story.place, Some(place(6, "*v += 1;")));
        assert_eq!(story.message, "R0 invalid mem access 'map_value_or_null'");
        assert_eq!(story.registers[0].name, "R0");
        assert_eq!(story.registers[0].holds, "a value of map counts, or NULL, which was not ruled out");
        assert_eq!(story.registers[0].written, Some(place(5, "v = lookup(&m, &k);")));
    }

    #[test]
    fn what_was_never_written() {
        let log =
            "0: R1=ctx() R10=fp0\n0: (bf) r0 = r2\nR2 !read_ok\nverification time 2 usec\nprocessed 1 insns";
        let story = story(&Rejection { log: log.into(), places: Vec::new() });
        let of = |name: &str| story.registers.iter().find(|r| r.name == name).unwrap().holds.clone();
        assert_eq!(of("R2"), "nothing: it was not written on this path");
        assert_eq!(story.place, None);
    }

    #[test]
    fn a_log_without_an_instruction() {
        let story = story(&Rejection { log: "last insn is not an exit or jmp\n".into(), places: Vec::new() });
        assert_eq!(story.message, "last insn is not an exit or jmp");
    }
}
