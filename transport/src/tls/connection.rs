//! A [`Connection`] whose bytes are records of TLS on a socket.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use rustls::InvalidMessage;

use super::engine::{Engine, OVERHEAD, RECORD, Record, Step, Written, invalid};
use crate::backend::{Backend, Connection, ConnectionInfo};
use crate::buffer::Buffer;
use crate::event_loop::yield_task;
use crate::security::PeerCertificate;
use crate::socket::SocketConnection;

/// The least free space of the socket's buffer that a record of application data is sealed into.
const LEAST_SPACE: usize = 1024;

/// The most bytes that a peer may send before its handshake is over: rustls takes messages of up to 64 KiB, and
/// a chain of certificates is one.
const HANDSHAKE_BYTES: usize = 128 * 1024;

/// Times that bytes are received without any application data among them, before the others of the thread have their turn.
const FRUITLESS_ROUNDS: usize = 4;

/// The error of bytes that do not begin like a record.
const NOT_TLS: rustls::Error = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);

pub(super) struct TlsConnection {
    /// The stream of records.
    socket: SocketConnection,
    engine: Engine,
    info: ConnectionInfo,
    state: State,
    /// Received and decrypted.
    rx: Buffer,
    /// Bytes of `rx` that [`Connection::poll_receive`] has not told of.
    arrived: usize,
    /// Written and not sealed yet.
    tx: Buffer,
    /// Chunks that follow the content of `tx`.
    queue: VecDeque<Bytes>,
    queued: usize,
    /// Bytes of application data in the records that the socket has not taken yet.
    sealed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes have been received.
    Handshaking(usize),
    Open,
    /// The peer has ended its side by the protocol.
    PeerClosed,
    /// Nothing more can be sent or received.
    Failed,
}

impl TlsConnection {
    pub(super) fn new(
        socket: SocketConnection,
        engine: Engine,
        backend: &'static Backend,
    ) -> TlsConnection {
        let info = ConnectionInfo { backend, ..socket.info().clone() };
        TlsConnection {
            socket,
            engine,
            info,
            state: State::Handshaking(0),
            rx: Buffer::default(),
            arrived: 0,
            tx: Buffer::default(),
            queue: VecDeque::new(),
            queued: 0,
            sealed: 0,
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Handshaking(_))
    }

    /// Completes the handshake.
    ///
    /// # Errors
    /// If the two sides do not agree, or one does not trust the other. The peer is told, where the protocol has a word for it.
    pub(super) async fn handshake(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_handshake(cx)).await
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A client speaks first.
        self.advance_handshake()?;
        while self.is_handshaking() {
            ready!(self.poll_handshake_input(cx))?;
            self.advance_handshake()?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what the handshake has to say, and waits for more of the peer's part of it.
    pub(super) fn poll_handshake_input(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.socket.unsent() > 0 {
            let _ = self.socket.poll_flush(cx)?;
        }
        let Poll::Ready(received) = self.socket.poll_receive(cx)? else {
            // Nobody knows yet who this is.
            self.socket.shrink_received();
            return Poll::Pending;
        };
        if received == 0 {
            self.state = State::Failed;
            let text = "the peer closed the connection during the TLS handshake";
            return Poll::Ready(Err(io::Error::new(ErrorKind::UnexpectedEof, text)));
        }
        if let State::Handshaking(before) = self.state {
            self.state = State::Handshaking(before + received);
            if before + received > HANDSHAKE_BYTES {
                self.state = State::Failed;
                let text = "the peer sent too much before the TLS handshake was over";
                return Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, text)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Does the next part of the handshake with what has been received.
    pub(super) fn advance_handshake(&mut self) -> io::Result<()> {
        self.process()?;
        if self.is_handshaking() && !self.engine.is_handshaking() {
            self.state = State::Open;
            let certificate = self.engine.peer_certificates().first();
            self.info.certificate = certificate.map(|der| Arc::new(PeerCertificate::new(der)));
        }
        Ok(())
    }

    /// Decrypts the records that have arrived, and answers those that are the protocol's own.
    fn process(&mut self) -> io::Result<()> {
        loop {
            match self.step() {
                Ok(step) => {
                    if self.take(step) {
                        return Ok(());
                    }
                }
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    fn step(&mut self) -> Result<Step, rustls::Error> {
        let (done, step) = self.engine.step(self.socket.received_mut(), &mut self.rx);
        self.socket.advance(done, 0);
        step
    }

    /// Writes a record into the socket's buffer; or does a step that comes first.
    fn write(&mut self, len: Option<usize>) -> io::Result<Written> {
        let (received, space) = self.socket.buffers_mut();
        let record = match len {
            Some(len) => Record::Data(&front(&self.tx, &self.queue)[..len]),
            None => Record::Close,
        };
        let (done, written) = self.engine.write(record, space, received, &mut self.rx);
        let bytes = if let Ok(Written::Record(bytes)) = written { bytes } else { 0 };
        self.socket.advance(done, bytes);
        written
    }

    /// Acts on a step, and says whether it was the last one for now.
    fn take(&mut self, step: Step) -> bool {
        match step {
            Step::Received(n) => self.arrived += n,
            Step::Send(records) => self.socket.queue(records),
            Step::Again => {}
            Step::PeerClosed => self.state = State::PeerClosed,
            Step::Blocked | Step::Open | Step::Closed => return true,
        }
        false
    }

    /// Tells the peer why the connection ends, as far as that goes at once.
    #[cold]
    fn fail(&mut self, error: rustls::Error) -> io::Error {
        let state = std::mem::replace(&mut self.state, State::Failed);
        if matches!(state, State::Handshaking(_)) && error == NOT_TLS {
            // It would read an alert as an answer.
            return io::Error::new(ErrorKind::InvalidData, "the peer does not speak TLS");
        }
        // An alert is not answered by one. Otherwise there is one to be taken, and nothing else may be asked of rustls
        // any more.
        if !matches!(error, rustls::Error::AlertReceived(_))
            && let Ok(Step::Send(alert)) = self.step()
        {
            self.socket.queue(alert);
        }
        self.flush_now();
        invalid(error)
    }

    /// Sends what the system takes without waiting.
    fn flush_now(&mut self) {
        // The connection ends, whatever becomes of this.
        let _ = self.socket.poll_flush(&mut Context::from_waker(Waker::noop()));
    }

    /// Seals what was written, as far as the socket's buffer has space.
    fn seal(&mut self) -> io::Result<()> {
        while self.tx.len() + self.queued > 0 {
            let (_, space) = self.socket.buffers();
            if space.len() < LEAST_SPACE {
                return Ok(());
            }
            let room = RECORD.min(space.len() - OVERHEAD);
            let len = front(&self.tx, &self.queue).len().min(room);
            match self.write(Some(len))? {
                Written::Record(_) => {
                    self.sealed += len;
                    self.take_front(len);
                }
                Written::First(step) => {
                    if self.take(step) {
                        return Err(io::Error::other("the TLS connection can't be written to"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes `len` bytes from the front of what is to be sealed.
    fn take_front(&mut self, len: usize) {
        if self.tx.len() > 0 {
            self.tx.consume(len);
            return;
        }
        self.queued -= len;
        let chunk = &mut self.queue[0];
        chunk.advance(len);
        if chunk.is_empty() {
            self.queue.pop_front();
        }
    }

    /// Ends this side of the stream by the protocol, as far as that goes at once: the peer can then tell that nothing is missing.
    fn close(&mut self) {
        if !matches!(self.state, State::Open | State::PeerClosed) {
            return;
        }
        self.state = State::Failed;
        // If earlier records wait, the stream is cut off, and the peer is to notice.
        if self.unsent() > 0 || self.socket.unsent() > 0 {
            return;
        }
        loop {
            match self.write(None) {
                Ok(Written::Record(_)) => return self.flush_now(),
                Ok(Written::First(step)) => {
                    if self.take(step) {
                        return;
                    }
                    self.flush_now();
                }
                Err(_) => return,
            }
        }
    }
}

/// The bytes that are sealed next: of `tx`, or if that is empty of the first chunk.
fn front<'a>(tx: &'a Buffer, queue: &'a VecDeque<Bytes>) -> &'a [u8] {
    match queue.front() {
        Some(chunk) if tx.len() == 0 => chunk,
        _ => tx.filled(),
    }
}

impl Connection for TlsConnection {
    fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.is_handshaking() {
            ready!(self.poll_handshake(cx))?;
        }
        for _ in 0..FRUITLESS_ROUNDS {
            if self.arrived > 0 {
                return Poll::Ready(Ok(std::mem::take(&mut self.arrived)));
            }
            match self.state {
                State::PeerClosed => return Poll::Ready(Ok(0)),
                State::Failed => return Poll::Ready(Err(ErrorKind::NotConnected.into())),
                State::Handshaking(_) | State::Open => {}
            }
            if self.sealed == 0 && self.socket.unsent() > 0 {
                // Records of the protocol itself, for which nobody else would ask.
                let _ = self.socket.poll_flush(cx)?;
            }
            let Poll::Ready(received) = self.socket.poll_receive(cx)? else {
                self.rx.release();
                return Poll::Pending;
            };
            if received == 0 {
                self.state = State::Failed;
                let text =
                    "the TLS stream was cut off: the peer closed the connection without saying so";
                return Poll::Ready(Err(io::Error::new(ErrorKind::UnexpectedEof, text)));
            }
            self.process()?;
        }
        if self.arrived == 0 {
            yield_task(cx);
            return Poll::Pending;
        }
        Poll::Ready(Ok(std::mem::take(&mut self.arrived)))
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
        if self.is_handshaking() {
            ready!(self.poll_handshake(cx))?;
        }
        if self.state == State::Failed {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        }
        loop {
            self.seal()?;
            if self.socket.unsent() == 0 {
                return Poll::Ready(Ok(()));
            }
            ready!(self.socket.poll_flush(cx))?;
            self.sealed = 0;
        }
    }

    fn unsent(&self) -> usize {
        self.tx.len() + self.queued + self.sealed
    }

    fn queued(&self) -> (usize, usize) {
        (self.queue.len(), self.queued)
    }

    fn memory(&self) -> (usize, usize) {
        let (received, sent) = self.socket.memory();
        (self.rx.capacity() + received, self.tx.capacity() + self.queued + sent)
    }

    fn shutdown(&mut self) {
        self.close();
        self.socket.shutdown();
    }
}

impl Drop for TlsConnection {
    fn drop(&mut self) {
        self.close();
    }
}
