//! What a change of the settings changes in the running server.

use std::sync::Arc;

use super::control::Listening;
use super::{ControlRequest, Server};
use crate::config::{Refusal, Settings, system_text};
use crate::{crash, log, process};

/// The parameter that is the reason why settings can't be put in force, and why.
type Obstacle = (&'static str, Refusal);

impl Server {
    /// Makes the server behave as `new` says, or leaves it as it was and says which parameter was
    /// the reason. The caller then puts `new` in force.
    pub fn apply(
        &self,
        old: &Arc<Settings>,
        new: &Arc<Settings>,
        listening: &mut dyn Listening,
    ) -> Result<(), Obstacle> {
        if new.maxclients > old.maxclients {
            process::reserve_more_descriptors(new).map_err(|text| ("maxclients", text.into()))?;
        }
        let moved = new.dir != old.dir;
        if moved {
            std::env::set_current_dir(&new.dir)
                .map_err(|error| ("dir", system_text(&error).into()))?;
        }
        if let Err(obstacle) = listen(old, new, listening) {
            if moved {
                // It was the working directory until now.
                let _ = std::env::set_current_dir(&old.dir);
            }
            return Err(obstacle);
        }
        log::configure(new).map_err(|error| ("logfile", system_text(&error).into()))?;
        crash::configure(new);
        self.limit_client_memory(new);
        let known = old.unmet();
        new.unmet().into_iter().filter(|text| !known.contains(text)).for_each(log::warning);
        // The control thread ends only with the process.
        let _ = self.control.send(ControlRequest::Adjust(new.clone()));
        Ok(())
    }
}

/// The parameter that is named if the server can't listen where `new` says, and why; `None` if it listens
/// where it did.
fn listening_parameter(old: &Settings, new: &Settings) -> Option<(&'static str, &'static str)> {
    if new.port != old.port {
        Some(("port", "Unable to listen on this port. Check server logs."))
    } else if new.bind != old.bind {
        Some(("bind", "Failed to bind to specified addresses."))
    } else if new.rdma_port != old.rdma_port {
        Some(("rdma-port", "Unable to listen on this port for RDMA. Check server logs."))
    } else if new.rdma_bind != old.rdma_bind {
        Some(("rdma-bind", "Failed to bind to specified addresses for RDMA."))
    } else {
        None
    }
}

/// Whether the listeners change between two settings.
pub fn changes_listeners(old: &Settings, new: &Settings) -> bool {
    listening_parameter(old, new).is_some()
}

/// Listens where `new` says.
fn listen(
    old: &Arc<Settings>,
    new: &Arc<Settings>,
    listening: &mut dyn Listening,
) -> Result<(), Obstacle> {
    let Some((parameter, reason)) = listening_parameter(old, new) else { return Ok(()) };
    if cfg!(not(feature = "rdma")) && new.rdma_bind != old.rdma_bind {
        return Err(("rdma-bind", "No RDMA building support.".into()));
    }
    listening.change(old, new).map_err(|text| {
        log::warning(text);
        (parameter, reason.into())
    })
}

/// The listeners from another thread than the control thread, for a caller that cannot be answered
/// later: it waits for each change.
pub struct RemoteListeners<'s>(pub &'s Server);

impl Listening for RemoteListeners<'_> {
    fn change(&mut self, old: &Arc<Settings>, new: &Arc<Settings>) -> Result<(), String> {
        let (answer, result) = std::sync::mpsc::sync_channel(1);
        let (old, new) = (old.clone(), new.clone());
        let work = move |listening: &mut dyn Listening| {
            // The asking thread waits for it.
            let _ = answer.send(listening.change(&old, &new));
        };
        // The control thread ends only with the process.
        let _ = self.0.control.send(ControlRequest::Run(Box::new(work)));
        result.recv().unwrap_or_else(|_| Err("the server is ending".into()))
    }
}
