//! Weighted sampling of tables: one is drawn with a chance in proportion to its keys, so that every key has
//! the same.
//!
//! Hash tags can gather a great part of all keys in one shard, so tables are drawn by the number of
//! their keys. Counting visits every shard, which is done anew after so many draws that each draw's
//! part of it is small; what changes in between does little to the chances.

use crate::keyspace::{Entered, Listeners, SHARDS};
use crate::random;

/// Draws between two counts.
const DRAWS: usize = SHARDS;

/// The tables that have keys that may be evicted.
#[derive(Default)]
pub struct WeightedTables {
    /// Shard and database, with the number of keys up to the table's last.
    tables: Vec<(u64, usize, usize)>,
    /// Only keys that have an expiry were counted.
    volatile: bool,
    /// Draws before the tables are counted again.
    left: usize,
}

impl WeightedTables {
    /// Draws a table, as shard and database. `None` if there is no key. No shard may be locked.
    pub fn draw(&mut self, entered: &Entered<'_>, volatile: bool) -> Option<(usize, usize)> {
        if self.left == 0 || self.volatile != volatile {
            self.count(entered, volatile);
        }
        self.left = self.left.saturating_sub(1);
        let &(all, ..) = self.tables.last()?;
        let rank = random::below(all);
        let index = self.tables.partition_point(|(end, ..)| *end <= rank);
        let (_, shard, db) = self.tables[index];
        Some((shard, db))
    }

    /// Has the keys counted again before the next draw.
    pub fn recount(&mut self) {
        self.left = 0;
    }

    fn count(&mut self, entered: &Entered<'_>, volatile: bool) {
        self.tables.clear();
        let mut sum = 0;
        let mut unit = entered.unit(&[], 0, Listeners::NONE);
        for index in 0..SHARDS {
            unit.visit(index, |shard| {
                for (db, table) in shard.tables() {
                    let keys = if volatile { table.volatile() } else { table.len() };
                    if keys > 0 {
                        sum += keys as u64;
                        self.tables.push((sum, index, db));
                    }
                }
            });
        }
        self.volatile = volatile;
        self.left = if self.tables.is_empty() { 0 } else { DRAWS };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::keyspace::{Key, Keyspace, Reason, shard_of};
    use crate::value::Entry;
    use crate::value::entry::Value;

    fn insert(keyspace: &Keyspace, db: usize, name: &str, expiry: Option<i64>) {
        let key = Key::new(name.as_bytes());
        let entry = Entry::new(key.bytes, Value::Int(1), expiry);
        let mut unit = keyspace.enter(0).unit(&[key], 0, Listeners::NONE);
        unit.insert(db, &key, entry);
    }

    #[test]
    fn tables_are_drawn_as_often_as_they_have_keys() {
        let keyspace = Keyspace::new(16, 1);
        let mut tables = WeightedTables::default();
        assert_eq!(tables.draw(&keyspace.enter(0), false), None);
        (0..300).for_each(|n| insert(&keyspace, 0, &format!("{{a}}{n}"), None));
        (0..100).for_each(|n| insert(&keyspace, 3, &format!("{{b}}{n}"), Some(1)));
        let mut drawn: HashMap<_, usize> = HashMap::new();
        for _ in 0..4000 {
            *drawn
                .entry(tables.draw(&keyspace.enter(0), false).expect("there are keys"))
                .or_default() += 1;
        }
        let (a, b) = (Key::new(b"a"), Key::new(b"b"));
        // Ten standard deviations around the mean.
        assert!((2726..3274).contains(&drawn[&(shard_of(a.slot), 0)]), "{drawn:?}");
        assert_eq!((drawn.len(), drawn.values().sum::<usize>()), (2, 4000));
        assert_eq!(tables.draw(&keyspace.enter(0), true), Some((shard_of(b.slot), 3)));
        (0..100).for_each(|n| {
            let name = format!("{{b}}{n}");
            let key = Key::new(name.as_bytes());
            let mut unit = keyspace.enter(0).unit(&[key], 0, Listeners::NONE);
            let position = unit.find(3, &key).expect("it is there");
            unit.remove(3, &key, position, Reason::Command);
        });
        assert_eq!(
            tables.draw(&keyspace.enter(0), true),
            Some((shard_of(b.slot), 3)),
            "not counted again"
        );
        tables.recount();
        assert_eq!(tables.draw(&keyspace.enter(0), true), None);
    }
}
