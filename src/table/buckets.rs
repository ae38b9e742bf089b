//! A table's buckets: an array that grows and shrinks at its end, and moves only while it is small.

use std::ops::{Index, IndexMut};

use smallvec::SmallVec;

use super::Slot;
use super::bucket::Bucket;
use crate::allocator::size_class;

/// Buckets are allocated so many at a time: growing never moves them, and leaves no holes of odd
/// sizes behind. Only the first ones are fewer at first, and their number doubles: there are many
/// tables with few entries.
const SEGMENT: usize = 8;

/// Segments besides the first whose places need no list of its own, which would be one more cache miss
/// on the way to a bucket: there is room for two beside the rest, in a shard's first cache line.
const INLINE: usize = 2;

type Segment<E> = Box<[Bucket<E>; SEGMENT]>;

/// A growing array of buckets.
#[repr(C)]
pub struct Buckets<E: Slot> {
    /// `2^level - 1`, where `2^level` is the highest power of two that is not above `len`; 0 if there
    /// are none.
    mask: u32,
    len: u32,
    /// Those below `SEGMENT`.
    first: Box<[Bucket<E>]>,
    /// A segment stays where it is when the vector grows.
    rest: SmallVec<[Segment<E>; INLINE]>,
}

impl<E: Slot> Default for Buckets<E> {
    fn default() -> Self {
        const { assert!(size_of::<Buckets<E>>() == 48) };
        Buckets { mask: 0, len: 0, first: Box::default(), rest: SmallVec::new() }
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
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// `2^level - 1`, where `2^level` is the highest power of two that is not above their number; 0 if
    /// there are none.
    #[inline]
    pub fn mask(&self) -> u32 {
        self.mask
    }

    /// Makes room for so many buckets in the list of segments.
    pub fn reserve(&mut self, buckets: usize) {
        self.rest.reserve_exact(buckets.div_ceil(SEGMENT).saturating_sub(1));
    }

    /// Buckets in the segments, used or not.
    fn capacity(&self) -> usize {
        self.first.len() + self.rest.len() * SEGMENT
    }

    fn set_len(&mut self, len: usize) {
        self.len = u32::try_from(len).expect("hashes choose fewer than 2^32 buckets");
        self.mask = self.len.checked_ilog2().map_or(0, |level| (1 << level) - 1);
    }

    pub fn push(&mut self, bucket: Bucket<E>) {
        let last = self.len();
        if last == self.capacity() {
            match self.first.len() {
                size if size < SEGMENT => self.resize_first((size * 2).max(1)),
                _ => self.rest.push(Box::new(std::array::from_fn(|_| Bucket::default()))),
            }
        }
        self.set_len(last + 1);
        self[last] = bucket;
    }

    pub fn pop(&mut self) -> Option<Bucket<E>> {
        let last = self.len().checked_sub(1)?;
        let bucket = std::mem::take(&mut self[last]);
        self.set_len(last);
        // A segment that is half full keeps an empty one beside it, so that a table at the edge does not
        // allocate again and again.
        let is_half_full = last % SEGMENT >= SEGMENT / 2;
        self.rest.truncate(last / SEGMENT + usize::from(is_half_full));
        if self.rest.is_empty() && last <= self.first.len() / 4 && self.first.len() > 1 {
            self.resize_first(self.first.len() / 2);
        }
        Some(bucket)
    }

    /// Moves the buckets of the first segment, the only one, to one of that size.
    fn resize_first(&mut self, size: usize) {
        let larger = std::iter::repeat_with(Bucket::default).take(size).collect();
        let mut old = std::mem::replace(&mut self.first, larger);
        let moved = self.first.iter_mut().zip(&mut old);
        moved.for_each(|(to, from)| std::mem::swap(to, from));
    }

    #[inline]
    pub fn get(&self, index: usize) -> Option<&Bucket<E>> {
        match (index / SEGMENT).checked_sub(1) {
            None => self.first.get(index),
            Some(segment) => Some(&self.rest.get(segment)?[index % SEGMENT]),
        }
    }

    /// Bytes that they take, but for chains.
    pub fn memory(&self) -> usize {
        let list = match self.rest.spilled() {
            true => size_class(self.rest.capacity() * size_of::<Segment<E>>()),
            false => 0,
        };
        self.capacity() * size_of::<Bucket<E>>() + list
    }

    /// Allocations that they take.
    pub fn allocations(&self) -> usize {
        usize::from(!self.first.is_empty()) + self.rest.len() + usize::from(self.rest.spilled())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Bucket<E>> {
        let rest = self.rest.iter().flat_map(|segment| segment.iter());
        self.first.iter().chain(rest).take(self.len())
    }
}

impl<E: Slot> Index<usize> for Buckets<E> {
    type Output = Bucket<E>;

    #[inline]
    fn index(&self, index: usize) -> &Bucket<E> {
        match (index / SEGMENT).checked_sub(1) {
            None => &self.first[index],
            Some(segment) => &self.rest[segment][index % SEGMENT],
        }
    }
}

impl<E: Slot> IndexMut<usize> for Buckets<E> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut Bucket<E> {
        match (index / SEGMENT).checked_sub(1) {
            None => &mut self.first[index],
            Some(segment) => &mut self.rest[segment][index % SEGMENT],
        }
    }
}
