//! The sending side's bookkeeping: the bytes that wait in the send buffer, the room in the peer's region,
//! and which work requests have not completed.

use std::collections::VecDeque;
use std::ops::Range;

use super::control::Region;

/// The registered send buffer as a ring: bytes are written at the head, posted in order, and their
/// space is free again when the device has sent them.
///
/// Positions count all bytes since the start; a position's place is its remainder by the size.
#[derive(Debug)]
pub(super) struct SendBuffer {
    size: usize,
    head: u64,
    posted: u64,
    tail: u64,
}

impl SendBuffer {
    /// A ring of `size` bytes, a power of two.
    pub(super) fn new(size: usize) -> Self {
        assert!(size.is_power_of_two());
        SendBuffer { size, head: 0, posted: 0, tail: 0 }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    fn place(&self, position: u64) -> usize {
        position as usize & (self.size - 1)
    }

    /// A contiguous free range.
    pub(super) fn space(&mut self) -> Range<usize> {
        if self.tail == self.head {
            // Empty: start over where the cache is warm.
            self.head = self.head.next_multiple_of(self.size as u64);
            self.posted = self.head;
            self.tail = self.head;
        }
        let free = self.size - (self.head - self.tail) as usize;
        let start = self.place(self.head);
        let to_end = self.size - start;
        if to_end < self.size / 8 && free - to_end.min(free) > to_end && self.posted == self.head {
            // A scrap at the end: a reply is easier to build in the larger space at the start.
            self.head += to_end as u64;
            self.posted = self.head;
            return 0..free - to_end;
        }
        start..start + free.min(to_end)
    }

    /// The first `n` bytes of [`space`](Self::space) have been written.
    pub(super) fn write(&mut self, n: usize) {
        self.head += n as u64;
        assert!(self.head - self.tail <= self.size as u64);
    }

    /// Bytes written and not posted.
    pub(super) fn pending(&self) -> usize {
        (self.head - self.posted) as usize
    }

    /// The place and length of the first contiguous piece that was not posted.
    pub(super) fn piece(&self) -> (usize, usize) {
        let start = self.place(self.posted);
        (start, self.pending().min(self.size - start))
    }

    /// The next `n` bytes are posted. With `copied`, the device has taken a copy already, so their
    /// space is free at once if nothing before it is still in use. Returns how many of them stay in
    /// use.
    pub(super) fn post(&mut self, n: usize, copied: bool) -> usize {
        let start = self.posted;
        self.posted += n as u64;
        if copied && self.tail == start {
            self.tail = self.posted;
            return 0;
        }
        n
    }

    /// Everything before `position` has been sent.
    pub(super) fn release(&mut self, position: u64) {
        // `space` may have moved the tail past it: inline sends free their space before.
        self.tail = self.tail.max(position);
    }

    /// Discards the bytes that were not posted.
    pub(super) fn discard(&mut self) {
        self.head = self.posted;
    }
}

/// The peer's receive region, and how far it is filled.
#[derive(Debug)]
pub(super) struct RemoteRegion {
    region: Region,
    offset: u32,
}

impl RemoteRegion {
    pub(super) fn new(region: Region) -> Self {
        RemoteRegion { region, offset: 0 }
    }

    /// Bytes that may still be written before the peer has to register again.
    pub(super) fn room(&self) -> usize {
        (self.region.length - self.offset) as usize
    }

    /// The address and key for the next `n` bytes.
    pub(super) fn take(&mut self, n: usize) -> (u64, u32) {
        assert!(n <= self.room());
        let addr = self.region.addr + u64::from(self.offset);
        self.offset += n as u32;
        (addr, self.region.rkey)
    }
}

/// The send queue's slots. Only every so many work requests ask for a completion; it frees the slots
/// and the buffer space of all that were posted before it.
#[derive(Debug)]
pub(super) struct SendQueue {
    depth: u32,
    posted: u64,
    completed: u64,
    /// Signalled and not completed: work requests and buffer position up to each.
    signalled: VecDeque<(u64, u64)>,
    /// Work requests up to the last signalled one.
    covered: u64,
    /// Bytes of the send buffer that work requests after it use.
    uncovered_bytes: usize,
}

impl SendQueue {
    pub(super) fn new(depth: u32) -> Self {
        SendQueue {
            depth,
            posted: 0,
            completed: 0,
            signalled: VecDeque::with_capacity(8),
            covered: 0,
            uncovered_bytes: 0,
        }
    }

    pub(super) fn free(&self) -> u32 {
        self.depth - (self.posted - self.completed) as u32
    }

    /// True if every work request is known to have completed.
    pub(super) fn is_drained(&self) -> bool {
        self.posted == self.completed
    }

    /// True if a completion is due.
    pub(super) fn awaits_completion(&self) -> bool {
        !self.signalled.is_empty()
    }

    /// True if a completion is due that tells of everything posted.
    pub(super) fn is_covered(&self) -> bool {
        self.posted == self.covered
    }

    /// Takes a slot for a work request that uses the `bytes` before `position` of `buffer`, and says
    /// whether it must be signalled: so that a quarter of the slots, or of the buffer, is the most
    /// that no completion will tell of. `force` signals it anyway.
    pub(super) fn post(&mut self, buffer: &SendBuffer, bytes: usize, force: bool) -> bool {
        assert!(self.free() > 0);
        self.posted += 1;
        self.uncovered_bytes += bytes;
        let signal = force
            || self.posted - self.covered >= u64::from(self.depth / 4)
            || self.uncovered_bytes >= buffer.size / 4;
        if signal {
            self.covered = self.posted;
            self.uncovered_bytes = 0;
            self.signalled.push_back((self.posted, buffer.posted));
        }
        signal
    }

    /// The oldest signalled work request has completed: gives the buffer position up to it, or
    /// `None` where no completion was due.
    pub(super) fn complete(&mut self) -> Option<u64> {
        let (posted, position) = self.signalled.pop_front()?;
        self.completed = posted;
        Some(position)
    }
}
