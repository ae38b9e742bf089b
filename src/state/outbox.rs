//! Bytes that any thread has for a client: pushes, invalidations, lines of MONITOR, a replication stream.
//!
//! The client's session takes them and sends them between its replies, on its own thread. A client that
//! reads too slowly costs only itself: its outbox has a limit, by its class, beyond which the connection
//! is closed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

/// The limit class of a client (`client-output-buffer-limit`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutboxClass {
    #[default]
    Normal,
    Replica,
    Pubsub,
}

/// The bytes that wait for one client's session.
#[derive(Default)]
pub struct Outbox {
    /// Bytes in `chunks`, readable without the lock: a session without any pays for one comparison.
    len: AtomicUsize,
    chunks: Mutex<VecDeque<Bytes>>,
}

impl Outbox {
    /// Bytes that wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds whole messages, in the order of the calls. Says how many bytes wait now. The session is to be
    /// woken afterwards ([`ClientRecord::send`](super::ClientRecord::send) does both).
    pub(super) fn push(&self, chunk: Bytes) -> usize {
        let mut chunks = self.chunks.lock();
        let len = self.len.load(Ordering::Relaxed) + chunk.len();
        self.len.store(len, Ordering::Release);
        chunks.push_back(chunk);
        len
    }

    /// Takes everything, in order.
    pub fn take(&self) -> VecDeque<Bytes> {
        let mut chunks = self.chunks.lock();
        self.len.store(0, Ordering::Release);
        std::mem::take(&mut *chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_once_in_their_order() {
        let outbox = Outbox::default();
        assert!(outbox.is_empty());
        assert_eq!(outbox.push(Bytes::from_static(b"ab")), 2);
        assert_eq!(outbox.push(Bytes::from_static(b"c")), 3);
        assert_eq!(outbox.take(), ["ab", "c"]);
        assert!(outbox.is_empty() && outbox.take().is_empty());
    }
}
