//! INFO: the server's report of itself, in sections of `name:value` lines.
//!
//! Fields are Valkey's, in its order, so that what reads them there reads them here. A field of a
//! part that this server does not have yet says so: a count of nothing is 0.

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::memory::Overhead;
use super::{Categories, Command, Cx, Flags, Group, Registered, Result, Scope};
use crate::acl::Reason;
use crate::config::{Addresses, Settings};
use crate::keyspace::{SHARDS, Shard};
use crate::resp::{Args, Reply};
use crate::state::{
    Attributes, ClientRecord, Paused, Server, SubscriptionKind, machine_memory, unix_microseconds,
};

pub const COMMANDS: &[Command] = &[Command {
    name: "info",
    arity: -1,
    flags: Flags::LOADING.union(Flags::STALE),
    acl: Categories::DANGEROUS,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    group: Group::Server,
    scope: Scope::Shards,
    run: info,
    ..Command::DEFAULT
}];

type Section = fn(&mut Cx<'_>, &mut Lines);

/// All sections in their order: name, title, whether it is shown by default, and what writes it.
const SECTIONS: &[(&str, &str, bool, Section)] = &[
    ("server", "Server", true, server),
    ("tls", "TLS", true, tls),
    ("clients", "Clients", true, clients),
    ("memory", "Memory", true, memory),
    ("persistence", "Persistence", true, persistence),
    ("stats", "Stats", true, stats),
    ("rdma", "RDMA", true, rdma),
    ("replication", "Replication", true, replication),
    ("cpu", "CPU", true, cpu),
    ("modules", "Modules", true, |_, lines| {
        lines.add(
            "module",
            "name=lua,ver=1,api=1,filters=0,usedby=[],using=[],\
             options=[handle-repl-async-load|handle-atomic-slot-migration]",
        );
    }),
    ("commandstats", "Commandstats", false, commandstats),
    ("errorstats", "Errorstats", true, errorstats),
    ("latencystats", "Latencystats", false, latencystats),
    ("cluster", "Cluster", true, |_, lines| lines.add("cluster_enabled", 0)),
    ("scriptingengines", "Scripting Engines", false, scripting_engines),
    ("keyspace", "Keyspace", true, keyspace),
];

/// The section that is shown only to those who ask for it by its name.
const HIDDEN: (&str, &str, Section) = ("debug", "Debug", debug);

fn info(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let asked =
        |name: &str| args.iter().skip(1).any(|arg| arg.eq_ignore_ascii_case(name.as_bytes()));
    let all = asked("all") || asked("everything");
    let default = args.len() == 1 || asked("default");
    let mut lines = Lines(String::new());
    for (name, title, by_default, write) in SECTIONS {
        if all || (default && *by_default) || asked(name) {
            lines.begin(title);
            write(cx, &mut lines);
        }
    }
    let (name, title, write) = HIDDEN;
    if asked(name) {
        lines.begin(title);
        write(cx, &mut lines);
    }
    out.verbatim(lines.0.as_bytes());
    Ok(())
}

/// The report so far.
struct Lines(String);

impl Lines {
    /// Begins a section.
    fn begin(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        let _ = write!(self.0, "# {title}\r\n");
    }

    fn add(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    /// Counters of what this server does not have.
    fn zeros(&mut self, names: &str) {
        names.split_whitespace().for_each(|name| self.add(name, 0));
    }

    /// A number of bytes, and the same for people.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.add(name, bytes);
        self.add(&format!("{name}_human"), human(bytes));
    }
}

/// `1.50M`: bytes in the greatest binary unit that leaves at least one.
fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "K", "M", "G", "T"] {
        if value < 1024.0 || unit == "T" {
            return if unit == "B" { format!("{bytes}B") } else { format!("{value:.2}{unit}") };
        }
        value /= 1024.0;
    }
    unreachable!("the last unit ends the loop")
}

fn server(cx: &mut Cx<'_>, lines: &mut Lines) {
    let (server, settings) = (cx.server, cx.settings);
    let uptime = server.started.elapsed().as_secs();
    let system = nix::sys::utsname::uname();
    let part = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
    let (os, release, machine) = match &system {
        Ok(name) => (part(name.sysname()), part(name.release()), part(name.machine())),
        Err(_) => Default::default(),
    };
    lines.add("redis_version", "7.2.4");
    lines.add("server_name", "verbena");
    lines.add("verbena_version", env!("CARGO_PKG_VERSION"));
    lines.add("valkey_version", "9.1.2");
    lines.add("valkey_release_stage", "ga");
    lines.add("redis_git_sha1", "00000000");
    lines.add("redis_git_dirty", 0);
    lines.add("redis_build_id", "0000000000000000");
    let compatible = settings.extended_redis_compatibility;
    lines.add(if compatible { "redis_mode" } else { "server_mode" }, "standalone");
    lines.add("os", format_args!("{os} {release} {machine}"));
    lines.add("arch_bits", usize::BITS);
    lines.add("monotonic_clock", "quanta");
    lines.add("multiplexing_api", "epoll");
    lines.add("gcc_version", "0.0.0");
    lines.add("process_id", std::process::id());
    lines.add("process_supervised", settings.supervised.name());
    lines.add("run_id", &server.run_id);
    lines.add("tcp_port", settings.main_port());
    lines.add("server_time_usec", unix_microseconds());
    lines.add("uptime_in_seconds", uptime);
    lines.add("uptime_in_days", uptime / 86_400);
    lines.add("hz", settings.hz);
    lines.add("configured_hz", settings.hz);
    lines.add("clients_hz", settings.hz);
    lines.add("lru_clock", crate::value::access::clock(cx.now));
    let executable = std::env::current_exe().unwrap_or_default();
    lines.add("executable", executable.display());
    let file = server.config.file().map(|file| file.display().to_string());
    lines.add("config_file", file.unwrap_or_default());
    lines.add("io_threads_active", u8::from(server.workers() > 1));
    lines.add("availability_zone", &settings.availability_zone);
    listeners(settings, lines);
}

fn listeners(settings: &Settings, lines: &mut Lines) {
    let network = |kind: &str, port: u16, bind: &Addresses| {
        let bind: String = bind.iter().map(|address| format!(",bind={address}")).collect();
        (port != 0 && !bind.is_empty()).then(|| format!("name={kind}{bind},port={port}"))
    };
    let path = &settings.unixsocket;
    let listeners = [
        network("tcp", settings.port, &settings.bind),
        (!path.is_empty()).then(|| format!("name=unix,bind={path}")),
        network("tls", settings.tls_port, &settings.bind),
        network("rdma", settings.rdma_port, &settings.rdma_bind),
    ];
    for (index, listener) in listeners.into_iter().flatten().enumerate() {
        lines.add(&format!("listener{index}"), listener);
    }
}

fn tls(cx: &mut Cx<'_>, lines: &mut Lines) {
    let certificates = cx.server.tls.certificates();
    for (name, facts) in ["server", "client", "ca"].into_iter().zip(certificates) {
        let (serial, expires) = match &facts {
            Some(facts) => (facts.serial.as_str(), facts.expires_in()),
            None => ("none", 0),
        };
        lines.add(&format!("tls_{name}_cert_serial"), serial);
        lines.add(&format!("tls_{name}_cert_expires_in_seconds"), expires);
    }
}

fn clients(cx: &mut Cx<'_>, lines: &mut Lines) {
    lines.add("connected_clients", cx.server.clients.len());
    lines.add("cluster_connections", 0);
    lines.add("maxclients", cx.settings.maxclients);
    let clients = cx.server.clients.all();
    let largest = |part: fn(&ClientRecord) -> u64| {
        clients.iter().map(|record| part(record)).max().unwrap_or_default()
    };
    lines.add("client_recent_max_input_buffer", largest(|record| record.query_memory.get()));
    lines.add("client_recent_max_output_buffer", largest(|record| record.send_memory.get()));
    let blocked = |record: &&Arc<ClientRecord>| record.attributes().contains(Attributes::BLOCKED);
    lines.add("blocked_clients", clients.iter().filter(blocked).count());
    lines.add("tracking_clients", cx.server.tracking.clients());
    let subscribed = |record: &&Arc<ClientRecord>| record.attributes().contains(Attributes::PUBSUB);
    lines.add("pubsub_clients", clients.iter().filter(subscribed).count());
    let watching = clients.iter().filter(|record| record.multi.watched() > 0).count();
    lines.add("watching_clients", watching);
    lines.zeros("clients_in_timeout_table");
    let watched = |shard| cx.visit(shard, Shard::watched_keys);
    lines.add("total_watched_keys", (0..SHARDS).map(watched).sum::<usize>());
    let parked = |shard: &Shard| shard.parked().map_or(0, |parked| parked.keys().count());
    let parked = |shard| cx.visit(shard, parked);
    lines.add("total_blocking_keys", (0..SHARDS).map(parked).sum::<usize>());
    let existing = |shard: &Shard| shard.parked().map_or(0, |parked| parked.keys_that_must_exist());
    let existing = |shard| cx.visit(shard, existing);
    lines.add("total_blocking_keys_on_nokey", (0..SHARDS).map(existing).sum::<usize>());
    let paused = cx.server.pause.current(cx.now);
    lines.add("paused_reason", if paused.is_some() { "client_pause" } else { "none" });
    lines.add(
        "paused_actions",
        match paused {
            None => "none",
            Some(Paused::Writes) => "write",
            Some(Paused::All) => "all",
        },
    );
    lines.add("paused_timeout_milliseconds", cx.server.pause.remaining(cx.now));
}

/// A part of a whole, where nothing at all is the whole.
#[derive(Clone, Copy)]
pub(super) struct Ratio(pub u64, pub u64);

impl Ratio {
    pub fn get(self) -> f64 {
        self.0 as f64 / self.1.max(1) as f64
    }

    pub fn percent(self) -> f64 {
        self.get() * 100.0
    }
}

fn scripting_engines(cx: &mut Cx<'_>, lines: &mut Lines) {
    let scripts = cx.server.scripts.figures();
    let (used, overhead) = (scripts.states(), size_of::<crate::script::Engine>());
    lines.add("engines_count", 1);
    lines.add("engines_total_used_memory", used);
    lines.add("engines_total_memory_overhead", overhead);
    lines.add(
        "engine_0",
        format_args!(
            "name=LUA,module=lua,abi_version=4,used_memory={used},memory_overhead={overhead}"
        ),
    );
}

fn memory(cx: &mut Cx<'_>, lines: &mut Lines) {
    let memory = cx.server.memory.measure();
    let overhead = Overhead::measure(cx, memory.startup);
    let percent = |part: u64, whole: u64| format!("{:.2}%", Ratio(part, whole).percent());
    let ratio = |part: u64, whole: u64| format!("{:.2}", Ratio(part, whole).get());
    let dataset = memory.used.saturating_sub(overhead.total());
    let grown = memory.used.saturating_sub(memory.startup);
    let difference = |a: u64, b: u64| a as i64 - b as i64;
    lines.bytes("used_memory", memory.used);
    lines.bytes("used_memory_rss", memory.rss);
    lines.bytes("used_memory_peak", memory.peak);
    lines.add("used_memory_peak_perc", percent(memory.used, memory.peak));
    lines.add("used_memory_overhead", overhead.total());
    lines.add("used_memory_startup", memory.startup);
    lines.add("used_memory_dataset", dataset);
    // What was in use at the start is no part of what could be data.
    lines.add("used_memory_dataset_perc", percent(dataset, grown));
    lines.add("allocator_allocated", memory.allocated);
    lines.add("allocator_active", memory.active);
    lines.add("allocator_resident", memory.resident);
    lines.add("allocator_muzzy", 0);
    lines.bytes("total_system_memory", machine_memory());
    let scripts = cx.server.scripts.figures();
    lines.add("used_memory_lua", scripts.script_state);
    lines.add("used_memory_vm_eval", scripts.script_state);
    lines.add("used_memory_lua_human", human(scripts.script_state));
    lines.add("used_memory_scripts_eval", scripts.script_texts);
    lines.add("number_of_cached_scripts", scripts.scripts);
    lines.add("number_of_functions", scripts.functions);
    lines.add("number_of_libraries", scripts.libraries);
    lines.add("used_memory_vm_functions", scripts.function_state);
    lines.bytes("used_memory_vm_total", scripts.states());
    lines.add("used_memory_functions", scripts.library_texts);
    lines.bytes("used_memory_scripts", scripts.script_texts + scripts.library_texts);
    lines.bytes("maxmemory", cx.settings.maxmemory);
    lines.add("maxmemory_policy", cx.settings.maxmemory_policy.name());
    lines.add("allocator_frag_ratio", ratio(memory.active, memory.allocated));
    lines.add("allocator_frag_bytes", difference(memory.active, memory.allocated));
    lines.add("allocator_rss_ratio", ratio(memory.resident, memory.active));
    lines.add("allocator_rss_bytes", difference(memory.resident, memory.active));
    lines.add("rss_overhead_ratio", ratio(memory.rss, memory.resident));
    lines.add("rss_overhead_bytes", difference(memory.rss, memory.resident));
    lines.add("mem_fragmentation_ratio", ratio(memory.rss, memory.used));
    lines.add("mem_fragmentation_bytes", difference(memory.rss, memory.used));
    lines.zeros(
        "mem_not_counted_for_evict mem_replication_backlog mem_total_replication_buffers \
         mem_replicas_repl_buffer mem_clients_slaves",
    );
    lines.add("mem_clients_normal", overhead.clients);
    lines.zeros("mem_cluster_links mem_cluster_slot_import mem_cluster_slot_export mem_aof_buffer");
    lines.add("mem_allocator", "jemalloc-5.3.1");
    lines.zeros("mem_overhead_db_hashtable_rehashing active_defrag_running");
    lines.add("lazyfree_pending_objects", cx.server.lazy_free.pending());
    lines.add("lazyfreed_objects", cx.server.lazy_free.freed());
}

fn persistence(cx: &mut Cx<'_>, lines: &mut Lines) {
    lines.zeros("loading async_loading current_cow_peak current_cow_size current_cow_size_age");
    lines.add("current_fork_perc", "0.00");
    lines.zeros("current_save_keys_processed current_save_keys_total");
    let changes = cx.server.total(|stats| stats.changes.get());
    lines.add("rdb_changes_since_last_save", changes);
    lines.add("rdb_bgsave_in_progress", 0);
    lines.add("rdb_last_save_time", cx.server.started_at / 1000);
    lines.add("rdb_last_bgsave_status", "ok");
    lines.add("rdb_last_bgsave_time_sec", -1);
    lines.add("rdb_current_bgsave_time_sec", -1);
    lines.zeros(
        "rdb_saves rdb_last_cow_size rdb_last_load_keys_expired rdb_last_load_keys_loaded \
         aof_enabled aof_rewrite_in_progress aof_rewrite_scheduled",
    );
    lines.add("aof_last_rewrite_time_sec", -1);
    lines.add("aof_current_rewrite_time_sec", -1);
    lines.add("aof_last_bgrewrite_status", "ok");
    lines.zeros("aof_rewrites aof_rewrites_consecutive_failures");
    lines.add("aof_last_write_status", "ok");
    lines.zeros(
        "aof_last_cow_size module_fork_in_progress module_fork_last_cow_size \
         slot_migration_fork_in_progress",
    );
}

fn stats(cx: &mut Cx<'_>, lines: &mut Lines) {
    let server = cx.server;
    let kib = |bytes: f64| format!("{:.2}", bytes / 1024.0);
    let rates = server.rates.lock();
    let commands = rates.per_second(|sample| sample.commands);
    let input = rates.per_second(|sample| sample.net_input);
    let output = rates.per_second(|sample| sample.net_output);
    let turns = rates.per_second(|sample| sample.turns);
    let turn = rates.ratio(|sample| sample.awake, |sample| sample.turns);
    drop(rates);
    lines.add("total_connections_received", server.accepted_connections.load(Ordering::Relaxed));
    lines.add("total_commands_processed", server.commands_processed());
    lines.add("instantaneous_ops_per_sec", commands.round() as u64);
    lines.add("total_net_input_bytes", server.total(|stats| stats.net_input.get()));
    lines.add("total_net_output_bytes", server.total(|stats| stats.net_output.get()));
    lines.zeros(
        "total_net_repl_input_bytes total_net_repl_output_bytes \
         total_net_cluster_slot_import_bytes total_net_cluster_slot_export_bytes",
    );
    lines.add("instantaneous_input_kbps", kib(input));
    lines.add("instantaneous_output_kbps", kib(output));
    lines.add("instantaneous_input_repl_kbps", "0.00");
    lines.add("instantaneous_output_repl_kbps", "0.00");
    lines.add("rejected_connections", server.rejected_connections.load(Ordering::Relaxed));
    lines.zeros("sync_full sync_partial_ok sync_partial_err");
    lines.add("expired_keys", server.total(|stats| stats.expired_keys.get()));
    lines.add("expired_fields", server.total(|stats| stats.expired_fields.get()));
    lines.add("expired_stale_perc", "0.00");
    lines.add("expired_keys_with_volatile_items_stale_perc", "0.00");
    let cut = server.total(|stats| stats.expire_cycles_cut.get());
    lines.add("expired_time_cap_reached_count", cut);
    let expiry = server.total(|stats| stats.expire_cycle_time.get());
    lines.add("expire_cycle_cpu_milliseconds", expiry / 1_000_000);
    lines.add("evicted_keys", server.total(|stats| stats.evicted_keys.get()));
    lines.add("evicted_clients", server.clients.memory.evicted());
    lines.add("evicted_scripts", server.scripts.figures().evicted);
    let (exceeded, current) = server.eviction.exceeded();
    lines.add("total_eviction_exceeded_time", exceeded);
    lines.add("current_eviction_exceeded_time", current);
    lines.add("keyspace_hits", server.total(|stats| stats.keyspace_hits.get()));
    lines.add("keyspace_misses", server.total(|stats| stats.keyspace_misses.get()));
    for (name, kind) in [
        ("pubsub_channels", SubscriptionKind::Channel),
        ("pubsub_patterns", SubscriptionKind::Pattern),
        ("pubsubshard_channels", SubscriptionKind::ShardChannel),
    ] {
        lines.add(name, server.pubsub.count(kind));
    }
    lines.zeros(
        "latest_fork_usec total_forks migrate_cached_sockets slave_expires_tracked_keys \
         active_defrag_hits active_defrag_misses active_defrag_key_hits active_defrag_key_misses \
         total_active_defrag_time current_active_defrag_time",
    );
    lines.add("tracking_total_keys", server.keyspace.tracked.keys());
    lines.add("tracking_total_items", server.keyspace.tracked.items());
    lines.add("tracking_total_prefixes", server.tracking.prefixes());
    lines.zeros("unexpected_error_replies");
    lines.add("total_error_replies", server.errors().values().sum::<u64>());
    lines.add("dump_payload_sanitizations", 0);
    lines.add("total_reads_processed", server.total(|stats| stats.reads.get()));
    lines.add("total_writes_processed", server.total(|stats| stats.writes.get()));
    lines.zeros(
        "io_threaded_reads_processed io_threaded_writes_processed io_threaded_freed_objects \
         io_threaded_accept_processed io_threaded_poll_processed \
         io_threaded_total_prefetch_batches io_threaded_total_prefetch_entries",
    );
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let query = count(&server.query_limit_disconnections);
    lines.add("client_query_buffer_limit_disconnections", query);
    let output = count(&server.output_limit_disconnections);
    lines.add("client_output_buffer_limit_disconnections", output);
    lines.zeros("reply_buffer_shrinks reply_buffer_expands");
    let loops = server.loops();
    lines.add("eventloop_cycles", loops.turns);
    lines.add("eventloop_duration_sum", loops.awake.as_micros());
    lines.add("eventloop_duration_cmd_sum", command_time(server).as_micros());
    lines.add("instantaneous_eventloop_cycles_per_sec", turns.round() as u64);
    lines.add("instantaneous_eventloop_duration_usec", (turn / 1000.0).ceil() as u64);
    let denied = |reason| server.acl.log.denied(reason);
    lines.add("acl_access_denied_auth", denied(Reason::Auth));
    lines.add("acl_access_denied_cmd", denied(Reason::Command));
    lines.add("acl_access_denied_key", denied(Reason::Key));
    lines.add("acl_access_denied_channel", denied(Reason::Channel));
    lines.add("acl_access_denied_tls_cert", denied(Reason::TlsCertificate));
    lines.add("acl_access_denied_db", denied(Reason::Database));
}

/// The time that commands have taken. EXEC's is that of the commands in its transactions.
fn command_time(server: &Server) -> Duration {
    let exec = super::table().get(b"exec").map(|found| found.id);
    let ticks = server.total(|stats| {
        let commands = stats.commands.iter().enumerate();
        commands.filter(|(id, _)| Some(*id) != exec).map(|(_, command)| command.ticks.get()).sum()
    });
    Duration::from_nanos(server.clock.delta_as_nanos(0, ticks))
}

/// What is of interest to those who look for the causes of latency.
fn debug(cx: &mut Cx<'_>, lines: &mut Lines) {
    let loops = cx.server.loops();
    let most = cx.server.stats.iter().map(|stats| stats.most_commands.get()).max();
    lines.add("eventloop_duration_aof_sum", 0);
    lines.add("eventloop_duration_cron_sum", loops.rounds.as_micros());
    lines.add("eventloop_duration_max", loops.longest.as_micros());
    lines.add("eventloop_cmd_per_cycle_max", most.unwrap_or_default());
    lines.zeros("io_threaded_reads_pending io_threaded_writes_pending");
}

#[cfg(feature = "rdma")]
fn rdma(_: &mut Cx<'_>, lines: &mut Lines) {
    let stats = verbena_transport::rdma::stats();
    lines.add("rdma_connections", stats.connections);
    lines.add("rdma_registered_bytes", stats.registered_bytes);
    lines.add("rdma_completions", stats.completions);
    lines.add("rdma_polls", stats.polls);
    lines.add("rdma_events", stats.events);
}

#[cfg(not(feature = "rdma"))]
fn rdma(_: &mut Cx<'_>, _: &mut Lines) {}

fn replication(cx: &mut Cx<'_>, lines: &mut Lines) {
    lines.add("role", "master");
    lines.zeros("connected_slaves replicas_waiting_psync");
    lines.add("master_failover_state", "no-failover");
    lines.add("master_replid", cx.server.replication_id());
    lines.add("master_replid2", "0".repeat(40));
    lines.add("master_repl_offset", 0);
    lines.add("second_repl_offset", -1);
    lines.add("repl_backlog_active", 0);
    lines.add("repl_backlog_size", cx.settings.repl_backlog_size);
    lines.zeros("repl_backlog_first_byte_offset repl_backlog_histlen");
}

fn cpu(cx: &mut Cx<'_>, lines: &mut Lines) {
    let seconds = |time: nix::sys::time::TimeVal| {
        let micros = time.num_microseconds();
        format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    };
    for (suffix, who) in [("", UsageWho::RUSAGE_SELF), ("_children", UsageWho::RUSAGE_CHILDREN)] {
        // It fails for no `who` that exists.
        let Ok(usage) = getrusage(who) else { continue };
        lines.add(&format!("used_cpu_sys{suffix}"), seconds(usage.system_time()));
        lines.add(&format!("used_cpu_user{suffix}"), seconds(usage.user_time()));
    }
    let seconds = |time: Duration| format!("{}.{:06}", time.as_secs(), time.subsec_micros());
    if let Some((system, user)) = cx.server.first_worker_time(cx.stats) {
        lines.add("used_cpu_sys_main_thread", seconds(system));
        lines.add("used_cpu_user_main_thread", seconds(user));
    }
    for (index, awake) in cx.server.load.awake().take(cx.server.workers()).enumerate() {
        let name = match index {
            0 => "main_thread".to_owned(),
            index => format!("io_thread_{index}"),
        };
        lines.add(&format!("used_active_time_{name}"), seconds(awake));
    }
}

fn commandstats(cx: &mut Cx<'_>, lines: &mut Lines) {
    for_each_command(&mut |found| {
        let sum = |part: fn(&crate::state::CommandStats) -> u64| {
            cx.server.total(|stats| part(&stats.commands[found.id]))
        };
        let calls = sum(|stats| stats.calls.get());
        let (rejected, failed) =
            (sum(|stats| stats.rejected.get()), sum(|stats| stats.failed.get()));
        if calls == 0 && rejected == 0 {
            return;
        }
        let ticks = sum(|stats| stats.ticks.get());
        let usec = Duration::from_nanos(cx.server.clock.delta_as_nanos(0, ticks)).as_micros();
        let each = if calls == 0 { 0.0 } else { usec as f64 / calls as f64 };
        lines.add(
            &format!("cmdstat_{}", found.full_name),
            format_args!(
                "calls={calls},usec={usec},usec_per_call={each:.2},rejected_calls={rejected},\
                 failed_calls={failed}"
            ),
        );
    });
}

/// Visits all commands and subcommands, by name.
pub(super) fn for_each_command(each: &mut dyn FnMut(&'static Registered)) {
    let mut commands: Vec<&'static Registered> = super::table().iter().collect();
    commands.sort_unstable_by_key(|command| command.full_name.as_str());
    for command in commands {
        each(command);
        let mut subcommands: Vec<&'static Registered> = command.subcommands.values().collect();
        subcommands.sort_unstable_by_key(|command| command.full_name.as_str());
        subcommands.into_iter().for_each(&mut *each);
    }
}

fn latencystats(cx: &mut Cx<'_>, lines: &mut Lines) {
    if !cx.settings.latency_tracking {
        return;
    }
    let percentiles = &cx.settings.latency_tracking_info_percentiles;
    for_each_command(&mut |found| {
        let Some(latencies) = cx.server.latencies(found.id) else { return };
        let shown = percentiles.texts().map(|(percent, text)| {
            format!("p{text}={:.3}", latencies.percentile(percent) as f64 / 1000.0)
        });
        let shown: Vec<String> = shown.collect();
        lines.add(&format!("latency_percentiles_usec_{}", found.full_name), shown.join(","));
    });
}

fn errorstats(cx: &mut Cx<'_>, lines: &mut Lines) {
    for (code, count) in cx.server.errors() {
        lines.add(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

/// Entries of one shard that the average time to live is taken of.
const TTL_SAMPLE: usize = 4;

#[derive(Clone, Default)]
struct Database {
    keys: usize,
    volatile: usize,
    with_volatile_items: usize,
    sampled: i128,
    /// Sum of the sampled times to live, in milliseconds; each may be as long as an i64 says.
    ttl: i128,
}

fn keyspace(cx: &mut Cx<'_>, lines: &mut Lines) {
    let now = cx.now;
    let mut databases = vec![Database::default(); cx.server.keyspace.databases()];
    for shard in 0..SHARDS {
        cx.visit(shard, |shard| {
            for (index, table) in shard.tables() {
                let database = &mut databases[index];
                database.keys += table.len();
                database.volatile += table.volatile();
                database.with_volatile_items += table.with_volatile_items();
                if table.volatile() > 0 {
                    for expiry in table.iter().take(TTL_SAMPLE).filter_map(|entry| entry.expiry()) {
                        database.sampled += 1;
                        database.ttl += i128::from(expiry - now).max(0);
                    }
                }
            }
        });
    }
    for (index, database) in databases.into_iter().enumerate() {
        let Database { keys, volatile, with_volatile_items, sampled, ttl } = database;
        if keys > 0 {
            lines.add(
                &format!("db{index}"),
                format_args!(
                    "keys={keys},expires={volatile},avg_ttl={},keys_with_volatile_items={}",
                    if sampled == 0 { 0 } else { ttl / sampled },
                    with_volatile_items
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn bytes_for_people_have_two_decimals() {
        assert_eq!(human(0), "0B");
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(1024), "1.00K");
        assert_eq!(human(1_540_088), "1.47M");
        assert_eq!(human(25_276_502_016), "23.54G");
    }
}
