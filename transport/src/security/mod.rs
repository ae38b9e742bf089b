//! The configurations of TLS, made of files as OpenSSL's users name and write them.
//!
//! `server.rs` and `client.rs` make those of the two sides; `files.rs` reads certificates and keys, `cipher_list.rs` the names of
//! protocols and ciphers, `certificate.rs` what a certificate says; `sessions.rs` keeps sessions for resumption.
//! Nothing here touches a connection.

mod certificate;
mod cipher_list;
mod client;
mod files;
mod server;
mod sessions;

pub use certificate::{CertificateFacts, PeerCertificate};
pub use cipher_list::Ciphers;
pub use client::{ClientContext, ClientFiles, Trust};
pub use files::{Fingerprint, KeyPair};
pub use server::{ClientAuth, ServerContext, ServerFiles};

/// A reason why a configuration can't be used, in a sentence for the log or a terminal.
pub type Refusal = String;
