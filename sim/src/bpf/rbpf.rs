//! The engine rbpf: what can be computed in registers is computed by the crate rbpf 0.4.1, straight line by straight
//! line; loads, stores, calls and returns are the machine's, as they are under the interpreter. So two
//! implementations of arithmetic, moves, byte order and conditions check each other, with exact bounds and budget.
//!
//! rbpf is wrong about some valid instructions (`interpreter.rs` of 0.4.1). Those are lowered to others it is right
//! about, where there are any:
//!
//! | instruction | rbpf 0.4.1 | here |
//! |---|---|---|
//! | 64-bit jump on a negative immediate | extends it with zeros | compares two registers |
//! | `movsx` | moves without extending | shifts left, then right |
//! | `bswap` | does not know it | the `be` of a little-endian host |
//! | `w1 %= 0` | leaves the upper half | moved to itself in 32 bits |
//! | `r1 = -r1` | overflows at the least number | complement plus one |
//! | far and `gotol` jumps | 15 bits, unknown | the machine goes there |
//! | signed division and remainder | divides without a sign | declined |
//!
//! A straight line gets its registers from, and leaves them in, an array of cells outside: its lowered code begins with
//! loads and ends with stores, and returns whether the jump at its end is taken. The array's address is written into
//! that code, and rbpf is told that it may go there.

mod lower;

use std::cell::Cell;
use std::rc::Rc;

use super::engine::Engine;
use super::fault::{Fault, FaultKind};
use super::insn::{Insn, Op};
use super::interp::{self, Plain, Position, Ran, Regs};
use super::machine::{Host, Machine, ProgId};
use super::mem::{Addr, Memory};
use super::program::Program;

/// Registers `r0` to `r10` between two straight lines.
type Cells = [Cell<u64>; 11];

/// A program as this engine runs it.
pub(super) struct Lowered {
    /// What it was made from; another program may come to have the same id.
    program: Rc<Program>,
    cells: Box<Cells>,
    /// By the index of the first instruction.
    lines: Vec<Option<Line>>,
}

/// What can be run without asking the machine.
struct Line {
    /// For rbpf, 8 bytes an instruction.
    code: Vec<u8>,
    /// How many instructions of the program it stands for, a jump at the end included.
    len: usize,
}

/// An instruction this engine cannot run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Declined {
    /// Its index.
    pub index: usize,
    /// Why.
    pub why: &'static str,
}

impl Declined {
    /// As a fault of the program `of`.
    pub fn kind(&self, of: &Program) -> FaultKind {
        let insn = of.code()[self.index];
        FaultKind::Declined { engine: Engine::Rbpf, what: Some(insn.to_string()), why: self.why.to_owned() }
    }
}

/// Same contract as [`engine::run`](super::engine::run).
pub(super) fn run(
    machine: &mut Machine,
    host: &mut dyn Host,
    prog: ProgId,
    fuel: u64,
) -> Result<Ran, Box<Fault>> {
    interp::run_with(Plain::Rbpf, machine, host, prog, fuel)
}

/// Same contract as [`engine::run_function`](super::engine::run_function).
pub(super) fn run_function(
    machine: &mut Machine,
    host: &mut dyn Host,
    prog: ProgId,
    func: Addr,
    args: [u64; 5],
    fuel: u64,
) -> Result<Ran, Box<Fault>> {
    interp::run_function_with(Plain::Rbpf, machine, host, prog, func, args, fuel)
}

/// The program `prog`, lowered when it is first asked for.
pub(super) fn lowered(machine: &mut Machine, prog: ProgId) -> Result<Rc<Lowered>, Declined> {
    let program = &machine.programs[prog.0 as usize];
    if let Some(lowered) = machine.lowered.get(&prog).filter(|known| Rc::ptr_eq(&known.program, program)) {
        return Ok(Rc::clone(lowered));
    }
    let lowered = Rc::new(lower::lower(Rc::clone(program))?);
    machine.lowered.insert(prog, Rc::clone(&lowered));
    Ok(lowered)
}

impl Lowered {
    /// Executes instructions until one that only the machine can execute, and stands before it: the same contract as
    /// the interpreter's own loop.
    pub fn burst(
        &self,
        code: &[Insn],
        mem: &mut Memory,
        regs: &mut Regs,
        mut at: Position,
        fuel: u64,
    ) -> Position {
        loop {
            let Some(line) = &self.lines[at.pc] else {
                if !access(code[at.pc], mem, regs) {
                    return at;
                }
                at.pc += 1;
                continue;
            };
            let taken = self.execute(line, regs);
            at.pc += line.len;
            if taken {
                let off = code[at.pc - 1].off;
                let back = Position { pc: at.pc - 1, ..at };
                if off < 0 && back.executed() >= fuel {
                    return back;
                }
                at.jump(at.pc.wrapping_add_signed(off as isize));
            }
        }
    }

    /// Whether the jump at the line's end is taken.
    fn execute(&self, line: &Line, regs: &mut Regs) -> bool {
        for (cell, reg) in self.cells.iter().zip(regs.iter()) {
            cell.set(*reg);
        }
        let address = address(&self.cells);
        let mut vm = ::rbpf::EbpfVmNoData::new(Some(&line.code)).expect("lowered code is valid");
        vm.register_allowed_memory(address..address + size_of::<Cells>() as u64);
        let taken = vm.execute_program().expect("lowered code stays in its cells");
        for (cell, reg) in self.cells.iter().zip(regs.iter_mut()) {
            *reg = cell.get();
        }
        taken != 0
    }
}

/// Where the cells are, for rbpf to read and write: they may change behind a shared reference.
fn address(cells: &Cells) -> u64 {
    std::ptr::from_ref(cells).expose_provenance() as u64
}

/// Loads and stores whose place is known to be good at a glance, as in the interpreter's own loop; whether it was one.
fn access(insn: Insn, mem: &mut Memory, regs: &mut Regs) -> bool {
    let (dst, src) = (insn.dst as usize, insn.src as usize);
    let from = regs[src].wrapping_add_signed(i64::from(insn.off));
    let to = regs[dst].wrapping_add_signed(i64::from(insn.off));
    macro_rules! load {
        ($type:ty, $wide:ty) => {
            match mem.peek(from) {
                Some(bytes) => regs[dst] = <$type>::from_le_bytes(bytes) as $wide as u64,
                None => return false,
            }
        };
    }
    macro_rules! store {
        ($type:ty, $value:expr) => {
            match mem.poke(to) {
                Some(bytes) => *bytes = ($value as $type).to_le_bytes(),
                None => return false,
            }
        };
    }
    match insn.op {
        Op::Load1 => load!(u8, u64),
        Op::Load2 => load!(u16, u64),
        Op::Load4 => load!(u32, u64),
        Op::Load8 => load!(u64, u64),
        Op::Loadsx1 => load!(i8, i64),
        Op::Loadsx2 => load!(i16, i64),
        Op::Loadsx4 => load!(i32, i64),
        Op::Store1 => store!(u8, regs[src]),
        Op::Store2 => store!(u16, regs[src]),
        Op::Store4 => store!(u32, regs[src]),
        Op::Store8 => store!(u64, regs[src]),
        Op::StoreImm1 => store!(u8, insn.imm),
        Op::StoreImm2 => store!(u16, insn.imm),
        Op::StoreImm4 => store!(u32, insn.imm),
        Op::StoreImm8 => store!(u64, insn.imm),
        // In the frame, as decoding has proved.
        Op::StackLoad1 => regs[dst] = u8::from_le_bytes(*mem.frame_bytes(regs[10], insn.off)).into(),
        Op::StackLoad2 => regs[dst] = u16::from_le_bytes(*mem.frame_bytes(regs[10], insn.off)).into(),
        Op::StackLoad4 => regs[dst] = u32::from_le_bytes(*mem.frame_bytes(regs[10], insn.off)).into(),
        Op::StackLoad8 => regs[dst] = u64::from_le_bytes(*mem.frame_bytes(regs[10], insn.off)),
        Op::StackStore1 => *mem.frame_bytes(regs[10], insn.off) = (regs[src] as u8).to_le_bytes(),
        Op::StackStore2 => *mem.frame_bytes(regs[10], insn.off) = (regs[src] as u16).to_le_bytes(),
        Op::StackStore4 => *mem.frame_bytes(regs[10], insn.off) = (regs[src] as u32).to_le_bytes(),
        Op::StackStore8 => *mem.frame_bytes(regs[10], insn.off) = regs[src].to_le_bytes(),
        Op::StackStoreImm1 => *mem.frame_bytes(regs[10], insn.off) = (insn.imm as u8).to_le_bytes(),
        Op::StackStoreImm2 => *mem.frame_bytes(regs[10], insn.off) = (insn.imm as u16).to_le_bytes(),
        Op::StackStoreImm4 => *mem.frame_bytes(regs[10], insn.off) = (insn.imm as u32).to_le_bytes(),
        Op::StackStoreImm8 => *mem.frame_bytes(regs[10], insn.off) = insn.imm.to_le_bytes(),
        _ => return false,
    }
    true
}
