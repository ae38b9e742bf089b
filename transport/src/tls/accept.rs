//! The server side: listeners, and the handshakes of the connections that they accept.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use tokio::sync::Semaphore;

use super::BACKEND;
use super::connection::TlsConnection;
use super::engine::Engine;
use crate::address::{Address, Endpoint};
use crate::backend::{Attached, Connection, ConnectionInfo, Incoming, Listener, ServerSide};
use crate::event_loop::yield_now;
use crate::options::ServerOptions;
use crate::tcp::{self, TcpIncoming, TcpListener, TcpOptions};

/// The part of the options that may change while connections exist.
struct Shared {
    /// The configuration of the next handshakes.
    config: Mutex<Option<Arc<ServerConfig>>>,
    /// Steps of handshakes that a thread does in one turn of its event loop.
    handshakes_per_turn: AtomicUsize,
}

impl Shared {
    fn set(&self, options: &ServerOptions) {
        let config = options.tls.as_ref().map(|context| context.config.clone());
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        self.handshakes_per_turn.store(options.tls_handshakes_per_turn, Ordering::Relaxed);
    }

    fn config(&self) -> Option<Arc<ServerConfig>> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(super) struct TlsServer {
    tcp: TcpOptions,
    shared: Arc<Shared>,
}

impl TlsServer {
    pub(super) fn new(options: &ServerOptions) -> TlsServer {
        let shared = Shared { config: Mutex::default(), handshakes_per_turn: AtomicUsize::new(1) };
        shared.set(options);
        TlsServer { tcp: TcpOptions::new(options), shared: Arc::new(shared) }
    }
}

impl ServerSide for TlsServer {
    fn listen(&self, address: &Address, options: &ServerOptions) -> io::Result<Box<dyn Listener>> {
        // It may be the first one, configured together with its port.
        self.shared.set(options);
        if options.tls.is_none() {
            return Err(unconfigured());
        }
        let socket = tcp::listen_socket(address, &self.tcp)?;
        Ok(Box::new(TlsListener { socket, shared: self.shared.clone() }))
    }

    fn adjust(&self, options: &ServerOptions) {
        self.tcp.adjust(options);
        self.shared.set(options);
    }
}

fn unconfigured() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "TLS is not configured")
}

struct TlsListener {
    socket: TcpListener,
    shared: Arc<Shared>,
}

impl Listener for TlsListener {
    fn local(&self) -> Endpoint {
        self.socket.local()
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Incoming>>> {
        let socket = ready!(self.socket.poll_accept_socket(cx))?;
        let config = self.shared.config().ok_or_else(unconfigured)?;
        let info = ConnectionInfo { backend: &BACKEND, ..socket.info().clone() };
        let shared = self.shared.clone();
        Poll::Ready(Ok(Box::new(TlsIncoming { socket, config, info, shared })))
    }
}

struct TlsIncoming {
    socket: TcpIncoming,
    config: Arc<ServerConfig>,
    info: ConnectionInfo,
    shared: Arc<Shared>,
}

impl TlsIncoming {
    fn connection(self) -> io::Result<TlsConnection> {
        let engine = Engine::server(self.config)?;
        Ok(TlsConnection::new(self.socket.attach_socket()?, engine, &BACKEND))
    }
}

impl Incoming for TlsIncoming {
    fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    fn attach(self: Box<Self>) -> io::Result<Box<dyn Connection>> {
        Ok(Box::new(self.connection()?))
    }

    fn begin(self: Box<Self>) -> io::Result<Attached> {
        let shared = self.shared.clone();
        let mut connection = self.connection()?;
        Ok(Attached::Handshaking(Box::pin(async move {
            while connection.is_handshaking() {
                poll_fn(|cx| connection.poll_handshake_input(cx)).await?;
                take_turn(&shared, || connection.advance_handshake()).await?;
            }
            Ok(Box::new(connection) as Box<dyn Connection>)
        })))
    }
}

thread_local! {
    static TURNS: Turns = Turns { free: Rc::new(Semaphore::new(1)), total: Cell::new(1) };
}

/// The steps of handshakes that a thread may still do in this turn of its event loop. A step may take a
/// millisecond (a signature by an RSA key), in which nobody else of the thread is served.
struct Turns {
    free: Rc<Semaphore>,
    total: Cell<usize>,
}

impl Turns {
    /// The semaphore, with as many permits as are wanted now.
    fn of(&self, wanted: usize) -> Rc<Semaphore> {
        let total = self.total.get();
        if wanted > total {
            self.free.add_permits(wanted - total);
            self.total.set(wanted);
        } else if wanted < total {
            // Those that are in use are forgotten later.
            self.total.set(total - self.free.forget_permits(total - wanted));
        }
        self.free.clone()
    }
}

/// Does a step when there have not been too many in this turn.
async fn take_turn<T>(shared: &Shared, step: impl FnOnce() -> T) -> T {
    let wanted = shared.handshakes_per_turn.load(Ordering::Relaxed).max(1);
    let turns = TURNS.with(|turns| turns.of(wanted));
    let permit = turns.acquire().await;
    let outcome = step();
    // The next one has its turn after the others of the thread have had theirs.
    yield_now().await;
    drop(permit);
    outcome
}
