//! `bpf_tail_call`.

use super::burst::Regs;
use crate::bpf::fault::FaultKind;
use crate::bpf::machine::{Machine, ProgId};
use crate::bpf::mem::CTX_BASE;
use crate::uapi::insn::MAX_TAIL_CALL_CNT;

/// Whether a tail call happens, and where to; counts it.
///
/// An index out of range never counts; an empty slot does where the release says so
/// (`arch/x86/net/bpf_jit_comp.c: emit_bpf_tail_call_indirect`, v6.1 and v6.12).
pub(in crate::bpf) fn target(machine: &mut Machine, regs: &Regs) -> Result<Option<ProgId>, FaultKind> {
    let (map, index) = (regs[2], regs[3] as u32);
    if regs[1] != CTX_BASE {
        return Err(argument(1, "not the context".to_owned()));
    }
    if machine.run.callbacks > 0 {
        return Err(FaultKind::Instruction("a tail call in a callback".to_owned()));
    }
    let Some(array) = machine.maps.by_handle(map) else {
        return Err(argument(2, format!("no map has the handle {map:#x}")));
    };
    if index >= machine.maps.spec(array).max_entries {
        return Ok(None);
    }
    let found = machine.maps.map(array).program(index);
    let run = &mut machine.run;
    if run.tail_calls >= MAX_TAIL_CALL_CNT {
        return Ok(None);
    }
    if found.is_some() || machine.release.tail_call_miss_counts() {
        run.tail_calls += 1;
    }
    if let Some(target) = found {
        // How much of it will run is not known yet.
        let target = &machine.programs[target.0 as usize];
        target.count(target.code().len() as u64);
    }
    Ok(found)
}

fn argument(number: u8, why: String) -> FaultKind {
    FaultKind::Argument { helper: "tail_call", number, why }
}

/// Gives the newest frame to another program, and `regs` what it begins with.
pub(in crate::bpf) fn replace_frame(machine: &mut Machine, regs: &mut Regs) {
    machine.run.program_frame = machine.mem.frames() - 1;
    *regs = [0; 11];
    regs[1] = CTX_BASE;
    regs[10] = machine.mem.renew_frame();
}
