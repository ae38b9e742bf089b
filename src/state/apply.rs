//! What a change of the settings changes in the running server.

use std::sync::Arc;

use super::{ControlRequest, Server};
use crate::config::{Refusal, Settings, system_text};
use crate::{log, process};

/// The parameter that is the reason why settings can't be put in force, and why.
type Obstacle = (&'static str, Refusal);

impl Server {
    /// Makes the server behave as `new` says, or leaves it as it was and says which parameter was
    /// the reason. The caller then puts `new` in force.
    pub fn apply(&self, old: &Arc<Settings>, new: &Arc<Settings>) -> Result<(), Obstacle> {
        if new.maxclients > old.maxclients {
            process::reserve_more_descriptors(new).map_err(|text| ("maxclients", text.into()))?;
        }
        let moved = new.dir != old.dir;
        if moved {
            std::env::set_current_dir(&new.dir)
                .map_err(|error| ("dir", system_text(&error).into()))?;
        }
        if let Err(obstacle) = self.listen(old, new) {
            if moved {
                // It was the working directory until now.
                let _ = std::env::set_current_dir(&old.dir);
            }
            return Err(obstacle);
        }
        log::configure(new).map_err(|error| ("logfile", system_text(&error).into()))?;
        let known = old.unmet();
        new.unmet().into_iter().filter(|text| !known.contains(text)).for_each(log::warning);
        // The control thread ends only with the process.
        let _ = self.control.send(ControlRequest::Adjust(new.clone()));
        Ok(())
    }

    /// Listens where `new` says.
    fn listen(&self, old: &Arc<Settings>, new: &Arc<Settings>) -> Result<(), Obstacle> {
        let obstacle = if new.port != old.port {
            ("port", "Unable to listen on this port. Check server logs.")
        } else if new.bind != old.bind {
            ("bind", "Failed to bind to specified addresses.")
        } else if new.rdma_port != old.rdma_port {
            ("rdma-port", "Unable to listen on this port for RDMA. Check server logs.")
        } else if new.rdma_bind != old.rdma_bind {
            ("rdma-bind", "Failed to bind to specified addresses for RDMA.")
        } else {
            return Ok(());
        };
        if cfg!(not(feature = "rdma")) && new.rdma_bind != old.rdma_bind {
            return Err(("rdma-bind", "No RDMA building support.".into()));
        }
        let (answer, result) = std::sync::mpsc::sync_channel(1);
        let request = ControlRequest::Listen { old: old.clone(), new: new.clone(), answer };
        let _ = self.control.send(request);
        match result.recv() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(text)) => {
                log::warning(text);
                Err((obstacle.0, obstacle.1.into()))
            }
            Err(_) => Err((obstacle.0, "the server is ending".into())),
        }
    }
}
