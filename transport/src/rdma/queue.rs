//! A completion queue that the connections of one thread share, and each connection's share of it.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::task::{Context, Poll};

use super::verbs::{Completion, CompletionQueue, ProtectionDomain};
use crate::event_loop::Source;

/// Entries of a completion queue, where the device has as many.
const QUEUE_ENTRIES: u32 = 32_767;

/// Events that a completion channel collects before they are read.
const UNREAD_EVENTS: u32 = 16;

/// The vector that the next completion queue gets, where they are taken in turn.
static NEXT_VECTOR: AtomicI32 = AtomicI32::new(0);

/// A completion queue and how many of its entries are reserved.
pub(super) struct SharedQueue {
    queue: Rc<CompletionQueue>,
    domain: Rc<ProtectionDomain>,
    ready: Source<Rc<CompletionQueue>>,
    armed: Cell<bool>,
    /// Events that have come and are still to be read from the channel.
    unread: Cell<u32>,
    reserved: Cell<u32>,
    entries: u32,
}

impl SharedQueue {
    /// A queue on the device of `domain`. It gets the completion vector `vector`, or the next one if that is
    /// negative.
    pub(super) fn new(domain: &Rc<ProtectionDomain>, vector: i32) -> io::Result<SharedQueue> {
        let entries = QUEUE_ENTRIES.min(domain.limits().completions);
        let vector = if vector < 0 { NEXT_VECTOR.fetch_add(1, Relaxed) & i32::MAX } else { vector };
        let queue = CompletionQueue::new(domain, entries, vector)?;
        let ready = queue.watch()?;
        Ok(SharedQueue {
            queue,
            domain: domain.clone(),
            ready,
            armed: Cell::new(false),
            unread: Cell::new(0),
            reserved: Cell::new(0),
            entries,
        })
    }

    pub(super) fn domain(&self) -> &Rc<ProtectionDomain> {
        &self.domain
    }

    /// A share for another connection, if there is room: with all the receives it would like while
    /// half of the entries are free, then with an eighth of them.
    pub(super) fn share(self: &Rc<Self>, receives: u32, sends: u32) -> Option<Share> {
        let free = self.entries - self.reserved.get();
        let most = self.domain.limits().work_requests;
        let receives = if free > self.entries / 2 { receives } else { receives / 8 };
        let receives = receives.clamp(1, most);
        let entries = receives + sends;
        if entries > free {
            return None;
        }
        self.reserved.set(self.reserved.get() + entries);
        Some(Share { queue: self.clone(), entries, receives })
    }

    /// Takes completions, and gives each to `handle`. Returns how many there were; there may be more.
    pub(super) fn poll(&self, handle: impl FnMut(Completion)) -> io::Result<usize> {
        self.queue.poll(handle)
    }

    /// Asks for an event with the next completion, unless that was done.
    pub(super) fn arm(&self) -> io::Result<()> {
        if !self.armed.get() {
            self.queue.request_event()?;
            self.armed.set(true);
        }
        Ok(())
    }

    /// Waits for the event that was asked for.
    ///
    /// The runtime reports each event once, whether or not it is read from the channel. So events are read
    /// several at a time: most requests are spared the call.
    pub(super) fn poll_event(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.ready.poll_readable(cx))?;
        self.ready.clear_readable();
        self.armed.set(false);
        self.unread.set(self.unread.get() + 1);
        if self.unread.get() == UNREAD_EVENTS {
            self.unread.set(0);
            while self.queue.take_event()? {}
        }
        Poll::Ready(Ok(()))
    }
}

/// A connection's part of a completion queue: room for the completions of its work requests.
pub(super) struct Share {
    queue: Rc<SharedQueue>,
    entries: u32,
    /// Receives that the connection may have posted.
    pub(super) receives: u32,
}

impl Share {
    pub(super) fn queue(&self) -> &Rc<CompletionQueue> {
        &self.queue.queue
    }

    pub(super) fn domain(&self) -> &Rc<ProtectionDomain> {
        &self.queue.domain
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.queue.reserved.set(self.queue.reserved.get() - self.entries);
    }
}
