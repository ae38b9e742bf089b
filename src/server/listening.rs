//! The listeners: opening them, changing them while the server runs, and accepting.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;
#[cfg(feature = "rdma")]
use std::sync::Arc;
use std::task::{Context, Poll};

use verbena_transport::{Incoming, Listener, TransportKind, tcp, unix};

use crate::config::{Settings, system_text};
use crate::log;

/// One address to listen on, as the settings name it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    kind: TransportKind,
    /// An address, a host's name, `*`, `::*`, or a path; without the `-` of an optional one.
    name: String,
    port: u16,
    optional: bool,
}

/// All listeners of the server. They live on the control thread.
#[derive(Default)]
pub struct Listeners {
    open: Vec<(Place, Box<dyn Listener>)>,
    /// The listener that is asked first next time, so that none is starved.
    next: usize,
    options: Options,
}

/// What listeners share with whoever changes the settings.
#[derive(Clone, Default)]
struct Options {
    tcp: tcp::TcpOptions,
    #[cfg(feature = "rdma")]
    rdma: Arc<verbena_transport::rdma::RdmaOptions>,
}

impl Listeners {
    /// Opens everything that the settings name.
    pub fn open(settings: &Settings) -> Result<Self, String> {
        let mut listeners = Listeners { options: Options::new(settings), ..Listeners::default() };
        for place in places(settings) {
            listeners.add(place, settings)?;
        }
        if listeners.open.is_empty() {
            return Err("Configured to not listen anywhere, exiting.".into());
        }
        Ok(listeners)
    }

    /// Opens what the new settings name and closes what they don't; leaves everything as it was if
    /// that can't be done.
    pub fn change(&mut self, old: &Settings, new: &Settings) -> Result<(), String> {
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

    /// Takes over what can change while connections exist.
    pub fn adjust(&mut self, settings: &Settings) {
        self.options.adjust(settings);
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        self.open.iter().map(|(place, _)| place.clone())
    }

    fn add(&mut self, place: Place, settings: &Settings) -> Result<(), String> {
        match place.listen(settings, &self.options) {
            Ok(listener) => {
                self.open.push((place, listener));
                Ok(())
            }
            Err(error) => {
                let reason = system_text(&error);
                let Place { kind, name, port, optional } = &place;
                match kind {
                    TransportKind::Unix => {
                        return Err(format!("Failed opening Unix socket {name}: {reason}"));
                    }
                    TransportKind::Tcp => log::warning(format_args!(
                        "Warning: Could not create server TCP listening socket {name}:{port}: \
                         bind: {reason}"
                    )),
                    TransportKind::Rdma => log::warning(format_args!(
                        "Warning: Could not create server RDMA listening endpoint {name}:{port}: \
                         {reason}"
                    )),
                }
                if *optional && is_unavailable(&error) {
                    return Ok(());
                }
                Err(format!("Failed listening on port {port} ({kind}), aborting."))
            }
        }
    }

    /// The kinds of listeners that are open, each once.
    pub fn kinds(&self) -> Vec<TransportKind> {
        let all = [TransportKind::Tcp, TransportKind::Unix, TransportKind::Rdma];
        let is_open = |kind: &TransportKind| self.open.iter().any(|(place, _)| place.kind == *kind);
        all.into_iter().filter(is_open).collect()
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

impl Options {
    fn new(settings: &Settings) -> Self {
        let options = Options {
            tcp: tcp::TcpOptions { backlog: settings.tcp_backlog, ..tcp::TcpOptions::default() },
            #[cfg(feature = "rdma")]
            rdma: Arc::new(verbena_transport::rdma::RdmaOptions {
                backlog: settings.tcp_backlog,
                ..Default::default()
            }),
        };
        options.adjust(settings);
        options
    }

    fn adjust(&self, settings: &Settings) {
        use std::sync::atomic::Ordering::Relaxed;
        self.tcp.keepalive.store(settings.tcp_keepalive, Relaxed);
        #[cfg(feature = "rdma")]
        {
            self.rdma.rx_size.store(settings.rdma_rx_size, Relaxed);
            self.rdma.completion_vector.store(settings.rdma_completion_vector, Relaxed);
            self.rdma.poll_us.store(settings.rdma_poll_us, Relaxed);
            let most = usize::try_from(settings.rdma_max_registered_memory).unwrap_or(usize::MAX);
            self.rdma.max_registered_memory.store(most, Relaxed);
        }
    }
}

/// The places that the settings name.
fn places(settings: &Settings) -> Vec<Place> {
    let ip = |kind, port: u16, names: &[String]| {
        let names = if port == 0 { &[] } else { names };
        let place = |name: &String| {
            let optional = name.starts_with('-');
            let name = name.strip_prefix('-').unwrap_or(name).to_owned();
            Place { kind, name, port, optional }
        };
        names.iter().map(place).collect::<Vec<_>>()
    };
    let mut places = ip(TransportKind::Tcp, settings.port, &settings.bind);
    if !settings.unixsocket.is_empty() {
        let name = settings.unixsocket.clone();
        places.push(Place { kind: TransportKind::Unix, name, port: 0, optional: false });
    }
    places.extend(ip(TransportKind::Rdma, settings.rdma_port, &settings.rdma_bind));
    places
}

impl Place {
    fn listen(&self, settings: &Settings, options: &Options) -> io::Result<Box<dyn Listener>> {
        match self.kind {
            TransportKind::Tcp => tcp::listen(self.address()?, &options.tcp),
            TransportKind::Unix => {
                let path = Path::new(&self.name);
                let listener = unix::listen(path, settings.unixsocketperm, settings.tcp_backlog)?;
                crate::process::give_to_group(path, &settings.unixsocketgroup)?;
                Ok(listener)
            }
            #[cfg(feature = "rdma")]
            TransportKind::Rdma => {
                verbena_transport::rdma::listen(self.address()?, options.rdma.clone())
            }
            #[cfg(not(feature = "rdma"))]
            TransportKind::Rdma => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this program was built without RDMA (cargo feature `rdma`)",
            )),
        }
    }

    fn address(&self) -> io::Result<SocketAddr> {
        let ip: IpAddr = match self.name.as_str() {
            "*" => Ipv4Addr::UNSPECIFIED.into(),
            "::*" => Ipv6Addr::UNSPECIFIED.into(),
            name => match name.parse() {
                Ok(ip) => ip,
                Err(_) => return resolve(name, self.port),
            },
        };
        Ok(SocketAddr::new(ip, self.port))
    }
}

/// The address of a host's name: of IPv4 if it has one.
fn resolve(name: &str, port: u16) -> io::Result<SocketAddr> {
    let found: Vec<SocketAddr> = (name, port).to_socket_addrs()?.collect();
    let first = found.iter().find(|addr| addr.is_ipv4()).or_else(|| found.first());
    first.copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such host"))
}
