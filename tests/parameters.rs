//! The parameters that are accepted, kept and reported, and that nothing reads yet.

use std::collections::BTreeSet;
use std::path::Path;

use verbena::config::PARAMETERS;

/// Parameters by the part of the server that will read them. The change that adds such a part empties
/// its list.
const READ_NOWHERE: &[(&str, &[&str])] = &[
    ("scripts and modules", &["lua-enable-insecure-api"]),
    (
        "append-only file",
        &[
            "aof-disable-auto-gc",
            "aof-load-truncated",
            "aof-rewrite-cpulist",
            "aof-rewrite-incremental-fsync",
            "aof-timestamp-enabled",
            "aof-use-rdb-preamble",
            "appenddirname",
            "appendfilename",
            "appendfsync",
            "appendonly",
            "auto-aof-rewrite-min-size",
            "auto-aof-rewrite-percentage",
            "no-appendfsync-on-rewrite",
        ],
    ),
    (
        "snapshots",
        &[
            "bgsave-cpulist",
            "dbfilename",
            "key-load-delay",
            "loading-process-events-interval-bytes",
            "rdb-del-sync-files",
            "rdb-key-save-delay",
            "rdb-save-incremental-fsync",
            "rdbchecksum",
            "save",
            "stop-writes-on-bgsave-error",
        ],
    ),
    (
        "cluster",
        &[
            "cluster-allow-pubsubshard-when-down",
            "cluster-allow-reads-when-down",
            "cluster-allow-replica-migration",
            "cluster-announce-bus-port",
            "cluster-announce-client-ipv4",
            "cluster-announce-client-ipv6",
            "cluster-announce-client-port",
            "cluster-announce-client-tls-port",
            "cluster-announce-hostname",
            "cluster-announce-human-nodename",
            "cluster-announce-ip",
            "cluster-announce-port",
            "cluster-announce-tls-port",
            "cluster-blacklist-ttl",
            "cluster-config-file",
            "cluster-config-save-behavior",
            "cluster-databases",
            "cluster-enabled",
            "cluster-link-sendbuf-limit",
            "cluster-manual-failover-timeout",
            "cluster-message-gossip-perc",
            "cluster-migration-barrier",
            "cluster-node-timeout",
            "cluster-ping-interval",
            "cluster-port",
            "cluster-preferred-endpoint-type",
            "cluster-replica-no-failover",
            "cluster-replica-validity-factor",
            "cluster-require-full-coverage",
            "cluster-slot-migration-log-max-len",
            "cluster-slot-stats-enabled",
            "slot-migration-max-failover-repl-bytes",
        ],
    ),
    (
        "replication",
        &[
            "bind-source-addr",
            "dual-channel-replication-enabled",
            "min-replicas-max-lag",
            "min-replicas-to-write",
            "primaryauth",
            "primaryuser",
            "propagation-error-behavior",
            "repl-backlog-ttl",
            "repl-disable-tcp-nodelay",
            "repl-diskless-load",
            "repl-diskless-sync",
            "repl-diskless-sync-delay",
            "repl-diskless-sync-max-replicas",
            "repl-mptcp",
            "repl-ping-replica-period",
            "repl-timeout",
            "replica-announce-ip",
            "replica-announce-port",
            "replica-announced",
            "replica-ignore-disk-write-errors",
            "replica-ignore-maxmemory",
            "replica-lazy-flush",
            "replica-priority",
            "replica-read-only",
            "replica-serve-stale-data",
            "replicaof",
        ],
    ),
    (
        "memory",
        &[
            "active-defrag-cycle-max",
            "active-defrag-cycle-min",
            "active-defrag-cycle-us",
            "active-defrag-ignore-bytes",
            "active-defrag-max-scan-fields",
            "active-defrag-threshold-lower",
            "active-defrag-threshold-upper",
            "activedefrag",
            "activerehashing",
            "disable-thp",
            "jemalloc-bg-thread",
            "lazyfree-lazy-eviction",
            "lazyfree-lazy-expire",
            "lazyfree-lazy-server-del",
            "lazyfree-lazy-user-del",
        ],
    ),
    (
        "process and system",
        &[
            "crash-memcheck-enabled",
            "debug-context",
            "enable-debug-assert",
            "ignore-warnings",
            "locale-collate",
            "max-new-connections-per-cycle",
            "watchdog-period",
        ],
    ),
    (
        "parameters that this design makes unnecessary",
        &[
            "hash-seed",
            "io-threads-always-active",
            "min-io-threads-avoid-copy-reply",
            "min-string-size-avoid-copy-reply",
            "min-string-size-avoid-copy-reply-threaded",
            "prefetch-batch-max-size",
        ],
    ),
];

/// The text of all sources except those of the configuration itself.
fn sources(directory: &Path, text: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("src/config") {
                sources(&path, text);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// Whether a field of that name is read: `.name`, and not `.name()` or `.name_of_more`.
fn is_read(text: &str, field: &str) -> bool {
    text.match_indices(&format!(".{field}")).any(|(at, found)| {
        let after = text[at + found.len()..].chars().next();
        after.is_none_or(|next| !next.is_alphanumeric() && next != '_' && next != '(')
    })
}

#[test]
fn every_parameter_is_read_or_known_to_be_read_nowhere() {
    let mut text = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    let names = PARAMETERS.iter().map(|parameter| parameter.name.as_str());
    let unread: BTreeSet<&str> =
        names.filter(|name| !is_read(&text, &name.replace('-', "_"))).collect();
    let listed: Vec<&str> = READ_NOWHERE.iter().flat_map(|(_, names)| *names).copied().collect();
    let known: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(known.len(), listed.len(), "a parameter is listed twice");
    let new: Vec<_> = unread.difference(&known).collect();
    assert!(new.is_empty(), "read nowhere, and not listed: {new:?}");
    let gone: Vec<_> = known.difference(&unread).collect();
    assert!(gone.is_empty(), "listed, though something reads them: {gone:?}");
}
