//! The interpreter.

use crate::bpf::fault::{Fault, FaultKind};
use crate::bpf::machine::{Host, Machine, ProgId};
use crate::bpf::mem::Addr;

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ran {
    /// All 64 bits of `r0`; a hook looks at the low 32.
    pub r0: u64,
    /// Instructions executed, those of callees, callbacks and tail-called programs included. A `ld_imm64` is one.
    pub insns: u64,
}

/// Runs `prog` with `r1` at the context, for at most `fuel` instructions.
pub fn run(machine: &mut Machine, host: &mut dyn Host, prog: ProgId, fuel: u64) -> Result<Ran, Box<Fault>> {
    let _ = (host, fuel);
    let program = &machine.programs[prog.0 as usize];
    Err(Box::new(Fault {
        kind: FaultKind::Instruction("the interpreter is not here yet".to_owned()),
        program: program.name().to_owned(),
        insn: 0,
        function: program.name().to_owned(),
        line: program.line_of(0).cloned(),
        regs: [0; 11],
    }))
}

/// Calls back into the running program, from inside a helper: the function at `func` with `r1..r5`.
pub fn call(
    machine: &mut Machine,
    host: &mut dyn Host,
    func: Addr,
    args: [u64; 5],
) -> Result<u64, FaultKind> {
    let _ = (machine, host, args);
    Err(FaultKind::Instruction(format!("no function at {func:#x}")))
}
