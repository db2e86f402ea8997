//! `bpf_tail_call`.

use crate::bpf::fault::FaultKind;
use crate::bpf::machine::{Machine, ProgId};
use crate::uapi::insn::MAX_TAIL_CALL_CNT;

/// Whether a tail call happens, and where to; counts it.
///
/// An index out of range never counts; an empty slot does where the release says so
/// (`arch/x86/net/bpf_jit_comp.c: emit_bpf_tail_call_indirect`, v6.1 and v6.12).
pub(super) fn target(machine: &mut Machine, map: u64, index: u32) -> Result<Option<ProgId>, FaultKind> {
    if machine.run.callbacks > 0 {
        return Err(FaultKind::Instruction("a tail call in a callback".to_owned()));
    }
    let Some(array) = machine.maps.by_handle(map) else {
        return Err(FaultKind::Argument {
            helper: "tail_call",
            number: 2,
            why: format!("no map has the handle {map:#x}"),
        });
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
    Ok(found)
}
