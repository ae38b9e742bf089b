//! Byte-stream transports behind one trait: TCP, Unix sockets and RDMA verbs.
//!
//! A [`Connection`] is a bidirectional byte stream whose received bytes are read in place and whose
//! replies are built in place. It knows nothing of RESP or of commands. What carries the stream is
//! chosen by a [`Target`] (client side) or by which [`Listener`] accepted it (server side); the code
//! above cannot tell, except to report it.
//!
//! Everything here runs on one thread: a connection is attached to what runs on the thread that calls
//! [`Incoming::attach`] or [`connect`], an [`event_loop`] or a tokio current-thread runtime, and never
//! leaves it.

mod alarm;
mod buffer;
mod endpoint;
pub mod event_loop;
mod idle;
#[cfg(feature = "rdma")]
pub mod rdma;
mod socket;
pub mod tcp;
pub mod unix;

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

pub use alarm::Alarm;
pub use endpoint::{ConnectionInfo, Endpoint, RdmaClientOptions, Target, TransportKind};

/// One byte stream between this process and a peer.
///
/// The shape is tokio's `AsyncBufRead` with two additions: a reader that needs more than what has
/// arrived asks for more without consuming anything, and the free part of the send buffer is lent
/// out, so that a reply is encoded where it will be sent from.
///
/// The cycle of a caller is: [`poll_receive`](Self::poll_receive) until something arrived; then
/// [`buffers`](Self::buffers), parse and reply in place; then [`advance`](Self::advance) and perhaps
/// [`queue`](Self::queue); then [`poll_flush`](Self::poll_flush) once for the whole batch.
pub trait Connection {
    /// What carries this connection, and between which addresses.
    fn info(&self) -> &ConnectionInfo;

    /// Waits for bytes and appends them to what [`buffers`](Self::buffers) shows as received.
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
    /// If either is longer than what `buffers` returned.
    fn advance(&mut self, received: usize, written: usize);

    /// Puts `chunk` into the stream, after everything written so far, without copying it where the
    /// transport can avoid that.
    fn queue(&mut self, chunk: Bytes);

    /// Sends everything that was written. `Ready(Ok)` means that all of it was handed to the
    /// transport; `Pending` registers the waker of `cx`.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Bytes written and not yet handed to the transport.
    fn unsent(&self) -> usize;

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
    /// What carries this connection, and between which addresses.
    fn info(&self) -> &ConnectionInfo;

    /// Binds the connection to the event loop or tokio runtime of the calling thread.
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Connection>>;
}

/// Connects to `target` and attaches the connection to the runtime of the calling thread.
pub async fn connect(target: &Target) -> io::Result<Box<dyn Connection>> {
    match target {
        Target::Tcp { host, port } => tcp::connect(host, *port).await,
        Target::Unix { path } => unix::connect(path).await,
        #[cfg(feature = "rdma")]
        Target::Rdma { host, port, options } => rdma::connect(host, *port, options).await,
        #[cfg(not(feature = "rdma"))]
        Target::Rdma { .. } => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this program was built without RDMA (cargo feature `rdma`)",
        )),
    }
}
