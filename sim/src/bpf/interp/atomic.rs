//! Atomic operations. One CPU runs at a time, so that atomicity is free; what they return is not.

use crate::bpf::fault::FaultKind;
use crate::bpf::insn::Insn;
use crate::bpf::mem::{Memory, PACKET_BASE, PACKET_SIZE};
use crate::uapi::insn::{
    BPF_ADD, BPF_AND, BPF_CMPXCHG, BPF_FETCH, BPF_LOAD_ACQ, BPF_OR, BPF_STORE_REL, BPF_XCHG, BPF_XOR,
};

/// Executes one atomic operation of `width` bytes.
///
/// Only memory that the verifier lets atomics touch (`kernel/bpf/verifier.c: atomic_ptr_type_ok`, v6.18): not the
/// context, not the packet.
pub(in crate::bpf) fn execute(
    mem: &mut Memory,
    insn: Insn,
    width: u32,
    regs: &mut [u64; 11],
) -> Result<(), FaultKind> {
    let (dst, src, len) = (insn.dst as usize, insn.src as usize, u64::from(width));
    let operation = insn.imm as i32;
    let pointer = if operation == BPF_LOAD_ACQ { regs[src] } else { regs[dst] };
    let addr = pointer.wrapping_add_signed(i64::from(insn.off));
    let write = operation != BPF_LOAD_ACQ;
    mem.check(addr, len, write)?;
    if (PACKET_BASE..PACKET_BASE + PACKET_SIZE).contains(&addr) {
        return Err(FaultKind::Instruction("an atomic operation on a packet".to_owned()));
    }
    match operation {
        BPF_LOAD_ACQ => {
            regs[dst] = mem.load(addr, len)?;
            return Ok(());
        }
        BPF_STORE_REL => return Ok(mem.store(addr, len, regs[src])?),
        _ => {}
    }
    let narrow = |value: u64| if width == 4 { u64::from(value as u32) } else { value };
    let (old, operand) = (mem.load(addr, len)?, narrow(regs[src]));
    if operation == BPF_CMPXCHG {
        if old == narrow(regs[0]) {
            mem.store(addr, len, operand)?;
        }
        regs[0] = old;
        return Ok(());
    }
    let new = if operation == BPF_XCHG {
        operand
    } else {
        match (operation & !BPF_FETCH) as u8 {
            BPF_ADD => old.wrapping_add(operand),
            BPF_AND => old & operand,
            BPF_OR => old | operand,
            BPF_XOR => old ^ operand,
            _ => unreachable!("decoding lets no other operation pass"),
        }
    };
    mem.store(addr, len, new)?;
    if operation & BPF_FETCH != 0 {
        regs[src] = old;
    }
    Ok(())
}
