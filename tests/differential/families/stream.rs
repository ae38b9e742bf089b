//! Streams.
//!
//! `*` is no id here: what it stands for differs between the servers. Nobody waits, either: BLOCK is
//! called only with times that are refused.

use crate::commands::{Entry, command};
use crate::compare::Rule;

pub const COMMANDS: &[Entry] = &[
    command("xack", "stream group entry-id..."),
    command(
        "xadd",
        "stream [NOMKSTREAM] [(MAXLEN [=|~] length|MINID [=|~] entry-id) [LIMIT length]] new-id \
         (field-name value)...",
    )
    .weight(60),
    command("xautoclaim", "stream group consumer min-idle bound [COUNT length] [JUSTID]"),
    command(
        "xclaim",
        "stream group consumer min-idle entry-id... [IDLE idle] [TIME unix-milliseconds] \
         [RETRYCOUNT length] [FORCE] [JUSTID] [LASTID entry-id]",
    )
    .weight(20),
    command("xdel", "stream entry-id...").weight(20),
    command("xgroup create", "stream group bound|$ [MKSTREAM] [ENTRIESREAD length]").weight(20),
    command("xgroup createconsumer", "stream group consumer"),
    command("xgroup delconsumer", "stream group consumer").weight(4),
    command("xgroup destroy", "stream group").weight(2),
    command("xgroup help", "").weight(1),
    command("xgroup setid", "stream group bound|$ [ENTRIESREAD length]"),
    command("xinfo consumers", "stream group").rule(Rule::Times),
    command("xinfo groups", "stream").weight(20),
    command("xinfo help", "").weight(1),
    command("xinfo stream", "stream [FULL [COUNT length]]").rule(Rule::Times).weight(30),
    command("xlen", "stream"),
    command(
        "xpending",
        "stream group [[IDLE min-idle] (bound bound length|bound bound length consumer)]",
    )
    .rule(Rule::Times)
    .weight(20),
    command("xrange", "stream bound bound [COUNT length]").weight(20),
    command("xread", "[COUNT length] STREAMS (stream read-id|stream stream read-id read-id)")
        .weight(20),
    command("xread", "BLOCK bad-timeout STREAMS stream read-id").orderly().weight(2),
    command(
        "xreadgroup",
        "GROUP group consumer [COUNT length] [NOACK] \
         STREAMS (stream read-id|stream stream read-id read-id)",
    )
    .weight(40),
    command("xreadgroup", "BLOCK bad-timeout GROUP group consumer STREAMS stream read-id")
        .orderly()
        .weight(2),
    command("xrevrange", "stream bound bound [COUNT length]").weight(20),
    command("xsetid", "stream entry-id [ENTRIESADDED length] [MAXDELETEDID entry-id]").weight(3),
    command("xtrim", "stream (MAXLEN [=|~] length|MINID [=|~] entry-id) [LIMIT length]"),
];
