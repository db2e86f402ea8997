//! Context fields that have been read or stored, so that engines need not ask the host each time.

use std::mem::offset_of;

/// Fields of the context that have been read, as words of 4 bytes, for as long as they read the same. What lies beyond
/// 256 bytes, and every other width, is asked for each time.
///
/// A host that [remembers](super::Host::remembers) says when to [`forget`](Self::forget); for every other this stays empty.
/// It may also [let](Self::let_store) engines keep what is stored to some words until it
/// [takes](Self::take_stored) it, which it does before it looks at them.
#[repr(C)]
#[derive(Debug)]
pub struct Remembered {
    /// A bit for each word, as in the two below.
    known: u64,
    /// What is stored to them may be kept.
    kept: u64,
    /// Something was stored that the host has not taken.
    stored: u64,
    words: [u32; Self::WORDS],
}

impl Remembered {
    const WORDS: usize = u64::BITS as usize;
    /// For machine code.
    pub(super) const KNOWN: usize = offset_of!(Self, known);
    /// For machine code.
    pub(super) const KEPT: usize = offset_of!(Self, kept);
    /// For machine code.
    pub(super) const STORED: usize = offset_of!(Self, stored);
    /// For machine code.
    pub(super) const VALUES: usize = offset_of!(Self, words);

    /// The field of `size` bytes at `offset`.
    #[inline]
    pub(super) fn get(&self, offset: u32, size: u32) -> Option<u64> {
        let word = Self::word(offset, size)?;
        (self.known >> word & 1 != 0).then(|| u64::from(self.words[word as usize]))
    }

    /// It reads so.
    #[inline]
    pub(super) fn put(&mut self, offset: u32, size: u32, value: u64) {
        if let (Some(word), Ok(value)) = (Self::word(offset, size), u32::try_from(value)) {
            self.words[word as usize] = value;
            self.known |= 1 << word;
        }
    }

    /// Whether the store of `size` bytes at `offset` is done with this.
    #[inline]
    pub(super) fn store(&mut self, offset: u32, size: u32, value: u64) -> bool {
        match Self::word(offset, size) {
            Some(word) if self.kept >> word & 1 != 0 => {
                self.words[word as usize] = value as u32;
                self.known |= 1 << word;
                self.stored |= 1 << word;
                true
            }
            _ => false,
        }
    }

    /// Forgets everything. From now on, what is stored to the words of which `kept` has the bit may be kept: those that
    /// read as what was stored to them, and whose store changes nothing else.
    pub fn let_store(&mut self, kept: u64) {
        self.forget();
        self.kept = kept;
    }

    /// Whether there is something to [take](Self::take_stored).
    #[inline]
    pub fn has_stored(&self) -> bool {
        self.stored != 0
    }

    /// The stores that were kept: byte offsets and values of 4 bytes. They are the host's now.
    pub fn take_stored(&mut self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let stored = std::mem::take(&mut self.stored);
        let words = (0..u64::BITS).filter(move |word| stored >> word & 1 != 0);
        words.map(|word| (word * 4, self.words[word as usize]))
    }

    fn word(offset: u32, size: u32) -> Option<u32> {
        (size == 4 && offset.is_multiple_of(4) && offset / 4 < u64::BITS).then_some(offset / 4)
    }

    /// `size` bytes at `offset` may read otherwise now, and nothing else.
    #[inline]
    pub fn forget_field(&mut self, offset: u32, size: u32) {
        let first = (offset / 4).min(u64::BITS);
        let end = offset.saturating_add(size).div_ceil(4).min(u64::BITS);
        for word in first..end {
            self.known &= !(1 << word);
        }
    }

    /// Nothing is known any more.
    #[inline]
    pub fn forget(&mut self) {
        debug_assert_eq!(self.stored, 0, "what was stored is the host's to take");
        self.known = 0;
    }
}

impl Default for Remembered {
    fn default() -> Self {
        Self { known: 0, kept: 0, stored: 0, words: [0; Self::WORDS] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_until_forgotten_and_nothing_else_is() {
        let mut remembered = Remembered::default();
        for (offset, size) in [(0, 4), (252, 4), (256, 4), (2, 4), (8, 8), (12, 2)] {
            remembered.put(offset, size, 7);
        }
        remembered.put(16, 4, 1 << 32);
        let known = |remembered: &Remembered| -> Vec<u32> {
            (0..300).filter(|&offset| remembered.get(offset, 4).is_some()).collect()
        };
        assert_eq!(known(&remembered), [0, 252]);
        assert_eq!((remembered.get(0, 4), remembered.get(0, 2)), (Some(7), None));
        remembered.put(4, 4, 7);
        remembered.put(8, 4, 7);
        for (offset, size, left) in
            [(7, 2, vec![0, 252]), (300, 4, vec![0, 252]), (255, 8, vec![0]), (0, 1, vec![])]
        {
            remembered.forget_field(offset, size);
            assert_eq!(known(&remembered), left, "{size} at {offset}");
        }
        remembered.forget();
        assert_eq!(known(&remembered), []);
    }

    #[test]
    fn only_whole_words_that_may_be_kept_are_and_they_are_taken_once() {
        let mut remembered = Remembered::default();
        assert!(!remembered.store(8, 4, 7), "nobody lets it");
        remembered.let_store(1 << 2 | 1 << 12);
        for (offset, size) in [(4, 4), (8, 2), (8, 8), (10, 4), (256, 4)] {
            assert!(!remembered.store(offset, size, 7), "{size} at {offset}");
        }
        assert!(!remembered.has_stored());
        assert!(
            remembered.store(48, 4, 1 << 32 | 5) && remembered.store(8, 4, 6) && remembered.store(8, 4, 7)
        );
        assert_eq!((remembered.get(8, 4), remembered.get(48, 4)), (Some(7), Some(5)));
        assert_eq!(remembered.take_stored().collect::<Vec<_>>(), [(8, 7), (48, 5)]);
        assert!(!remembered.has_stored());
        assert_eq!(remembered.get(8, 4), Some(7));
    }
}
