//! The request side: multibulk arrays and inline commands.

use std::fmt;
use std::ops::{Index, Range};
use std::sync::Arc;

use memchr::{memchr, memchr2};

/// Bytes of an inline request, or of a length line, beyond which the peer is not speaking RESP.
/// Valkey's `PROTO_INLINE_MAX_SIZE`.
const MAX_LINE: usize = 64 * 1024;

/// Bytes of the shortest argument that is worth receiving into memory of its own. Shorter ones arrive
/// with one or two reads.
const LONG: usize = 64 * 1024;

/// Arguments that a parser keeps memory for between batches: more than a usual deep pipeline has.
const KEPT_ARGS: usize = 1024;

/// The limits of a request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Elements of one request.
    pub multibulk: i64,
    /// Bytes of one argument (`proto-max-bulk-len`).
    pub bulk: i64,
    /// The client has not authenticated; the error texts then say so.
    pub unauthenticated: bool,
}

impl Limits {
    /// The limits of a client that has not authenticated yet: ten elements of 16 KiB.
    pub const UNAUTHENTICATED: Limits =
        Limits { multibulk: 10, bulk: 16 * 1024, unauthenticated: true };

    /// The limits of any other client, with the configured `proto-max-bulk-len`.
    pub fn authenticated(bulk: i64) -> Limits {
        Limits { multibulk: i32::MAX as i64, bulk, unauthenticated: false }
    }
}

/// The reason why a stream cannot be parsed any more. The connection is closed after it is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    InlineTooBig,
    UnbalancedQuotes,
    CountTooBig,
    InvalidCount,
    UnauthenticatedCount,
    BulkLineTooBig,
    ExpectedBulk(u8),
    InvalidBulkLength,
    UnauthenticatedBulkLength,
    InvalidLineEnd,
}

impl ProtocolError {
    /// The error reply, without the leading `-`.
    pub fn reply(&self) -> Vec<u8> {
        let mut text = format!("ERR {self}").into_bytes();
        if let ProtocolError::ExpectedBulk(byte) = *self {
            // The byte unchanged, whatever it means.
            text.truncate(text.len() - 2);
            text.extend([byte, b'\'']);
        }
        text
    }
}

/// The text that follows `ERR ` in the reply.
impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        f.write_str(match self {
            ProtocolError::InlineTooBig => "too big inline request",
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request",
            ProtocolError::CountTooBig => "too big mbulk count string",
            ProtocolError::InvalidCount => "invalid multibulk length",
            ProtocolError::UnauthenticatedCount => "unauthenticated multibulk length",
            ProtocolError::BulkLineTooBig => "too big bulk count string",
            ProtocolError::ExpectedBulk(_) => "expected '$', got '?'",
            ProtocolError::InvalidBulkLength => "invalid bulk length",
            ProtocolError::UnauthenticatedBulkLength => "unauthenticated bulk length",
            ProtocolError::InvalidLineEnd => "invalid CRLF in request",
        })
    }
}

impl std::error::Error for ProtocolError {}

/// A command's arguments, the command's name first, as slices of the bytes they arrived in.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    bytes: &'a [u8],
    ranges: &'a [(usize, usize)],
    elsewhere: Elsewhere<'a>,
}

/// Arguments that do not lie in the bytes of the others. Their ranges end with [`DETACHED`], and begin with their
/// index.
#[derive(Clone, Copy)]
enum Elsewhere<'a> {
    /// They were received into memory of their own.
    Received(&'a Vec<Long>),
    Borrowed(&'a BorrowedArgs<'a>),
}

/// The arguments of a command as slices of any memory.
pub struct BorrowedArgs<'a> {
    words: &'a [&'a [u8]],
    /// The ranges, where there are more words than in [`BORROWED`].
    more: Vec<(usize, usize)>,
}

/// The ranges of arguments that are all borrowed.
static BORROWED: [(usize, usize); 32] = {
    let mut ranges = [(0, DETACHED); 32];
    let mut index = 0;
    while index < ranges.len() {
        ranges[index].0 = index;
        index += 1;
    }
    ranges
};

impl<'a> BorrowedArgs<'a> {
    pub fn new(words: &'a [&'a [u8]]) -> Self {
        let is_many = words.len() > BORROWED.len();
        let more =
            if is_many { (0..words.len()).map(|i| (i, DETACHED)).collect() } else { Vec::new() };
        BorrowedArgs { words, more }
    }

    pub fn args(&self) -> Args<'_> {
        let ranges = if self.more.is_empty() { &BORROWED[..self.words.len()] } else { &self.more };
        Args { bytes: &[], ranges, elsewhere: Elsewhere::Borrowed(self) }
    }
}

/// Arguments of any number of commands in memory of their own, one command after the other: requests
/// that are kept longer than their buffers, and commands that were never received.
#[derive(Debug, Default)]
pub struct OwnedArgs {
    bytes: Vec<u8>,
    ranges: Vec<(usize, usize)>,
    long: Vec<Long>,
}

impl OwnedArgs {
    /// Adds a command's arguments; they are its [`args`](Self::args) from then on. Long ones are shared,
    /// not copied.
    pub fn push(&mut self, args: Args<'_>) -> Range<usize> {
        let first = self.ranges.len();
        for &(start, end) in args.ranges {
            let range = match args.elsewhere {
                Elsewhere::Received(long) if end == DETACHED => {
                    let bytes = long[start].bytes.clone();
                    self.long.push(Long { position: 0, bytes });
                    (self.long.len() - 1, DETACHED)
                }
                _ => self.copy(args.argument((start, end))),
            };
            self.ranges.push(range);
        }
        first..self.ranges.len()
    }

    /// Adds a command that is made of these words.
    pub fn push_words<'a>(&mut self, words: impl IntoIterator<Item = &'a [u8]>) -> Range<usize> {
        let first = self.ranges.len();
        for word in words {
            let range = self.copy(word);
            self.ranges.push(range);
        }
        first..self.ranges.len()
    }

    fn copy(&mut self, bytes: &[u8]) -> (usize, usize) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        (start, self.bytes.len())
    }

    /// All arguments, of a single command.
    pub fn all(&self) -> Args<'_> {
        self.args(0..self.ranges.len())
    }

    /// The arguments of one command.
    #[inline]
    pub fn args(&self, command: Range<usize>) -> Args<'_> {
        Args {
            bytes: &self.bytes,
            ranges: &self.ranges[command],
            elsewhere: Elsewhere::Received(&self.long),
        }
    }

    /// Bytes of the arguments themselves.
    pub fn len(&self) -> usize {
        let long: usize = self.long.iter().map(|long| long.bytes.len()).sum();
        self.bytes.len() + long
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        let long: usize = self.long.iter().map(|long| long.bytes.len()).sum();
        self.bytes.capacity() + self.ranges.capacity() * size_of::<(usize, usize)>() + long
    }
}

/// An argument that was received into memory of its own.
#[derive(Debug)]
struct Long {
    /// Where it would be in the input.
    position: usize,
    /// With the line end behind it until it is parsed.
    bytes: Arc<Vec<u8>>,
}

/// Stands in place of an argument's end: the start is then the index of a [`Long`].
const DETACHED: usize = usize::MAX;

impl<'a> Args<'a> {
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The argument at `index`, with the lifetime of the received bytes.
    #[inline]
    pub fn at(&self, index: usize) -> &'a [u8] {
        self.argument(self.ranges[index])
    }

    #[inline]
    fn argument(&self, (start, end): (usize, usize)) -> &'a [u8] {
        if end == DETACHED {
            return match self.elsewhere {
                Elsewhere::Received(long) => &long[start].bytes,
                Elsewhere::Borrowed(borrowed) => borrowed.words[start],
            };
        }
        &self.bytes[start..end]
    }

    /// The argument at `index` if it is a long one that lies in memory of its own, which is to be kept.
    #[inline]
    pub fn shared(&self, index: usize) -> Option<Arc<Vec<u8>>> {
        let (start, end) = self.ranges[index];
        match self.elsewhere {
            Elsewhere::Received(long) if end == DETACHED => Some(long[start].bytes.clone()),
            _ => None,
        }
    }

    /// Bytes of the arguments that lie in memory of their own, with the ends of their lines.
    #[inline]
    fn detached(&self) -> usize {
        match self.elsewhere {
            Elsewhere::Received(long) if long.is_empty() => 0,
            _ => self.detached_len(),
        }
    }

    #[cold]
    fn detached_len(&self) -> usize {
        let detached = self.ranges.iter().filter(|(_, end)| *end == DETACHED);
        detached.map(|range| self.argument(*range).len() + 2).sum()
    }

    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        (index < self.len()).then(|| self.at(index))
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let args = *self;
        self.ranges.iter().map(move |range| args.argument(*range))
    }

    /// The arguments before `index`.
    pub fn until(&self, index: usize) -> Args<'a> {
        Args { ranges: &self.ranges[..index], ..*self }
    }

    /// The arguments from `index` on.
    pub fn from(&self, index: usize) -> Args<'a> {
        Args { ranges: &self.ranges[index..], ..*self }
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        self.at(index)
    }
}

/// Finds requests in a byte stream and remembers how far it came in one that has not arrived
/// completely.
///
/// Requests are found in batches, so that their keys can be prefetched before the first one runs:
/// [`begin`](Self::begin) a batch, [`parse`](Self::parse) until it says that more bytes are needed or
/// the batch is long enough, and get the [`args`](Self::args) of each.
#[derive(Default)]
pub struct RequestParser {
    /// Arguments of the batch's requests, as positions in the input; the last request may be
    /// incomplete.
    ranges: Vec<(usize, usize)>,
    /// Where the current request begins in `ranges`.
    first: usize,
    /// The first byte of the input that is not parsed yet.
    position: usize,
    /// In the middle of a multibulk request.
    started: bool,
    /// Arguments of the current multibulk request that are still to come.
    missing: usize,
    /// Length of the argument whose length line is parsed and whose bytes have not all arrived.
    bulk: Option<usize>,
    /// The arguments of the batch's inline requests, unquoted.
    inline: Vec<u8>,
    /// The arguments of the batch and of the incomplete request that were received into memory of their
    /// own, in order.
    long: Vec<Long>,
}

/// A complete request of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The position after it in the input.
    pub end: usize,
    first: usize,
    last: usize,
    inline: bool,
}

impl Request {
    /// Bytes of the request, which begins at `start` in the input. Of an inline one they are counted as
    /// Valkey does: words without their quotes, each with one space or the end of the line.
    #[inline]
    pub fn bytes(&self, start: usize, args: Args<'_>) -> usize {
        if self.inline {
            return args.iter().map(|word| word.len() + 1).sum::<usize>() + 1;
        }
        self.end - start + args.detached()
    }
}

impl RequestParser {
    /// Forgets the requests of the last batch, whose `consumed` bytes were removed from the input.
    pub fn begin(&mut self, consumed: usize) {
        if self.first == self.ranges.len() {
            self.ranges.clear();
        } else {
            self.ranges.drain(..self.first);
        }
        if self.ranges.is_empty() && self.ranges.capacity() > KEPT_ARGS {
            self.ranges = Vec::new();
        }
        if self.inline.capacity() > MAX_LINE {
            self.inline = Vec::new();
        }
        self.first = 0;
        self.position -= consumed;
        let forgotten = self.forget_long(consumed);
        for (start, end) in &mut self.ranges {
            if *end == DETACHED {
                *start -= forgotten;
            } else {
                *start -= consumed;
                *end -= consumed;
            }
        }
        self.inline.clear();
    }

    /// Forgets everything that was parsed, of which `consumed` bytes were removed from the input: the
    /// input now begins with bytes that were not parsed, or that are to be parsed again.
    pub fn restart(&mut self, consumed: usize) {
        self.ranges.clear();
        self.inline.clear();
        self.forget_long(consumed);
        *self = RequestParser {
            ranges: std::mem::take(&mut self.ranges),
            inline: std::mem::take(&mut self.inline),
            long: std::mem::take(&mut self.long),
            ..Default::default()
        };
    }

    /// Forgets the long arguments of requests that were removed from the input. Returns how many.
    fn forget_long(&mut self, consumed: usize) -> usize {
        if self.long.is_empty() {
            return 0;
        }
        // Before one that is still needed, there is at least its length line.
        let forgotten = self.long.iter().take_while(|long| long.position <= consumed).count();
        self.long.drain(..forgotten);
        self.long.iter_mut().for_each(|long| long.position -= consumed);
        if self.long.is_empty() {
            self.long = Vec::new();
        }
        forgotten
    }

    /// Looks for the next request in `input`, which only grows during a batch.
    ///
    /// A request without arguments (an empty line) is to be skipped. `None` means that more bytes
    /// are needed.
    #[inline]
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<Request>, ProtocolError> {
        if !self.started {
            if let Some(request) = self.parse_short(input, limits) {
                return Ok(Some(request));
            }
            let Some(&first) = input.get(self.position) else { return Ok(None) };
            if first != b'*' {
                return self.parse_inline(input);
            }
            let line = length_line(input, self.position + 1, ProtocolError::CountTooBig)?;
            let Some((count, next)) = line else { return Ok(None) };
            let count = count.ok_or(ProtocolError::InvalidCount)?;
            if count > limits.multibulk {
                return Err(if limits.unauthenticated {
                    ProtocolError::UnauthenticatedCount
                } else {
                    ProtocolError::InvalidCount
                });
            }
            self.position = next;
            if count <= 0 {
                return Ok(Some(self.complete(false)));
            }
            self.missing = count as usize;
            self.started = true;
        }
        if self.parse_bulks(input, limits)? {
            self.started = false;
            return Ok(Some(self.complete(false)));
        }
        Ok(None)
    }

    /// The next request, if it is like most: complete, and without a number of more than three digits.
    /// Otherwise nothing has changed.
    #[inline]
    fn parse_short(&mut self, input: &[u8], limits: &Limits) -> Option<Request> {
        let (count, mut position) = short_line(input, self.position, b'*')?;
        if count == 0 || count as i64 > limits.multibulk {
            return None;
        }
        for _ in 0..count {
            let argument = short_line(input, position, b'$').and_then(|(len, start)| {
                let end = start + len;
                let complete = len as i64 <= limits.bulk && input.get(end..end + 2)? == b"\r\n";
                complete.then_some((start, end))
            });
            let Some((start, end)) = argument else {
                self.ranges.truncate(self.first);
                return None;
            };
            self.ranges.push((start, end));
            position = end + 2;
        }
        self.position = position;
        Some(self.complete(false))
    }

    fn complete(&mut self, inline: bool) -> Request {
        let first = self.first;
        self.first = self.ranges.len();
        Request { end: self.position, first, last: self.first, inline }
    }

    /// The arguments of a request that `parse` found in `input` since the batch began.
    #[inline]
    pub fn args<'a>(&'a self, input: &'a [u8], request: &Request) -> Args<'a> {
        Args {
            bytes: if request.inline { &self.inline } else { input },
            ranges: &self.ranges[request.first..request.last],
            elsewhere: Elsewhere::Received(&self.long),
        }
    }

    /// The least length in bytes that the input must reach for the incomplete request.
    pub fn expected(&self) -> usize {
        match self.bulk {
            // Each argument that follows takes at least `$0\r\n\r\n`.
            Some(len) => self.position + len + 2 + 6 * (self.missing - 1).min(MAX_LINE),
            None => self.position,
        }
    }

    /// The place of a long argument of which most is missing, and its length with the line end, if it
    /// is worth receiving into memory of its own. The input ends `received` bytes after its start, and
    /// is incomplete.
    pub fn worth_detaching(&self, received: usize) -> Option<(usize, usize)> {
        let len = self.bulk.filter(|len| *len >= LONG)?;
        (received - self.position < len / 2).then_some((self.position, len + 2))
    }

    /// Bytes of the arguments that were received into memory of their own, of requests that are still
    /// in the input.
    pub fn detached_bytes(&self) -> usize {
        self.long.iter().map(|long| long.bytes.len()).sum()
    }

    /// Bytes of the incomplete argument, of an input that ends `received` bytes after its start.
    pub fn unparsed(&self, received: usize) -> usize {
        received - self.position
    }

    /// Takes the argument that [`worth_detaching`](Self::worth_detaching) returned.
    pub fn take_detached(&mut self, bytes: Vec<u8>) {
        self.long.push(Long { position: self.position, bytes: Arc::new(bytes) });
    }

    /// The argument of `len` bytes that begins at the present position, if it was received into memory of its own.
    #[cold]
    fn parse_long(&mut self, len: usize) -> Result<Option<(usize, usize)>, ProtocolError> {
        let position = self.position;
        let Some(index) = self.long.iter().position(|long| long.position == position) else {
            return Ok(None);
        };
        let bytes = &mut self.long[index].bytes;
        // Parsed again, it has no line end any more.
        if bytes.len() > len {
            if !bytes.ends_with(b"\r\n") {
                return Err(ProtocolError::InvalidLineEnd);
            }
            Arc::get_mut(bytes).expect("nobody has seen it yet").truncate(len);
        }
        Ok(Some((index, DETACHED)))
    }

    /// Parses arguments; true once the request is complete.
    #[inline]
    fn parse_bulks(&mut self, input: &[u8], limits: &Limits) -> Result<bool, ProtocolError> {
        while self.missing > 0 {
            let len = match self.bulk {
                Some(len) => len,
                None => {
                    let Some(&first) = input.get(self.position) else { return Ok(false) };
                    if first != b'$' {
                        return self.unexpected(input).map_or(Ok(false), Err);
                    }
                    let line =
                        length_line(input, self.position + 1, ProtocolError::BulkLineTooBig)?;
                    let Some((len, next)) = line else { return Ok(false) };
                    let len = match len {
                        Some(len) if len >= 0 && len <= limits.bulk => len as usize,
                        Some(len) if len > limits.bulk && limits.unauthenticated => {
                            return Err(ProtocolError::UnauthenticatedBulkLength);
                        }
                        _ => return Err(ProtocolError::InvalidBulkLength),
                    };
                    self.position = next;
                    self.bulk = Some(len);
                    len
                }
            };
            if len >= LONG
                && let Some(long) = self.parse_long(len)?
            {
                self.ranges.push(long);
                self.bulk = None;
                self.missing -= 1;
                continue;
            }
            let Some(after) = input[self.position..].get(len..len + 2) else { return Ok(false) };
            if after != b"\r\n" {
                return Err(ProtocolError::InvalidLineEnd);
            }
            self.ranges.push((self.position, self.position + len));
            self.position += len + 2;
            self.bulk = None;
            self.missing -= 1;
        }
        Ok(true)
    }

    /// The error of a line that should be an argument's length and does not begin like one: none while
    /// it is incomplete, as in Valkey.
    #[cold]
    fn unexpected(&self, input: &[u8]) -> Option<ProtocolError> {
        let line = &input[self.position..];
        match memchr(b'\r', line) {
            Some(end) if end > MAX_LINE => Some(ProtocolError::BulkLineTooBig),
            Some(end) if end + 1 < line.len() => Some(ProtocolError::ExpectedBulk(line[0])),
            None if line.len() > MAX_LINE => Some(ProtocolError::BulkLineTooBig),
            _ => None,
        }
    }

    fn parse_inline(&mut self, input: &[u8]) -> Result<Option<Request>, ProtocolError> {
        let input = &input[self.position..];
        // A line with a zero byte is never complete, as in Valkey.
        let end = memchr2(b'\n', 0, input).filter(|&end| input[end] == b'\n');
        let Some(end) = end else {
            return if input.len() > MAX_LINE {
                Err(ProtocolError::InlineTooBig)
            } else {
                Ok(None)
            };
        };
        // Valkey refuses such a line too, unless all of it came at once.
        if end > MAX_LINE {
            return Err(ProtocolError::InlineTooBig);
        }
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        if split_quoted(line, &mut self.inline, &mut self.ranges).is_none() {
            // The positions that were found so far are in the unquoted text, not in the input.
            self.ranges.truncate(self.first);
            return Err(ProtocolError::UnbalancedQuotes);
        }
        self.position += end + 1;
        Ok(Some(self.complete(true)))
    }
}

/// A line of `prefix` and a number of one to three digits, at `start`: the number, and the position after the
/// line. Nothing shorter than six bytes begins with one and is complete.
#[inline]
fn short_line(input: &[u8], start: usize, prefix: u8) -> Option<(usize, usize)> {
    let line: &[u8; 6] = input.get(start..)?.first_chunk()?;
    let digit =
        |at: usize| Some(usize::from(line[at].wrapping_sub(b'0'))).filter(|digit| *digit < 10);
    let mut value = digit(1).filter(|_| line[0] == prefix)?;
    let mut end = 2;
    while line[end] != b'\r' {
        if value == 0 || end == 4 {
            return None;
        }
        value = value * 10 + digit(end)?;
        end += 1;
    }
    (line[end + 1] == b'\n').then_some((value, start + end + 2))
}

/// A decimal length that ends with CRLF, from `start`: its value (`None` if it is no number) and the
/// position after it.
#[inline]
fn length_line(
    input: &[u8],
    start: usize,
    too_big: ProtocolError,
) -> Result<Option<(Option<i64>, usize)>, ProtocolError> {
    // The usual line is a short positive number: read it digit by digit.
    let mut value = 0i64;
    let mut position = start;
    while let Some(digit) = input.get(position).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        value = value * 10 + i64::from(digit);
        position += 1;
        if position - start == 18 {
            break;
        }
    }
    if position > start
        && input.get(position..position + 2) == Some(b"\r\n")
        && (input[start] != b'0' || position == start + 1)
    {
        return Ok(Some((Some(value), position + 2)));
    }
    // The line's first byte, before the length, counts too.
    let Some(len) = memchr(b'\r', &input[start..]) else {
        return if input.len() - start >= MAX_LINE { Err(too_big) } else { Ok(None) };
    };
    if len >= MAX_LINE {
        return Err(too_big);
    }
    match input.get(start + len + 1) {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) => return Err(ProtocolError::InvalidLineEnd),
    }
    Ok(Some((crate::number::parse_i64(&input[start..start + len]), start + len + 2)))
}

/// Splits `line` into arguments much as a shell would: spaces separate, `"…"` knows `\n \r \t \b \a
/// \xHH` and `\` before anything else, `'…'` knows `\'`; a quote may begin and end within a word.
/// Bytes of value 255 outside escapes are dropped, as in Valkey. Appends the unquoted arguments to
/// `out` and their positions there to `ranges`. `None` if a quote is not closed.
pub fn split_quoted(
    line: &[u8],
    out: &mut Vec<u8>,
    ranges: &mut Vec<(usize, usize)>,
) -> Option<()> {
    let mut i = 0;
    loop {
        while i < line.len() && (line[i] == b' ' || (b'\t'..=b'\r').contains(&line[i])) {
            i += 1;
        }
        if i == line.len() {
            return Some(());
        }
        let start = out.len();
        while i < line.len() && !matches!(line[i], b' ' | b'\t' | b'\r' | b'\n' | 0) {
            i = match line[i] {
                quote @ (b'"' | b'\'') => unquote(line, i + 1, quote, out)?,
                byte => keep(byte, i, out),
            };
        }
        ranges.push((start, out.len()));
    }
}

/// Appends the byte at `i`; returns the next position.
fn keep(byte: u8, i: usize, out: &mut Vec<u8>) -> usize {
    if byte != 0xff {
        out.push(byte);
    }
    i + 1
}

/// Copies a quoted text whose content begins at `i`; returns the position after the closing quote.
fn unquote(line: &[u8], mut i: usize, quote: u8, out: &mut Vec<u8>) -> Option<usize> {
    let hex = |b: &u8| (*b as char).to_digit(16).map(|digit| digit as u8);
    loop {
        let byte = *line.get(i)?;
        // A backslash before the line's last byte stands for itself: that byte must be the quote.
        let escaped = line.get(i + 1).filter(|_| byte == b'\\' && i + 2 < line.len());
        match escaped {
            _ if byte == quote => return Some(i + 1),
            Some(b'x') if quote == b'"' => {
                match (line.get(i + 2).and_then(hex), line.get(i + 3).and_then(hex)) {
                    (Some(high), Some(low)) => {
                        out.push(high << 4 | low);
                        i += 4;
                    }
                    _ => {
                        out.push(b'x');
                        i += 2;
                    }
                }
            }
            Some(&escaped) if quote == b'"' => {
                let byte = match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => other,
                };
                i = keep(byte, i + 1, out);
            }
            Some(b'\'') if quote == b'\'' => {
                out.push(b'\'');
                i += 2;
            }
            _ => i = keep(byte, i, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { multibulk: 1 << 20, bulk: 512 << 20, unauthenticated: false };

    fn requests(input: &[u8]) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
        let mut parser = RequestParser::default();
        let mut found = Vec::new();
        while let Some(request) = parser.parse(input, &LIMITS)? {
            found.push(parser.args(input, &request).iter().map(<[u8]>::to_vec).collect());
        }
        Ok(found)
    }

    fn words(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn multibulk_and_inline_requests_mix_in_one_stream() {
        let input = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n\r\n*0\r\n*-1\r\n*1\r\n$0\r\n\r\n";
        let found = requests(input).unwrap();
        assert_eq!(
            found,
            [words(&["GET", "a"]), words(&["PING"]), vec![], vec![], vec![], words(&[""])]
        );
    }

    #[test]
    fn every_split_of_a_stream_gives_the_same_requests() {
        let input = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$10\r\n0123\r\n6789\r\nget \"a\"\r\n*1\r\n$1\r\nx\r\n";
        let all = requests(input).unwrap();
        assert_eq!(all.len(), 3);
        for split in 0..input.len() {
            let mut parser = RequestParser::default();
            let mut found: Vec<Vec<Vec<u8>>> = Vec::new();
            let mut consumed = 0;
            for arrived in [split, input.len()] {
                parser.begin(0);
                let rest = &input[consumed..arrived];
                let mut end = 0;
                while let Some(request) = parser.parse(rest, &LIMITS).unwrap() {
                    found.push(parser.args(rest, &request).iter().map(<[u8]>::to_vec).collect());
                    end = request.end;
                }
                assert!(consumed + parser.expected() <= input.len(), "split at {split}");
                parser.begin(end);
                consumed += end;
            }
            assert_eq!(found, all, "split at {split}");
        }
    }

    #[test]
    fn requests_parsed_ahead_are_parsed_again_after_a_restart() {
        let input = b"PING a\r\n*2\r\n$4\r\nECHO\r\n$1\r\nx\r\nPING b\r\n*1\r\n$4\r\nPI";
        let mut parser = RequestParser::default();
        let first = parser.parse(input, &LIMITS).unwrap().unwrap();
        while parser.parse(input, &LIMITS).unwrap().is_some() {}
        parser.restart(first.end);
        let rest = &input[first.end..];
        let echo = parser.parse(rest, &LIMITS).unwrap().unwrap();
        assert_eq!(parser.args(rest, &echo).iter().collect::<Vec<_>>(), [&b"ECHO"[..], b"x"]);
        let ping = parser.parse(rest, &LIMITS).unwrap().unwrap();
        assert_eq!(parser.args(rest, &ping).iter().collect::<Vec<_>>(), [&b"PING"[..], b"b"]);
        assert_eq!(parser.parse(rest, &LIMITS), Ok(None));
    }

    /// A connection that receives long arguments apart.
    #[derive(Default)]
    struct Connection {
        received: Vec<u8>,
        apart: Option<(Vec<u8>, usize)>,
    }

    impl Connection {
        /// Returns whether there is something to parse.
        fn receive(&mut self, mut bytes: &[u8], parser: &mut RequestParser) -> bool {
            if let Some((apart, len)) = &mut self.apart {
                let (of_it, behind) = bytes.split_at(bytes.len().min(*len - apart.len()));
                apart.extend_from_slice(of_it);
                if apart.len() < *len {
                    return false;
                }
                parser.take_detached(std::mem::take(apart));
                self.apart = None;
                bytes = behind;
            }
            self.received.extend_from_slice(bytes);
            true
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn detached_arguments_are_parsed_like_others(
            lens in prop::collection::vec(
                prop::collection::vec(prop_oneof![0..20usize, 0..20usize, LONG - 1..2 * LONG], 1..5),
                1..5,
            ),
            splits in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
            restarts in any::<u64>(),
        ) {
            let mut input = Vec::new();
            let mut all = Vec::new();
            for lens in &lens {
                input.extend(format!("*{}\r\n", lens.len()).bytes());
                let args = lens.iter().enumerate();
                let args: Vec<_> = args.map(|(at, len)| vec![b'a' + at as u8; *len]).collect();
                for arg in &args {
                    input.extend(format!("${}\r\n", arg.len()).bytes());
                    input.extend(arg);
                    input.extend(b"\r\n");
                }
                all.push(args);
            }
            let mut splits: Vec<_> = splits.iter().map(|split| split.index(input.len())).collect();
            splits.extend([0, input.len()]);
            splits.sort_unstable();
            let (mut parser, mut connection) = (RequestParser::default(), Connection::default());
            let mut found: Vec<Vec<Vec<u8>>> = Vec::new();
            let mut apart = 0;
            for (turn, bounds) in splits.windows(2).enumerate() {
                if !connection.receive(&input[bounds[0]..bounds[1]], &mut parser) {
                    continue;
                }
                // In some turns, only the first request is executed at once.
                let mut stops = restarts >> turn & 1 == 1;
                loop {
                    parser.begin(0);
                    let mut end = 0;
                    let mut complete = 0;
                    while let Some(request) = parser.parse(&connection.received, &LIMITS).unwrap() {
                        complete += 1;
                        if stops && complete > 1 {
                            continue;
                        }
                        let args = parser.args(&connection.received, &request);
                        for index in 0..args.len() {
                            let shared = args.shared(index);
                            apart += usize::from(shared.is_some());
                            prop_assert!(shared.is_none_or(|bytes| *bytes == args[index]));
                        }
                        found.push(args.iter().map(<[u8]>::to_vec).collect());
                        end = request.end;
                    }
                    connection.received.drain(..end);
                    if !std::mem::take(&mut stops) {
                        parser.begin(end);
                        break;
                    }
                    parser.restart(end);
                }
                let received = connection.received.len();
                if let Some((at, len)) = parser.worth_detaching(received) {
                    connection.apart = Some((connection.received.split_off(at), len));
                }
            }
            prop_assert!(found == all);
            prop_assert!(connection.received.is_empty() && parser.long.is_empty());
            // Where everything arrives at once nothing is received into memory of its own.
            prop_assert!(apart == 0 || splits.len() > 2);
        }
    }

    #[test]
    fn a_detached_argument_must_end_with_a_line_end() {
        let mut input = format!("*1\r\n${LONG}\r\n").into_bytes();
        let mut parser = RequestParser::default();
        assert_eq!(parser.parse(&input, &LIMITS), Ok(None));
        let (at, len) = parser.worth_detaching(input.len()).unwrap();
        assert_eq!((at, len), (input.len(), LONG + 2));
        input.resize(at + LONG / 2, b'x');
        assert_eq!(parser.worth_detaching(input.len()), None, "half of it is there");
        input.truncate(at);
        parser.take_detached(vec![b'x'; len]);
        assert_eq!(parser.parse(&input, &LIMITS), Err(ProtocolError::InvalidLineEnd));
    }

    #[test]
    fn quotes_in_inline_requests() {
        let found = requests(br#"set "a b" 'c\'d' "\x41\n\q" "#).unwrap();
        assert_eq!(found, Vec::<Vec<Vec<u8>>>::new());
        let found = requests(b"set \"a b\" 'c\\'d' \"\\x41\\n\\q\\xzz\" e\r\n").unwrap();
        assert_eq!(found, [words(&["set", "a b", "c'd", "A\nqxzz", "e"])]);
        let found =
            requests(b"\"a\"b'c d'e \"a\\\"b\" '\\n' \xffg\xff \"\\xff\" \"h\\\"\r\n").unwrap();
        let mut expected = words(&["abc de", "a\"b", "\\n", "g", "", "h\\"]);
        expected[4] = vec![0xff];
        assert_eq!(found, [expected]);
        assert_eq!(requests(b"a\0b\nc\n").unwrap(), Vec::<Vec<Vec<u8>>>::new());
        for bad in ["\"abc\n", "'abc\n", "\"a\\\" \n", "a'b\n"] {
            assert_eq!(requests(bad.as_bytes()), Err(ProtocolError::UnbalancedQuotes), "{bad}");
        }
    }

    #[test]
    fn a_batch_can_end_after_an_error() {
        let input = b"PING\r\na b \"c\r\n";
        let mut parser = RequestParser::default();
        let request = parser.parse(input, &LIMITS).unwrap().unwrap();
        assert_eq!(parser.parse(input, &LIMITS), Err(ProtocolError::UnbalancedQuotes));
        parser.begin(request.end);
    }

    #[test]
    fn bad_lengths_are_errors() {
        for (input, error) in [
            ("*x\r\n", ProtocolError::InvalidCount),
            ("*99999999999\r\n", ProtocolError::InvalidCount),
            ("*9999999999999999999999\r\n", ProtocolError::InvalidCount),
            ("*1\r\nx\r\n", ProtocolError::ExpectedBulk(b'x')),
            ("*1\r\n\r\n", ProtocolError::ExpectedBulk(b'\r')),
            ("*1\r\n\n\r\n", ProtocolError::ExpectedBulk(b'\n')),
            ("*1\r\nx\ry", ProtocolError::ExpectedBulk(b'x')),
            ("*1\rx", ProtocolError::InvalidLineEnd),
            ("*1\r\n$1\rxa", ProtocolError::InvalidLineEnd),
            ("*1\r\n$1\r\nabc", ProtocolError::InvalidLineEnd),
            ("*1\r\n$-1\r\n", ProtocolError::InvalidBulkLength),
            ("*1\r\n$01\r\na\r\n", ProtocolError::InvalidBulkLength),
            ("*1\r\n$536870913\r\n", ProtocolError::InvalidBulkLength),
        ] {
            assert_eq!(requests(input.as_bytes()), Err(error), "{input:?}");
        }
        assert_eq!(requests(&vec![b'a'; MAX_LINE + 1]), Err(ProtocolError::InlineTooBig));
        for (start, error) in [
            ("*", ProtocolError::CountTooBig),
            ("*1\r\n$", ProtocolError::BulkLineTooBig),
            ("*1\r\nx", ProtocolError::BulkLineTooBig),
            ("a", ProtocolError::InlineTooBig),
        ] {
            for end in ["", "\r\n"] {
                let mut long = start.as_bytes().to_vec();
                let before = start.rfind('\n').map_or(0, |at| at + 1);
                long.resize(before + MAX_LINE + 1, b'1');
                long.extend_from_slice(end.as_bytes());
                assert_eq!(requests(&long), Err(error.clone()), "{start:?} … {end:?}");
                long.truncate(before + MAX_LINE);
                assert_eq!(requests(&long), Ok(vec![]), "{start:?} …");
            }
        }
    }

    #[test]
    fn a_line_is_checked_once_it_is_complete() {
        for input in ["*1\r\nx", "*1\r\n\n", "*1\r\n:\r", "*1\r\n\0", "*x", "*1\r", "*1\r\n$4\r"] {
            assert_eq!(requests(input.as_bytes()), Ok(vec![]), "{input:?}");
        }
    }

    #[test]
    fn the_error_reply_quotes_the_byte_as_it_is() {
        for byte in [b'x', 0, 0xff, b'\r'] {
            let reply = ProtocolError::ExpectedBulk(byte).reply();
            let expected = [b"ERR Protocol error: expected '$', got '", &[byte][..], b"'"].concat();
            assert_eq!(reply, expected);
        }
    }

    #[test]
    fn error_texts_name_the_limit_of_unauthenticated_clients() {
        let parse = |input: &str| {
            RequestParser::default().parse(input.as_bytes(), &Limits::UNAUTHENTICATED)
        };
        assert_eq!(parse("*11\r\n"), Err(ProtocolError::UnauthenticatedCount));
        assert_eq!(parse("*1\r\n$16385\r\n"), Err(ProtocolError::UnauthenticatedBulkLength));
        assert_eq!(parse("*1\r\n$16384\r\n"), Ok(None));
    }
}
