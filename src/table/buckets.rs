//! A table's buckets: an array that grows and shrinks at its end and never moves.

use std::ops::{Index, IndexMut};

use super::Slot;
use super::bucket::Bucket;
use crate::allocator::size_class;

/// Buckets are allocated so many at a time: growing never moves them, and leaves no holes of odd
/// sizes behind.
const SEGMENT: usize = 8;

/// A growing array of buckets.
pub struct Buckets<E: Slot> {
    /// A segment stays where it is when the vector grows.
    segments: Vec<Box<[Bucket<E>; SEGMENT]>>,
    len: usize,
}

impl<E: Slot> Default for Buckets<E> {
    fn default() -> Self {
        Buckets { segments: Vec::new(), len: 0 }
    }
}

impl<E: Slot + Clone> Clone for Buckets<E> {
    fn clone(&self) -> Self {
        let mut clone = Buckets::default();
        self.iter().for_each(|bucket| clone.push(bucket.clone()));
        clone
    }
}

impl<E: Slot> Buckets<E> {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Makes room for so many buckets in the list of segments.
    pub fn reserve(&mut self, buckets: usize) {
        self.segments.reserve_exact(buckets.div_ceil(SEGMENT));
    }

    pub fn push(&mut self, bucket: Bucket<E>) {
        if self.len == self.segments.len() * SEGMENT {
            self.segments.push(Box::default());
        }
        self.len += 1;
        let last = self.len - 1;
        self[last] = bucket;
    }

    pub fn pop(&mut self) -> Option<Bucket<E>> {
        let last = self.len.checked_sub(1)?;
        let bucket = std::mem::take(&mut self[last]);
        self.len = last;
        // One empty segment stays, so that a table at the edge does not allocate again and again.
        self.segments.truncate(last / SEGMENT + 2);
        Some(bucket)
    }

    #[inline]
    pub fn get(&self, index: usize) -> Option<&Bucket<E>> {
        self.segments.get(index / SEGMENT).map(|segment| &segment[index % SEGMENT])
    }

    /// Bytes that they take, but for chains.
    pub fn memory(&self) -> usize {
        let segments = self.segments.len() * size_of::<[Bucket<E>; SEGMENT]>();
        match self.segments.capacity() {
            0 => 0,
            capacity => segments + size_class(capacity * size_of::<usize>()),
        }
    }

    /// Allocations that they take.
    pub fn allocations(&self) -> usize {
        usize::from(self.segments.capacity() > 0) + self.segments.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Bucket<E>> {
        self.segments.iter().flat_map(|segment| segment.iter()).take(self.len)
    }
}

impl<E: Slot> Index<usize> for Buckets<E> {
    type Output = Bucket<E>;

    #[inline]
    fn index(&self, index: usize) -> &Bucket<E> {
        &self.segments[index / SEGMENT][index % SEGMENT]
    }
}

impl<E: Slot> IndexMut<usize> for Buckets<E> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut Bucket<E> {
        &mut self.segments[index / SEGMENT][index % SEGMENT]
    }
}
