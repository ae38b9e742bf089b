//! A small RESP client over a [`Connection`].

mod decode;
mod value;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;

use bytes::Bytes;
use verbena_transport::{Connection, Target, connect};

pub use decode::Decoder;
pub use value::Value;

/// The most pushes that are kept until they are read. Beyond it the oldest are dropped.
const MAX_PUSHES: usize = 1000;

/// A connection to a server, with the requests and replies of RESP on it.
pub struct Client {
    connection: Box<dyn Connection>,
    decoder: Decoder,
    /// Pushes that arrived while a reply was awaited, or nothing.
    pushes: VecDeque<Value>,
}

impl Client {
    /// Connects; nothing is sent yet.
    pub async fn connect(target: &Target) -> Result<Client, ConnectError> {
        let connection = connect(target)
            .await
            .map_err(|error| ConnectError { target: target.clone(), error })?;
        Ok(Client { connection, decoder: Decoder::default(), pushes: VecDeque::new() })
    }

    /// The connection alone, for a caller that reads its replies itself.
    pub fn into_connection(self) -> Box<dyn Connection> {
        self.connection
    }

    /// The connection under this client.
    pub fn connection(&mut self) -> &mut dyn Connection {
        &mut *self.connection
    }

    /// Puts a command into the stream. It leaves with the next [`flush`](Self::flush).
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        let mut encoded = Vec::new();
        encode(args, &mut encoded);
        self.send_encoded(encoded.into());
    }

    /// Puts bytes into the stream as they are.
    pub fn send_encoded(&mut self, bytes: Bytes) {
        let (_, space) = self.connection.buffers();
        match space.get_mut(..bytes.len()) {
            Some(space) => {
                space.copy_from_slice(&bytes);
                self.connection.advance(0, bytes.len());
            }
            None => self.connection.queue(bytes),
        }
    }

    /// Sends what was put into the stream.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.connection.poll_flush(cx)).await
    }

    /// Waits for the next reply or push. It can be cancelled without losing anything.
    ///
    /// # Errors
    /// `UnexpectedEof` when the server has closed the connection; `InvalidData` when it does not
    /// speak RESP.
    pub async fn receive(&mut self) -> io::Result<Value> {
        loop {
            let (received, _) = self.connection.buffers();
            let progress = self.decoder.decode(received)?;
            self.connection.advance(progress.consumed, 0);
            if let Some(value) = progress.value {
                return Ok(value);
            }
            if progress.expected > 0 {
                self.connection.expect(progress.expected);
            }
            let read = poll_fn(|cx| {
                // A request may still be on its way: both directions move, or neither side does.
                if self.connection.unsent() > 0
                    && let std::task::Poll::Ready(Err(error)) = self.connection.poll_flush(cx)
                {
                    return std::task::Poll::Ready(Err(error));
                }
                self.connection.poll_receive(cx)
            });
            if read.await? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "Server closed the connection",
                ));
            }
        }
    }

    /// Sends a command and waits for its reply; pushes that come first are kept for
    /// [`next_push`](Self::next_push).
    pub async fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        self.send(args);
        loop {
            match self.receive().await? {
                push @ Value::Push(_) => self.pushes.push_back(push),
                value => return Ok(value),
            }
        }
    }

    /// Receives pushes, for as long as there is nothing else to do, and keeps them for
    /// [`next_push`](Self::next_push). Ends when the connection does; can be cancelled.
    pub async fn collect_pushes(&mut self) -> io::Error {
        loop {
            match self.receive().await {
                Ok(value) => {
                    if self.pushes.len() == MAX_PUSHES {
                        self.pushes.pop_front();
                    }
                    self.pushes.push_back(value);
                }
                Err(error) => return error,
            }
        }
    }

    /// A push that arrived while none was awaited.
    pub fn next_push(&mut self) -> Option<Value> {
        self.pushes.pop_front()
    }
}

/// Appends a command to `out`, as an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(args: &[A], out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    out.push(b'*');
    out.extend_from_slice(digits.format(args.len()).as_bytes());
    out.extend_from_slice(b"\r\n");
    for arg in args {
        let arg = arg.as_ref();
        out.push(b'$');
        out.extend_from_slice(digits.format(arg.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// A server that could not be reached.
#[derive(Debug)]
pub struct ConnectError {
    pub target: Target,
    pub error: io::Error,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConnectError { target, error } = self;
        write!(f, "Could not connect to Verbena at {target}: {}", Reason(error))
    }
}

impl std::error::Error for ConnectError {}

/// An I/O error without the system's number: `Connection refused`.
pub struct Reason<'a>(pub &'a io::Error);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        f.write_str(text.split_once(" (os error ").map_or(&*text, |(reason, _)| reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        let mut out = Vec::new();
        encode(&["SET", "key", ""], &mut out);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$0\r\n\r\n");
    }

    #[test]
    fn a_refused_connection_says_where_and_why() {
        let error = ConnectError {
            target: Target::tcp("127.0.0.1", 6379),
            error: io::Error::from_raw_os_error(libc::ECONNREFUSED),
        };
        assert_eq!(
            error.to_string(),
            "Could not connect to Verbena at 127.0.0.1:6379: Connection refused"
        );
    }
}
