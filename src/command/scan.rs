//! Commands that look for keys: SCAN, KEYS, RANDOMKEY.

use super::{Categories, Command, CommandError, Cx, Flags, Result, Scope};
use crate::glob;
use crate::keyspace::{Key, Presence, SHARDS, shard_of, slot};
use crate::number::{parse_i64, parse_u64_loosely};
use crate::random;
use crate::resp::{Args, Reply};
use crate::value::{Entry, TYPE_NAMES};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "scan",
        arity: -2,
        flags: Flags::READONLY,
        acl: Categories::KEYSPACE,
        tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        scope: Scope::Shards,
        run: scan,
        ..Command::DEFAULT
    },
    Command {
        name: "keys",
        arity: 2,
        flags: Flags::READONLY,
        acl: Categories::KEYSPACE.union(Categories::DANGEROUS),
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        scope: Scope::Exclusive,
        run: keys,
        ..Command::DEFAULT
    },
    Command {
        name: "randomkey",
        arity: 1,
        flags: Flags::READONLY,
        acl: Categories::KEYSPACE,
        tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
        scope: Scope::Shards,
        run: random_key,
        ..Command::DEFAULT
    },
];

/// What is scanned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scanned {
    Keys,
    Hash,
    Set,
    SortedSet,
}

/// What SCAN and its kin for collections take after the cursor.
pub(super) struct ScanOptions<'a> {
    pub pattern: Option<&'a [u8]>,
    /// Elements to visit, about.
    pub count: usize,
    pub type_name: Option<&'static str>,
    /// Fields without their values, members without their scores.
    pub names_only: bool,
}

impl<'a> ScanOptions<'a> {
    /// Reads the options of the command that scans `scanned`.
    pub fn parse(args: Args<'a>, scanned: Scanned) -> Result<ScanOptions<'a>> {
        let mut options =
            ScanOptions { pattern: None, count: 10, type_name: None, names_only: false };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(CommandError::SYNTAX);
            match word.to_ascii_lowercase().as_slice() {
                b"count" => {
                    let count = parse_i64(value()?).ok_or(CommandError::NOT_INTEGER)?;
                    if count < 1 {
                        return Err(CommandError::SYNTAX);
                    }
                    options.count = count as usize;
                }
                b"match" => options.pattern = Some(value()?).filter(|pattern| *pattern != b"*"),
                b"type" if scanned == Scanned::Keys => {
                    options.type_name = Some(type_name(value()?)?);
                }
                b"novalues" if scanned == Scanned::Hash => options.names_only = true,
                b"novalues" => {
                    return Err("ERR NOVALUES option can only be used in HSCAN".into());
                }
                b"noscores" if scanned == Scanned::SortedSet => options.names_only = true,
                b"noscores" => {
                    return Err("ERR NOSCORES option can only be used in ZSCAN".into());
                }
                _ => return Err(CommandError::SYNTAX),
            }
        }
        Ok(options)
    }

    fn admit(&self, entry: &Entry) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, entry.key()))
            && self.type_name.is_none_or(|name| entry.value().type_name() == name)
    }
}

fn type_name(word: &[u8]) -> Result<&'static str> {
    // The name ends at a zero byte, as it does for Valkey.
    let word = word.split(|byte| *byte == 0).next().unwrap_or_default();
    let known = TYPE_NAMES.iter().find(|name| word.eq_ignore_ascii_case(name.as_bytes()));
    known.copied().ok_or_else(|| CommandError::quoting("ERR unknown type name '", word, "'"))
}

/// Reads a cursor, which may have blanks and a sign before it.
pub(super) fn parse_cursor(text: &[u8]) -> Result<u64> {
    parse_u64_loosely(text).ok_or(CommandError::of("ERR invalid cursor"))
}

/// Keys or members that were found, one after the other in one piece of memory.
#[derive(Default)]
pub(super) struct Found {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Found {
    pub fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    pub fn reply(&self, out: &mut Reply<'_>) {
        out.array(self.ends.len());
        let mut start = 0;
        for &end in &self.ends {
            out.bulk(&self.bytes[start..end]);
            start = end;
        }
    }
}

/// The only shard that can have a key that matches: a pattern without anything special, or one that
/// begins with a whole hash tag, names it.
fn only_shard(pattern: &[u8]) -> Option<usize> {
    let prefix = glob::literal_prefix(pattern);
    let has_tag = || {
        let open = prefix.iter().position(|byte| *byte == b'{')?;
        let len = prefix[open + 1..].iter().position(|byte| *byte == b'}')?;
        (len > 0).then_some(())
    };
    if prefix.len() == pattern.len() || has_tag().is_some() {
        Some(shard_of(slot(prefix)))
    } else {
        None
    }
}

/// How far a scan has come: in which shard, and where in the order of the shard's hashes.
///
/// Nothing else is remembered between two calls, and neither of the two changes its meaning when a
/// table grows or shrinks, so every key that is there from the first call to the last is returned.
/// Shards are visited in ascending order; a cursor has 42 bits, and 0 is the beginning and the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    shard: usize,
    position: u32,
}

impl Cursor {
    /// Any number is some cursor.
    fn from_number(number: u64) -> Cursor {
        let shards = SHARDS as u64;
        Cursor { shard: (number % shards) as usize, position: (number / shards) as u32 }
    }

    fn number(self) -> u64 {
        u64::from(self.position) * SHARDS as u64 + self.shard as u64
    }
}

fn scan(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let cursor = Cursor::from_number(parse_cursor(args.at(1))?);
    let options = ScanOptions::parse(args.from(2), Scanned::Keys)?;
    let mut found = Found::default();
    let next = walk(cx, cursor, &options, &mut found);
    out.array(2);
    out.bulk_integer(next.map_or(0, |cursor| cursor.number() as i64));
    found.reply(out);
    Ok(())
}

/// Visits buckets from `cursor` on until there were as many entries as asked for; `None` is the end.
fn walk(
    cx: &mut Cx<'_>,
    cursor: Cursor,
    options: &ScanOptions<'_>,
    found: &mut Found,
) -> Option<Cursor> {
    let (db, now) = (cx.caller.db, cx.now);
    let may_expire = cx.may_expire();
    let only = options.pattern.and_then(only_shard);
    let mut cursor = match only {
        Some(shard) if cursor.shard < shard => Cursor { shard, position: 0 },
        Some(shard) if cursor.shard > shard => return None,
        _ => cursor,
    };
    let mut entries = 0;
    // Buckets may be empty: Valkey visits ten times the count at the most.
    let mut buckets = options.count.saturating_mul(10);
    loop {
        let (next, expired) = cx.visit(cursor.shard, |shard| {
            if shard.table(db).is_empty() {
                return (None, Vec::new());
            }
            let table = shard.table(db);
            let mut next = Some(cursor.position);
            let mut expired = Vec::new();
            while let Some(position) = next
                && entries < options.count
                && buckets > 0
            {
                buckets -= 1;
                next = table.scan(position, |entry| {
                    entries += 1;
                    if options.admit(entry) {
                        if entry.expiry().is_none_or(|at| at > now) {
                            found.push(entry.key());
                        } else if may_expire {
                            expired.push(entry.key().to_vec());
                        }
                    }
                });
            }
            (next, expired)
        });
        expired.iter().for_each(|key| remove_expired(cx, key));
        cursor = match next {
            Some(position) => return Some(Cursor { position, ..cursor }),
            None if only.is_some() => return None,
            None => Cursor { shard: cursor.shard + 1, position: 0 },
        };
        if cursor.shard == SHARDS {
            return None;
        }
    }
}

/// Removes a key that was seen to have expired.
fn remove_expired(cx: &mut Cx<'_>, key: &[u8]) {
    let (db, key) = (cx.caller.db, Key::new(key));
    if cx.unit.presence(db, &key) == Presence::Expired
        && let Some(position) = cx.unit.find(db, &key)
    {
        cx.expire(db, &key, position);
    }
}

fn keys(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (db, now) = (cx.caller.db, cx.now);
    let pattern = args.at(1);
    let everything = pattern == b"*";
    let shards = only_shard(pattern).map_or(0..SHARDS, |shard| shard..shard + 1);
    let mut found = Found::default();
    for shard in shards {
        cx.visit(shard, |shard| {
            for entry in shard.table(db).iter() {
                if (everything || glob::matches(pattern, entry.key()))
                    && entry.expiry().is_none_or(|at| at > now)
                {
                    found.push(entry.key());
                }
            }
        });
    }
    found.reply(out);
    Ok(())
}

/// Draws at this number of keys that have expired, RANDOMKEY looks for any key that has not.
const DRAWS: usize = 100;

fn random_key(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    match draw(cx).or_else(|| first_alive(cx)) {
        Some(key) => out.bulk(&key),
        None => out.null(),
    }
    Ok(())
}

/// Draws a key, each with the same chance. Those that turn out to have expired are removed.
fn draw(cx: &mut Cx<'_>) -> Option<Vec<u8>> {
    let (db, now) = (cx.caller.db, cx.now);
    let may_expire = cx.may_expire();
    let mut lens: Vec<u64> =
        (0..SHARDS).map(|shard| cx.visit(shard, |shard| shard.table(db).len() as u64)).collect();
    for _ in 0..DRAWS {
        let total: u64 = lens.iter().sum();
        if total == 0 {
            return None;
        }
        let mut rank = random::below(total);
        let shard = lens.iter().position(|len| {
            let here = rank < *len;
            if !here {
                rank -= len;
            }
            here
        })?;
        let (drawn, len) = cx.visit(shard, |shard| {
            let table = shard.table(db);
            let drawn = table.random(random::next).map(|position| {
                let entry = table.get(position);
                (entry.key().to_vec(), entry.expiry().is_some_and(|at| at <= now))
            });
            (drawn, shard.table(db).len() as u64)
        });
        lens[shard] = len;
        match drawn {
            Some((key, false)) => return Some(key),
            Some((key, true)) if may_expire => {
                remove_expired(cx, &key);
                lens[shard] -= 1;
            }
            Some(_) | None => {}
        }
    }
    None
}

/// Any key that has not expired, looked for from a random shard on.
fn first_alive(cx: &mut Cx<'_>) -> Option<Vec<u8>> {
    let (db, now) = (cx.caller.db, cx.now);
    let start = random::below(SHARDS as u64) as usize;
    (start..SHARDS).chain(0..start).find_map(|shard| {
        cx.visit(shard, |shard| {
            let mut entries = shard.table(db).iter();
            let alive = entries.find(|entry| entry.expiry().is_none_or(|at| at > now));
            alive.map(|entry| entry.key().to_vec())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_number_and_back() {
        for cursor in [
            Cursor { shard: 0, position: 0 },
            Cursor { shard: SHARDS - 1, position: 0 },
            Cursor { shard: 5, position: u32::MAX },
        ] {
            assert_eq!(Cursor::from_number(cursor.number()), cursor);
            assert!(cursor.number() < 1 << 53, "it passes through a double unharmed");
        }
        assert_eq!(Cursor::from_number(0).number(), 0);
        Cursor::from_number(u64::MAX);
    }

    #[test]
    fn a_pattern_with_a_whole_hash_tag_names_its_shard() {
        for (pattern, key) in [
            ("{user1}*", "{user1}:a"),
            ("a{b}c?", "a{b}cd"),
            ("plain", "plain"),
            ("{}*", ""),
            ("{a*}", ""),
            ("a*{b}", ""),
            ("\\{a}*", ""),
            ("", ""),
        ] {
            let expected = match key {
                "" if pattern.is_empty() => Some(shard_of(slot(b""))),
                "" => None,
                key => Some(shard_of(slot(key.as_bytes()))),
            };
            assert_eq!(only_shard(pattern.as_bytes()), expected, "{pattern}");
        }
    }

    #[test]
    fn cursors_are_read_as_c_reads_numbers() {
        for (text, cursor) in [
            ("0", 0),
            ("18446744073709551615", u64::MAX),
            (" 0", 0),
            ("\t\n\x0b\x0c\r +7", 7),
            (" -1", u64::MAX),
            ("-0", 0),
            ("007", 7),
            ("-18446744073709551615", 1),
            ("5\0x", 5),
        ] {
            assert_eq!(parse_cursor(text.as_bytes()), Ok(cursor), "{text:?}");
        }
        for text in ["", " ", "-1", "+", "-", "++0", "0x0", "0 ", "18446744073709551616", "\0", "a"]
        {
            assert!(parse_cursor(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
