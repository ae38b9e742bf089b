//! A blocking RESP client.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub trait Stream: Read + Write + Send {
    fn end_writing(&self);
    fn set_patience(&self, patience: Duration);
    fn again(&self) -> Box<dyn Stream>;
}

impl Stream for TcpStream {
    fn end_writing(&self) {
        self.shutdown(Shutdown::Write).unwrap();
    }

    fn set_patience(&self, patience: Duration) {
        self.set_read_timeout(Some(patience)).unwrap();
    }

    fn again(&self) -> Box<dyn Stream> {
        Box::new(self.try_clone().unwrap())
    }
}

impl Stream for UnixStream {
    fn end_writing(&self) {
        self.shutdown(Shutdown::Write).unwrap();
    }

    fn set_patience(&self, patience: Duration) {
        self.set_read_timeout(Some(patience)).unwrap();
    }

    fn again(&self) -> Box<dyn Stream> {
        Box::new(self.try_clone().unwrap())
    }
}

/// One connection.
pub struct Client {
    stream: Box<dyn Stream>,
    received: Vec<u8>,
    start: usize,
}

impl Client {
    pub fn tcp(port: u16) -> Client {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client::new(Box::new(stream))
    }

    pub fn unix(path: &Path) -> Client {
        Client::new(Box::new(UnixStream::connect(path).unwrap()))
    }

    pub fn new(stream: Box<dyn Stream>) -> Client {
        stream.set_patience(PATIENCE);
        Client { stream, received: Vec::new(), start: 0 }
    }

    /// Runs one command: sends it and reads its reply.
    pub fn command<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        self.send(args);
        self.read()
    }

    /// Runs one command, written with spaces between its arguments.
    pub fn run(&mut self, words: &str) -> Value {
        self.command(&words.split_ascii_whitespace().collect::<Vec<_>>())
    }

    /// Asks until the client with that ID waits for a key.
    pub fn wait_until_blocked(&mut self, id: i64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.run(&format!("CLIENT LIST ID {id}")).text();
            if line.contains(" flags=b ") {
                return;
            }
            assert!(Instant::now() < deadline, "never blocked: {line}");
        }
    }

    /// Runs one command and returns its reply as it came over the wire.
    pub fn raw<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Vec<u8> {
        self.send(args);
        self.read_raw()
    }

    /// Sends one command.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            let arg = arg.as_ref();
            request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
        self.write(&request);
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends bytes to a server that may have closed the connection already.
    pub fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The same connection, to be read by another thread than the one that writes. What this one has
    /// received stays with this one.
    pub fn reader(&self) -> Client {
        Client::new(self.stream.again())
    }

    /// Tells the server that nothing more will be sent.
    pub fn end_writing(&self) {
        self.stream.end_writing();
    }

    /// Reads one reply.
    pub fn read(&mut self) -> Value {
        let reply = self.read_raw();
        let mut rest = &reply[..];
        let value = Value::parse(&mut rest).expect("a complete reply");
        assert!(rest.is_empty());
        value
    }

    /// Reads one reply as it comes over the wire.
    pub fn read_raw(&mut self) -> Vec<u8> {
        loop {
            let received = &self.received[self.start..];
            let mut rest = received;
            if Value::parse(&mut rest).is_some() {
                let reply = received[..received.len() - rest.len()].to_vec();
                self.start += reply.len();
                return reply;
            }
            if self.receive() == 0 {
                panic!(
                    "the server closed the connection in mid-reply: {:?}",
                    String::from_utf8_lossy(&self.received[self.start..])
                );
            }
        }
    }

    /// Reads one reply, or nothing if the server has closed the connection instead.
    pub fn read_unless_closed(&mut self) -> Option<Value> {
        loop {
            let mut rest = &self.received[self.start..];
            let whole = rest.len();
            if let Some(value) = Value::parse(&mut rest) {
                self.start += whole - rest.len();
                return Some(value);
            }
            if self.receive() == 0 {
                return None;
            }
        }
    }

    /// Asserts that the server sends nothing more and closes the connection.
    pub fn expect_closed(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "more came first: {:?}", String::from_utf8_lossy(&rest));
    }

    /// Reads whatever comes until the server closes the connection.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        while self.receive() > 0 {}
        let rest = self.received[self.start..].to_vec();
        self.start = self.received.len();
        rest
    }

    /// Reads whatever comes until the server closes the connection, and forgets it.
    pub fn discard_to_end(&mut self) {
        while self.receive() > 0 {
            self.start = self.received.len();
        }
    }

    /// Receives more; 0 means that the server has closed the connection.
    fn receive(&mut self) -> usize {
        self.received.drain(..self.start);
        self.start = 0;
        let mut space = [0; 64 * 1024];
        match self.stream.read(&mut space) {
            Ok(n) => {
                self.received.extend_from_slice(&space[..n]);
                n
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!(
                    "no reply; so far: {:?}",
                    String::from_utf8_lossy(&self.received[..self.received.len().min(1000)])
                )
            }
            Err(error) => panic!("reading a reply: {error}"),
        }
    }
}

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    /// `$-1`, `*-1` or `_`.
    Null,
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    Boolean(bool),
    Double(String),
    BigNumber(String),
    /// The text without its format.
    Verbatim(String),
}

impl Value {
    /// Reads one reply from the front of `input`; `None` if it is incomplete.
    fn parse(input: &mut &[u8]) -> Option<Value> {
        let end = input.windows(2).position(|two| two == b"\r\n")?;
        let line = &input[..end];
        let rest = &input[end + 2..];
        let text = || String::from_utf8_lossy(&line[1..]).into_owned();
        let number = || -> i64 { text().parse().unwrap_or_else(|_| panic!("length {:?}", text())) };
        *input = rest;
        let value = match line.first().unwrap_or_else(|| panic!("an empty line as a reply")) {
            b'+' => Value::Simple(text()),
            b'-' => Value::Error(text()),
            b':' => Value::Integer(number()),
            b'_' => Value::Null,
            b'#' => Value::Boolean(text() == "t"),
            b',' => Value::Double(text()),
            b'(' => Value::BigNumber(text()),
            b'$' | b'*' if number() < 0 => Value::Null,
            b'$' => Value::Bulk(take(input, number())?),
            b'=' => {
                let text = String::from_utf8(take(input, number())?).unwrap();
                Value::Verbatim(text[4..].to_owned())
            }
            b'*' => Value::Array(elements(input, number())?),
            b'~' => Value::Set(elements(input, number())?),
            b'>' => Value::Push(elements(input, number())?),
            b'%' => Value::Map(
                (0..number())
                    .map(|_| Some((Value::parse(input)?, Value::parse(input)?)))
                    .collect::<Option<_>>()?,
            ),
            other => panic!("a reply of type {:?}", *other as char),
        };
        Some(value)
    }

    /// The text of a string of any kind.
    ///
    /// # Panics
    /// If the reply is none.
    pub fn text(&self) -> String {
        match self {
            Value::Simple(text) | Value::Verbatim(text) => text.clone(),
            Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("{other} where a string was expected"),
        }
    }

    /// The bytes of a bulk string.
    ///
    /// # Panics
    /// If the reply is none.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Value::Bulk(bytes) => bytes,
            other => panic!("{other} where a bulk string was expected"),
        }
    }

    /// The text of an error.
    ///
    /// # Panics
    /// If the reply is none.
    pub fn error(&self) -> &str {
        match self {
            Value::Error(text) => text,
            other => panic!("{other} where an error was expected"),
        }
    }

    /// # Panics
    /// If the reply is no integer.
    pub fn integer(&self) -> i64 {
        match self {
            Value::Integer(number) => *number,
            other => panic!("{other} where an integer was expected"),
        }
    }

    /// The elements of an array or a set.
    ///
    /// # Panics
    /// If the reply is none.
    pub fn elements(&self) -> &[Value] {
        match self {
            Value::Array(elements) | Value::Set(elements) | Value::Push(elements) => elements,
            other => panic!("{other} where an array was expected"),
        }
    }

    /// `OK`, or another status.
    pub fn is(&self, status: &str) -> bool {
        matches!(self, Value::Simple(text) if text == status)
    }
}

fn take(input: &mut &[u8], len: i64) -> Option<Vec<u8>> {
    let len = len as usize;
    let content = input.get(..len)?.to_vec();
    *input = input.get(len + 2..)?;
    Some(content)
}

fn elements(input: &mut &[u8], count: i64) -> Option<Vec<Value>> {
    (0..count).map(|_| Value::parse(input)).collect()
}

/// As redis-cli shows it, on one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, elements: &[Value]| {
            elements.iter().enumerate().try_for_each(|(i, element)| {
                write!(f, "{}{element}", if i == 0 { "" } else { ", " })
            })
        };
        match self {
            Value::Simple(text) => f.write_str(text),
            Value::Error(text) => write!(f, "(error) {text}"),
            Value::Integer(number) => write!(f, "(integer) {number}"),
            Value::Bulk(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Value::Verbatim(text) => write!(f, "={text:?}"),
            Value::Null => f.write_str("(nil)"),
            Value::Boolean(value) => write!(f, "({value})"),
            Value::Double(text) => write!(f, "(double) {text}"),
            Value::BigNumber(text) => write!(f, "(big number) {text}"),
            Value::Array(elements) => {
                f.write_str("[")?;
                list(f, elements)?;
                f.write_str("]")
            }
            Value::Set(elements) => {
                f.write_str("~[")?;
                list(f, elements)?;
                f.write_str("]")
            }
            Value::Push(elements) => {
                f.write_str(">[")?;
                list(f, elements)?;
                f.write_str("]")
            }
            Value::Map(pairs) => {
                f.write_str("{")?;
                for (i, (key, value)) in pairs.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}
