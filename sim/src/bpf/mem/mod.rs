//! Guest memory: one address space of [`ARENA_SIZE`] bytes, every object apart from the next, exact bounds.
//!
//! A guest address is an index into one byte arena, so the 32-bit `data` and `data_end` of a context
//! hold real guest pointers. A *shadow* byte for every guest byte says how far an access that begins there may reach.
//! Whatever the shadow does not allow asks the object table, if only for what to say. Objects on the heap lie at least
//! [`RED_ZONE`] bytes apart and the zones between them are never valid.
//!
//! Addresses depend only on the order of allocations: same program, same input, same pointers.

mod arena;

use std::collections::BTreeMap;
use std::fmt;

pub use arena::ARENA_SIZE;
use arena::Arena;
pub(super) use arena::{READ, View, WRITE};

/// A guest address. Registers are 64 bits wide; a valid address is below [`ARENA_SIZE`].
pub type Addr = u64;

/// What a guest may do with an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read only: `.rodata`, frozen maps, kernel structs handed out by pointer.
    Read,
    /// Read and write.
    ReadWrite,
}

/// What an object is, for reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectKind {
    /// One call frame of 512 bytes.
    Stack,
    /// The linear part of the packet.
    Packet,
    /// XDP metadata or skb `data_meta`.
    Metadata,
    /// A map element; the number is the map's id.
    MapValue(u32),
    /// A record reserved in a ring buffer; the number is the map's id.
    RingRecord(u32),
    /// Memory a helper handed out; the text says which.
    Helper(&'static str),
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stack => f.write_str("stack frame"),
            Self::Packet => f.write_str("packet data"),
            Self::Metadata => f.write_str("packet metadata"),
            Self::MapValue(id) => write!(f, "value of map {id}"),
            Self::RingRecord(id) => write!(f, "record of ring buffer {id}"),
            Self::Helper(what) => f.write_str(what),
        }
    }
}

/// One object in guest memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Object {
    /// First byte.
    pub base: Addr,
    /// Length in bytes.
    pub len: u32,
    /// What a guest may do with it.
    pub access: Access,
    /// What it is.
    pub kind: ObjectKind,
}

impl Object {
    /// One past the last byte.
    pub fn end(&self) -> Addr {
        self.base + Addr::from(self.len)
    }
}

/// Why an access was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadAccess {
    /// First byte asked for.
    pub addr: Addr,
    /// Bytes asked for.
    pub len: u64,
    /// Whether it was a write.
    pub write: bool,
    /// The object nearest to the address, if any is within reach.
    pub nearest: Option<Object>,
}

/// The addresses below belong to no object.
pub const NULL_GUARD: Addr = 0x1_0000;
/// Where the context pointer points. No byte is stored there: the engine asks the [`Host`](super::Host).
pub const CTX_BASE: Addr = 0x1_0000;
/// How much of the address space contexts take.
pub const CTX_SIZE: Addr = 0x1_0000;
/// The first call frame's lowest address; frame `n` lies [`STACK_STRIDE`] × `n` above.
pub const STACK_BASE: Addr = 0x10_0000;
/// From one call frame to the next. Wide, so that a wild offset from `r10` does not reach another frame.
pub const STACK_STRIDE: Addr = 0x1_0000;
/// Bytes in one call frame, `MAX_BPF_STACK`.
pub const STACK_SIZE: u32 = 512;
/// Call frames with fixed addresses; what tail calls from functions pile up beyond them lies on the heap.
pub const FIXED_FRAMES: u32 = ((PACKET_BASE - STACK_BASE) / STACK_STRIDE) as u32;
/// The window in which the packet under a program lies, headroom included.
pub const PACKET_BASE: Addr = 0x20_0000;
/// Bytes in the packet window.
pub const PACKET_SIZE: Addr = 0x10_0000;
/// Map handles, what `ld_imm64 map_fd` loads: `MAP_HANDLE_BASE + id * 16`. No byte is stored there.
pub const MAP_HANDLE_BASE: Addr = 0x30_0000;
/// Function pointers, what `ld_imm64 func` loads. No byte is stored there.
pub const FUNC_BASE: Addr = 0x40_0000;
/// Where allocated objects begin.
pub const HEAP_BASE: Addr = 0x50_0000;
/// The least distance between two objects, bytes.
pub const RED_ZONE: u32 = 64;

/// The guest's address space.
pub struct Memory {
    arena: Arena,
    objects: BTreeMap<u32, Object>,
    /// Freed heap blocks by their size, to be handed out again, last in first out.
    free: BTreeMap<u32, Vec<u32>>,
    brk: u32,
    /// What is known of the first frame while nobody has it.
    resting: Resting,
    /// Call frames in use. The first [`FIXED_FRAMES`] are objects without an entry in `objects`.
    frames: u32,
    /// Where the frames beyond them begin; kept for the next use.
    heap_frames: Vec<Addr>,
}

/// What is known of the first frame while nobody has it, which is when no program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Resting {
    /// It is no object.
    Unmapped,
    /// Its shadow is as of an object.
    Mapped,
    /// So it is, and its bytes are zero.
    Zeroed,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// Bytes of address space that one takes, whatever is used of them.
    pub const RESERVED: u64 = Arena::RESERVED;

    /// Whether there may be `count` of them at a time in this process; the error says why not.
    pub fn available(count: usize) -> std::io::Result<()> {
        (0..count).map(|_| Arena::new()).collect::<Result<Vec<_>, _>>().map(|_| ())
    }

    /// An empty address space.
    ///
    /// # Panics
    /// When the process may not have that much address space: ask [`available`](Self::available) before.
    pub fn new() -> Self {
        Self {
            arena: Arena::new().expect("whoever makes it has seen to it that there is address space"),
            objects: BTreeMap::new(),
            free: BTreeMap::new(),
            brk: HEAP_BASE as u32,
            resting: Resting::Unmapped,
            frames: 0,
            heap_frames: Vec::new(),
        }
    }

    /// Allocates `len` zeroed bytes on an 8-byte boundary.
    ///
    /// Returns `None` when the address space is used up: the caller answers `ENOMEM`.
    pub fn alloc(&mut self, kind: ObjectKind, access: Access, len: u32) -> Option<Addr> {
        let block = Self::block_size(len)?;
        let base = match self.free.get_mut(&block).and_then(Vec::pop) {
            Some(base) => {
                self.raw_mut(Addr::from(base), len as usize).fill(0);
                base
            }
            None => self.grow(block)?,
        };
        self.map(Object { base: Addr::from(base), len, access, kind });
        Some(Addr::from(base))
    }

    /// Gives back what [`alloc`](Self::alloc) returned. Accesses to it fault from now on.
    pub fn free(&mut self, base: Addr) {
        let object = self.unmap(base).expect("only allocated objects are freed");
        let block = Self::block_size(object.len).expect("it was allocated");
        self.free.entry(block).or_default().push(base as u32);
    }

    fn block_size(len: u32) -> Option<u32> {
        len.max(1).checked_next_multiple_of(8)?.checked_add(RED_ZONE)
    }

    fn grow(&mut self, block: u32) -> Option<u32> {
        let base = self.brk;
        self.brk = base.checked_add(block).filter(|&end| Addr::from(end) <= ARENA_SIZE)?;
        Some(base)
    }

    /// Makes the next call frame an object, zeroed; returns what `r10` is: one past its last byte.
    ///
    /// `None` when the address space is used up.
    #[inline]
    pub fn push_frame(&mut self) -> Option<Addr> {
        if self.frames >= FIXED_FRAMES {
            return self.push_heap_frame();
        }
        let frame = Self::frame(self.frames);
        let resting = if self.frames == 0 { self.resting } else { Resting::Unmapped };
        self.frames += 1;
        if resting != Resting::Zeroed {
            self.raw_mut(frame.base, STACK_SIZE as usize).fill(0);
        }
        if resting == Resting::Unmapped {
            self.arena.allow(&frame);
        }
        Some(frame.end())
    }

    #[cold]
    fn push_heap_frame(&mut self) -> Option<Addr> {
        let index = (self.frames - FIXED_FRAMES) as usize;
        if index == self.heap_frames.len() {
            let block = self.grow(STACK_STRIDE as u32)?;
            self.heap_frames.push(Addr::from(block) + STACK_STRIDE / 2);
        }
        let frame = Object { base: self.heap_frames[index], ..Self::frame(0) };
        self.raw_mut(frame.base, STACK_SIZE as usize).fill(0);
        self.map(frame);
        self.frames += 1;
        Some(frame.end())
    }

    /// Ends the newest call frame.
    pub fn pop_frame(&mut self) {
        self.frames = self.frames.checked_sub(1).expect("a frame is in use");
        if let Some(index) = self.frames.checked_sub(FIXED_FRAMES) {
            self.unmap(self.heap_frames[index as usize]);
            return;
        }
        if self.frames == 0 {
            self.resting = Resting::Unmapped;
        }
        self.arena.forbid(&Self::frame(self.frames));
    }

    /// Makes the newest call frame another program's: zeroed. Returns what `r10` is.
    pub(super) fn renew_frame(&mut self) -> Addr {
        let index = self.frames.checked_sub(1).expect("a frame is in use");
        let base = match index.checked_sub(FIXED_FRAMES) {
            Some(index) => self.heap_frames[index as usize],
            None => Self::frame(index).base,
        };
        self.raw_mut(base, STACK_SIZE as usize).fill(0);
        base + Addr::from(STACK_SIZE)
    }

    /// Ends the newest call frame; if it was the only one, its shadow may stay until it is used again. `unwritten`:
    /// nothing was written since it began.
    #[inline]
    pub(super) fn end_frame(&mut self, unwritten: bool) {
        if self.frames == 1 {
            self.frames = 0;
            self.resting = if unwritten { Resting::Zeroed } else { Resting::Mapped };
        } else {
            self.pop_frame();
        }
    }

    /// Call frames in use.
    pub const fn frames(&self) -> u32 {
        self.frames
    }

    const fn frame(index: u32) -> Object {
        Object {
            base: STACK_BASE + STACK_STRIDE * index as Addr,
            len: STACK_SIZE,
            access: Access::ReadWrite,
            kind: ObjectKind::Stack,
        }
    }

    /// Makes a fixed range (the packet) an object. Bytes keep their values.
    ///
    /// The range must lie inside the arena and share no byte with another object; it may begin where another ends.
    pub fn map(&mut self, object: Object) {
        self.arena.allow(&object);
        self.objects.insert(object.base as u32, object);
    }

    /// Ends the object that begins at `base`.
    pub fn unmap(&mut self, base: Addr) -> Option<Object> {
        let object = self.objects.remove(&(base as u32))?;
        self.arena.forbid(&object);
        Some(object)
    }

    /// The object that holds all of `[addr, addr + len)`.
    pub fn object_at(&self, addr: Addr, len: u64) -> Option<Object> {
        let (object, _) = self.neighbours(addr);
        object.filter(|o| addr.checked_add(len).is_some_and(|end| end <= o.end()))
    }

    /// The last object that begins at or below `addr`, and the first one above.
    fn neighbours(&self, addr: Addr) -> (Option<Object>, Option<Object>) {
        let key = u32::try_from(addr).unwrap_or(u32::MAX);
        let above_key = (std::ops::Bound::Excluded(key), std::ops::Bound::Unbounded);
        let below = self.objects.range(..=key).next_back().map(|(_, &object)| object);
        let above = self.objects.range(above_key).next().map(|(_, &object)| object);
        let index = addr.checked_sub(STACK_BASE).map(|offset| (offset / STACK_STRIDE) as u32);
        let fixed = self.frames.min(FIXED_FRAMES);
        let frame_below = match index {
            Some(index) => fixed.checked_sub(1).map(|last| Self::frame(last.min(index))),
            None => None,
        };
        let next = index.map_or(0, |index| index.saturating_add(1));
        let frame_above = (next < fixed).then(|| Self::frame(next));
        let higher = [below, frame_below].into_iter().flatten().max_by_key(|o| o.base);
        let lower = [above, frame_above].into_iter().flatten().min_by_key(|o| o.base);
        (higher, lower)
    }

    /// Whether a guest may access the range; every byte of it must belong to one object.
    #[inline]
    pub fn check(&self, addr: Addr, len: u64, write: bool) -> Result<(), BadAccess> {
        if self.arena.allows(addr, len, write) {
            return Ok(());
        }
        match self.object_at(addr, len) {
            Some(object) if !write || object.access == Access::ReadWrite => Ok(()),
            _ => Err(self.bad_access(addr, len, write)),
        }
    }

    /// Describes a refused access.
    #[cold]
    pub fn bad_access(&self, addr: Addr, len: u64, write: bool) -> BadAccess {
        let (below, above) = self.neighbours(addr);
        let below = below.map(|o| (addr.saturating_sub(o.end()), o));
        let above = above.map(|o| (o.base.saturating_sub(addr), o));
        let nearest = [below, above]
            .into_iter()
            .flatten()
            .min_by_key(|&(distance, _)| distance)
            .filter(|&(distance, _)| distance < STACK_STRIDE / 2)
            .map(|(_, object)| object);
        BadAccess { addr, len, write, nearest }
    }

    /// Bytes a helper may read on the program's behalf.
    #[inline]
    pub fn guest(&self, addr: Addr, len: u64) -> Result<&[u8], BadAccess> {
        if len == 0 {
            return Ok(&[]);
        }
        self.check(addr, len, false)?;
        Ok(self.raw(addr, len as usize))
    }

    /// The same where the shadow alone shows it; else ask [`guest`](Self::guest).
    #[inline]
    pub(super) fn glance(&self, addr: Addr, len: usize) -> Option<&[u8]> {
        self.arena.allows(addr, len as u64, false).then(|| self.raw(addr, len))
    }

    /// Bytes a helper may write on the program's behalf.
    pub fn guest_mut(&mut self, addr: Addr, len: u64) -> Result<&mut [u8], BadAccess> {
        if len == 0 {
            return Ok(&mut []);
        }
        self.check(addr, len, true)?;
        Ok(self.raw_mut(addr, len as usize))
    }

    /// Bytes for the kernel's own use (a map reading its element): no access rules.
    ///
    /// # Panics
    /// Outside the arena, which is a bug of the caller's.
    pub fn raw(&self, addr: Addr, len: usize) -> &[u8] {
        &self.arena.bytes()[addr as usize..][..len]
    }

    /// Like [`raw`](Self::raw), to write.
    pub fn raw_mut(&mut self, addr: Addr, len: usize) -> &mut [u8] {
        &mut self.arena.bytes_mut()[addr as usize..][..len]
    }

    /// Loads `len` (1, 2, 4 or 8) bytes, little-endian, zero-extended, as the program would.
    pub fn load(&self, addr: Addr, len: u64) -> Result<u64, BadAccess> {
        self.check(addr, len, false)?;
        let mut value = [0; 8];
        value[..len as usize].copy_from_slice(self.raw(addr, len as usize));
        Ok(u64::from_le_bytes(value))
    }

    /// Stores the low `len` (1, 2, 4 or 8) bytes of `value`, little-endian, as the program would.
    pub fn store(&mut self, addr: Addr, len: u64, value: u64) -> Result<(), BadAccess> {
        self.check(addr, len, true)?;
        self.raw_mut(addr, len as usize).copy_from_slice(&value.to_le_bytes()[..len as usize]);
        Ok(())
    }

    /// The bytes at `addr` when the shadow alone shows that a guest may read them; else ask [`load`](Self::load).
    #[inline(always)]
    #[allow(clippy::inline_always)] // the interpreter's hottest path
    pub(super) fn peek<const N: usize>(&self, addr: Addr) -> Option<[u8; N]> {
        self.arena.peek(addr)
    }

    /// The bytes at `addr` when the shadow alone shows that a guest may write them; else ask [`store`](Self::store).
    #[inline(always)]
    #[allow(clippy::inline_always)] // the interpreter's hottest path
    pub(super) fn poke<const N: usize>(&mut self, addr: Addr) -> Option<&mut [u8; N]> {
        self.arena.poke(addr)
    }

    /// See [`View`].
    #[inline]
    pub(super) fn view(&mut self) -> View {
        self.arena.view()
    }

    /// Bytes at `fp + off`, which decoding has proved to lie in the frame below `fp`.
    #[inline(always)]
    #[allow(clippy::inline_always)] // the interpreter's hottest path
    pub(super) fn frame_bytes<const N: usize>(&mut self, fp: Addr, off: i32) -> &mut [u8; N] {
        let at = fp.wrapping_add_signed(i64::from(off)) as usize;
        self.arena.bytes_mut()[at..].first_chunk_mut().expect("the stack lies below the heap")
    }
}

#[cfg(test)]
mod tests;
