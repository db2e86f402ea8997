//! Common sequences as one operation, for the interpreter's hot loop: its cost is the number of dispatches.
//!
//! The fused operation stands where the sequence began and reads what it needs of the others from their own places,
//! which stay as they are: a jump into the middle, a count and a fault see the instructions of the program.

use super::insn::{Insn, Op};

/// A copy of `code` with fused operations in it.
pub(super) fn fuse(code: &[Insn]) -> Vec<Insn> {
    (0..code.len()).map(|at| fused(&code[at..]).unwrap_or(code[at])).collect()
}

/// The operation for the sequence that `code` begins with.
fn fused(code: &[Insn]) -> Option<Insn> {
    let [first, second, rest @ ..] = code else { return None };
    let same = first.dst == second.dst;
    let op = match (first.op, second.op) {
        (Op::Mov64Reg, Op::Add64Imm) if same => {
            let bound = rest.first().is_some_and(|third| third.op == Op::Jgt64Reg);
            if bound { Op::MovAddJgt64 } else { Op::MovAdd64Imm }
        }
        (Op::Mov64Reg, Op::And64Imm) if same => Op::MovAnd64Imm,
        (Op::Mov64Reg, Op::Lsh64Imm) if same => Op::MovLsh64Imm,
        (Op::Mov64Reg, Op::Rsh64Imm) if same => Op::MovRsh64Imm,
        (Op::Mov32Reg, Op::And32Imm) if same => Op::MovAnd32Imm,
        (Op::Mov32Reg, Op::Lsh32Imm) if same => Op::MovLsh32Imm,
        (Op::Mov32Reg, Op::Rsh32Imm) if same => Op::MovRsh32Imm,
        (Op::Mov64Reg, Op::Add64Reg) if same => Op::MovAdd64Reg,
        (Op::Mov64Reg, Op::Mov64Reg) => Op::MovMov64,
        (Op::Mov64Reg, Op::MovImm) => Op::MovMovImm,
        (Op::Mov32Reg, Op::Add32Reg) if same => Op::MovAdd32Reg,
        (Op::And32Imm, Op::Add32Reg) if same => Op::AndAdd32,
        (Op::Load1, Op::Jne32Imm) => Op::Load1Jne32Imm,
        (Op::Load2, Op::Jne32Imm) => Op::Load2Jne32Imm,
        (Op::Load4, Op::Jne32Imm) => Op::Load4Jne32Imm,
        (Op::Load2, Op::StackStore2) => Op::Load2StackStore2,
        (Op::Load4, Op::StackStore4) => Op::Load4StackStore4,
        (Op::Add64Imm, Op::Jne64Imm) => Op::AddJne64Imm,
        (Op::Add64Imm, Op::Jne32Imm) => Op::AddJne32Imm,
        (Op::Jeq64Imm, Op::Ja) => Op::Jeq64ImmJa,
        (Op::Jeq32Imm, Op::Ja) => Op::Jeq32ImmJa,
        _ => return None,
    };
    // A move has no immediate of its own: it takes the second one's along.
    let imm = if matches!(first.op, Op::Mov64Reg | Op::Mov32Reg) { second.imm } else { first.imm };
    Some(Insn { op, imm, ..*first })
}

#[cfg(test)]
mod tests {
    use crate::bpf::asm::assemble;
    use crate::bpf::decode::decode;

    use super::*;

    #[test]
    fn a_sequence_is_fused_where_it_begins_and_nowhere_else() {
        for (text, ops) in [
            ("r1 = r2; r1 += 5; exit", [Op::MovAdd64Imm, Op::Add64Imm, Op::Exit].as_slice()),
            ("r1 = r2; r3 += 5; exit", &[Op::Mov64Reg, Op::Add64Imm, Op::Exit]),
            (
                "r1 = r2; r1 += 5; if r1 > r3 goto +0; exit",
                &[Op::MovAddJgt64, Op::Add64Imm, Op::Jgt64Reg, Op::Exit],
            ),
            ("if w1 == 0 goto +1; goto -2; exit", &[Op::Jeq32ImmJa, Op::Ja, Op::Exit]),
            ("r1 = r2; r3 = r4; r3 >>= 1; exit", &[Op::MovMov64, Op::MovRsh64Imm, Op::Rsh64Imm, Op::Exit]),
        ] {
            let code = decode(&assemble(text).unwrap().slots, &[0]).unwrap();
            let fused: Vec<Op> = fuse(&code.insns).iter().map(|insn| insn.op).collect();
            assert_eq!(fused, ops, "{text}");
        }
    }
}
