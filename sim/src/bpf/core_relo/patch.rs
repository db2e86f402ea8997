//! A number into an instruction (`bpf_core_patch_insn`).

use super::change::Change;
use crate::bpf::object::functions::{CALL, LD_IMM64, opcode};

/// The helper that does not exist and is called where the kernel lacks what the program asks about: "bad relo".
pub const BAD_RELO: u32 = 0x0bad_2310;

/// Bits of `code` that are an instruction's class.
const CLASS: u8 = 0x07;
/// Bits of `code` that are the width of a load or store.
const SIZE: u8 = 0x18;
/// `BPF_SRC` of `code`: the operand is a register.
const REGISTER: u8 = 0x08;

pub(super) fn patch(slots: &mut [u64], slot: usize, change: &Change) -> Result<(), String> {
    let insn = *slots.get(slot).ok_or("the instruction does not exist")?;
    let code = opcode(insn);
    let expect = |found: i64| {
        if change.validate && found as u64 != change.old {
            return Err(format!("the instruction holds {found}, and its relocation says {}", change.old));
        }
        Ok(())
    };
    let wide = code == LD_IMM64;
    let resize = change.resize.filter(|_| matches!(code & CLASS, 1..=3));
    if change.poison || resize == Some(Err(())) {
        slots[slot] = poison();
        if wide && let Some(second) = slots.get_mut(slot + 1) {
            *second = poison();
        }
        return Ok(());
    }
    match code & CLASS {
        4 | 7 if code & REGISTER == 0 => {
            expect(insn as i64 >> 32)?;
            slots[slot] = insn & 0xffff_ffff | change.new << 32;
        }
        0 if wide => {
            let second = *slots.get(slot + 1).ok_or("the instruction is cut")?;
            expect((insn >> 32 | second >> 32 << 32) as i64)?;
            slots[slot] = insn & 0xffff_ffff | change.new << 32;
            slots[slot + 1] = second & 0xffff_ffff | change.new >> 32 << 32;
        }
        1..=3 => {
            expect(i64::from((insn >> 16) as i16))?;
            let offset =
                i16::try_from(change.new).map_err(|_| format!("offset {} does not fit", change.new))?;
            let code = match resize {
                Some(Ok((from, to))) => resized(code, from, to)?,
                _ => code,
            };
            slots[slot] = insn & !0xffff_00ff | u64::from(offset as u16) << 16 | u64::from(code);
        }
        _ => return Err(format!("an instruction with opcode {code:#04x} cannot be relocated")),
    }
    Ok(())
}

fn poison() -> u64 {
    u64::from(BAD_RELO) << 32 | u64::from(CALL)
}

fn resized(code: u8, from: u32, to: u32) -> Result<u8, String> {
    let width = |bytes: u32| match bytes {
        4 => Ok(0x00),
        2 => Ok(0x08),
        1 => Ok(0x10),
        8 => Ok(0x18),
        _ => Err(format!("no load has {bytes} bytes")),
    };
    if width(from)? != code & SIZE {
        return Err(format!("the instruction does not access the {from} bytes of the field"));
    }
    Ok(code & !SIZE | width(to)?)
}
