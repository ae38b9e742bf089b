//! Sorted sets.

use crate::commands::{Entry, command};
use crate::compare::Rule;

pub const COMMANDS: &[Entry] = &[
    // In disorder, one might wait for ever.
    command("bzmpop", "timeout numkeys zset... (MIN|MAX) [COUNT count]")
        .orderly()
        .rule(Rule::Waits)
        .weight(3),
    command("bzpopmax", "zset... timeout").orderly().rule(Rule::Waits).weight(3),
    command("bzpopmin", "zset... timeout").orderly().rule(Rule::Waits).weight(3),
    command("object encoding", "zset").weight(30),
    command("object encoding", "lex-set").weight(10),
    command("zadd", "zset [NX|XX] [GT|LT] [CH] (score zset-member)...").weight(80),
    command("zadd", "zset [NX|XX] [GT|LT] [CH] INCR score zset-member").weight(10),
    command("zadd", "lex-set (lex-score lex-member)...").orderly().weight(20),
    command("zcard", "zset"),
    command("zcount", "zset score-bound score-bound"),
    command("zdiff", "numkeys zset... [WITHSCORES]"),
    command("zdiff", "numkeys (zset|set-key)... [WITHSCORES]"),
    command("zdiffstore", "zset-target numkeys (zset|set-key)..."),
    command("zincrby", "zset score zset-member"),
    command(
        "zinter",
        "numkeys (zset|set-key)... [WEIGHTS weight...] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]",
    ),
    command(
        "zinter",
        "two (zset|set-key) (zset|set-key) [WEIGHTS weight weight] [AGGREGATE (SUM|MIN|MAX)] \
         [WITHSCORES]",
    )
    .weight(15),
    command("zintercard", "numkeys (zset|set-key)... [LIMIT count]"),
    command(
        "zinterstore",
        "zset-target two zset (zset|set-key) [WEIGHTS weight weight] [AGGREGATE (SUM|MIN|MAX)]",
    )
    .weight(15),
    command("zlexcount", "lex-set lex-bound lex-bound"),
    command("zmpop", "numkeys zset... (MIN|MAX) [COUNT count]"),
    command("zmscore", "zset zset-member..."),
    command("zpopmax", "zset [draws]").weight(5),
    command("zpopmin", "zset [draws]").weight(5),
    // A count below zero is a reply of that length.
    command("zrandmember", "zset [draws [WITHSCORES]]").rule(Rule::Shape).orderly(),
    command("zrange", "zset index index [REV] [WITHSCORES]").weight(15),
    command("zrange", "zset index index [REV] [WITHSCORES] [LIMIT index index]").weight(3),
    command(
        "zrange",
        "zset score-bound score-bound BYSCORE [REV] [WITHSCORES] [LIMIT index index]",
    )
    .weight(15),
    command("zrange", "lex-set lex-bound lex-bound BYLEX [REV] [LIMIT index index] [WITHSCORES]"),
    command("zrangebylex", "lex-set lex-bound lex-bound [LIMIT index index]"),
    command("zrangebyscore", "zset score-bound score-bound [WITHSCORES] [LIMIT index index]"),
    command("zrangestore", "zset-target zset index index [REV]"),
    command(
        "zrangestore",
        "zset-target zset score-bound score-bound BYSCORE [REV] [LIMIT index index]",
    ),
    command(
        "zrangestore",
        "zset-target lex-set lex-bound lex-bound BYLEX [REV] [LIMIT index index]",
    ),
    command("zrank", "zset zset-member [WITHSCORE]"),
    command("zrem", "zset zset-member...").weight(20),
    command("zrem", "lex-set lex-member..."),
    command("zremrangebylex", "lex-set lex-bound lex-bound").weight(4),
    command("zremrangebyrank", "zset index index").weight(4),
    command("zremrangebyscore", "zset score-bound score-bound").weight(4),
    command("zrevrange", "zset index index [WITHSCORES]"),
    command("zrevrangebylex", "lex-set lex-bound lex-bound [LIMIT index index]"),
    command("zrevrangebyscore", "zset score-bound score-bound [WITHSCORES] [LIMIT index index]"),
    command("zrevrank", "zset zset-member [WITHSCORE]"),
    command("zscan", "zset cursor [MATCH pattern] [COUNT count] [NOSCORES]").rule(Rule::Scan),
    command("zscore", "zset zset-member"),
    command(
        "zunion",
        "numkeys (zset|set-key)... [WEIGHTS weight...] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]",
    ),
    command("zunion", "numkeys zset... [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]").weight(15),
    command(
        "zunionstore",
        "zset-target two zset (zset|set-key) [WEIGHTS weight weight] [AGGREGATE (SUM|MIN|MAX)]",
    )
    .weight(15),
];
