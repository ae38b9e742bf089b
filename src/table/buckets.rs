//! A table's buckets: an array that grows and shrinks at its end, and moves only while it is small.

use std::ops::{Index, IndexMut};

use super::Slot;
use super::bucket::Bucket;
use crate::allocator::size_class;

/// Buckets are allocated so many at a time: growing never moves them, and leaves no holes of odd
/// sizes behind. Only the first ones are fewer at first, and their number doubles: there are many
/// tables with few entries.
const SEGMENT: usize = 8;

/// A growing array of buckets.
pub struct Buckets<E: Slot> {
    /// A segment stays where it is when the vector grows.
    segments: Vec<Box<[Bucket<E>]>>,
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

    /// Buckets that the segments have, used or not.
    fn capacity(&self) -> usize {
        match &self.segments[..] {
            [] => 0,
            [first] => first.len(),
            segments => segments.len() * SEGMENT,
        }
    }

    pub fn push(&mut self, bucket: Bucket<E>) {
        if self.len == self.capacity() {
            match &self.segments[..] {
                [] => self.segments.push(segment(1)),
                [first] if first.len() < SEGMENT => self.resize_first(first.len() * 2),
                _ => self.segments.push(segment(SEGMENT)),
            }
        }
        self.len += 1;
        let last = self.len - 1;
        self[last] = bucket;
    }

    pub fn pop(&mut self) -> Option<Bucket<E>> {
        let last = self.len.checked_sub(1)?;
        let bucket = std::mem::take(&mut self[last]);
        self.len = last;
        // What is half full keeps an empty segment beside it, so that a table at the edge does not
        // allocate again and again.
        let is_half_full = last % SEGMENT >= SEGMENT / 2;
        self.segments.truncate(last / SEGMENT + 1 + usize::from(is_half_full));
        if let [first] = &self.segments[..]
            && last <= first.len() / 4
            && first.len() > 1
        {
            self.resize_first(first.len() / 2);
        }
        Some(bucket)
    }

    /// Moves the buckets of the first segment, the only one, to one of that size.
    fn resize_first(&mut self, size: usize) {
        let mut old = std::mem::replace(&mut self.segments[0], segment(size));
        let moved = self.segments[0].iter_mut().zip(&mut old);
        moved.for_each(|(to, from)| std::mem::swap(to, from));
    }

    #[inline]
    pub fn get(&self, index: usize) -> Option<&Bucket<E>> {
        self.segments.get(index / SEGMENT)?.get(index % SEGMENT)
    }

    /// Bytes that they take, but for chains.
    pub fn memory(&self) -> usize {
        let list = self.segments.capacity() * size_of::<Box<[Bucket<E>]>>();
        let list = if list == 0 { 0 } else { size_class(list) };
        self.capacity() * size_of::<Bucket<E>>() + list
    }

    /// Allocations that they take.
    pub fn allocations(&self) -> usize {
        usize::from(self.segments.capacity() > 0) + self.segments.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Bucket<E>> {
        self.segments.iter().flat_map(|segment| segment.iter()).take(self.len)
    }
}

fn segment<E: Slot>(size: usize) -> Box<[Bucket<E>]> {
    std::iter::repeat_with(Bucket::default).take(size).collect()
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
