//! Loads and stores: what the shadow allows at a glance here, the rest elsewhere.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{Block, InstBuilder, Type, Value};

use super::cx::at;
use super::emit::{Emitter, PLAIN};
use crate::bpf::insn::{Insn, Op};
use crate::bpf::mem::{ARENA_SIZE, CTX_BASE, READ, WRITE};
use crate::bpf::remembered::Remembered;

/// What an access does besides where.
#[derive(Clone, Copy)]
enum What {
    Load { signed: bool },
    Store,
    StoreImm,
}

impl Emitter<'_> {
    /// Translates a load or a store; `false` if it is neither.
    pub(super) fn access(&mut self, insn: Insn) -> bool {
        let Some((width, what, in_frame)) = kind(insn.op) else { return false };
        let register = if matches!(what, What::Load { .. }) { insn.src } else { insn.dst };
        let pointer = self.get(register);
        let offset = self.constant(i64::from(insn.off));
        let addr = self.b.ins().iadd(pointer, offset);
        if in_frame {
            self.transfer(insn, width, what, addr);
            return true;
        }
        let (near, direct) = (self.b.create_block(), self.b.create_block());
        let (elsewhere, done) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(elsewhere);
        let whole = matches!(insn.op, Op::Load4 | Op::Store4 | Op::StoreImm4);
        if whole && self.known().context.has(register) {
            self.remembered(insn, what, addr, elsewhere, done);
        }
        let last = self.constant(ARENA_SIZE as i64 - 1);
        let inside = self.b.ins().icmp(IntCC::UnsignedLessThanOrEqual, addr, last);
        self.b.ins().brif(inside, near, &[], elsewhere, &[]);
        self.b.switch_to_block(near);
        let allowed = self.allowed(addr, width, matches!(what, What::Load { .. }));
        self.b.ins().brif(allowed, direct, &[], elsewhere, &[]);

        self.b.switch_to_block(elsewhere);
        self.step_aside();
        if let What::Load { .. } = what {
            self.reload(insn.dst);
        }
        self.b.ins().jump(done, &[]);

        self.b.switch_to_block(direct);
        self.transfer(insn, width, what, addr);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(done);
        true
    }

    /// A read or a store of a whole word of the context, done with [`Remembered`] where that may be; where it may not,
    /// `elsewhere`. Goes on if the address is not a word of the context.
    fn remembered(&mut self, insn: Insn, what: What, addr: Value, elsewhere: Block, done: Block) {
        let (context, outside, here) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let (base, two, words) = (self.constant(CTX_BASE as i64), self.constant(2), self.constant(64));
        let offset = self.b.ins().isub(addr, base);
        // What is not at a whole word becomes very large.
        let word = self.b.ins().rotr(offset, two);
        let inside = self.b.ins().icmp(IntCC::UnsignedLessThan, word, words);
        self.b.ins().brif(inside, context, &[], outside, &[]);
        self.b.switch_to_block(context);
        let remembered = self.b.ins().load(I64, PLAIN, self.cx, at::REMEMBERED);
        let bits = if matches!(what, What::Load { .. }) { Remembered::KNOWN } else { Remembered::KEPT };
        let bits = self.b.ins().load(I64, PLAIN, remembered, bits as i32);
        let bits = self.b.ins().ushr(bits, word);
        let one = self.constant(1);
        let bit = self.b.ins().band(bits, one);
        self.b.ins().brif(bit, here, &[], elsewhere, &[]);
        self.b.switch_to_block(here);
        let at = self.b.ins().iadd(remembered, offset);
        match self.stored(insn, what) {
            None => {
                let value = self.b.ins().uload32(PLAIN, at, Remembered::VALUES as i32);
                self.set(insn.dst, value);
            }
            Some(value) => {
                self.b.ins().istore32(PLAIN, value, at, Remembered::VALUES as i32);
                let bit = self.b.ins().ishl(one, word);
                for bits in [Remembered::KNOWN, Remembered::STORED] {
                    let old = self.b.ins().load(I64, PLAIN, remembered, bits as i32);
                    let new = self.b.ins().bor(old, bit);
                    self.b.ins().store(PLAIN, new, remembered, bits as i32);
                }
            }
        }
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(outside);
    }

    /// What the instruction stores, if it does.
    fn stored(&mut self, insn: Insn, what: What) -> Option<Value> {
        match what {
            What::Load { .. } => None,
            What::Store => Some(self.get(insn.src)),
            What::StoreImm => Some(self.constant(insn.imm as i64)),
        }
    }

    /// Whether the shadow allows it: [`READ`] and [`WRITE`] say how.
    fn allowed(&mut self, addr: Value, width: Type, read: bool) -> Value {
        let at = self.b.ins().iadd(self.shadow, addr);
        let byte = self.b.ins().load(I8, PLAIN, at, 0);
        let (reach, least) = if read {
            (byte, width.bytes() as u8 * READ)
        } else {
            let mask = self.b.ins().iconst(I8, i64::from(READ - 1));
            (self.b.ins().band(byte, mask), width.bytes() as u8 * WRITE)
        };
        let least = self.b.ins().iconst(I8, i64::from(least));
        self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, reach, least)
    }

    /// The access itself, at an address that has been looked at.
    fn transfer(&mut self, insn: Insn, width: Type, what: What, addr: Value) {
        let at = self.b.ins().iadd(self.bytes, addr);
        if let What::Load { signed } = what {
            let value = self.b.ins().load(width, PLAIN, at, 0);
            let value = match (width, signed) {
                (I64, _) => value,
                (_, true) => self.b.ins().sextend(I64, value),
                (_, false) => self.b.ins().uextend(I64, value),
            };
            self.set(insn.dst, value);
        }
        if let Some(value) = self.stored(insn, what) {
            let value = if width == I64 { value } else { self.b.ins().ireduce(width, value) };
            self.b.ins().store(PLAIN, value, at, 0);
        }
    }
}

/// Width, what is done, and whether decoding has proved it to lie in the frame.
fn kind(op: Op) -> Option<(Type, What, bool)> {
    let load = What::Load { signed: false };
    let signed = What::Load { signed: true };
    Some(match op {
        Op::Load1 => (I8, load, false),
        Op::Load2 => (I16, load, false),
        Op::Load4 => (I32, load, false),
        Op::Load8 => (I64, load, false),
        Op::Loadsx1 => (I8, signed, false),
        Op::Loadsx2 => (I16, signed, false),
        Op::Loadsx4 => (I32, signed, false),
        Op::Store1 => (I8, What::Store, false),
        Op::Store2 => (I16, What::Store, false),
        Op::Store4 => (I32, What::Store, false),
        Op::Store8 => (I64, What::Store, false),
        Op::StoreImm1 => (I8, What::StoreImm, false),
        Op::StoreImm2 => (I16, What::StoreImm, false),
        Op::StoreImm4 => (I32, What::StoreImm, false),
        Op::StoreImm8 => (I64, What::StoreImm, false),
        Op::StackLoad1 => (I8, load, true),
        Op::StackLoad2 => (I16, load, true),
        Op::StackLoad4 => (I32, load, true),
        Op::StackLoad8 => (I64, load, true),
        Op::StackStore1 => (I8, What::Store, true),
        Op::StackStore2 => (I16, What::Store, true),
        Op::StackStore4 => (I32, What::Store, true),
        Op::StackStore8 => (I64, What::Store, true),
        Op::StackStoreImm1 => (I8, What::StoreImm, true),
        Op::StackStoreImm2 => (I16, What::StoreImm, true),
        Op::StackStoreImm4 => (I32, What::StoreImm, true),
        Op::StackStoreImm8 => (I64, What::StoreImm, true),
        _ => return None,
    })
}
