//! Consumer groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::StreamId;

/// A consumer, among those of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerId(u32);

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The consumer to which it was delivered last.
    pub consumer: ConsumerId,
    /// The time of that delivery, in milliseconds of Unix time.
    pub delivered: i64,
    /// How often it was delivered.
    pub deliveries: u64,
}

#[derive(Clone, Debug)]
pub struct Consumer {
    pub name: Arc<[u8]>,
    /// The time of its last request, in milliseconds of Unix time.
    pub seen: i64,
    /// The time of its last delivery.
    pub active: Option<i64>,
    /// Its part of the group's pending entries.
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    /// The ids of its pending entries, in order.
    pub fn pending(&self) -> &BTreeSet<StreamId> {
        &self.pending
    }
}

#[derive(Clone, Debug)]
pub struct Group {
    /// The id up to which entries were delivered.
    pub last_delivered: StreamId,
    /// How many entries were ever added to the stream up to that id, if that is known.
    pub entries_read: Option<u64>,
    pending: BTreeMap<StreamId, Pending>,
    /// By name.
    names: BTreeMap<Arc<[u8]>, ConsumerId>,
    /// By [`ConsumerId`], with gaps.
    consumers: Vec<Option<Consumer>>,
    gaps: Vec<u32>,
}

impl Group {
    pub fn new(last_delivered: StreamId, entries_read: Option<u64>) -> Group {
        Group {
            last_delivered,
            entries_read,
            pending: BTreeMap::new(),
            names: BTreeMap::new(),
            consumers: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// All entries that are pending, in order.
    pub fn pending(&self) -> &BTreeMap<StreamId, Pending> {
        &self.pending
    }

    /// All consumers, in the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.names.values().map(|id| self.consumer(*id))
    }

    pub fn find_consumer(&self, name: &[u8]) -> Option<ConsumerId> {
        self.names.get(name).copied()
    }

    /// # Panics
    /// If the consumer was removed.
    pub fn consumer(&self, id: ConsumerId) -> &Consumer {
        self.consumers[id.0 as usize].as_ref().expect("the consumer exists")
    }

    /// # Panics
    /// If the consumer was removed.
    pub fn consumer_mut(&mut self, id: ConsumerId) -> &mut Consumer {
        self.consumers[id.0 as usize].as_mut().expect("the consumer exists")
    }

    /// The consumer of that name, whose last request is now. It is created if it does not exist; the
    /// second value says so.
    pub fn find_or_add_consumer(&mut self, name: &[u8], now: i64) -> (ConsumerId, bool) {
        match self.find_consumer(name) {
            Some(id) => {
                self.consumer_mut(id).seen = now;
                (id, false)
            }
            None => (self.add_consumer(name, now), true),
        }
    }

    /// Adds a consumer under a name that none has.
    pub fn add_consumer(&mut self, name: &[u8], now: i64) -> ConsumerId {
        let name = Arc::<[u8]>::from(name);
        let consumer =
            Consumer { name: name.clone(), seen: now, active: None, pending: BTreeSet::new() };
        let id = match self.gaps.pop() {
            Some(gap) => {
                self.consumers[gap as usize] = Some(consumer);
                ConsumerId(gap)
            }
            None => {
                self.consumers.push(Some(consumer));
                ConsumerId(self.consumers.len() as u32 - 1)
            }
        };
        let replaced = self.names.insert(name, id);
        debug_assert!(replaced.is_none());
        id
    }

    /// Removes a consumer and its pending entries. Returns how many those were.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let id = self.names.remove(name)?;
        let consumer = self.consumers[id.0 as usize].take().expect("the consumer exists");
        self.gaps.push(id.0);
        for entry in &consumer.pending {
            self.pending.remove(entry);
        }
        Some(consumer.pending.len())
    }

    /// Makes an entry pending with a consumer. If it was pending already, it is reassigned.
    pub fn assign(&mut self, entry: StreamId, pending: Pending) {
        let consumer = pending.consumer;
        match self.pending.insert(entry, pending) {
            Some(before) if before.consumer == consumer => return,
            Some(before) => drop(self.consumer_mut(before.consumer).pending.remove(&entry)),
            None => {}
        }
        self.consumer_mut(consumer).pending.insert(entry);
    }

    /// Notes that a pending entry was delivered to its consumer once more.
    pub fn deliver_again(&mut self, entry: StreamId, now: i64) {
        if let Some(pending) = self.pending.get_mut(&entry) {
            pending.delivered = now;
            pending.deliveries = pending.deliveries.saturating_add(1);
        }
    }

    /// Removes an entry from the pending ones. Returns whether it was pending.
    pub fn acknowledge(&mut self, entry: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&entry) else { return false };
        self.consumer_mut(pending.consumer).pending.remove(&entry);
        true
    }

    /// About how many allocations the group has.
    pub(super) fn allocations(&self) -> usize {
        // A node of a B-tree holds six to eleven entries.
        2 + 2 * self.consumers.len() + 2 * self.pending.len() / 6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64) -> StreamId {
        StreamId::new(ms, 0)
    }

    fn pending(consumer: ConsumerId) -> Pending {
        Pending { consumer, delivered: 7, deliveries: 1 }
    }

    fn names(group: &Group) -> Vec<&[u8]> {
        group.consumers().map(|consumer| &consumer.name[..]).collect()
    }

    #[test]
    fn an_entry_is_pending_with_one_consumer() {
        let mut group = Group::new(StreamId::MIN, None);
        let (b, a) = (group.add_consumer(b"b", 1), group.add_consumer(b"a", 2));
        assert_eq!(names(&group), [b"a", b"b"]);
        (1..5).for_each(|ms| group.assign(id(ms), pending(a)));
        group.assign(id(3), pending(b));
        assert!(group.consumer(a).pending().iter().eq(&[id(1), id(2), id(4)]));
        assert!(group.consumer(b).pending().iter().eq(&[id(3)]));
        group.deliver_again(id(3), 9);
        assert_eq!((group.pending()[&id(3)].delivered, group.pending()[&id(3)].deliveries), (9, 2));
        assert!(group.acknowledge(id(1)) && !group.acknowledge(id(1)));
        assert_eq!(group.remove_consumer(b"a"), Some(2));
        assert!(group.pending().keys().eq(&[id(3)]));
        assert_eq!(group.remove_consumer(b"a"), None);
    }

    #[test]
    fn a_consumer_that_takes_anothers_place_inherits_nothing() {
        let mut group = Group::new(StreamId::MIN, None);
        let first = group.add_consumer(b"first", 1);
        group.assign(id(1), pending(first));
        group.remove_consumer(b"first");
        let second = group.add_consumer(b"second", 2);
        assert_eq!(first, second);
        assert!(group.consumer(second).pending().is_empty() && group.pending().is_empty());
        assert_eq!(names(&group), [b"second"]);
    }
}
