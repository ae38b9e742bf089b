//! Commands on whole databases: DBSIZE, FLUSHDB, FLUSHALL, SWAPDB.

use super::{Categories, Command, CommandError, Cx, Flags, Group, Result, Scope};
use crate::keyspace::SHARDS;
use crate::number::parse_i64;
use crate::resp::{Args, Reply};

const FLUSH_TIPS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

pub const COMMANDS: &[Command] = &[
    Command {
        name: "dbsize",
        arity: 1,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Categories::KEYSPACE,
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        group: Group::Server,
        scope: Scope::EveryShard,
        run: |cx, _, out| {
            let db = cx.caller.db;
            let len = |shard| cx.visit(shard, |shard| shard.table(db).len());
            out.integer((0..SHARDS).map(len).sum::<usize>() as i64);
            Ok(())
        },
        ..Command::DEFAULT
    },
    Command {
        name: "flushdb",
        arity: -1,
        flags: Flags::WRITE,
        acl: Categories::KEYSPACE.union(Categories::DANGEROUS),
        tips: FLUSH_TIPS,
        group: Group::Server,
        scope: Scope::Exclusive,
        run: |cx, args, out| {
            let db = cx.caller.db;
            flush(cx, args, out, Some(db))
        },
        ..Command::DEFAULT
    },
    Command {
        name: "flushall",
        arity: -1,
        flags: Flags::WRITE.union(Flags::ALL_DBS),
        acl: Categories::KEYSPACE.union(Categories::DANGEROUS),
        tips: FLUSH_TIPS,
        group: Group::Server,
        scope: Scope::Exclusive,
        run: |cx, args, out| flush(cx, args, out, None),
        ..Command::DEFAULT
    },
    Command {
        name: "swapdb",
        arity: 3,
        flags: Flags::WRITE.union(Flags::FAST),
        acl: Categories::KEYSPACE.union(Categories::DANGEROUS),
        group: Group::Server,
        databases: Some(|_| vec![1, 2]),
        scope: Scope::Exclusive,
        run: swap,
        ..Command::DEFAULT
    },
];

/// The index of a database, as a client writes it.
pub(super) fn database(cx: &Cx<'_>, text: &[u8]) -> Result<usize> {
    let index = parse_i64(text).ok_or(CommandError::NOT_INTEGER)?;
    let index = i32::try_from(index).map_err(|_| {
        CommandError::of("ERR value is out of range, value must between -2147483648 and 2147483647")
    })?;
    in_range(cx, index)
}

fn in_range(cx: &Cx<'_>, index: i32) -> Result<usize> {
    match usize::try_from(index) {
        Ok(index) if index < cx.server.keyspace.databases() => Ok(index),
        _ => Err("ERR DB index is out of range".into()),
    }
}

/// Empties one database or all. The tables are only taken out here, and freed in the background,
/// after SYNC as well: nobody has a reason to wait for that.
fn flush(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>, db: Option<usize>) -> Result {
    match args.get(1) {
        None => {}
        Some(mode) if args.len() == 2 && is_flush_mode(mode) => {}
        _ => return Err(CommandError::SYNTAX),
    }
    let taken = cx.unit.flush(db);
    cx.unit.changes += taken.iter().map(|table| table.len() as u64).sum::<u64>();
    cx.server.lazy_free.tables(taken);
    out.ok();
    Ok(())
}

fn is_flush_mode(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"sync") || word.eq_ignore_ascii_case(b"async")
}

fn swap(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let index = |text, error: &'static str| {
        parse_i64(text).and_then(|index| i32::try_from(index).ok()).ok_or(CommandError::of(error))
    };
    let first = index(args.at(1), "ERR invalid first DB index")?;
    let second = index(args.at(2), "ERR invalid second DB index")?;
    let (first, second) = (in_range(cx, first)?, in_range(cx, second)?);
    cx.unit.swap(first, second);
    cx.unit.changes += 1;
    out.ok();
    Ok(())
}
