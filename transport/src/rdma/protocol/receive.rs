//! The receiving side's bookkeeping: the receive region that the peer fills, and the posted
//! receives that its messages consume.

use std::ops::Range;

/// The local receive region. The peer fills it from its start; when it is full and everything in it
/// was consumed it can be handed out again.
#[derive(Debug)]
pub(super) struct ReceiveRegion {
    length: u32,
    consumed: u32,
    filled: u32,
}

impl ReceiveRegion {
    pub(super) fn new(length: u32) -> Self {
        ReceiveRegion { length, consumed: 0, filled: 0 }
    }

    /// Bytes that the peer may still fill.
    pub(super) fn left(&self) -> u32 {
        self.length - self.filled
    }

    /// Filled and not consumed.
    pub(super) fn received(&self) -> Range<usize> {
        self.consumed as usize..self.filled as usize
    }

    /// The peer has filled `n` more bytes; false if that is more than is left.
    pub(super) fn fill(&mut self, n: u32) -> bool {
        if n > self.left() {
            return false;
        }
        self.filled += n;
        true
    }

    /// Takes `n` bytes off the front; true if that empties a full region, which then starts over.
    pub(super) fn consume(&mut self, n: usize) -> bool {
        assert!(n <= self.received().len());
        self.consumed += n as u32;
        if self.consumed < self.length {
            return false;
        }
        self.consumed = 0;
        self.filled = 0;
        true
    }
}

/// Receives posted for the peer's messages. Each message consumes one; they are posted again in
/// batches.
#[derive(Debug)]
pub(super) struct Credits {
    batch: u32,
    owed: u32,
}

impl Credits {
    pub(super) fn new(posted: u32) -> Self {
        // Half would let a fast peer run dry between two batches; one by one costs a call each.
        Credits { batch: (posted / 8).clamp(1, 64), owed: 0 }
    }

    pub(super) fn consume(&mut self) {
        self.owed += 1;
    }

    /// Receives to post again now: 0 until a batch of them is due.
    pub(super) fn take(&mut self) -> u32 {
        if self.owed < self.batch { 0 } else { std::mem::take(&mut self.owed) }
    }
}
