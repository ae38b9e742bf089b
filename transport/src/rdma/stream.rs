//! The byte stream of one RDMA connection: the [`Connection`] that sessions use.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};

use super::link::Link;
use super::protocol::CloseReason;
use super::reactor::{Key, Reactor};
use super::verbs::Memory;
use crate::backend::{Connection, ConnectionInfo};
use crate::buffer::Buffer;

/// A [`Connection`] over a queue pair.
///
/// Received bytes are read where the peer has put them, in the receive region. Only a message that the
/// end of the region cuts in two is moved to a buffer of its own, so that it stays contiguous, and a long
/// argument to where it will stay.
pub(super) struct RdmaStream {
    info: ConnectionInfo,
    link: Rc<Link>,
    reactor: Rc<Reactor>,
    key: Key,
    region: Memory,
    send_buffer: Memory,
    /// Bytes of the region that were consumed, and those that a reader has been told of.
    consumed: usize,
    seen: usize,
    /// Bytes that came before those in the region. While there are any, new bytes join them.
    spill: Buffer,
    /// Length of the message that is incomplete, from the first byte that was not consumed.
    expected: usize,
    /// Chunks that follow the content of the send buffer.
    queue: VecDeque<Bytes>,
    queued: usize,
}

impl RdmaStream {
    pub(super) fn new(
        info: ConnectionInfo,
        link: Rc<Link>,
        reactor: Rc<Reactor>,
        key: Key,
        region: Memory,
        send_buffer: Memory,
    ) -> Self {
        RdmaStream {
            info,
            link,
            reactor,
            key,
            region,
            send_buffer,
            consumed: 0,
            seen: 0,
            spill: Buffer::default(),
            expected: 0,
            queue: VecDeque::new(),
            queued: 0,
        }
    }

    pub(super) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// Takes note of the bytes that have arrived since the last call. Returns how many there are.
    fn note_arrived(&mut self) -> usize {
        let received = self.link.protocol.borrow().received();
        let arrived = received.end - self.seen;
        if arrived == 0 {
            return 0;
        }
        self.seen = received.end;
        // A message that will not fit in the region moves out as it arrives, not all at its end,
        // when the peer waits for it.
        if self.spill.len() > 0 || self.consumed + self.expected > self.region.len() {
            self.move_out();
        }
        arrived
    }

    /// Moves the content of the region to the buffer, so that the region can be filled again.
    fn move_out(&mut self) {
        self.spill.expect(self.expected);
        self.spill.append(self.region.bytes(self.consumed..self.seen));
        self.consume_region(self.seen - self.consumed);
    }

    fn consume_region(&mut self, n: usize) {
        let mut protocol = self.link.protocol.borrow_mut();
        protocol.consume(n);
        self.consumed = protocol.received().start;
        if self.consumed == 0 {
            self.seen = 0;
        }
    }

    /// Copies queued chunks into the send buffer, as far as there is space.
    fn fill(&mut self) {
        while let Some(chunk) = self.queue.front_mut() {
            let mut protocol = self.link.protocol.borrow_mut();
            let space = protocol.space();
            let n = space.len().min(chunk.len());
            if n == 0 {
                return;
            }
            self.send_buffer.bytes_mut(space.start..space.start + n).copy_from_slice(&chunk[..n]);
            protocol.write(n);
            drop(protocol);
            chunk.advance(n);
            self.queued -= n;
            if chunk.is_empty() {
                self.queue.pop_front();
            }
        }
    }
}

impl Connection for RdmaStream {
    fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.reactor.runs(&self.link);
        let mut arrived = self.note_arrived();
        if arrived == 0 {
            let (link, seen) = (&self.link, self.seen);
            self.reactor.poll_for(|| link.protocol.borrow().received().end > seen);
            arrived = self.note_arrived();
        }
        if arrived > 0 {
            return Poll::Ready(Ok(arrived));
        }
        let protocol = self.link.protocol.borrow();
        if let Some(reason) = protocol.closed() {
            return Poll::Ready(match reason {
                CloseReason::Disconnected | CloseReason::Local => Ok(0),
                reason => Err(reason.to_io_error()),
            });
        }
        let cut_off = protocol.is_full();
        let sends = protocol.has_control();
        drop(protocol);
        if cut_off {
            // The caller needs more than the region holds.
            self.move_out();
        }
        if cut_off || sends {
            self.link.transmit();
        }
        self.link.reader.wait(cx);
        Poll::Pending
    }

    fn expect(&mut self, total: usize) {
        self.expected = total;
    }

    fn receive_detached(&mut self, at: usize, len: usize) -> bool {
        // The bytes before it keep the buffer in use until it is complete.
        self.move_out();
        self.spill.receive_detached(at, len);
        true
    }

    fn take_detached(&mut self) -> Option<Vec<u8>> {
        self.spill.take_detached()
    }

    fn buffers(&mut self) -> (&[u8], &mut [u8]) {
        let received = if self.spill.len() > 0 {
            self.spill.filled()
        } else {
            self.region.bytes(self.consumed..self.seen)
        };
        let space = if self.queue.is_empty() {
            let space = self.link.protocol.borrow_mut().space();
            self.send_buffer.bytes_mut(space)
        } else {
            &mut []
        };
        (received, space)
    }

    fn advance(&mut self, received: usize, written: usize) {
        if received > 0 {
            self.expected = 0;
            if self.spill.len() > 0 {
                self.spill.consume(received);
            } else {
                assert!(received <= self.seen - self.consumed);
                self.consume_region(received);
            }
        }
        if written > 0 {
            assert!(self.queue.is_empty());
            self.link.protocol.borrow_mut().write(written);
        }
    }

    fn queue(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.queued += chunk.len();
            self.queue.push_back(chunk);
            self.fill();
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reactor.runs(&self.link);
        loop {
            self.link.transmit();
            let unsent = self.link.protocol.borrow().unsent();
            if unsent == 0 && self.queue.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = self.link.error() {
                return Poll::Ready(Err(error));
            }
            let queued = self.queued;
            self.fill();
            if self.queued == queued {
                self.link.writer.wait(cx);
                return Poll::Pending;
            }
        }
    }

    fn unsent(&self) -> usize {
        self.link.protocol.borrow().unsent() + self.queued
    }

    fn queued(&self) -> (usize, usize) {
        (self.queue.len(), self.queued)
    }

    fn memory(&self) -> (usize, usize) {
        (self.region.len() + self.spill.capacity(), self.send_buffer.len() + self.queued)
    }

    fn shutdown(&mut self) {
        self.queue.clear();
        self.queued = 0;
        self.link.protocol.borrow_mut().close();
        self.link.transmit();
    }
}

impl Drop for RdmaStream {
    fn drop(&mut self) {
        self.reactor.linger(self.key, &self.link);
    }
}
