//! The state of the server in the report of a crash: what can be told without a lock of the keyspace, which the
//! thread that has failed may hold.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use crate::config::PARAMETERS;
use crate::process::VALKEY_VERSION;
use crate::state::{Server, WorkerStats, unix_milliseconds};

/// Some fields of INFO, by their names there.
pub fn info(server: &Server) -> String {
    let settings = server.config.load();
    let total = |part: fn(&WorkerStats) -> u64| server.total(part).to_string();
    let connections: usize = server.loads.iter().map(|load| load.load(Ordering::Relaxed)).sum();
    let fields = [
        ("server_name", "verbena".to_owned()),
        ("verbena_version", env!("CARGO_PKG_VERSION").to_owned()),
        ("valkey_version", VALKEY_VERSION.to_owned()),
        ("process_id", std::process::id().to_string()),
        ("run_id", server.run_id.clone()),
        ("tcp_port", settings.main_port().to_string()),
        ("uptime_in_seconds", server.started.elapsed().as_secs().to_string()),
        ("io_threads", settings.io_threads.to_string()),
        ("connections", connections.to_string()),
        ("used_memory", server.memory_in_use().to_string()),
        ("maxmemory", settings.maxmemory.to_string()),
        ("total_commands_processed", server.commands_processed().to_string()),
        ("expired_keys", total(|stats| stats.expired_keys.get())),
        ("evicted_keys", total(|stats| stats.evicted_keys.get())),
        ("keyspace_hits", total(|stats| stats.keyspace_hits.get())),
        ("keyspace_misses", total(|stats| stats.keyspace_misses.get())),
    ];
    fields.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name}:{value}");
        text
    })
}

/// The lines of CLIENT LIST; names of users' choice are left out if `hide-user-data-from-log` says so.
pub fn clients(server: &Server) -> String {
    let hidden = server.config.load().hide_user_data_from_log;
    let now = unix_milliseconds();
    server.clients.all().iter().fold(String::new(), |mut text, record| {
        let line = record.line(now, &server.command_names);
        let words = line.split(' ').map(|word| match word.split_once('=') {
            Some((name @ ("name" | "user"), _)) if hidden => format!("{name}=*redacted*"),
            _ => word.to_owned(),
        });
        let _ = writeln!(text, "{}", words.collect::<Vec<_>>().join(" "));
        text
    })
}

/// The parameters that concern how the server works, and `debug-context`, which says what the server is for.
pub fn settings(server: &Server) -> String {
    const TOLD: [&str; 9] = [
        "client-query-buffer-limit",
        "debug-context",
        "io-threads",
        "lazyfree-lazy-user-del",
        "list-compress-depth",
        "maxmemory",
        "maxmemory-policy",
        "proto-max-bulk-len",
        "rdma-port",
    ];
    let settings = server.config.load();
    let told = PARAMETERS.iter().filter(|parameter| TOLD.contains(&parameter.name.as_str()));
    told.fold(String::new(), |mut text, parameter| {
        for value in parameter.directives(&settings) {
            let _ = writeln!(text, "{} {}", parameter.name, String::from_utf8_lossy(&value));
        }
        text
    })
}
