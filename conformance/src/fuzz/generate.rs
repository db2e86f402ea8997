//! Random programs: steps, branches, loops and calls that a verifier follows to every exit, over registers, stack and
//! memory whose first contents it does not know.

use bpftwin_sim::uapi::insn::{
    BPF_ADD, BPF_ALU64, BPF_CALL, BPF_DW, BPF_EXIT, BPF_JA, BPF_JMP, BPF_JMP32, BPF_JNE, BPF_K, BPF_LDX,
    BPF_MEM, BPF_MOV, BPF_PSEUDO_CALL, BPF_STX, BPF_SUB, BPF_X, Slot,
};

use super::Random;
use super::instructions::{Level, Place, Scope, constant, imm, small, wide};

/// Bytes a program starts from and leaves: registers, stack, memory.
pub const BLOCK: usize = 256;
/// Registers that hold numbers: `r0` to `r8`, in the first bytes of the block.
pub const REGISTERS: usize = 9;
/// Where the stack's bytes are in the block.
pub const STACK_AT: usize = 80;
/// Slots of 8 bytes on the stack.
pub const STACK_SLOTS: usize = 8;
/// Where the memory is in the block, which goes on to its end.
pub const MEMORY_AT: usize = STACK_AT + 8 * STACK_SLOTS;
/// Points to the block.
const BASE: u8 = 9;
const FRAME: u8 = 10;

/// One piece of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// Instructions that belong together, without jumps.
    Step(Vec<Slot>),
    /// Two ways, joined again.
    If {
        /// The jump to `then`.
        condition: Slot,
        /// Where it holds.
        then: Vec<Node>,
        /// Where it does not.
        otherwise: Vec<Node>,
        /// Whether the jump over `then` is a `gotol`.
        far: bool,
    },
    /// `body`, this many times.
    Loop {
        /// The register that counts down.
        counter: u8,
        /// How often, at least once.
        times: i32,
        /// Steps that leave the counter alone.
        body: Vec<Node>,
    },
    /// A call of the program's function, and new contents for the registers it may not keep.
    Call([i32; 5]),
    /// Where the condition holds, the program ends here.
    Leave(Slot),
}

/// A random program and the inputs it is run with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// Its level.
    pub level: Level,
    /// What it does.
    pub body: Vec<Node>,
    /// The function that it calls.
    pub function: Vec<Node>,
    /// A block for every run.
    pub inputs: Vec<Vec<u8>>,
}

/// Runs of every program.
pub const RUNS: usize = 2;

impl Program {
    /// Program `index` of `seed`. `acquire`: whether the kernel has load-acquire and store-release.
    pub fn random(seed: u64, index: u64, level: Option<Level>, acquire: bool) -> Self {
        let r = &mut Random::of_case(seed, index);
        let level = level.unwrap_or(Level::ALL[(index % 4) as usize]);
        let registers: Vec<u8> = (0..REGISTERS as u8).collect();
        let stack =
            Place { base: FRAME, from: -8 * STACK_SLOTS as i16, len: 8 * STACK_SLOTS as i16, aligned: true };
        let memory =
            Place { base: BASE, from: MEMORY_AT as i16, len: (BLOCK - MEMORY_AT) as i16, aligned: false };
        let scope = Scope {
            level,
            acquire: acquire && level >= Level::V4,
            free: registers.clone(),
            readable: registers,
            places: vec![memory, stack],
        };
        let length = 4 + r.below(24);
        let body = nodes(r, &scope, length, 2);
        let calls = body.iter().any(has_call);
        let function = if calls {
            let own = Scope { places: vec![stack], ..scope };
            let length = 2 + r.below(8);
            (0..length).map(|_| Node::Step(own.step(r))).collect()
        } else {
            Vec::new()
        };
        let inputs = (0..RUNS).map(|_| input(r)).collect();
        Self { level, body, function, inputs }
    }
}

fn has_call(node: &Node) -> bool {
    match node {
        Node::Call(_) => true,
        Node::If { then, otherwise, .. } => then.iter().chain(otherwise).any(has_call),
        Node::Step(_) | Node::Loop { .. } | Node::Leave(_) => false,
    }
}

/// What a run begins with.
fn input(r: &mut Random) -> Vec<u8> {
    let mut block: Vec<u8> = (0..BLOCK / 8).flat_map(|_| wide(r).to_le_bytes()).collect();
    block[8 * REGISTERS..STACK_AT].fill(0);
    block
}

fn nodes(r: &mut Random, scope: &Scope, length: u64, depth: u32) -> Vec<Node> {
    (0..length)
        .map(|_| match r.below(16) {
            0 | 1 if depth > 0 => {
                let (then, otherwise) = (r.below(5), r.below(5));
                Node::If {
                    condition: scope.condition(r),
                    then: nodes(r, scope, then, depth - 1),
                    otherwise: nodes(r, scope, otherwise, depth - 1),
                    far: scope.level >= Level::V4 && r.chance(2),
                }
            }
            2 if r.chance(2) => {
                let counter = 6 + r.below(3) as u8;
                let free = scope.free.iter().copied().filter(|&free| free != counter).collect();
                let inside = Scope { free, ..scope.clone() };
                let body = (0..=r.below(4)).map(|_| Node::Step(inside.step(r))).collect();
                Node::Loop { counter, times: 1 + r.below(4) as i32, body }
            }
            3 if r.chance(2) => Node::Call([imm(r), imm(r), imm(r), imm(r), imm(r)]),
            4 if r.chance(4) => Node::Leave(scope.condition(r)),
            _ => Node::Step(scope.step(r)),
        })
        .collect()
}

/// Instructions under construction.
#[derive(Default)]
pub struct Code {
    /// What there is.
    pub slots: Vec<Slot>,
    /// `ld_imm64` of the map's value.
    pub value_at: Vec<u32>,
    /// Calls of the program's function.
    calls: Vec<usize>,
    /// Jumps to the program's end.
    leaves: Vec<usize>,
}

const EXIT: Slot = Slot { code: BPF_JMP | BPF_EXIT, dst: 0, src: 0, off: 0, imm: 0 };

impl Code {
    /// Programs one after the other, each over the block of its number, and `exit`.
    pub fn of(programs: &[Program]) -> Self {
        let mut code = Self::default();
        let mut calls = Vec::new();
        for (index, program) in programs.iter().enumerate() {
            code.program(program, index);
            calls.push(std::mem::take(&mut code.calls));
        }
        code.slots.extend([small(0, 0), EXIT]);
        for (program, calls) in programs.iter().zip(calls) {
            if calls.is_empty() {
                continue;
            }
            let start = code.slots.len();
            code.function(&program.function);
            for call in calls {
                code.slots[call].imm = (start - call - 1) as i32;
            }
        }
        code
    }

    fn program(&mut self, program: &Program, index: usize) {
        self.value_at.push(self.slots.len() as u32);
        self.slots.extend(constant(BASE, 0));
        self.slots.push(Slot {
            code: BPF_ALU64 | BPF_ADD | BPF_K,
            dst: BASE,
            imm: (index * BLOCK) as i32,
            ..Slot::default()
        });
        for slot in 0..STACK_SLOTS {
            self.slots.push(load(0, BASE, STACK_AT + 8 * slot));
            self.slots.push(store(FRAME, -8 * (STACK_SLOTS - slot) as i16, 0));
        }
        for register in 0..REGISTERS {
            self.slots.push(load(register as u8, BASE, 8 * register));
        }
        self.nodes(&program.body);
        let end = self.slots.len();
        for leave in self.leaves.drain(..) {
            self.slots[leave].off = (end - leave - 1) as i16;
        }
        for register in 0..REGISTERS {
            self.slots.push(store(BASE, 8 * register as i16, register as u8));
        }
        for slot in 0..STACK_SLOTS {
            let off = -8 * (STACK_SLOTS - slot) as i16;
            self.slots.push(Slot { off, ..load(0, FRAME, 0) });
            self.slots.push(store(BASE, (STACK_AT + 8 * slot) as i16, 0));
        }
    }

    /// A function of `r1` to `r5` that returns `r0`.
    fn function(&mut self, body: &[Node]) {
        let copy = |dst, src| Slot { code: BPF_ALU64 | BPF_MOV | BPF_X, dst, src, off: 0, imm: 0 };
        for slot in 0..STACK_SLOTS {
            self.slots.push(store(FRAME, -8 * (STACK_SLOTS - slot) as i16, 1 + slot as u8 % 5));
        }
        self.slots.extend([copy(0, 5), copy(6, 4), copy(7, 3), copy(8, 2)]);
        self.nodes(body);
        self.slots.push(EXIT);
    }

    fn nodes(&mut self, nodes: &[Node]) {
        for node in nodes {
            match node {
                Node::Step(slots) => self.slots.extend(slots),
                Node::If { condition, then, otherwise, far } => {
                    let jump = self.slots.len();
                    self.slots.push(*condition);
                    self.nodes(otherwise);
                    let over = self.slots.len();
                    self.slots.push(EXIT);
                    self.nodes(then);
                    let end = self.slots.len();
                    self.slots[jump].off = (over - jump) as i16;
                    let distance = (end - over - 1) as i32;
                    self.slots[over] = if *far {
                        Slot { code: BPF_JMP32 | BPF_JA, imm: distance, ..Slot::default() }
                    } else {
                        Slot { code: BPF_JMP | BPF_JA, off: distance as i16, ..Slot::default() }
                    };
                }
                Node::Loop { counter, times, body } => {
                    self.slots.push(small(*counter, *times));
                    let start = self.slots.len();
                    self.nodes(body);
                    let step =
                        Slot { code: BPF_ALU64 | BPF_SUB | BPF_K, dst: *counter, imm: 1, ..Slot::default() };
                    self.slots.push(step);
                    let off = -((self.slots.len() - start + 1) as i16);
                    self.slots.push(Slot {
                        code: BPF_JMP | BPF_JNE | BPF_K,
                        dst: *counter,
                        off,
                        ..Slot::default()
                    });
                }
                Node::Call(after) => {
                    self.calls.push(self.slots.len());
                    self.slots.push(Slot {
                        code: BPF_JMP | BPF_CALL,
                        src: BPF_PSEUDO_CALL,
                        ..Slot::default()
                    });
                    self.slots.extend((1..).zip(after).map(|(register, value)| small(register, *value)));
                }
                Node::Leave(condition) => {
                    self.leaves.push(self.slots.len());
                    self.slots.push(*condition);
                }
            }
        }
    }
}

const fn load(dst: u8, src: u8, off: usize) -> Slot {
    Slot { code: BPF_LDX | BPF_MEM | BPF_DW, dst, src, off: off as i16, imm: 0 }
}

const fn store(dst: u8, off: i16, src: u8) -> Slot {
    Slot { code: BPF_STX | BPF_MEM | BPF_DW, dst, src, off, imm: 0 }
}
