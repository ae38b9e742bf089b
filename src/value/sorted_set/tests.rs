use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// Steps of a random sequence, at most. Miri is some hundred times slower than the machine.
const STEPS: usize = if cfg!(miri) { 20 } else { 80 };

const LIMITS: Limits = Limits { members: 8, bytes: 10 };

fn empty() -> Entry {
    Entry::new(b"key", EMPTY, None)
}

fn view(entry: &Entry) -> SortedSetRef<'_> {
    SortedSetRef::new(entry.value()).expect("a sorted set")
}

fn all(set: SortedSetRef<'_>) -> Vec<(f64, Vec<u8>)> {
    let text = |element: Element<'_>| element.bytes(&mut itoa::Buffer::new()).to_vec();
    set.iter(0..set.len()).map(|(member, score)| (score, text(member))).collect()
}

fn put(entry: &mut Entry, member: &[u8], score: f64) -> Put {
    SortedSetMut::new(entry, LIMITS).unwrap().put(member, |_| Some(score))
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, f64),
    Add(Vec<u8>, f64),
    Remove(Vec<u8>),
    RemoveRange(usize, usize),
    Copy,
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0..30i64).prop_map(|number| number.to_string().into_bytes()),
        "[ab]{0,3}".prop_map(String::into_bytes),
        Just(b"longer than ten bytes".to_vec()),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-3..3).prop_map(f64::from),
        Just(0.5),
        Just(-0.0),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(1e300),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (member(), score()).prop_map(|(member, score)| Step::Put(member, score)),
        2 => (member(), score()).prop_map(|(member, score)| Step::Add(member, score)),
        2 => member().prop_map(Step::Remove),
        1 => (any::<usize>(), 0..5usize).prop_map(|(rank, count)| Step::RemoveRange(rank, count)),
        1 => Just(Step::Copy),
    ]
}

fn sorted(model: &HashMap<Vec<u8>, f64>) -> Vec<(f64, Vec<u8>)> {
    let mut members = model.iter().map(|(m, score)| (*score, m.clone())).collect::<Vec<_>>();
    members.sort_by(|a, b| a.partial_cmp(b).unwrap());
    members
}

proptest! {
    #[test]
    fn a_sorted_set_is_a_sorted_map(steps in prop::collection::vec(step(), 1..STEPS)) {
        let mut entry = empty();
        let mut model = HashMap::new();
        for step in steps {
            let mut set = SortedSetMut::new(&mut entry, LIMITS).unwrap();
            match step {
                Step::Put(member, score) => {
                    let expected = match model.get(&member) {
                        None => Put::Added,
                        Some(old) if *old == score => Put::Unchanged,
                        Some(_) => Put::Updated,
                    };
                    prop_assert_eq!(set.put(&member, |_| Some(score)), expected);
                    model.insert(member, score);
                }
                Step::Add(member, delta) => {
                    set.put(&member, |old| Some(old.unwrap_or(0.0) + delta));
                    let sum = model.get(&member).unwrap_or(&0.0) + delta;
                    if !sum.is_nan() {
                        model.insert(member, sum);
                    }
                }
                Step::Remove(member) => {
                    prop_assert_eq!(set.remove(&member), model.remove(&member).is_some());
                }
                Step::RemoveRange(rank, count) => {
                    let start = rank % (model.len() + 1);
                    let end = model.len().min(start + count);
                    set.remove_range(start..end);
                    for (_, member) in &sorted(&model)[start..end] {
                        model.remove(member);
                    }
                }
                Step::Copy => entry = entry.duplicate(b"copy", None),
            }
            let set = view(&entry);
            let members = sorted(&model);
            prop_assert_eq!(all(set), members.clone());
            prop_assert_eq!(set.len(), members.len());
            for (rank, (score, member)) in members.iter().enumerate() {
                prop_assert_eq!(set.rank(member), Some((rank, *score)));
                prop_assert_eq!(set.score(member), Some(*score));
            }
            prop_assert_eq!(set.score(b"nobody"), None);
        }
    }

    #[test]
    fn spans_are_those_of_a_filter(
        members in prop::collection::hash_map(member(), score(), 0..30),
        min in score(),
        max in score(),
        from in "[ab]{0,2}",
        to in "[ab]{0,2}",
        members_limit in prop_oneof![Just(0usize), Just(100)],
    ) {
        let limits = Limits { members: members_limit, bytes: 100 };
        let members = sorted(&members);
        let elements = members.iter().map(|(score, m)| (Element::of(m), *score)).collect::<Vec<_>>();
        let entry = from_sorted(b"key", &elements, limits);
        let set = view(&entry);
        let expected = members.iter().filter(|(score, _)| min <= *score && *score <= max).count();
        let span = set.score_span(&ScoreRange::between(min, max));
        prop_assert_eq!(span.len(), expected);
        prop_assert!(members[span].iter().all(|(score, _)| min <= *score && *score <= max));

        let mut members = members.into_iter().map(|(_, member)| (0.0, member)).collect::<Vec<_>>();
        members.sort_by(|a, b| a.partial_cmp(b).unwrap());
        let elements = members.iter().map(|(score, m)| (Element::of(m), *score)).collect::<Vec<_>>();
        let entry = from_sorted(b"key", &elements, limits);
        let set = view(&entry);
        let (low, high) = (format!("[{from}"), format!("({to}"));
        let range = LexRange::parse(low.as_bytes(), high.as_bytes()).unwrap();
        let start = members.partition_point(|(_, member)| *member < from.clone().into_bytes());
        let end = members.partition_point(|(_, member)| *member < to.clone().into_bytes()).max(start);
        for offset in 0..4 {
            let found = set.lex_span(&range, false, offset);
            prop_assert_eq!(found.len(), (end - start).saturating_sub(offset));
            prop_assert!(found.is_empty() || found.end == end);
            let found = set.lex_span(&range, true, offset);
            prop_assert_eq!(found.len(), (end - start).saturating_sub(offset));
            prop_assert!(found.is_empty() || found.start == start);
        }
    }
}

#[test]
fn a_listpack_has_members_and_scores_as_valkey_dumps_them() {
    let mut entry = empty();
    for (member, score) in
        [(&b"a"[..], 1.0), (b"10", 0.1), (b"b", -0.0), (b"c", 4_611_686_018_427_389_000.0)]
    {
        put(&mut entry, member, score);
    }
    let elements = match entry.value() {
        ValueRef::Packed(PackedKind::SortedSet, bytes) => {
            Packed::new(bytes).iter().collect::<Vec<_>>()
        }
        _ => panic!("it is small"),
    };
    assert_eq!(
        elements,
        [
            Element::Bytes(b"b"),
            Element::Int(0),
            Element::Int(10),
            Element::Bytes(b"0.1"),
            Element::Bytes(b"a"),
            Element::Int(1),
            Element::Bytes(b"c"),
            Element::Int(4_611_686_018_427_389_000),
        ]
    );
}

#[test]
fn limits_make_a_sorted_set_big_and_nothing_makes_it_small() {
    let mut entry = empty();
    (0..8u8).for_each(|n| _ = put(&mut entry, &[b'a' + n], n.into()));
    assert_eq!(entry.encoding(), "listpack");
    assert_eq!(put(&mut entry, b"a", 100.0), Put::Updated);
    assert_eq!(entry.encoding(), "listpack");
    assert_eq!(put(&mut entry, b"i", 1.0), Put::Added);
    assert_eq!(entry.encoding(), "skiplist");
    SortedSetMut::new(&mut entry, LIMITS).unwrap().remove_range(1..9);
    assert_eq!((all(view(&entry)), entry.encoding()), (vec![(1.0, b"b".to_vec())], "skiplist"));
    let mut entry = empty();
    put(&mut entry, b"0123456789", 1.0);
    assert_eq!(entry.encoding(), "listpack");
    put(&mut entry, b"01234567890", 1.0);
    assert_eq!(entry.encoding(), "skiplist");
}

#[test]
fn nan_is_refused_as_a_score() {
    for members in [1, 20] {
        let mut entry = empty();
        (0..members).for_each(|n| _ = put(&mut entry, &[n], f64::INFINITY));
        assert_eq!(put(&mut entry, &[0], f64::NAN), Put::Unchanged);
        assert_eq!(put(&mut entry, b"new", f64::NAN), Put::Unchanged);
        assert_eq!(view(&entry).len(), usize::from(members));
    }
}

#[test]
fn only_ordered_pairs_are_a_sorted_set_from_outside() {
    let packed = |elements: &[&str]| {
        let mut bytes = packed::EMPTY.to_vec();
        elements.iter().for_each(|element| packed::push(&mut bytes, element.as_bytes()));
        bytes
    };
    assert!(validate(&packed(&["a", "1", "b", "1", "0", "1.5", "c", "inf"])));
    for bad in [
        &["a"][..],
        &["a", "x"],
        &["a", "nan"],
        &["a", "2", "b", "1"],
        &["b", "1", "a", "1"],
        &["a", "1", "a", "2"],
    ] {
        assert!(!validate(&packed(bad)), "{bad:?}");
    }
}
