//! Counts replies in a stream of bytes without keeping them.

use std::io;

/// A line without a length (an error, a status) is no longer than this.
const MAX_LINE: usize = 16 << 20;

/// Passes over RESP2 or RESP3 replies. Only lines need to be in one piece: of a long string, the
/// part that has arrived is passed over at once, so that the receive buffer stays small.
pub struct Replies {
    /// Bytes of a string, with its CRLF, that have not arrived.
    skip: usize,
    /// Elements until the reply in progress is complete; 0 between replies.
    missing: u64,
    /// The value in progress is a push, which answers no request.
    push: bool,
    /// Replies that make up the answer to one request.
    group: usize,
    /// Of a group that is not complete, the replies that are.
    grouped: usize,
    /// Errors inside of a reply count too, as in EXEC's.
    nested_errors: bool,
    /// Error replies so far.
    pub errors: u64,
    /// The first of them.
    pub first_error: Option<String>,
}

impl Replies {
    /// Each request is answered by a `group` of replies. If there are several, errors inside of
    /// them count: they are a transaction's.
    pub fn new(group: usize) -> Replies {
        Replies {
            skip: 0,
            missing: 0,
            push: false,
            group,
            grouped: 0,
            nested_errors: group > 1,
            errors: 0,
            first_error: None,
        }
    }

    /// Passes over `input`, but not beyond the answer to the `wanted`th request. Returns the bytes
    /// to forget and the requests answered.
    ///
    /// # Errors
    /// `InvalidData` if this is not RESP.
    pub fn pass(&mut self, input: &[u8], wanted: usize) -> io::Result<(usize, usize)> {
        let mut at = 0;
        let mut complete = 0;
        while complete < wanted {
            if self.skip > 0 {
                let n = self.skip.min(input.len() - at);
                self.skip -= n;
                at += n;
                if self.skip > 0 {
                    break;
                }
            } else {
                let rest = &input[at..];
                let Some(end) = memchr::memchr(b'\n', rest) else {
                    if rest.len() > MAX_LINE {
                        return Err(invalid());
                    }
                    break;
                };
                at += end + 1;
                if end < 2 {
                    return Err(invalid());
                }
                if self.line(rest[0], &rest[1..end - 1])? {
                    continue;
                }
            }
            // One element is complete.
            self.missing -= 1;
            if self.missing == 0 && !std::mem::take(&mut self.push) {
                self.grouped += 1;
                if self.grouped == self.group {
                    self.grouped = 0;
                    complete += 1;
                }
            }
        }
        Ok((at, complete))
    }

    /// Takes in a line; true if the element that it begins is not complete.
    #[inline]
    fn line(&mut self, kind: u8, line: &[u8]) -> io::Result<bool> {
        let outermost = self.missing == 0;
        if outermost {
            self.missing = 1;
        }
        match kind {
            b'+' | b':' | b',' | b'#' | b'_' | b'(' => {}
            b'-' => self.error(line, outermost),
            b'$' | b'=' | b'!' => {
                if kind == b'!' {
                    self.error(b"an error in the form of a string", outermost);
                }
                if let Some(len) = length(line)? {
                    self.skip = usize::try_from(len).map_err(|_| invalid())? + 2;
                    return Ok(true);
                }
            }
            b'*' | b'~' | b'%' | b'>' | b'|' => {
                self.push |= kind == b'>' && outermost;
                let len = length(line)?.unwrap_or(0);
                let elements = if matches!(kind, b'%' | b'|') { 2 * len } else { len };
                self.missing = self.missing.checked_add(elements).ok_or_else(invalid)?;
                // After attributes, the value that they describe is still to come.
                return Ok(kind == b'|');
            }
            _ => return Err(invalid()),
        }
        Ok(false)
    }

    #[cold]
    fn error(&mut self, text: &[u8], outermost: bool) {
        if outermost || self.nested_errors {
            self.errors += 1;
            self.first_error.get_or_insert_with(|| String::from_utf8_lossy(text).into_owned());
        }
    }
}

/// The length in a header; `None` for -1.
#[inline]
fn length(line: &[u8]) -> io::Result<Option<u64>> {
    if line == b"-1" {
        return Ok(None);
    }
    if line.is_empty() || line.len() > 15 {
        return Err(invalid());
    }
    let mut len = 0;
    for &byte in line {
        if !byte.is_ascii_digit() {
            return Err(invalid());
        }
        len = len * 10 + u64::from(byte - b'0');
    }
    Ok(Some(len))
}

#[cold]
fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server's reply is not RESP")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is one reply.
    const REPLIES: &[&str] = &[
        "+OK\r\n",
        "-ERR no\r\n",
        ":12\r\n",
        "$3\r\nabc\r\n",
        "$0\r\n\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        "_\r\n",
        "#t\r\n",
        ",1.5\r\n",
        "(12345678901234567890\r\n",
        "=7\r\ntxt:abc\r\n",
        "!5\r\nERR x\r\n",
        "~2\r\n:1\r\n:2\r\n",
        "*2\r\n*2\r\n$1\r\na\r\n*0\r\n%1\r\n+k\r\n$-1\r\n",
        "|1\r\n+ttl\r\n:1\r\n*1\r\n$2\r\n\r\n\r\n",
        "$2\r\n$1\r\n",
        ">2\r\n+invalidate\r\n*1\r\n$1\r\nx\r\n:1\r\n",
    ];

    #[test]
    fn replies_are_counted_however_they_are_cut() {
        let stream = REPLIES.concat();
        for size in 1..=stream.len() {
            let mut replies = Replies::new(1);
            let mut complete = 0;
            let mut kept = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                kept.extend_from_slice(piece);
                let (consumed, count) = replies.pass(&kept, usize::MAX).unwrap();
                kept.drain(..consumed);
                complete += count;
            }
            assert_eq!((complete, kept.len()), (REPLIES.len(), 0), "pieces of {size}");
            assert_eq!(replies.errors, 2);
            assert_eq!(replies.first_error.as_deref(), Some("ERR no"));
        }
    }

    #[test]
    fn a_transaction_is_answered_once() {
        let stream = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n-OOM no\r\n";
        let mut replies = Replies::new(4);
        assert_eq!(replies.pass(&stream[..30], 2).unwrap(), (27, 0));
        let twice = [&stream[27..], stream, stream].concat();
        let expected = stream.len() - 27 + stream.len();
        assert_eq!(replies.pass(&twice, 2).unwrap(), (expected, 2));
        assert_eq!((replies.errors, replies.first_error.as_deref()), (2, Some("OOM no")));
    }

    #[test]
    fn it_stops_at_the_wanted_reply() {
        let mut replies = Replies::new(1);
        assert_eq!(replies.pass(b"+OK\r\n$1\r\na\r\n+OK\r\n", 2).unwrap(), (12, 2));
    }

    #[test]
    fn a_long_string_is_passed_over_as_it_comes() {
        let mut replies = Replies::new(1);
        assert_eq!(replies.pass(b"$1000000\r\nxxx", 1).unwrap(), (13, 0));
        assert_eq!(replies.pass(&[b'x'; 500_000], 1).unwrap(), (500_000, 0));
        assert_eq!(replies.pass(&[b'x'; 499_999], 1).unwrap(), (499_999, 1));
    }

    #[test]
    fn what_is_not_resp_is_an_error() {
        for input in
            ["HTTP/1.1 400\r\n", "\n", "$-2\r\n", "$x\r\n", "*\r\n", "$9999999999999999\r\n"]
        {
            assert!(Replies::new(1).pass(input.as_bytes(), 1).is_err(), "{input:?}");
        }
    }
}
