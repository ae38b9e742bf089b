//! The reply side: RESP2 and RESP3 encoders.

use bytes::Bytes;

use crate::number::format_f64;

/// The version of RESP that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Resp2,
    Resp3,
}

/// Length from which a value is sent from where it is stored instead of being copied.
pub const SHARED_LEN: usize = 16 * 1024;

/// A position in the stream of replies.
#[derive(Clone, Copy)]
pub struct Mark {
    written: usize,
    chunks: usize,
    chunked: usize,
    spill: usize,
    spilled: bool,
    full: bool,
}

/// Encodes replies into the space that a connection lends, and into memory of its own when that is
/// full. The order of the stream is: the space, then [`chunks`](Self::into_chunks).
pub struct Reply<'a> {
    space: &'a mut [u8],
    written: usize,
    chunks: Vec<Bytes>,
    /// Bytes in `chunks`.
    chunked: usize,
    /// Follows the chunks. Everything goes here once anything did.
    spill: Vec<u8>,
    spilled: bool,
    /// Bytes beyond the space from which on nothing is kept: the client is ended in place of being sent it.
    limit: usize,
    full: bool,
    pub protocol: Protocol,
}

impl<'a> Reply<'a> {
    pub fn new(space: &'a mut [u8], protocol: Protocol) -> Self {
        Reply {
            space,
            written: 0,
            chunks: Vec::new(),
            chunked: 0,
            spill: Vec::new(),
            spilled: false,
            limit: usize::MAX,
            full: false,
            protocol,
        }
    }

    /// Keeps no more once there are `limit` bytes beyond the space.
    #[inline]
    pub fn limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Bytes beyond the space that are kept.
    pub fn most(&self) -> usize {
        self.limit
    }

    /// Whether bytes were left out because of the limit.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The end of the stream so far, for [`truncate`](Self::truncate).
    pub fn mark(&self) -> Mark {
        Mark {
            written: self.written,
            chunks: self.chunks.len(),
            chunked: self.chunked,
            spill: self.spill.len(),
            spilled: self.spilled,
            full: self.full,
        }
    }

    /// Removes everything that was encoded since `mark`.
    pub fn truncate(&mut self, mark: Mark) {
        self.written = mark.written;
        self.spilled = mark.spilled;
        self.full = mark.full;
        self.chunked = mark.chunked;
        if self.chunks.len() > mark.chunks {
            // The content of `spill` at that time is the beginning of the first chunk added since.
            let first = self.chunks[mark.chunks].slice(..mark.spill);
            self.chunks.truncate(mark.chunks);
            self.spill = first.into();
        } else {
            self.spill.truncate(mark.spill);
        }
    }

    /// Bytes that are in the space.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Bytes encoded so far, in the space and beyond it.
    pub fn len(&self) -> usize {
        self.written + self.overflow()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes beyond the space.
    #[inline]
    pub fn overflow(&self) -> usize {
        self.chunked + self.spill.len()
    }

    /// The bytes that did not fit in the space, in order.
    pub fn into_chunks(mut self) -> Vec<Bytes> {
        self.cut();
        self.chunks
    }

    fn cut(&mut self) {
        if !self.spill.is_empty() {
            let spill = std::mem::take(&mut self.spill);
            self.push_chunk(spill.into());
        }
    }

    /// Makes room for so many bytes beyond the space, which are about to be written.
    pub fn reserve(&mut self, bytes: usize) {
        let free = if self.spilled { 0 } else { self.space.len() - self.written };
        self.spill.reserve(bytes.saturating_sub(free).min(self.limit));
    }

    /// Appends bytes that are already encoded.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        match self.space.get_mut(self.written..self.written + bytes.len()) {
            Some(space) if !self.spilled => {
                space.copy_from_slice(bytes);
                self.written += bytes.len();
            }
            _ => self.raw_spilled(bytes),
        }
    }

    #[cold]
    fn raw_spilled(&mut self, bytes: &[u8]) {
        self.spilled = true;
        if !self.fills() {
            self.spill.extend_from_slice(bytes);
        }
    }

    /// Whether the limit is reached, so that no more is kept.
    #[inline]
    fn fills(&mut self) -> bool {
        self.full |= self.overflow() >= self.limit;
        self.full
    }

    /// Appends bytes that are encoded and shared already.
    pub fn raw_shared(&mut self, bytes: Bytes) {
        self.spilled = true;
        if self.fills() {
            return;
        }
        self.cut();
        self.push_chunk(bytes);
    }

    /// `prefix`, a decimal number, CRLF: the header of everything that has a length.
    #[inline]
    fn header(&mut self, prefix: u8, number: i64) {
        let mut line = [0u8; 24];
        line[0] = prefix;
        let end = if (0..10).contains(&number) {
            line[1] = b'0' + number as u8;
            2
        } else {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(number).as_bytes();
            line[1..1 + digits.len()].copy_from_slice(digits);
            1 + digits.len()
        };
        line[end] = b'\r';
        line[end + 1] = b'\n';
        self.raw(&line[..end + 2]);
    }

    /// `+OK` and other status replies.
    pub fn simple(&mut self, text: &str) {
        self.raw(b"+");
        self.raw(text.as_bytes());
        self.raw(b"\r\n");
    }

    /// An array of status replies: what HELP answers.
    pub fn lines(&mut self, lines: &[&str]) {
        self.array(lines.len());
        lines.iter().for_each(|line| self.simple(line));
    }

    #[inline]
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// An error: `text` begins with its code (`ERR`, `WRONGTYPE` …). Line breaks become spaces,
    /// and those at its end are left out.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        let is_break = |b: &u8| matches!(b, b'\r' | b'\n');
        let text = text.as_ref();
        // A quoted word may end with some.
        let len = text.iter().rposition(|b| !is_break(b)).map_or(0, |last| last + 1);
        self.raw(b"-");
        for (i, line) in text[..len].split(is_break).enumerate() {
            if i > 0 {
                self.raw(b" ");
            }
            self.raw(line);
        }
        self.raw(b"\r\n");
    }

    #[inline]
    pub fn integer(&mut self, number: i64) {
        self.header(b':', number);
    }

    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        let len = bytes.len();
        // The usual reply is small: header, content and CRLF are then checked for space once.
        if !self.spilled && self.space.len() - self.written >= len + 32 {
            self.header(b'$', len as i64);
            let space = &mut self.space[self.written..self.written + len + 2];
            space[..len].copy_from_slice(bytes);
            space[len..].copy_from_slice(b"\r\n");
            self.written += len + 2;
        } else {
            self.header(b'$', len as i64);
            self.raw(bytes);
            self.raw(b"\r\n");
        }
    }

    /// A bulk string that is sent from where it is stored, if it is long.
    pub fn bulk_shared(&mut self, bytes: Bytes) {
        if bytes.len() < SHARED_LEN {
            return self.bulk(&bytes);
        }
        self.header(b'$', bytes.len() as i64);
        self.raw_shared(bytes);
        self.raw(b"\r\n");
    }

    fn push_chunk(&mut self, chunk: Bytes) {
        self.chunked += chunk.len();
        self.chunks.push(chunk);
    }

    /// A number as a bulk string.
    pub fn bulk_integer(&mut self, number: i64) {
        let mut digits = itoa::Buffer::new();
        self.bulk(digits.format(number).as_bytes());
    }

    /// A double; a bulk string in RESP2.
    pub fn double(&mut self, number: f64) {
        self.double_text(&format_f64(number));
    }

    /// A double whose text is already made.
    pub fn double_text(&mut self, text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.raw(b",");
                self.raw(text);
                self.raw(b"\r\n");
            }
        }
    }

    /// Null: `$-1` in RESP2, `_` in RESP3.
    #[inline]
    pub fn null(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.raw(b"$-1\r\n"),
            Protocol::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// Null where an array was expected: `*-1` in RESP2, `_` in RESP3.
    pub fn null_array(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.raw(b"*-1\r\n"),
            Protocol::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// The header of an array of `len` elements, which the caller writes next.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len as i64);
    }

    /// The header of a map of `len` pairs; a flat array in RESP2.
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', 2 * len as i64),
            Protocol::Resp3 => self.header(b'%', len as i64),
        }
    }

    /// The header of a set of `len` elements; an array in RESP2.
    pub fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len as i64),
            Protocol::Resp3 => self.header(b'~', len as i64),
        }
    }

    /// The header of a push message of `len` elements; an array in RESP2.
    pub fn push(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len as i64),
            Protocol::Resp3 => self.header(b'>', len as i64),
        }
    }

    /// A boolean; 1 or 0 in RESP2.
    pub fn boolean(&mut self, value: bool) {
        match (self.protocol, value) {
            (Protocol::Resp2, true) => self.raw(b":1\r\n"),
            (Protocol::Resp2, false) => self.raw(b":0\r\n"),
            (Protocol::Resp3, true) => self.raw(b"#t\r\n"),
            (Protocol::Resp3, false) => self.raw(b"#f\r\n"),
        }
    }

    /// A verbatim text of format `txt`; a bulk string in RESP2.
    pub fn verbatim(&mut self, text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.header(b'=', text.len() as i64 + 4);
                self.raw(b"txt:");
                self.raw(text);
                self.raw(b"\r\n");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(space: usize, protocol: Protocol, write: impl Fn(&mut Reply)) -> Vec<u8> {
        let mut space = vec![0; space];
        let mut reply = Reply::new(&mut space, protocol);
        write(&mut reply);
        let written = reply.written();
        let len = reply.len();
        let chunks = reply.into_chunks();
        let mut all = space[..written].to_vec();
        chunks.iter().for_each(|chunk| all.extend_from_slice(chunk));
        assert_eq!(all.len(), len);
        all
    }

    fn everything(reply: &mut Reply) {
        reply.map(1);
        reply.bulk(b"key");
        reply.bulk_shared(Bytes::from(vec![b'x'; SHARED_LEN]));
        reply.set(2);
        reply.integer(-12);
        reply.boolean(true);
        reply.null();
        reply.null_array();
        reply.verbatim(b"text");
        reply.double(-0.5);
        reply.error("ERR a\r\nb\r\n");
    }

    #[test]
    fn each_version_has_its_forms() {
        let big = "x".repeat(SHARED_LEN);
        assert_eq!(
            String::from_utf8(encode(1 << 20, Protocol::Resp2, everything)).unwrap(),
            format!(
                "*2\r\n$3\r\nkey\r\n$16384\r\n{big}\r\n*2\r\n:-12\r\n:1\r\n$-1\r\n*-1\r\n\
                 $4\r\ntext\r\n$4\r\n-0.5\r\n-ERR a  b\r\n"
            )
        );
        assert_eq!(
            String::from_utf8(encode(1 << 20, Protocol::Resp3, everything)).unwrap(),
            format!(
                "%1\r\n$3\r\nkey\r\n$16384\r\n{big}\r\n~2\r\n:-12\r\n#t\r\n_\r\n_\r\n\
                 =8\r\ntxt:text\r\n,-0.5\r\n-ERR a  b\r\n"
            )
        );
    }

    #[test]
    fn truncation_removes_all_bytes_since_the_mark() {
        let all = encode(1 << 20, Protocol::Resp3, everything);
        for space in 0..100 {
            let doubled = encode(space, Protocol::Resp3, |reply| {
                for _ in 0..2 {
                    let mark = reply.mark();
                    everything(reply);
                    reply.truncate(mark);
                    everything(reply);
                }
            });
            assert!(doubled == [&all[..], &all[..]].concat(), "space of {space}");
        }
    }

    #[test]
    fn the_stream_is_the_same_however_little_space_there_is() {
        let all = encode(1 << 20, Protocol::Resp3, everything);
        for space in 0..100 {
            assert_eq!(encode(space, Protocol::Resp3, everything), all, "space of {space}");
        }
    }
}
