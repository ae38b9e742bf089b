//! The entry of a member in the tree of a big sorted set: a second pointer to the record that the
//! table owns.
//!
//! Invariant, which [`SortedSet`](super::SortedSet) maintains: a record's handles are all in the tree
//! of the sorted set whose table owns the record, and they are dropped before the record is. A record
//! never moves in memory while only its score changes, and it is changed only by a method that has
//! the whole sorted set borrowed mutably.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;

use crate::value::Record;

/// A pointer to a record with another owner.
#[repr(transparent)]
pub struct Handle(ManuallyDrop<Record>);

const _: () = assert!(size_of::<Option<Handle>>() == size_of::<usize>());

impl Handle {
    /// # Safety
    /// The record must live longer than the handle and its copies, and must not be changed otherwise
    /// than by [`Record::set_score`], nor that while one of them is borrowed.
    #[inline]
    pub unsafe fn new(record: &Record) -> Handle {
        // SAFETY: the copy is never dropped, so the record keeps its one owner.
        Handle(ManuallyDrop::new(unsafe { ptr::read(record) }))
    }

    /// Whether it is a handle of this very record.
    #[inline]
    pub fn is_of(&self, record: &Record) -> bool {
        ptr::eq(self.key(), record.key())
    }
}

impl Clone for Handle {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: what was promised for this handle was promised for its copies.
        unsafe { Handle::new(&self.0) }
    }
}

impl Deref for Handle {
    type Target = Record;

    #[inline]
    fn deref(&self) -> &Record {
        &self.0
    }
}
