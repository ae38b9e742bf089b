//! The table of all parameters: one row each, and the typed settings that it makes.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use super::choice::*;
use super::parameter::{Access, Field, Kind, Parameter, int, memory};

const I32: i128 = i32::MAX as i128;
const U32: i128 = u32::MAX as i128;
const I64: i128 = i64::MAX as i128;
const U64: i128 = u64::MAX as i128;

/// Each row: the field, whose name with dashes is the parameter's, its type, its default, the form
/// of its values, and then what else there is to say of it.
macro_rules! parameters {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $default:expr, $kind:expr
        $(, $option:ident($($value:expr)?))*;)*) => {
        /// All settings, typed. A running server replaces the whole at once.
        ///
        /// A parameter without a word here is kept and reported, and has Valkey's meaning where this
        /// server has the part that it concerns.
        #[derive(Clone, Debug)]
        pub struct Settings { $($(#[$doc])* pub $field: $type,)* }

        impl Default for Settings {
            fn default() -> Self {
                Settings { $($field: $default,)* }
            }
        }

        fn rows() -> Vec<Parameter> {
            vec![$(
                Parameter::new(stringify!($field), $kind, Access {
                    set: |settings, words, kind, source| {
                        Field::set(&mut settings.$field, words, kind, source)
                    },
                    format: |settings, kind| Field::format(&settings.$field, kind),
                    directives: |settings, kind| Field::directives(&settings.$field, kind),
                    same: |a, b| a.$field == b.$field,
                })$(.$option($($value)?))*,
            )*]
        }
    };
}

parameters! {
    acl_pubsub_default: PubsubDefault = PubsubDefault::None, Kind::Choice;
    aclfile: String = "".into(), Kind::Text, immutable();
    acllog_max_len: u64 = 128, int(0, I64);
    active_defrag_cycle_max: u32 = 25, int(1, 99);
    active_defrag_cycle_min: u32 = 1, int(1, 99);
    active_defrag_cycle_us: u32 = 500, int(0, 100_000);
    active_defrag_ignore_bytes: u64 = 100 << 20, memory(1, I64);
    active_defrag_max_scan_fields: u64 = 1000, int(1, I64);
    active_defrag_threshold_lower: u32 = 10, int(0, 1000);
    active_defrag_threshold_upper: u32 = 100, int(0, 1000);
    active_expire_effort: u32 = 1, int(1, 10);
    activedefrag: bool = false, Kind::Bool, check(no_defragmentation);
    activerehashing: bool = true, Kind::Bool;
    always_show_logo: bool = false, Kind::Bool, immutable();
    aof_disable_auto_gc: bool = false, Kind::Bool, hidden();
    aof_load_truncated: bool = true, Kind::Bool;
    aof_rewrite_cpulist: String = "".into(), Kind::Text, alias("aof_rewrite_cpulist"), immutable();
    aof_rewrite_incremental_fsync: bool = true, Kind::Bool;
    aof_timestamp_enabled: bool = false, Kind::Bool;
    aof_use_rdb_preamble: bool = true, Kind::Bool;
    appenddirname: String = "appendonlydir".into(), Kind::Text, immutable(), check(appenddirname);
    appendfilename: String = "appendonly.aof".into(), Kind::Text, immutable(), check(appendfilename);
    appendfsync: AppendFsync = AppendFsync::EverySecond, Kind::Choice;
    appendonly: bool = false, Kind::Bool;
    auto_aof_rewrite_min_size: u64 = 64 << 20, memory(0, I64);
    auto_aof_rewrite_percentage: i32 = 100, int(0, I32);
    availability_zone: String = "".into(), Kind::Text;
    bgsave_cpulist: String = "".into(), Kind::Text, alias("bgsave_cpulist"), immutable();
    /// Addresses to listen on: `*` and `::*` are all of their family; `-` before an address means that
    /// it may be unavailable.
    bind: Addresses = vec!["*".into(), "-::*".into()], Kind::Words;
    bind_source_addr: String = "".into(), Kind::Text;
    bio_cpulist: String = "".into(), Kind::Text, alias("bio_cpulist"), immutable();
    busy_reply_threshold: i64 = 5000, int(0, I64), alias("lua-time-limit");
    client_output_buffer_limit: OutputLimits = OutputLimits::default(), Kind::Words;
    /// Bytes of one client's requests that may wait to be complete.
    client_query_buffer_limit: usize = 1 << 30, memory(1 << 20, I64);
    cluster_allow_pubsubshard_when_down: bool = true, Kind::Bool;
    cluster_allow_reads_when_down: bool = false, Kind::Bool;
    cluster_allow_replica_migration: bool = true, Kind::Bool;
    cluster_announce_bus_port: u16 = 0, int(0, 65535);
    cluster_announce_client_ipv4: String = "".into(), Kind::Text, check(client_ipv4);
    cluster_announce_client_ipv6: String = "".into(), Kind::Text, check(client_ipv6);
    cluster_announce_client_port: u16 = 0, int(0, 65535);
    cluster_announce_client_tls_port: u16 = 0, int(0, 65535);
    cluster_announce_hostname: String = "".into(), Kind::Text, check(announced_hostname);
    cluster_announce_human_nodename: String = "".into(), Kind::Text, check(announced_nodename);
    cluster_announce_ip: String = "".into(), Kind::Text, check(announced_ip);
    cluster_announce_port: u16 = 0, int(0, 65535);
    cluster_announce_tls_port: u16 = 0, int(0, 65535);
    cluster_blacklist_ttl: i64 = 60, int(-I64 - 1, I64);
    cluster_config_file: String = "nodes.conf".into(), Kind::Text, immutable();
    cluster_config_save_behavior: ClusterConfigSave = ClusterConfigSave::Sync, Kind::Choice;
    cluster_databases: i32 = 1, int(1, I32), immutable();
    cluster_enabled: bool = false, Kind::Bool, immutable();
    cluster_link_sendbuf_limit: u64 = 0, memory(0, I64);
    cluster_manual_failover_timeout: i32 = 5000, int(1, I32);
    cluster_message_gossip_perc: i32 = 10, int(1, 100), hidden();
    cluster_migration_barrier: i32 = 1, int(0, I32);
    cluster_node_timeout: i64 = 15_000, int(0, I64);
    cluster_ping_interval: i64 = 0, int(0, I64), hidden();
    cluster_port: u16 = 0, int(0, 65535), immutable();
    cluster_preferred_endpoint_type: EndpointType = EndpointType::Ip, Kind::Choice;
    cluster_replica_no_failover: bool = false, Kind::Bool, alias("cluster-slave-no-failover");
    cluster_replica_validity_factor: i32 = 10, int(0, I32), alias("cluster-slave-validity-factor");
    cluster_require_full_coverage: bool = true, Kind::Bool;
    cluster_slot_migration_log_max_len: i64 = 1000, int(0, I64);
    cluster_slot_stats_enabled: bool = false, Kind::Bool;
    commandlog_execution_slower_than: i64 = 10_000, int(-1, I64), alias("slowlog-log-slower-than");
    commandlog_large_reply_max_len: i64 = 128, int(0, I64);
    commandlog_large_request_max_len: i64 = 128, int(0, I64);
    commandlog_reply_larger_than: i64 = 1 << 20, int(-1, I64);
    commandlog_request_larger_than: i64 = 1 << 20, int(-1, I64);
    commandlog_slow_execution_max_len: i64 = 128, int(0, I64), alias("slowlog-max-len");
    crash_log_enabled: bool = true, Kind::Bool;
    crash_memcheck_enabled: bool = true, Kind::Bool;
    /// Run in the background, apart from the terminal.
    daemonize: bool = false, Kind::Bool, immutable();
    databases: usize = 16, int(1, I32), immutable();
    dbfilename: String = "dump.rdb".into(), Kind::Text, protected(), check(dbfilename);
    debug_context: String = "".into(), Kind::Text, hidden();
    /// The working directory; empty is the one that the server was started in.
    dir: String = "".into(), Kind::Text, protected(), clamp(absolute_dir), check(dir_exists);
    disable_thp: bool = true, Kind::Bool, immutable();
    dual_channel_replication_enabled: bool = false, Kind::Bool;
    enable_debug_assert: bool = false, Kind::Bool, hidden(), immutable();
    /// Who may use DEBUG.
    enable_debug_command: Privilege = Privilege::No, Kind::Choice, immutable();
    enable_module_command: Privilege = Privilege::No, Kind::Choice, immutable();
    /// Who may change protected parameters.
    enable_protected_configs: Privilege = Privilege::No, Kind::Choice, immutable();
    extended_redis_compatibility: bool = false, Kind::Bool;
    hash_max_listpack_entries: u64 = 512, int(0, I64), alias("hash-max-ziplist-entries");
    hash_max_listpack_value: u64 = 64, memory(0, I64), alias("hash-max-ziplist-value");
    hash_seed: String = "".into(), Kind::Text, immutable();
    hide_user_data_from_log: bool = true, Kind::Bool;
    hll_sparse_max_bytes: u64 = 3000, memory(0, I64);
    /// How often background work is done, per second.
    hz: u32 = 10, int(0, I32), clamp(|settings| settings.hz = settings.hz.clamp(1, 500));
    ignore_warnings: String = "".into(), Kind::Text;
    import_mode: bool = false, Kind::Bool;
    /// Worker threads.
    io_threads: usize = 1, int(1, 256);
    io_threads_always_active: bool = false, Kind::Bool, hidden();
    jemalloc_bg_thread: bool = true, Kind::Bool;
    key_load_delay: i32 = 0, int(-I32 - 1, I32), hidden();
    latency_monitor_threshold: i64 = 0, int(0, I64);
    latency_tracking: bool = true, Kind::Bool;
    latency_tracking_info_percentiles: Percentiles = Percentiles(vec![50.0, 99.0, 99.9]), Kind::Words;
    lazyfree_lazy_eviction: bool = true, Kind::Bool;
    lazyfree_lazy_expire: bool = true, Kind::Bool;
    lazyfree_lazy_server_del: bool = true, Kind::Bool;
    lazyfree_lazy_user_del: bool = true, Kind::Bool;
    lazyfree_lazy_user_flush: bool = true, Kind::Bool;
    lfu_decay_time: i32 = 1, int(0, I32);
    lfu_log_factor: i32 = 10, int(0, I32);
    list_compress_depth: i32 = 0, int(0, I32);
    list_max_listpack_size: i32 = -2, int(-I32 - 1, I32), alias("list-max-ziplist-size");
    loading_process_events_interval_bytes: i32 = 2 << 20, int(1024, I32), hidden();
    locale_collate: String = "".into(), Kind::Text, check(locale);
    log_format: LogFormat = LogFormat::Legacy, Kind::Choice;
    log_timestamp_format: LogTimestamp = LogTimestamp::Legacy, Kind::Choice;
    /// Empty is the standard output.
    logfile: String = "".into(), Kind::Text, immutable();
    loglevel: LogLevel = LogLevel::Notice, Kind::Choice;
    lua_enable_insecure_api: bool = false, Kind::Bool, alias("lua-enable-deprecated-api"),
        protected(), hidden();
    max_new_connections_per_cycle: u32 = 10, int(1, 1000);
    max_new_tls_connections_per_cycle: u32 = 1, int(1, 1000);
    maxclients: usize = 10_000, int(1, U32);
    maxmemory: u64 = 0, memory(0, U64);
    maxmemory_clients: MemoryOrPercent = MemoryOrPercent::Bytes(0), Kind::Choice;
    maxmemory_eviction_tenacity: u32 = 10, int(0, 100);
    maxmemory_policy: MaxmemoryPolicy = MaxmemoryPolicy::NoEviction, Kind::Choice;
    maxmemory_samples: u32 = 5, int(1, 64);
    min_io_threads_avoid_copy_reply: i32 = 7, int(0, I32), hidden();
    min_replicas_max_lag: i32 = 10, int(0, I32), alias("min-slaves-max-lag");
    min_replicas_to_write: i32 = 0, int(0, I32), alias("min-slaves-to-write");
    min_string_size_avoid_copy_reply: i32 = 16 << 10, int(0, I32), hidden();
    min_string_size_avoid_copy_reply_threaded: i32 = 64 << 10, int(0, I32), hidden();
    mptcp: bool = false, Kind::Bool, immutable();
    no_appendfsync_on_rewrite: bool = false, Kind::Bool;
    notify_keyspace_events: KeyspaceEvents = KeyspaceEvents::default(), Kind::Choice;
    oom_score_adj: OomScoreAdj = OomScoreAdj::No, Kind::Choice, clamp(relative_is_yes);
    oom_score_adj_values: OomScores = OomScores([0, 200, 800]), Kind::Words;
    pidfile: String = "".into(), Kind::Text, immutable();
    /// 0 does not listen on TCP.
    port: u16 = 6379, int(0, 65535);
    prefetch_batch_max_size: u32 = 16, int(0, 128);
    primaryauth: Vec<u8> = Vec::new(), Kind::Text, alias("masterauth");
    primaryuser: String = "".into(), Kind::Text, alias("masteruser");
    proc_title_template: String = "{title} {listen-addr} {server-mode}".into(), Kind::Text,
        check(title_template);
    propagation_error_behavior: PropagationError = PropagationError::Ignore, Kind::Choice;
    /// Without a password, and listening everywhere, only local clients are served.
    protected_mode: bool = true, Kind::Bool;
    /// Bytes of one argument of a request.
    proto_max_bulk_len: i64 = 512 << 20, memory(1 << 20, I64);
    rdb_del_sync_files: bool = false, Kind::Bool;
    rdb_key_save_delay: i32 = 0, int(-I32 - 1, I32), hidden();
    rdb_save_incremental_fsync: bool = true, Kind::Bool;
    rdb_version_check: RdbVersionCheck = RdbVersionCheck::Strict, Kind::Choice;
    rdbchecksum: bool = true, Kind::Bool, immutable();
    rdbcompression: bool = true, Kind::Bool;
    /// Addresses of RDMA devices to listen on.
    rdma_bind: Addresses = Vec::new(), Kind::Words;
    /// The interrupt of the device that serves a worker's completion queue; -1 takes them in turn.
    rdma_completion_vector: i32 = -1, int(-1, 1024), immutable();
    /// Bytes that may be registered with RDMA devices; 0 is no limit.
    rdma_max_registered_memory: u64 = 4 << 30, memory(0, I64);
    /// Microseconds to spin on a completion queue before sleeping; 0 never, -1 always.
    rdma_poll_us: i64 = 20, int(-1, 1_000_000);
    /// 0 does not listen on RDMA.
    rdma_port: u16 = 0, int(0, 65535);
    /// Bytes of a connection's registered receive buffer.
    rdma_rx_size: usize = 1 << 20, int(64 << 10, 16 << 20), immutable();
    repl_backlog_size: u64 = 10 << 20, memory(1, I64),
        clamp(|settings| settings.repl_backlog_size = settings.repl_backlog_size.max(16 << 10));
    repl_backlog_ttl: i64 = 3600, int(0, I64);
    repl_disable_tcp_nodelay: bool = false, Kind::Bool;
    repl_diskless_load: DisklessLoad = DisklessLoad::Disabled, Kind::Choice;
    repl_diskless_sync: bool = true, Kind::Bool;
    repl_diskless_sync_delay: i32 = 5, int(0, I32);
    repl_diskless_sync_max_replicas: i32 = 0, int(0, I32);
    repl_mptcp: bool = false, Kind::Bool, immutable();
    repl_ping_replica_period: i32 = 10, int(1, I32), alias("repl-ping-slave-period");
    repl_timeout: i32 = 60, int(1, I32);
    replica_announce_ip: String = "".into(), Kind::Text, alias("slave-announce-ip");
    replica_announce_port: u16 = 0, int(0, 65535), alias("slave-announce-port");
    replica_announced: bool = true, Kind::Bool;
    replica_ignore_disk_write_errors: bool = false, Kind::Bool;
    replica_ignore_maxmemory: bool = true, Kind::Bool, alias("slave-ignore-maxmemory");
    replica_lazy_flush: bool = true, Kind::Bool, alias("slave-lazy-flush");
    replica_priority: i32 = 100, int(0, I32), alias("slave-priority");
    replica_read_only: bool = true, Kind::Bool, alias("slave-read-only");
    replica_serve_stale_data: bool = true, Kind::Bool, alias("slave-serve-stale-data");
    replicaof: ReplicaOf = ReplicaOf::default(), Kind::Words, alias("slaveof"), immutable();
    /// The password of the default user; empty for none.
    requirepass: Vec<u8> = Vec::new(), Kind::Text;
    save: SavePoints = SavePoints(vec![(3600, 1), (300, 100), (60, 10_000)]), Kind::Words;
    server_cpulist: String = "".into(), Kind::Text, alias("server_cpulist"), immutable();
    set_max_intset_entries: u64 = 512, int(0, I64);
    set_max_listpack_entries: u64 = 128, int(0, I64);
    set_max_listpack_value: u64 = 64, int(0, I64);
    set_proc_title: bool = true, Kind::Bool, immutable();
    shutdown_on_sigint: ShutdownOn = ShutdownOn::default(), Kind::Words;
    shutdown_on_sigterm: ShutdownOn = ShutdownOn::default(), Kind::Words;
    shutdown_timeout: i32 = 10, int(0, I32);
    slot_migration_max_failover_repl_bytes: i64 = 0, memory(-1, I64);
    socket_mark_id: u32 = 0, int(0, U32), immutable();
    stop_writes_on_bgsave_error: bool = true, Kind::Bool;
    stream_node_max_bytes: u64 = 4096, memory(0, I64);
    stream_node_max_entries: i64 = 100, int(0, I64);
    supervised: Supervised = Supervised::No, Kind::Choice, immutable();
    syslog_enabled: bool = false, Kind::Bool, immutable();
    syslog_facility: SyslogFacility = SyslogFacility::Local0, Kind::Choice, immutable();
    syslog_ident: String = "verbena".into(), Kind::Text, immutable();
    tcp_backlog: i32 = 511, int(0, I32), immutable();
    /// Seconds of silence before the system probes a client; 0 is off.
    tcp_keepalive: u32 = 300, int(0, I32);
    /// Seconds after which an idle client is closed; 0 never.
    timeout: u64 = 0, int(0, I32);
    tls_auth_clients: TlsAuthClients = TlsAuthClients::Yes, Kind::Choice;
    tls_auth_clients_user: TlsAuthClientsUser = TlsAuthClientsUser::Off, Kind::Choice;
    tls_auto_reload_interval: i32 = 0, int(0, I32);
    tls_ca_cert_dir: String = "".into(), Kind::Text, volatile();
    tls_ca_cert_file: String = "".into(), Kind::Text, volatile();
    tls_cert_file: String = "".into(), Kind::Text, volatile();
    tls_ciphers: String = "".into(), Kind::Text;
    tls_ciphersuites: String = "".into(), Kind::Text;
    tls_client_cert_file: String = "".into(), Kind::Text, volatile();
    tls_client_key_file: String = "".into(), Kind::Text, volatile();
    tls_client_key_file_pass: String = "".into(), Kind::Text;
    tls_cluster: bool = false, Kind::Bool;
    tls_dh_params_file: String = "".into(), Kind::Text, volatile();
    tls_key_file: String = "".into(), Kind::Text, volatile();
    tls_key_file_pass: String = "".into(), Kind::Text;
    tls_port: u16 = 0, int(0, 65535);
    tls_prefer_server_ciphers: bool = false, Kind::Bool;
    tls_protocols: String = "".into(), Kind::Text;
    tls_replication: bool = false, Kind::Bool;
    tls_session_cache_size: i32 = 20_480, int(0, I32);
    tls_session_cache_timeout: i32 = 300, int(0, I32);
    tls_session_caching: bool = true, Kind::Bool;
    tracking_table_max_keys: u64 = 1_000_000, int(0, I64);
    /// The path of a Unix socket to listen on; empty for none.
    unixsocket: String = "".into(), Kind::Text, immutable();
    unixsocketgroup: String = "".into(), Kind::Text, immutable();
    /// The Unix socket's mode bits; 0 leaves them to the umask.
    unixsocketperm: u32 = 0, Kind::Octal { max: 0o777 }, immutable();
    use_exit_on_panic: bool = false, Kind::Bool, hidden();
    watchdog_period: i32 = 0, int(0, I32), clamp(shortest_watchdog), hidden();
    zset_max_listpack_entries: u64 = 128, int(0, I64), alias("zset-max-ziplist-entries");
    zset_max_listpack_value: u64 = 64, memory(0, I64), alias("zset-max-ziplist-value");
}

impl Settings {
    /// The port that stands for the server in texts: of TCP, or where that has none of TLS.
    pub fn main_port(&self) -> u16 {
        if self.port != 0 { self.port } else { self.tls_port }
    }

    /// What these settings ask for and this server does not do: each in a sentence, for the log.
    pub fn unmet(&self) -> Vec<&'static str> {
        let unmet = [
            (self.appendonly, "appendonly is set, but this version writes no append-only file."),
            (self.cluster_enabled, "cluster-enabled is set, but this version has no cluster mode."),
            (self.replicaof.0.is_some(), "replicaof is set, but this version does not replicate."),
            (
                self.tls_port != 0 && self.rdma_port != 0,
                "TLS does not apply to RDMA: connections to rdma-port are not encrypted.",
            ),
        ];
        unmet.into_iter().filter(|(asked, _)| *asked).map(|(_, sentence)| sentence).collect()
    }
}

/// All parameters, in the order of their names.
pub static PARAMETERS: LazyLock<Vec<Parameter>> = LazyLock::new(rows);

/// Parameters by name and alias.
static NAMES: LazyLock<HashMap<&'static str, &'static Parameter>> = LazyLock::new(|| {
    let mut names = HashMap::new();
    for parameter in PARAMETERS.iter() {
        names.insert(parameter.name.as_str(), parameter);
        names.extend(parameter.alias.map(|alias| (alias, parameter)));
    }
    names
});

/// The parameter of that name or alias, in any case.
pub fn find(name: &[u8]) -> Option<&'static Parameter> {
    let name = name.to_ascii_lowercase();
    NAMES.get(std::str::from_utf8(&name).ok()?).copied()
}

fn unless(wrong: bool, text: &'static str) -> Result<(), &'static str> {
    if wrong { Err(text) } else { Ok(()) }
}

fn no_defragmentation(settings: &Settings) -> Result<(), &'static str> {
    unless(
        settings.activedefrag,
        "Active defragmentation cannot be enabled: it requires a server compiled with a modified \
         Jemalloc like the one shipped by default with the source distribution",
    )
}

fn appenddirname(settings: &Settings) -> Result<(), &'static str> {
    let name = &settings.appenddirname;
    unless(name.contains('/'), "appenddirname can't be a path, just a dirname")
}

fn appendfilename(settings: &Settings) -> Result<(), &'static str> {
    let name = &settings.appendfilename;
    unless(name.contains('/'), "appendfilename can't be a path, just a filename")
}

fn dbfilename(settings: &Settings) -> Result<(), &'static str> {
    let name = &settings.dbfilename;
    unless(name.contains('/'), "dbfilename can't be a path, just a filename")
}

/// Two words for one thing; Valkey reports it by the other.
fn relative_is_yes(settings: &mut Settings) {
    if settings.oom_score_adj == OomScoreAdj::Relative {
        settings.oom_score_adj = OomScoreAdj::Yes;
    }
}

/// A period of less than 200 ms is raised to that, as Valkey does.
fn shortest_watchdog(settings: &mut Settings) {
    if settings.watchdog_period > 0 {
        settings.watchdog_period = settings.watchdog_period.max(200);
    }
}

/// What a relative path means changes with the working directory.
fn absolute_dir(settings: &mut Settings) {
    if let Ok(dir) = std::path::absolute(&settings.dir) {
        settings.dir = dir.display().to_string();
    }
}

fn dir_exists(settings: &Settings) -> Result<(), &'static str> {
    match std::fs::metadata(&settings.dir) {
        Ok(found) => unless(!found.is_dir(), "Not a directory"),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err("Permission denied")
        }
        Err(_) => Err("No such file or directory"),
    }
}

fn client_ipv4(settings: &Settings) -> Result<(), &'static str> {
    let address = &settings.cluster_announce_client_ipv4;
    unless(!address.is_empty() && address.parse::<Ipv4Addr>().is_err(), "Invalid IPv4 address")
}

fn client_ipv6(settings: &Settings) -> Result<(), &'static str> {
    let address = &settings.cluster_announce_client_ipv6;
    unless(!address.is_empty() && address.parse::<Ipv6Addr>().is_err(), "Invalid IPv6 address")
}

fn announced_hostname(settings: &Settings) -> Result<(), &'static str> {
    let name = &settings.cluster_announce_hostname;
    unless(name.len() >= 256, "Hostnames must be less than 256 characters")?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    unless(
        !name.bytes().all(allowed),
        "Hostnames may only contain alphanumeric characters, hyphens or dots",
    )
}

/// Characters that the cluster's texts need for themselves.
fn breaks_nodes_conf(text: &str) -> bool {
    text.bytes().any(|b| !b.is_ascii_graphic() || b"!#$%&()*+;<>?@[]^{|}~=,'\"\\/`".contains(&b))
}

fn announced_nodename(settings: &Settings) -> Result<(), &'static str> {
    unless(
        breaks_nodes_conf(&settings.cluster_announce_human_nodename),
        "Announced human node name contained invalid character",
    )
}

fn announced_ip(settings: &Settings) -> Result<(), &'static str> {
    unless(
        breaks_nodes_conf(&settings.cluster_announce_ip),
        "cluster-announce-ip contains invalid character",
    )
}

fn locale(settings: &Settings) -> Result<(), &'static str> {
    // Comparisons are by bytes, which is what these locales mean.
    let known = ["", "C", "POSIX", "C.UTF-8"];
    unless(!known.contains(&settings.locale_collate.as_str()), "Invalid locale name")
}

fn title_template(settings: &Settings) -> Result<(), &'static str> {
    const KNOWN: [&str; 7] =
        ["title", "config-file", "port", "tls-port", "unixsocket", "server-mode", "listen-addr"];
    let template = &settings.proc_title_template;
    let mut parts = template.split('{');
    let plain = parts.next().is_some_and(|part| !template.is_empty() && !part.contains('}'));
    let known = parts.all(|part| {
        part.is_empty() || part.split_once('}').is_some_and(|(name, _)| KNOWN.contains(&name))
    });
    unless(!plain || !known, "template format is invalid or contains unknown variables")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_ordered_and_its_names_are_unique() {
        assert!(PARAMETERS.is_sorted_by_key(|parameter| parameter.name.as_str()));
        let aliases = PARAMETERS.iter().filter(|parameter| parameter.alias.is_some()).count();
        assert_eq!(NAMES.len(), PARAMETERS.len() + aliases);
        assert!(find(b"SLAVE-Priority").is_some_and(|found| found.name == "replica-priority"));
        assert!(find(b"nope").is_none());
    }

    #[test]
    fn every_default_is_a_valid_value() {
        for parameter in PARAMETERS.iter() {
            let defaults = Settings::default();
            let mut settings = defaults.clone();
            let value = parameter.get(&defaults);
            // Nothing to follow has no form that can be said.
            if parameter.name == "replicaof" || parameter.name == "dir" {
                continue;
            }
            parameter.set_from_command(&mut settings, &value).unwrap_or_else(|refusal| {
                panic!("{} {}: {refusal}", parameter.name, String::from_utf8_lossy(&value))
            });
            assert!(parameter.same(&settings, &defaults), "{}", parameter.name);
        }
    }
}
