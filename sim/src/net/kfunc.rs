//! Kernel functions: which there are, by name, and calling them by number.

use crate::bpf::load::{Kfunc, KfuncUse};

/// What the kernel spoken as makes of a kernel function that a program uses. None is modelled yet, and which ones a
/// kernel has is known only from its types.
pub fn resolve(used: &KfuncUse<'_>) -> Kfunc {
    let _ = used;
    Kfunc::Absent
}
