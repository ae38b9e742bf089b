//! The comparison of two servers' data, entry by entry, whether or not it has expired.

use verbena::keyspace::{Key, Listeners, SHARDS, Section, Shard};
use verbena::rdb::{self, Writer};
use verbena::state::unix_milliseconds;
use verbena::value::hash::HashRef;
use verbena::value::list::End;
use verbena::value::packed::Element;
use verbena::value::set::SetRef;
use verbena::value::sorted_set::SortedSetRef;
use verbena::value::stream::{Group, Stream, StreamId};
use verbena::value::{Entry, Object, ValueRef};

use crate::follower::Follower;

/// Differences that are told; more would say nothing new.
const MOST: usize = 20;

/// Bytes of a difference that are told.
const LONG: usize = 2000;

#[derive(Default)]
pub struct Report {
    /// Records that were replayed since the server has started.
    pub records: u64,
    pub keys: usize,
    pub differences: Vec<String>,
}

/// Compares the two servers while nothing changes, when everything recorded so far was replayed.
pub fn compare(follower: &Follower) -> Report {
    let now = unix_milliseconds();
    let Follower { primary, copy, .. } = follower;
    let exclusive = |server: &'static verbena::state::Server| {
        server.keyspace.exclusive(Section::default(), now, Listeners::NONE)
    };
    let mut primary_unit = exclusive(primary);
    let (records, failures) = follower.wait_for(primary.keyspace.journal.sequence());
    let mut copy_unit = exclusive(copy);
    let mut report = Report { records, differences: failures, ..Report::default() };
    for shard in 0..SHARDS {
        primary_unit.visit(shard, |ours| {
            copy_unit.visit(shard, |copied| compare_shards(ours, copied, &mut report));
        });
    }
    report.differences.truncate(MOST);
    report
}

fn compare_shards(ours: &Shard, copied: &Shard, report: &mut Report) {
    for (db, table) in ours.tables() {
        for entry in table.iter() {
            report.keys += 1;
            let copy = find(copied, db, entry);
            let difference = match copy {
                None => Some(format!("missing: {}", describe(entry))),
                Some(copy) => difference(entry, copy),
            };
            report.differences.extend(difference.map(|text| of_key(db, entry, text)));
        }
    }
    for (db, table) in copied.tables() {
        for entry in table.iter().filter(|entry| find(ours, db, entry).is_none()) {
            let text = format!("extra: {}", describe(entry));
            report.differences.push(of_key(db, entry, text));
        }
    }
}

fn of_key(db: usize, entry: &Entry, mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONG));
    format!("{text}: key {:?} of database {db}", String::from_utf8_lossy(entry.key()))
}

fn find<'a>(shard: &'a Shard, db: usize, entry: &Entry) -> Option<&'a Entry> {
    let key = Key::new(entry.key());
    let table = shard.table(db);
    table.find(key.hash, key.bytes).map(|position| table.get(position))
}

/// How the copy of an entry differs.
fn difference(entry: &Entry, copy: &Entry) -> Option<String> {
    let kinds = (entry.value().type_name(), copy.value().type_name());
    if kinds.0 != kinds.1 {
        return Some(format!("type: {} became {}", describe(entry), describe(copy)));
    }
    if entry.expiry() != copy.expiry() {
        return Some(format!("expiry: {:?} became {:?}", entry.expiry(), copy.expiry()));
    }
    // The same bytes are the same value; others may be the same in another order or encoding.
    if dump(entry) == dump(copy) {
        return None;
    }
    let (content, copied) = (content(entry), content(copy));
    let same = content.iter().zip(&copied).take_while(|(a, b)| a == b).count();
    if same == content.len() && same == copied.len() {
        return None;
    }
    let line = |lines: &[String]| lines.get(same).cloned().unwrap_or_else(|| "nothing".into());
    Some(format!("{}: {} became {}", kinds.0, line(&content), line(&copied)))
}

fn dump(entry: &Entry) -> Vec<u8> {
    let mut out = Writer::new(false);
    rdb::save(entry, &mut out);
    out.into_bytes()
}

fn describe(entry: &Entry) -> String {
    format!("a {} {:?}", entry.value().type_name(), content(entry))
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn word(element: Element<'_>) -> String {
    text(element.bytes(&mut itoa::Buffer::new()))
}

/// What a value holds, a line for each element; in an order of its own where elements have none.
fn content(entry: &Entry) -> Vec<String> {
    if let Ok(string) = entry.string(&mut itoa::Buffer::new()) {
        return vec![text(string)];
    }
    if let Ok(list) = entry.list() {
        return list.iter(End::Head).map(word).collect();
    }
    if let ValueRef::Object(Object::Stream(stream)) = entry.value() {
        return of_stream(stream);
    }
    if let Some(set) = SortedSetRef::new(entry.value()) {
        // A packed sorted set has no negative zero, and the two need not be encoded alike.
        let line = |(member, score)| format!("{:?} {}", score + 0.0, word(member));
        return set.iter(0..set.len()).map(line).collect();
    }
    let mut lines: Vec<String> = Vec::new();
    if let Some(hash) = HashRef::of(entry) {
        // At the beginning of time, nothing has expired.
        let fields = |field: Element<'_>, value: Element<'_>| {
            let name = field.bytes(&mut itoa::Buffer::new()).to_vec();
            let expiry = hash.expiry(&name, i64::MIN).flatten();
            lines.push(format!("{} {} {expiry:?}", text(&name), word(value)));
        };
        hash.for_each(i64::MIN, fields);
    } else if let Some(set) = SetRef::new(entry.value()) {
        lines.extend(set.iter().map(word));
    }
    lines.sort_unstable();
    lines
}

fn of_stream(stream: &Stream) -> Vec<String> {
    let log = &stream.log;
    let mut lines = vec![format!(
        "length {} last {:?} first {:?} deleted {:?} added {}",
        log.len(),
        log.last_id,
        log.first_id(),
        log.max_deleted_id,
        log.entries_added
    )];
    for entry in log.range(StreamId::MIN, StreamId::MAX) {
        let pairs: Vec<_> = entry.pairs().map(|(name, value)| (word(name), word(value))).collect();
        lines.push(format!("{:?} {pairs:?}", entry.id));
    }
    for (name, group) in &stream.groups {
        lines.extend(of_group(name, group));
    }
    lines
}

/// A group's state. When its consumers were last seen is no part of what is recorded.
fn of_group(name: &[u8], group: &Group) -> Vec<String> {
    let mut lines = vec![format!(
        "group {} delivered {:?} read {:?}",
        text(name),
        group.last_delivered,
        group.entries_read
    )];
    for consumer in group.consumers() {
        lines.push(format!("consumer {} {:?}", text(&consumer.name), consumer.pending()));
    }
    for (id, pending) in group.pending() {
        let consumer = text(&group.consumer(pending.consumer).name);
        let (delivered, deliveries) = (pending.delivered, pending.deliveries);
        lines.push(format!("pending {id:?} of {consumer} at {delivered} {deliveries} times"));
    }
    lines
}
