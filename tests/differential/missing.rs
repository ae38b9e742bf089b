//! The one list of Valkey's commands that this server does not have yet, by what they belong to.
//!
//! A command that exists and stands here fails the tests, so the list only shrinks.

pub const MISSING: &[(&str, &str)] = &[
    ("migrate and wait", "migrate wait waitaof"),
    (
        "persistence, replication and introspection",
        "bgrewriteaof bgsave failover psync replconf replicaof \
         save slaveof sync",
    ),
];
