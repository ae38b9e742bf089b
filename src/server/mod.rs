//! The running server: what all workers share, the workers, and the control thread that accepts.

mod apply;
mod clients;
mod control;
mod deadlines;
mod events;
mod eviction;
mod expiry;
mod listening;
mod memory;
mod pause;
mod process;
mod reclaim;
mod stats;
mod worker;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use sd_notify::NotifyState;
use tokio::sync::mpsc;
use verbena_transport::TransportKind;

use crate::command::CommandTable;
use crate::config::{Config, Settings, Startup, system_text};
use crate::keyspace::Keyspace;
use crate::log;

pub use clients::{Attributes, ClientRecord, Clients, Labels};
pub use control::ControlRequest;
pub use events::{Events, KeyspaceEvent};
pub use eviction::{Eviction, Room};
use listening::Listeners;
pub use memory::{Memory, MemoryUse, machine_memory};
pub use pause::{Pause, Paused};
use process::PidFile;
pub use process::prepare;
pub use reclaim::Reclaimer;
pub use stats::{CommandStats, Counter, Gauge, Rates, WorkerStats};
pub use worker::Worker;

/// What all threads of the server share.
pub struct Server {
    pub config: Config,
    pub keyspace: Keyspace,
    pub commands: &'static CommandTable,
    pub clients: Clients,
    pub pause: Pause,
    pub reclaimer: Reclaimer,
    pub eviction: Eviction,
    pub events: Events,
    /// One for each worker.
    pub stats: Box<[CachePadded<WorkerStats>]>,
    /// Connections of each worker.
    pub loads: Box<[CachePadded<AtomicUsize>]>,
    pub accepted_connections: AtomicU64,
    pub rejected_connections: AtomicU64,
    /// Connections that ended because a request was too long, or too many replies were left unread.
    pub query_limit_disconnections: AtomicU64,
    pub output_limit_disconnections: AtomicU64,
    pub rates: Mutex<Rates>,
    pub memory: Memory,
    /// Turns ticks into time.
    pub clock: quanta::Clock,
    pub control: mpsc::UnboundedSender<ControlRequest>,
    pub started: Instant,
    /// Milliseconds of Unix time.
    pub started_at: i64,
    /// Names this run of the server: 40 hexadecimal digits.
    pub run_id: String,
    /// Names the history of the data, for replicas: 40 hexadecimal digits.
    pub replication_id: String,
    /// False if DEBUG SET-ACTIVE-EXPIRE turned the removal of expired keys off that nobody asks for.
    pub active_expire: AtomicBool,
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

/// Starts a server and serves until it is told to stop. The error is for the user.
pub fn run(startup: Startup) -> Result<(), String> {
    if process::daemonize(&startup).map_err(|error| format!("Can't run as a daemon: {error}"))? {
        return Ok(());
    }
    let Startup { mut settings, file, configured, .. } = startup;
    log::notice("Verbena is starting");
    log::notice(format_args!(
        "Verbena version={}, bits={}, pid={}, just started",
        env!("CARGO_PKG_VERSION"),
        usize::BITS,
        std::process::id()
    ));
    log::notice(if configured {
        "Configuration loaded"
    } else {
        "No config file specified, using the default config. In order to specify a config file \
         use verbena-server /path/to/verbena.conf"
    });
    settings.unmet().into_iter().for_each(log::warning);
    process::reserve_descriptors(&mut settings)?;
    log::notice(format_args!("Running mode=standalone, port={}.", settings.port));
    let workers = settings.io_threads;
    let (server, requests) = Server::new(settings, file);
    let failed = |error: io::Error| system_text(&error);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let settings = server.config.load();
        let listeners = Listeners::open(&settings)?;
        let _pidfile = PidFile::write(&settings);
        let handoffs = (0..workers)
            .map(|index| worker::start(server, index))
            .collect::<io::Result<Vec<_>>>()
            .map_err(failed)?;
        // Whoever reads that the server is ready may send it a signal.
        let signals = control::Signals::new().map_err(failed)?;
        log::notice("Server initialized");
        let kinds = listeners.kinds();
        for kind in &kinds {
            log::notice(format_args!("Ready to accept connections {kind}"));
        }
        let ready = [NotifyState::Status("Ready to accept connections"), NotifyState::Ready];
        process::notify_supervisor(&settings, &ready);
        server.memory.ready();
        control::run(server, listeners, requests, &handoffs, signals).await.map_err(failed)?;
        process::notify_supervisor(&settings, &[NotifyState::Stopping]);
        if kinds.contains(&TransportKind::Unix) {
            log::notice("Removing the unix socket file.");
        }
        Ok::<_, String>(())
    })?;
    log::warning("Verbena is now ready to exit, bye bye...");
    Ok(())
}

impl Server {
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub fn set_active_expire(&self, on: bool) {
        self.active_expire.store(on, Ordering::Relaxed);
    }

    /// The server's state, which lives as long as the process, and what is asked of its control
    /// thread. It serves nobody yet: [`run`] does, and benches do without listeners.
    pub fn new(
        settings: Settings,
        file: Option<std::path::PathBuf>,
    ) -> (&'static Server, mpsc::UnboundedReceiver<ControlRequest>) {
        let (control, requests) = mpsc::unbounded_channel();
        let workers = settings.io_threads;
        let commands: &'static CommandTable = Box::leak(Box::new(CommandTable::new()));
        let server = Box::leak(Box::new(Server {
            keyspace: Keyspace::new(settings.databases, workers),
            config: Config::new(settings, file),
            commands,
            clients: Clients::default(),
            pause: Pause::default(),
            reclaimer: Reclaimer::default(),
            eviction: Eviction::default(),
            events: Events::default(),
            stats: (0..workers).map(|_| WorkerStats::new(commands.ids()).into()).collect(),
            loads: (0..workers).map(|_| CachePadded::default()).collect(),
            accepted_connections: AtomicU64::new(0),
            rejected_connections: AtomicU64::new(0),
            query_limit_disconnections: AtomicU64::new(0),
            output_limit_disconnections: AtomicU64::new(0),
            rates: Mutex::default(),
            memory: Memory::default(),
            clock: quanta::Clock::new(),
            control,
            started: Instant::now(),
            started_at: unix_milliseconds(),
            run_id: process::random_id(),
            replication_id: process::random_id(),
            active_expire: AtomicBool::new(true),
        }));
        (server, requests)
    }
}
