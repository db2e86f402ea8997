//! What is known of registers before each instruction, so that machine code moves no more of them than it must.

use std::ops::Range;

use crate::bpf::insn::{Insn, Op, Reg};
use crate::uapi::helper::id;

/// Registers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Set(u16);

impl Set {
    const NONE: Self = Self(0);
    /// What a call leaves nothing in, and its result.
    const CALLED: Self = Self(0b11_1111);
    /// What helpers get.
    const ARGUMENTS: Self = Self(0b11_1110);
    /// What a function of the program has its own of, and its caller keeps.
    const KEPT: Self = Self(0b111_1100_0000);

    const fn of(register: Reg) -> Self {
        Self(1 << register as u16)
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it is one of them.
    pub const fn has(self, register: Reg) -> bool {
        self.0 >> register as u16 & 1 != 0
    }

    /// All of them, ascending.
    pub fn iter(self) -> impl Iterator<Item = Reg> {
        Reg::ALL.into_iter().filter(move |&register| self.has(register))
    }
}

/// When an instruction shows registers to code that is not the function's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    Never,
    /// On a way that is rarely taken and leads back; the other way leaves what is shown behind.
    Seldom,
    /// Always; whoever sees them writes back what it changes.
    Always,
}

/// What is known before one instruction.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Known {
    /// Registers whose copy in `Cx` is out of date.
    pub stale: Set,
    /// Registers that may well point to the context.
    pub context: Set,
}

/// What is known of a function.
pub(super) struct Flow {
    known: Vec<Known>,
    /// Registers whose value at the beginning matters.
    pub entry: Set,
    /// Whether it neither writes memory nor calls anything.
    pub only_reads: bool,
    first: usize,
}

impl Flow {
    /// Looks at the function that `range` of `code` is.
    pub fn new(code: &[Insn], range: Range<usize>) -> Self {
        let first = range.start;
        let function = &code[range];
        let mut known = vec![Known::default(); function.len()];
        known[0].context = Set::of(Reg::R1);
        settle(function.len(), false, |at| {
            let after = after(function[at], known[at]);
            successors(function, at).fold(false, |changed, to| {
                let merged = Known {
                    stale: known[to].stale.or(after.stale),
                    context: known[to].context.or(after.context),
                };
                let differs = known[to] != merged;
                known[to] = merged;
                changed || differs
            })
        });
        let mut live = vec![Set::NONE; function.len()];
        settle(function.len(), true, |at| {
            let insn = function[at];
            let later = successors(function, at).fold(Set::NONE, |set, to| set.or(live[to]));
            let shown = if shows(insn) == Shows::Never { Set::NONE } else { known[at].stale };
            let needed = later.without(writes(insn)).or(reads(insn)).or(shown);
            let differs = live[at] != needed;
            live[at] = needed;
            differs
        });
        let only_reads = function.iter().all(|insn| !touches(insn.op));
        Self { known, entry: live[0], only_reads, first }
    }

    /// What is known before the instruction `pc`.
    pub fn before(&self, pc: usize) -> Known {
        self.known[pc - self.first]
    }
}

/// Goes over all instructions until nothing changes.
fn settle(len: usize, backwards: bool, mut visit: impl FnMut(usize) -> bool) {
    loop {
        let mut changed = false;
        for step in 0..len {
            changed |= visit(if backwards { len - 1 - step } else { step });
        }
        if !changed {
            return;
        }
    }
}

fn successors(function: &[Insn], at: usize) -> impl Iterator<Item = usize> {
    let insn = function[at];
    let next = (!matches!(insn.op, Op::Exit | Op::Ja)).then_some(at + 1);
    let target = insn.op.is_jump().then(|| (at + 1).wrapping_add_signed(insn.off as isize));
    next.into_iter().chain(target).filter(|&to| to < function.len())
}

fn after(insn: Insn, known: Known) -> Known {
    let written = writes(insn);
    let copies = match insn.op {
        Op::Mov64Reg => known.context.has(insn.src),
        Op::StackLoad8 => true,
        _ => false,
    };
    let context = known.context.without(written);
    let stale = match shows(insn) {
        Shows::Always if insn.op == Op::CallLocal => Set::KEPT,
        Shows::Always => Set::NONE,
        Shows::Never | Shows::Seldom => known.stale.or(written),
    };
    Known { stale, context: if copies { context.or(Set::of(insn.dst)) } else { context } }
}

/// Whether the instruction is a call of `bpf_map_lookup_elem`.
pub(super) fn looks_up(insn: Insn) -> bool {
    insn.op == Op::CallHelper && insn.imm == u64::from(id::map_lookup_elem)
}

fn shows(insn: Insn) -> Shows {
    match insn.op {
        Op::CallHelper if looks_up(insn) => Shows::Seldom,
        Op::CallHelper | Op::CallKfunc | Op::CallLocal | Op::TailCall | Op::LdAbs | Op::LdInd => {
            Shows::Always
        }
        Op::Atomic1 | Op::Atomic2 | Op::Atomic4 | Op::Atomic8 | Op::Exit => Shows::Always,
        op if between(op, Op::Load1, Op::StoreImm8) || op == Op::MayGoto => Shows::Seldom,
        op if op.is_jump() && insn.off < 0 => Shows::Seldom,
        _ => Shows::Never,
    }
}

/// Registers the instruction gives another value.
fn writes(insn: Insn) -> Set {
    match insn.op {
        Op::CallHelper | Op::CallKfunc | Op::CallLocal => Set::CALLED,
        op if op.writes_dst() => Set::of(insn.dst),
        _ => Set::NONE,
    }
}

/// Registers whose variables are read; what is done elsewhere reads what it was shown.
fn reads(insn: Insn) -> Set {
    let (dst, src) = (Set::of(insn.dst), Set::of(insn.src));
    match insn.op {
        Op::CallHelper if looks_up(insn) => Set::of(Reg::R1).or(Set::of(Reg::R2)),
        Op::CallHelper | Op::CallKfunc => Set::ARGUMENTS,
        Op::MovImm | Op::Ja | Op::MayGoto | Op::Nop => Set::NONE,
        op if between(op, Op::Mov64Reg, Op::Movsx16To32) => src,
        op if between(op, Op::Load1, Op::Loadsx4) || between(op, Op::StackLoad1, Op::StackLoad8) => src,
        op if between(op, Op::Add64Imm, Op::Arsh64Imm) || between(op, Op::Add32Imm, Op::Arsh32Imm) => dst,
        op if between(op, Op::Jeq64Imm, Op::Jsle64Imm) || between(op, Op::Jeq32Imm, Op::Jsle32Imm) => dst,
        op if between(op, Op::StoreImm1, Op::StoreImm8) => dst,
        op if between(op, Op::StackStoreImm1, Op::StackStoreImm8) => dst,
        op if op as u8 >= Op::Atomic1 as u8 => Set::NONE,
        _ => dst.or(src),
    }
}

/// Whether the instruction may write memory or call something.
fn touches(op: Op) -> bool {
    between(op, Op::Store1, Op::StoreImm8) || op as u8 >= Op::StackStore1 as u8 && op != Op::Exit
}

const fn between(op: Op, first: Op, last: Op) -> bool {
    op as u8 >= first as u8 && op as u8 <= last as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::asm::assemble;
    use crate::bpf::decode::decode;

    fn names(set: Set) -> Vec<u8> {
        set.iter().map(|register| register as u8).collect()
    }

    fn flow(text: &str) -> Flow {
        let code = decode(&assemble(text).unwrap().slots, &[0]).unwrap();
        Flow::new(&code.insns, 0..code.insns.len())
    }

    #[test]
    fn only_what_is_read_before_it_is_written_matters_at_the_beginning() {
        assert_eq!(names(flow("r0 = 0; exit").entry), []);
        assert_eq!(names(flow("r0 = r3; r0 += r2; exit").entry), [2, 3]);
        assert_eq!(names(flow("r0 = 0; *(u64 *)(r10 - 8) = r0; exit").entry), [10]);
        // Shown at the exit, but written on one way only: the other way has to load it.
        assert_eq!(names(flow("r0 = 0; if r1 == 0 goto +1; r6 = 5; exit").entry), [1, 6]);
    }

    #[test]
    fn what_was_written_is_stale_until_it_is_shown() {
        let flow =
            flow("r6 = r1; r1 = 1; call 5; r7 = r0; r1 = 2; r2 = 3; call 1; r0 = *(u32 *)(r6 + 0); exit");
        let stale: Vec<Vec<u8>> = (0..9).map(|pc| names(flow.before(pc).stale)).collect();
        let looked_up = vec![0, 1, 2, 3, 4, 5, 7];
        assert_eq!(
            stale,
            [
                vec![],
                vec![6],
                vec![1, 6],
                vec![],
                vec![7],
                vec![1, 7],
                vec![1, 2, 7],
                looked_up.clone(),
                looked_up
            ]
        );
        assert!(flow.before(7).context.has(Reg::R6) && !flow.before(7).context.has(Reg::R1));
    }

    #[test]
    fn a_function_that_only_reads_is_told_from_others() {
        assert!(flow("r0 = *(u32 *)(r1 + 0); if r0 == 0 goto +1; r0 = *(u8 *)(r10 - 1); exit").only_reads);
        for text in ["*(u8 *)(r1 + 0) = 1; exit", "*(u64 *)(r10 - 8) = 1; exit", "call 5; exit"] {
            assert!(!flow(&format!("r0 = 0; {text}")).only_reads, "{text}");
        }
    }
}
