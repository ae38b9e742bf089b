//! The listeners: opening them, changing them while the server runs, and accepting.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use verbena_transport::security::ServerContext;
use verbena_transport::{
    Address, BACKENDS, Backend, Incoming, Listener, ServerOptions, ServerSide, rdma, tcp, tls, unix,
};

use crate::config::{Settings, system_text};
use crate::log;

/// One address to listen on, as the settings name it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    backend: &'static Backend,
    address: Address,
    /// Written with a `-` in front: the machine may lack the address.
    optional: bool,
}

/// All listeners of the server. They live on the control thread.
pub struct Listeners {
    open: Vec<(Place, Box<dyn Listener>)>,
    /// The listener that is asked first next time, so that none is starved.
    next: usize,
    servers: Vec<(&'static Backend, Box<dyn ServerSide>)>,
    tls: Option<Arc<ServerContext>>,
}

impl Listeners {
    /// Opens every listener that the settings name.
    pub fn open(settings: &Settings, tls: Option<Arc<ServerContext>>) -> Result<Self, String> {
        let options = options(settings, tls.clone());
        let server = |backend: &'static Backend| (backend, backend.server(&options));
        let servers = BACKENDS.into_iter().map(server).collect();
        let mut listeners = Listeners { open: Vec::new(), next: 0, servers, tls };
        for place in places(settings) {
            listeners.add(place, settings)?;
        }
        if listeners.open.is_empty() {
            return Err("Configured to not listen anywhere, exiting.".into());
        }
        Ok(listeners)
    }

    /// Checks, while RDMA has no port, that its addresses can be listened on: no later command would tell that
    /// they can't.
    fn check_rdma_addresses(&self, settings: &Settings) -> Result<(), String> {
        const ANY_PORT: u16 = 0;
        named(&rdma::BACKEND, ANY_PORT, &settings.rdma_bind)
            .try_for_each(|place| self.listen(&place, settings).map(drop))
    }

    /// Puts into force the options that can change while connections exist.
    pub fn adjust(&mut self, settings: &Settings, tls: Option<Arc<ServerContext>>) {
        self.tls = tls.clone();
        let options = options(settings, tls);
        self.servers.iter().for_each(|(_, server)| server.adjust(&options));
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        self.open.iter().map(|(place, _)| place.clone())
    }

    fn add(&mut self, place: Place, settings: &Settings) -> Result<(), String> {
        if let Some(listener) = self.listen(&place, settings)? {
            self.open.push((place, listener));
        }
        Ok(())
    }

    /// Opens a listener. `None` if the machine lacks an optional address.
    fn listen(
        &self,
        place: &Place,
        settings: &Settings,
    ) -> Result<Option<Box<dyn Listener>>, String> {
        let Place { backend, address, optional } = place;
        let (_, server) = self
            .servers
            .iter()
            .find(|(known, _)| known == backend)
            .expect("every backend has a server side");
        let error = match server.listen(address, &options(settings, self.tls.clone())) {
            Ok(listener) => return Ok(Some(listener)),
            Err(error) => error,
        };
        let failure = backend.listen_failure(address, &system_text(&error));
        failure.warning.into_iter().for_each(log::warning);
        if *optional && is_unavailable(&error) { Ok(None) } else { Err(failure.error) }
    }

    /// The backends whose listeners are open.
    pub fn backends(&self) -> Vec<&'static Backend> {
        let is_open =
            |backend: &&Backend| self.open.iter().any(|(place, _)| place.backend == *backend);
        BACKENDS.into_iter().filter(is_open).collect()
    }

    /// Waits for the next connection on any of them.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Incoming>>> {
        let count = self.open.len();
        for step in 0..count {
            let index = (self.next + step) % count;
            if let Poll::Ready(accepted) = self.open[index].1.poll_accept(cx) {
                self.next = index + 1;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }
}

/// True for an address that this machine does not have: an optional one may be so.
fn is_unavailable(error: &io::Error) -> bool {
    let absent = [
        libc::EADDRNOTAVAIL,
        libc::EAFNOSUPPORT,
        libc::EPFNOSUPPORT,
        libc::EPROTONOSUPPORT,
        libc::ESOCKTNOSUPPORT,
        libc::ENOPROTOOPT,
    ];
    error.raw_os_error().is_some_and(|code| absent.contains(&code))
}

/// The settings that concern the backends.
fn options(settings: &Settings, tls: Option<Arc<ServerContext>>) -> ServerOptions {
    let most = usize::try_from(settings.rdma_max_registered_memory).unwrap_or(usize::MAX);
    ServerOptions {
        backlog: settings.tcp_backlog,
        tcp_keepalive: settings.tcp_keepalive,
        mptcp: settings.mptcp,
        socket_mark: settings.socket_mark_id,
        tls,
        tls_handshakes_per_turn: settings.max_new_tls_connections_per_cycle as usize,
        unix_permissions: settings.unixsocketperm,
        unix_group: settings.unixsocketgroup.clone(),
        rdma_rx_size: settings.rdma_rx_size,
        rdma_completion_vector: settings.rdma_completion_vector,
        rdma_poll_us: settings.rdma_poll_us,
        rdma_max_registered_memory: most,
    }
}

/// The places that the settings name.
fn places(settings: &Settings) -> Vec<Place> {
    let mut places = Vec::new();
    if settings.port != 0 {
        places.extend(named(&tcp::BACKEND, settings.port, &settings.bind));
    }
    if !settings.unixsocket.is_empty() {
        let address = Address::Path(settings.unixsocket.clone().into());
        places.push(Place { backend: &unix::BACKEND, address, optional: false });
    }
    if settings.tls_port != 0 {
        places.extend(named(&tls::BACKEND, settings.tls_port, &settings.bind));
    }
    if settings.rdma_port != 0 {
        places.extend(named(&rdma::BACKEND, settings.rdma_port, &settings.rdma_bind));
    }
    places
}

impl Listeners {
    /// Listens where `new` says instead of where `old` does, or leaves everything as it was and returns the
    /// reason for the log. `tls` goes with `new`.
    pub fn change(
        &mut self,
        old: &Settings,
        new: &Settings,
        tls: Option<Arc<ServerContext>>,
    ) -> Result<(), String> {
        let before = std::mem::replace(&mut self.tls, tls);
        let changed = self.change_places(old, new);
        if changed.is_err() {
            self.adjust(old, before);
        }
        changed
    }

    fn change_places(&mut self, old: &Settings, new: &Settings) -> Result<(), String> {
        if new.rdma_bind != old.rdma_bind && new.rdma_port == 0 {
            self.check_rdma_addresses(new)?;
        }
        let wanted = places(new);
        let closed: Vec<Place> = self.places().filter(|place| !wanted.contains(place)).collect();
        // First: an old address may be in the way of a new one.
        self.open.retain(|(place, _)| wanted.contains(place));
        let kept: Vec<Place> = self.places().collect();
        for place in wanted {
            if kept.contains(&place) {
                continue;
            }
            if let Err(refusal) = self.add(place, new) {
                self.open.retain(|(place, _)| kept.contains(place));
                for place in closed {
                    if let Err(error) = self.add(place, old) {
                        log::warning(error);
                    }
                }
                return Err(refusal);
            }
        }
        Ok(())
    }
}

/// A backend's places that have these names.
fn named(backend: &'static Backend, port: u16, names: &[String]) -> impl Iterator<Item = Place> {
    names.iter().map(move |name| {
        let optional = name.starts_with('-');
        let name = name.strip_prefix('-').unwrap_or(name).to_owned();
        Place { backend, address: Address::Host { name, port }, optional }
    })
}
