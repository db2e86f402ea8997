//! The arithmetic that is not Rust's: division by zero gives 0, the remainder by zero gives the dividend, the quotient
//! of the least number and -1 wraps, and shifts take their count modulo the width
//! (`kernel/bpf/core.c: ___bpf_prog_run` and `kernel/bpf/verifier.c: do_misc_fixups`, v6.12).

pub(super) fn div64(a: u64, b: u64) -> u64 {
    a.checked_div(b).unwrap_or(0)
}

pub(super) fn mod64(a: u64, b: u64) -> u64 {
    a.checked_rem(b).unwrap_or(a)
}

pub(super) fn sdiv64(a: u64, b: u64) -> u64 {
    if b == 0 { 0 } else { (a as i64).wrapping_div(b as i64) as u64 }
}

pub(super) fn smod64(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { (a as i64).wrapping_rem(b as i64) as u64 }
}

pub(super) fn lsh64(a: u64, b: u64) -> u64 {
    a.wrapping_shl(b as u32)
}

pub(super) fn rsh64(a: u64, b: u64) -> u64 {
    a.wrapping_shr(b as u32)
}

pub(super) fn arsh64(a: u64, b: u64) -> u64 {
    (a as i64).wrapping_shr(b as u32) as u64
}

pub(super) fn div32(a: u32, b: u32) -> u32 {
    a.checked_div(b).unwrap_or(0)
}

pub(super) fn mod32(a: u32, b: u32) -> u32 {
    a.checked_rem(b).unwrap_or(a)
}

pub(super) fn sdiv32(a: u32, b: u32) -> u32 {
    if b == 0 { 0 } else { (a as i32).wrapping_div(b as i32) as u32 }
}

pub(super) fn smod32(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { (a as i32).wrapping_rem(b as i32) as u32 }
}

pub(super) fn lsh32(a: u32, b: u32) -> u32 {
    a.wrapping_shl(b)
}

pub(super) fn rsh32(a: u32, b: u32) -> u32 {
    a.wrapping_shr(b)
}

pub(super) fn arsh32(a: u32, b: u32) -> u32 {
    (a as i32).wrapping_shr(b) as u32
}
