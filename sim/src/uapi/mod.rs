//! Floor 0: the kernel's ABI as data. No behaviour lives here, only numbers, names and layouts.

pub mod action;
pub mod ctx;
pub mod errno;
pub mod helper;
pub mod insn;
mod kernel_enum;
pub mod map;
pub mod prog;
mod release;

pub use errno::Errno;
pub use map::MapType;
pub use prog::{AttachType, ProgType, ProgTypes};
pub use release::Release;
