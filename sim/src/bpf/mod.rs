//! Floor 2: the machine. Objects become programs, programs run over guest memory and maps.

pub mod asm;
pub mod btf;
pub mod core_relo;
mod decode;
pub mod engine;
pub mod fault;
mod fuse;
pub mod insn;
pub mod interp;
pub mod jit;
pub mod link;
pub mod load;
pub mod machine;
pub mod map;
pub mod mem;
pub mod object;
pub mod program;
mod rbpf;
pub mod remembered;
pub mod uses;
pub mod vectors;

pub use engine::Engine;
pub use fault::{Fault, FaultKind};
pub use machine::{Host, Machine};
pub use mem::{Access, Addr, Memory};
