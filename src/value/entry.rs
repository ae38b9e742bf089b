//! The entry: a key, its metadata and its value in one allocation behind one pointer.
//!
//! A table of a million keys is a million of these, so the layout decides the memory per key and the
//! cache misses per command: one pointer in the table, one allocation of 16 bytes and the content.
//! An integer, a string under [`INLINE_LIMIT`] and a packed collection lie inside; everything else is a
//! boxed [`Object`].
//!
//! This is the one module of the core that manages memory by hand. Layout, from the start:
//!
//! ```text
//! Header | expiry: i64, if HAS_EXPIRY_FIELD | key | payload | slack
//! ```
//!
//! Invariants: `size()` computed from the header is the allocation's size, and everything up to the
//! slack is initialized. The payload is `value_len` bytes: the string or the packed collection itself,
//! an `i64`, or the pointer that `Box::into_raw` gave.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use super::hash::Hash;
use super::{Object, embedding};
use crate::allocator::{SMALL_MAX, size_class};
use crate::table::{Slot, Swept, prefetch};

/// Bytes from which a string is boxed.
pub const INLINE_LIMIT: usize = 16 * 1024;

/// Allocations are a multiple of this, so that a value that changes its length a little stays where
/// it is.
const GRAIN: usize = 16;

const HEADER: usize = size_of::<Header>();

/// The expiry field's value for an entry that does not expire. (A client may ask for any time that
/// is not negative, the greatest too.)
const NEVER: i64 = i64::MIN;

/// How much of its allocation a packed collection must leave unused before some is given back.
const SPARSE: usize = 2;

/// The least allocation of which something is given back.
const WORTHWHILE: usize = 128;

/// The type and encoding of a packed collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackedKind {
    List,
    Set,
    IntSet,
    Hash,
    SortedSet,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Bytes,
    Packed(PackedKind),
    Object,
}

const HAS_EXPIRY_FIELD: u8 = 1;
const RAW: u8 = 2;

#[repr(C)]
struct Header {
    /// For eviction and OBJECT IDLETIME/FREQ: 24 bits are used.
    access: u32,
    key_len: u32,
    value_len: u32,
    /// Unused bytes at the allocation's end.
    slack: u16,
    kind: Kind,
    flags: u8,
}

const _: () = assert!(HEADER == 16);

/// An owned entry.
#[repr(transparent)]
pub struct Entry(NonNull<Header>);

/// A value as an entry shows it.
pub enum ValueRef<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Packed(PackedKind, &'a [u8]),
    Object(&'a Object),
}

/// A value on its way into an entry.
pub enum Value<'a> {
    Int(i64),
    /// Boxed by the entry if it is long.
    Bytes(&'a [u8]),
    /// Lies inside the entry whatever its length.
    Packed(PackedKind, &'a [u8]),
    Object(Box<Object>),
}

impl Value<'_> {
    /// A string of at least [`INLINE_LIMIT`] bytes, which is not copied.
    pub fn long(bytes: Vec<u8>) -> Self {
        Value::shared(Arc::new(bytes))
    }

    /// A string of at least [`INLINE_LIMIT`] bytes, to which others may refer.
    pub fn shared(bytes: Arc<Vec<u8>>) -> Self {
        Value::Object(Box::new(Object::Str(bytes)))
    }

    /// Boxes a string that is too long to lie inside the entry.
    fn normalize(self) -> Self {
        match self {
            Value::Bytes(bytes) if bytes.len() >= INLINE_LIMIT => Value::long(bytes.to_vec()),
            value => value,
        }
    }

    fn len(&self) -> usize {
        match self {
            Value::Int(_) => size_of::<i64>(),
            Value::Bytes(bytes) | Value::Packed(_, bytes) => bytes.len(),
            Value::Object(_) => size_of::<*mut Object>(),
        }
    }
}

// SAFETY: an entry owns what it points to, and everything in it is `Send`.
unsafe impl Send for Entry {}
// SAFETY: no method changes anything through a shared reference.
unsafe impl Sync for Entry {}

// SAFETY: an entry is one pointer that is never null.
unsafe impl Slot for Entry {
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

    #[inline]
    fn deadline(&self) -> Option<i64> {
        let items = self.items().and_then(Hash::deadline);
        [self.expiry(), items].into_iter().flatten().min()
    }

    #[inline]
    fn has_volatile_items(&self) -> bool {
        self.items().is_some_and(|hash| hash.volatile() > 0)
    }

    fn expire_items(&mut self, now: i64, effort: usize, removed: &mut Vec<Box<[u8]>>) -> Swept {
        match self.object_mut() {
            Some(Object::Hash(hash)) => {
                hash.expire_some(now, effort, |field| removed.push(field.into()))
            }
            _ => Swept::default(),
        }
    }

    fn is_vacant(&self) -> bool {
        self.items().is_some_and(Hash::is_empty)
    }
}

impl Entry {
    /// Makes an entry. `expiry` is in milliseconds of Unix time.
    ///
    /// # Panics
    /// If the key or a packed value is longer than `u32::MAX` bytes; the limits of both are lower.
    pub fn new(key: &[u8], value: Value<'_>, expiry: Option<i64>) -> Entry {
        let value = value.normalize();
        let flags = if expiry.is_some() { HAS_EXPIRY_FIELD } else { 0 };
        let mut entry = Entry::allocate(key, value.len(), flags, 0);
        if let Some(at) = expiry {
            entry.write_expiry(at);
        }
        entry.write_payload(value);
        entry.note_embedding(false);
        if expiry.is_some() {
            entry.note_expiring();
        }
        entry
    }

    /// An entry whose expiry and payload are not written yet, with `room` bytes to grow.
    fn allocate(key: &[u8], value_len: usize, flags: u8, room: usize) -> Entry {
        let used = HEADER + expiry_len(flags) + key.len() + value_len;
        let size = (used + room).next_multiple_of(GRAIN);
        let header = Header {
            access: 0,
            key_len: u32::try_from(key.len()).expect("key length fits in 32 bits"),
            value_len: u32::try_from(value_len).expect("value length fits in 32 bits"),
            slack: (size - used) as u16,
            kind: Kind::Bytes,
            flags,
        };
        // SAFETY: the size is not zero; the header and the key lie inside the allocation, which is
        // aligned for the header.
        unsafe {
            let pointer = alloc(layout(size));
            let Some(start) = NonNull::new(pointer.cast::<Header>()) else {
                handle_alloc_error(layout(size))
            };
            start.write(header);
            let to = pointer.add(HEADER + expiry_len(flags));
            ptr::copy_nonoverlapping(key.as_ptr(), to, key.len());
            Entry(start)
        }
    }

    fn header(&self) -> &Header {
        // SAFETY: the header is initialized and lives as long as the entry.
        unsafe { self.0.as_ref() }
    }

    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: as above, and the entry is borrowed mutably.
        unsafe { self.0.as_mut() }
    }

    fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: callers stay inside the allocation.
        unsafe { self.0.as_ptr().cast::<u8>().add(offset) }
    }

    fn key_offset(&self) -> usize {
        HEADER + expiry_len(self.header().flags)
    }

    fn payload(&self) -> *mut u8 {
        self.at(self.key_offset() + self.header().key_len as usize)
    }

    /// Bytes of the allocation.
    fn size(&self) -> usize {
        let header = self.header();
        self.key_offset()
            + header.key_len as usize
            + header.value_len as usize
            + usize::from(header.slack)
    }

    /// Hints that the entry will be read soon: its header and key, and the value behind them.
    #[inline]
    pub fn prefetch(&self) {
        let start = self.0.as_ptr().cast::<u8>();
        prefetch(start);
        prefetch(start.wrapping_add(64));
    }

    pub fn key(&self) -> &[u8] {
        // SAFETY: the key is initialized and never changes while the entry is borrowed.
        unsafe { slice::from_raw_parts(self.at(self.key_offset()), self.header().key_len as usize) }
    }

    pub fn value(&self) -> ValueRef<'_> {
        match self.header().kind {
            // SAFETY: the payload is what the kind says, and initialized.
            Kind::Int => ValueRef::Int(unsafe { self.payload().cast::<i64>().read_unaligned() }),
            Kind::Bytes => ValueRef::Bytes(self.payload_bytes()),
            Kind::Packed(kind) => ValueRef::Packed(kind, self.payload_bytes()),
            Kind::Object => {
                // SAFETY: as above, and only this entry owns the object.
                let object = unsafe { &*self.payload().cast::<*mut Object>().read_unaligned() };
                ValueRef::Object(object)
            }
        }
    }

    /// The collection, if its items may have an expiry.
    #[inline]
    fn items(&self) -> Option<&Hash> {
        match self.value() {
            ValueRef::Object(Object::Hash(hash)) => Some(hash),
            _ => None,
        }
    }

    /// The inline string, to be changed in place.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        (self.header().kind == Kind::Bytes).then(|| self.payload_bytes_mut())
    }

    pub(super) fn is_packed(&self) -> bool {
        matches!(self.header().kind, Kind::Packed(_))
    }

    pub fn object_mut(&mut self) -> Option<&mut Object> {
        // SAFETY: the payload of this kind is a pointer to an object that only this entry owns.
        (self.header().kind == Kind::Object)
            .then(|| unsafe { &mut *self.payload().cast::<*mut Object>().read_unaligned() })
    }

    /// Replaces the value; key, expiry and access bits stay. Reuses the allocation where the new
    /// value fits it well.
    pub fn set_value(&mut self, value: Value<'_>) {
        match value {
            // A counter: the same bytes again.
            Value::Int(_) if self.header().kind == Kind::Int => return self.write_payload(value),
            Value::Bytes(bytes)
                if bytes.len() >= INLINE_LIMIT && self.overwrite_long_string(bytes) =>
            {
                return;
            }
            _ => {}
        }
        let value = value.normalize();
        let used = self.key_offset() + self.header().key_len as usize + value.len();
        let size = self.size();
        let expires = self.expiry().is_some();
        self.drop_object();
        if used <= size && size - used < GRAIN.max(size / 4).min(usize::from(u16::MAX)) {
            let header = self.header_mut();
            header.value_len = value.len() as u32;
            header.slack = (size - used) as u16;
            self.write_payload(value);
        } else {
            let mut moved = self.sibling(value.len(), 0);
            moved.write_payload(value);
            *self = moved;
        }
        self.note_embedding(expires);
    }

    /// Replaces a long string in the memory that it has, if the new one fits that well and no reply
    /// refers to it. Returns whether it did.
    fn overwrite_long_string(&mut self, bytes: &[u8]) -> bool {
        let Some(string) = self.long_string_for(bytes.len()) else { return false };
        string.clear();
        string.extend_from_slice(bytes);
        true
    }

    /// The long string that the entry holds, if `len` bytes fit its memory well and nothing else refers
    /// to it.
    pub(super) fn long_string_for(&mut self, len: usize) -> Option<&mut Vec<u8>> {
        let string = Arc::get_mut(self.object_mut()?.as_string_mut()?)?;
        (string.capacity() / 4 * 3..=string.capacity()).contains(&len).then_some(string)
    }

    /// An entry like this one, whose payload is not written yet.
    fn sibling(&self, value_len: usize, room: usize) -> Entry {
        let mut sibling = Entry::allocate(self.key(), value_len, self.header().flags, room);
        sibling.header_mut().access = self.header().access;
        if let Some(at) = self.expiry_field() {
            sibling.write_expiry(at);
        }
        sibling
    }

    /// Makes the inline string longer, with zeros at its end. Where it has to move, it gets room to
    /// grow as much again, so that a string that grows bit by bit seldom does.
    ///
    /// # Panics
    /// If the value is no inline string, or longer than `len`.
    pub(super) fn lengthen_bytes(&mut self, len: usize) {
        let old = self.bytes_mut().expect("the value is an inline string").len();
        let longer = len.checked_sub(old).expect("the string is not longer");
        assert!(len < INLINE_LIMIT);
        if longer > usize::from(self.header().slack) {
            let moved = self.sibling(len, len);
            // SAFETY: the old payload is `old` bytes, the new one has room for them and is in
            // another allocation.
            unsafe { ptr::copy_nonoverlapping(self.payload(), moved.payload(), old) };
            *self = moved;
        } else {
            let header = self.header_mut();
            header.value_len = len as u32;
            header.slack -= longer as u16;
        }
        // SAFETY: the payload is `len` bytes now, of which the last `longer` have never been
        // written.
        unsafe { ptr::write_bytes(self.payload().add(old), 0, longer) };
    }

    /// The bytes of an inline string or a packed collection.
    #[inline]
    pub(super) fn payload_bytes(&self) -> &[u8] {
        let header = self.header();
        debug_assert!(matches!(header.kind, Kind::Bytes | Kind::Packed(_)));
        // SAFETY: the payload is `value_len` initialized bytes, whatever it is.
        unsafe { slice::from_raw_parts(self.payload(), header.value_len as usize) }
    }

    /// The bytes of an inline string or a packed collection, to be changed.
    pub(super) fn payload_bytes_mut(&mut self) -> &mut [u8] {
        let header = self.header();
        assert!(matches!(header.kind, Kind::Bytes | Kind::Packed(_)));
        let len = header.value_len as usize;
        // SAFETY: the payload of these kinds is `len` initialized bytes, any of which are valid, and
        // the entry is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.payload(), len) }
    }

    /// Replaces `remove` bytes at `at` of a packed collection by `insert` unspecified ones, which are
    /// returned.
    pub(super) fn splice_payload(&mut self, at: usize, remove: usize, insert: usize) -> &mut [u8] {
        let header = self.header();
        assert!(matches!(header.kind, Kind::Packed(_)));
        let old_len = header.value_len as usize;
        let behind = old_len.checked_sub(at).and_then(|rest| rest.checked_sub(remove));
        let behind = behind.expect("what is removed lies inside the value");
        let len = at + insert + behind;
        let value_len = u32::try_from(len).expect("value length fits in 32 bits");
        let mut size = self.size();
        let used = size - usize::from(header.slack) - old_len + len;
        if used > size {
            size = self.reallocate(size, roomy(used));
        }
        // SAFETY: `used`, so `len` bytes of payload, fit into the allocation. What moves is
        // initialized; of the gap, what lies beyond the old end was never written and is here.
        unsafe {
            let gap = self.payload().add(at);
            ptr::copy(gap.add(remove), gap.add(insert), behind);
            let written = insert.min(old_len - at);
            ptr::write_bytes(gap.add(written), 0, insert - written);
        }
        self.header_mut().value_len = value_len;
        let unused = size - used;
        let is_sparse = size >= WORTHWHILE && unused > size / SPARSE;
        // Room that was reserved stays until something is removed.
        if remove > insert && (is_sparse || unused > usize::from(u16::MAX)) {
            size = self.reallocate(size, roomy(used));
        }
        self.header_mut().slack = (size - used) as u16;
        // SAFETY: as above; the entry is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.payload().add(at), insert) }
    }

    /// Makes room for a payload that is so much longer, as far as the slack field can say so.
    pub(super) fn reserve_payload(&mut self, more: usize) {
        let size = self.size();
        let used = size - usize::from(self.header().slack);
        let wanted = size_class(used + more).min(used + usize::from(u16::MAX));
        if wanted > size {
            let size = self.reallocate(size, wanted);
            self.header_mut().slack = (size - used) as u16;
        }
    }

    /// Changes the allocation's size. The header is not updated.
    fn reallocate(&mut self, from: usize, to: usize) -> usize {
        // SAFETY: the entry was allocated with the size `from`; `to` is not zero. The entry is
        // borrowed mutably, so nothing refers to the old place.
        let pointer = unsafe { realloc(self.0.as_ptr().cast(), layout(from), to) };
        let Some(start) = NonNull::new(pointer.cast::<Header>()) else {
            handle_alloc_error(layout(to))
        };
        self.0 = start;
        to
    }

    /// After a value was stored: decides whether its encoding is `embstr` or `raw`. `expires` says
    /// that the key had an expiry when that happened.
    fn note_embedding(&mut self, expires: bool) {
        let header = self.header();
        let raw = header.kind == Kind::Bytes
            && !embedding::embeds(header.key_len as usize, header.value_len as usize, expires);
        self.set_raw(raw);
    }

    /// After an expiry was added to an entry that had none.
    fn note_expiring(&mut self) {
        let header = self.header();
        if header.kind == Kind::Bytes && !embedding::embeds_expiry(header.key_len as usize) {
            self.set_raw(true);
        }
    }

    /// Frees the boxed object, if there is one; the payload is then an empty string.
    fn drop_object(&mut self) {
        if self.header().kind == Kind::Object {
            // SAFETY: the pointer came from `Box::into_raw`, and nothing uses it after this.
            drop(unsafe { Box::from_raw(self.payload().cast::<*mut Object>().read_unaligned()) });
            // The eight bytes stay counted as a string's, so that `size()` stays true.
            self.header_mut().kind = Kind::Bytes;
        }
    }

    /// Writes a payload whose length the header has already.
    fn write_payload(&mut self, value: Value<'_>) {
        debug_assert_eq!(self.header().value_len as usize, value.len());
        let to = self.payload();
        // SAFETY: `value_len` bytes from the payload's offset belong to the allocation; the old
        // payload needs no drop.
        unsafe {
            match value {
                Value::Int(number) => {
                    self.header_mut().kind = Kind::Int;
                    to.cast::<i64>().write_unaligned(number);
                }
                Value::Bytes(bytes) => {
                    self.header_mut().kind = Kind::Bytes;
                    ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
                }
                Value::Packed(kind, bytes) => {
                    self.header_mut().kind = Kind::Packed(kind);
                    ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
                }
                Value::Object(object) => {
                    self.header_mut().kind = Kind::Object;
                    to.cast::<*mut Object>().write_unaligned(Box::into_raw(object));
                }
            }
        }
    }

    fn expiry_field(&self) -> Option<i64> {
        // SAFETY: the flag says that the field is there, and it is always initialized.
        (self.header().flags & HAS_EXPIRY_FIELD != 0)
            .then(|| unsafe { self.at(HEADER).cast::<i64>().read() })
    }

    fn write_expiry(&mut self, at: i64) {
        assert!(self.header().flags & HAS_EXPIRY_FIELD != 0);
        // SAFETY: the field is there, and aligned: it follows the header.
        unsafe { self.at(HEADER).cast::<i64>().write(at) }
    }

    /// When the entry expires, in milliseconds of Unix time.
    pub fn expiry(&self) -> Option<i64> {
        self.expiry_field().filter(|at| *at != NEVER)
    }

    /// Sets or clears the expiry.
    pub fn set_expiry(&mut self, expiry: Option<i64>) {
        if expiry.is_some() && self.expiry().is_none() {
            self.note_expiring();
        }
        match (expiry, self.header().flags & HAS_EXPIRY_FIELD != 0) {
            (None, false) => {}
            (expiry, true) => self.write_expiry(expiry.unwrap_or(NEVER)),
            (Some(at), false) => {
                let flags = self.header().flags | HAS_EXPIRY_FIELD;
                let len = self.header().value_len as usize;
                let mut moved = Entry::allocate(self.key(), len, flags, 0);
                moved.write_expiry(at);
                moved.adopt_payload(self);
            }
        }
    }

    /// Moves the entry's value to another key, with a new expiry.
    pub fn rekey(mut self, key: &[u8], expiry: Option<i64>) -> Entry {
        let flags =
            self.header().flags & !HAS_EXPIRY_FIELD | expiry.map_or(0, |_| HAS_EXPIRY_FIELD);
        let mut moved = Entry::allocate(key, self.header().value_len as usize, flags, 0);
        if let Some(at) = expiry {
            moved.write_expiry(at);
        }
        let raw = self.is_raw();
        moved.adopt_payload(&mut self);
        self.note_embedding(false);
        if expiry.is_some() {
            self.note_expiring();
        }
        if raw {
            self.set_raw(true);
        }
        self
    }

    /// Takes over `other`'s payload, which has the same length, and then `other`'s place.
    fn adopt_payload(mut self, other: &mut Entry) {
        let len = self.header().value_len as usize;
        assert_eq!(len, other.header().value_len as usize);
        // SAFETY: both payloads are `len` bytes long, in different allocations. A boxed object's
        // pointer is owned by one entry only: `other` forgets it in the next lines.
        unsafe { ptr::copy_nonoverlapping(other.payload(), self.payload(), len) };
        let from = other.header_mut();
        let to = self.header_mut();
        to.kind = from.kind;
        to.access = from.access;
        from.kind = Kind::Bytes;
        *other = self;
    }

    /// A deep copy of the entry under another key.
    pub fn duplicate(&self, key: &[u8], expiry: Option<i64>) -> Entry {
        let value = match self.value() {
            ValueRef::Int(number) => Value::Int(number),
            ValueRef::Bytes(bytes) => Value::Bytes(bytes),
            ValueRef::Packed(kind, bytes) => Value::Packed(kind, bytes),
            ValueRef::Object(object) => Value::Object(Box::new(object.clone())),
        };
        let mut entry = Entry::new(key, value, expiry);
        if self.is_raw() {
            entry.set_raw(true);
        }
        entry
    }

    /// The 24 bits of access time or frequency.
    pub fn access(&self) -> u32 {
        self.header().access
    }

    pub fn set_access(&mut self, access: u32) {
        self.header_mut().access = access;
    }

    /// A string that OBJECT ENCODING calls `raw`: it was changed in place, or too long for `embstr`
    /// when it was stored.
    pub fn is_raw(&self) -> bool {
        self.header().flags & RAW != 0
    }

    pub fn set_raw(&mut self, raw: bool) {
        let flags = &mut self.header_mut().flags;
        *flags = if raw { *flags | RAW } else { *flags & !RAW };
    }

    /// About how many allocations are freed with the entry: see [`Object::allocations`].
    #[inline]
    pub fn allocations(&self) -> usize {
        match self.value() {
            ValueRef::Object(object) => 1 + object.allocations(),
            _ => 1,
        }
    }

    /// Bytes that the entry takes with all that it has; of a collection, as many elements are looked
    /// at as `samples` says.
    pub fn memory(&self, samples: usize) -> usize {
        let object = match self.value() {
            ValueRef::Object(object) => object.memory(samples),
            _ => 0,
        };
        size_class(self.size()) + object
    }

    /// Bytes that the entry's own allocation takes.
    pub fn allocated(&self) -> usize {
        self.size()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.drop_object();
        // SAFETY: allocated with this layout; nothing uses it after this.
        unsafe { dealloc(self.0.as_ptr().cast(), layout(self.size())) }
    }
}

/// A size for an allocation that grows and shrinks: all the memory that the allocator takes for
/// `used` bytes, where its sizes are close to each other an eighth more, as far as the slack field can
/// say how much of it is unused.
fn roomy(used: usize) -> usize {
    let room = if used > SMALL_MAX { used / 8 } else { 0 };
    size_class(used + room).min(used + usize::from(u16::MAX))
}

fn expiry_len(flags: u8) -> usize {
    if flags & HAS_EXPIRY_FIELD != 0 { size_of::<i64>() } else { 0 }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, align_of::<Header>().max(8))
        .expect("entry size is below isize::MAX")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(entry: &Entry) -> String {
        match entry.value() {
            ValueRef::Int(number) => format!("int {number}"),
            ValueRef::Bytes(bytes) => format!("bytes {}", String::from_utf8_lossy(bytes)),
            ValueRef::Packed(kind, bytes) => {
                format!("{kind:?} {}", String::from_utf8_lossy(bytes))
            }
            ValueRef::Object(object) => {
                format!("object {}", object.as_string().map_or(0, |bytes| bytes.len()))
            }
        }
    }

    #[test]
    fn every_kind_of_value_follows_every_other() {
        let long = vec![b'l'; INLINE_LIMIT];
        let values: [(&dyn Fn() -> Value<'static>, &str); 6] = [
            (&|| Value::Int(-7), "int -7"),
            (&|| Value::Bytes(b""), "bytes "),
            (
                &|| Value::Bytes(b"a string of some length, longer than a number"),
                "bytes a string of some length, longer than a number",
            ),
            (&|| Value::Object(Box::new(Object::Str(vec![1; 9].into()))), "object 9"),
            (&|| Value::Packed(PackedKind::Hash, b"packed"), "Hash packed"),
            (&|| Value::Packed(PackedKind::IntSet, b""), "IntSet "),
        ];
        for expiry in [None, Some(5)] {
            for (first, first_text) in &values {
                for (second, second_text) in &values {
                    let mut entry = Entry::new(b"key", first(), expiry);
                    entry.set_access(77);
                    assert_eq!(text(&entry), *first_text);
                    entry.set_value(second());
                    assert_eq!(text(&entry), *second_text);
                    entry.set_expiry(Some(9));
                    assert_eq!((text(&entry).as_str(), entry.expiry()), (*second_text, Some(9)));
                    entry.set_expiry(None);
                    assert_eq!(
                        (entry.key(), entry.expiry(), entry.access()),
                        (&b"key"[..], None, 77)
                    );
                    entry.set_value(Value::Bytes(&long));
                    entry.set_value(second());
                    let copy = entry.duplicate(b"copy", Some(3));
                    let moved = entry.rekey(b"another key", expiry);
                    assert_eq!((moved.key(), moved.expiry()), (&b"another key"[..], expiry));
                    assert_eq!((copy.key(), copy.expiry()), (&b"copy"[..], Some(3)));
                    assert_eq!(
                        (text(&moved), text(&copy)),
                        (second_text.to_string(), second_text.to_string())
                    );
                }
            }
        }
    }

    #[test]
    fn a_value_of_like_length_keeps_its_allocation() {
        let mut entry = Entry::new(b"0123456789abcdef", Value::Bytes(&[1; 64]), None);
        assert_eq!(entry.allocated(), 96);
        let before = entry.0;
        entry.set_value(Value::Bytes(&[2; 64]));
        entry.set_value(Value::Bytes(&[3; 60]));
        entry.bytes_mut().unwrap()[0] = 4;
        assert_eq!(entry.0, before);
        entry.set_value(Value::Int(1));
        assert!(entry.allocated() < 64, "a short value does not sit on a long one's memory");
    }
}
