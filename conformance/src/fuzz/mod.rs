//! Random testing: generators, comparison of both planes, shrinking. See `bpftwin fuzz`.
//!
//! Everything here is made from a seed and an index, so that one failing case is made again without the others.

pub mod contents;
pub mod frames;
pub mod generate;
pub mod instructions;
pub mod packets;
pub mod programs;
pub mod scenario;

/// A seeded sequence (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The sequence of case `index` of `seed`.
    pub fn of_case(seed: u64, index: u64) -> Self {
        let mut mixed = Self(seed);
        let start = mixed.next();
        Self(start.wrapping_add(index.wrapping_mul(0xd134_2543_de82_ef95)))
    }

    /// 64 bits.
    #[allow(clippy::should_implement_trait)] // an endless sequence needs no Option
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }

    /// Whether this is the one time in so many.
    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}
