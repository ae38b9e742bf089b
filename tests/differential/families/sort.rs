//! SORT, on keys of its own: with elements that its comparison never takes for equal, unless a call is
//! compared without their order.

use crate::commands::{Entry, command};
use crate::compare::Rule;

pub const COMMANDS: &[Entry] = &[
    // What is sorted.
    command("rpush", "sort-list sort-element...").weight(6),
    command("sadd", "sort-set sort-element...").weight(6),
    command("zadd", "sort-zset (sort-number sort-element)...").weight(6),
    command("del", "sort-key...").weight(4),
    // What it is sorted by.
    command("set", "sort-weight sort-number").weight(6),
    command("hset", "sort-hash (sort-field sort-number)...").weight(6),
    command(
        "sort",
        "sort-key [BY sort-by] [LIMIT index count] [GET sort-get] [GET sort-get] [ASC|DESC] \
         [STORE sort-list]",
    )
    .orderly()
    .weight(30),
    command(
        "sort",
        "sort-key [LIMIT index count] [GET sort-get] [ASC|DESC] ALPHA [STORE sort-list]",
    )
    .orderly()
    .weight(15),
    command("sort_ro", "sort-key [BY sort-by] [LIMIT index count] [GET sort-get] [ASC|DESC]")
        .orderly(),
    // Lists and sorted sets have an order of their own, sets have none.
    command(
        "sort",
        "sort-sequence [BY sort-by|BY NOSORT] [LIMIT index count] [GET sort-get] [ASC|DESC] \
         [STORE sort-list]",
    )
    .weight(15),
    command("sort_ro", "sort-sequence [BY sort-by] [LIMIT index count] [GET sort-get] [ASC|DESC]"),
    command("sort", "sort-set BY NOSORT [GET sort-get]").rule(Rule::Unordered).orderly(),
    // Elements without a value are equal.
    command("sort_ro", "sort-key BY sort-by ALPHA [ASC|DESC]").rule(Rule::Unordered).orderly(),
    command("object encoding", "sort-list"),
];
