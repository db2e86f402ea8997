//! Iterators: numbers in a range, bits that are set.
//!
//! An iterator's bytes on the stack are the kernel's; the program gets pointers into them.

use super::Kfunc;
use crate::bpf::{Addr, FaultKind};
use crate::net::held::Kind;
use crate::net::helper::{Arg, Call, Ret};
use crate::uapi::{Errno, ProgTypes};

/// `BPF_MAX_LOOPS`.
const BPF_MAX_LOOPS: i64 = 8 << 20;
/// `kernel/bpf/helpers.c: BITS_ITER_NR_WORDS_MAX`, v6.12.
const BITS_ITER_NR_WORDS_MAX: u32 = 511;
/// `sizeof(struct bpf_iter_num)`.
const NUM: u32 = 8;
/// `sizeof(struct bpf_iter_bits)`: the bits of one word, or where the words are; how many bits; the last one given.
const BITS: u32 = 16;

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Kfunc] = &[
    Kfunc::new("bpf_iter_num_new", ProgTypes::ALL, &[Arg::Fixed(NUM), Arg::Any, Arg::Any], num_new,
        "kernel/bpf/bpf_iter.c: bpf_iter_num_new"),
    Kfunc::new("bpf_iter_num_next", ProgTypes::ALL, &[Arg::Fixed(NUM)], num_next,
        "kernel/bpf/bpf_iter.c: bpf_iter_num_next"),
    Kfunc::new("bpf_iter_num_destroy", ProgTypes::ALL, &[Arg::Fixed(NUM)], num_destroy,
        "kernel/bpf/bpf_iter.c: bpf_iter_num_destroy").releasing(Kind::IterNum),
    Kfunc::new("bpf_iter_bits_new", ProgTypes::ALL, &[Arg::Fixed(BITS), Arg::Any, Arg::Any], bits_new,
        "kernel/bpf/helpers.c: bpf_iter_bits_new"),
    Kfunc::new("bpf_iter_bits_next", ProgTypes::ALL, &[Arg::Fixed(BITS)], bits_next,
        "kernel/bpf/helpers.c: bpf_iter_bits_next"),
    Kfunc::new("bpf_iter_bits_destroy", ProgTypes::ALL, &[Arg::Fixed(BITS)], bits_destroy,
        "kernel/bpf/helpers.c: bpf_iter_bits_destroy").releasing(Kind::IterBits),
];

impl Call<'_, '_> {
    fn number(&self, at: Addr) -> i32 {
        i32::from_le_bytes(self.machine.mem.raw(at, 4).try_into().expect("4 bytes"))
    }

    fn set_number(&mut self, at: Addr, value: i32) {
        self.machine.mem.raw_mut(at, 4).copy_from_slice(&value.to_le_bytes());
    }

    /// Argument 1 becomes an iterator, which has to be destroyed whatever `new` returns.
    fn begin(&mut self, kind: Kind) -> Result<Addr, FaultKind> {
        let it = self.args[0];
        if [Kind::IterNum, Kind::IterBits].iter().any(|&kind| self.run.held.has(kind, it)) {
            return Err(self.bad_arg(1, "an iterator already"));
        }
        self.run.held.acquire(kind, it);
        Ok(it)
    }

    /// The iterator that argument 1 is.
    fn iterator(&self, kind: Kind) -> Result<Addr, FaultKind> {
        let it = self.args[0];
        if self.run.held.has(kind, it) { Ok(it) } else { Err(self.bad_arg(1, "no iterator")) }
    }
}

fn num_new(call: &mut Call<'_, '_>) -> Ret {
    let it = call.begin(Kind::IterNum)?;
    let [_, start, end, ..] = call.args.map(|arg| arg as i32);
    let span = i64::from(end) - i64::from(start);
    let (current, end, done) = if span < 0 {
        (0, 0, Err(Errno::EINVAL))
    } else if span > BPF_MAX_LOOPS {
        (0, 0, Err(Errno::E2BIG))
    } else {
        (start.wrapping_sub(1), end, Ok(0))
    };
    call.set_number(it, current);
    call.set_number(it + 4, end);
    int(done)
}

fn num_next(call: &mut Call<'_, '_>) -> Ret {
    let it = call.iterator(Kind::IterNum)?;
    let next = call.number(it).wrapping_add(1);
    if next >= call.number(it + 4) {
        call.set_number(it, 0);
        call.set_number(it + 4, 0);
        return Ok(0);
    }
    call.set_number(it, next);
    Ok(it)
}

fn num_destroy(call: &mut Call<'_, '_>) -> Ret {
    let it = call.args[0];
    call.set_number(it, 0);
    call.set_number(it + 4, 0);
    Ok(0)
}

fn bits_new(call: &mut Call<'_, '_>) -> Ret {
    let it = call.begin(Kind::IterBits)?;
    let [_, words, count, ..] = call.args;
    let count = count as u32;
    call.set_number(it + 8, 0);
    call.set_number(it + 12, -1);
    call.run.bits.remove(&it);
    if words == 0 || count == 0 {
        return int(Err(Errno::EINVAL));
    }
    if count > BITS_ITER_NR_WORDS_MAX {
        return int(Err(Errno::E2BIG));
    }
    // `probe_read_kernel`: whatever cannot be read is `EFAULT`, not a fault.
    let Ok(bytes) = call.machine.mem.guest(words, u64::from(count) * 8) else {
        return int(Err(Errno::EFAULT));
    };
    call.run.bits.insert(it, bytes.to_vec());
    call.set_number(it + 8, count as i32 * 64);
    Ok(0)
}

fn bits_next(call: &mut Call<'_, '_>) -> Ret {
    let it = call.iterator(Kind::IterBits)?;
    let (end, last) = (call.number(it + 8), call.number(it + 12));
    if end == 0 || last >= end {
        return Ok(0);
    }
    let Some(bytes) = call.run.bits.get(&it) else { return Ok(0) };
    let set = |bit: &i32| bytes[*bit as usize / 8] & 1 << (bit % 8) != 0;
    let next = (last + 1..end).find(set);
    call.set_number(it + 12, next.unwrap_or(end));
    Ok(if next.is_some() { it + 12 } else { 0 })
}

fn bits_destroy(call: &mut Call<'_, '_>) -> Ret {
    let it = call.args[0];
    call.run.bits.remove(&it);
    Ok(0)
}

/// What a function that returns `int` leaves in `r0`: 32 bits of it.
pub(super) fn int(result: Result<u32, Errno>) -> Ret {
    Ok(result.map_or_else(|errno| u64::from(errno.as_r0() as u32), u64::from))
}
