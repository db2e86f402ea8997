//! The Internet checksum (RFC 1071), its incremental update (RFC 1624), and the kernel's functions on it.
//!
//! A *sum* (`__wsum`, `u32`) is a ones' complement sum not yet folded; a *checksum* (`__sum16`, `u16`) is what a header
//! field holds. As in a kernel on a little-endian machine both are numbers in memory order: the field's value is
//! `u16::from_le_bytes` of its two bytes, and an address or a port enters a sum as `from_le_bytes` of its bytes on the
//! wire. [`checksum`] is the one function that speaks network order.
//!
//! Two sums may differ and still be congruent modulo 0xffff. Programs see sums (`bpf_csum_diff`, up to 6.12), so the 32
//! bits here are the ones x86-64 gives: every function that adds does so with an end-around carry over 32-bit words.

/// Stored instead of a computed 0 where 0 means "no checksum" (UDP). `include/net/checksum.h`, v6.12.
pub const CSUM_MANGLED_0: u16 = 0xffff;

/// Adds `bytes`, as 32-bit words in memory order with the tail padded by zeros, to `sum`.
/// `arch/x86/lib/csum-partial_64.c: csum_partial`, v6.12: 64-bit words with end-around carry, folded to 32 bits, which
/// for every input equals the sum over 32-bit words.
pub fn csum_partial(bytes: &[u8], sum: u32) -> u32 {
    let words = bytes.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_le_bytes(word)
    });
    words.fold(sum, csum_add)
}

/// Folds a sum to 16 bits and complements it: what a header field holds. `arch/x86/include/asm/checksum_64.h:
/// csum_fold`, v6.12.
pub fn csum_fold(sum: u32) -> u16 {
    !csum_from32to16(sum)
}

/// Folds a sum to 16 bits without complementing it. `include/net/checksum.h: csum_from32to16`, v6.18.
pub fn csum_from32to16(sum: u32) -> u16 {
    let once = (sum >> 16) + (sum & 0xffff);
    ((once >> 16) + (once & 0xffff)) as u16
}

/// A folded checksum as a sum. `include/net/checksum.h: csum_unfold`, v6.12.
pub fn csum_unfold(checksum: u16) -> u32 {
    u32::from(checksum)
}

/// `a + b` with end-around carry. `arch/x86/include/asm/checksum_64.h: csum_add`, v6.12.
pub fn csum_add(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u32::from(carry)
}

/// `a - b`: adds the complement of `b`. `include/net/checksum.h: csum_sub`, v6.12.
pub fn csum_sub(a: u32, b: u32) -> u32 {
    csum_add(a, !b)
}

/// Adds `block`, the sum of bytes that begin `offset` bytes after those of `sum`: at an odd offset every byte changes
/// its place within the 16-bit word. `include/net/checksum.h: csum_block_add`, v6.12.
pub fn csum_block_add(sum: u32, block: u32, offset: usize) -> u32 {
    csum_add(sum, csum_shift(block, offset))
}

/// The inverse of [`csum_block_add`]. `include/net/checksum.h: csum_block_sub`, v6.12.
pub fn csum_block_sub(sum: u32, block: u32, offset: usize) -> u32 {
    csum_block_add(sum, !block, offset)
}

/// Aligns a sum with a 16-bit boundary `offset` bytes away. `include/net/checksum.h: csum_shift`, v6.12.
pub fn csum_shift(sum: u32, offset: usize) -> u32 {
    if offset & 1 == 1 { sum.rotate_right(8) } else { sum }
}

/// Replaces `old` by `new` in a sum. `include/net/checksum.h: csum_replace`, v6.12.
pub fn csum_replace(sum: u32, old: u32, new: u32) -> u32 {
    csum_add(csum_sub(sum, old), new)
}

/// The checksum after a 16-bit field went from `old` to `new` (RFC 1624, equation 3).
/// `include/net/checksum.h: csum_replace2`, v6.12.
pub fn csum_replace2(checksum: u16, old: u16, new: u16) -> u16 {
    !csum16_add(csum16_add(!checksum, !old), new)
}

/// The checksum after a 32-bit field went from `old` to `new`. `include/net/checksum.h: csum_replace4`, v6.12.
pub fn csum_replace4(checksum: u16, old: u32, new: u32) -> u16 {
    csum_fold(csum_add(csum_sub(!csum_unfold(checksum), old), new))
}

/// The checksum after its bytes changed by `diff` (as `bpf_csum_diff` returns it).
/// `include/net/checksum.h: csum_replace_by_diff`, v6.12.
pub fn csum_replace_by_diff(checksum: u16, diff: u32) -> u16 {
    csum_fold(csum_add(diff, !csum_unfold(checksum)))
}

/// The sum of an IPv4 pseudo header (RFC 9293, section 3.1) and `sum`; `len` in bytes.
/// `arch/x86/include/asm/checksum_64.h: csum_tcpudp_nofold`, v6.12.
pub fn csum_tcpudp_nofold(saddr: [u8; 4], daddr: [u8; 4], len: u32, proto: u8, sum: u32) -> u32 {
    // Shifting both length and protocol by 8 turns them to network order modulo 0xffff, carries included.
    let tail = len.wrapping_add(u32::from(proto)) << 8;
    [u32::from_le_bytes(daddr), u32::from_le_bytes(saddr), tail].into_iter().fold(sum, csum_add)
}

/// The checksum over an IPv4 pseudo header and `sum`. `arch/x86/include/asm/checksum_64.h: csum_tcpudp_magic`, v6.12.
pub fn csum_tcpudp_magic(saddr: [u8; 4], daddr: [u8; 4], len: u32, proto: u8, sum: u32) -> u16 {
    csum_fold(csum_tcpudp_nofold(saddr, daddr, len, proto, sum))
}

/// The checksum over an IPv6 pseudo header (RFC 8200, section 8.1) and `sum`; `len` in bytes.
/// `arch/x86/lib/csum-wrappers_64.c: csum_ipv6_magic`, v6.12.
pub fn csum_ipv6_magic(saddr: [u8; 16], daddr: [u8; 16], len: u32, proto: u8, sum: u32) -> u16 {
    let tail = csum_add(len.swap_bytes(), u32::from(proto).swap_bytes());
    csum_fold(csum_partial(&daddr, csum_partial(&saddr, csum_add(sum, tail))))
}

/// The checksum of `bytes` in network order: the number RFC 1071 defines, to be stored with `to_be_bytes`.
pub fn checksum(bytes: &[u8]) -> u16 {
    csum_fold(csum_partial(bytes, 0)).swap_bytes()
}

/// CRC32c of an SCTP packet whose checksum field counts as zero (RFC 9260, appendix A), to be stored with
/// `to_le_bytes` at byte 8.
pub fn sctp_crc32c(packet: &[u8]) -> u32 {
    let bytes = packet.iter().enumerate().map(|(at, &byte)| if (8..12).contains(&at) { 0 } else { byte });
    let crc = bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82f63b78 & (crc & 1).wrapping_neg()))
    });
    !crc
}

/// 16-bit ones' complement addition. `include/net/checksum.h: csum16_add`, v6.12.
fn csum16_add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u16::from(carry)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071, section 1, word by word: the ones' complement sum of big-endian 16-bit words.
    fn plain_sum(bytes: &[u8]) -> u16 {
        let mut sum = 0u64;
        for pair in bytes.chunks(2) {
            sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        sum as u16
    }

    /// The assembly of `csum_partial`: 64-bit little-endian words, add with carry, then `csum_finalize_sum`.
    fn x86_csum_partial(bytes: &[u8], seed: u32) -> u32 {
        let mut sum = u64::from(seed);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let (added, carry) = sum.overflowing_add(u64::from_le_bytes(word));
            sum = added + u64::from(carry);
        }
        (sum.wrapping_add(sum.rotate_right(32)) >> 32) as u32
    }

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&bytes), !0xddf2);
    }

    #[test]
    fn the_example_of_rfc_1624() {
        // Section 4: HC = 0xdd2f, m = 0x5555, m' = 0x3285 gives 0x0000 with equation 3, not 0xffff.
        assert_eq!(csum_replace2(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn empty_and_zero() {
        assert_eq!(csum_partial(&[], 7), 7);
        assert_eq!(csum_partial(&[0; 40], 0), 0);
        assert_eq!(csum_partial(&[0xff; 40], 0), 0xffff_ffff);
        assert_eq!(checksum(&[]), 0xffff);
        assert_eq!(csum_fold(0xffff_ffff), 0);
        assert_eq!(csum_fold(0), 0xffff);
    }

    #[test]
    fn the_check_value_of_crc32c() {
        // "123456789" gives 0xe3069283; bytes 8 to 12 count as zero, so spell out that prefix of 8 and zeros.
        let crc = |bytes: &[u8]| sctp_crc32c(bytes);
        assert_eq!(crc(b"12345678\xaa\xbb\xcc\xdd"), crc(b"12345678\0\0\0\0"));
        // RFC 3720, appendix B.4: 32 bytes of zeros.
        assert_eq!(crc(&[0; 32]), 0x8a91_36aa);
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0u8), Just(0xffu8), any::<u8>()];
        proptest::collection::vec(byte, 0..200)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn folds_to_the_plain_definition(bytes in bytes()) {
            prop_assert_eq!(checksum(&bytes), !plain_sum(&bytes));
        }

        #[test]
        fn has_the_bits_of_x86(bytes in bytes(), seed: u32) {
            prop_assert_eq!(csum_partial(&bytes, seed), x86_csum_partial(&bytes, seed));
            prop_assert_eq!(csum_partial(&bytes, 0), x86_csum_partial(&bytes, 0));
        }

        #[test]
        fn folds_as_the_generic_kernel_function(sum: u32) {
            let generic = ((!sum).wrapping_sub(sum.rotate_right(16)) >> 16) as u16;
            prop_assert_eq!(csum_fold(sum), generic);
        }

        #[test]
        fn blocks_add_up(bytes in bytes(), cut: usize) {
            let cut = cut % (bytes.len() + 1);
            let (head, tail) = (csum_partial(&bytes[..cut], 0), csum_partial(&bytes[cut..], 0));
            let whole = csum_block_add(head, tail, cut);
            prop_assert_eq!(csum_fold(whole), csum_fold(csum_partial(&bytes, 0)));
            // Subtraction may leave the other zero, 0xffff.
            let rest = csum_from32to16(csum_block_sub(whole, tail, cut)) % 0xffff;
            prop_assert_eq!(rest, csum_from32to16(head) % 0xffff);
        }

        #[test]
        fn an_update_equals_a_new_sum(mut bytes in bytes(), new: [u8; 4], at: usize) {
            prop_assume!(bytes.len() >= 8 && bytes.iter().any(|&b| b != 0));
            bytes.truncate(bytes.len() & !3);
            let at = at % (bytes.len() / 4) * 4;
            let before = csum_fold(csum_partial(&bytes, 0));
            let old: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
            bytes[at..at + 4].copy_from_slice(&new);
            let after = csum_fold(csum_partial(&bytes, 0));
            let same = |a: u16, b: u16| a % 0xffff == b % 0xffff;

            let (old4, new4) = (u32::from_le_bytes(old), u32::from_le_bytes(new));
            prop_assert!(same(csum_replace4(before, old4, new4), after));
            let diff = csum_sub(csum_partial(&new, 0), csum_partial(&old, 0));
            prop_assert!(same(csum_replace_by_diff(before, diff), after));
            let half = |b: [u8; 4], at: usize| u16::from_le_bytes([b[at], b[at + 1]]);
            let twice = csum_replace2(csum_replace2(before, half(old, 0), half(new, 0)), half(old, 2), half(new, 2));
            prop_assert!(same(twice, after));
        }

        #[test]
        fn pseudo_headers_equal_their_bytes(s: [u8; 16], d: [u8; 16], proto: u8, data in bytes()) {
            let sum = csum_partial(&data, 0);
            let len = data.len() as u32;
            let (s4, d4): ([u8; 4], [u8; 4]) = (s[..4].try_into().unwrap(), d[..4].try_into().unwrap());
            let pseudo4 = [&s4[..], &d4, &[0, proto], &(len as u16).to_be_bytes(), &data].concat();
            prop_assert_eq!(csum_tcpudp_magic(s4, d4, len, proto, sum), checksum(&pseudo4).swap_bytes());
            let pseudo6 = [&s[..], &d, &len.to_be_bytes(), &[0, 0, 0, proto], &data].concat();
            prop_assert_eq!(csum_ipv6_magic(s, d, len, proto, sum), checksum(&pseudo6).swap_bytes());
        }
    }
}
