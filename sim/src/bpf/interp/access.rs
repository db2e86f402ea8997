//! Loads and stores that the shadow does not allow at a glance: to the context, at the border of two objects, or bad.

use super::burst::Regs;
use crate::bpf::fault::FaultKind;
use crate::bpf::insn::{Insn, Op};
use crate::bpf::machine::{Host, Machine};
use crate::bpf::mem::{Addr, CTX_BASE, CTX_SIZE};

/// Executes one load or store.
pub(in crate::bpf) fn execute(
    machine: &mut Machine,
    host: &mut dyn Host,
    insn: Insn,
    regs: &mut Regs,
) -> Result<(), FaultKind> {
    let (dst, src) = (insn.dst as usize, insn.src as usize);
    let from = regs[src].wrapping_add_signed(i64::from(insn.off));
    let to = regs[dst].wrapping_add_signed(i64::from(insn.off));
    match insn.op {
        Op::Load1 => regs[dst] = load(machine, host, from, 1)?,
        Op::Load2 => regs[dst] = load(machine, host, from, 2)?,
        Op::Load4 => regs[dst] = load(machine, host, from, 4)?,
        Op::Load8 => regs[dst] = load(machine, host, from, 8)?,
        Op::Loadsx1 => regs[dst] = load(machine, host, from, 1)? as i8 as u64,
        Op::Loadsx2 => regs[dst] = load(machine, host, from, 2)? as i16 as u64,
        Op::Loadsx4 => regs[dst] = load(machine, host, from, 4)? as i32 as u64,
        Op::Store1 => store(machine, host, to, 1, regs[src])?,
        Op::Store2 => store(machine, host, to, 2, regs[src])?,
        Op::Store4 => store(machine, host, to, 4, regs[src])?,
        Op::Store8 => store(machine, host, to, 8, regs[src])?,
        Op::StoreImm1 => store_imm(machine, host, to, 1, insn.imm as i32)?,
        Op::StoreImm2 => store_imm(machine, host, to, 2, insn.imm as i32)?,
        Op::StoreImm4 => store_imm(machine, host, to, 4, insn.imm as i32)?,
        Op::StoreImm8 => store_imm(machine, host, to, 8, insn.imm as i32)?,
        op => unreachable!("{op:?} is done elsewhere"),
    }
    Ok(())
}

fn load(machine: &mut Machine, host: &mut dyn Host, addr: Addr, width: u32) -> Result<u64, FaultKind> {
    match context_offset(addr) {
        Some(offset) => {
            if let Some(value) = machine.remembered.get(offset, width) {
                return Ok(value);
            }
            let value = host.ctx_load(machine, offset, width)?;
            if host.remembers() {
                machine.remembered.put(offset, width, value);
            }
            Ok(value)
        }
        None => Ok(machine.mem.load(addr, u64::from(width))?),
    }
}

fn store(
    machine: &mut Machine,
    host: &mut dyn Host,
    addr: Addr,
    width: u32,
    value: u64,
) -> Result<(), FaultKind> {
    match context_offset(addr) {
        Some(offset) if machine.remembered.store(offset, width, value) => Ok(()),
        Some(offset) => host.ctx_store(machine, offset, width, value),
        None => Ok(machine.mem.store(addr, u64::from(width), value)?),
    }
}

fn store_imm(
    machine: &mut Machine,
    host: &mut dyn Host,
    addr: Addr,
    width: u32,
    imm: i32,
) -> Result<(), FaultKind> {
    match context_offset(addr) {
        Some(offset) if machine.remembered.store(offset, width, i64::from(imm) as u64) => Ok(()),
        Some(offset) => host.ctx_store_imm(machine, offset, width, imm),
        None => Ok(machine.mem.store(addr, u64::from(width), i64::from(imm) as u64)?),
    }
}

fn context_offset(addr: Addr) -> Option<u32> {
    let offset = addr.wrapping_sub(CTX_BASE);
    (offset < CTX_SIZE).then_some(offset as u32)
}
