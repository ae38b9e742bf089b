//! Lists.

use crate::commands::{Entry, command};
use crate::compare::Rule;

pub const COMMANDS: &[Entry] = &[
    command("blmove", "key key LEFT|RIGHT LEFT|RIGHT timeout")
        .weight(3)
        .orderly()
        .rule(Rule::Waits),
    command("blmpop", "timeout numkeys key... LEFT|RIGHT [COUNT count]")
        .weight(3)
        .orderly()
        .rule(Rule::Waits),
    command("blpop", "key... timeout").weight(3).orderly().rule(Rule::Waits),
    command("brpop", "key... timeout").weight(3).orderly().rule(Rule::Waits),
    command("brpoplpush", "key key timeout").weight(3).orderly().rule(Rule::Waits),
    command("lindex", "key index"),
    command("linsert", "key BEFORE|AFTER value value").weight(20),
    command("llen", "key"),
    command("lmove", "key key LEFT|RIGHT LEFT|RIGHT").weight(20),
    command("lmpop", "numkeys key... LEFT|RIGHT [COUNT count]"),
    command("lpop", "key [count]"),
    command("lpos", "key value [RANK index] [COUNT count] [MAXLEN count]"),
    command("lpush", "key value...").weight(30),
    command("lpushx", "key value..."),
    command("lrange", "key index index").weight(20),
    command("lrem", "key index value"),
    command("lset", "key index value"),
    command("ltrim", "key index index"),
    command("rpop", "key [count]"),
    command("rpoplpush", "key key"),
    command("rpush", "key value...").weight(30),
    command("rpushx", "key value..."),
];
