//! What a running program may ask for that is neither packet nor map.

/// The state of one kernel outside its [`Machine`](crate::bpf::Machine).
#[derive(Debug)]
pub struct Env {
    /// `CLOCK_MONOTONIC`, nanoseconds. Only explicit steps advance it.
    pub clock_ns: u64,
    /// The state of [`Env::prandom_u32`].
    pub seed: u64,
}

impl Env {
    /// `ktime_get_ns` when a kernel starts.
    pub const START_NS: u64 = 1_000_000_000_000;
    /// How much time each test run takes.
    pub const RUN_NS: u64 = 1_000;

    /// The next number of a seeded sequence (SplitMix64).
    pub fn prandom_u32(&mut self) -> u32 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u32
    }
}
