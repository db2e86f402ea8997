//! How much of its context a syscall program uses: `prog->aux->max_ctx_offset`, `kernel/bpf/verifier.c:
//! check_ctx_access`, v6.12. BPF_PROG_TEST_RUN refuses a shorter one before the program runs.
//!
//! The verifier sees every path; so does this, as far as pointers into the context go through registers, the stack and
//! calls, which is all the verifier lets them do: no helper takes one.

use std::collections::{BTreeMap, BTreeSet};

use crate::bpf::FaultKind;
use crate::bpf::program::Program;
use crate::uapi::insn::{
    BPF_ADD, BPF_ALU, BPF_ALU64, BPF_CALL, BPF_DW, BPF_EXIT, BPF_IMM, BPF_JA, BPF_JMP, BPF_JMP32, BPF_LD,
    BPF_LDX, BPF_MEM, BPF_MOV, BPF_PSEUDO_CALL, BPF_ST, BPF_STX, BPF_SUB, Slot,
};

/// What is known of a register.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Value {
    Unknown,
    /// A constant as an instruction gives it.
    Const(i64),
    /// This many bytes into the context.
    Ctx(i64),
    /// This far from the frame pointer.
    Frame(i64),
}

/// Registers and what lies on the stack of one function at one instruction.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct State {
    slot: usize,
    regs: [Value; 11],
    stack: BTreeMap<i64, Value>,
}

/// `kernel/bpf/verifier.c: __check_ptr_off_reg`, v6.12.
const MODIFIED: &str = "a pointer to the context that was added to may not be used";
/// Instructions looked at, at most: more states than any program that loads has.
const BUDGET: usize = 1_000_000;

struct Walk<'a> {
    slots: &'a [u64],
    seen: BTreeSet<State>,
    open: Vec<State>,
    reach: i64,
    bad: Option<(u32, FaultKind)>,
}

/// One past the last byte of the context that some path of the program touches. The error is the slot of an access no
/// syscall program may have, and that access (`kernel/bpf/syscall.c: syscall_prog_is_valid_access`, v6.12).
pub fn max_ctx_offset(program: &Program) -> Result<u32, (u32, FaultKind)> {
    let image = program.image();
    let mut walk = Walk { slots: &image.slots, seen: BTreeSet::new(), open: Vec::new(), reach: 0, bad: None };
    walk.enter(0, [Value::Ctx(0), Value::Unknown, Value::Unknown, Value::Unknown, Value::Unknown]);
    for _ in 0..BUDGET {
        let Some(state) = walk.open.pop() else { break };
        walk.step(state);
    }
    match walk.bad {
        Some(bad) => Err(bad),
        None => Ok(walk.reach as u32),
    }
}

impl Walk<'_> {
    fn enter(&mut self, slot: usize, args: [Value; 5]) {
        let mut regs = [Value::Unknown; 11];
        regs[1..6].copy_from_slice(&args);
        regs[10] = Value::Frame(0);
        self.go(State { slot, regs, stack: BTreeMap::new() });
    }

    fn go(&mut self, state: State) {
        if state.slot < self.slots.len() && self.seen.insert(state.clone()) {
            self.open.push(state);
        }
    }

    fn refuse(&mut self, slot: usize, offset: i64, size: u32, write: bool, why: &'static str) {
        let kind = FaultKind::Context { offset: offset as u32, size, write, why };
        self.bad.get_or_insert((slot as u32, kind));
    }

    /// A load or a store at `slot`.
    fn access(&mut self, slot: usize, to: Value, insn: Slot, write: bool) {
        let (size, Value::Ctx(at)) = (insn.width(), to) else { return };
        let offset = at + i64::from(insn.off);
        if offset < 0 || offset >= u16::MAX.into() || offset % i64::from(size) != 0 {
            let why = "outside of 65535 bytes, or not aligned to its size";
            self.refuse(slot, offset, size, write, why);
        } else if at != 0 {
            self.refuse(slot, offset, size, write, MODIFIED);
        }
        self.reach = self.reach.max(offset + i64::from(size));
    }

    fn step(&mut self, mut state: State) {
        let insn = Slot::from_u64(self.slots[state.slot]);
        let (dst, src) = (insn.dst as usize, insn.src as usize);
        let (offset, width) = (i64::from(insn.off), i64::from(insn.width()));
        let jump = |state: &State, by: i64| (state.slot as i64 + 1 + by) as usize;
        match insn.class() {
            BPF_LD if insn.code == BPF_LD | BPF_IMM | BPF_DW => {
                let high = self.slots.get(state.slot + 1).map_or(0, |&next| next >> 32);
                state.regs[dst] = Value::Const((high << 32 | u64::from(insn.imm as u32)) as i64);
                state.slot += 1;
            }
            BPF_LDX => {
                let from = state.regs[src];
                self.access(state.slot, from, insn, false);
                state.regs[dst] = match from {
                    Value::Frame(at) if width == 8 && insn.mode() == BPF_MEM => {
                        state.stack.get(&(at + offset)).copied().unwrap_or(Value::Unknown)
                    }
                    _ => Value::Unknown,
                };
            }
            BPF_ST | BPF_STX => {
                let to = state.regs[dst];
                self.access(state.slot, to, insn, true);
                if let Value::Frame(at) = to {
                    let at = at + offset;
                    state.stack.retain(|&other, _| other + 8 <= at || at + width <= other);
                    let stored = state.regs[src];
                    if insn.code == BPF_STX | BPF_MEM | BPF_DW && stored != Value::Unknown {
                        state.stack.insert(at, stored);
                    }
                }
            }
            BPF_ALU | BPF_ALU64 => {
                let operand =
                    if insn.by_register() { state.regs[src] } else { Value::Const(insn.imm.into()) };
                state.regs[dst] = match (insn.class(), insn.op(), state.regs[dst], operand) {
                    (BPF_ALU64, BPF_MOV, _, value) if insn.off == 0 => value,
                    (BPF_ALU, BPF_MOV, _, Value::Const(n)) if insn.off == 0 => {
                        Value::Const((n as u32).into())
                    }
                    (BPF_ALU64, BPF_ADD, Value::Ctx(at), Value::Const(n)) => Value::Ctx(at + n),
                    (BPF_ALU64, BPF_SUB, Value::Ctx(at), Value::Const(n)) => Value::Ctx(at - n),
                    (BPF_ALU64, BPF_ADD, Value::Frame(at), Value::Const(n)) => Value::Frame(at + n),
                    (BPF_ALU64, BPF_SUB, Value::Frame(at), Value::Const(n)) => Value::Frame(at - n),
                    _ => Value::Unknown,
                };
            }
            BPF_JMP | BPF_JMP32 => match insn.op() {
                BPF_EXIT => return,
                BPF_CALL => self.call(insn, &mut state),
                BPF_JA => {
                    let by = if insn.class() == BPF_JMP32 { i64::from(insn.imm) } else { offset };
                    state.slot = jump(&state, by);
                    return self.go(state);
                }
                _ => self.go(State { slot: jump(&state, offset), ..state.clone() }),
            },
            _ => {}
        }
        state.slot += 1;
        self.go(state);
    }

    fn call(&mut self, insn: Slot, state: &mut State) {
        let args: [Value; 5] = state.regs[1..6].try_into().expect("five of them");
        if insn.src == BPF_PSEUDO_CALL {
            // A frame pointer means another frame there.
            let args = args.map(|arg| if matches!(arg, Value::Frame(_)) { Value::Unknown } else { arg });
            self.enter((state.slot as i64 + 1 + i64::from(insn.imm)) as usize, args);
        }
        state.regs[..6].fill(Value::Unknown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::asm::assemble;
    use crate::bpf::program::Image;
    use crate::uapi::ProgType;

    fn reach(text: &str) -> u32 {
        let code = assemble(text).unwrap();
        let image = Image {
            name: "main".into(),
            prog_type: ProgType::Syscall,
            attach_type: None,
            license_gpl: true,
            xdp_has_frags: false,
            slots: code.slots,
            functions: code.functions,
            lines: Vec::new(),
            maps: Vec::new(),
        };
        max_ctx_offset(&Program::new(image).unwrap()).unwrap_or(u32::MAX)
    }

    #[test]
    fn every_path_counts_whether_it_is_taken_or_not() {
        assert_eq!(reach("r0 = 0; exit"), 0);
        assert_eq!(reach("r0 = *(u32 *)(r1 +12); exit"), 16);
        assert_eq!(
            reach("r6 = r1; r0 = *(u8 *)(r1 +0); if r0 == 7 goto +1; exit; *(u64 *)(r6 +96) = 0; exit"),
            104
        );
        assert_eq!(reach("*(u64 *)(r10 -8) = r1; r2 = *(u64 *)(r10 -8); r0 = *(u16 *)(r2 +10); exit"), 12);
    }

    #[test]
    fn what_the_verifier_refuses_has_no_reach() {
        assert_eq!(reach("r0 = *(u32 *)(r1 +13); exit"), u32::MAX);
        assert_eq!(reach("r1 += 8; r0 = *(u16 *)(r1 +2); exit"), u32::MAX);
    }
}
