//! The state that all threads of the server share: settings, keyspace, statistics, the registry of
//! clients. It knows neither commands nor sessions.

mod apply;
mod client_memory;
mod clients;
mod command_log;
mod control;
mod counter;
mod delivery;
mod eviction;
mod histogram;
mod latency;
mod lazy_free;
mod load;
mod memory;
mod monitors;
mod outbox;
mod pause;
mod pubsub;
mod push;
mod stats;
mod switches;
mod tls;
mod tracking;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;

use crate::acl::{self, Acl};
use crate::config::{Config, KeyspaceEvents, Settings};
use crate::keyspace::{Keyspace, Listeners, MOST_WORKERS, OTHER_THREADS};
use crate::process;
use crate::script::Scripts;

pub use apply::{RemoteControl, TLS_PARAMETER, needs_control_thread};
pub use client_memory::ClientMemory;
pub use clients::{Attributes, ClientRecord, Clients, Labels, Multi};
pub use command_log::{CommandLog, LogEntry, Logged, LoggedCall};
pub use control::{ControlRequest, ControlThread};
pub use counter::{Counter, Gauge};
pub use delivery::{Delivery, Published};
pub use eviction::{Eviction, Room};
pub use histogram::Latencies;
pub use latency::{LatencyEvent, LatencyHistory, LatencyMonitor, LatencySample};
pub use lazy_free::LazyFree;
pub use load::{Load, LoopTotals};
pub use memory::{Memory, MemoryUse, machine_memory};
pub use monitors::Monitors;
pub use outbox::{Outbox, OutboxClass};
pub use pause::{Pause, Paused};
pub use pubsub::{Name, PubSub, SubscriptionKind};
pub use push::{OutboxSender, Push};
pub use stats::{AllStats, CommandStats, Rates, WorkerStats};
pub use switches::{Switch, Switches};
pub use tls::{LoadedTls, Tls, certificate_users, same_tls, uses_tls};
pub use tracking::{ChangedKeys, Tracking, TrackingTarget};

/// What all threads of the server share.
pub struct Server {
    pub config: Config,
    pub keyspace: Keyspace,
    /// The users.
    pub acl: Acl,
    /// Names of commands and subcommands by id: `get`, `config|get`.
    pub command_names: Box<[String]>,
    pub clients: Clients,
    pub pause: Pause,
    pub lazy_free: LazyFree,
    pub eviction: Eviction,
    pub delivery: Delivery,
    pub pubsub: PubSub,
    pub tracking: Tracking,
    pub monitors: Monitors,
    pub scripts: Scripts,
    /// One for each thread that enters the keyspace: the workers, then the others.
    pub stats: AllStats,
    /// Connections of each worker that there may be.
    pub loads: Box<[CachePadded<AtomicUsize>]>,
    workers: AtomicUsize,
    pub accepted_connections: AtomicU64,
    pub rejected_connections: AtomicU64,
    /// Connections that ended because a request was too long, or too many replies were left unread.
    pub query_limit_disconnections: AtomicU64,
    pub output_limit_disconnections: AtomicU64,
    pub rates: Mutex<Rates>,
    pub command_log: CommandLog,
    pub latency: LatencyMonitor,
    /// How busy the threads are.
    pub load: Load,
    pub memory: Memory,
    pub tls: Tls,
    /// Turns ticks into time.
    pub clock: quanta::Clock,
    pub control: mpsc::UnboundedSender<ControlRequest>,
    pub started: Instant,
    /// Milliseconds of Unix time.
    pub started_at: i64,
    /// Names this run of the server: 40 hexadecimal digits.
    pub run_id: String,
    /// Names the history of the data, for replicas: 40 hexadecimal digits.
    replication_id: Mutex<String>,
    /// What DEBUG has turned off.
    pub switches: Switches,
}

/// Microseconds of Unix time.
pub fn unix_microseconds() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

/// Milliseconds of Unix time.
pub fn unix_milliseconds() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// Bytes that the scripts' state of Lua may have, and that of functions: half of what the machine has. Valkey has no
/// limit, and ends with the process when there is no more.
fn script_memory() -> usize {
    usize::try_from(machine_memory() / 2).unwrap_or(usize::MAX)
}

impl Server {
    /// Names the history of the data, for replicas: 40 hexadecimal digits.
    pub fn replication_id(&self) -> String {
        self.replication_id.lock().clone()
    }

    /// DEBUG CHANGE-REPL-ID.
    pub fn change_replication_id(&self) {
        *self.replication_id.lock() = process::random_id();
    }

    /// Ends the clients whose output buffers are over their limits.
    pub fn end_over_limit(&self, sender: OutboxSender<'_>) {
        for client in sender.grown {
            self.count_client(&client);
        }
        for client in sender.over_limit {
            client.log_output_limit(unix_milliseconds(), &self.command_names);
            self.clients.kill(&client);
            self.output_limit_disconnections.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many worker threads there are. Those beyond `io-threads` get no more connections.
    pub fn workers(&self) -> usize {
        self.workers.load(Ordering::Relaxed)
    }

    /// Counts one more worker. Only the control thread does so.
    pub fn count_worker(&self) {
        self.workers.fetch_add(1, Ordering::Relaxed);
    }

    /// Who listens to what a unit does that begins now.
    #[inline]
    pub fn listeners(&self, settings: &Settings) -> Listeners {
        let mut events = settings.notify_keyspace_events;
        if !events.is_empty() && self.pubsub.is_idle() && !self.delivery.has_listeners() {
            events = KeyspaceEvents::default();
        }
        Listeners { events, journal: self.keyspace.journal.is_listening() }
    }

    /// The server's state, which lives as long as the process, and what is asked of its control
    /// thread.
    pub fn new(
        settings: Settings,
        file: Option<std::path::PathBuf>,
        commands: acl::Commands,
    ) -> (&'static Server, mpsc::UnboundedReceiver<ControlRequest>) {
        let (control, requests) = mpsc::unbounded_channel();
        let workers = settings.io_threads;
        let command_names = commands.names();
        let acl = Acl::new(commands);
        acl.set_default_password(&settings.requirepass);
        let server = Box::leak(Box::new(Server {
            keyspace: Keyspace::new(settings.databases, workers),
            acl,
            clients: Clients::default(),
            pause: Pause::default(),
            lazy_free: LazyFree::new(&settings.bio_cpulist),
            config: Config::new(settings, file),
            eviction: Eviction::default(),
            delivery: Delivery::default(),
            pubsub: PubSub::default(),
            tracking: Tracking::default(),
            monitors: Monitors::default(),
            scripts: Scripts::new(script_memory()),
            stats: AllStats::new(MOST_WORKERS + OTHER_THREADS, command_names.len()),
            loads: (0..MOST_WORKERS).map(|_| CachePadded::default()).collect(),
            workers: AtomicUsize::new(workers),
            command_names,
            accepted_connections: AtomicU64::new(0),
            rejected_connections: AtomicU64::new(0),
            query_limit_disconnections: AtomicU64::new(0),
            output_limit_disconnections: AtomicU64::new(0),
            rates: Mutex::default(),
            command_log: CommandLog::default(),
            latency: LatencyMonitor::default(),
            load: Load::new(MOST_WORKERS),
            memory: Memory::default(),
            tls: Tls::default(),
            clock: quanta::Clock::new(),
            control,
            started: Instant::now(),
            started_at: unix_milliseconds(),
            run_id: process::random_id(),
            replication_id: Mutex::new(process::random_id()),
            switches: Switches::default(),
        }));
        server.clients.memory.set_limit(&server.config.load());
        (server, requests)
    }
}
