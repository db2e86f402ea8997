//! Internet checksum arithmetic as the kernel does it on x86-64: `include/net/checksum.h`,
//! `arch/x86/lib/csum-partial_64.c`, v6.12. A `wsum` is a 32-bit ones' complement sum of little-endian words, not folded.

/// `csum_add`: with end-around carry.
pub const fn add(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u32
}

/// `csum_sub`.
pub const fn sub(a: u32, b: u32) -> u32 {
    add(a, !b)
}

/// `csum_shift`: the sum of bytes that begin at an odd offset.
pub const fn shift(sum: u32, offset: u32) -> u32 {
    if offset & 1 == 1 { sum.rotate_right(8) } else { sum }
}

/// `csum_block_add`: adds the sum of a block that begins `offset` bytes into the data.
pub const fn block_add(sum: u32, block: u32, offset: u32) -> u32 {
    add(sum, shift(block, offset))
}

/// `csum_block_sub`.
pub const fn block_sub(sum: u32, block: u32, offset: u32) -> u32 {
    block_add(sum, !block, offset)
}

/// `csum_partial`: the sum of `bytes`, added to `sum`.
pub fn partial(bytes: &[u8], sum: u32) -> u32 {
    let mut chunks = bytes.chunks_exact(4);
    let words: u64 = chunks.by_ref().map(|c| u64::from(u32::from_le_bytes([c[0], c[1], c[2], c[3]]))).sum();
    let mut last = [0; 4];
    last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    let total = words + u64::from(u32::from_le_bytes(last)) + u64::from(sum);
    let once = (total >> 32) + (total & 0xffff_ffff);
    add((once >> 32) as u32, once as u32)
}

/// `csum_fold`: 16 bits, complemented.
pub const fn fold(sum: u32) -> u16 {
    !from32to16(sum)
}

/// `csum_from32to16`: 16 bits, not complemented.
pub const fn from32to16(sum: u32) -> u16 {
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}

/// `csum_unfold`.
pub const fn unfold(sum: u16) -> u32 {
    sum as u32
}

/// `csum_replace4`: the checksum field after a 32-bit word changed.
pub const fn replace4(field: u16, from: u32, to: u32) -> u16 {
    replace_by_diff(field, add(!from, to))
}

/// `csum_replace2`: the checksum field after a 16-bit word changed, both as in memory.
pub const fn replace2(field: u16, from: u16, to: u16) -> u16 {
    // csum16_add(csum16_sub(~field, from), to), complemented.
    let without = add16(!field, !from);
    !add16(without, to)
}

const fn add16(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u16
}

/// `csum_replace_by_diff`.
pub const fn replace_by_diff(field: u16, diff: u32) -> u16 {
    fold(add(diff, !unfold(field)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_is_the_end_around_sum() {
        assert_eq!(partial(&[], 0), 0);
        assert_eq!(partial(&[0xff; 8], 0), 0xffff_ffff);
        assert_eq!(partial(&[1, 2, 3, 4, 5], 0), 0x0403_0206);
        assert_eq!(partial(&[0xef, 0xbe, 0xad, 0xde, 0xff, 0xff, 0xff, 0xff], 0), 0xdead_beef);
        assert_eq!(partial(&[1], u32::MAX), 1);
    }

    #[test]
    fn a_replaced_word_gives_the_sum_of_the_new_data() {
        let old = [0x45_u8, 0, 0, 40, 1, 2, 3, 4];
        let mut new = old;
        new[4..8].copy_from_slice(&[9, 8, 7, 6]);
        let (from, to) = (u32::from_le_bytes([1, 2, 3, 4]), u32::from_le_bytes([9, 8, 7, 6]));
        assert_eq!(replace4(fold(partial(&old, 0)), from, to), fold(partial(&new, 0)));
        assert_eq!(
            replace2(fold(partial(&old, 0)), 0x2800, 0x2900),
            fold(partial(&[0x45, 0, 0, 41, 1, 2, 3, 4], 0))
        );
    }
}
