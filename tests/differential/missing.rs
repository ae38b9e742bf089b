//! The one list of Valkey's commands that this server does not have yet, by what they belong to.
//!
//! A command that exists and stands here fails the tests, so the list only shrinks.

pub const MISSING: &[(&str, &str)] = &[
    ("migrate and wait", "migrate wait waitaof"),
    (
        "persistence, replication and introspection",
        "bgrewriteaof bgsave failover module module|help module|list module|load module|loadex module|unload psync replconf replicaof \
         save slaveof sync",
    ),
    (
        "scripting",
        "eval eval_ro evalsha evalsha_ro fcall fcall_ro function function|delete \
         function|dump function|flush function|help function|kill function|list function|load \
         function|restore function|stats script script|debug script|exists script|flush \
         script|help script|kill script|load script|show",
    ),
];
