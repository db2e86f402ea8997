//! Reading little-endian words out of a section, with the place in every error.

use super::BtfError;

/// A position in a section's bytes.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// At `offset` of the same section, ending `len` bytes further; `what` names the part for errors.
    pub fn part(&self, offset: usize, len: u32, what: &str) -> Result<Self, BtfError> {
        let end = offset.checked_add(len as usize).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| BtfError {
            offset,
            what: format!("{what} of {len} bytes reaches past the section's {} bytes", self.bytes.len()),
        })?;
        Ok(Self { bytes: &self.bytes[..end], at: offset })
    }

    /// Bytes read and skipped so far, from the beginning of the section.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// An error at this place.
    pub fn error(&self, what: impl Into<String>) -> BtfError {
        BtfError { offset: self.at, what: what.into() }
    }

    /// The next `N` bytes.
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], BtfError> {
        let Some(bytes) = self.rest().first_chunk::<N>() else {
            let left = self.rest().len();
            return Err(self.error(format!("{N} more bytes expected, {left} left")));
        };
        self.at += N;
        Ok(*bytes)
    }

    /// The next 4 bytes.
    pub fn u32(&mut self) -> Result<u32, BtfError> {
        self.take().map(u32::from_le_bytes)
    }

    /// The next `N` words.
    pub fn words<const N: usize>(&mut self) -> Result<[u32; N], BtfError> {
        let mut words = [0; N];
        for word in &mut words {
            *word = self.u32()?;
        }
        Ok(words)
    }

    /// Passes over `len` bytes.
    pub fn skip(&mut self, len: usize) -> Result<(), BtfError> {
        if len > self.rest().len() {
            return Err(self.error(format!("{len} more bytes expected, {} left", self.rest().len())));
        }
        self.at += len;
        Ok(())
    }

    /// Reads the header both `.BTF` and `.BTF.ext` begin with (magic, version, flags, length) and leaves the cursor
    /// behind it; gives the header's length.
    pub fn header(&mut self) -> Result<u32, BtfError> {
        const MAGIC: u16 = 0xeb9f;
        let start = *self;
        let [a, b, version, flags] = self.take()?;
        match u16::from_le_bytes([a, b]) {
            MAGIC => {}
            magic if magic.swap_bytes() == MAGIC => return Err(start.error("big-endian BTF")),
            magic => return Err(start.error(format!("magic number {magic:#06x}, not {MAGIC:#06x}"))),
        }
        if version != 1 {
            return Err(start.error(format!("version {version}, not 1")));
        }
        if flags != 0 {
            return Err(start.error(format!("unknown flags {flags:#x}")));
        }
        self.u32()
    }
}
