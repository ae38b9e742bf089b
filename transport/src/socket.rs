//! What TCP and Unix sockets share: a [`Connection`] over any tokio byte stream.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::buffer::Buffer;
use crate::{Connection, ConnectionInfo};

/// Chunks handed to one vectored write.
const MAX_SLICES: usize = 64;

/// A [`Connection`] over a tokio stream socket.
pub(crate) struct SocketConnection<S> {
    socket: S,
    info: ConnectionInfo,
    rx: Buffer,
    tx: Buffer,
    /// Chunks that follow what is in `tx`.
    queue: VecDeque<Bytes>,
    queued: usize,
    close: fn(&S),
}

impl<S: AsyncRead + AsyncWrite + Unpin> SocketConnection<S> {
    /// `close` ends the stream in both directions without waiting.
    pub(crate) fn new(socket: S, info: ConnectionInfo, close: fn(&S)) -> Self {
        SocketConnection {
            socket,
            info,
            rx: Buffer::default(),
            tx: Buffer::default(),
            queue: VecDeque::new(),
            queued: 0,
            close,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let socket = Pin::new(&mut self.socket);
        if self.queue.is_empty() {
            return socket.poll_write(cx, self.tx.filled());
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
        socket.poll_write_vectored(cx, &slices[..count])
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

impl<S: AsyncRead + AsyncWrite + Unpin> Connection for SocketConnection<S> {
    fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = ReadBuf::new(self.rx.space_to_receive());
        let result = Pin::new(&mut self.socket).poll_read(cx, &mut space);
        let n = space.filled().len();
        match result {
            Poll::Ready(Ok(())) => {
                self.rx.extend(n);
                if n == 0 {
                    self.rx.release();
                }
                Poll::Ready(Ok(n))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.rx.release();
                Poll::Pending
            }
        }
    }

    fn expect(&mut self, total: usize) {
        self.rx.expect(total);
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

    fn memory(&self) -> (usize, usize) {
        (self.rx.capacity(), self.tx.capacity() + self.queued)
    }

    fn shutdown(&mut self) {
        (self.close)(&self.socket);
    }
}
