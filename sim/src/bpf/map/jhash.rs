//! The kernel's hash of map keys: `include/linux/jhash.h`, v6.12 (Bob Jenkins, lookup3).

const INITVAL: u32 = 0xdead_beef;

/// `jhash` of `key`, little-endian. For keys of whole words this is `jhash2` as well.
#[inline(always)]
#[allow(clippy::inline_always)] // most of it is not there once the length is known
pub(super) fn jhash(key: &[u8], seed: u32) -> u32 {
    let start = INITVAL.wrapping_add(key.len() as u32).wrapping_add(seed);
    let (mut a, mut b, mut c) = (start, start, start);
    let mut rest = key;
    while rest.len() > 12
        && let Some((block, tail)) = rest.split_first_chunk::<12>()
    {
        a = a.wrapping_add(word(block, 0));
        b = b.wrapping_add(word(block, 4));
        c = c.wrapping_add(word(block, 8));
        mix(&mut a, &mut b, &mut c);
        rest = tail;
    }
    // What is left, zero-extended; whole words are the common case.
    let mut last = [0; 12];
    match rest.len() {
        0 => return c,
        4 => last[..4].copy_from_slice(&rest[..4]),
        8 => last[..8].copy_from_slice(&rest[..8]),
        12 => last.copy_from_slice(&rest[..12]),
        len => last[..len].copy_from_slice(rest),
    }
    a = a.wrapping_add(word(&last, 0));
    b = b.wrapping_add(word(&last, 4));
    c = c.wrapping_add(word(&last, 8));
    last_mix(&mut a, &mut b, &mut c);
    c
}

#[inline]
fn word(block: &[u8; 12], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

#[inline]
fn mix(a: &mut u32, b: &mut u32, c: &mut u32) {
    let step = |x: &mut u32, y: &mut u32, z: u32, shift: u32| {
        *x = x.wrapping_sub(*y) ^ y.rotate_left(shift);
        *y = y.wrapping_add(z);
    };
    step(a, c, *b, 4);
    step(b, a, *c, 6);
    step(c, b, *a, 8);
    step(a, c, *b, 16);
    step(b, a, *c, 19);
    step(c, b, *a, 4);
}

#[inline]
fn last_mix(a: &mut u32, b: &mut u32, c: &mut u32) {
    let step = |x: &mut u32, y: u32, shift: u32| *x = (*x ^ y).wrapping_sub(y.rotate_left(shift));
    step(c, *b, 14);
    step(a, *c, 11);
    step(b, *a, 25);
    step(c, *b, 16);
    step(a, *c, 4);
    step(b, *a, 14);
    step(c, *b, 24);
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: [u32; 25] = [
        0x04ec_883b,
        0x022b_c7fb,
        0x96c2_fd10,
        0x46f8_eec9,
        0xb217_35c1,
        0x2779_a0dd,
        0x098f_be6f,
        0x9afd_b1b3,
        0xdd6e_13f5,
        0x3a58_a365,
        0x7529_9b1b,
        0x3891_9c27,
        0xe1f0_cbae,
        0x49ef_0328,
        0x09f7_6c65,
        0xedfe_c516,
        0x32b1_13a8,
        0x39fd_e908,
        0xc029_8e3e,
        0x98d5_bdd4,
        0xe637_0482,
        0xded6_f7bc,
        0x9abf_08a7,
        0xff0c_b32c,
        0x0abb_8113,
    ];
    const KERNEL_SEEDED: u32 = 0xc755_86b5;

    /// Values of the kernel's own functions, compiled from its header.
    #[test]
    fn agrees_with_the_kernel_at_every_length_of_the_last_block() {
        let key: Vec<u8> = (0..32).map(|i| i * 7 + 1).collect();
        let hashes: Vec<u32> = (1..=25).map(|len| jhash(&key[..len], 0)).collect();
        assert_eq!(hashes, KERNEL);
        assert_eq!(jhash(&key[..16], 0x1234_5678), KERNEL_SEEDED);
    }
}
