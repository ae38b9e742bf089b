//! The commands that are compared: one entry each.

use crate::compare::Rule;
use crate::families::{
    bitmap, dump, geo, hash, hyperloglog, list, script, set, sort, sorted_set, stream,
};

/// One command, how it is called, and how its replies are compared.
pub struct Entry {
    /// As it is typed: `client setname`.
    pub name: &'static str,
    /// See `grammar.rs`.
    pub syntax: &'static str,
    /// How often it is called, compared to others.
    pub weight: u32,
    /// The share of its calls that are disturbed: arguments missing, doubled, replaced …
    pub disorder: f64,
    pub rule: Rule,
}

pub const fn command(name: &'static str, syntax: &'static str) -> Entry {
    Entry { name, syntax, weight: 10, disorder: 0.2, rule: Rule::Exact }
}

impl Entry {
    pub const fn weight(self, weight: u32) -> Entry {
        Entry { weight, ..self }
    }

    pub const fn rule(self, rule: Rule) -> Entry {
        Entry { rule, ..self }
    }

    /// Only calls that the syntax allows: a disturbed one might do what a comparison does not survive.
    pub const fn orderly(self) -> Entry {
        Entry { disorder: 0.0, ..self }
    }
}

const STRINGS: &[Entry] = &[
    command("append", "key value"),
    command("decr", "key"),
    command("decrby", "key integer"),
    command("delifeq", "key value"),
    command("get", "key").weight(20),
    command("getdel", "key"),
    command(
        "getex",
        "key [EX seconds|PX milliseconds|EXAT unix-seconds|PXAT unix-milliseconds|PERSIST]",
    ),
    command("getrange", "key index index"),
    command("getset", "key value"),
    command("incr", "key"),
    command("incrby", "key integer"),
    command("incrbyfloat", "key float").weight(20),
    command("lcs", "key key [LEN] [IDX] [MINMATCHLEN index] [WITHMATCHLEN]"),
    command("mget", "key..."),
    command("mset", "(key value)..."),
    command(
        "msetex",
        "numkeys (key value)... [NX|XX] \
         [EX seconds|PX milliseconds|EXAT unix-seconds|PXAT unix-milliseconds|KEEPTTL]",
    ),
    command("msetnx", "(key value)..."),
    command("psetex", "key milliseconds value"),
    command(
        "set",
        "key value [NX|XX|IFEQ value] [GET] \
         [EX seconds|PX milliseconds|EXAT unix-seconds|PXAT unix-milliseconds|KEEPTTL]",
    )
    .weight(40),
    command("setex", "key seconds value"),
    command("setnx", "key value"),
    command("setrange", "key offset value"),
    command("strlen", "key"),
    command("substr", "key index index"),
];

const KEYS: &[Entry] = &[
    command("copy", "key key [DB db] [REPLACE]"),
    command("dbsize", ""),
    command("del", "key..."),
    command("exists", "key..."),
    command("expire", "key seconds [NX|XX|GT|LT]"),
    command("expireat", "key unix-seconds [NX|XX|GT|LT]"),
    command("expiretime", "key").rule(Rule::Near(5)),
    command("flushall", "[ASYNC|SYNC]").weight(1),
    command("flushdb", "[ASYNC|SYNC]").weight(1),
    command("keys", "pattern").rule(Rule::Unordered),
    command("move", "key db"),
    command("object encoding", "key").weight(20),
    command("object freq", "key").weight(2),
    command("object help", "").weight(1),
    command("object idletime", "key").rule(Rule::Near(5)),
    command("object refcount", "key"),
    command("persist", "key"),
    command("pexpire", "key milliseconds [NX|XX|GT|LT]"),
    command("pexpireat", "key unix-milliseconds [NX|XX|GT|LT]"),
    command("pexpiretime", "key").rule(Rule::Near(5000)),
    command("pttl", "key").rule(Rule::Near(5000)),
    command("randomkey", "").rule(Rule::RandomKey).weight(2),
    command("rename", "key key"),
    command("renamenx", "key key"),
    command("scan", "cursor [MATCH pattern] [COUNT count] [TYPE type]").rule(Rule::Scan).weight(4),
    command("swapdb", "db db").weight(3),
    command("touch", "key..."),
    command("ttl", "key").rule(Rule::Near(5)),
    command("type", "key"),
    command("unlink", "key..."),
];

const CONNECTION: &[Entry] = &[
    command("auth", "[user] value").weight(2),
    command("client caching", "YES|NO").weight(1),
    command("client capa", "name...").weight(1),
    command("client getname", ""),
    command("client getredir", "").weight(1),
    // CLIENT TRACKING is not there yet.
    command("client help", "").rule(Rule::Kind).weight(1),
    command("client id", "").rule(Rule::Kind).weight(2),
    command("client import-source", "ON|OFF").weight(1),
    command("client info", "").rule(Rule::ClientLine).weight(4),
    command(
        "client kill",
        "address|(ID client-id...|TYPE client-type|ADDR address|LADDR address|USER user|\
         SKIPME YES|SKIPME NO|MAXAGE client-id|NAME name)...",
    )
    .rule(Rule::Kill)
    .weight(2),
    command(
        "client list",
        "[TYPE client-type|ID client-id...|USER user|ADDR address|LADDR address|SKIPME YES|SKIPME NO|\
         MAXAGE client-id|NAME name]",
    )
    .rule(Rule::Kind)
    .weight(3),
    command("client no-evict", "ON|OFF").weight(2),
    command("client no-touch", "ON|OFF").weight(3),
    command("client reply", "ON|OFF|SKIP").rule(Rule::ReplyMode).weight(2),
    command("client setinfo", "(LIB-NAME|LIB-VER) name").weight(3),
    command("client setname", "name").weight(3),
    command("client trackinginfo", "").weight(1),
    command("client unblock", "client-id [TIMEOUT|ERROR]").weight(1),
    command("client unpause", "").weight(1),
    command("echo", "value"),
    command("hello", "[version [AUTH user value] [SETNAME name]]").rule(Rule::Hello).weight(4),
    command("ping", "[value]"),
    command("quit", "").rule(Rule::Closes).weight(1),
    command("reset", "").weight(2),
    command("select", "db").weight(10),
];

const SERVER: &[Entry] = &[
    command("command", "").rule(Rule::Kind).orderly().weight(1),
    command("command count", "").rule(Rule::Kind).weight(1),
    command("command docs", "command...").rule(Rule::DeepUnordered).orderly().weight(2),
    command("command getkeys", "command value...").weight(4),
    command("command getkeysandflags", "command value...").weight(4),
    command("command help", "").weight(1),
    command("command info", "command...").rule(Rule::DeepUnordered).orderly().weight(2),
    command("command list", "FILTERBY (MODULE name|ACLCAT category|PATTERN pattern)")
        .rule(Rule::Kind)
        .weight(1),
    // What is slow, or large, differs.
    command("commandlog get", "integer (SLOW|LARGE-REQUEST|LARGE-REPLY|NOTHING)")
        .rule(Rule::Kind)
        .weight(1),
    command("commandlog help", "").weight(1),
    command("commandlog len", "(SLOW|LARGE-REQUEST|LARGE-REPLY|NOTHING)")
        .rule(Rule::Kind)
        .weight(1),
    command("commandlog reset", "(SLOW|LARGE-REQUEST|LARGE-REPLY|NOTHING)").weight(1),
    command("config get", "parameter...").rule(Rule::UnorderedPairs).orderly().weight(3),
    command("config help", "").weight(1),
    command("config resetstat", "").weight(1),
    command("config rewrite", "").weight(1),
    command("debug", "SLEEP pause").orderly().weight(1),
    command("info", "[section...]").rule(Rule::Kind).weight(2),
    command("lastsave", "").rule(Rule::Kind).weight(1),
    command("latency doctor", "").weight(1),
    command("latency graph", "value").weight(1),
    command("latency help", "").weight(1),
    command("latency histogram", "[command...]").rule(Rule::Kind).weight(1),
    command("latency history", "value").weight(1),
    command("latency latest", "").weight(1),
    command("latency reset", "[value...]").weight(1),
    command("lolwut", "[VERSION draws] [integer integer]").rule(Rule::Kind).weight(1),
    command("memory doctor", "").rule(Rule::Kind).weight(1),
    command("memory help", "").weight(1),
    command("memory purge", "").weight(1),
    command("memory stats", "").rule(Rule::Kind).weight(1),
    command("memory usage", "key [SAMPLES count]").rule(Rule::Kind).weight(4),
    command("pubsub channels", "[pattern]").rule(Rule::Unordered).weight(1),
    command("pubsub help", "").weight(1),
    command("pubsub numpat", "").weight(1),
    command("pubsub numsub", "[value...]").weight(1),
    command("pubsub shardchannels", "[pattern]").rule(Rule::Unordered).weight(1),
    command("pubsub shardnumsub", "[value...]").weight(1),
    command("role", "").weight(1),
    command("slowlog get", "[integer]").rule(Rule::Kind).weight(1),
    command("slowlog help", "").weight(1),
    command("slowlog len", "").rule(Rule::Kind).weight(1),
    command("slowlog reset", "").weight(1),
    command("time", "").rule(Rule::Kind).weight(1),
];

const CLUSTER: &[Entry] = &[
    command("asking", "").weight(1),
    command("cluster addslots", "integer...").weight(1),
    command("cluster addslotsrange", "integer integer...").weight(1),
    command("cluster bumpepoch", "").weight(1),
    command("cluster cancelslotmigrations", "").weight(1),
    command("cluster count-failure-reports", "value").weight(1),
    command("cluster countkeysinslot", "integer").weight(1),
    command("cluster delslots", "integer...").weight(1),
    command("cluster delslotsrange", "integer integer...").weight(1),
    command("cluster failover", "[FORCE|TAKEOVER]").weight(1),
    command("cluster flushslot", "integer").weight(1),
    command("cluster flushslots", "").weight(1),
    command("cluster forget", "value").weight(1),
    command("cluster getkeysinslot", "integer count").weight(1),
    command("cluster getslotmigrations", "").weight(1),
    command("cluster help", "").weight(1),
    command("cluster info", "").weight(1),
    command("cluster keyslot", "key"),
    command("cluster links", "").weight(1),
    command("cluster meet", "value integer").weight(1),
    command("cluster migrateslots", "SLOTSRANGE integer integer").weight(1),
    command("cluster myid", "").weight(1),
    command("cluster myshardid", "").weight(1),
    command("cluster nodes", "").weight(1),
    command("cluster replicas", "value").weight(1),
    command("cluster replicate", "value").weight(1),
    command("cluster reset", "[HARD|SOFT]").weight(1),
    command("cluster saveconfig", "").weight(1),
    command("cluster set-config-epoch", "integer").weight(1),
    command("cluster setslot", "integer STABLE").weight(1),
    command("cluster shards", "").weight(1),
    command("cluster slaves", "value").weight(1),
    command("cluster slot-stats", "SLOTSRANGE integer integer").weight(1),
    command("cluster slots", "").weight(1),
    command("cluster syncslots", "value").weight(1),
    command("clusterscan", "cursor").weight(1),
    command("readonly", "").weight(1),
    command("readwrite", "").weight(1),
];

/// Every command that is compared.
pub const FAMILIES: &[&[Entry]] = &[
    STRINGS,
    KEYS,
    CONNECTION,
    SERVER,
    CLUSTER,
    bitmap::COMMANDS,
    dump::COMMANDS,
    geo::COMMANDS,
    hash::COMMANDS,
    hyperloglog::COMMANDS,
    script::COMMANDS,
    list::COMMANDS,
    set::COMMANDS,
    sort::COMMANDS,
    sorted_set::COMMANDS,
    stream::COMMANDS,
];

/// Commands that exist and are not called at random, and where else they are tested.
pub const NOT_RANDOM: &[(&str, &str)] = &[
    ("evalsha", "needs a digest: tests/scripting"),
    ("evalsha_ro", "needs a digest: tests/scripting"),
    ("fcall", "needs a library: tests/scripting"),
    ("fcall_ro", "needs a library: tests/scripting"),
    ("function delete", "needs a library: tests/scripting"),
    ("function dump", "needs a library: tests/scripting"),
    ("function flush", "needs a library: tests/scripting"),
    ("function help", "has no arguments: tests/scripting"),
    ("function kill", "needs a running function: tests/scripting"),
    ("function list", "needs a library: tests/scripting"),
    ("function load", "changes what later replies depend on: tests/scripting"),
    ("function restore", "needs a library: tests/scripting"),
    ("function stats", "needs a library: tests/scripting"),
    ("script debug", "is refused here: docs/COMPATIBILITY.md"),
    ("script exists", "needs a digest: tests/scripting"),
    ("script flush", "changes what later replies depend on: tests/scripting"),
    ("script help", "has no arguments: tests/scripting"),
    ("script kill", "needs a running script: tests/scripting"),
    ("script load", "changes what later replies depend on: tests/scripting"),
    ("module", "is no command by itself: tests/admission.rs"),
    ("module help", "has no arguments: tests/admission.rs"),
    ("module list", "has no arguments: tests/scripting"),
    ("module load", "is refused here: tests/admission.rs"),
    ("module loadex", "is refused here: tests/admission.rs"),
    ("module unload", "is refused here: tests/admission.rs"),
    ("acl deluser", "ends connections: tests/acl"),
    ("acl dryrun", "needs users: users.rs"),
    ("acl getuser", "needs users: users.rs"),
    ("acl list", "needs users: users.rs"),
    ("acl load", "needs files: tests/acl"),
    ("acl log", "shows times: tests/acl"),
    ("acl save", "needs files: tests/acl"),
    ("acl setuser", "changes what later replies depend on: users.rs"),
    ("acl users", "needs users: users.rs"),
    ("acl cat", "has no order: tests/acl"),
    ("acl genpass", "is random: tests/acl"),
    ("acl help", "has no arguments: tests/acl"),
    ("acl whoami", "needs users: users.rs"),
    ("client pause", "stops everybody: tests/connection.rs"),
    ("config set", "changes what later replies depend on: tests/config.rs"),
    ("pfselftest", "takes Valkey a quarter of a second: sketches.rs"),
    ("memory malloc-stats", "another allocator, which has some: tests/memory.rs"),
    ("shutdown", "ends the server: tests/life.rs"),
    ("discard", "ends a transaction: transactions/"),
    ("exec", "ends a transaction: transactions/"),
    ("multi", "begins a transaction: transactions/"),
    ("unwatch", "concerns transactions: transactions/"),
    ("watch", "concerns transactions: transactions/"),
    ("client tracking", "messages arrive at several connections: tests/pushes"),
    ("monitor", "messages arrive at several connections: tests/pushes"),
    ("psubscribe", "messages arrive at several connections: tests/pushes"),
    ("publish", "messages arrive at several connections: tests/pushes"),
    ("punsubscribe", "messages arrive at several connections: tests/pushes"),
    ("spublish", "messages arrive at several connections: tests/pushes"),
    ("ssubscribe", "messages arrive at several connections: tests/pushes"),
    ("subscribe", "messages arrive at several connections: tests/pushes"),
    ("sunsubscribe", "messages arrive at several connections: tests/pushes"),
    ("unsubscribe", "messages arrive at several connections: tests/pushes"),
];
