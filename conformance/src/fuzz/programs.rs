//! Random programs on two planes: many in one probe, and where they differ the one that does, made small.

use bpftwin_sim::uapi::ProgType;

use super::generate::{BLOCK, Code, MEMORY_AT, Node, Program, REGISTERS, RUNS, STACK_AT};
use crate::bytes::Bytes;
use crate::case::Network;
use crate::observation::Outcome;
use crate::probe::{Probe, ProbeRun, ProbeRunSeen, ProbeSeen};

/// The probe that runs `programs`, one after the other.
pub fn probe(programs: &[Program]) -> Probe {
    let code = Code::of(programs);
    let runs = (0..RUNS)
        .map(|run| ProbeRun {
            value: Bytes(programs.iter().flat_map(|program| &program.inputs[run]).copied().collect()),
            data: Bytes(vec![0; 14]),
            ctx: Bytes::default(),
            repeat: 1,
            flags: 0,
        })
        .collect();
    Probe {
        prog_type: ProgType::SchedCls as u32,
        attach_type: 0,
        slots: Bytes(code.slots.iter().flat_map(|slot| slot.to_u64().to_le_bytes()).collect()),
        value_at: code.value_at,
        network: Network::default(),
        runs,
    }
}

/// Whether two planes saw the same, and if not, what: one line for each register, stack slot or word of memory.
pub fn differences(left: &ProbeSeen, right: &ProbeSeen) -> Vec<String> {
    let (left, right) = match (left, right) {
        (ProbeSeen::Ran(left), ProbeSeen::Ran(right)) => (left, right),
        (left, right) => {
            let says = |seen: &ProbeSeen| match seen {
                ProbeSeen::Ran(_) => "accepted".to_owned(),
                ProbeSeen::Refused(why) => format!("refused: {}", why.lines().last().unwrap_or_default()),
            };
            let (left, right) = (says(left), says(right));
            return if left == right { Vec::new() } else { vec![format!("sim {left}; kernel {right}")] };
        }
    };
    let mut lines = Vec::new();
    for (index, (l, r)) in left.iter().zip(right).enumerate() {
        if l.outcome != r.outcome {
            lines.push(format!("run {index}: sim {}; kernel {}", ended(l), ended(r)));
        }
        if l.value == r.value {
            continue;
        }
        let words = l.value.chunks(8).zip(r.value.chunks(8)).enumerate();
        for (word, (l, r)) in words.filter(|(_, (l, r))| l != r) {
            let text = |bytes: &[u8]| {
                format!("{:#x}", bytes.iter().rev().fold(0, |n: u64, b| n << 8 | u64::from(*b)))
            };
            lines.push(format!("run {index}: {}: sim {}; kernel {}", place(word), text(l), text(r)));
        }
    }
    lines
}

fn ended(seen: &ProbeRunSeen) -> String {
    match &seen.outcome {
        Outcome::Done { retval, .. } => format!("returned {retval}"),
        Outcome::Errno(errno) => format!("errno {errno}"),
        Outcome::Fault(what) => format!("fault: {what}"),
        Outcome::NotDone => "not done".into(),
        Outcome::Walked(_) => unreachable!("a probe sends no frames"),
    }
}

/// What word `word` of a value is.
fn place(word: usize) -> String {
    let (program, at) = (word * 8 / BLOCK, word * 8 % BLOCK);
    let what = if at < REGISTERS * 8 {
        format!("r{}", at / 8)
    } else if at < MEMORY_AT {
        format!("stack r10 - {}", MEMORY_AT - at)
    } else {
        format!("memory + {}", at - MEMORY_AT)
    };
    debug_assert!(!(8 * REGISTERS..STACK_AT).contains(&at), "nothing writes between registers and stack");
    if program == 0 { what } else { format!("program {program}, {what}") }
}

/// Makes a program smaller as long as `differs`.
pub fn shrink(program: &Program, differs: &mut dyn FnMut(&Program) -> bool) -> Program {
    let mut best = program.clone();
    loop {
        let before = best.clone();
        let mut place = 0;
        'places: loop {
            for how in [How::Remove, How::Then, How::Otherwise] {
                let mut candidate = best.clone();
                let mut left = place;
                let changed = change(&mut candidate.body, &mut left, how)
                    .or_else(|| change(&mut candidate.function, &mut left, how));
                match changed {
                    None => break 'places,
                    Some(true) if differs(&candidate) => {
                        best = candidate;
                        continue 'places;
                    }
                    Some(_) => {}
                }
            }
            place += 1;
        }
        for (run, word) in (0..RUNS).flat_map(|run| (0..BLOCK / 8).map(move |word| (run, word))) {
            let mut candidate = best.clone();
            candidate.inputs[run][word * 8..word * 8 + 8].fill(0);
            if candidate != best && differs(&candidate) {
                best = candidate;
            }
        }
        if best == before {
            return best;
        }
    }
}

/// How a node is made less.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Remove,
    /// Of two ways only the one.
    Then,
    /// Of two ways only the other.
    Otherwise,
}

/// Changes node `left`, counted from the outside in. `None`: there are not so many, and `left` has gone down by how many
/// there are; else whether something changed.
fn change(nodes: &mut Vec<Node>, left: &mut usize, how: How) -> Option<bool> {
    for at in 0..nodes.len() {
        if *left == 0 {
            let only = match (how, &nodes[at]) {
                (How::Remove, _) => Vec::new(),
                (How::Then, Node::If { then, .. }) => then.clone(),
                (How::Otherwise, Node::If { otherwise, .. }) => otherwise.clone(),
                _ => return Some(false),
            };
            nodes.splice(at..=at, only);
            return Some(true);
        }
        *left -= 1;
        let done = match &mut nodes[at] {
            Node::If { then, otherwise, .. } => {
                change(then, left, how).or_else(|| change(otherwise, left, how))
            }
            Node::Loop { body, .. } => change(body, left, how),
            Node::Step(_) | Node::Call(_) | Node::Leave(_) => None,
        };
        if done.is_some() {
            return done;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plane::probe::SimProber;
    use bpftwin_sim::uapi::Release;
    use bpftwin_sim::uapi::insn::{BPF_ALU64, BPF_MUL};

    fn steps(program: &Program) -> usize {
        Code::of(std::slice::from_ref(program)).slots.len()
    }

    #[test]
    fn programs_run_to_their_end_and_are_made_again_from_their_index() {
        let mut sim = SimProber::new(Release::V6_18, 2);
        let programs: Vec<Program> = (0..400).map(|index| Program::random(7, index, None, true)).collect();
        assert_eq!(programs[77], Program::random(7, 77, None, true));
        for batch in programs.chunks(50) {
            let probe = probe(batch);
            let seen = sim.run(&probe).unwrap();
            let ProbeSeen::Ran(runs) = &seen else { panic!("{seen:?}") };
            for (run, asked) in runs.iter().zip(&probe.runs) {
                assert!(matches!(run.outcome, Outcome::Done { retval: 0, .. }), "{:?}", run.outcome);
                assert_ne!(run.value, asked.value, "something was written");
            }
        }
    }

    #[test]
    fn a_difference_is_shrunk_to_what_makes_it() {
        let multiplies =
            |nodes: &[Node]| format!("{nodes:?}").contains(&format!("code: {}", BPF_ALU64 | BPF_MUL));
        let program = (0..).map(|index| Program::random(3, index, None, true));
        let program = program.into_iter().find(|p| multiplies(&p.body) && p.body.len() > 10).unwrap();
        let small = shrink(&program, &mut |candidate| multiplies(&candidate.body));
        assert!(multiplies(&small.body) && small.body.len() == 1, "{:?}", small.body);
        assert!(small.inputs.iter().flatten().all(|byte| *byte == 0));
        assert!(steps(&small) < steps(&program));
    }

    #[test]
    fn a_difference_names_its_place() {
        let run = |value: Vec<u8>| ProbeRunSeen { outcome: Outcome::Errno(0), value: Bytes(value) };
        let (zero, mut other) = (vec![0; 2 * BLOCK], vec![0; 2 * BLOCK]);
        for at in [16, STACK_AT, MEMORY_AT + 8, BLOCK] {
            other[at] = 5;
        }
        let seen = |value| ProbeSeen::Ran(vec![run(value)]);
        assert_eq!(
            differences(&seen(zero), &seen(other)),
            [
                "run 0: r2: sim 0x0; kernel 0x5",
                "run 0: stack r10 - 64: sim 0x0; kernel 0x5",
                "run 0: memory + 8: sim 0x0; kernel 0x5",
                "run 0: program 1, r0: sim 0x0; kernel 0x5"
            ]
        );
    }
}
