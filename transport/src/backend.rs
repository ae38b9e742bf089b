//! The interface of a backend: its table of operations, and the traits of the objects that these make.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::address::{Address, Endpoint};
use crate::options::{ClientOptions, ServerOptions};
use crate::security::PeerCertificate;

/// A connection that is being set up.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + 'a>>;

/// The operations of one transport, and the facts about it that logs and reports depend on. Each backend has
/// one static value of this type, listed in [`BACKENDS`](crate::BACKENDS).
pub struct Backend {
    /// The name that reports use: `tcp`, `unix`, `tls` or `rdma`.
    pub name: &'static str,
    /// The name in texts for people.
    pub title: &'static str,
    /// Its connections have the flag `U` in CLIENT LIST.
    pub is_unix_socket: bool,
    /// The reason why a connection has failed is worth a notice in the log. Sockets fail in few ways, none of
    /// them worth more than a verbose line.
    pub reports_failures: bool,
    /// The line to log when a server closes its listeners at its end.
    pub closing_note: Option<&'static str>,
    pub(crate) server: fn(&ServerOptions) -> Box<dyn ServerSide>,
    pub(crate) listen_failure: fn(&Address, &str) -> ListenFailure,
    pub(crate) connect: for<'a> fn(&'a Address, &'a ClientOptions) -> Connecting<'a>,
}

impl Backend {
    /// The server side, which opens listeners.
    pub fn server(&self, options: &ServerOptions) -> Box<dyn ServerSide> {
        (self.server)(options)
    }

    /// The report that a listener on `address` cannot be opened, for `reason`.
    pub fn listen_failure(&self, address: &Address, reason: &str) -> ListenFailure {
        (self.listen_failure)(address, reason)
    }
}

impl PartialEq for Backend {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Backend {}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The server side of a backend: it opens listeners, and holds the options that their connections share.
pub trait ServerSide {
    /// Listens on `address`. The listener belongs to the event loop or tokio runtime of the calling thread. A
    /// host's name is resolved by the calling thread, which waits for that.
    ///
    /// # Errors
    /// If the address is taken, or this machine does not have it.
    fn listen(&self, address: &Address, options: &ServerOptions) -> io::Result<Box<dyn Listener>>;

    /// Puts into force the options that may change while listeners and connections exist.
    fn adjust(&self, options: &ServerOptions);
}

/// The report of a listener that cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenFailure {
    /// The line to log about this listener, even if the server starts without it.
    pub warning: Option<String>,
    /// The reason why the server cannot start.
    pub error: String,
}

impl ListenFailure {
    /// The report of a backend whose listeners have a host and a port.
    pub(crate) fn on_port(backend: &Backend, address: &Address, warning: String) -> ListenFailure {
        let port = address.host().map_or(0, |(_, port)| port);
        let error = format!("Failed listening on port {port} ({backend}), aborting.");
        ListenFailure { warning: Some(warning), error }
    }
}

/// The backend of a connection, and the addresses of its two ends.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    pub backend: &'static Backend,
    pub peer: Endpoint,
    pub local: Endpoint,
    /// The socket; RDMA connections have none.
    pub fd: Option<RawFd>,
    /// What the peer's certificate says, if it has shown one (TLS).
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// One byte stream between this process and a peer.
///
/// It is like tokio's `AsyncBufRead` with two additions: a reader that needs more bytes than have
/// arrived asks for more without consuming anything, and the free part of the send buffer is lent
/// out, so that a reply is encoded where it will be sent from.
///
/// The cycle of a caller is: [`poll_receive`](Self::poll_receive) until something arrived; then
/// [`buffers`](Self::buffers), parse and reply in place; then [`advance`](Self::advance) and perhaps
/// [`queue`](Self::queue); then [`poll_flush`](Self::poll_flush) once for the whole batch.
pub trait Connection {
    /// The backend of this connection, and the addresses of its two ends.
    fn info(&self) -> &ConnectionInfo;

    /// Waits for bytes and appends them to the received slice of [`buffers`](Self::buffers).
    ///
    /// Returns how many were added; 0 means that the peer has closed its side. Bytes that were not
    /// consumed stay, and the received slice stays contiguous however long it becomes. May return
    /// `Ready` several times in a row; `Pending` registers the waker of `cx`.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>>;

    /// Says how long, in bytes, the message that is now incomplete will be in all, counted from the
    /// start of the received slice, so that the buffer can grow once instead of by doubling. A hint:
    /// memory is taken as the bytes arrive, not on the peer's word.
    fn expect(&mut self, total: usize);

    /// Has a long part of the incomplete message received into memory of its own, where it need not be
    /// copied from: the `len` bytes that follow the first `at` of the received slice, of which some have
    /// not arrived. They leave the received slice, or never join it, and the bytes after them join it as
    /// if they had not been there. Until [`take_detached`](Self::take_detached) has handed them over,
    /// nothing may be consumed. `len` is a hint for memory, as in [`expect`](Self::expect).
    ///
    /// False if this transport does not support it, and nothing has changed.
    fn receive_detached(&mut self, at: usize, len: usize) -> bool {
        let _ = (at, len);
        false
    }

    /// The bytes of [`receive_detached`](Self::receive_detached), once they have all arrived.
    fn take_detached(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// The received bytes that were not consumed, and free space in the send buffer.
    ///
    /// The space may be empty: the caller then collects its bytes itself and calls
    /// [`queue`](Self::queue). While earlier bytes wait in the queue it is always empty, so the order
    /// of the stream is the order of the calls.
    fn buffers(&mut self) -> (&[u8], &mut [u8]);

    /// Consumes `received` bytes from the front of the received slice, and puts the first `written`
    /// bytes of the space that [`buffers`](Self::buffers) lent into the stream.
    ///
    /// # Panics
    /// If either is longer than its slice of `buffers`.
    fn advance(&mut self, received: usize, written: usize);

    /// Puts `chunk` into the stream, after everything written so far, without copying it where the
    /// transport can avoid that.
    fn queue(&mut self, chunk: Bytes);

    /// Sends everything that was written. `Ready(Ok)` means that all of it was handed to the
    /// transport; `Pending` registers the waker of `cx`.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Bytes written and not yet handed to the transport.
    fn unsent(&self) -> usize;

    /// How many chunks wait behind the send buffer, and how many bytes they have: a part of
    /// [`unsent`](Self::unsent).
    fn queued(&self) -> (usize, usize) {
        (0, 0)
    }

    /// Bytes of memory that this connection's receive side and send side hold now.
    fn memory(&self) -> (usize, usize);

    /// Ends the stream in both directions, at once. Dropping the connection does the same.
    fn shutdown(&mut self);
}

/// A source of connections, polled on the thread that created it.
pub trait Listener {
    /// The address that it listens on, with the port that the system chose.
    fn local(&self) -> Endpoint;

    /// Waits for the next connection. An error concerns one attempt (say, too many open files), not
    /// the listener: the caller logs it and polls again, after a pause.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Incoming>>>;
}

/// An accepted connection that is not yet bound to a thread.
pub trait Incoming: Send {
    /// The backend of this connection, and the addresses of its two ends.
    fn info(&self) -> &ConnectionInfo;

    /// Binds the connection to the event loop or tokio runtime of the calling thread. Where both sides first have
    /// to agree on keys, they do so when it is first polled.
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Connection>>;

    /// Binds the connection as [`attach`](Self::attach) does, for a thread that serves many: handshakes are done before
    /// there is a connection, and only some of them in one turn of the event loop.
    fn begin(self: Box<Self>) -> io::Result<Attached> {
        Ok(Attached::Open(self.attach()?))
    }
}

/// An accepted connection on the thread that serves it.
pub enum Attached {
    Open(Box<dyn Connection>),
    /// The connection, once both sides have agreed on keys. It takes as long as the peer likes.
    Handshaking(Connecting<'static>),
}
