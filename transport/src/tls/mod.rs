//! The TLS backend: rustls above TCP sockets.
//!
//! rustls does no I/O here. A [`TlsConnection`](connection::TlsConnection) hands it the received records where they lie and takes the
//! records to send from it, so a TLS connection is polled like any other and waits for nothing else.
//!
//! `connection.rs` is the [`Connection`] over a socket's bytes, `engine.rs` the two sides of rustls as one type, and `accept.rs`
//! the listener, and how a thread bounds the handshakes of one turn. The configurations of both sides are made in
//! [`security`](crate::security).

mod accept;
mod connection;
mod engine;

use std::io;

use crate::address::Address;
use crate::backend::{Backend, Connection, ListenFailure};
use crate::options::ClientOptions;
use crate::{resolve, tcp};

use connection::TlsConnection;
use engine::Engine;

pub static BACKEND: Backend = Backend {
    name: "tls",
    title: "TLS",
    is_unix_socket: false,
    reports_failures: false,
    closing_note: None,
    server: |options| Box::new(accept::TlsServer::new(options)),
    listen_failure: |address, reason| {
        let text = "Could not create server TLS listening socket";
        let warning = format!("Warning: {text} {address}: bind: {reason}");
        ListenFailure::on_port(&BACKEND, address, warning)
    },
    connect: |address, options| Box::pin(connect(address, options)),
};

async fn connect(address: &Address, options: &ClientOptions) -> io::Result<Box<dyn Connection>> {
    let (name, port) = address.host()?;
    let context = options.tls.as_ref().ok_or_else(|| {
        let text = "a TLS connection needs to be told whom to trust";
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    let socket = resolve::connect_any(name, port, tcp::connect_socket).await?;
    let engine = Engine::client(context, name)?;
    let mut connection = TlsConnection::new(socket, engine, &BACKEND);
    connection.handshake().await?;
    Ok(Box::new(connection))
}
