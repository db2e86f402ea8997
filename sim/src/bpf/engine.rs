//! The engines behind one interface. Which one runs is the machine's choice ([`Machine::engine`]) and never changes what
//! comes out: result, memory, maps, records and faults are the same, or the engine declines by name
//! ([`FaultKind::Declined`]).

use std::fmt;
use std::str::FromStr;

use super::fault::{Fault, FaultKind};
use super::interp::{self, Ran};
use super::jit;
use super::machine::{Host, Machine, ProgId};
use super::mem::Addr;
use super::rbpf;

/// What executes instructions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Engine {
    /// Our interpreter: exact, countable, traceable.
    Interp,
    /// Machine code made by Cranelift, where the machine can run it: the interpreter's results, counts and faults.
    Jit,
    /// The crate rbpf where it computes what a kernel computes; the rest is declined by instruction and reason.
    Rbpf,
    /// The interpreter until a program is hot, then machine code where this machine can have it.
    #[default]
    Auto,
}

impl Engine {
    /// Every engine.
    pub const ALL: &'static [Self] = &[Self::Interp, Self::Jit, Self::Rbpf, Self::Auto];

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interp => "interp",
            Self::Jit => "jit",
            Self::Rbpf => "rbpf",
            Self::Auto => "auto",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no engine has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no such engine; there are: interp, jit, rbpf, auto")]
pub struct UnknownEngine;

impl FromStr for Engine {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<Self, UnknownEngine> {
        Self::ALL.iter().copied().find(|engine| engine.name() == text).ok_or(UnknownEngine)
    }
}

/// A program is compiled by [`Engine::Auto`] once runs that began with it, or tail calls to it, have executed so many
/// instructions for each it has: about what compiling one costs (`benches/README.md` says what it is), so that a program
/// is never much slower than on the better of both engines. A count, so that the same runs are compiled every time.
/// A run that has begun ends on the engine it began on: its budget bounds what that can cost.
pub(super) const HOT: u64 = 50_000;

/// The engine that runs `prog` next, never [`Engine::Auto`]. A tracer wants to see every instruction, which only the
/// interpreter shows.
fn chosen(machine: &Machine, prog: ProgId) -> Engine {
    match machine.engine {
        _ if machine.trace.is_some() => Engine::Interp,
        Engine::Auto if is_compiled(machine, prog) => Engine::Jit,
        Engine::Auto => Engine::Interp,
        engine => engine,
    }
}

/// Whether [`Engine::Auto`] runs `prog` as machine code. What has none for whatever reason is interpreted.
pub(super) fn is_compiled(machine: &Machine, prog: ProgId) -> bool {
    let program = &machine.programs[prog.0 as usize];
    program.executed() >= HOT * program.code().len() as u64 && program.machine_code().is_ok()
}

/// Runs `prog` with `r1` at the context, for at most `fuel` instructions.
///
/// A run may begin while another one is inside a helper; each has its own frames, counts and budget.
pub fn run(machine: &mut Machine, host: &mut dyn Host, prog: ProgId, fuel: u64) -> Result<Ran, Box<Fault>> {
    run_repeatedly(machine, host, prog, fuel, 1, |_| true)
}

/// [`run`], `times` times as long as `goes_on` wants it and there is no fault. Gives what the last run gave.
pub fn run_repeatedly(
    machine: &mut Machine,
    host: &mut dyn Host,
    prog: ProgId,
    fuel: u64,
    times: u32,
    mut goes_on: impl FnMut(Ran) -> bool,
) -> Result<Ran, Box<Fault>> {
    let mut last = Ran { r0: 0, insns: 0 };
    for done in 0..times {
        let ran = match chosen(machine, prog) {
            Engine::Interp | Engine::Auto => interp::run(machine, host, prog, fuel),
            Engine::Rbpf => rbpf::run(machine, host, prog, fuel),
            Engine::Jit => {
                let mut insns = 0;
                let ran = jit::repeat(machine, host, prog, fuel, times - done, |ran| {
                    insns += ran.insns;
                    goes_on(ran)
                });
                count(machine, prog, insns);
                return ran;
            }
        };
        last = ran?;
        count(machine, prog, last.insns);
        if !goes_on(last) {
            break;
        }
    }
    Ok(last)
}

/// Runs the function at `func` of `prog` by itself: what a timer does after the program that armed it has ended.
pub fn run_function(
    machine: &mut Machine,
    host: &mut dyn Host,
    prog: ProgId,
    func: Addr,
    args: [u64; 5],
    fuel: u64,
) -> Result<Ran, Box<Fault>> {
    let ran = match chosen(machine, prog) {
        Engine::Interp | Engine::Auto => interp::run_function(machine, host, prog, func, args, fuel),
        Engine::Jit => jit::run_function(machine, host, prog, func, args, fuel),
        Engine::Rbpf => rbpf::run_function(machine, host, prog, func, args, fuel),
    };
    count(machine, prog, ran.as_ref().map_or(0, |ran| ran.insns));
    ran
}

/// Calls back into the running program, from inside a helper: the function at `func` with `r1..r5`. The engine that
/// runs the program runs the function.
///
/// Shares frames, instruction budget and count with the program. An error is [`FaultKind::Located`] and is to be
/// handed on as it is.
///
/// # Panics
/// When no program is running.
pub fn call(
    machine: &mut Machine,
    host: &mut dyn Host,
    func: Addr,
    args: [u64; 5],
) -> Result<u64, FaultKind> {
    interp::call(machine, host, func, args)
}

/// The program that is running; after a tail call, the one it went to.
pub fn running(machine: &Machine) -> Option<ProgId> {
    interp::running(machine)
}

/// Counts what runs that have ended well have executed.
fn count(machine: &mut Machine, prog: ProgId, insns: u64) {
    machine.executed += insns;
    machine.programs[prog.0 as usize].count(insns);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_there_and_back() {
        for &engine in Engine::ALL {
            assert_eq!(engine.name().parse(), Ok(engine));
        }
        assert_eq!("fast".parse::<Engine>(), Err(UnknownEngine));
        let message = UnknownEngine.to_string();
        assert!(Engine::ALL.iter().all(|engine| message.contains(engine.name())), "{message}");
    }
}
