//! Receive and send buffers of the socket transports.
//!
//! A buffer is borrowed from a per-thread pool while it holds bytes and goes back when it is empty,
//! so an idle connection holds none, and a busy thread works in the same few cache-warm buffers.

use std::cell::RefCell;

/// Bytes of a pooled buffer. One read of this size serves a deep pipeline of small commands, and two
/// of them (receive and send) fit in a second-level cache beside the tables.
const POOLED: usize = 64 * 1024;

/// Buffers that one thread keeps for reuse.
const POOL_LIMIT: usize = 16;

thread_local! {
    static POOL: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

fn take() -> Box<[u8]> {
    POOL.with_borrow_mut(|pool| pool.pop()).unwrap_or_else(|| vec![0; POOLED].into_boxed_slice())
}

fn put_back(buffer: Box<[u8]>) {
    if buffer.len() == POOLED {
        POOL.with_borrow_mut(|pool| {
            if pool.len() < POOL_LIMIT {
                pool.push(buffer);
            }
        });
    }
}

/// A contiguous byte queue: written at the end, consumed at the front.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    /// Length that the content is expected to reach; a growth target.
    expected: usize,
    /// The bytes that are received next, if they do not join the content.
    detached: Option<Detached>,
    /// The most detached bytes of one message so far.
    longest_detached: usize,
}

/// Bytes that are received into memory of their own, so that they need not be copied from here.
struct Detached {
    bytes: Vec<u8>,
    /// How many there will be.
    len: usize,
}

impl Buffer {
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Bytes of memory.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len() + self.detached.as_ref().map_or(0, |detached| detached.bytes.capacity())
    }

    /// Takes the content from `at` on, fewer than `len` bytes, out of it, as the first of `len` bytes
    /// that are received into memory of their own.
    pub(crate) fn receive_detached(&mut self, at: usize, len: usize) {
        let have = self.len() - at;
        assert!(have < len && self.detached.is_none());
        let mut bytes = Vec::with_capacity(self.detached_capacity(have, len));
        bytes.extend_from_slice(&self.filled()[at..]);
        self.end = self.start + at;
        self.detached = Some(Detached { bytes, len });
    }

    /// The capacity for `len` bytes of which so many are there.
    ///
    /// It is four times the length received so far: an announced length costs nothing until a quarter of it
    /// has come, unless as much came before.
    fn detached_capacity(&self, have: usize, len: usize) -> usize {
        len.min((4 * have.max(POOLED)).max(self.longest_detached))
    }

    /// The detached bytes if they are incomplete, with some capacity to receive into, and how many
    /// are missing.
    pub(crate) fn detached(&mut self) -> Option<(&mut Vec<u8>, usize)> {
        let Detached { bytes, len } = self.detached.as_ref()?;
        let (have, len) = (bytes.len(), *len);
        if have >= len {
            return None;
        }
        let capacity = self.detached_capacity(have, len);
        let bytes = &mut self.detached.as_mut()?.bytes;
        if have == bytes.capacity() {
            bytes.reserve_exact(capacity - have);
        }
        Some((bytes, len - have))
    }

    /// The detached bytes, once they are complete.
    pub(crate) fn take_detached(&mut self) -> Option<Vec<u8>> {
        let Detached { mut bytes, len } =
            self.detached.take_if(|detached| detached.bytes.len() >= detached.len)?;
        // Its capacity may have been more than was asked for.
        self.append(&bytes[len..]);
        bytes.truncate(len);
        self.longest_detached = self.longest_detached.max(len);
        Some(bytes)
    }

    /// Appends bytes that were received elsewhere: first to the detached ones, as far as these are incomplete.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let n = if let Some((detached, missing)) = self.detached() {
                let n = bytes.len().min(missing).min(detached.capacity() - detached.len());
                detached.extend_from_slice(&bytes[..n]);
                n
            } else {
                let space = self.space_to_receive();
                let n = bytes.len().min(space.len());
                space[..n].copy_from_slice(&bytes[..n]);
                self.extend(n);
                n
            };
            bytes = &bytes[n..];
        }
    }

    /// The space after the content; takes a buffer where there is none, never grows one.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes = take();
        }
        &mut self.bytes[self.end..]
    }

    /// The content and the space after it, at once.
    pub(crate) fn extend(&mut self, n: usize) {
        assert!(n <= self.bytes.len() - self.end);
        self.end += n;
    }

    pub(crate) fn consume(&mut self, n: usize) {
        assert!(n <= self.len());
        self.start += n;
        if self.start == self.end {
            self.release();
        }
    }

    /// Gives the memory back if there is no content.
    pub(crate) fn release(&mut self) {
        if self.start == self.end && !self.bytes.is_empty() {
            put_back(std::mem::take(&mut self.bytes));
            self.start = 0;
            self.end = 0;
            self.expected = 0;
        }
    }

    /// Keeps the content in no more memory than it needs, for a peer that may take its time.
    pub(crate) fn shrink(&mut self) {
        let len = self.len();
        if len > 0 && len < self.bytes.len() / 2 {
            let kept = self.filled().into();
            put_back(std::mem::replace(&mut self.bytes, kept));
            (self.start, self.end) = (0, len);
        }
    }

    pub(crate) fn expect(&mut self, total: usize) {
        self.expected = total;
    }

    /// Space to receive into: at least one byte, by moving the content to the front or by growing.
    ///
    /// Growth doubles, and stops at the expected length: an announced length costs nothing until
    /// half of it has come.
    pub(crate) fn space_to_receive(&mut self) -> &mut [u8] {
        if !self.bytes.is_empty() && self.end == self.bytes.len() {
            let len = self.len();
            let grown = (len * 2).min(self.expected.max(len + POOLED)).max(POOLED);
            if self.start > 0 && len <= self.bytes.len() / 2 {
                self.bytes.copy_within(self.start..self.end, 0);
            } else {
                let mut bytes = vec![0; grown].into_boxed_slice();
                bytes[..len].copy_from_slice(self.filled());
                put_back(std::mem::replace(&mut self.bytes, bytes));
            }
            self.start = 0;
            self.end = len;
        }
        self.space()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            put_back(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(buffer: &mut Buffer, bytes: &[u8]) -> usize {
        let space = buffer.space_to_receive();
        let n = bytes.len().min(space.len());
        space[..n].copy_from_slice(&bytes[..n]);
        buffer.extend(n);
        n
    }

    #[test]
    fn appended_bytes_first_complete_the_detached_ones() {
        let message: Vec<u8> = (0..400_000u32).map(|i| i as u8).collect();
        let mut buffer = Buffer::default();
        buffer.append(b"before, first");
        buffer.receive_detached(8, 300_005);
        buffer.append(&message[..100_000]);
        assert!(buffer.take_detached().is_none());
        buffer.append(&message[100_000..]);
        let detached = buffer.take_detached().expect("all has arrived");
        assert!(detached.starts_with(b"first") && detached[5..] == message[..300_000]);
        assert!(
            buffer.filled().starts_with(b"before, ") && buffer.filled()[8..] == message[300_000..]
        );
    }

    #[test]
    fn an_empty_buffer_holds_no_memory() {
        let mut buffer = Buffer::default();
        receive(&mut buffer, b"hello");
        assert_eq!(buffer.capacity(), POOLED);
        buffer.consume(5);
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn a_shrunken_buffer_has_its_content_alone_and_grows_again() {
        let mut buffer = Buffer::default();
        buffer.shrink();
        receive(&mut buffer, b"xhello");
        buffer.consume(1);
        buffer.shrink();
        assert_eq!((buffer.filled(), buffer.capacity()), (&b"hello"[..], 5));
        assert_eq!(receive(&mut buffer, b", world"), 7);
        assert_eq!(buffer.filled(), b"hello, world");
        assert_eq!(buffer.capacity(), POOLED);
    }

    #[test]
    fn content_stays_contiguous_while_it_grows() {
        let message: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
        let mut buffer = Buffer::default();
        receive(&mut buffer, b"xyz");
        buffer.consume(2);
        let mut sent = 0;
        while sent < message.len() {
            buffer.expect(message.len() + 1);
            sent += receive(&mut buffer, &message[sent..]);
            assert_eq!(buffer.filled()[0], b'z');
            assert_eq!(&buffer.filled()[1..], &message[..sent]);
        }
        assert!(buffer.capacity() < message.len() + POOLED + 2);
    }

    #[test]
    fn detached_bytes_leave_the_content() {
        let message: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
        let mut buffer = Buffer::default();
        for surplus in [0, 1, 3 * POOLED] {
            let is_first = buffer.longest_detached == 0;
            receive(&mut buffer, b"before, first");
            buffer.receive_detached(8, 5 + message.len() - surplus);
            assert_eq!(buffer.filled(), b"before, ");
            let mut sent = 0;
            while let Some((bytes, missing)) = buffer.detached() {
                assert_eq!(missing, message.len() - surplus - sent);
                let n = missing.min(bytes.capacity() - bytes.len());
                assert!(n > 0 && (bytes.capacity() <= 4 * bytes.len().max(POOLED) || !is_first));
                bytes.extend_from_slice(&message[sent..sent + n]);
                sent += n;
                assert!(is_first || sent == message.len() - surplus, "as much was sent before");
            }
            if let Some(detached) = &mut buffer.detached {
                detached.bytes.extend_from_slice(&message[sent..]);
            }
            let bytes = buffer.take_detached().expect("all has arrived");
            let (detached, behind) = message.split_at(message.len() - surplus);
            assert!(bytes.starts_with(b"first") && bytes[5..] == *detached);
            assert!(buffer.filled().starts_with(b"before, ") && buffer.filled()[8..] == *behind);
            assert!(buffer.take_detached().is_none() && buffer.detached().is_none());
            buffer.consume(buffer.len());
        }
    }

    #[test]
    fn an_announced_length_takes_no_memory_before_the_bytes_come() {
        let mut buffer = Buffer::default();
        receive(&mut buffer, b"$536870912\r\n");
        buffer.expect(512 << 20);
        receive(&mut buffer, &[0; 100]);
        assert_eq!(buffer.capacity(), POOLED);
    }
}
