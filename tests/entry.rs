//! The entry, whose memory is managed manually, against a model.

use proptest::collection::vec;
use proptest::prelude::*;
use verbena::value::entry::{INLINE_LIMIT, Value};
use verbena::value::{Entry, PackedKind, Splice, ValueRef};

#[derive(Clone, Debug)]
enum Change {
    Set(Vec<u8>),
    SetInteger(i64),
    /// Makes the value a packed list of these bytes.
    Pack(Vec<u8>),
    Splice {
        at: usize,
        remove: usize,
        bytes: Vec<u8>,
    },
    Write {
        offset: usize,
        bytes: Vec<u8>,
    },
    Expire(Option<i64>),
    Rekey(Vec<u8>, Option<i64>),
    Duplicate(Vec<u8>, Option<i64>),
    /// Keeps a reference to a long string, as a reply does.
    Refer,
}

/// Lengths around those where something changes: an allocation's grain, the inline limit.
fn len() -> impl Strategy<Value = usize> {
    prop_oneof![
        0..200usize,
        INLINE_LIMIT - 40..INLINE_LIMIT + 40,
        2 * INLINE_LIMIT..2 * INLINE_LIMIT + 9
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    (len(), any::<u8>())
        .prop_map(|(len, seed)| (0..len).map(|at| seed.wrapping_add(at as u8)).collect())
}

fn change() -> impl Strategy<Value = Change> {
    let expiry = || proptest::option::of(0..i64::MAX);
    prop_oneof![
        bytes().prop_map(Change::Set),
        any::<i64>().prop_map(Change::SetInteger),
        bytes().prop_map(Change::Pack),
        (len(), len(), bytes()).prop_map(|(at, remove, bytes)| Change::Splice {
            at,
            remove,
            bytes
        }),
        (len(), vec(any::<u8>(), 0..40))
            .prop_map(|(offset, bytes)| Change::Write { offset, bytes }),
        expiry().prop_map(Change::Expire),
        (vec(any::<u8>(), 0..120), expiry()).prop_map(|(key, at)| Change::Rekey(key, at)),
        (vec(any::<u8>(), 0..120), expiry()).prop_map(|(key, at)| Change::Duplicate(key, at)),
        Just(Change::Refer),
    ]
}

fn content(entry: &Entry) -> Vec<u8> {
    match entry.value() {
        ValueRef::Int(number) => number.to_string().into_bytes(),
        ValueRef::Bytes(bytes) | ValueRef::Packed(PackedKind::List, bytes) => bytes.to_vec(),
        ValueRef::Packed(..) => panic!("no such value was stored"),
        ValueRef::Object(object) => object.as_string().expect("a string").to_vec(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn an_entry_equals_its_model(changes in vec(change(), 1..30)) {
        let (mut key, mut value, mut expiry) = (b"key".to_vec(), b"value".to_vec(), None);
        let mut entry = Entry::new(&key, Value::Bytes(&value), expiry);
        entry.set_access(12_345);
        let mut replies = Vec::new();
        for change in changes {
            match change {
                Change::Set(bytes) => {
                    entry.set_value(Value::Bytes(&bytes));
                    value = bytes;
                }
                Change::SetInteger(number) => {
                    entry.set_value(Value::Int(number));
                    value = number.to_string().into_bytes();
                }
                Change::Pack(bytes) => {
                    entry.set_value(Value::Packed(PackedKind::List, &bytes));
                    value = bytes;
                }
                Change::Splice { at, remove, bytes } => {
                    let Some(mut packed) = entry.packed_mut() else { continue };
                    let at = at.min(value.len());
                    let remove = remove.min(value.len() - at);
                    packed.splice(at, remove, bytes.len()).copy_from_slice(&bytes);
                    value.splice(at..at + remove, bytes);
                }
                Change::Write { offset, bytes } => {
                    let end = offset + bytes.len();
                    let is_packed = entry.packed_mut().is_some();
                    let Some(string) = entry.string_mut(end) else {
                        prop_assert!(is_packed);
                        continue;
                    };
                    string[offset..end].copy_from_slice(&bytes);
                    value.resize(value.len().max(end), 0);
                    value[offset..end].copy_from_slice(&bytes);
                }
                Change::Expire(at) => {
                    entry.set_expiry(at);
                    expiry = at;
                }
                Change::Rekey(to, at) => {
                    entry = entry.rekey(&to, at);
                    (key, expiry) = (to, at);
                }
                Change::Duplicate(to, at) => {
                    let mut copy = entry.duplicate(&to, at);
                    copy.set_access(entry.access());
                    // The copy is kept, so that memory that both use would be noticed.
                    entry = copy;
                    (key, expiry) = (to, at);
                }
                Change::Refer => {
                    if let ValueRef::Object(object) = entry.value() {
                        let string = object.as_string().expect("a string").clone();
                        replies.push((string, value.clone()));
                    }
                }
            }
            prop_assert_eq!(entry.key(), &key[..]);
            prop_assert!(content(&entry) == value);
            prop_assert_eq!(entry.expiry(), expiry);
            prop_assert_eq!(entry.access(), 12_345);
        }
        for (reply, expected) in replies {
            prop_assert!(*reply == expected);
        }
    }
}
