//! Packed collections changed in place, inside their entries.

use super::{Entry, Splice};

/// A packed collection inside its entry, which may move when the collection changes.
pub struct PackedMut<'a> {
    entry: &'a mut Entry,
}

impl Entry {
    /// The packed collection, to be changed in place.
    pub fn packed_mut(&mut self) -> Option<PackedMut<'_>> {
        if self.is_packed() { Some(PackedMut { entry: self }) } else { None }
    }
}

impl PackedMut<'_> {
    /// Makes room for `more` bytes, or for as many of them as the slack field of the entry can count.
    pub fn reserve(&mut self, more: usize) {
        self.entry.reserve_payload(more);
    }
}

impl Splice for PackedMut<'_> {
    fn bytes(&self) -> &[u8] {
        self.entry.payload_bytes()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.entry.payload_bytes_mut()
    }

    fn splice(&mut self, at: usize, remove: usize, insert: usize) -> &mut [u8] {
        self.entry.splice_payload(at, remove, insert)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::{SMALL_MAX, size_class};
    use crate::value::entry::Value;
    use crate::value::{PackedKind, ValueRef};

    fn bytes(entry: &Entry) -> &[u8] {
        match entry.value() {
            ValueRef::Packed(PackedKind::List, bytes) => bytes,
            _ => panic!("a packed list"),
        }
    }

    fn splice(entry: &mut Entry, at: usize, remove: usize, insert: usize) {
        entry.packed_mut().expect("a packed list").splice(at, remove, insert).fill(b'x');
    }

    /// Numbers that are the same in each run.
    fn numbers() -> impl FnMut(usize) -> usize {
        let mut state = 1u64;
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        }
    }

    #[test]
    fn an_entry_is_spliced_as_a_vector_is() {
        let mut number = numbers();
        let mut entry = Entry::new(b"key", Value::Packed(PackedKind::List, b"start"), None);
        let mut model = b"start".to_vec();
        let steps = if cfg!(miri) { 300 } else { 20_000 };
        for step in 0..steps {
            // It grows for a while and shrinks for a while.
            let most = if step / 100 % 2 == 0 { (20, 60) } else { (60, 20) };
            let at = number(model.len() + 1);
            let remove = number(most.0).min(model.len() - at);
            let insert = number(most.1);
            for splice in [&mut model as &mut dyn Splice, &mut entry.packed_mut().unwrap()] {
                let before = splice.bytes()[..at].to_vec();
                let after = splice.bytes()[at + remove..].to_vec();
                let gap = splice.splice(at, remove, insert);
                assert_eq!(gap.len(), insert);
                // Its content is readable, whatever it is.
                gap.iter_mut().for_each(|byte| *byte = byte.wrapping_mul(0));
                gap.fill(step as u8);
                assert_eq!(splice.bytes()[..at], before);
                assert_eq!(splice.bytes()[at + insert..], after);
            }
            assert_eq!(bytes(&entry), model);
            if step % 7 == 0 {
                entry.set_expiry((step % 2 == 0).then_some(step as i64));
            }
            if step % 31 == 0 {
                entry = entry.duplicate(b"a copy", None).rekey(b"another key", Some(1));
            }
        }
    }

    #[test]
    fn growing_seldom_moves_the_entry_and_shrinking_gives_memory_back() {
        let mut entry = Entry::new(b"key", Value::Packed(PackedKind::List, b""), None);
        let mut sizes = std::collections::BTreeSet::new();
        let len = if cfg!(miri) { 2_000 } else { 300_000 };
        for at in 0..len {
            splice(&mut entry, at, 0, 1);
            sizes.insert(entry.allocated());
            let used = 16 + 3 + at + 1;
            assert!(entry.allocated() <= size_class(used + used / 8), "slack costs little memory");
            assert!(used > SMALL_MAX || entry.allocated() <= size_class(used), "or none");
        }
        assert!(sizes.len() < 70, "{sizes:?}");
        assert_eq!(bytes(&entry).len(), len);
        for rest in (0..len).rev() {
            splice(&mut entry, rest / 2, 1, 0);
            assert!(entry.allocated() <= 128 + 3 * rest);
        }
        assert_eq!(bytes(&entry), b"");
    }

    #[test]
    fn reserved_room_is_filled_without_a_move() {
        let mut entry = Entry::new(b"key", Value::Packed(PackedKind::List, b""), None);
        for more in [0, 10, 1000, 60_000] {
            entry.packed_mut().expect("a packed list").reserve(more);
            let (from, allocated) = (bytes(&entry).len(), entry.allocated());
            (from..from + more).for_each(|at| splice(&mut entry, at, 0, 1));
            assert_eq!(entry.allocated(), allocated, "{more}");
        }
        // No more than the slack can say.
        entry.packed_mut().expect("a packed list").reserve(1 << 20);
        assert!(entry.allocated() < bytes(&entry).len() + (1 << 17));
    }

    #[test]
    fn more_can_be_removed_than_the_slack_field_counts() {
        let mut entry = Entry::new(b"key", Value::Packed(PackedKind::List, &[7; 1 << 20]), None);
        splice(&mut entry, 1, 1 << 18, 0);
        assert_eq!(bytes(&entry), vec![7; (1 << 20) - (1 << 18)]);
        splice(&mut entry, 0, 0, 1 << 18);
        assert_eq!(bytes(&entry)[(1 << 18) - 1..][..2], *b"x\x07");
        splice(&mut entry, 2, (1 << 20) - 4, 0);
        assert_eq!((bytes(&entry), entry.allocated() < 64), (&b"xx\x07\x07"[..], true));
    }

    #[test]
    #[should_panic(expected = "what is removed lies inside the value")]
    fn removal_beyond_the_end_panics() {
        let mut entry = Entry::new(b"key", Value::Packed(PackedKind::List, b"abc"), None);
        splice(&mut entry, 2, 2, 0);
    }

    #[test]
    fn packed_values_are_never_boxed_and_no_strings() {
        for (kind, type_name, encoding) in [
            (PackedKind::List, "list", "listpack"),
            (PackedKind::Set, "set", "listpack"),
            (PackedKind::IntSet, "set", "intset"),
            (PackedKind::Hash, "hash", "listpack"),
            (PackedKind::SortedSet, "zset", "listpack"),
        ] {
            let long = [1; 50_000];
            let mut entry = Entry::new(b"key", Value::Packed(kind, &long), None);
            assert!(matches!(entry.value(), ValueRef::Packed(found, bytes)
                if found == kind && bytes == long));
            assert_eq!((entry.value().type_name(), entry.encoding()), (type_name, encoding));
            assert!(entry.string_mut(9).is_none() && entry.bytes_mut().is_none());
            assert!(entry.string(&mut itoa::Buffer::new()).is_err());
            entry.set_value(Value::Bytes(b"string"));
            assert!(entry.packed_mut().is_none());
        }
    }
}
