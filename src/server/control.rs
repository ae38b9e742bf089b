//! The control thread: it accepts connections and hands them to the workers, closes idle clients,
//! takes signals, and ends the server.
//!
//! It never enters the keyspace: a worker that is inside may wait for it.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use verbena_transport::Incoming;
use verbena_transport::security::ServerContext;

use super::listening::Listeners;
use super::workers::{Refusal, Workers};
use crate::config::{Settings, ShutdownOn, system_text};
use crate::log;
use crate::state::{ControlRequest, ControlThread, Server, Switch, unix_milliseconds};

/// How often clients are looked for that are idle, or do not read, for too long.
const IDLE_SWEEP: Duration = Duration::from_secs(1);

/// How often the rates that INFO shows are sampled.
const SAMPLING: Duration = Duration::from_millis(100);

/// How often the memory is measured, for its peak.
const MEASURING: Duration = Duration::from_secs(1);

/// How long nothing is accepted after an error, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accept errors are logged at most this often.
const ERROR_LOG_PAUSE: Duration = Duration::from_secs(1);

/// The control thread's own: the listeners, and the workers that it hands connections to.
pub(super) struct Resources {
    pub listeners: Listeners,
    pub workers: Workers,
}

impl ControlThread for Resources {
    fn listen(
        &mut self,
        old: &Arc<Settings>,
        new: &Arc<Settings>,
        tls: Option<Arc<ServerContext>>,
    ) -> Result<(), String> {
        self.listeners.change(old, new, tls)
    }

    fn start_workers(&mut self, count: usize) -> Result<(), String> {
        let failed = |error| format!("Can't start a worker thread: {}", system_text(&error));
        self.workers.grow(count).map_err(failed)
    }
}

/// How the server ends.
pub(super) enum End {
    /// Clients may take so long to read the replies to what they have sent.
    Shutdown { patience: Duration },
    /// As a shutdown; then the program is executed again, after this time.
    Restart(Duration),
}

/// How long a shutdown waits for clients to read their replies, at the most.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a shutdown looks whether all clients are gone.
const FAREWELL_STEP: Duration = Duration::from_millis(2);

/// Serves until the server is to end.
pub(super) async fn run(
    server: &'static Server,
    resources: &mut Resources,
    mut requests: mpsc::UnboundedReceiver<ControlRequest>,
    signals: &mut Signals,
) -> io::Result<End> {
    let mut sampling = tokio::time::interval(SAMPLING);
    sampling.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut sweeping = tokio::time::interval(IDLE_SWEEP);
    sweeping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut measuring = tokio::time::interval(MEASURING);
    measuring.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let is_on = || server.switches.is_on(Switch::PeriodicTasks);
    let mut reloading = Reloading { last: Instant::now() };
    let mut paused = None;
    let mut last_logged: Option<Instant> = None;
    loop {
        tokio::select! {
            accepted = poll_fn(|cx| resources.listeners.poll_accept(cx)), if paused.is_none() => match accepted {
                Ok(incoming) => {
                    dispatch(server, &server.config.load(), &resources.workers, incoming);
                },
                Err(error) => {
                    if last_logged.is_none_or(|at| at.elapsed() >= ERROR_LOG_PAUSE) {
                        let reason = system_text(&error);
                        log::warning(format_args!("Accepting client connection: accept: {reason}"));
                        last_logged = Some(Instant::now());
                    }
                    paused = Some(Box::pin(tokio::time::sleep(ACCEPT_PAUSE)));
                }
            },
            () = async { paused.as_mut().expect("it is paused").await }, if paused.is_some() => {
                paused = None;
            }
            request = requests.recv() => match request {
                Some(ControlRequest::Run(work)) => work(resources),
                Some(ControlRequest::Adjust(new)) => {
                    resources.listeners.adjust(&new, server.tls.server());
                }
                Some(ControlRequest::Shutdown { by, now }) => {
                    log::notice(format_args!("User requested shutdown... ({by})"));
                    return Ok(End::shutdown(server, now));
                }
                Some(ControlRequest::Restart(delay)) => return Ok(End::Restart(delay)),
                // The server owns a sender, and lives as long as the process.
                None => return Ok(End::shutdown(server, true)),
            },
            signal = signals.recv() => {
                if let Some(end) = obey(server, signal) {
                    return Ok(end);
                }
            }
            _ = sampling.tick(), if is_on() => server.sample(),
            _ = measuring.tick(), if is_on() => {
                server.memory.measure();
            }
            _ = sweeping.tick(), if is_on() => {
                let settings = server.config.load();
                sweep(server, &settings);
                reloading.tick(server, &settings);
            }
        }
    }
}

impl End {
    fn shutdown(server: &Server, now: bool) -> End {
        // A client whose script runs for long reads no reply before that ends.
        let now = now || server.scripts.running.get().is_some();
        let timeout = Duration::from_secs(server.config.load().shutdown_timeout.max(0) as u64);
        End::Shutdown { patience: if now { Duration::ZERO } else { timeout.min(PATIENCE) } }
    }
}

/// The end that a signal asks for, as the settings say.
fn obey(server: &Server, signal: Ending) -> Option<End> {
    let settings = server.config.load();
    let (name, options) = match signal {
        Ending::Terminate => ("SIGTERM", settings.shutdown_on_sigterm),
        Ending::Interrupt => ("SIGINT", settings.shutdown_on_sigint),
    };
    log::notice(format_args!("Received {name} scheduling shutdown..."));
    log::notice("User requested shutdown...");
    let ShutdownOn { save, force, now, .. } = options;
    if save && !force {
        log::warning("The data can't be saved: this version writes no file.");
        log::warning("Errors trying to shut down the server, check the logs for more information.");
        return None;
    }
    Some(End::shutdown(server, now))
}

/// Ends all clients' connections: each after the replies to the requests that have arrived, if its client reads
/// them within `patience`. A second SIGINT ends the process at once.
pub(super) async fn part(server: &Server, signals: &mut Signals, patience: Duration) {
    if patience.is_zero() {
        return;
    }
    server.clients.finish_all();
    let gone = async {
        while !server.clients.is_empty() {
            tokio::time::sleep(FAREWELL_STEP).await;
        }
    };
    tokio::select! {
        _ = tokio::time::timeout(patience, gone) => {}
        () = signals.interrupted() => {
            log::warning("You insist... exiting now.");
            std::process::exit(1);
        }
    }
}

/// Ends the connections that nobody will end: of clients that are silent, or do not read, for too long.
fn sweep(server: &Server, settings: &Settings) {
    let now = unix_milliseconds();
    if settings.timeout > 0 {
        server.clients.kill_idle(now - settings.timeout as i64 * 1000);
    }
    let limits = &settings.client_output_buffer_limit;
    let killed = server.clients.kill_slow_readers(limits, now, &server.command_names);
    server.output_limit_disconnections.fetch_add(killed as u64, Ordering::Relaxed);
}

/// When the files of TLS are looked at for changes.
struct Reloading {
    last: Instant,
}

impl Reloading {
    /// Has a thread read them again, if it is time.
    fn tick(&mut self, server: &'static Server, settings: &Settings) {
        let interval = Duration::from_secs(settings.tls_auto_reload_interval.max(0) as u64);
        if interval.is_zero() || self.last.elapsed() < interval {
            return;
        }
        self.last = Instant::now();
        // Nobody waits for files, which may lie on another machine.
        let name = String::from("tls_reload");
        let thread = std::thread::Builder::new().name(name);
        if let Err(error) = thread.spawn(|| server.reload_changed_tls()) {
            log::warning(format_args!("Can't look for changed TLS files: {}", system_text(&error)));
        }
    }
}

/// Hands a connection to a worker, which serves it or says why not.
fn dispatch(
    server: &'static Server,
    settings: &Settings,
    workers: &Workers,
    incoming: Box<dyn Incoming>,
) {
    let loads = server.loads.iter().take(server.workers());
    let connected = loads.map(|load| load.load(Ordering::Relaxed)).sum();
    let has_password = !server.acl.default_user().no_password;
    let refusal = refusal(settings, has_password, connected, &*incoming);
    if refusal.is_some() {
        server.rejected_connections.fetch_add(1, Ordering::Relaxed);
    } else {
        server.accepted_connections.fetch_add(1, Ordering::Relaxed);
    }
    workers.serve(settings.io_threads, incoming, refusal);
}

/// Why a connection is not served.
fn refusal(
    settings: &Settings,
    has_password: bool,
    connected: usize,
    incoming: &dyn Incoming,
) -> Option<Refusal> {
    if connected >= settings.maxclients {
        return Some(Refusal::Full);
    }
    let open = !settings.protected_mode || has_password;
    (!open && !incoming.info().peer.is_local()).then_some(Refusal::Protected)
}

/// A signal that asks for the end.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Terminate,
    Interrupt,
}

/// The signals that end the server, and the one that must not.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to end.
    async fn recv(&mut self) -> Ending {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Ending::Terminate,
                _ = self.interrupt.recv() => return Ending::Interrupt,
                // The terminal is gone: a server stays.
                _ = self.hangup.recv() => {}
            }
        }
    }

    /// Waits for a SIGINT.
    async fn interrupted(&mut self) {
        self.interrupt.recv().await;
    }
}

#[cfg(test)]
mod tests {
    use verbena_transport::{Connection, ConnectionInfo, Endpoint, tcp};

    use super::*;

    struct From(ConnectionInfo);

    impl Incoming for From {
        fn info(&self) -> &ConnectionInfo {
            &self.0
        }

        fn attach(self: Box<Self>) -> io::Result<Box<dyn Connection>> {
            unreachable!("it is only asked where it comes from")
        }
    }

    fn refused(settings: &Settings, connected: usize, peer: &str) -> Option<&'static str> {
        let peer = match peer.parse() {
            Ok(address) => Endpoint::Ip(address),
            Err(_) => Endpoint::Path(peer.into()),
        };
        let info = ConnectionInfo {
            backend: &tcp::BACKEND,
            local: peer.clone(),
            peer,
            fd: None,
            certificate: None,
        };
        refusal(settings, !settings.requirepass.is_empty(), connected, &From(info))
            .map(Refusal::text)
    }

    #[test]
    fn protected_mode_lets_in_this_host_alone_until_there_is_a_password() {
        let mut settings = Settings::default();
        for local in ["127.0.0.1:5", "[::1]:5", "[::ffff:127.0.0.1]:5", "/tmp/socket"] {
            assert_eq!(refused(&settings, 0, local), None, "{local}");
        }
        for other in ["192.0.2.1:5", "[2001:db8::1]:5"] {
            settings.requirepass.clear();
            settings.protected_mode = true;
            let text = refused(&settings, 0, other).unwrap();
            assert!(text.starts_with("-DENIED Running in protected mode because"), "{other}");
            assert!(text.ends_with("from the outside.\r\n") && !text.contains("  "), "{text}");
            settings.requirepass = b"secret".to_vec();
            assert_eq!(refused(&settings, 0, other), None, "{other}");
            settings.requirepass.clear();
            settings.protected_mode = false;
            assert_eq!(refused(&settings, 0, other), None, "{other}");
        }
    }

    #[test]
    fn maxclients_are_served_and_no_more() {
        let settings = Settings { maxclients: 2, ..Settings::default() };
        assert_eq!(refused(&settings, 1, "127.0.0.1:5"), None);
        let text = refused(&settings, 2, "127.0.0.1:5");
        assert_eq!(text, Some("-ERR max number of clients reached\r\n"));
    }
}
