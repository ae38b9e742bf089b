//! How a server starts: its state, its listeners, its threads.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;

use super::control::{self, End, Resources};
use super::listening::Listeners;
use super::report;
use super::workers::Workers;
use crate::command;
use crate::config::{Settings, Startup, system_text};
use crate::process::{self, PidFile};
use crate::state::{ControlRequest, LoadedTls, Server};
use crate::{crash, log};

/// The state of a server that serves nobody yet, and what is asked of its control thread. [`prepare`]
/// makes one; benches and tests do without listeners.
pub fn new(
    settings: Settings,
    file: Option<std::path::PathBuf>,
) -> (&'static Server, mpsc::UnboundedReceiver<ControlRequest>) {
    Server::new(settings, file, command::table().for_rules())
}

/// Starts a server and serves until it is told to stop. The error is for the user.
pub fn run(startup: Startup) -> Result<(), String> {
    if process::daemonize(&startup).map_err(|error| format!("Can't run as a daemon: {error}"))? {
        return Ok(());
    }
    process::title::prepare();
    let (server, requests) = prepare(startup)?;
    let source = |write: fn(&Server) -> String| Box::new(move || write(server));
    let sources: crash::Sources = vec![
        ("INFO OUTPUT", source(report::info)),
        ("CLIENT LIST OUTPUT", source(report::clients)),
        ("CONFIG DEBUG OUTPUT", source(report::settings)),
    ];
    crash::install(&server.config.load(), sources).map_err(|error| system_text(&error))?;
    serve(server, requests)
}

/// Introduces the server in the log, and makes its state. It serves nobody until [`serve`] is called: what
/// is to see all that happens to the data can be attached before. The error is for the user.
pub fn prepare(
    startup: Startup,
) -> Result<(&'static Server, mpsc::UnboundedReceiver<ControlRequest>), String> {
    let Startup { mut settings, users, file, configured, .. } = startup;
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
    process::announce(&settings);
    process::affinity::pin(&settings.server_cpulist);
    process::title::set(&settings, file.as_deref().and_then(Path::to_str));
    let (server, requests) = new(settings, file);
    command::load_at_start(server, &server.config.load(), &users)?;
    Ok((server, requests))
}

/// Opens the listeners, starts the workers, and serves until the server is told to stop. The error is for
/// the user.
pub fn serve(
    server: &'static Server,
    requests: mpsc::UnboundedReceiver<ControlRequest>,
) -> Result<(), String> {
    let failed = |error: io::Error| system_text(&error);
    let end = {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        runtime.block_on(async {
            let settings = server.config.load();
            let tls = LoadedTls::new(&settings).map_err(|text| {
                log::warning(text);
                "Failed to configure TLS. Check logs for more info."
            })?;
            server.tls.store(tls);
            let listeners = Listeners::open(&settings, server.tls.server())?;
            let _pidfile = PidFile::write(&settings);
            let workers = Workers::start(server).map_err(failed)?;
            // Whoever reads that the server is ready may send it a signal.
            let mut signals = control::Signals::new().map_err(failed)?;
            log::notice("Server initialized");
            // A failure is logged, and is no reason not to serve.
            let _ = process::oom::adjust(&settings);
            let backends = listeners.backends();
            for backend in &backends {
                log::notice(format_args!("Ready to accept connections {backend}"));
            }
            process::supervisor::ready(&settings);
            server.memory.ready();
            let mut resources = Resources { listeners, workers };
            let end = control::run(server, &mut resources, requests, &mut signals).await;
            let end = end.map_err(failed)?;
            // The workers live on, and have clients; no more come.
            let Resources { listeners, workers: _workers } = resources;
            drop(listeners);
            process::supervisor::stopping(&settings);
            backends.iter().filter_map(|backend| backend.closing_note).for_each(log::notice);
            let (patience, end) = match end {
                End::Shutdown { patience } => (patience, None),
                End::Restart(delay) => (Duration::ZERO, Some(delay)),
            };
            control::part(server, &mut signals, patience).await;
            Ok::<_, String>(end)
        })?
    };
    let Some(delay) = end else {
        log::warning("Verbena is now ready to exit, bye bye...");
        return Ok(());
    };
    std::thread::sleep(delay);
    Err(format!("Can't execute the program again: {}", process::execute_again()))
}
