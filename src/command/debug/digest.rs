//! DEBUG DIGEST and DIGEST-VALUE: a dataset, or a value, in 20 bytes. They are the same for the same data,
//! however it is stored and wherever it is, and the same as Valkey's.
//!
//! A digest takes in what has an order by [mixing](Digest::mix), and what has none by
//! [adding](Digest::add).

use sha1::{Digest as _, Sha1};

use crate::command::Cx;
use crate::keyspace::{Key, SHARDS, shard_of};
use crate::number::format_f64_shortest;
use crate::value::hash::HashRef;
use crate::value::list::End;
use crate::value::packed::Element;
use crate::value::set::SetRef;
use crate::value::sorted_set::SortedSetRef;
use crate::value::stream::StreamId;
use crate::value::{Entry, Object, ValueRef};

/// Bytes of a digest.
const LEN: usize = 20;

#[derive(Clone, Copy, Default)]
pub struct Digest([u8; LEN]);

impl Digest {
    /// Takes in something whose place does not matter.
    fn add(&mut self, bytes: &[u8]) {
        let hash = Sha1::digest(bytes);
        self.0.iter_mut().zip(hash).for_each(|(own, byte)| *own ^= byte);
    }

    /// Takes in something that comes after what was taken in before.
    fn mix(&mut self, bytes: &[u8]) {
        self.add(bytes);
        self.0 = Sha1::digest(self.0).into();
    }

    fn mix_element(&mut self, element: Element<'_>) {
        self.mix(element.bytes(&mut itoa::Buffer::new()));
    }

    /// Takes in a value and whether it expires. Fields that have expired at `now` are not part of it.
    fn mix_value(&mut self, entry: &Entry, now: i64) {
        self.mix(&type_number(entry.value()).to_be_bytes());
        match entry.value() {
            ValueRef::Int(number) => self.mix(itoa::Buffer::new().format(number).as_bytes()),
            ValueRef::Bytes(bytes) => self.mix(bytes),
            ValueRef::Object(Object::Str(bytes)) => self.mix(bytes),
            ValueRef::Object(Object::Stream(stream)) => {
                for entry in stream.log.range(StreamId::MIN, StreamId::MAX) {
                    self.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
                    for (field, value) in entry.pairs() {
                        self.mix_element(field);
                        self.mix_element(value);
                    }
                }
            }
            _ => self.mix_collection(entry, now),
        }
        if entry.expiry().is_some() {
            self.add(b"!!expire!!");
        }
    }

    fn mix_collection(&mut self, entry: &Entry, now: i64) {
        if let Ok(list) = entry.list() {
            list.iter(End::Head).for_each(|element| self.mix_element(element));
        } else if let Some(set) = SetRef::new(entry.value()) {
            let mut digits = itoa::Buffer::new();
            set.iter().for_each(|member| self.add(member.bytes(&mut digits)));
        } else if let Some(set) = SortedSetRef::new(entry.value()) {
            for (name, score) in set.unordered() {
                let mut member = Digest::default();
                member.mix_element(name);
                member.mix(&format_f64_shortest(score));
                self.add(&member.0);
            }
        } else if let Some(hash) = HashRef::of(entry) {
            hash.for_each(now, |name, value| {
                let mut field = Digest::default();
                field.mix_element(name);
                field.mix_element(value);
                self.add(&field.0);
            });
        }
    }

    pub fn text(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The number that a digest has for a type.
fn type_number(value: ValueRef<'_>) -> u32 {
    match value.type_name() {
        "string" => 0,
        "list" => 1,
        "set" => 2,
        "zset" => 3,
        "hash" => 4,
        _ => 6,
    }
}

/// The digest of the value under a key of the client's database; of none if there is none. A key that
/// has expired and is not removed yet has its value still.
pub fn of_value(cx: &mut Cx<'_>, key: &Key<'_>) -> Digest {
    let (db, now, mut digest) = (cx.caller.db, cx.now, Digest::default());
    cx.visit(shard_of(key.slot), |shard| {
        let table = shard.table(db);
        if let Some(position) = table.find(key.hash, key.bytes) {
            digest.mix_value(table.get(position), now);
        }
    });
    digest
}

/// The digest of all databases: what has expired and is not removed yet is part of it.
pub fn of_dataset(cx: &mut Cx<'_>) -> Digest {
    let mut all = Digest::default();
    for db in 0..cx.server.keyspace.databases() {
        let entries = of_database(cx, db);
        if let Some(Digest(entries)) = entries {
            all.mix(&(db as u32).to_be_bytes());
            all.0.iter_mut().zip(entries).for_each(|(own, byte)| *own ^= byte);
        }
    }
    all
}

/// The entries of one database, each in no order; `None` if there are none.
fn of_database(cx: &mut Cx<'_>, db: usize) -> Option<Digest> {
    let (now, mut digest, mut is_empty) = (cx.now, Digest::default(), true);
    for shard in 0..SHARDS {
        cx.visit(shard, |shard| {
            for entry in shard.table(db).iter() {
                let mut one = Digest::default();
                one.mix(entry.key());
                one.mix_value(entry, now);
                digest.add(&one.0);
                is_empty = false;
            }
        });
    }
    (!is_empty).then_some(digest)
}
