//! Floor 0: the kernel's ABI as data. No behaviour lives here, only numbers, names and layouts.

pub mod action;
pub mod ctx;
pub mod errno;
pub mod helper;
pub mod insn;
mod kconfig;
mod kernel_enum;
pub mod map;
pub mod prog;
mod release;
pub mod sockopt;

pub use errno::Errno;
pub use kconfig::{KCONFIG, kconfig};
pub use map::MapType;
pub use prog::{AttachType, ProgType, ProgTypes, return_range};
pub use release::Release;

/// The layouts of the user-space ABI's contexts, helper arguments, packet headers and enumerations, as a `.BTF` section
/// taken from kernel 6.18.44. `types/types.c` names them, `types/build.sh` makes it.
///
/// Layouts of the ABI do not change between kernels; structs only gain members at their end or in holes.
pub const TYPES: &[u8] = include_bytes!("types/types.btf");
