use std::fmt::Write;

use super::*;

/// What `llvm-mc` makes of the same text.
#[test]
fn every_form_has_its_encoding() {
    for (text, bytes) in [
        ("r0 = 5", "b700000005000000"),
        ("w3 = -1", "b4030000ffffffff"),
        ("r9 = r10", "bfa9000000000000"),
        ("w1 = w2", "bc21000000000000"),
        ("r1 = (s8)r2", "bf21080000000000"),
        ("w1 = (s16)w2", "bc21100000000000"),
        ("r4 = (s32)r5", "bf54200000000000"),
        ("r0 += 7", "0700000007000000"),
        ("r0 -= r9", "1f90000000000000"),
        ("w0 *= 3", "2400000003000000"),
        ("r0 /= r1", "3f10000000000000"),
        ("w0 %= w1", "9c10000000000000"),
        ("r0 s/= 5", "3700010005000000"),
        ("w2 s%= w3", "9c32010000000000"),
        ("r0 |= 1", "4700000001000000"),
        ("r0 &= r1", "5f10000000000000"),
        ("w0 ^= 9", "a400000009000000"),
        ("r0 <<= 4", "6700000004000000"),
        ("r0 >>= r2", "7f20000000000000"),
        ("w0 s>>= 3", "c400000003000000"),
        ("r3 = -r3", "8703000000000000"),
        ("w3 = -w3", "8403000000000000"),
        ("r1 = le16 r1", "d401000010000000"),
        ("r1 = be32 r1", "dc01000020000000"),
        ("r1 = bswap64 r1", "d701000040000000"),
        ("r1 = 0x1122334455667788 ll", "18010000887766550000000044332211"),
        ("r1 = *(u8 *)(r2 + 1)", "7121010000000000"),
        ("r1 = *(u16 *)(r2 - 2)", "6921feff00000000"),
        ("r1 = *(u32 *)(r2 + 0)", "6121000000000000"),
        ("r1 = *(u64 *)(r10 - 512)", "79a100fe00000000"),
        ("r1 = *(s8 *)(r2 + 1)", "9121010000000000"),
        ("r1 = *(s16 *)(r2 + 2)", "8921020000000000"),
        ("r1 = *(s32 *)(r2 + 4)", "8121040000000000"),
        ("*(u8 *)(r1 + 0) = r2", "7321000000000000"),
        ("*(u16 *)(r1 + 2) = r2", "6b21020000000000"),
        ("*(u32 *)(r1 + 4) = r2", "6321040000000000"),
        ("*(u64 *)(r1 + 8) = r2", "7b21080000000000"),
        ("*(u8 *)(r1 + 0) = 3", "7201000003000000"),
        ("*(u64 *)(r1 + 8) = -4", "7a010800fcffffff"),
        ("lock *(u32 *)(r1 + 4) += w2", "c321040000000000"),
        ("lock *(u64 *)(r1 + 8) |= r2", "db21080040000000"),
        ("lock *(u64 *)(r1 + 8) &= r2", "db21080050000000"),
        ("lock *(u64 *)(r1 + 8) ^= r2", "db210800a0000000"),
        ("w2 = atomic_fetch_add((u32 *)(r1 + 4), w2)", "c321040001000000"),
        ("r2 = atomic_fetch_or((u64 *)(r1 + 8), r2)", "db21080041000000"),
        ("r2 = atomic_fetch_and((u64 *)(r1 + 8), r2)", "db21080051000000"),
        ("r2 = atomic_fetch_xor((u64 *)(r1 + 8), r2)", "db210800a1000000"),
        ("w2 = xchg32_32(r1 + 4, w2)", "c3210400e1000000"),
        ("r2 = xchg_64(r1 + 8, r2)", "db210800e1000000"),
        ("w0 = cmpxchg32_32(r1 + 4, w0, w2)", "c3210400f1000000"),
        ("r0 = cmpxchg_64(r1 + 8, r0, r2)", "db210800f1000000"),
        ("r0 = *(u8 *)skb[3]", "3000000003000000"),
        ("r0 = *(u16 *)skb[r7]", "4870000000000000"),
        ("r0 = *(u32 *)skb[4]", "2000000004000000"),
        ("if r1 == 5 goto +1", "1501010005000000"),
        ("if r1 != r2 goto -1", "5d21ffff00000000"),
        ("if r1 > 1 goto +1", "2501010001000000"),
        ("if r1 >= 1 goto +1", "3501010001000000"),
        ("if r1 < 1 goto +1", "a501010001000000"),
        ("if r1 <= 1 goto +1", "b501010001000000"),
        ("if r1 s> -1 goto +1", "65010100ffffffff"),
        ("if r1 s>= r3 goto +1", "7d31010000000000"),
        ("if r1 s< -1 goto +1", "c5010100ffffffff"),
        ("if r1 s<= 1 goto +1", "d501010001000000"),
        ("if r1 & 8 goto +1", "4501010008000000"),
        ("if w1 == w2 goto +1", "1e21010000000000"),
        ("if w1 s< 7 goto +1", "c601010007000000"),
        ("goto +2", "0500020000000000"),
        ("gotol +3", "0600000003000000"),
        ("may_goto +2", "e500020000000000"),
        ("call 5", "8500000005000000"),
        ("exit", "9500000000000000"),
    ] {
        let slots = assemble(text).unwrap_or_else(|e| panic!("{e}")).slots;
        let mut hex = String::new();
        for byte in slots.iter().flat_map(|slot| slot.to_le_bytes()) {
            write!(hex, "{byte:02x}").unwrap();
        }
        assert_eq!(hex, bytes, "{text}");
    }
}

#[test]
fn a_mistake_is_named_with_its_line() {
    for (text, what) in [
        ("r0 = 1; foo", "no such instruction"),
        ("r0 ** 2", "= expected"),
        ("goto nowhere", "no label nowhere"),
        ("r0 = 0x100000000", "more than 32 bits"),
        ("r0 = *(u24 *)(r1 + 0)", "\"u24\" is no width"),
        ("r0 = *(u8 *)(r1 + 40000)", "more than 16 bits"),
        ("exit now", "no such instruction"),
        ("r0 = 1 2", "is too much"),
        ("r1 = atomic_fetch_add((u64 *)(r2 + 0), r3)", "the source register"),
        ("r1 = cmpxchg_64(r2 + 0, r1, r3)", "cmpxchg works on r0"),
    ] {
        let error = assemble(text).unwrap_err().to_string();
        assert!(error.contains(what), "{text}: {error}");
    }
}

#[test]
fn symbols_are_defined_by_the_caller() {
    let mut code = assemble("r1 = map ll; r2 = other ll; exit").unwrap();
    code.define("map", 1, 0x1_0000_0002);
    assert_eq!(code.slots[..2], [0x0000_0002_0000_1118, 0x0000_0001_0000_0000]);
    assert_eq!(code.symbols, [(0, "map".to_owned()), (2, "other".to_owned())]);
}
