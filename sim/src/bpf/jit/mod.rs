//! The compiling engine: the contract of [`interp`] — results, counts, faults — at machine speed.
//!
//! [`compile`] turns a decoded program into machine code that depends on nothing but itself: it reaches the machine
//! through the `Cx` it is called with. What is not a matter of registers and memory, and every access that the shadow
//! does not allow at a glance, is done by the functions the interpreter uses.
//!
//! Callbacks need nothing of their own: [`interp::call`] goes on in the engine that runs. A tracer wants every
//! instruction: with one, the interpreter runs.

#![allow(unsafe_code)] // to enter machine code and to be called by it: `code.rs` and `cx.rs`

mod access;
mod alu;
mod code;
mod cx;
mod emit;
mod flow;
#[cfg(test)]
mod tests;

pub use code::Compiled;
pub(in crate::bpf) use code::{Code, Slot};
pub(in crate::bpf) use cx::{enter, repeat};

use super::engine::Engine;
use super::fault::{Fault, FaultKind};
use super::interp::{self, Plain, Ran};
use super::machine::{Host, Machine, ProgId};
use super::mem::Addr;
use super::program::Program;

/// Why this machine has no compiling engine, in words.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not available on this machine: {0}")]
pub struct Unavailable(pub String);

impl Unavailable {
    /// The same as a fault.
    fn declined(&self) -> FaultKind {
        FaultKind::Declined { engine: Engine::Jit, what: None, why: self.to_string() }
    }
}

/// Whether this machine has a compiling engine: a processor that it compiles for, and memory that can be made executable.
///
/// To be asked before running, which ends with a fault where it has not.
pub fn available() -> Result<(), Unavailable> {
    emit::isa()?;
    Code::new(Compiled { bytes: vec![0; 16], ..Compiled::default() }).map(|_| ())
}

/// Translates a program. Touches nothing else, so that a caller may compile many programs at once.
pub fn compile(program: &Program) -> Result<Compiled, Unavailable> {
    emit::program(program)
}

/// Runs `prog` with `r1` at the context, for at most `fuel` instructions: [`interp::run`], compiled.
pub fn run(machine: &mut Machine, host: &mut dyn Host, prog: ProgId, fuel: u64) -> Result<Ran, Box<Fault>> {
    if machine.trace.is_some() {
        return interp::run(machine, host, prog, fuel);
    }
    repeat(machine, host, prog, fuel, 1, |_| true)
}

/// Runs the function at `func` of `prog` by itself: [`interp::run_function`], compiled.
pub fn run_function(
    machine: &mut Machine,
    host: &mut dyn Host,
    prog: ProgId,
    func: Addr,
    args: [u64; 5],
    fuel: u64,
) -> Result<Ran, Box<Fault>> {
    code_of(&machine.programs[prog.0 as usize])?;
    interp::run_function_with(Plain::Compiled, machine, host, prog, func, args, fuel)
}

/// The program's machine code, or why there is none as a fault of the whole program.
fn code_of(program: &Program) -> Result<&Code, Box<Fault>> {
    match program.machine_code() {
        Ok(code) => Ok(code),
        Err(why) => Err(interp::locate(program, 0, [0; 11], why.declined())),
    }
}
