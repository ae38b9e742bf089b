//! One connection to either server, and replies as they came over the wire.
//!
//! Unlike the client of the other tests it never panics on what a server does: a closed connection or
//! a missing reply is a difference to report.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub type Words = Vec<Vec<u8>>;

/// One connection.
pub struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
    start: usize,
}

impl Wire {
    pub fn connect(port: u16) -> io::Result<Wire> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Wire { stream, received: Vec::new(), start: 0 })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Runs one command.
    pub fn command(&mut self, words: &[&[u8]]) -> Outcome {
        let mut request = Vec::new();
        encode(&mut request, words);
        match self.write(&request) {
            Ok(()) => self.read(),
            Err(_) => Outcome::Closed,
        }
    }

    /// Reads one reply.
    pub fn read(&mut self) -> Outcome {
        loop {
            let mut rest = &self.received[self.start..];
            let whole = rest.len();
            match Reply::parse(&mut rest) {
                Ok(Some(reply)) => {
                    self.start += whole - rest.len();
                    return Outcome::Reply(reply);
                }
                Ok(None) => {}
                Err(text) => return Outcome::Garbage(text),
            }
            self.received.drain(..self.start);
            self.start = 0;
            let mut space = [0; 64 * 1024];
            match self.stream.read(&mut space) {
                Ok(0) => return Outcome::Closed,
                Ok(n) => self.received.extend_from_slice(&space[..n]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Outcome::Silence;
                }
                Err(_) => return Outcome::Closed,
            }
        }
    }

    /// Whether [`read`](Self::read) would return at once.
    pub fn has_reply(&mut self) -> bool {
        self.stream.set_nonblocking(true).expect("a socket that need not block");
        let mut space = [0; 64 * 1024];
        let has_ended = loop {
            match self.stream.read(&mut space) {
                Ok(0) => break true,
                Ok(n) => self.received.extend_from_slice(&space[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break false,
                Err(_) => break true,
            }
        };
        self.stream.set_nonblocking(false).expect("a socket that may block");
        has_ended || !matches!(Reply::parse(&mut &self.received[self.start..]), Ok(None))
    }

    /// Everything that comes until the server closes the connection; `None` if it does not.
    pub fn read_to_end(&mut self) -> Option<Vec<u8>> {
        let mut all = self.received.split_off(self.start);
        let mut space = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut space) {
                Ok(0) => return Some(all),
                Ok(n) => all.extend_from_slice(&space[..n]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Some(all),
                Err(_) => return None,
            }
        }
    }

    pub fn end_writing(&self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Write)
    }
}

/// Appends a command as a multibulk request.
pub fn encode(out: &mut Vec<u8>, words: &[impl AsRef<[u8]>]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        let word = word.as_ref();
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Reply(Reply),
    /// The server closed the connection.
    Closed,
    /// No reply came in time.
    Silence,
    /// Bytes that are no RESP.
    Garbage(String),
}

impl Outcome {
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Outcome::Reply(reply) => Some(reply),
            _ => None,
        }
    }
}

/// A reply: everything that the wire said, so that equal replies are equal byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reply {
    /// The byte that says the type.
    pub kind: u8,
    /// The line after that byte, or the bytes of a bulk, verbatim or blob error.
    pub text: Vec<u8>,
    /// `$-1` and `*-1`.
    pub is_null: bool,
    /// The elements; a map's keys and values in turn.
    pub elements: Vec<Reply>,
}

impl Reply {
    pub fn is_error(&self) -> bool {
        matches!(self.kind, b'-' | b'!')
    }

    /// A null of either protocol.
    pub fn is_nil(&self) -> bool {
        self.is_null || self.kind == b'_'
    }

    pub fn integer(&self) -> Option<i64> {
        (self.kind == b':').then(|| std::str::from_utf8(&self.text).ok()?.parse().ok()).flatten()
    }

    /// Reads one reply from the front of `input`; `None` if it is incomplete.
    fn parse(input: &mut &[u8]) -> Result<Option<Reply>, String> {
        let Some(end) = input.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let (line, mut rest) = (&input[..end], &input[end + 2..]);
        let Some((&kind, line)) = line.split_first() else { return Err("an empty line".into()) };
        let mut reply = Reply { kind, text: Vec::new(), is_null: false, elements: Vec::new() };
        match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => reply.text = line.to_vec(),
            b'$' | b'=' | b'!' | b'*' | b'~' | b'>' | b'%' | b'|' => {
                // Only the shortest spelling of a length, so that equal replies have equal bytes.
                let len: i64 = std::str::from_utf8(line)
                    .ok()
                    .and_then(|line| line.parse().ok())
                    .filter(|len: &i64| len.to_string().as_bytes() == line && *len >= -1)
                    .ok_or_else(|| format!("length {:?}", String::from_utf8_lossy(line)))?;
                if len < 0 {
                    reply.is_null = true;
                } else if matches!(kind, b'$' | b'=' | b'!') {
                    let len = len as usize;
                    let Some(content) = rest.get(..len + 2) else { return Ok(None) };
                    if &content[len..] != b"\r\n" {
                        return Err(format!("{len} bytes that do not end with CRLF"));
                    }
                    reply.text = content[..len].to_vec();
                    rest = &rest[len + 2..];
                } else {
                    let count = if matches!(kind, b'%' | b'|') { len * 2 } else { len };
                    for _ in 0..count {
                        match Reply::parse(&mut rest)? {
                            Some(element) => reply.elements.push(element),
                            None => return Ok(None),
                        }
                    }
                }
            }
            _ => {
                return Err(format!(
                    "type {:?}, line {:?}",
                    kind as char,
                    String::from_utf8_lossy(line)
                ));
            }
        }
        *input = rest;
        Ok(Some(reply))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Reply(reply) => write!(f, "{reply}"),
            Outcome::Closed => f.write_str("(closed the connection)"),
            Outcome::Silence => write!(f, "(no reply in {PATIENCE:?})"),
            Outcome::Garbage(text) => write!(f, "(no RESP: {text})"),
        }
    }
}

/// On one line, with the wire's type bytes.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind as char)?;
        match self.kind {
            _ if self.is_null => f.write_str("-1"),
            b'$' | b'=' | b'!' => write!(f, "{}", quote(&self.text)),
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                f.write_str("[")?;
                for (i, element) in self.elements.iter().enumerate() {
                    write!(f, "{}{element}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            _ => f.write_str(&String::from_utf8_lossy(&self.text)),
        }
    }
}

/// `bytes` in double quotes, as redis-cli reads them.
pub fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                quoted.push('\\');
                quoted.push(byte as char);
            }
            b'\n' => quoted.push_str("\\n"),
            b'\r' => quoted.push_str("\\r"),
            b' '..=b'~' => quoted.push(byte as char),
            _ => quoted.push_str(&format!("\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}
