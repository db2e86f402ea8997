//! Bodies of rtnetlink messages: a fixed part, then attributes, each padded to 4 bytes.

/// A body under construction.
#[derive(Clone, Debug, Default)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// Starts with a fixed part, whose length is a multiple of 4.
    pub fn new(fixed: &[u8]) -> Self {
        Self { bytes: fixed.to_vec() }
    }

    /// `struct ifinfomsg` of `include/uapi/linux/rtnetlink.h`: the flags in `up` are `IFF_UP` or nothing, and only
    /// that bit changes.
    pub fn link(ifindex: u32, up: bool) -> Self {
        let flag = if up { libc::IFF_UP as u32 } else { 0 };
        let words = [0, ifindex, flag, flag];
        Self { bytes: words.iter().flat_map(|word: &u32| word.to_ne_bytes()).collect() }
    }

    /// Appends an attribute.
    pub fn attr(mut self, kind: u16, payload: &[u8]) -> Self {
        self.bytes.extend_from_slice(&(4 + payload.len() as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Appends a number.
    pub fn u32(self, kind: u16, value: u32) -> Self {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// Appends a string and its NUL.
    pub fn text(self, kind: u16, text: &str) -> Self {
        self.attr(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// Appends an attribute made of attributes, or of a fixed part and attributes.
    pub fn nest(self, kind: u16, inner: &Self) -> Self {
        self.attr(kind, &inner.bytes)
    }

    /// The finished body.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::Message;
    use crate::sys::attributes;

    #[test]
    fn attributes_are_padded_and_read_back() {
        let message = Message::new(&[9; 4]).text(3, "ab").nest(18, &Message::default().u32(4, 7));
        assert_eq!(message.bytes().len(), 4 + 8 + 12);
        let read: Vec<_> = attributes(&message.bytes()[4..]).collect();
        assert_eq!(read[0], (3, &b"ab\0"[..]));
        assert_eq!(attributes(read[1].1).collect::<Vec<_>>(), [(4, &7u32.to_ne_bytes()[..])]);
    }
}
