//! Programs whose context is no skb and no XDP frame: flow dissectors, sk_lookup, netfilter and syscall.

use bpftwin_sim::uapi::{AttachType, ProgType};

use super::planes::both;

fn agree(kind: (ProgType, AttachType), text: &str, data: &[u8], ctx: &[u8], repeat: u32) {
    let (real, simulated) = both(kind, text, data, ctx, repeat);
    assert_eq!(simulated, real, "{text}, {} bytes, ctx {ctx:02x?}, repeat {repeat}", data.len());
}

#[test]
fn flow_dissectors() {
    let kind = (ProgType::FlowDissector, AttachType::FlowDissector);
    let mut data = vec![0; 4097];
    data[12..14].copy_from_slice(&[0x86, 0xdd]);
    let keys = "r6 = *(u64 *)(r1 +144)";
    for nhoff in [0, 13, 14, 20, 60, 100, 65535] {
        for thoff in [0, 14, 19, 54, 60, 61, 65535] {
            let text = format!(
                "{keys}; r2 = {nhoff}; *(u16 *)(r6 +0) = r2; r2 = {thoff}; *(u16 *)(r6 +2) = r2; r0 = 0; exit"
            );
            agree(kind, &text, &data[..60], &[], 1);
        }
    }
    let count = format!(
        "{keys}; r2 = *(u32 *)(r6 +12); r2 += 1; *(u32 *)(r6 +12) = r2; r0 = *(u16 *)(r6 +10); r3 = *(u32 *)(r6 +48);
         *(u32 *)(r6 +16) = r3; exit"
    );
    for size in [0, 13, 14, 60, 4096, 4097] {
        agree(kind, &count, &data[..size], &[], 3);
    }
    for at in (0..56).step_by(4) {
        let mut ctx = [0; 56];
        ctx[at] = 1;
        agree(kind, &count, &data[..60], &ctx, 1);
    }
    agree(kind, &count, &data[..60], &[0; 64], 1);
    let mut long = [0; 64];
    long[60] = 1;
    agree(kind, &count, &data[..60], &long, 1);
    let load = "r2 = 0; r3 = r10; r3 += -8; r4 = 8; *(u64 *)(r10 -8) = -1; call 26; r1 = *(u64 *)(r10 -8); r0 += r1; exit";
    agree(kind, load, &data[..60], &[], 1);
}

#[test]
fn sk_lookup() {
    let kind = (ProgType::SkLookup, AttachType::SkLookup);
    let mut base = [0; 72];
    base[8] = 2;
    base[12] = 17;
    for (at, byte) in (16..60).zip(1..) {
        base[at] = byte;
    }
    base[60] = 80;
    let mut v6 = base;
    v6[8] = 10;
    for ctx in [base, v6] {
        for (at, size) in [
            (8, 4),
            (12, 1),
            (16, 4),
            (17, 1),
            (18, 2),
            (20, 4),
            (24, 4),
            (32, 2),
            (36, 4),
            (36, 2),
            (37, 1),
            (38, 2),
            (40, 4),
            (44, 4),
            (56, 4),
            (60, 4),
            (60, 2),
            (64, 4),
        ] {
            // The program may answer 0 or 1 only: one run for every bit of what it read.
            for bit in 0..size * 8 {
                let text = format!("r0 = *(u{} *)(r1 +{at}); r0 >>= {bit}; r0 &= 1; exit", size * 8);
                agree(kind, &text, &[], &ctx, 1);
            }
        }
    }
    let pass = "r0 = 1; exit";
    for (at, value) in
        [(0, 1), (8, 0), (8, 1), (8, 11), (10, 1), (62, 1), (63, 1), (64, 1), (68, 1), (71, 1), (38, 1)]
    {
        let mut ctx = base;
        ctx[at] = value;
        agree(kind, pass, &[], &ctx, 1);
    }
    agree(kind, pass, &[], &base[..64], 2);
    agree(kind, pass, &[], &[], 1);
    for flags in 0..5 {
        let text = format!("r2 = 0; r3 = {flags}; call 124; r0 &= 1; exit");
        agree(kind, &text, &[], &base, 1);
    }
}

#[test]
fn netfilter() {
    let kind = (ProgType::Netfilter, AttachType::Netfilter);
    let state = |hook: u8, pf: u8| {
        let mut ctx = [0; 48];
        (ctx[0], ctx[1]) = (hook, pf);
        ctx
    };
    let frame = |proto: u16, len: usize| {
        let mut data = vec![0x45; len];
        if let Some(at) = data.get_mut(12..14) {
            at.copy_from_slice(&proto.to_be_bytes());
        }
        data
    };
    // The program may answer 0 or 1 only: one run for every bit of what it read, and for whether a pointer is NULL.
    let looks = |offset: u32, size: u32, bit: u32| {
        format!(
            "r6 = *(u64 *)(r1 +0); r7 = *(u64 *)(r1 +8); r1 = *(u{} *)(r6 +{offset}); r0 = r1; r0 >>= {bit}; r0 &= 1;
             if r7 != 0 goto +1; r0 = 1; exit",
            size * 8
        )
    };
    for hook in [0, 1, 2, 3, 4, 5, 255] {
        for pf in [2, 10, 0, 3] {
            let ctx = state(hook, pf);
            for (proto, len) in
                [(0x800, 20), (0x800, 33), (0x800, 34), (0x86dd, 54), (0x86dd, 53), (0x806, 60)]
            {
                agree(kind, &looks(0, 1, 0), &frame(proto, len), &ctx, 1);
            }
            for bit in 0..8 {
                agree(kind, &looks(0, 1, bit), &frame(0x800, 60), &ctx, 2);
                agree(kind, &looks(1, 1, bit), &frame(0x86dd, 60), &ctx, 2);
            }
            for pointer in [8, 16, 24, 32, 40] {
                let text = format!(
                    "r6 = *(u64 *)(r1 +0); r1 = *(u64 *)(r6 +{pointer}); r0 = 0; if r1 == 0 goto +1; r0 = 1; exit"
                );
                if pointer < 24 {
                    agree(kind, &text, &frame(0x800, 60), &ctx, 1);
                    agree(kind, &text, &frame(0x800, 60), &[], 1);
                }
            }
        }
    }
    for at in 0..48 {
        let mut ctx = state(3, 2);
        ctx[at] ^= 1;
        agree(kind, "r0 = 1; exit", &frame(0x800, 60), &ctx, 1);
    }
    for len in [0, 1, 14, 19, 20, 3712, 3713] {
        agree(kind, "r0 = 1; exit", &frame(0x800, len), &[], 1);
    }
    agree(kind, "r0 = 0; exit", &frame(0x800, 60), &state(3, 2)[..2], 1);
}

#[test]
fn syscall() {
    let kind = (ProgType::Syscall, AttachType::CgroupInetIngress);
    let ctx: Vec<u8> = (0..64).collect();
    let add = "r0 = *(u32 *)(r1 +4); r2 = *(u8 *)(r1 +9); r0 += r2; *(u64 *)(r1 +16) = r0; *(u16 *)(r1 +32) = 7; exit";
    for len in [0, 23, 24, 32, 33, 34, 35, 64] {
        agree(kind, add, &[], &ctx[..len], 0);
    }
    agree(kind, add, &[], &ctx, 1);
    agree(kind, add, &[1], &ctx, 0);
    agree(kind, "r0 = -1; exit", &[], &[], 0);
    agree(kind, "r0 = 1; exit", &[], &vec![1; 65535], 0);
    agree(kind, "r0 = 1; exit", &[], &vec![1; 65536], 0);
    // A path that is not taken, and a pointer that went over the stack, count as well.
    let untaken =
        "r2 = *(u32 *)(r1 +0); r0 = 0; if r2 != 0x03020100 goto +1; exit; *(u8 *)(r1 +40) = 1; exit";
    let spilled = "*(u64 *)(r10 -8) = r1; r2 = *(u64 *)(r10 -8); r0 = *(u16 *)(r2 +38); exit";
    for len in [4, 11, 12, 39, 40, 41] {
        agree(kind, untaken, &[], &ctx[..len], 0);
        agree(kind, spilled, &[], &ctx[..len], 0);
    }
}
