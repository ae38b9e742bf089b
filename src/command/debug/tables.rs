//! DEBUG HTSTATS and HTSTATS-KEY: how full hash tables are.
//!
//! A database is a table per shard, which are summed up. A table grows and shrinks by one bucket at a
//! time, so it is never being rehashed.

use std::fmt::Write;

use crate::command::{CommandError, Cx, Result};
use crate::keyspace::{Key, SHARDS, Table};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::table::SLOTS;
use crate::value::{Entry, Object, ValueRef};

/// DEBUG STRUCTSIZE: bytes of the structures that data consists of.
pub fn sizes() -> String {
    let (bits, entry, object) = (usize::BITS, size_of::<Entry>(), size_of::<Object>());
    format!("bits:{bits} entry:{entry} object:{object} table:{} ", size_of::<Table>())
}

/// What is said of one table, or of several together.
#[derive(Default)]
struct Stats {
    entries: usize,
    /// Buckets by the length of their chains.
    chains: Vec<usize>,
}

impl Stats {
    fn add(&mut self, entries: usize, chains: Vec<usize>) {
        self.entries += entries;
        self.chains.resize(self.chains.len().max(chains.len()), 0);
        self.chains.iter_mut().zip(chains).for_each(|(sum, count)| *sum += count);
    }

    /// In the words of Valkey; `full` adds the chains.
    fn text(&self, full: bool) -> String {
        let top_level: usize = self.chains.iter().sum();
        let child: usize = self.chains.iter().enumerate().map(|(len, count)| len * count).sum();
        let size = (top_level + child) * SLOTS;
        let mut text = format!(
            "Hash table 0 stats (main hash table):\n table size: {size}\n number of entries: {}\n \
             rehashing index: -1\n",
            self.entries
        );
        if full && top_level > 0 {
            let longest = self.chains.iter().rposition(|count| *count > 0).unwrap_or(0);
            let average = child as f64 / top_level as f64;
            let _ = write!(
                text,
                " top-level buckets: {top_level}\n child buckets: {child}\n max chain length: \
                 {longest}\n avg chain length: {average:.6}\n chain length distribution:\n"
            );
            for (len, count) in self.chains.iter().enumerate().filter(|(_, count)| **count > 0) {
                let percent = *count as f64 * 100.0 / top_level as f64;
                let _ = writeln!(text, "   {len}: {count} ({percent:.2}%)");
            }
        }
        text
    }
}

fn is_full(args: Args<'_>) -> bool {
    args.get(3).is_some_and(|word| word.eq_ignore_ascii_case(b"full"))
}

/// DEBUG HTSTATS dbid [full]
pub fn of_database(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let db = parse_i64(&args[2]).ok_or(CommandError::NOT_INTEGER)?;
    let db = usize::try_from(db).ok().filter(|db| *db < cx.server.keyspace.databases());
    let db = db.ok_or(CommandError::of("ERR Out of range database"))?;
    let (mut all, mut volatile) = (Stats::default(), 0);
    for shard in 0..SHARDS {
        cx.visit(shard, |shard| {
            let table: &Table = shard.table(db);
            all.add(table.len(), table.chains());
            volatile += table.volatile();
        });
    }
    let mut text = "[Dictionary HT]\n".to_owned();
    if all.entries > 0 {
        text.push_str(&all.text(is_full(args)));
    }
    text.push_str("[Expires HT]\n");
    if all.entries > 0 {
        // Expiries stand in the entries; there is no table of them.
        text.push_str(&Stats { entries: volatile, chains: Vec::new() }.text(false));
    }
    out.verbatim(text.as_bytes());
    Ok(())
}

/// DEBUG HTSTATS-KEY key [full]
pub fn of_key(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let entry = cx.inspect(&Key::new(args.at(2))).ok_or(CommandError::NO_SUCH_KEY)?;
    let stats = collection(entry).ok_or(CommandError::of(
        "ERR The value stored at the specified key is not represented using an hash table",
    ))?;
    out.verbatim(stats.text(is_full(args)).as_bytes());
    Ok(())
}

fn collection(entry: &Entry) -> Option<Stats> {
    let mut stats = Stats::default();
    match entry.value() {
        ValueRef::Object(Object::Hash(hash)) => stats.add(hash.len(), hash.chains()),
        ValueRef::Object(Object::Set(set)) => stats.add(set.len(), set.chains()),
        ValueRef::Object(Object::SortedSet(set)) => stats.add(set.len(), set.chains()),
        _ => return None,
    }
    Some(stats)
}
