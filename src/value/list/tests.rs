use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Push(End, Vec<u8>),
    Remove(End, usize),
    Set(usize, Vec<u8>),
    Insert(usize, Vec<u8>),
    RemoveEqual(End, usize, Vec<u8>),
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => (0..6u8).prop_map(|number| number.to_string().into_bytes()),
        1 => (0..80usize).prop_map(|len| vec![b'x'; len]),
        1 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Head), Just(End::Tail)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (end(), element()).prop_map(|(end, element)| Step::Push(end, element)),
        2 => (end(), 0..5usize).prop_map(|(end, count)| Step::Remove(end, count)),
        1 => (any::<usize>(), element()).prop_map(|(index, element)| Step::Set(index, element)),
        2 => (any::<usize>(), element()).prop_map(|(index, element)| Step::Insert(index, element)),
        1 => (end(), 1..4usize, element()).prop_map(|(e, most, x)| Step::RemoveEqual(e, most, x)),
    ]
}

fn text(element: Element<'_>) -> Vec<u8> {
    element.bytes(&mut itoa::Buffer::new()).to_vec()
}

fn apply(model: &mut VecDeque<Vec<u8>>, list: &mut ListMut<'_>, step: Step) {
    match step {
        Step::Push(end, element) => {
            list.make_room([&*element].into_iter());
            list.push(end, &element);
            match end {
                End::Head => model.push_front(element),
                End::Tail => model.push_back(element),
            }
        }
        Step::Remove(end, count) => {
            list.remove(end, count);
            list.shrink();
            for _ in 0..count {
                match end {
                    End::Head => model.pop_front(),
                    End::Tail => model.pop_back(),
                };
            }
        }
        Step::Set(index, element) if !model.is_empty() => {
            let index = index % model.len();
            list.make_room([&*element].into_iter());
            assert!(list.set(index, &element));
            list.shrink();
            model[index] = element;
        }
        Step::Insert(index, element) => {
            let index = index % (model.len() + 1);
            list.make_room([&*element].into_iter());
            list.insert(index, &element);
            model.insert(index, element);
        }
        Step::RemoveEqual(end, most, element) => {
            let positions = (0..model.len()).filter(|at| model[*at] == element);
            let mut found: Vec<usize> = match end {
                End::Head => positions.take(most).collect(),
                End::Tail => positions.rev().take(most).collect(),
            };
            found.sort_unstable();
            assert_eq!(list.remove_equal(end, most, &element), found.len());
            list.shrink();
            found.into_iter().rev().for_each(|at| _ = model.remove(at));
        }
        Step::Set(..) => assert!(!list.set(0, b"x")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 5 } else { 300 }))]

    #[test]
    fn a_list_holds_what_a_deque_holds(
        steps in prop::collection::vec(step(), 0..120),
        elements in prop_oneof![Just(usize::MAX), 1..6usize],
        bytes in prop_oneof![Just(60usize), Just(200), Just(8192)],
    ) {
        let limit = Limit { bytes, elements };
        let mut entry =
            Entry::new(b"key", Value::Packed(PackedKind::List, packed::EMPTY), None);
        let mut model = VecDeque::new();
        for step in steps {
            let mut list = entry.list_mut(limit).unwrap();
            apply(&mut model, &mut list, step);
            let read = list.read();
            prop_assert_eq!(read.len(), model.len());
            prop_assert!(read.iter(End::Head).map(text).eq(model.iter().cloned()));
            prop_assert!(read.iter(End::Tail).map(text).eq(model.iter().rev().cloned()));
            for index in 0..=model.len() {
                prop_assert_eq!(read.get(index).map(text), model.get(index).cloned());
                let rest = read.iter_from(index).map(text);
                prop_assert!(rest.eq(model.iter().skip(index).cloned()));
            }
            prop_assert_eq!(read.end(End::Head).map(text), model.front().cloned());
            prop_assert_eq!(read.end(End::Tail).map(text), model.back().cloned());
            if let ListRef::Big(list) = read {
                prop_assert!(list.nodes().all(|(node, _)| packed::validate(node.as_bytes())));
                prop_assert!(list.nodes().all(|(node, _)| !node.is_empty()));
                prop_assert_eq!(list.clone().nodes().map(|(n, _)| n.len()).sum::<usize>(), model.len());
            }
        }
    }
}

#[test]
fn a_queue_does_not_move_what_stays() {
    let limit = Limit::new(-2);
    let mut entry = Entry::new(b"key", Value::Packed(PackedKind::List, packed::EMPTY), None);
    for number in 0..100_000 {
        let mut list = entry.list_mut(limit).unwrap();
        let element = format!("element {number}");
        list.make_room([element.as_bytes()].into_iter());
        list.push(End::Head, element.as_bytes());
    }
    let ListRef::Big(list) = entry.list().unwrap() else { panic!("a big list") };
    // 8 KiB hold some 550 of these.
    assert!((150..240).contains(&list.nodes().len()), "{}", list.nodes().len());
    for number in 0..100_000 {
        let mut list = entry.list_mut(limit).unwrap();
        assert_eq!(list.read().end(End::Tail).map(text), Some(format!("element {number}").into()));
        list.remove(End::Tail, 1);
        list.shrink();
    }
    assert_eq!((entry.list().unwrap().len(), entry.encoding()), (0, "listpack"));
}
