//! A stream compared with a plain list of entries.

use proptest::prelude::*;

use super::*;
use crate::value::packed;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

const LIMITS: NodeLimits = NodeLimits { entries: 4, bytes: 120 };

fn id(ms: u64) -> StreamId {
    StreamId::new(ms, 1)
}

fn pairs(entry: &Entry<'_>) -> Pairs {
    let text = |element: packed::Element<'_>| element.bytes(&mut itoa::Buffer::new()).to_vec();
    entry.pairs().map(|(name, value)| (text(name), text(value))).collect()
}

fn append(log: &mut Log, id: StreamId, pairs: &Pairs) {
    log.append(id, pairs.iter().map(|(name, value)| (&name[..], &value[..])), LIMITS);
}

/// Entries of these milliseconds, all with one field.
fn log(entries: impl IntoIterator<Item = u64>) -> Log {
    let mut log = Log::default();
    for ms in entries {
        append(&mut log, id(ms), &vec![(b"field".to_vec(), ms.to_string().into_bytes())]);
    }
    log
}

fn ids(log: &Log) -> Vec<u64> {
    log.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id.ms).collect()
}

#[test]
fn approximate_trimming_takes_whole_nodes_only() {
    let trim = |to, limit| {
        let mut log = log(1..=10);
        assert_eq!(log.nodes(), 3);
        let removed = log.trim(Trim { to, approximate: true, limit });
        assert_eq!(removed, 10 - log.len());
        ids(&log).first().copied().unwrap_or(0)
    };
    assert_eq!(trim(Bound::Len(7), 0), 1);
    assert_eq!(trim(Bound::Len(6), 0), 5);
    assert_eq!(trim(Bound::Len(0), 0), 0);
    assert_eq!(trim(Bound::Len(0), 7), 5);
    assert_eq!(trim(Bound::Len(0), 3), 1);
    assert_eq!(trim(Bound::Id(id(5)), 0), 5);
    assert_eq!(trim(Bound::Id(id(4)), 0), 1);
}

#[test]
fn a_node_without_entries_is_removed() {
    let mut log = log(1..=12);
    for ms in 5..=8 {
        assert!(log.delete(id(ms)) && !log.delete(id(ms)));
    }
    assert_eq!((log.nodes(), log.max_deleted_id), (2, id(8)));
    assert_eq!(ids(&log), [1, 2, 3, 4, 9, 10, 11, 12]);
}

#[test]
fn entries_read_are_known_at_either_end_of_the_stream() {
    let mut log = log(1..=10);
    assert_eq!(log.entries_up_to(StreamId::MIN), Some(0));
    assert_eq!(log.entries_up_to(id(1)), Some(1));
    assert_eq!(log.entries_up_to(id(5)), None);
    assert_eq!(log.entries_up_to(id(10)), Some(10));
    assert_eq!(log.entries_up_to(id(11)), None);
    log.delete(id(7));
    assert_eq!(log.entries_up_to(id(1)), None);
    assert_eq!(log.entries_up_to(id(10)), Some(10));
}

#[test]
fn lag_is_unknown_where_entries_ahead_were_deleted() {
    let mut log = log(1..=10);
    let group = |last, read| Group::new(id(last), read);
    assert_eq!(log.lag(&group(4, Some(4))), Some(6));
    assert_eq!(log.lag(&group(4, None)), None);
    log.delete(id(7));
    assert_eq!(log.lag(&group(4, Some(4))), None);
    assert_eq!(log.lag(&group(8, Some(8))), Some(2));
    assert_eq!(log.lag(&group(10, None)), Some(0));
}

#[test]
fn an_id_that_was_deleted_may_come_again() {
    let mut log = log(1..=3);
    log.delete(id(3));
    log.last_id = id(2);
    append(&mut log, id(3), &vec![(b"again".to_vec(), b"3".to_vec())]);
    assert_eq!(ids(&log), [1, 2, 3]);
    assert_eq!(pairs(&log.get(id(3)).unwrap())[0].0, b"again");
    assert!(log.delete(id(3)));
    assert_eq!(ids(&log), [1, 2]);
}

#[test]
fn damaged_nodes_are_refused() {
    let (first, bytes) = log(1..=4).packed_nodes().next().unwrap();
    for cut in 2..bytes.len() {
        let mut damaged = bytes[..cut].to_vec();
        damaged[..2].copy_from_slice(&packed::UNCOUNTED.to_le_bytes());
        if packed::validate(&damaged) {
            assert_eq!(Log::default().push_packed_node(first, &damaged), None, "{cut}");
        }
    }
    let mut twice = Log::default();
    assert_eq!(twice.push_packed_node(first, &bytes), Some(()));
    assert_eq!(twice.push_packed_node(first, &bytes), None);
    assert_eq!(twice.push_packed_node(StreamId::new(3, 0), &bytes), None);
}

#[derive(Clone, Debug)]
enum Step {
    Append(u64, Pairs),
    Delete(u64),
    Trim(Trim),
    Range(u64, u64),
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "[a-c]{0,3}".prop_map(String::into_bytes),
        2 => any::<i16>().prop_map(|number| number.to_string().into_bytes()),
        1 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        1 => (60usize..70).prop_map(|len| vec![b'x'; len]),
    ]
}

fn fields() -> impl Strategy<Value = Pairs> {
    let usual = (text(), text()).prop_map(|(a, b)| vec![(b"a".to_vec(), a), (b"7".to_vec(), b)]);
    prop_oneof![3 => usual, 1 => prop::collection::vec((text(), text()), 1..4)]
}

fn step() -> impl Strategy<Value = Step> {
    let bound =
        prop_oneof![(0..30u64).prop_map(Bound::Len), (0..80u64).prop_map(|ms| Bound::Id(id(ms))),];
    let trim = (bound, any::<bool>(), 0..20u64).prop_map(|(to, approximate, limit)| Trim {
        to,
        approximate,
        limit: limit * u64::from(approximate),
    });
    prop_oneof![
        8 => (1..3u64, fields()).prop_map(|(later, pairs)| Step::Append(later, pairs)),
        3 => (0..80u64).prop_map(Step::Delete),
        1 => trim.prop_map(Step::Trim),
        2 => (0..80u64, 0..80u64).prop_map(|(start, end)| Step::Range(start, end)),
    ]
}

/// Trimming, by its definition; an approximate one removes less.
fn trimmed(model: &[(StreamId, Pairs)], to: Bound) -> usize {
    match to {
        Bound::Len(max) => model.len().saturating_sub(max as usize),
        Bound::Id(min) => model.iter().take_while(|(id, _)| *id < min).count(),
    }
}

proptest! {
    #[test]
    fn a_stream_is_a_list_of_entries(steps in prop::collection::vec(step(), 1..120)) {
        let mut log = Log::default();
        let mut model: Vec<(StreamId, Pairs)> = Vec::new();
        for step in steps {
            match step {
                Step::Append(later, pairs) => {
                    let id = id(log.last_id.ms + later);
                    append(&mut log, id, &pairs);
                    model.push((id, pairs));
                }
                Step::Delete(ms) => {
                    let found = model.iter().position(|(own, _)| *own == id(ms));
                    prop_assert_eq!(log.delete(id(ms)), found.is_some());
                    found.map(|at| model.remove(at));
                }
                Step::Trim(trim) => {
                    let removed = log.trim(trim) as usize;
                    let exact = trimmed(&model, trim.to);
                    if trim.approximate {
                        prop_assert!(removed <= exact);
                        prop_assert!(trim.limit == 0 || removed <= trim.limit as usize);
                    } else {
                        prop_assert_eq!(removed, exact);
                    }
                    model.drain(..removed);
                }
                Step::Range(start, end) => {
                    let (start, end) = (id(start), id(end));
                    let between = model.iter().filter(|(id, _)| (start..=end).contains(id));
                    let between = between.cloned().collect::<Vec<_>>();
                    let own = |entry: Entry<'_>| (entry.id, pairs(&entry));
                    let forward = log.range(start, end).map(own).collect::<Vec<_>>();
                    prop_assert_eq!(&forward, &between);
                    let mut backward = log.rev_range(start, end).map(own).collect::<Vec<_>>();
                    backward.reverse();
                    prop_assert_eq!(&backward, &between);
                }
            }
            prop_assert_eq!(log.len() as usize, model.len());
            let first = model.first().map_or(StreamId::MIN, |(id, _)| *id);
            prop_assert_eq!(log.first_id(), first);
            prop_assert_eq!(log.last().map(|entry| entry.id), model.last().map(|(id, _)| *id));
        }
        // The same again, by way of the form that files have.
        let mut copy = Log::default();
        for ((first, bytes), node) in log.packed_nodes().zip(log.node_map().values()) {
            // Without the count, and with a listpack's frame.
            prop_assert_eq!(bytes.len() - 2 + 7, node.listpack_len());
            prop_assert!(packed::validate(&bytes));
            prop_assert_eq!(copy.push_packed_node(first, &bytes), Some(()));
        }
        let all = |log: &Log| {
            let entries = log.range(StreamId::MIN, StreamId::MAX);
            entries.map(|entry| (entry.id, pairs(&entry))).collect::<Vec<_>>()
        };
        prop_assert_eq!(all(&copy), all(&log));
        prop_assert_eq!((copy.len(), copy.first_id()), (log.len(), log.first_id()));
    }
}
