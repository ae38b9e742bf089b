use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Push(End, Vec<u8>),
    Remove(End, usize),
    Set(usize, Vec<u8>),
    Insert(usize, Side, Vec<u8>),
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

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Before), Just(Side::After)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (end(), element()).prop_map(|(end, element)| Step::Push(end, element)),
        2 => (end(), 0..5usize).prop_map(|(end, count)| Step::Remove(end, count)),
        1 => (any::<usize>(), element()).prop_map(|(index, element)| Step::Set(index, element)),
        2 => (any::<usize>(), side(), element()).prop_map(|(at, side, x)| Step::Insert(at, side, x)),
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
        Step::Insert(pivot, side, element) if !model.is_empty() => {
            let pivot = pivot % model.len();
            list.make_room([&*element].into_iter());
            list.insert(pivot, side, &element);
            model.insert(pivot + usize::from(side == Side::After), element);
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
        Step::Insert(..) => {}
        Step::Set(..) => assert!(!list.set(0, b"x")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 5 } else { 300 }))]

    #[test]
    fn a_list_equals_a_deque(
        steps in prop::collection::vec(step(), 0..120),
        elements in prop_oneof![Just(usize::MAX), 1..6usize],
        bytes in prop_oneof![Just(60usize), Just(200), Just(8192)],
    ) {
        let limit = Limit { bytes, elements, apart: bytes + 1 };
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
fn a_queue_does_not_move_the_remaining_elements() {
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

/// A list of nodes of four elements.
struct Nodes(Entry);

impl Nodes {
    const LIMIT: Limit = Limit { bytes: 8192, elements: 4, apart: 8193 };

    /// Numbers from 0 on in full nodes, without those in `removed`.
    fn new(len: usize, removed: &[usize]) -> Nodes {
        let empty = Value::Packed(PackedKind::List, packed::EMPTY);
        let mut nodes = Nodes(Entry::new(b"key", empty, None));
        let mut list = nodes.list();
        let numbers: Vec<String> = (0..len).map(|number| number.to_string()).collect();
        list.make_room(numbers.iter().map(String::as_bytes));
        numbers.iter().for_each(|number| list.push(End::Tail, number.as_bytes()));
        for number in removed {
            assert_eq!(list.remove_equal(End::Head, 1, number.to_string().as_bytes()), 1);
        }
        nodes
    }

    fn list(&mut self) -> ListMut<'_> {
        self.0.list_mut(Self::LIMIT).unwrap()
    }

    fn inserted(mut self, side: Side, pivot: usize, element: &[u8]) -> Vec<usize> {
        self.list().insert(pivot, side, element);
        self.lengths()
    }

    fn set(mut self, index: usize, element: &[u8]) -> Nodes {
        assert!(self.list().set(index, element));
        self
    }

    /// Elements in each node; 0 for a plain one.
    fn lengths(&self) -> Vec<usize> {
        let ListRef::Big(list) = self.0.list().unwrap() else { panic!("a big list") };
        list.nodes().map(|(node, is_plain)| if is_plain { 0 } else { node.len() }).collect()
    }
}

/// From the nodes in the oracle's DUMP of such lists.
#[test]
fn an_element_is_inserted_into_the_node_that_valkey_takes() {
    let few_first = || Nodes::new(16, &[0, 1, 2, 5, 6, 7]);
    assert_eq!(few_first().lengths(), [1, 1, 4, 4]);
    assert_eq!(few_first().inserted(Side::Before, 3, b"x"), [1, 3, 3, 4]);
    assert_eq!(few_first().inserted(Side::Before, 4, b"x"), [1, 4, 2, 4]);
    assert_eq!(few_first().inserted(Side::Before, 5, b"x"), [1, 1, 4, 1, 4]);
    let few_last = || Nodes::new(16, &[8, 9, 10, 12, 13, 14]);
    assert_eq!(few_last().lengths(), [4, 4, 1, 1]);
    assert_eq!(few_last().inserted(Side::Before, 5, b"x"), [4, 2, 3, 2]);
    assert_eq!(few_last().inserted(Side::Before, 6, b"x"), [4, 3, 4]);
    assert_eq!(few_last().inserted(Side::Before, 7, b"x"), [4, 4, 3]);
}

/// From the nodes in the oracle's DUMP of such lists.
#[test]
fn an_element_is_set_in_the_node_that_valkey_takes() {
    let long = [b'x'; 9000];
    let few_first = || Nodes::new(16, &[0, 1, 2, 5, 6, 7]);
    assert_eq!(few_first().set(2, &long).lengths(), [1, 1, 0, 3, 4]);
    assert_eq!(few_first().set(2, &long).set(2, b"x").lengths(), [1, 1, 4, 4]);
    let few_next = || Nodes::new(16, &[4, 5, 6]);
    assert_eq!(few_next().set(0, &long).lengths(), [0, 3, 1, 4, 4]);
    assert_eq!(few_next().set(0, &long).set(0, b"x").lengths(), [4, 1, 4, 4]);
    let five = || Nodes::new(5, &[]);
    assert_eq!(five().set(1, &long).set(1, b"x").lengths(), [1, 4]);
    // A node outgrows its bytes where no element is too long by itself.
    assert_eq!(five().set(0, &[b'x'; 6000]).set(1, &[b'x'; 6000]).lengths(), [4, 1]);
}

/// From the oracle's OBJECT ENCODING.
#[test]
fn a_list_is_packed_again_at_half_its_limit() {
    let encoding = |setting, elements: &[&[u8]]| {
        let empty = Value::Packed(PackedKind::List, packed::EMPTY);
        let mut entry = Entry::new(b"key", empty, None);
        let mut list = entry.list_mut(Limit::new(setting)).unwrap();
        list.make_room(elements.iter().copied());
        elements.iter().for_each(|element| list.push(End::Head, element));
        list.remove(End::Head, elements.len() - 1);
        list.shrink();
        entry.encoding()
    };
    let (half, more, plain) = ([b'x'; 4080], [b'x'; 4090], [b'x'; 8193]);
    assert_eq!(encoding(-2, &[&half, &plain]), "listpack");
    assert_eq!(encoding(-2, &[&more, &plain]), "quicklist");
    // Where elements are counted, bytes matter only for plain nodes.
    assert_eq!(encoding(4, &[&more, &plain]), "listpack");
    assert_eq!(encoding(4, &[&[b'x'; 8192], &plain]), "listpack");
    assert_eq!(encoding(4, &[&plain, &half]), "quicklist");
    assert_eq!(encoding(1, &[b"1", b"2"]), "quicklist");
}

#[test]
fn removing_equal_elements_gives_their_memory_back() {
    let mut nodes = Nodes(Entry::new(b"key", Value::Packed(PackedKind::List, packed::EMPTY), None));
    let mut list = nodes.0.list_mut(Limit::new(-2)).unwrap();
    let kept = [b'y'; 100];
    list.make_room(std::iter::repeat_n(&kept[..], 100_000));
    (0..100_000).for_each(|number| {
        list.push(End::Tail, if number % 100 == 0 { &kept } else { &[b'x'; 100] });
    });
    let before = nodes.0.memory(0);
    let mut list = nodes.0.list_mut(Limit::new(-2)).unwrap();
    assert_eq!(list.remove_equal(End::Head, usize::MAX, &[b'x'; 100]), 99_000);
    assert!(nodes.0.memory(0) < before / 20, "{} of {before}", nodes.0.memory(0));
}
