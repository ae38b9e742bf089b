//! What a change of the settings changes in the running server.

use std::path::Path;
use std::sync::Arc;

use verbena_transport::security::ServerContext;

use super::control::ControlThread;
use super::{ControlRequest, LoadedTls, Server, same_tls, uses_tls};
use crate::config::{Refusal, Settings, system_text};
use crate::{crash, log, process};

/// The parameter that is the reason why settings can't be put in force, and why.
type Obstacle = (&'static str, Refusal);

impl Server {
    /// Makes the server behave as `new` says, or leaves it as it was and says which parameter was
    /// the reason. The caller then puts `new` in force. Files that the settings name are read again if
    /// `reload` says so, even if their names are the same.
    pub fn apply(
        &self,
        old: &Arc<Settings>,
        new: &Arc<Settings>,
        reload: bool,
        control: &mut dyn ControlThread,
    ) -> Result<(), Obstacle> {
        if new.maxclients > old.maxclients || new.io_threads > old.io_threads {
            let name = if new.maxclients > old.maxclients { "maxclients" } else { "io-threads" };
            process::reserve_more_descriptors(new).map_err(|text| (name, text.into()))?;
        }
        if new.io_threads != old.io_threads {
            let (from, to) = (old.io_threads, new.io_threads);
            log::notice(format_args!("Changing number of IO threads from {from} to {to}."));
        }
        if new.io_threads > self.workers() {
            start_workers(new.io_threads, control)?;
        }
        let moved = new.dir != old.dir;
        if moved {
            std::env::set_current_dir(&new.dir)
                .map_err(|error| ("dir", system_text(&error).into()))?;
        }
        let tls = self.load_and_listen(old, new, reload, control).inspect_err(|_| {
            if moved {
                // It was the working directory until now.
                let _ = std::env::set_current_dir(&old.dir);
            }
        })?;
        adjust_oom_score(old, new)?;
        if new.proc_title_template != old.proc_title_template
            || listening_parameter(old, new).is_some()
        {
            process::title::set(new, self.config.file().and_then(Path::to_str));
        }
        if new.requirepass != old.requirepass {
            self.acl.set_default_password(&new.requirepass);
        }
        log::configure(new).map_err(|error| ("logfile", system_text(&error).into()))?;
        crash::configure(new);
        self.limit_client_memory(new);
        if let Some(loaded) = tls {
            self.tls.store(loaded);
        }
        let known = old.unmet();
        new.unmet().into_iter().filter(|text| !known.contains(text)).for_each(log::warning);
        // The control thread ends only with the process.
        let _ = self.control.send(ControlRequest::Adjust(new.clone()));
        Ok(())
    }

    /// Reads the files of TLS, if they or what is made of them has changed, and listens where `new` says.
    fn load_and_listen(
        &self,
        old: &Arc<Settings>,
        new: &Arc<Settings>,
        reload: bool,
        control: &mut dyn ControlThread,
    ) -> Result<Option<LoadedTls>, Obstacle> {
        let tls = (reload || !same_tls(old, new)).then(|| load_tls(new)).transpose()?;
        let context = match &tls {
            Some(loaded) => loaded.server.clone(),
            None => self.tls.server(),
        };
        listen(old, new, context, control)?;
        Ok(tls)
    }
}

/// Reads the files of TLS.
fn load_tls(new: &Settings) -> Result<LoadedTls, Obstacle> {
    LoadedTls::new(new).map_err(|text| {
        log::warning(text);
        (TLS_PARAMETER, "Unable to update TLS configuration. Check server logs.".into())
    })
}

/// Stands for any parameter of TLS: the one that was set is named in its place.
pub const TLS_PARAMETER: &str = "tls-cert-file";

/// Puts `oom-score-adj` in force, or leaves it as it was.
fn adjust_oom_score(old: &Settings, new: &Settings) -> Result<(), Obstacle> {
    let same_values = new.oom_score_adj_values == old.oom_score_adj_values;
    if same_values && new.oom_score_adj == old.oom_score_adj {
        return Ok(());
    }
    process::oom::adjust(new).map_err(|_| {
        // The failure is logged; the old value could be set before.
        let _ = process::oom::adjust(old);
        let parameter = if same_values { "oom-score-adj" } else { "oom-score-adj-values" };
        (parameter, "Failed to set current oom_score_adj. Check server logs.".into())
    })
}

/// The parameter that is named if the server can't listen where `new` says, and why; `None` if it listens
/// where it did.
fn listening_parameter(old: &Settings, new: &Settings) -> Option<(&'static str, &'static str)> {
    if new.port != old.port {
        Some(("port", "Unable to listen on this port. Check server logs."))
    } else if new.bind != old.bind {
        Some(("bind", "Failed to bind to specified addresses."))
    } else if new.tls_port != old.tls_port {
        Some(("tls-port", "Unable to listen on this port. Check server logs."))
    } else if new.rdma_port != old.rdma_port {
        Some(("rdma-port", "Unable to listen on this port for RDMA. Check server logs."))
    } else if new.rdma_bind != old.rdma_bind {
        Some(("rdma-bind", "Failed to bind to specified addresses for RDMA."))
    } else {
        None
    }
}

/// Whether a change of the settings needs the control thread: the listeners change, there are more workers, or
/// files are to be read.
pub fn needs_control_thread(old: &Settings, new: &Settings, reload: bool) -> bool {
    listening_parameter(old, new).is_some()
        || new.io_threads > old.io_threads
        || uses_tls(new) && (reload || !same_tls(old, new))
}

/// Starts workers until there are `count`.
fn start_workers(count: usize, control: &mut dyn ControlThread) -> Result<(), Obstacle> {
    control.start_workers(count).map_err(|text| {
        log::warning(text);
        ("io-threads", "Unable to start the threads. Check server logs.".into())
    })
}

/// Listens where `new` says.
fn listen(
    old: &Arc<Settings>,
    new: &Arc<Settings>,
    tls: Option<Arc<ServerContext>>,
    control: &mut dyn ControlThread,
) -> Result<(), Obstacle> {
    let Some((parameter, reason)) = listening_parameter(old, new) else { return Ok(()) };
    if cfg!(not(feature = "rdma")) && new.rdma_bind != old.rdma_bind {
        return Err(("rdma-bind", "No RDMA building support.".into()));
    }
    control.listen(old, new, tls).map_err(|text| {
        log::warning(text);
        (parameter, reason.into())
    })
}

/// The control thread from another thread, for a caller that cannot be answered later: it waits for each change.
pub struct RemoteControl<'s>(pub &'s Server);

impl ControlThread for RemoteControl<'_> {
    fn listen(
        &mut self,
        old: &Arc<Settings>,
        new: &Arc<Settings>,
        tls: Option<Arc<ServerContext>>,
    ) -> Result<(), String> {
        let (old, new) = (old.clone(), new.clone());
        self.ask(move |control| control.listen(&old, &new, tls))
    }

    fn start_workers(&mut self, count: usize) -> Result<(), String> {
        self.ask(move |control| control.start_workers(count))
    }
}

impl RemoteControl<'_> {
    fn ask(
        &self,
        change: impl FnOnce(&mut dyn ControlThread) -> Result<(), String> + Send + 'static,
    ) -> Result<(), String> {
        let (answer, result) = std::sync::mpsc::sync_channel(1);
        let work = move |control: &mut dyn ControlThread| {
            // The asking thread waits for it.
            let _ = answer.send(change(control));
        };
        // The control thread ends only with the process.
        let _ = self.0.control.send(ControlRequest::Run(Box::new(work)));
        result.recv().unwrap_or_else(|_| Err("the server is ending".into()))
    }
}
