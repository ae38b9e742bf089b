//! Insertion and removal in the middle of a string of bytes, by which packed collections are changed.

/// A growing string of bytes: a vector, or a collection inside its entry.
pub trait Splice {
    fn bytes(&self) -> &[u8];

    fn bytes_mut(&mut self) -> &mut [u8];

    /// Replaces `remove` bytes at `at` by a gap of `insert` bytes, which is returned to be filled; its
    /// content is unspecified.
    ///
    /// # Panics
    /// If the removed bytes are not there.
    fn splice(&mut self, at: usize, remove: usize, insert: usize) -> &mut [u8];
}

impl Splice for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }

    fn splice(&mut self, at: usize, remove: usize, insert: usize) -> &mut [u8] {
        let len = self.len();
        if let Some(longer) = insert.checked_sub(remove) {
            self.resize(len + longer, 0);
        }
        self.copy_within(at + remove..len, at + insert);
        self.truncate(len - remove + insert);
        &mut self[at..at + insert]
    }
}
