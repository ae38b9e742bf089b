//! Strings in entries: the three forms they are stored in, and changing them in place.
//!
//! An integer in its canonical form is an `i64`, other strings lie inside the entry, and those from
//! [`INLINE_LIMIT`] on are shared with the replies that refer to them, so they are copied before a
//! change that such a reply must not see.

use std::mem;
use std::sync::Arc;

use super::entry::{INLINE_LIMIT, Value};
use super::{Entry, ValueRef};
use crate::number::parse_i64;

impl<'a> Value<'a> {
    /// A string in the form that it is stored in.
    #[inline]
    pub fn string(bytes: &'a [u8]) -> Value<'a> {
        match parse_i64(bytes) {
            Some(number) => Value::Int(number),
            None => Value::Bytes(bytes),
        }
    }
}

impl Entry {
    /// The encoding's name in OBJECT ENCODING's reply.
    pub fn encoding(&self) -> &'static str {
        match self.value() {
            ValueRef::Int(_) => "int",
            ValueRef::Bytes(_) if self.is_raw() => "raw",
            ValueRef::Bytes(_) => "embstr",
            ValueRef::Packed(kind, _) => kind.encoding(),
            ValueRef::Object(object) => object.encoding(),
        }
    }

    /// The string, to be changed in place, made `len` bytes long with zeros if it is shorter. `None`
    /// if the value is no string.
    pub fn string_mut(&mut self, len: usize) -> Option<&mut [u8]> {
        if let ValueRef::Int(number) = self.value() {
            self.set_value(Value::Bytes(itoa::Buffer::new().format(number).as_bytes()));
        }
        if let ValueRef::Bytes(bytes) = self.value() {
            if len >= INLINE_LIMIT {
                self.set_value(Value::long(lengthened(bytes, len)));
            } else {
                if len > bytes.len() {
                    self.lengthen_bytes(len);
                }
                self.set_raw(true);
                return self.bytes_mut();
            }
        }
        let shared = self.object_mut()?.as_string_mut()?;
        if Arc::get_mut(shared).is_none() {
            *shared = Arc::new(lengthened(shared, len));
        }
        let bytes = Arc::get_mut(shared)?;
        if let Some(longer) = len.checked_sub(bytes.len()) {
            if bytes.capacity() < len {
                // A quarter more each time, so that appending costs constant time per byte.
                bytes.reserve_exact(longer.max(bytes.len() / 4));
            }
            bytes.resize(len, 0);
        }
        Some(bytes)
    }

    /// Replaces the value by a string whose encoding is `raw` however short it is, and which is no
    /// integer whatever it looks like: one that was computed from others.
    pub fn set_raw_string(&mut self, bytes: Vec<u8>) {
        if bytes.len() < INLINE_LIMIT {
            self.set_value(Value::Bytes(&bytes));
            self.set_raw(true);
        } else {
            self.set_value(Value::long(bytes));
        }
    }

    /// The memory of a long string that is to be replaced by one of `len` bytes, if that fits well and
    /// nothing else refers to it. The string is empty then.
    pub fn take_memory(&mut self, len: usize) -> Option<Vec<u8>> {
        self.long_string_for(len).map(mem::take)
    }
}

/// A copy, at least `len` bytes long. The zeros of a far longer one take no memory until they are
/// written to.
fn lengthened(bytes: &[u8], len: usize) -> Vec<u8> {
    if len <= bytes.len() {
        return bytes.to_vec();
    }
    let mut longer = vec![0; len];
    longer[..bytes.len()].copy_from_slice(bytes);
    longer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Object;

    fn entry(bytes: &[u8]) -> Entry {
        Entry::new(b"key", Value::string(bytes), None)
    }

    fn bytes(entry: &Entry) -> Vec<u8> {
        match entry.value() {
            ValueRef::Int(number) => number.to_string().into_bytes(),
            ValueRef::Bytes(bytes) => bytes.to_vec(),
            ValueRef::Packed(..) => panic!("a string"),
            ValueRef::Object(object) => object.as_string().unwrap().to_vec(),
        }
    }

    #[test]
    fn a_string_grows_through_every_form() {
        let mut entry = entry(b"-12");
        let mut expected = b"-12".to_vec();
        for step in [0, 1, 2, 15, 16, 17, 100, 5000, 11_000, 1, 40_000, 300_000, 0] {
            expected.resize(expected.len() + step, 0);
            let len = expected.len();
            entry.string_mut(len).unwrap()[len - 1] = b'x';
            expected[len - 1] = b'x';
            assert!(bytes(&entry) == expected, "{len} bytes");
            assert_eq!((entry.key(), entry.encoding()), (&b"key"[..], "raw"));
            // A shorter length than there is changes nothing.
            assert_eq!(entry.string_mut(1).unwrap().len(), len);
        }
    }

    #[test]
    fn appending_bytes_seldom_moves_the_string() {
        let mut entry = entry(b"");
        let mut places = std::collections::HashSet::new();
        for len in 1..200_000 {
            places.insert(entry.string_mut(len).unwrap().as_ptr());
        }
        assert!(places.len() < 60, "{} places", places.len());
    }

    #[test]
    fn a_string_that_a_reply_refers_to_does_not_change() {
        let mut entry = entry(&[b'a'; INLINE_LIMIT]);
        let ValueRef::Object(Object::Str(shared)) = entry.value() else { panic!("a long string") };
        let reply = shared.clone();
        let changed = entry.string_mut(INLINE_LIMIT + 1).unwrap();
        changed[0] = b'b';
        let place = changed.as_ptr();
        assert!(reply.iter().all(|byte| *byte == b'a'));
        // Nothing refers to the new one.
        assert_eq!(entry.string_mut(0).unwrap().as_ptr(), place);
    }

    #[test]
    fn a_copy_shares_a_long_string_until_either_of_them_changes() {
        let place = |entry: &Entry| match entry.value() {
            ValueRef::Object(object) => object.as_string().unwrap().as_ptr(),
            _ => panic!("a long string"),
        };
        let original = || entry(&[b'a'; 2 * INLINE_LIMIT]);
        let changes: [fn(&mut Entry); 3] = [
            |entry| entry.string_mut(0).unwrap()[0] = b'b',
            |entry| entry.set_value(Value::Bytes(&[b'b'; 2 * INLINE_LIMIT])),
            |entry| assert_eq!(entry.take_memory(2 * INLINE_LIMIT), None),
        ];
        for change in changes {
            let mut first = original();
            let mut second = first.duplicate(b"copy", None);
            assert_eq!(place(&first), place(&second));
            change(&mut second);
            assert!(bytes(&first) == [b'a'; 2 * INLINE_LIMIT]);
            let mut third = first.duplicate(b"copy", None);
            change(&mut first);
            assert!(bytes(&third) == [b'a'; 2 * INLINE_LIMIT]);
            drop((first, second));
            third.string_mut(0).unwrap()[0] = b'c';
            assert_eq!(bytes(&third)[..2], *b"ca");
        }
    }

    #[test]
    fn a_long_string_is_overwritten_where_it_is_unless_a_reply_refers_to_it() {
        let shared = |entry: &Entry| match entry.value() {
            ValueRef::Object(object) => object.as_string().unwrap().clone(),
            _ => panic!("a long string"),
        };
        let mut entry = entry(&[b'a'; 40_000]);
        let place = shared(&entry).as_ptr();
        entry.set_value(Value::Bytes(&[b'b'; 39_000]));
        let reply = shared(&entry);
        assert_eq!((reply.as_ptr(), reply[..] == [b'b'; 39_000]), (place, true));
        entry.set_value(Value::Bytes(&[b'c'; 39_000]));
        assert!(reply[..] == [b'b'; 39_000] && bytes(&entry) == [b'c'; 39_000]);
        // A much shorter one does not sit on its memory.
        entry.set_value(Value::Bytes(&[b'd'; INLINE_LIMIT]));
        assert!(shared(&entry).capacity() < 20_000);
    }

    /// The lengths at which Valkey 9.1.2 changes its answer.
    #[test]
    fn encodings_change_at_valkeys_lengths() {
        let store = |key: usize, len: usize, expiry: Option<i64>| {
            Entry::new(&vec![b'k'; key], Value::Bytes(&vec![b'v'; len]), expiry)
        };
        for (key, longest) in [(0, 113), (1, 112), (31, 82), (32, 79), (100, 11), (111, 0)] {
            let mut entry = store(key, longest, None);
            assert_eq!(entry.encoding(), "embstr", "{key}");
            assert_eq!(store(key, longest + 1, None).encoding(), "raw", "{key}");
            entry.set_expiry(Some(1));
            let with_expiry = if key < 108 { "embstr" } else { "raw" };
            assert_eq!(entry.encoding(), with_expiry, "{key}");
            assert_eq!(store(key, longest, Some(1)).encoding(), with_expiry, "{key}");
        }
        // A value that replaces one under a key with an expiry has eight bytes less.
        for (len, encoding) in [(104, "embstr"), (105, "raw")] {
            let mut entry = store(1, 1, Some(1));
            entry.set_value(Value::Bytes(&vec![b'v'; len]));
            assert_eq!(entry.encoding(), encoding, "{len}");
        }
        let entry = store(5, 108, None).rekey(b"k", None);
        assert_eq!(entry.encoding(), "embstr");
        assert_eq!(entry.rekey(b"longer", None).rekey(b"k", None).encoding(), "raw");
        assert_eq!(store(5, 108, None).duplicate(b"longer", None).encoding(), "raw");
        assert_eq!(store(5, 109, None).duplicate(b"k", None).encoding(), "raw");
        assert_eq!(self::entry(b"12").encoding(), "int");
        assert_eq!(self::entry(&[b'x'; INLINE_LIMIT]).encoding(), "raw");
    }
}
