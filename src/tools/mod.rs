//! The command-line tools, `verbena-benchmark` and `verbena-cli`, and the RESP client that they share.
//!
//! The binaries only parse their arguments and call this module. Of the server, only the transport
//! crate is used: to a server, the tools are clients like any other.

pub mod benchmark;
pub mod cli;
pub mod client;
pub mod server_options;
mod tls_options;
pub mod usage;
