//! Hashes of both forms against a model.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::value::entry::Value;
use crate::value::packed;

/// So small that most hashes pass a limit soon.
const LIMITS: Limits = Limits { fields: 5, bytes: 8 };

/// A field's value and expiry.
type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

#[derive(Clone, Debug)]
enum Change {
    Set(Vec<u8>, Vec<u8>, FieldExpiry),
    SetExpiry(Vec<u8>, Option<i64>),
    Remove(Vec<u8>),
    Discard(Vec<u8>),
    Expire,
    Wait(i64),
}

fn field() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0..8i64).prop_map(|number| number.to_string().into_bytes()),
        4 => "[a-f]".prop_map(String::into_bytes),
        1 => Just(b"a field too long to be packed".to_vec()),
        1 => Just(Vec::new()),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => any::<i16>().prop_map(|number| number.to_string().into_bytes()),
        4 => vec(any::<u8>(), 0..9),
        1 => vec(any::<u8>(), 9..300),
    ]
}

fn expiry() -> impl Strategy<Value = FieldExpiry> {
    prop_oneof![
        4 => Just(FieldExpiry::None),
        2 => Just(FieldExpiry::Keep),
        1 => (1..1000i64).prop_map(FieldExpiry::At),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (field(), value(), expiry()).prop_map(|(f, v, e)| Change::Set(f, v, e)),
        2 => (field(), proptest::option::of(1..1000i64)).prop_map(|(f, e)| Change::SetExpiry(f, e)),
        3 => field().prop_map(Change::Remove),
        1 => field().prop_map(Change::Discard),
        1 => Just(Change::Expire),
        1 => (0..100i64).prop_map(Change::Wait),
    ]
}

fn is_live((_, expiry): &(Vec<u8>, Option<i64>), now: i64) -> bool {
    expiry.is_none_or(|at| at > now)
}

fn new() -> Entry {
    Entry::new(b"key", Value::Packed(PackedKind::Hash, packed::EMPTY), None)
}

fn text(element: Element<'_>) -> Vec<u8> {
    element.bytes(&mut itoa::Buffer::new()).to_vec()
}

/// Does the same to the hash and to the model.
fn apply(entry: &mut Entry, model: &mut Model, now: &mut i64, change: &Change) {
    let mut hash = HashMut::of(entry, LIMITS, *now).unwrap();
    match change {
        Change::Set(field, value, expiry) => {
            let old = model.get(field);
            let before = match old {
                None => Before::Missing,
                Some(old) if !is_live(old, *now) => Before::Expired,
                Some(_) => Before::Live,
            };
            let at = match *expiry {
                FieldExpiry::None => None,
                FieldExpiry::Keep if before == Before::Live => old.unwrap().1,
                FieldExpiry::Keep => None,
                FieldExpiry::At(at) => Some(at),
            };
            assert_eq!(hash.set(field, value, *expiry), before);
            model.insert(field.clone(), (value.clone(), at));
        }
        Change::SetExpiry(field, expiry) => {
            hash.set_expiry(field, *expiry);
            if let Some(old) = model.get_mut(field).filter(|old| is_live(old, *now)) {
                old.1 = *expiry;
            }
        }
        Change::Remove(field) => {
            let is_there = model.get(field).is_some_and(|old| is_live(old, *now));
            assert_eq!(hash.remove(field), is_there);
            if is_there {
                model.remove(field);
            }
        }
        Change::Discard(field) => assert_eq!(hash.discard(field), model.remove(field).is_some()),
        Change::Expire => {
            if let Some(Object::Hash(hash)) = entry.object_mut() {
                while hash.deadline().is_some_and(|at| at <= *now) {
                    hash.expire_some(*now, 2, |_| ());
                }
                model.retain(|_, old| is_live(old, *now));
            }
        }
        Change::Wait(time) => *now += time,
    }
}

/// Every way to read the hash agrees with the model.
fn check(entry: &Entry, model: &Model, now: i64) {
    let hash = HashRef::of(entry).unwrap();
    let live: BTreeMap<_, _> = model
        .iter()
        .filter(|(_, old)| is_live(old, now))
        .map(|(field, (value, _))| (field.clone(), value.clone()))
        .collect();
    assert_eq!(hash.len(), model.len());
    assert_eq!(hash.count_live(now), live.len());
    for (field, old) in model {
        let seen = is_live(old, now).then_some(old);
        assert_eq!(hash.get(field, now).map(text), seen.map(|(value, _)| value.clone()));
        assert_eq!(hash.expiry(field, now), seen.map(|(_, expiry)| *expiry));
    }
    assert!(hash.get(b"not a field", now).is_none());
    let mut all = Vec::new();
    hash.for_each(now, |field, value| all.push((text(field), text(value))));
    assert_eq!(all.len(), live.len());
    assert_eq!(all.into_iter().collect::<BTreeMap<_, _>>(), live);
    let (mut scanned, mut cursor) = (BTreeMap::new(), 0);
    loop {
        cursor = hash.scan(cursor, 1, now, |field, value| {
            scanned.insert(text(field), text(value));
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(scanned, live);
    assert_eq!(hash.draw(now).is_some(), !live.is_empty());
    for count in [1, live.len() / 2, live.len() + 1] {
        let drawn = hash.sample(now, count);
        let drawn: BTreeMap<_, _> =
            drawn.into_iter().map(|(field, value)| (text(field), text(value))).collect();
        assert_eq!(drawn.len(), count.min(live.len()));
        assert!(drawn.iter().all(|(field, value)| live.get(field) == Some(value)));
    }
}

proptest! {
    #[test]
    fn a_hash_is_a_map_whose_entries_expire(changes in vec(change(), 1..120)) {
        let (mut entry, mut model, mut now) = (new(), Model::new(), 1);
        for change in &changes {
            apply(&mut entry, &mut model, &mut now, change);
            check(&entry, &model, now);
            let copy = entry.duplicate(b"copy", None);
            check(&copy, &model, now);
        }
    }
}

fn encoding(entry: &Entry) -> &'static str {
    entry.encoding()
}

#[test]
fn a_hash_is_unpacked_when_a_limit_is_passed_and_never_packed_again() {
    let put = |entry: &mut Entry, field: &str, value: &str, expiry| {
        let mut hash = HashMut::of(entry, LIMITS, 1).unwrap();
        hash.set(field.as_bytes(), value.as_bytes(), expiry);
    };
    let mut entry = new();
    for field in ["a", "b", "c", "d", "e", "a"] {
        put(&mut entry, field, "12345678", FieldExpiry::None);
        assert_eq!(encoding(&entry), "listpack");
    }
    put(&mut entry, "f", "1", FieldExpiry::Keep);
    assert_eq!(encoding(&entry), "hashtable");
    for (field, value, expiry) in [
        ("123456789", "1", FieldExpiry::None),
        ("1", "123456789", FieldExpiry::None),
        ("1", "1", FieldExpiry::At(9)),
    ] {
        let mut entry = new();
        put(&mut entry, "1", "1", FieldExpiry::None);
        put(&mut entry, field, value, expiry);
        assert_eq!(encoding(&entry), "hashtable", "{field} {value}");
        HashMut::of(&mut entry, LIMITS, 1).unwrap().discard(field.as_bytes());
        assert_eq!(encoding(&entry), "hashtable");
    }
    let mut entry = new();
    HashMut::of(&mut entry, LIMITS, 1).unwrap().expect(5);
    assert_eq!(encoding(&entry), "listpack");
    HashMut::of(&mut entry, LIMITS, 1).unwrap().expect(6);
    assert_eq!(encoding(&entry), "hashtable");
}

#[test]
fn an_expiry_unpacks_the_hash_only_if_the_field_is_there() {
    let mut entry = new();
    let mut hash = HashMut::of(&mut entry, LIMITS, 1).unwrap();
    hash.set(b"a", b"1", FieldExpiry::None);
    hash.set_expiry(b"b", Some(9));
    hash.set_expiry(b"a", None);
    assert_eq!(encoding(&entry), "listpack");
    HashMut::of(&mut entry, LIMITS, 1).unwrap().set_expiry(b"a", Some(9));
    assert_eq!(encoding(&entry), "hashtable");
}

#[test]
fn every_live_field_can_be_drawn_and_no_other() {
    let mut entry = new();
    let mut hash = HashMut::of(&mut entry, LIMITS, 1).unwrap();
    for number in 0..100 {
        let expiry = if number < 90 { FieldExpiry::At(2) } else { FieldExpiry::None };
        hash.set(number.to_string().as_bytes(), b"", expiry);
    }
    let hash = HashRef::of(&entry).unwrap();
    let number = |(field, _): Pair<'_>| String::from_utf8(text(field)).unwrap().parse::<i32>();
    let drawn: std::collections::BTreeSet<_> =
        (0..1000).map(|_| number(hash.draw(2).unwrap()).unwrap()).collect();
    assert!(drawn.into_iter().eq(90..100));
    assert!(hash.sample(2, 50).len() == 10 && hash.sample(2, 3).len() == 3);
    assert!(hash.sample(1, 20).len() == 20);
}
