//! The verifier's log: its statistics, and what it did at each instruction.

use bpftwin_conformance::verify::protocol::{Counts, LineSeen, Place};

/// What `print_verification_stats` (kernel/bpf/verifier.c, v6.12) says at a log's end, and the stack of each function.
/// `None`: the verifier did not get to its end.
pub fn statistics(log: &str) -> Option<(Counts, Vec<u32>)> {
    let mut counts = Counts::default();
    let (mut stack, mut processed) = (Vec::new(), false);
    for line in log.lines().rev().take(100) {
        if let Some(rest) = line.strip_prefix("verification time ") {
            counts.time = rest.split(' ').next()?.parse().ok()?;
        } else if let Some(rest) = line.strip_prefix("stack depth ") {
            stack = rest.split('+').map(|depth| depth.trim().parse()).collect::<Result<_, _>>().ok()?;
        } else if let Some(rest) = line.strip_prefix("processed ") {
            let words: Vec<&str> = rest.split_whitespace().collect();
            let after = |name| {
                let at = words.iter().position(|word| *word == name)?;
                words.get(at + 1)?.parse().ok()
            };
            counts.insns = words.first()?.parse().ok()?;
            counts.max_states_per_insn = after("max_states_per_insn")?;
            counts.states = after("total_states")?;
            counts.peak_states = after("peak_states")?;
            counts.mark_read = after("mark_read").unwrap_or(0);
            processed = true;
        }
    }
    processed.then_some((counts, stack))
}

/// What a log of level 2 says of every instruction, line by line.
#[derive(Debug)]
pub struct Tally {
    visits: Vec<u64>,
    states: Vec<u64>,
}

impl Tally {
    /// For a program of `slots` slots.
    pub fn new(slots: usize) -> Self {
        Self { visits: vec![0; slots], states: vec![0; slots] }
    }

    /// Takes up one line of the log (`do_check`, kernel/bpf/verifier.c, v6.12): `12: (b7) …` is an instruction processed,
    /// `12: safe` one that need not be followed further, `from 12 to 15: …` a state that the branch at 12 had put aside.
    pub fn line(&mut self, line: &[u8]) {
        if let Some(rest) = line.strip_prefix(b"from ") {
            let Some((from, rest)) = number(rest) else { return };
            let Some((to, rest)) = rest.strip_prefix(b" to ").and_then(number) else { return };
            count(&mut self.states, from);
            let rest = rest.strip_prefix(b" (speculative execution)").unwrap_or(rest);
            if rest == b": safe" {
                count(&mut self.visits, to);
            }
        } else if let Some((at, rest)) = number(line)
            && let Some(rest) = rest.strip_prefix(b": ")
            && (rest == b"safe" || matches!(rest, [b'(', _, _, b')', b' ', ..]))
        {
            count(&mut self.visits, at);
        }
    }

    /// All instructions processed.
    pub fn visits(&self) -> u64 {
        self.visits.iter().sum()
    }

    /// The same by C lines, which are given by their first slot.
    pub fn by_line(&self, places: &[(u32, Place)]) -> Vec<LineSeen> {
        let mut lines: Vec<LineSeen> = Vec::new();
        let mut index = std::collections::BTreeMap::new();
        let mut places = places.iter().peekable();
        let mut place = Place::default();
        for (slot, (&visits, &states)) in self.visits.iter().zip(&self.states).enumerate() {
            while let Some((_, next)) = places.next_if(|(first, _)| *first as usize <= slot) {
                place = next.clone();
            }
            if visits == 0 && states == 0 {
                continue;
            }
            let known = *index.entry((place.file.clone(), place.line)).or_insert_with(|| {
                lines.push(LineSeen { place: place.clone(), visits: 0, states: 0 });
                lines.len() - 1
            });
            lines[known].visits += visits;
            lines[known].states += states;
        }
        lines
    }
}

/// The instruction that a line of a log shows.
pub fn instruction(line: &str) -> Option<u32> {
    let (slot, rest) = number(line.as_bytes())?;
    matches!(rest, [b':', b' ', b'(', _, _, b')', ..]).then_some(slot as u32)
}

fn count(counts: &mut [u64], slot: usize) {
    if let Some(count) = counts.get_mut(slot) {
        *count += 1;
    }
}

fn number(text: &[u8]) -> Option<(usize, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    Some((number, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_several_kernels() {
        let log = "verification time 45 usec\nstack depth 40+0+8\nprocessed 93 insns (limit 1000000) \
                   max_states_per_insn 1 total_states 9 peak_states 8 mark_read 2\n";
        let (counts, stack) = statistics(log).unwrap();
        let expected =
            Counts { insns: 93, states: 9, peak_states: 8, max_states_per_insn: 1, mark_read: 2, time: 45 };
        assert_eq!((counts, stack), (expected, vec![40, 0, 8]));
        let (counts, _) = statistics(&log.replace(" mark_read 2", "")).unwrap();
        assert_eq!(counts, Counts { mark_read: 0, ..expected });
        assert_eq!(statistics("attach_btf_id 3 is not a function\n"), None);
    }

    #[test]
    fn a_log_is_counted_by_instruction_and_line() {
        let mut tally = Tally::new(4);
        for line in "func#0 @0\n0: R1=ctx() R10=fp0\n; int x = 0; @ a.c:3\n0: (b7) r1 = 0 ; R1_w=0\n\
                     1: (15) if r1 == 0x0 goto pc+1\nmark_precise: frame0: regs=r1 stack= before 0: (b7) r1 = 0\n\
                     2: (95) exit\n\nfrom 1 to 3: R1=1\n3: (95) exit\n\nfrom 1 to 3: safe\n\
                     from 1 to 3 (speculative execution): R1=1\n3: safe\n9: (95) exit"
            .lines()
        {
            tally.line(line.as_bytes());
        }
        assert_eq!((&tally.visits[..], &tally.states[..]), (&[1, 1, 1, 3][..], &[0, 3, 0, 0][..]));
        let place = |line| Place { file: "a.c".into(), line, text: String::new() };
        let lines = tally.by_line(&[(0, place(3)), (1, place(5)), (3, place(3))]);
        let seen: Vec<_> = lines.iter().map(|line| (line.place.line, line.visits, line.states)).collect();
        assert_eq!(seen, [(3, 4, 0), (5, 2, 3)]);
    }
}
