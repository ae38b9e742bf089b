//! Decodes received bytes into values. Each byte is examined once, however the input is split.

use std::io;

use super::Value;

/// A line without a length (an error, a status, a number) is no longer than this.
const MAX_LINE: usize = 16 << 20;

/// Aggregates inside aggregates, at most.
const MAX_DEPTH: usize = 1024;

/// Elements for which room is allocated before they arrive.
const MAX_RESERVED: usize = 1024;

/// Decodes a stream of RESP2 or RESP3 replies. It holds the aggregates that are not complete; the
/// bytes of an element that is not complete stay with the caller.
#[derive(Default)]
pub struct Decoder {
    open: Vec<Aggregate>,
}

/// The result of one call of [`Decoder::decode`].
pub struct Progress {
    /// Bytes that the caller may forget.
    pub consumed: usize,
    /// Counted after `consumed`: how long the element is that has begun there, or 0 if unknown.
    pub expected: usize,
    /// A complete reply or push; `None` means that more bytes are needed.
    pub value: Option<Value>,
}

struct Aggregate {
    kind: u8,
    /// Elements still to come.
    missing: usize,
    items: Vec<Value>,
}

enum Element {
    Value(Value),
    Open(Aggregate),
}

impl Decoder {
    /// Takes as much as it can, up to the end of one reply.
    ///
    /// # Errors
    /// `InvalidData` if this is not RESP.
    pub fn decode(&mut self, input: &[u8]) -> io::Result<Progress> {
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            let Some(end) = line_end(rest)? else {
                return Ok(Progress { consumed, expected: 0, value: None });
            };
            let (element, len) = match rest[0] {
                kind @ (b'$' | b'!' | b'=') => {
                    let Some(size) = length(&rest[1..end])? else {
                        consumed += end + 2;
                        if let Some(value) = self.close(Value::Null) {
                            return Ok(Progress { consumed, expected: 0, value: Some(value) });
                        }
                        continue;
                    };
                    let len = end + 2 + size + 2;
                    let Some(body) = rest.get(end + 2..len) else {
                        return Ok(Progress { consumed, expected: len, value: None });
                    };
                    (Element::Value(blob(kind, &body[..size])?), len)
                }
                kind => (element(kind, &rest[1..end])?, end + 2),
            };
            consumed += len;
            let value = match element {
                Element::Value(value) => value,
                Element::Open(aggregate) if self.open.len() >= MAX_DEPTH => {
                    return Err(invalid(aggregate.kind, "nested too deeply"));
                }
                Element::Open(aggregate) if aggregate.missing > 0 => {
                    self.open.push(aggregate);
                    continue;
                }
                Element::Open(aggregate) => aggregate.finish(),
            };
            if let Some(value) = self.close(value) {
                return Ok(Progress { consumed, expected: 0, value: Some(value) });
            }
        }
    }

    /// Adds a complete value to the aggregate that waits for it, and that to the next if it is complete
    /// by now; returns the outermost value.
    fn close(&mut self, mut value: Value) -> Option<Value> {
        while let Some(mut aggregate) = self.open.pop() {
            aggregate.items.push(value);
            aggregate.missing -= 1;
            if aggregate.missing > 0 {
                self.open.push(aggregate);
                return None;
            }
            value = aggregate.finish();
        }
        Some(value)
    }
}

impl Aggregate {
    fn new(kind: u8, missing: usize) -> Aggregate {
        Aggregate { kind, missing, items: Vec::with_capacity(missing.min(MAX_RESERVED)) }
    }

    fn finish(mut self) -> Value {
        match self.kind {
            b'~' => Value::Set(self.items),
            b'>' => Value::Push(self.items),
            b'%' => Value::Map(pairs(self.items)),
            b'|' => {
                let value = self.items.pop().unwrap_or(Value::Null);
                Value::Attributed(pairs(self.items), Box::new(value))
            }
            _ => Value::Array(self.items),
        }
    }
}

fn pairs(items: Vec<Value>) -> Vec<(Value, Value)> {
    Value::Array(items).into_pairs()
}

/// Where the first line ends, without its CRLF.
fn line_end(input: &[u8]) -> io::Result<Option<usize>> {
    match memchr::memchr(b'\n', input) {
        Some(end) if end >= 2 && input[end - 1] == b'\r' => Ok(Some(end - 1)),
        None if input.len() <= MAX_LINE => Ok(None),
        _ => Err(invalid(input[0], "a line that does not end")),
    }
}

fn element(kind: u8, line: &[u8]) -> io::Result<Element> {
    Ok(Element::Value(match kind {
        b'+' => Value::Simple(line.to_vec()),
        b'-' => Value::Error(line.to_vec()),
        b':' => Value::Integer(number(line).ok_or_else(|| invalid(kind, "not an integer"))?),
        b',' => Value::Double(line.to_vec()),
        b'(' => Value::BigNumber(line.to_vec()),
        b'_' => Value::Null,
        b'#' => match line {
            b"t" => Value::Boolean(true),
            b"f" => Value::Boolean(false),
            _ => return Err(invalid(kind, "not a boolean")),
        },
        b'*' | b'~' | b'>' | b'%' | b'|' => {
            let Some(len) = length(line)? else { return Ok(Element::Value(Value::Null)) };
            let missing = match kind {
                b'%' => len.checked_mul(2),
                b'|' => len.checked_mul(2).and_then(|n| n.checked_add(1)),
                _ => Some(len),
            };
            let missing = missing.ok_or_else(|| invalid(kind, "too long"))?;
            return Ok(Element::Open(Aggregate::new(kind, missing)));
        }
        _ => return Err(invalid(kind, "no type of RESP")),
    }))
}

fn blob(kind: u8, body: &[u8]) -> io::Result<Value> {
    Ok(match kind {
        b'$' => Value::Bulk(body.to_vec()),
        b'!' => Value::Error(body.to_vec()),
        _ => match body {
            [a, b, c, b':', text @ ..] => Value::Verbatim([*a, *b, *c], text.to_vec()),
            _ => return Err(invalid(kind, "a verbatim string without a format")),
        },
    })
}

/// The length in a header; `None` for -1.
fn length(line: &[u8]) -> io::Result<Option<usize>> {
    match number(line) {
        Some(-1) => Ok(None),
        // Far above what any server sends, and far from overflow.
        Some(n @ 0..=0xffff_ffff_ffff) => Ok(Some(n as usize)),
        _ => Err(invalid(b'$', "not a length")),
    }
}

fn number(line: &[u8]) -> Option<i64> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

fn invalid(kind: u8, what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("Protocol error, got \"{}\" as reply type byte: {what}", kind.escape_ascii()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    /// One value of every type, encoded and decoded.
    fn examples() -> Vec<(&'static str, Value)> {
        vec![
            ("+OK\r\n", Value::Simple("OK".into())),
            ("+\r\n", Value::Simple("".into())),
            ("-ERR no\r\n", Value::Error("ERR no".into())),
            ("!6\r\nERR no\r\n", Value::Error("ERR no".into())),
            (":-9223372036854775808\r\n", Value::Integer(i64::MIN)),
            ("$5\r\nab\r\nc\r\n", bulk("ab\r\nc")),
            ("$0\r\n\r\n", bulk("")),
            ("$-1\r\n", Value::Null),
            ("*-1\r\n", Value::Null),
            ("_\r\n", Value::Null),
            ("*0\r\n", Value::Array(vec![])),
            ("#t\r\n", Value::Boolean(true)),
            ("#f\r\n", Value::Boolean(false)),
            (",-inf\r\n", Value::Double("-inf".into())),
            (
                "(123456789012345678901234567890\r\n",
                Value::BigNumber("123456789012345678901234567890".into()),
            ),
            ("=8\r\ntxt:text\r\n", Value::Verbatim(*b"txt", "text".into())),
            ("~1\r\n:1\r\n", Value::Set(vec![Value::Integer(1)])),
            (
                "%1\r\n+k\r\n*1\r\n$1\r\nv\r\n",
                Value::Map(vec![(Value::Simple("k".into()), Value::Array(vec![bulk("v")]))]),
            ),
            (">2\r\n$7\r\nmessage\r\n$1\r\nx\r\n", Value::Push(vec![bulk("message"), bulk("x")])),
            (
                "|1\r\n+ttl\r\n:3\r\n$1\r\nv\r\n",
                Value::Attributed(
                    vec![(Value::Simple("ttl".into()), Value::Integer(3))],
                    Box::new(bulk("v")),
                ),
            ),
            (
                "*2\r\n*2\r\n:1\r\n_\r\n*0\r\n",
                Value::Array(vec![
                    Value::Array(vec![Value::Integer(1), Value::Null]),
                    Value::Array(vec![]),
                ]),
            ),
        ]
    }

    #[test]
    fn every_type_decodes_however_the_input_is_split() {
        for (encoded, value) in examples() {
            for cut in 0..encoded.len() {
                let mut decoder = Decoder::default();
                let first = decoder.decode(&encoded.as_bytes()[..cut]).unwrap();
                assert_eq!(first.value, None, "{encoded:?} cut at {cut}");
                let rest = &encoded.as_bytes()[first.consumed..];
                let second = decoder.decode(rest).unwrap();
                assert_eq!(second.value.as_ref(), Some(&value), "{encoded:?} cut at {cut}");
                assert_eq!(second.consumed, rest.len());
            }
        }
    }

    #[test]
    fn a_long_string_is_announced() {
        let progress = Decoder::default().decode(b"*2\r\n:1\r\n$1000\r\nabc").unwrap();
        assert_eq!(progress.consumed, 8);
        assert_eq!(progress.expected, 7 + 1000 + 2);
    }

    #[test]
    fn bytes_that_are_not_resp_are_an_error() {
        for input in [
            "HTTP/1.1 400\r\n",
            "\r\n",
            "$-2\r\n",
            ":x\r\n",
            "#x\r\n",
            "=2\r\nab\r\n",
            "$99999999999999999999\r\n",
        ] {
            assert!(Decoder::default().decode(input.as_bytes()).is_err(), "{input:?}");
        }
        let deep = "*1\r\n".repeat(MAX_DEPTH + 1);
        assert!(Decoder::default().decode(deep.as_bytes()).is_err());
    }
}
