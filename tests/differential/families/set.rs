//! Sets.

use crate::commands::{Entry, command};
use crate::compare::Rule;

pub const COMMANDS: &[Entry] = &[
    command("sadd", "set-key set-member...").weight(50),
    command("scard", "set-key"),
    command("sdiff", "set-key...").rule(Rule::Unordered).weight(15),
    command("sdiffstore", "set-key set-key...").weight(15),
    command("sinter", "set-key...").rule(Rule::Unordered).weight(15),
    command("sintercard", "numkeys set-key... [LIMIT count]"),
    command("sinterstore", "set-key set-key...").weight(15),
    command("sismember", "set-key set-member"),
    command("smembers", "set-key").rule(Rule::Unordered),
    command("smismember", "set-key set-member..."),
    command("smove", "set-key set-key set-member").weight(15),
    command("spop", "set-key [draws]").rule(Rule::Popped),
    // A count below zero is a reply of that length.
    command("srandmember", "set-key [draws]").rule(Rule::Drawn).orderly(),
    command("srem", "set-key set-member...").weight(20),
    command("sscan", "set-key cursor [MATCH pattern] [COUNT count]").rule(Rule::Scan).weight(5),
    command("sunion", "set-key...").rule(Rule::Unordered).weight(15),
    command("sunionstore", "set-key set-key...").weight(15),
    command("object encoding", "set-key").weight(30),
];
