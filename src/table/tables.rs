//! The tables of one shard: one for each database, of which only those that have elements take memory.
//!
//! There are many shards, and a database may have a few keys in each of them, so a table that has become
//! empty is given back. Database 0 is the one that nearly all clients use: its table is always there,
//! and is reached without a step through other memory.

use super::{NoteExpiry, Slot, Table};

/// Tables by the numbers of their databases.
#[repr(C)]
pub struct Tables<E: Slot> {
    first: Table<E>,
    /// Those of other databases, in ascending order.
    others: Vec<(u32, Table<E>)>,
}

impl<E: Slot> Default for Tables<E> {
    fn default() -> Self {
        Tables::new(None)
    }
}

impl<E: Slot> Tables<E> {
    /// No elements in any database. All tables call `note` with their earliest expiry.
    pub fn new(note: Option<NoteExpiry>) -> Tables<E> {
        Tables { first: Table::new(note), others: Vec::new() }
    }

    /// The index in `others` at which the table of database `db`, which is not 0, is or would be.
    fn find(&self, db: usize) -> Result<usize, usize> {
        self.others.binary_search_by_key(&db, |(number, _)| *number as usize)
    }

    /// The table of database `db`. `None` if it has no elements; if there is one it may still be empty.
    #[inline]
    pub fn get(&self, db: usize) -> Option<&Table<E>> {
        if db == 0 { Some(&self.first) } else { Some(&self.others[self.find(db).ok()?].1) }
    }

    /// The table of database `db`, which is made if there is none. After removals from it, or if nothing
    /// is put into it, [`release`](Self::release) is called.
    #[inline]
    pub fn get_mut(&mut self, db: usize) -> &mut Table<E> {
        if db == 0 { &mut self.first } else { self.other_mut(db) }
    }

    #[cold]
    #[inline(never)]
    fn other_mut(&mut self, db: usize) -> &mut Table<E> {
        let at = self.find(db).unwrap_or_else(|at| {
            let number = u32::try_from(db).expect("there are fewer databases");
            self.others.reserve_exact(1);
            self.others.insert(at, (number, self.first.new_alike()));
            at
        });
        &mut self.others[at].1
    }

    /// Gives the table of database `db` back if it is empty.
    #[inline]
    pub fn release(&mut self, db: usize) {
        if db != 0 {
            self.release_other(db);
        }
    }

    fn release_other(&mut self, db: usize) {
        if let Ok(at) = self.find(db)
            && self.others[at].1.is_empty()
        {
            self.others.remove(at);
            self.others.shrink_to_fit();
        }
    }

    /// Takes everything out of database `db`, as a table of its own.
    pub fn take(&mut self, db: usize) -> Table<E> {
        if db == 0 {
            return self.first.take();
        }
        let Ok(at) = self.find(db) else { return self.first.new_alike() };
        let (_, taken) = self.others.remove(at);
        self.others.shrink_to_fit();
        taken
    }

    /// Exchanges two databases.
    pub fn swap(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        let (from_a, from_b) = (self.take(a), self.take(b));
        for (db, table) in [(a, from_b), (b, from_a)] {
            if db == 0 || !table.is_empty() {
                *self.get_mut(db) = table;
            }
        }
    }

    /// The tables and their databases, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Table<E>)> {
        let others = self.others.iter().map(|(db, table)| (*db as usize, table));
        std::iter::once((0, &self.first)).chain(others)
    }

    /// Calls `work` for each table with its database, and gives back those that are empty afterwards.
    pub fn change_each(&mut self, mut work: impl FnMut(usize, &mut Table<E>)) {
        work(0, &mut self.first);
        if !self.others.is_empty() {
            self.others.retain_mut(|(db, table)| {
                work(*db as usize, table);
                !table.is_empty()
            });
            self.others.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::hash;
    use crate::value::Record;

    fn insert(tables: &mut Tables<Record>, db: usize, key: &str) {
        let record = Record::new(key.as_bytes(), None, None);
        tables.get_mut(db).insert(hash(key.as_bytes()), record);
    }

    fn remove(tables: &mut Tables<Record>, db: usize, key: &str) {
        let table = tables.get_mut(db);
        let position = table.find(hash(key.as_bytes()), key.as_bytes()).expect("it is there");
        table.remove(position);
        tables.release(db);
    }

    fn keys(tables: &Tables<Record>) -> Vec<(usize, Vec<String>)> {
        let text = |record: &Record| String::from_utf8(record.key().to_vec()).unwrap();
        tables.iter().map(|(db, table)| (db, table.iter().map(text).collect())).collect()
    }

    #[test]
    fn a_database_that_becomes_empty_gives_all_its_memory_back() {
        let mut tables = Tables::default();
        for db in [9, 3, 12] {
            insert(&mut tables, db, "a");
            insert(&mut tables, db, "b");
        }
        assert_eq!(tables.iter().map(|(db, _)| db).collect::<Vec<_>>(), [0, 3, 9, 12]);
        remove(&mut tables, 9, "a");
        assert_eq!(tables.get(9).map(Table::len), Some(1));
        for (db, key) in [(9, "b"), (3, "a"), (3, "b"), (12, "b"), (12, "a")] {
            remove(&mut tables, db, key);
        }
        assert_eq!(keys(&tables), [(0, vec![])]);
        assert_eq!((tables.others.capacity(), tables.first.allocations()), (0, 0));
        assert!(tables.get(9).is_none());
    }

    #[test]
    fn empty_tables_are_given_back_after_a_change_of_all() {
        let mut tables = Tables::default();
        insert(&mut tables, 1, "a");
        insert(&mut tables, 2, "b");
        tables.change_each(|db, table| {
            if db == 1 {
                *table = table.new_alike();
            }
        });
        assert_eq!(keys(&tables), [(0, vec![]), (2, vec!["b".into()])]);
    }

    #[test]
    fn databases_are_exchanged_whole() {
        let mut tables = Tables::default();
        insert(&mut tables, 0, "zero");
        insert(&mut tables, 5, "five");
        tables.swap(0, 5);
        tables.swap(5, 7);
        tables.swap(3, 4);
        tables.swap(7, 7);
        assert_eq!(keys(&tables), [(0, vec!["five".into()]), (7, vec!["zero".into()])]);
        tables.swap(0, 9);
        assert_eq!(keys(&tables)[0], (0, vec![]));
        assert_eq!((tables.take(9).len(), tables.take(9).len()), (1, 0));
    }
}
