//! The common part of TCP and Unix sockets: accepting, connecting, and a [`Connection`] over any stream
//! socket.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags};
use socket2::{SockAddr, Socket};

use crate::backend::{Connection, ConnectionInfo};
use crate::buffer::Buffer;
use crate::event_loop::{Interest, Source};

/// Chunks handed to one vectored write.
const MAX_SLICES: usize = 64;

/// Reports a peer that is gone as an error instead of by a signal.
const FLAGS: SendFlags = SendFlags::NOSIGNAL;

/// Watches a listening socket for connections.
pub(crate) fn watch_listener(socket: Socket) -> io::Result<Source<Socket>> {
    socket.set_nonblocking(true)?;
    Source::new(socket, Interest::Read)
}

/// Waits for a connection on a listening socket. Returns a socket that does not block, and the peer's
/// address if it is one of IP.
pub(crate) fn poll_accept(
    listener: &Source<Socket>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(Socket, Option<SocketAddr>)>> {
    loop {
        ready!(listener.poll_readable(cx))?;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match rustix::net::acceptfrom_with(listener.get_ref(), flags) {
            Ok((fd, peer)) => {
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                return Poll::Ready(Ok((fd.into(), peer)));
            }
            Err(Errno::WOULDBLOCK) => listener.clear_readable(),
            Err(Errno::INTR) => {}
            Err(error) => return Poll::Ready(Err(error.into())),
        }
    }
}

/// Connects `socket` to `addr`; the calling thread's event loop or tokio runtime goes on meanwhile.
///
/// # Errors
/// As `connect` of the system; `WouldBlock` if the queue of a Unix socket's listener is full.
pub(crate) async fn connect(socket: Socket, addr: &SockAddr) -> io::Result<Source<Socket>> {
    socket.set_nonblocking(true)?;
    match socket.connect(addr) {
        // An interrupted attempt goes on, too.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {}
        connected => connected?,
    }
    // Not before: a socket that is not connecting yet reports that its peer has gone.
    let socket = Source::new(socket, Interest::ReadWrite)?;
    poll_fn(|cx| socket.poll_writable(cx)).await?;
    match socket.get_ref().take_error()? {
        Some(error) => Err(error),
        None => Ok(socket),
    }
}

/// A [`Connection`] over a stream socket.
pub(crate) struct SocketConnection {
    socket: Source<Socket>,
    info: ConnectionInfo,
    rx: Buffer,
    tx: Buffer,
    /// Chunks that follow the content of `tx`.
    queue: VecDeque<Bytes>,
    queued: usize,
}

impl SocketConnection {
    /// `socket` does not block, and is watched for reading and writing.
    pub(crate) fn new(socket: Source<Socket>, info: ConnectionInfo) -> Self {
        SocketConnection {
            socket,
            info,
            rx: Buffer::default(),
            tx: Buffer::default(),
            queue: VecDeque::new(),
            queued: 0,
        }
    }

    /// [`Connection::buffers`], for a protocol that decrypts the received bytes where they lie.
    pub(crate) fn buffers_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        let space = if self.queue.is_empty() { self.tx.space() } else { &mut [] };
        (self.rx.filled_mut(), space)
    }

    /// The received bytes, for a protocol that decrypts them where they lie.
    pub(crate) fn received_mut(&mut self) -> &mut [u8] {
        self.rx.filled_mut()
    }

    /// Keeps the received bytes in no more memory than they need.
    pub(crate) fn shrink_received(&mut self) {
        self.rx.shrink();
    }

    /// Receives once. Says how many bytes came, and how many could have come.
    fn receive(&mut self) -> io::Result<(usize, usize)> {
        let socket = self.socket.get_ref();
        if let Some((detached, _)) = self.rx.detached() {
            let room = detached.capacity() - detached.len();
            let (n, _) = rustix::net::recv(socket, spare_capacity(detached), RecvFlags::empty())?;
            return Ok((n, room));
        }
        let space = self.rx.space_to_receive();
        let room = space.len();
        let (n, _) = rustix::net::recv(socket, space, RecvFlags::empty())?;
        self.rx.extend(n);
        Ok((n, room))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_writable(cx))?;
            match self.write() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.socket.clear_writable(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn write(&self) -> io::Result<usize> {
        let socket = self.socket.get_ref();
        if self.queue.is_empty() {
            return Ok(rustix::net::send(socket, self.tx.filled(), FLAGS)?);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        for chunk in
            std::iter::once(self.tx.filled()).chain(self.queue.iter().map(|chunk| &chunk[..]))
        {
            if count == MAX_SLICES {
                break;
            }
            if !chunk.is_empty() {
                slices[count] = IoSlice::new(chunk);
                count += 1;
            }
        }
        let nothing = &mut SendAncillaryBuffer::default();
        Ok(rustix::net::sendmsg(socket, &slices[..count], nothing, FLAGS)?)
    }

    fn sent(&mut self, n: usize) {
        let from_tx = n.min(self.tx.len());
        self.tx.consume(from_tx);
        let mut rest = n - from_tx;
        self.queued -= rest;
        while rest > 0 {
            let chunk = &mut self.queue[0];
            if chunk.len() > rest {
                chunk.advance(rest);
                return;
            }
            rest -= chunk.len();
            self.queue.pop_front();
        }
    }
}

impl Connection for SocketConnection {
    fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while self.socket.poll_readable(cx)?.is_ready() {
            match self.receive() {
                Ok((n, room)) => {
                    if n < room {
                        // There was no more: bytes that come from now on are an event of their own, as is
                        // the end of the stream.
                        self.socket.clear_readable();
                    }
                    if n == 0 {
                        self.rx.release();
                    }
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.socket.clear_readable(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.rx.release();
        Poll::Pending
    }

    fn expect(&mut self, total: usize) {
        self.rx.expect(total);
    }

    fn receive_detached(&mut self, at: usize, len: usize) -> bool {
        self.rx.receive_detached(at, len);
        true
    }

    fn take_detached(&mut self) -> Option<Vec<u8>> {
        self.rx.take_detached()
    }

    fn buffers(&mut self) -> (&[u8], &mut [u8]) {
        let space = if self.queue.is_empty() { self.tx.space() } else { &mut [] };
        (self.rx.filled(), space)
    }

    fn advance(&mut self, received: usize, written: usize) {
        self.rx.consume(received);
        self.tx.extend(written);
        self.tx.release();
    }

    fn queue(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.queued += chunk.len();
            self.queue.push_back(chunk);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unsent() > 0 {
            let n = ready!(self.poll_write(cx))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent(n);
        }
        Poll::Ready(Ok(()))
    }

    fn unsent(&self) -> usize {
        self.tx.len() + self.queued
    }

    fn queued(&self) -> (usize, usize) {
        (self.queue.len(), self.queued)
    }

    fn memory(&self) -> (usize, usize) {
        (self.rx.capacity(), self.tx.capacity() + self.queued)
    }

    fn shutdown(&mut self) {
        // This fails if the peer has gone already, and then there is nothing to shut down.
        let _ = self.socket.get_ref().shutdown(Shutdown::Both);
    }
}
