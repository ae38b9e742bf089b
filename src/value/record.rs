//! The record: a member of a big collection, in one allocation behind one pointer.
//!
//! A hash's field with its value and perhaps an expiry, a set's member, a sorted set's member with its
//! score. The header is as small as the lengths allow, so a member of ten bytes takes sixteen in all.
//!
//! This module manages memory by hand. Layout, from the start, nothing of it aligned:
//!
//! ```text
//! meta | key length | value length, if there is a value | expiry: i64 | score: f64 | key | value | slack
//! ```
//!
//! `meta` says which fields there are, and in how many bytes the lengths stand. Numbers are
//! little-endian.
//!
//! Invariants: everything up to the slack is initialized, and the allocation is as large as
//! [`size_class`] makes that. A change of the value within the class stays in place.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr::{self, NonNull};
use std::slice;

use crate::allocator::size_class;
use crate::table::{Slot, prefetch};

/// An owned record.
#[repr(transparent)]
pub struct Record(NonNull<u8>);

/// The first byte. Bits 0–1 and 2–3: the logarithm of the bytes of the key's and the value's length.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Meta(u8);

const HAS_VALUE: u8 = 1 << 4;
const HAS_EXPIRY: u8 = 1 << 5;
const HAS_SCORE: u8 = 1 << 6;

const NUMBER: usize = 8;

impl Meta {
    fn of(parts: &Parts<'_>) -> Meta {
        let flag = |flag, is_set| if is_set { flag } else { 0 };
        Meta(
            width_code(parts.key.len())
                | width_code(parts.value.map_or(0, <[u8]>::len)) << 2
                | flag(HAS_VALUE, parts.value.is_some())
                | flag(HAS_EXPIRY, parts.expiry.is_some())
                | flag(HAS_SCORE, parts.score.is_some()),
        )
    }

    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    /// Bytes that the key's length takes.
    fn key_width(self) -> usize {
        1 << (self.0 & 3)
    }

    /// Bytes that the value's length takes, if there is a value.
    fn value_width(self) -> usize {
        1 << (self.0 >> 2 & 3)
    }

    fn value_len_at(self) -> usize {
        1 + self.key_width()
    }

    fn expiry_at(self) -> usize {
        self.value_len_at() + if self.has(HAS_VALUE) { self.value_width() } else { 0 }
    }

    fn score_at(self) -> usize {
        self.expiry_at() + if self.has(HAS_EXPIRY) { NUMBER } else { 0 }
    }

    fn key_at(self) -> usize {
        self.score_at() + if self.has(HAS_SCORE) { NUMBER } else { 0 }
    }
}

/// The logarithm of the bytes in which a length fits.
fn width_code(len: usize) -> u8 {
    match len {
        0..0x100 => 0,
        0x100..0x1_0000 => 1,
        0x1_0000..0x1_0000_0000 => 2,
        _ => 3,
    }
}

/// The parts of a record.
#[derive(Clone, Copy)]
struct Parts<'a> {
    key: &'a [u8],
    value: Option<&'a [u8]>,
    expiry: Option<i64>,
    score: Option<f64>,
}

// SAFETY: a record owns its allocation, in which there are only bytes.
unsafe impl Send for Record {}
// SAFETY: no method changes anything through a shared reference.
unsafe impl Sync for Record {}

// SAFETY: a record is one pointer that is never null.
unsafe impl Slot for Record {
    #[inline]
    fn key(&self) -> &[u8] {
        self.key()
    }

    #[inline]
    fn expiry(&self) -> Option<i64> {
        self.expiry()
    }

    fn set_expiry(&mut self, expiry: Option<i64>) {
        self.set_expiry(expiry);
    }

    #[inline]
    fn prefetch(&self) {
        self.prefetch();
    }
}

impl Record {
    /// A record without a score. `expiry` is in milliseconds of Unix time.
    #[inline]
    pub fn new(key: &[u8], value: Option<&[u8]>, expiry: Option<i64>) -> Record {
        Record::build(Parts { key, value, expiry, score: None })
    }

    /// A record with a score.
    #[inline]
    pub fn scored(key: &[u8], score: f64) -> Record {
        Record::build(Parts { key, value: None, expiry: None, score: Some(score) })
    }

    fn build(parts: Parts<'_>) -> Record {
        let meta = Meta::of(&parts);
        let value = parts.value.unwrap_or_default();
        let layout = layout(meta.key_at() + parts.key.len() + value.len());
        // SAFETY: the layout's size is not zero.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }) else {
            handle_alloc_error(layout)
        };
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            // SAFETY: together the pieces are as long as the layout was made for, and nothing else
            // refers to the new allocation.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), start.as_ptr().add(at), bytes.len()) }
            at += bytes.len();
        };
        put(&[meta.0]);
        put(&(parts.key.len() as u64).to_le_bytes()[..meta.key_width()]);
        if parts.value.is_some() {
            put(&(value.len() as u64).to_le_bytes()[..meta.value_width()]);
        }
        if let Some(expiry) = parts.expiry {
            put(&expiry.to_le_bytes());
        }
        if let Some(score) = parts.score {
            put(&score.to_le_bytes());
        }
        put(parts.key);
        put(value);
        Record(start)
    }

    fn parts(&self) -> Parts<'_> {
        let meta = self.meta();
        Parts {
            key: self.key(),
            value: self.value(),
            expiry: self.expiry(),
            score: meta.has(HAS_SCORE).then(|| self.score()),
        }
    }

    #[inline]
    fn meta(&self) -> Meta {
        // SAFETY: the first byte is always there.
        Meta(unsafe { self.0.read() })
    }

    /// # Safety
    /// The bytes must be initialized ones of the record.
    #[inline]
    unsafe fn bytes(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: as the caller promises, and nothing changes them while the record is borrowed.
        unsafe { slice::from_raw_parts(self.0.as_ptr().add(at), len) }
    }

    /// Writes at a place of the record that has room for the bytes.
    ///
    /// # Safety
    /// `at` plus the length must not be beyond the allocation's end.
    #[inline]
    unsafe fn write(&mut self, at: usize, bytes: &[u8]) {
        // SAFETY: as the caller promises. The record is borrowed mutably, so the bytes to write lie
        // elsewhere.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.as_ptr().add(at), bytes.len()) }
    }

    /// # Safety
    /// There must be a length of `width` bytes at `at`.
    #[inline]
    unsafe fn read_len(&self, at: usize, width: usize) -> usize {
        // SAFETY: as the caller promises.
        let bytes = unsafe { self.bytes(at, width) };
        match bytes {
            [len] => usize::from(*len),
            bytes => {
                let mut wide = [0; size_of::<u64>()];
                wide[..width].copy_from_slice(bytes);
                u64::from_le_bytes(wide) as usize
            }
        }
    }

    /// # Safety
    /// There must be a number at `at`.
    #[inline]
    unsafe fn read_number(&self, at: usize) -> [u8; NUMBER] {
        // SAFETY: as the caller promises; an array of bytes needs no alignment.
        unsafe { self.0.add(at).cast::<[u8; NUMBER]>().read() }
    }

    #[inline]
    fn key_len(&self, meta: Meta) -> usize {
        // SAFETY: the key's length follows the meta byte.
        unsafe { self.read_len(1, meta.key_width()) }
    }

    #[inline]
    fn value_len(&self, meta: Meta) -> usize {
        if !meta.has(HAS_VALUE) {
            return 0;
        }
        // SAFETY: the flag says that there is the value's length.
        unsafe { self.read_len(meta.value_len_at(), meta.value_width()) }
    }

    /// Bytes before the slack.
    fn used(&self) -> usize {
        let meta = self.meta();
        meta.key_at() + self.key_len(meta) + self.value_len(meta)
    }

    /// Bytes of the allocation.
    pub fn allocated(&self) -> usize {
        size_class(self.used())
    }

    /// The hash's field, or the member.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let meta = self.meta();
        // SAFETY: the key is initialized.
        unsafe { self.bytes(meta.key_at(), self.key_len(meta)) }
    }

    #[inline]
    pub fn value(&self) -> Option<&[u8]> {
        let meta = self.meta();
        if !meta.has(HAS_VALUE) {
            return None;
        }
        // SAFETY: the value follows the key, and is initialized.
        Some(unsafe { self.bytes(meta.key_at() + self.key_len(meta), self.value_len(meta)) })
    }

    /// When the record expires, in milliseconds of Unix time.
    #[inline]
    pub fn expiry(&self) -> Option<i64> {
        let meta = self.meta();
        // SAFETY: the flag says that the number is there.
        meta.has(HAS_EXPIRY)
            .then(|| i64::from_le_bytes(unsafe { self.read_number(meta.expiry_at()) }))
    }

    /// # Panics
    /// If the record has no score.
    #[inline]
    pub fn score(&self) -> f64 {
        let meta = self.meta();
        assert!(meta.has(HAS_SCORE), "the record has a score");
        // SAFETY: the flag says that the number is there.
        f64::from_le_bytes(unsafe { self.read_number(meta.score_at()) })
    }

    /// # Panics
    /// If the record has no score.
    #[inline]
    pub fn set_score(&mut self, score: f64) {
        let meta = self.meta();
        assert!(meta.has(HAS_SCORE), "the record has a score");
        // SAFETY: the flag says that there is room for the number.
        unsafe { self.write(meta.score_at(), &score.to_le_bytes()) }
    }

    /// Sets or replaces the value: in place, if the record stays in its size class.
    pub fn set_value(&mut self, value: &[u8]) {
        let meta = self.meta();
        let after = Parts { value: Some(value), ..self.parts() };
        let value_at = meta.key_at() + after.key.len();
        if Meta::of(&after) != meta || size_class(value_at + value.len()) != self.allocated() {
            *self = Record::build(after);
            return;
        }
        let len = value.len().to_le_bytes();
        // SAFETY: the header stays as long as it was, and the allocation's size class has room for
        // the value behind the key.
        unsafe {
            self.write(meta.value_len_at(), &len[..meta.value_width()]);
            self.write(value_at, value);
        }
    }

    /// Sets or clears the expiry, in milliseconds of Unix time.
    pub fn set_expiry(&mut self, expiry: Option<i64>) {
        let meta = self.meta();
        match expiry {
            // SAFETY: the flag says that there is room for the number.
            Some(at) if meta.has(HAS_EXPIRY) => unsafe {
                self.write(meta.expiry_at(), &at.to_le_bytes());
            },
            None if !meta.has(HAS_EXPIRY) => {}
            expiry => *self = Record::build(Parts { expiry, ..self.parts() }),
        }
    }

    /// Hints that the record will be read soon.
    #[inline]
    pub fn prefetch(&self) {
        prefetch(self.0.as_ptr());
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; nothing uses it after this.
        unsafe { dealloc(self.0.as_ptr(), layout(self.used())) }
    }
}

impl Clone for Record {
    fn clone(&self) -> Self {
        Record::build(self.parts())
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { key, value, expiry, score } = self.parts();
        f.debug_struct("Record")
            .field("key", &key.escape_ascii().to_string())
            .field("value", &value.map(|value| value.escape_ascii().to_string()))
            .field("expiry", &expiry)
            .field("score", &score)
            .finish()
    }
}

fn layout(used: usize) -> Layout {
    Layout::from_size_align(size_class(used), 1).expect("a record is smaller than isize::MAX")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_member_fits_sixteen_bytes() {
        for (record, size) in [
            (Record::new(b"member", None, None), 8),
            (Record::new(b"0123456789", None, None), 16),
            (Record::new(b"01234567890123", None, None), 16),
            (Record::new(b"012345678901234", None, None), 32),
            (Record::scored(b"member", 1.5), 16),
            (Record::new(b"field:0001", Some(b"value:0001"), None), 32),
        ] {
            assert_eq!(record.allocated(), size, "{record:?}");
        }
    }

    /// Lengths on both sides of every change of the header and of some classes.
    const LENGTHS: [usize; 9] = [0, 1, 10, 13, 255, 256, 300, 65_535, 65_536];

    #[test]
    fn a_record_returns_its_parts() {
        for key_len in LENGTHS {
            let key = vec![b'k'; key_len];
            let scored = Record::scored(&key, -0.5);
            assert_eq!((scored.key(), scored.value(), scored.expiry()), (&key[..], None, None));
            assert_eq!(scored.score(), -0.5);
            for expiry in [None, Some(i64::MIN), Some(7)] {
                let member = Record::new(&key, None, expiry);
                assert_eq!(
                    (member.key(), member.value(), member.expiry()),
                    (&key[..], None, expiry)
                );
                for value_len in LENGTHS {
                    let value = vec![b'v'; value_len];
                    let field = Record::new(&key, Some(&value), expiry);
                    assert!(field.key() == key && field.value() == Some(&value));
                    assert_eq!(field.expiry(), expiry);
                }
            }
        }
    }

    #[test]
    fn each_part_changes_without_the_others() {
        let mut record = Record::new(b"field", Some(b""), None);
        for (step, len) in LENGTHS.into_iter().chain(LENGTHS.into_iter().rev()).enumerate() {
            let value = vec![step as u8; len];
            record.set_value(&value);
            let expiry = (step % 3 > 0).then_some(step as i64);
            record.set_expiry(expiry);
            let copy = record.clone();
            record.set_value(b"the copy is another record");
            assert!(copy.value() == Some(&value) && copy.key() == b"field");
            assert_eq!(copy.expiry(), expiry);
            assert_eq!(record.expiry(), expiry);
        }
        let mut member = Record::scored(b"member", f64::INFINITY);
        member.set_score(-2.25);
        member.set_expiry(Some(1));
        member.set_value(b"value");
        member.set_expiry(None);
        assert_eq!((member.key(), member.value()), (&b"member"[..], Some(&b"value"[..])));
        assert_eq!((member.score(), member.expiry()), (-2.25, None));
    }

    #[test]
    fn a_value_that_stays_in_its_size_class_stays_where_it_is() {
        let mut record = Record::new(b"0123456789", Some(&[b'a'; 10]), None);
        let place = record.0;
        for len in [19, 4, 10] {
            record.set_value(&vec![b'b'; len]);
            assert_eq!((record.0, record.allocated()), (place, 32));
            assert_eq!(record.value(), Some(&vec![b'b'; len][..]));
        }
        record.set_value(&[b'c'; 20]);
        assert_eq!(record.allocated(), 48);
        record.set_value(b"c");
        assert_eq!(record.allocated(), 16, "a short value does not sit on a long one's memory");
        record.set_expiry(Some(1));
        let place = record.0;
        record.set_expiry(Some(2));
        assert_eq!((record.0, record.expiry()), (place, Some(2)));
    }
}
