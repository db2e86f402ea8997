//! A sparse table of `u32`, zero until set: the size of the map it serves costs nothing until it is used.

const PAGE: usize = 1024;

/// `u32` by index, zero where never set. Memory grows by pages of 1,024 entries as they are written.
#[derive(Default)]
pub(super) struct Paged {
    pages: Vec<Option<Box<[u32; PAGE]>>>,
}

impl Paged {
    /// The value at `index`.
    #[inline]
    pub fn get(&self, index: u64) -> u32 {
        match self.pages.get(index as usize / PAGE) {
            Some(Some(page)) => page[index as usize % PAGE],
            _ => 0,
        }
    }

    /// Sets the value at `index`.
    pub fn set(&mut self, index: u64, value: u32) {
        let number = index as usize / PAGE;
        if number >= self.pages.len() {
            self.pages.resize_with(number + 1, || None);
        }
        let page = self.pages[number].get_or_insert_with(|| Box::new([0; PAGE]));
        page[index as usize % PAGE] = value;
    }

    /// Where `value`, which is not zero, stands. Looks everywhere.
    pub fn place_of(&self, value: u32) -> Option<u64> {
        let mut from = 0;
        while let Some((index, found)) = self.first_set(from) {
            if found == value {
                return Some(index);
            }
            from = index + 1;
        }
        None
    }

    /// The first index at or above `from` whose value is not zero, with the value.
    pub fn first_set(&self, from: u64) -> Option<(u64, u32)> {
        let start = from as usize;
        self.pages.iter().enumerate().skip(start / PAGE).find_map(|(number, page)| {
            let page = page.as_deref()?;
            let first = if number == start / PAGE { start % PAGE } else { 0 };
            let offset = first + page[first..].iter().position(|&value| value != 0)?;
            Some(((number * PAGE + offset) as u64, page[offset]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_is_zero_and_set_values_are_found_in_order() {
        let mut table = Paged::default();
        assert_eq!(table.get(u64::from(u32::MAX)), 0);
        assert_eq!(table.first_set(0), None);
        for index in [5, 1023, 1024, 70_000] {
            table.set(index, index as u32 + 1);
        }
        let mut found = Vec::new();
        let mut from = 0;
        while let Some((index, value)) = table.first_set(from) {
            assert_eq!(value, table.get(index));
            found.push(index);
            from = index + 1;
        }
        assert_eq!(found, [5, 1023, 1024, 70_000]);
        table.set(1023, 0);
        assert_eq!(table.first_set(6), Some((1024, 1025)));
    }
}
