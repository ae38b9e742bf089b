//! Sets of every encoding compared with the standard library's.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;

type Model = BTreeSet<Vec<u8>>;

/// So small that a few members outgrow them.
const LIMITS: Limits = Limits { intset_entries: 6, listpack_entries: 4, listpack_value: 3 };

const UNLIMITED: Limits =
    Limits { intset_entries: 1000, listpack_entries: 1000, listpack_value: 99 };

fn entry() -> Entry {
    Entry::new(b"key", EMPTY, None)
}

fn view(entry: &Entry) -> SetRef<'_> {
    SetRef::new(entry.value()).expect("a set")
}

fn change(entry: &mut Entry, limits: Limits) -> SetMut<'_> {
    SetMut::new(entry, limits).expect("a set")
}

fn text(element: Element<'_>) -> Vec<u8> {
    element.bytes(&mut itoa::Buffer::new()).to_vec()
}

/// All members; fails if one comes twice.
fn content(set: SetRef<'_>) -> Model {
    let members: Vec<_> = set.iter().map(text).collect();
    let model: Model = members.iter().cloned().collect();
    assert_eq!((members.len(), set.len()), (model.len(), model.len()));
    model
}

/// A set of these members in the encoding that the limits and the order of the additions lead to.
fn of(members: impl IntoIterator<Item = impl AsRef<[u8]>>, limits: Limits) -> Entry {
    let mut entry = entry();
    let mut set = change(&mut entry, limits);
    members.into_iter().for_each(|member| _ = set.add(member.as_ref()));
    entry
}

/// The same members in each encoding that they can have.
fn in_every_encoding(members: &Model) -> Vec<Entry> {
    let mut table = of(members, UNLIMITED);
    change(&mut table, UNLIMITED).make_table(0);
    let compact = of(members, UNLIMITED);
    let mut all = vec![table];
    if matches!(view(&compact), SetRef::IntSet(_)) {
        let mut listpack = of(members, UNLIMITED);
        change(&mut listpack, UNLIMITED).make_listpack();
        all.push(listpack);
    }
    all.push(compact);
    all
}

fn numbers(range: std::ops::Range<i64>) -> Model {
    range.map(|number| number.to_string().into_bytes()).collect()
}

fn assert_encoding_is_allowed(set: SetRef<'_>, limits: Limits) {
    match set {
        SetRef::IntSet(set) => assert!(set.len() <= limits.intset_entries),
        SetRef::Packed(set) => {
            assert!(set.len() <= limits.listpack_entries);
            assert!(set.iter().all(|element| text(element).len() <= limits.listpack_value));
        }
        SetRef::Table(_) => {}
    }
}

#[test]
fn a_set_outgrows_its_encodings_as_it_does_in_valkey() {
    let encoding = |members: &[&str]| of(members, LIMITS).encoding();
    assert_eq!(encoding(&["1", "2", "3", "4", "5", "6"]), "intset");
    assert_eq!(encoding(&["1", "2", "3", "4", "5", "6", "7"]), "hashtable");
    assert_eq!(encoding(&["1", "2", "3", "a"]), "listpack");
    assert_eq!(encoding(&["1", "2", "3", "4", "a"]), "hashtable");
    assert_eq!(encoding(&["a", "b", "c", "d"]), "listpack");
    assert_eq!(encoding(&["a", "b", "c", "d", "e"]), "hashtable");
    assert_eq!(encoding(&["abc"]), "listpack");
    assert_eq!(encoding(&["abcd"]), "hashtable");
    assert_eq!(encoding(&["1234"]), "intset");
    assert_eq!(encoding(&["1234", "a"]), "hashtable", "an integer's text is too long");
    assert_eq!(encoding(&["a", "1234"]), "hashtable");
}

#[test]
fn a_new_set_is_made_for_its_first_member_and_the_number_of_all() {
    let encoding = |first: &[u8], members| {
        Entry::new(b"key", for_members(first, members, LIMITS), None).encoding()
    };
    for (first, members, expected) in [
        (&b"1"[..], 6, "intset"),
        (b"1", 7, "hashtable"),
        (b"a", 4, "listpack"),
        (b"a", 5, "hashtable"),
        (b"01", 4, "listpack"),
    ] {
        assert_eq!(encoding(first, members), expected);
    }
    for (members, additions, expected) in [
        (&["1"][..], 6, "intset"),
        (&["1"], 7, "hashtable"),
        (&["a"], 4, "listpack"),
        (&["a"], 5, "hashtable"),
    ] {
        let mut entry = of(members, LIMITS);
        change(&mut entry, LIMITS).expect(additions);
        assert_eq!(entry.encoding(), expected);
    }
}

#[test]
fn every_member_is_drawn_as_often_as_every_other() {
    const MEMBERS: i64 = 100;
    const DRAWS: usize = 100_000;
    for entry in in_every_encoding(&numbers(0..MEMBERS)) {
        let mut counts = [BTreeMap::new(), BTreeMap::new(), BTreeMap::new()];
        let mut count = |way: usize, member| *counts[way].entry(text(member)).or_insert(0) += 1;
        for _ in 0..DRAWS {
            count(0, view(&entry).random().expect("a member"));
        }
        for _ in 0..DRAWS / 10 {
            view(&entry).sample(10).into_iter().for_each(|member| count(1, member));
        }
        view(&entry).draw(DRAWS, |member| count(2, member));
        for counts in counts {
            // Each is binomial, with a standard deviation of about 31.
            let (least, most) = (counts.values().min(), counts.values().max());
            assert_eq!(counts.len(), MEMBERS as usize);
            assert!(least > Some(&800) && most < Some(&1200), "{least:?} {most:?}");
        }
    }
}

#[test]
fn a_sample_has_different_members_whatever_its_size() {
    let members = numbers(0..200);
    for entry in in_every_encoding(&members) {
        for count in [0, 1, 2, 49, 50, 51, 100, 199, 200, 201, usize::MAX] {
            let sample = view(&entry).sample(count);
            let different: Model = sample.iter().map(|member| text(*member)).collect();
            assert_eq!((sample.len(), different.len()), (count.min(200), count.min(200)));
            assert!(different.is_subset(&members));
        }
    }
}

#[test]
fn popped_members_are_removed_and_the_others_stay() {
    let members = numbers(0..200);
    for count in [0, 1, 2, 100, 150, 160, 170, 198, 199, 200, 201] {
        for mut entry in in_every_encoding(&members) {
            let mut popped = Model::new();
            let mut set = change(&mut entry, LIMITS);
            set.pop(count, |member| assert!(popped.insert(text(member))));
            assert_eq!(popped.len(), count.min(200));
            let rest = content(set.view());
            assert!(popped.is_disjoint(&rest));
            assert_eq!(&popped | &rest, members);
        }
    }
}

#[test]
fn a_table_that_loses_most_members_is_rebuilt() {
    let table = |limits, count| {
        let mut entry = in_every_encoding(&numbers(0..100)).remove(0);
        change(&mut entry, limits).pop(count, |_| {});
        entry.encoding()
    };
    assert_eq!((table(UNLIMITED, 83), table(UNLIMITED, 84)), ("hashtable", "listpack"));
    assert_eq!((table(LIMITS, 95), table(LIMITS, 96)), ("hashtable", "listpack"));
}

/// Texts that are short and often integers, so that sets of them meet and change their encodings.
fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (-3..12i64).prop_map(|number| number.to_string().into_bytes()),
        2 => "[a-c]{0,2}".prop_map(String::into_bytes),
        1 => "[a-c]{3,5}".prop_map(String::into_bytes),
        1 => prop::sample::select(vec!["32768", "-2147483649", "01", "-0", "9223372036854775808"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Add(Vec<u8>),
    AddAll(Vec<Vec<u8>>),
    Expect(usize),
    Remove(Vec<u8>),
    Pop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => member().prop_map(Step::Add),
        1 => vec(member(), 0..8).prop_map(Step::AddAll),
        1 => (0..8usize).prop_map(Step::Expect),
        6 => member().prop_map(Step::Remove),
        1 => (0..8usize).prop_map(Step::Pop),
    ]
}

proptest! {
    #[test]
    fn a_set_equals_a_btree_set(steps in vec(step(), 0..60)) {
        let (mut entry, mut model) = (entry(), Model::new());
        let mut set = change(&mut entry, LIMITS);
        for step in steps {
            match step {
                Step::Add(member) => prop_assert_eq!(set.add(&member), model.insert(member)),
                Step::AddAll(members) => {
                    let added = set.add_all(members.iter().map(Vec::as_slice));
                    let new = members.into_iter().filter(|member| model.insert(member.clone()));
                    prop_assert_eq!(added, new.count());
                }
                Step::Expect(additions) => set.expect(additions),
                Step::Remove(member) => prop_assert_eq!(set.remove(&member), model.remove(&member)),
                Step::Pop(count) => {
                    let before = model.len();
                    set.pop(count, |member| assert!(model.remove(&text(member))));
                    prop_assert_eq!(model.len(), before.saturating_sub(count));
                }
            }
            prop_assert_eq!(&content(set.view()), &model);
            assert_encoding_is_allowed(set.view(), LIMITS);
            for member in model.iter().map(Vec::as_slice).chain([&b"1"[..], b"a", b"01", b"x"]) {
                let is_there = model.contains(member);
                prop_assert_eq!(set.view().contains(member), is_there);
                prop_assert_eq!(set.view().has(&Member::new(Element::Bytes(member))), is_there);
            }
        }
    }

    #[test]
    fn operations_are_those_of_sets_in_every_encoding(
        a in btree_set(member(), 0..12),
        b in btree_set(member(), 0..12),
        c in btree_set(member(), 0..80),
        limit in 0..5usize,
    ) {
        let found = |found: &Found<'_>| {
            let mut model = Model::new();
            found.for_each(|member| assert!(model.insert(text(member)), "a member comes twice"));
            model
        };
        for x in in_every_encoding(&a) {
            for y in in_every_encoding(&b) {
                for z in in_every_encoding(&c) {
                    let sets = [view(&x), view(&y), view(&z)];
                    let common: Model = a.iter().filter(|m| b.contains(*m) && c.contains(*m)).cloned().collect();
                    prop_assert_eq!(&found(&intersection(&sets, usize::MAX)), &common);
                    let some = found(&intersection(&sets, limit));
                    prop_assert!(some.is_subset(&common) && some.len() == limit.min(common.len()));
                    prop_assert_eq!(found(&union(&sets)), &(&a | &b) | &c);
                    prop_assert_eq!(found(&difference(sets[2], &sets[..2])), &(&c - &a) - &b);
                    prop_assert_eq!(found(&difference(sets[0], &sets[1..])), &(&a - &b) - &c);
                    let mut target = entry();
                    change(&mut target, LIMITS).fill(&union(&sets));
                    prop_assert_eq!(content(view(&target)), &(&a | &b) | &c);
                    assert_encoding_is_allowed(view(&target), LIMITS);
                }
            }
        }
    }

    #[test]
    fn a_scan_of_a_table_finds_every_member(members in btree_set(member(), 0..100)) {
        let entry = in_every_encoding(&members).remove(0);
        let SetRef::Table(table) = view(&entry) else { panic!("a hash table") };
        let (mut found, mut next) = (Model::new(), Some(0));
        while let Some(cursor) = next {
            next = table.scan(cursor, |member| _ = found.insert(member.to_vec()));
        }
        prop_assert_eq!(found, members);
    }
}
