//! Bytes that any thread has for a client: pushes, invalidations, lines of MONITOR, a replication stream.
//!
//! The client's session takes them and sends them between its replies, on its own thread. A client that
//! reads too slowly costs only itself: its outbox has a limit, by its class, beyond which the connection
//! is closed.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::resp::Reply;

/// The limit class of a client (`client-output-buffer-limit`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutboxClass {
    #[default]
    Normal,
    Replica,
    Pubsub,
}

/// Length from which a message is shared between the outboxes that it goes to. Shorter ones are copied,
/// which takes less than counting references.
const SHARED_LEN: usize = 1024;

/// The bytes that wait for one client's session.
#[derive(Default)]
pub struct Outbox {
    /// Bytes in `waiting`, readable without the lock: a session without any pays for one comparison.
    len: AtomicUsize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    chunks: Vec<Bytes>,
    /// Short messages that follow the chunks.
    tail: Vec<u8>,
}

impl Waiting {
    fn push(&mut self, first: u8, rest: &Bytes) {
        self.tail.push(first);
        if rest.len() < SHARED_LEN {
            self.tail.extend_from_slice(rest);
        } else {
            self.chunks.push(std::mem::take(&mut self.tail).into());
            self.chunks.push(rest.clone());
        }
    }
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

    /// Adds whole messages, in the order of the calls: the byte `first` and what follows it, which is the
    /// same for clients of both protocols. Says how many bytes waited before, and how many wait now.
    pub(super) fn push(&self, first: u8, rest: &Bytes) -> (usize, usize) {
        let mut waiting = self.waiting.lock();
        let before = self.len.load(Ordering::Relaxed);
        let len = before + 1 + rest.len();
        waiting.push(first, rest);
        self.len.store(len, Ordering::Release);
        (before, len)
    }

    /// Moves everything behind the replies in `out`.
    pub fn move_to(&self, out: &mut Reply<'_>) {
        let mut waiting = self.waiting.lock();
        std::mem::take(&mut waiting.chunks).into_iter().for_each(|chunk| out.raw_shared(chunk));
        out.raw(&waiting.tail);
        // What a burst took is not kept for an idle client.
        waiting.tail.clear();
        waiting.tail.shrink_to(SHARED_LEN);
        self.len.store(0, Ordering::Release);
    }

    /// Forgets everything: the client is gone.
    pub(super) fn clear(&self) {
        *self.waiting.lock() = Waiting::default();
        self.len.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Protocol;

    fn taken(outbox: &Outbox) -> Vec<u8> {
        let mut out = Reply::new(&mut [], Protocol::Resp2);
        outbox.move_to(&mut out);
        out.into_chunks().concat()
    }

    #[test]
    fn messages_are_taken_once_in_their_order() {
        let outbox = Outbox::default();
        assert!(outbox.is_empty());
        let long = Bytes::from(vec![b'l'; SHARED_LEN]);
        assert_eq!(outbox.push(b'+', &Bytes::from_static(b"a")), (0, 2));
        assert_eq!(outbox.push(b'*', &long), (2, 3 + SHARED_LEN));
        assert_eq!(outbox.push(b'-', &Bytes::from_static(b"b")), (3 + SHARED_LEN, 5 + SHARED_LEN));
        assert_eq!(taken(&outbox), [b"+a*", &long[..], b"-b"].concat());
        assert!(outbox.is_empty() && taken(&outbox).is_empty());
    }
}
