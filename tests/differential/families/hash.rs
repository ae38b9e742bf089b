//! Hashes.

use crate::commands::{Entry, command};
use crate::compare::Rule;

pub const COMMANDS: &[Entry] = &[
    command("hdel", "key field..."),
    command("hexists", "key field"),
    command("hexpire", "key seconds [NX|XX|GT|LT] FIELDS numfields field..."),
    command("hexpireat", "key unix-seconds [NX|XX|GT|LT] FIELDS numfields field..."),
    command("hexpiretime", "key FIELDS numfields field...").rule(Rule::NearEach(5)),
    command("hget", "key field"),
    command("hgetall", "key").rule(Rule::UnorderedPairs),
    command("hgetdel", "key FIELDS numfields field..."),
    command(
        "hgetex",
        "key [EX seconds|PX milliseconds|EXAT unix-seconds|PXAT unix-milliseconds|PERSIST] \
         FIELDS numfields field...",
    ),
    command("hincrby", "key field integer"),
    command("hincrbyfloat", "key field float"),
    command("hkeys", "key").rule(Rule::Unordered),
    command("hlen", "key"),
    command("hmget", "key field..."),
    command("hmset", "key (field field-value)..."),
    command("hpersist", "key FIELDS numfields field..."),
    command("hpexpire", "key milliseconds [NX|XX|GT|LT] FIELDS numfields field..."),
    command("hpexpireat", "key unix-milliseconds [NX|XX|GT|LT] FIELDS numfields field..."),
    command("hpexpiretime", "key FIELDS numfields field...").rule(Rule::NearEach(5000)),
    command("hpttl", "key FIELDS numfields field...").rule(Rule::NearEach(5000)),
    // A count below zero is a reply of that length.
    command("hrandfield", "key [draws [WITHVALUES]]").rule(Rule::Shape).orderly(),
    command("hscan", "key cursor [MATCH pattern] [COUNT count] [NOVALUES]").rule(Rule::Scan),
    command("hset", "key (field field-value)...").weight(60),
    command(
        "hsetex",
        "key [NX|XX] [FNX|FXX] \
         [EX seconds|PX milliseconds|EXAT unix-seconds|PXAT unix-milliseconds|KEEPTTL] \
         FIELDS numfields (field field-value)...",
    ),
    command("hsetnx", "key field field-value"),
    command("hstrlen", "key field"),
    command("httl", "key FIELDS numfields field...").rule(Rule::NearEach(5)),
    command("hvals", "key").rule(Rule::Unordered),
];
