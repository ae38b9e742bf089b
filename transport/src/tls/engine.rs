//! The two sides of rustls as one state machine without I/O: records in and out of buffers of the caller.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{CommonState, ServerConfig};

use crate::buffer::Buffer;
use crate::security::ClientContext;

/// The most bytes that sealing adds to those of one record: header, explicit nonce or type of content, and tag.
pub(super) const OVERHEAD: usize = 64;

/// The most bytes that one record carries.
pub(super) const RECORD: usize = 16 * 1024;

pub(super) enum Engine {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

/// The state that a step has led to.
pub(super) enum Step {
    /// Plaintext was appended to the caller's buffer: so many bytes.
    Received(usize),
    /// Records are to be sent, before anything that is sealed later.
    Send(Bytes),
    /// There may be more to do.
    Again,
    /// The next record is incomplete, and nothing can be sealed before the handshake goes on.
    Blocked,
    /// The next record is incomplete, and bytes can be sealed.
    Open,
    /// The peer has said that it sends no more.
    PeerClosed,
    /// Both sides have.
    Closed,
}

impl Engine {
    pub(super) fn server(config: Arc<ServerConfig>) -> io::Result<Engine> {
        let engine = UnbufferedServerConnection::new(config).map_err(invalid)?;
        Ok(Engine::Server(Box::new(engine)))
    }

    /// For a server that is known by this name or address.
    pub(super) fn client(context: &ClientContext, host: &str) -> io::Result<Engine> {
        let (config, name) = (context.config.clone(), context.server_name(host));
        let engine = UnbufferedClientConnection::new(config, name).map_err(invalid)?;
        Ok(Engine::Client(Box::new(engine)))
    }

    fn common(&self) -> &CommonState {
        match self {
            Engine::Server(engine) => engine,
            Engine::Client(engine) => engine,
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.common().is_handshaking()
    }

    /// The peer's certificates, its own first.
    pub(super) fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.common().peer_certificates().unwrap_or_default()
    }

    /// Does the next step with the received records, decrypting them where they lie. Says how many bytes of
    /// `received` are done with, which the caller removes before the next step. The rest must be there again, with what has come
    /// since: rustls remembers places in it.
    pub(super) fn step(
        &mut self,
        received: &mut [u8],
        plaintext: &mut Buffer,
    ) -> (usize, Result<Step, rustls::Error>) {
        match self {
            Engine::Server(engine) => outcome(engine.process_tls_records(received), plaintext),
            Engine::Client(engine) => outcome(engine.process_tls_records(received), plaintext),
        }
    }

    /// Writes a record into `space`, which has [`OVERHEAD`] bytes more than its plaintext; or does a step that
    /// comes first. `received` and the number that is returned are those of [`step`](Self::step).
    pub(super) fn write(
        &mut self,
        record: Record<'_>,
        space: &mut [u8],
        received: &mut [u8],
        plaintext: &mut Buffer,
    ) -> (usize, io::Result<Written>) {
        match self {
            Engine::Server(engine) => {
                written(engine.process_tls_records(received), record, space, plaintext)
            }
            Engine::Client(engine) => {
                written(engine.process_tls_records(received), record, space, plaintext)
            }
        }
    }
}

/// A record to write.
pub(super) enum Record<'a> {
    Data(&'a [u8]),
    /// This side of the stream ends.
    Close,
}

/// The outcome of writing a record.
pub(super) enum Written {
    /// So many bytes.
    Record(usize),
    /// Nothing: this comes first.
    First(Step),
}

fn written<D>(
    status: UnbufferedStatus<'_, '_, D>,
    record: Record<'_>,
    space: &mut [u8],
    plaintext: &mut Buffer,
) -> (usize, io::Result<Written>) {
    let UnbufferedStatus { discard, state: Ok(ConnectionState::WriteTraffic(mut traffic)) } =
        status
    else {
        let (discard, step) = outcome(status, plaintext);
        return (discard, step.map(Written::First).map_err(invalid));
    };
    let written = match record {
        Record::Data(data) => traffic.encrypt(data, space),
        Record::Close => traffic.queue_close_notify(space),
    };
    (discard, written.map(Written::Record).map_err(|error| io::Error::other(error.to_string())))
}

fn outcome<D>(
    status: UnbufferedStatus<'_, '_, D>,
    plaintext: &mut Buffer,
) -> (usize, Result<Step, rustls::Error>) {
    let UnbufferedStatus { mut discard, state } = status;
    let step = match state {
        Err(error) => Err(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            let mut received = 0;
            loop {
                match traffic.next_record() {
                    None => break Ok(Step::Received(received)),
                    Some(Ok(record)) => {
                        discard += record.discard;
                        received += record.payload.len();
                        plaintext.append(record.payload);
                    }
                    Some(Err(error)) => break Err(error),
                }
            }
        }
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let len = match data.encode(&mut []) {
                Err(EncodeError::InsufficientSize(needed)) => needed.required_size,
                _ => 0,
            };
            let mut records = vec![0; len];
            match data.encode(&mut records) {
                Ok(_) => Ok(Step::Send(records.into())),
                Err(error) => Err(rustls::Error::General(error.to_string())),
            }
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            // The caller sends all records in the order in which it got them.
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::BlockedHandshake) => Ok(Step::Blocked),
        Ok(ConnectionState::WriteTraffic(_)) => Ok(Step::Open),
        Ok(ConnectionState::PeerClosed) => Ok(Step::PeerClosed),
        Ok(ConnectionState::Closed) => Ok(Step::Closed),
        // Early data, which no configuration here allows, and states that later versions may add.
        Ok(_) => Err(rustls::Error::General("early data is not accepted".into())),
    };
    (discard, step)
}

/// An error of the protocol as one of the stream.
pub(super) fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
