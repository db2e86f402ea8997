//! What a shared array held, so that what changed in it is found without making a list of its elements: arrays of tens of
//! millions of elements, nearly all of them zero, are common in load balancers.

use super::{Map, mapping::Mapping};

/// Bytes compared at a time.
const PIECE: usize = 4096;

/// The elements of one array as they were last seen; at first all zero, which needs no memory until something is not.
#[derive(Clone, Debug)]
pub struct Image {
    bytes: Vec<u8>,
}

impl Image {
    /// Of `map`, if [`Map::share`] mapped its elements into this process.
    pub fn of(map: &Map) -> Option<Self> {
        map.shared()?;
        // Zeroed by the allocator, hence not touched.
        Some(Self { bytes: vec![0; map.stride() * map.info().max_entries as usize] })
    }

    /// Gives `differs` each element of `map` that is not as it was, in the order of the elements, and takes it up.
    pub fn update(&mut self, map: &Map, mut differs: impl FnMut(u32, &[u8])) {
        let memory: &Mapping = map.shared().expect("an image is of a shared array");
        let (stride, size) = (map.stride(), map.value_size());
        let piece = (PIECE / stride).max(1) * stride;
        let mut now = vec![0; piece];
        for (number, was) in self.bytes.chunks_mut(piece).enumerate() {
            let now = &mut now[..was.len()];
            memory.read_into(number * piece, now);
            if now == was {
                continue;
            }
            let elements = was.chunks_exact(stride).zip(now.chunks_exact(stride)).enumerate();
            for (index, (_, is)) in elements.filter(|(_, (was, is))| was[..size] != is[..size]) {
                let index = number * (piece / stride) + index;
                differs(u32::try_from(index).expect("an index of an array"), &is[..size]);
            }
            was.copy_from_slice(now);
        }
    }
}
