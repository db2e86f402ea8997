//! `struct sk_msg`: the message under an sk_msg program, a ring of pieces of which the program sees one.

use crate::bpf::Memory;
use crate::net::linear::Linear;
use crate::uapi::Errno;

/// `MAX_MSG_FRAGS`.
const MAX_MSG_FRAGS: usize = 17;
/// The longest message there is room for here; a kernel takes pieces of up to 4 MiB.
pub const LONGEST: usize = 256 * 1024;

/// `include/linux/skmsg.h: struct sk_msg`, v6.12.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Message {
    /// `apply_bytes`: how many bytes the verdict is for.
    pub apply_bytes: u32,
    /// `cork_bytes`: how many bytes to wait for.
    pub cork_bytes: u32,
    /// `sk_redir`: where it is sent instead.
    pub redirect: Option<Redirect>,
    /// The scatterlist.
    pieces: Vec<Vec<u8>>,
    /// The piece the program sees, and where in it that begins.
    shown: (usize, usize),
}

/// Where a program sends a message on to: `sk_redir` and `BPF_F_INGRESS` of `struct sk_msg`, or of `struct sk_buff`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Redirect {
    /// The socket's cookie.
    pub to: u64,
    /// Whether it goes to the socket's receive queue, not out of it.
    pub ingress: bool,
}

impl Message {
    /// A message in one piece, all of which is seen: what `sendmsg` of a little makes.
    pub fn new(bytes: &[u8]) -> Self {
        Self { pieces: vec![bytes.to_vec()], ..Self::default() }
    }

    /// `sg.size`.
    pub fn size(&self) -> u32 {
        self.pieces.iter().map(Vec::len).sum::<usize>() as u32
    }

    /// Every byte, what the program wrote included.
    pub fn bytes(&mut self, mem: &Memory, linear: &Linear) -> Vec<u8> {
        self.take_back(mem, linear);
        self.pieces.concat()
    }

    /// Copies back what the program sees.
    pub fn take_back(&mut self, mem: &Memory, linear: &Linear) {
        let seen = linear.bytes(mem);
        if let Some(piece) = self.pieces.get_mut(self.shown.0) {
            piece[self.shown.1..][..seen.len()].copy_from_slice(seen);
        }
    }

    /// Shows the whole first piece: `sk_msg_compute_data_pointers`.
    fn show_first(&mut self, mem: &mut Memory, linear: &mut Linear) {
        self.shown = (0, 0);
        linear.replace(mem, self.pieces.first().map_or(&[], Vec::as_slice));
    }

    /// The piece that holds byte `start`, and where it begins; beyond the last byte, the last piece and `false`.
    fn find(&self, start: usize) -> (usize, usize, bool) {
        let mut offset = 0;
        for (index, piece) in self.pieces.iter().enumerate() {
            if start < offset + piece.len() {
                return (index, offset, true);
            }
            if index + 1 < self.pieces.len() {
                offset += piece.len();
            }
        }
        (self.pieces.len().saturating_sub(1), offset, false)
    }

    /// `net/core/filter.c: bpf_msg_pull_data`, v6.12, after [`take_back`](Self::take_back).
    pub fn pull(&mut self, mem: &mut Memory, linear: &mut Linear, start: u32, end: u32) -> Result<(), Errno> {
        if end <= start {
            return Err(Errno::EINVAL);
        }
        let (start, len) = (start as usize, (end - start) as usize);
        let (first, offset, inside) = self.find(start);
        if !inside {
            return Err(Errno::EINVAL);
        }
        let needed = start - offset + len;
        if needed > self.pieces[first].len() {
            let mut copied = 0;
            let count = self.pieces[first..].iter().position(|piece| {
                copied += piece.len();
                needed <= copied
            });
            let last = first + count.ok_or(Errno::EINVAL)? + 1;
            let joined: Vec<u8> = self.pieces.drain(first..last).collect::<Vec<_>>().concat();
            self.pieces.insert(first, joined);
        }
        self.shown = (first, start - offset);
        linear.replace(mem, &self.pieces[first][start - offset..][..len]);
        Ok(())
    }

    /// `net/core/filter.c: bpf_msg_push_data`, v6.12, after [`take_back`](Self::take_back). What the new bytes hold is
    /// whatever the page held; here they are zero.
    pub fn push(&mut self, mem: &mut Memory, linear: &mut Linear, start: u32, len: u32) -> Result<(), Errno> {
        let (start, new) = (start as usize, vec![0; len as usize]);
        let (at, offset, inside) = self.find(start);
        let piece_len = self.pieces.get(at).map_or(0, Vec::len);
        if !inside && start > offset + piece_len {
            return Err(Errno::EINVAL);
        }
        let (front, space) = (start - offset, MAX_MSG_FRAGS.saturating_sub(self.pieces.len()));
        if space == 0 || (space == 1 && front != 0) {
            // A piece is made anew around the new bytes.
            self.pieces[at].splice(front..front, new);
        } else if front == 0 {
            self.pieces.insert(at, new);
        } else {
            let rest = self.pieces[at].split_off(front);
            self.pieces.insert(at + 1, new);
            if !rest.is_empty() {
                self.pieces.insert(at + 2, rest);
            }
        }
        self.show_first(mem, linear);
        Ok(())
    }

    /// `net/core/filter.c: bpf_msg_pop_data`, v6.12, after [`take_back`](Self::take_back).
    pub fn pop(&mut self, mem: &mut Memory, linear: &mut Linear, start: u32, len: u32) -> Result<(), Errno> {
        let (from, mut pop) = (start as usize, len as usize);
        let (mut at, offset, inside) = self.find(from);
        if !inside || u64::from(start) + u64::from(len) > self.size().into() {
            return Err(Errno::EINVAL);
        }
        let front = from - offset;
        if front != 0 {
            let piece = &mut self.pieces[at];
            if piece.len() > pop + front {
                let rest = piece.split_off(front + pop);
                piece.truncate(front);
                if self.pieces.len() < MAX_MSG_FRAGS {
                    self.pieces.insert(at + 1, rest);
                } else {
                    self.pieces[at].extend(rest);
                }
                pop = 0;
            } else {
                pop -= piece.len() - front;
                piece.truncate(front);
            }
            at += 1;
        }
        while pop > 0 {
            let piece = &mut self.pieces[at];
            if pop < piece.len() {
                piece.drain(..pop);
                break;
            }
            pop -= piece.len();
            self.pieces.remove(at);
        }
        self.show_first(mem, linear);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(
        text: &[u8],
        act: impl Fn(&mut Message, &mut Memory, &mut Linear) -> Result<(), Errno>,
    ) -> (Vec<u8>, Vec<u8>) {
        let mut mem = Memory::new();
        let mut linear = Linear::new(&mut mem, 0, text, 0);
        let mut message = Message::new(text);
        message.take_back(&mem, &linear);
        act(&mut message, &mut mem, &mut linear).unwrap();
        (linear.bytes(&mem).to_vec(), message.bytes(&mem, &linear))
    }

    #[test]
    fn what_is_pulled_is_seen_and_nothing_else() {
        assert_eq!(after(b"abcdef", |m, mem, l| m.pull(mem, l, 2, 5)), (b"cde".to_vec(), b"abcdef".to_vec()));
        let pushed = |m: &mut Message, mem: &mut Memory, l: &mut Linear| {
            m.push(mem, l, 2, 1)?;
            m.take_back(mem, l);
            m.pull(mem, l, 1, 5)
        };
        assert_eq!(after(b"abcdef", pushed), (b"b\0cd".to_vec(), b"ab\0cdef".to_vec()));
    }

    #[test]
    fn a_push_shows_the_first_piece() {
        assert_eq!(after(b"abc", |m, mem, l| m.push(mem, l, 0, 2)), (b"\0\0".to_vec(), b"\0\0abc".to_vec()));
        assert_eq!(after(b"abc", |m, mem, l| m.push(mem, l, 1, 2)), (b"a".to_vec(), b"a\0\0bc".to_vec()));
        assert_eq!(after(b"abc", |m, mem, l| m.push(mem, l, 3, 1)), (b"abc".to_vec(), b"abc\0".to_vec()));
    }

    #[test]
    fn a_pop_takes_bytes_out() {
        assert_eq!(after(b"abcdef", |m, mem, l| m.pop(mem, l, 2, 3)), (b"ab".to_vec(), b"abf".to_vec()));
        assert_eq!(after(b"abcdef", |m, mem, l| m.pop(mem, l, 0, 3)), (b"def".to_vec(), b"def".to_vec()));
        assert_eq!(after(b"abc", |m, mem, l| m.pop(mem, l, 1, 2)), (b"a".to_vec(), b"a".to_vec()));
        assert_eq!(after(b"abc", |m, mem, l| m.pop(mem, l, 0, 3)), (Vec::new(), Vec::new()));
    }
}
