//! TLS, as clients meet it: who is let in, what a handshake may cost others, what a change of the configuration changes,
//! and that every byte arrives. The peers are rustls driven by hand, so that they can be as wrong as they like; OpenSSL's and
//! other people's clients are in `programs.rs` and in tests/py and tests/node.

#[path = "../common/mod.rs"]
mod common;

mod authority;
mod configuration;
mod handshake;
mod peer;
mod programs;
mod traffic;
mod users;
