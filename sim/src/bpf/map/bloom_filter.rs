//! `BPF_MAP_TYPE_BLOOM_FILTER`: `kernel/bpf/bloom_filter.c`, v6.12.

use super::create::{ACCESS_MASK, KMALLOC_MAX_SIZE, access_ok};
use super::jhash::jhash;
use super::paged::Paged;
use super::{Map, MapCtx, MapSpec};
use crate::uapi::Errno;
use crate::uapi::map::{BPF_ANY, BPF_F_NUMA_NODE, BPF_F_ZERO_SEED};

const WORD: u32 = u32::BITS;
/// The fewest bits: `BITS_PER_LONG`.
const MIN_BITS: u32 = 64;

/// `bloom_map_alloc_check` and `bloom_map_alloc`.
pub(super) fn check(spec: &MapSpec) -> Result<(), Errno> {
    if u64::from(spec.value_size) > KMALLOC_MAX_SIZE {
        return Err(Errno::E2BIG);
    }
    if spec.key_size != 0
        || spec.value_size == 0
        || spec.max_entries == 0
        || spec.flags & !(BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | ACCESS_MASK) != 0
        || !access_ok(spec.flags)
        || spec.extra & !0xf != 0
    {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// A set that may say yes to what was never put in. The kernel seeds its hashes with a random number unless the map has
/// `BPF_F_ZERO_SEED`; here the seed is always zero.
pub(super) struct BloomFilter {
    value_size: usize,
    hashes: u32,
    mask: u32,
    /// Bits, by words.
    bits: Paged,
}

impl BloomFilter {
    pub fn create(spec: &MapSpec) -> Self {
        let hashes = if spec.extra == 0 { 5 } else { spec.extra as u32 };
        // As many bits as elements and hashes over ln(2), taken to be 5/7.
        let bits = spec.max_entries.checked_mul(hashes).and_then(|bits| (bits / 5).checked_mul(7));
        let mask = match bits {
            Some(bits) if bits <= 1 << 31 => bits.max(MIN_BITS).next_power_of_two() - 1,
            _ => u32::MAX,
        };
        Self { value_size: spec.value_size as usize, hashes, mask, bits: Paged::default() }
    }

    /// The bits that stand for a value.
    fn places(&self, value: &[u8]) -> impl Iterator<Item = u32> + use<> {
        let mask = self.mask;
        let value = value.to_vec();
        (0..self.hashes).map(move |index| jhash(&value, index) & mask)
    }
}

impl Map for BloomFilter {
    fn push(&mut self, _: &mut MapCtx<'_>, value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags != BPF_ANY {
            return Err(Errno::EINVAL);
        }
        for place in self.places(value) {
            let word = u64::from(place / WORD);
            self.bits.set(word, self.bits.get(word) | 1 << (place % WORD));
        }
        Ok(())
    }

    fn contains(&mut self, value: &[u8]) -> Result<(), Errno> {
        let is_set = |place: u32| self.bits.get(u64::from(place / WORD)) & 1 << (place % WORD) != 0;
        if self.places(value).all(is_set) { Ok(()) } else { Err(Errno::ENOENT) }
    }

    fn pop(&mut self, _: &mut MapCtx<'_>) -> (Vec<u8>, Result<(), Errno>) {
        (Vec::new(), Err(Errno::EOPNOTSUPP))
    }

    fn update(&mut self, _: &mut MapCtx<'_>, _: &[u8], _: &[u8], _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn delete(&mut self, _: &mut MapCtx<'_>, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The value asked about is in the buffer that the answer would go to: one of zeroes, if user space did not say.
    fn sys_lookup(&mut self, _: &mut MapCtx<'_>, _: &[u8]) -> Result<Vec<u8>, Errno> {
        let value = vec![0; self.value_size];
        self.contains(&value).map(|()| value)
    }

    fn sys_update(&mut self, ctx: &mut MapCtx<'_>, _: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.push(ctx, value, flags)
    }

    fn next_key(&self, _: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
}
