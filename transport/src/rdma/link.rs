//! One connection as the reactor sees it: a queue pair, its protocol state, and the tasks that wait for it.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::cm::EventKind;
use super::counters::ConnectionCount;
use super::options::RdmaOptions;
use super::protocol::{CONTROL_LEN, CloseReason, Protocol};
use super::queue::Share;
use super::verbs::{Completed, Completion, QueuePair};
use super::waiter::Waiter;

/// A queue pair and the state of the stream over it.
pub(super) struct Link {
    pub(super) protocol: RefCell<Protocol>,
    queue_pair: RefCell<QueuePair>,
    pub(super) reader: Waiter,
    pub(super) writer: Waiter,
    pub(super) options: Arc<RdmaOptions>,
    /// When a link whose stream was dropped is given up.
    pub(super) linger: Cell<Option<Instant>>,
    _share: Share,
    _count: ConnectionCount,
}

impl Link {
    pub(super) fn new(
        protocol: Protocol,
        queue_pair: QueuePair,
        options: Arc<RdmaOptions>,
        share: Share,
    ) -> Link {
        Link {
            protocol: RefCell::new(protocol),
            queue_pair: RefCell::new(queue_pair),
            reader: Waiter::default(),
            writer: Waiter::default(),
            options,
            linger: Cell::new(None),
            _share: share,
            _count: ConnectionCount::new(),
        }
    }

    /// Does something with the queue pair.
    pub(super) fn with_queue_pair<T>(&self, run: impl FnOnce(&QueuePair) -> T) -> T {
        run(&self.queue_pair.borrow())
    }

    /// Takes a completion in. Returns how many tasks that woke.
    pub(super) fn completed(&self, completion: &Completion, slot: u32) -> usize {
        let mut protocol = self.protocol.borrow_mut();
        let mut queue_pair = self.queue_pair.borrow_mut();
        let (mut reader, mut writer) = (false, false);
        match completion.result {
            Ok(Completed::Immediate(announced)) => {
                protocol.write_received(announced);
                reader = true;
            }
            Ok(Completed::Send) => {
                protocol.send_completed();
                writer = true;
            }
            Ok(Completed::Message(length)) => {
                if length == CONTROL_LEN {
                    protocol.message_received(queue_pair.message(slot, length));
                } else {
                    protocol.message_received(&[0; CONTROL_LEN][..length.min(CONTROL_LEN - 1)]);
                }
                writer = true;
            }
            Err(failure) => protocol.work_failed(failure),
        }
        let receives = protocol.poll_receives();
        if receives > 0 && queue_pair.post_receives(receives).is_err() {
            protocol.manager_failed("posting receives failed", 0);
        }
        if protocol.has_control() {
            post(&mut protocol, &mut queue_pair);
        }
        let closed = protocol.closed().is_some();
        drop((protocol, queue_pair));
        let mut woke = 0;
        if reader || closed {
            woke += self.reader.wake();
        }
        if writer || closed {
            woke += self.writer.wake();
        }
        woke
    }

    /// Posts the work requests that the protocol has.
    pub(super) fn transmit(&self) {
        post(&mut self.protocol.borrow_mut(), &mut self.queue_pair.borrow_mut());
    }

    /// Takes an event of the connection manager in. Returns how many tasks that woke.
    pub(super) fn manager_event(&self, kind: EventKind) -> usize {
        let mut protocol = self.protocol.borrow_mut();
        match kind {
            EventKind::Established => {
                // Slower retries of the peer are all that is lost if this fails.
                let _ = self.queue_pair.borrow().shorten_retries();
                protocol.established();
            }
            EventKind::Disconnected => protocol.disconnected(),
            EventKind::Failed(what, code) => protocol.manager_failed(what, code),
            EventKind::DeviceRemoved => protocol.manager_failed("the device was removed", 0),
            EventKind::AddressResolved | EventKind::RouteResolved | EventKind::Other => return 0,
        }
        drop(protocol);
        self.changed()
    }

    /// Handles the timers that are due at `now`. Returns when the next one is, and how many tasks it woke.
    pub(super) fn timeout(&self, now: Instant) -> (Option<Instant>, usize) {
        let mut protocol = self.protocol.borrow_mut();
        if protocol.poll_timeout().is_none_or(|due| due > now) {
            return (protocol.poll_timeout(), 0);
        }
        protocol.handle_timeout(now);
        drop(protocol);
        let woke = self.changed();
        (self.protocol.borrow().poll_timeout(), woke)
    }

    fn changed(&self) -> usize {
        self.transmit();
        self.reader.wake() + self.writer.wake()
    }

    /// True if there is nothing left to wait for before a link without a stream is taken down.
    pub(super) fn is_done(&self) -> bool {
        self.linger.get().is_some() && self.protocol.borrow().is_drained()
    }

    /// The error of a link that has ended; `None` if it has not.
    pub(super) fn error(&self) -> Option<io::Error> {
        self.protocol.borrow().closed().map(CloseReason::to_io_error)
    }
}

fn post(protocol: &mut Protocol, queue_pair: &mut QueuePair) {
    if let Err(error) = queue_pair.post_sends(|| protocol.poll_transmit()) {
        let code = error.raw_os_error().unwrap_or(0);
        protocol.manager_failed("posting a work request failed", code);
    }
}
