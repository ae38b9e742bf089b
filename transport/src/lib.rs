//! Byte-stream transports behind one trait: TCP, TLS, Unix sockets and RDMA verbs.
//!
//! A [`Connection`] is a bidirectional byte stream whose received bytes are read in place and whose
//! replies are built in place. It knows nothing of RESP or of commands. Each transport is a [`Backend`],
//! one entry of [`BACKENDS`]; it is chosen by a [`Target`] (client side) or by the [`Listener`] that accepted the
//! connection (server side). The code above need not know which one it has.
//!
//! Everything here runs on one thread: a connection is attached to the [`event_loop`] or tokio
//! current-thread runtime of the thread that calls [`Incoming::attach`] or [`connect`], and never leaves it.

mod address;
mod alarm;
mod backend;
mod buffer;
pub mod event_loop;
mod idle;
mod options;
#[cfg(feature = "rdma")]
pub mod rdma;
#[cfg(not(feature = "rdma"))]
#[path = "without_rdma.rs"]
pub mod rdma;
mod resolve;
pub mod security;
mod socket;
mod target;
pub mod tcp;
pub mod tls;
pub mod unix;

pub use address::{Address, Endpoint};
pub use alarm::Alarm;
pub use backend::{
    Attached, Backend, Connecting, Connection, ConnectionInfo, Incoming, ListenFailure, Listener,
    ServerSide,
};
pub use options::{ClientOptions, RdmaClientOptions, ServerOptions};
pub use target::{Target, connect, connect_timeout};

/// All backends.
pub static BACKENDS: [&Backend; 4] = [&tcp::BACKEND, &unix::BACKEND, &tls::BACKEND, &rdma::BACKEND];
